"""API keys: a person's programs come in with one, hold some of his roles, and are counted.

A key reads `foyer_<prefix>_<secret>`; the prefix finds its row, of the secret only the hash is kept. It ends after its
last day, when somebody ends it, and for good when its owner may no longer sign in.
"""

import hashlib
import hmac
import secrets
import threading
import time
from datetime import UTC, datetime
from typing import NamedTuple

from flask_appbuilder.security.sqla.models import User
from sqlalchemy import case, event, inspect, or_, select, update

from app import access, security
from app.access import DOOR
from app.extensions import Session
from app.models import ApiKey

START = "foyer_"
MOST = 50  # living keys a person
WINDOW = 60  # seconds


class Key(NamedTuple):
    """A key that was found good: who it speaks for, and what the ledger calls it."""

    id: int
    user_id: int
    name: str
    per_minute: int


def make(user_id, *, name, roles, per_minute, expires_on):
    """A new key as (its id, its text); the text stands nowhere else and is shown once."""
    prefix, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
    with access.system_session("api key", door="page") as session:
        session.info["on_behalf_of"] = user_id
        key = ApiKey(
            user_id=user_id,
            name=name,
            prefix=prefix,
            key_hash=_hash(secret),
            roles=sorted(roles),
            per_minute=per_minute,
            expires_on=expires_on,
            created_at=datetime.now(UTC),
        )
        session.add(key)
        session.flush()
        security.note(session, user_id, "api key", name=name)
        return key.id, f"{START}{prefix}_{secret}"


def find(text, *, today):
    """(principal, key, None) for a living key; (None, None, the id of the account whose prefix it has, or None)."""
    prefix, _, secret = text.removeprefix(START).partition("_")
    if not security.is_storable(text) or len(prefix) > 12 or len(text) > 200:
        return None, None, None
    with access.system_session("api key", door="sign-in", writes=False) as session:
        row = session.scalars(select(ApiKey).filter_by(prefix=prefix)).first()
        is_right = hmac.compare_digest(row.key_hash if row is not None else "", _hash(secret))
        if row is None or not is_right or row.ended_at is not None or row.expires_on < today:
            return None, None, row.user_id if row is not None else None
        key, held = Key(row.id, row.user_id, row.name, row.per_minute), frozenset(row.roles)
    principal = security.load_principal(key.user_id, only=held)
    return (principal, key, None) if principal is not None else (None, None, key.user_id)


def of(session, user_id=None):
    """The keys of a person, or of all, the newest first; with their owners' names."""
    statement = select(ApiKey, User.username).join(User, User.id == ApiKey.user_id).order_by(ApiKey.id.desc())
    if user_id is not None:
        statement = statement.where(ApiKey.user_id == user_id)
    return session.execute(statement.limit(500)).all()


def living(session, user_id, *, today):
    """How many keys of this person count today."""
    mine = select(ApiKey.id).where(
        ApiKey.user_id == user_id, ApiKey.ended_at.is_(None), ApiKey.expires_on >= today
    )
    return len(session.scalars(mine).all())


def end(session, key_id, *, user_id=None):
    """End a key (of this person, if one is named); returns its name, or None where there is none that lives."""
    statement = select(ApiKey).where(ApiKey.id == key_id, ApiKey.ended_at.is_(None))
    if user_id is not None:
        statement = statement.where(ApiKey.user_id == user_id)
    key = session.scalars(statement).first()
    if key is None:
        return None
    key.ended_at = datetime.now(UTC)
    session.flush()
    security.note(session, key.user_id, "api key off", name=key.name)
    return key.name


@event.listens_for(Session, "after_flush")
def _end_with_the_account(session, _context):
    """Whoever may no longer sign in: his keys end, and do not come back with him."""
    for user in session.dirty:
        if isinstance(user, User) and not user.active and inspect(user).attrs.active.history.has_changes():
            table = ApiKey.__table__
            ended = update(table).where(table.c.user_id == user.id, table.c.ended_at.is_(None))
            ended = ended.values(ended_at=datetime.now(UTC).replace(tzinfo=None))
            session.connection().execute(ended, execution_options={DOOR: True})


# --------------------------------------------------------------------------------------------- how many requests

# What this process has taken ahead of a key's requests of the running minute: id -> [minute, left].
_AHEAD, _LOCK = {}, threading.Lock()
SHARE = 20  # a process takes a twentieth of the minute's requests at a time


def take(key):
    """Count a request of this key: None when it may go on, else the seconds until the next minute.

    The count stands in the database, for all processes together. To write less, a process takes some requests at a
    time and gives them out by itself; what it does not use is lost with the minute, so there are never more than said.
    """
    now = time.time()
    minute = int(now // WINDOW)
    with _LOCK:
        ahead = _AHEAD.get(key.id)
        if ahead is not None and ahead[0] == minute and ahead[1] > 0:
            ahead[1] -= 1
            return None
    for number in dict.fromkeys((max(1, key.per_minute // SHARE), 1)):
        if _took(key, minute, number):
            with _LOCK:
                ahead = _AHEAD.get(key.id)
                left = ahead[1] if ahead is not None and ahead[0] == minute else 0
                _AHEAD[key.id] = [minute, left + number - 1]
            return None
    return max(1, int((minute + 1) * WINDOW - now) + 1)


def _took(key, minute, number):
    """Take so many requests of this minute, if there are as many left. The first one also says when it was used."""
    is_new = ApiKey.window != minute
    taken = (
        update(ApiKey)
        .where(ApiKey.id == key.id, or_(is_new, ApiKey.taken + number <= key.per_minute))
        .values(
            taken=case((is_new, number), else_=ApiKey.taken + number),
            last_used_at=case((is_new, datetime.now(UTC).replace(tzinfo=None)), else_=ApiKey.last_used_at),
            window=minute,
        )
        .execution_options(synchronize_session=False)
    )
    with access.system_session("api key", door="sign-in") as session:
        return session.execute(taken).rowcount == 1


def _hash(secret):
    return hashlib.sha256(secret.encode()).hexdigest()
