"""Security keys (WebAuthn) as a second factor: registered with a name, bound to this server's address."""

import json
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import urlsplit

import webauthn
from sqlalchemy import select
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from app import access, security
from app.identity import factors, vault
from app.models import RecoveryCode, SecurityKey

LONGEST = 20_000  # characters of what a browser sends
MOST = 20  # keys a person


class Place(NamedTuple):
    """Where the key is used: the origin that the browser swears to, and the name that the key is bound to."""

    origin: str
    host: str

    @classmethod
    def of(cls, address):
        parts = urlsplit(address)
        return cls(f"{parts.scheme}://{parts.netloc}", parts.hostname or "")

    @property
    def is_safe(self):
        """Browsers give keys to HTTPS only, and to this very machine under its name."""
        return self.origin.startswith("https://") or self.host == "localhost"


def registration(settings, user_id, place):
    """(what the browser is asked for as JSON, the challenge to keep)."""
    with access.system_session("security key", door="page", writes=False) as session:
        username = security.username_of(session, user_id)
        options = webauthn.generate_registration_options(
            rp_id=place.host,
            rp_name=f"Foyer {settings.COMPANY_NAME}"[:60],
            user_id=vault.mark(settings, f"user {user_id}")[:32].encode(),
            user_name=username,
            exclude_credentials=_descriptors(session, user_id),
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.DISCOURAGED,
                user_verification=UserVerificationRequirement.DISCOURAGED,
            ),
        )
    return webauthn.options_to_json(options), bytes_to_base64url(options.challenge)


def register(settings, user_id, name, credential, challenge, place):
    """Take the new key. Returns (whether it was good, codes for paper if there were none yet)."""
    try:
        found = webauthn.verify_registration_response(
            credential=_read(credential),
            expected_challenge=base64url_to_bytes(challenge),
            expected_rp_id=place.host,
            expected_origin=place.origin,
        )
    except (WebAuthnException, ValueError):
        return False, None
    key = bytes_to_base64url(found.credential_id)
    with access.system_session("security key", door="page") as session:
        session.info["on_behalf_of"] = user_id
        same = select(SecurityKey.id).filter_by(credential_id=key)
        held = session.scalars(select(SecurityKey.id).filter_by(user_id=user_id)).all()
        if session.scalars(same).first() is not None or len(held) >= MOST or len(key) > 1400:
            return False, None
        session.add(
            SecurityKey(
                user_id=user_id,
                name=name,
                credential_id=key,
                public_key=bytes_to_base64url(found.credential_public_key),
                sign_count=found.sign_count,
                created_at=datetime.now(UTC),
            )
        )
        security.note(session, user_id, "security key", name=name)
        has_codes = session.scalars(select(RecoveryCode.id).filter_by(user_id=user_id)).first() is not None
        return True, None if has_codes else factors._new_codes(settings, session, user_id)


def authentication(user_id, place):
    """(what the browser is asked for as JSON, the challenge to keep), or None where the person has no key."""
    with access.system_session("security key", door="sign-in", writes=False) as session:
        descriptors = _descriptors(session, user_id)
    if not descriptors:
        return None
    options = webauthn.generate_authentication_options(
        rp_id=place.host,
        allow_credentials=descriptors,
        user_verification=UserVerificationRequirement.DISCOURAGED,
    )
    return webauthn.options_to_json(options), bytes_to_base64url(options.challenge)


def is_answer_of(user_id, credential, challenge, place):
    """Whether one of this person's keys has signed the challenge. A counter that went back means a copied key."""
    try:
        said = _read(credential)
    except ValueError:
        return False
    with access.system_session("security key", door="sign-in") as session:
        session.info["on_behalf_of"] = user_id
        wanted = select(SecurityKey).filter_by(user_id=user_id, credential_id=str(said.get("id")))
        key = session.scalars(wanted.with_for_update()).first()
        if key is None:
            return False
        try:
            found = webauthn.verify_authentication_response(
                credential=said,
                expected_challenge=base64url_to_bytes(challenge),
                expected_rp_id=place.host,
                expected_origin=place.origin,
                credential_public_key=base64url_to_bytes(key.public_key),
                credential_current_sign_count=0,  # compared below, so that it can be told
            )
        except (WebAuthnException, ValueError):
            return False
        if (found.new_sign_count or key.sign_count) and found.new_sign_count <= key.sign_count:
            security.note(session, user_id, "security key copied", name=key.name)
            return False
        key.sign_count, key.last_used_at = found.new_sign_count, datetime.now(UTC)
        return True


def rename(user_id, key_id, name):
    """Give one's own key another name; whether there is such a key."""
    with access.system_session("security key", door="page") as session:
        key = session.scalars(select(SecurityKey).filter_by(id=key_id, user_id=user_id)).first()
        if key is not None:
            key.name = name
        return key is not None


def remove(session, user_id, key_id):
    """Take one's own key away; whether there was such a key."""
    key = session.scalars(select(SecurityKey).filter_by(id=key_id, user_id=user_id)).first()
    if key is not None:
        session.delete(key)
        session.flush()
        security.note(session, user_id, "security key off", name=key.name)
    return key is not None


def _descriptors(session, user_id):
    held = session.scalars(select(SecurityKey.credential_id).filter_by(user_id=user_id)).all()
    return [PublicKeyCredentialDescriptor(id=base64url_to_bytes(one)) for one in held]


def _read(credential):
    if not credential or len(credential) > LONGEST:
        raise ValueError("no credential")
    said = json.loads(credential)
    if not isinstance(said, dict):
        raise ValueError("no credential")
    return said
