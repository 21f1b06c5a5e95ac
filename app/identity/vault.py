"""Secrets that must be read again, sealed with a key that lies beside the database and not in it."""

import hmac
from base64 import urlsafe_b64encode
from functools import lru_cache
from hashlib import sha256

from cryptography.fernet import Fernet, InvalidToken


class CannotOpen(Exception):
    """It was sealed with another key: the key file was replaced, or the database came from elsewhere."""


def seal(settings, text):
    return _box(settings.vault_key()).encrypt(text.encode()).decode()


def unseal(settings, sealed):
    """The text again; raises CannotOpen."""
    try:
        return _box(settings.vault_key()).decrypt(sealed.encode()).decode()
    except InvalidToken:
        raise CannotOpen


def mark(settings, text):
    """A hash that only this installation can make: nothing can be tried against a copy of the database."""
    return hmac.new(settings.vault_key(), text.encode(), sha256).hexdigest()


@lru_cache(maxsize=4)
def _box(key):
    return Fernet(urlsafe_b64encode(sha256(b"foyer vault" + key).digest()))
