"""The second factor: codes of an app (TOTP, RFC 6238), codes on paper, security keys (WebAuthn).

Guesses are counted by whoever calls (`throttle.py`), before anything here is asked.
"""

import hmac
import secrets
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pyotp
import segno
from flask_appbuilder.security.sqla.models import User
from sqlalchemy import delete, func, select, update

from app import access, security
from app.identity import vault
from app.models import RecoveryCode, SecondFactorRule, SecurityKey, TotpDevice

STEP = 30  # seconds that a code stands
DRIFT = 1  # steps that a phone's clock may be off, either way
CODES = 10  # on paper
ENROLMENT = timedelta(minutes=30)  # that a secret which was shown waits for its first code
ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # nothing that is read as something else


class Standing(NamedTuple):
    """What somebody has of a second factor."""

    has_app: bool
    keys: tuple  # SecurityKey rows, detached
    codes_left: int

    @property
    def is_set_up(self):
        return self.has_app or bool(self.keys)


def standing(user_id):
    """What this account has; for its owner's page and for the door."""
    with access.system_session("second factor", door="sign-in", writes=False) as session:
        return standing_in(session, user_id)


def standing_in(session, user_id):
    device = session.get(TotpDevice, user_id)
    keys = session.scalars(select(SecurityKey).filter_by(user_id=user_id).order_by(SecurityKey.id)).all()
    left = select(func.count(RecoveryCode.id)).where(
        RecoveryCode.user_id == user_id, RecoveryCode.used_at.is_(None)
    )
    codes_left = session.scalar(left)
    session.expunge_all()
    return Standing(device is not None and device.confirmed_at is not None, tuple(keys), codes_left)


def next_step(user_id):
    """What a sign-in waits for after the password: "second factor", "enrolment" or None."""
    with access.system_session("second factor", door="sign-in", writes=False) as session:
        if _is_set_up(session, user_id):
            return "second factor"
        return "enrolment" if is_required(session, user_id) else None


def is_required(session, user_id):
    """Whether a role of this person asks for a second factor."""
    rules = set(session.scalars(select(SecondFactorRule.role)))
    return bool(rules) and bool(rules & security.roles_held(session, user_id))


def without(session, role):
    """The accounts of a role that have no second factor yet."""
    return [
        user_id
        for user_id in session.scalars(select(User.id).where(User.active))
        if role in security.roles_held(session, user_id) and not _is_set_up(session, user_id)
    ]


def everybodys(session):
    """User id -> (has an app, number of security keys, codes left), for those who have anything."""
    apps = set(session.scalars(select(TotpDevice.user_id).where(TotpDevice.confirmed_at.is_not(None))))
    counted = select(SecurityKey.user_id, func.count()).group_by(SecurityKey.user_id)
    keys = dict(session.execute(counted).all())
    unused = RecoveryCode.used_at.is_(None)
    counted = select(RecoveryCode.user_id, func.count()).where(unused).group_by(RecoveryCode.user_id)
    codes = dict(session.execute(counted).all())
    return {key: (key in apps, keys.get(key, 0), codes.get(key, 0)) for key in apps | keys.keys()}


def _is_set_up(session, user_id):
    device = session.get(TotpDevice, user_id)
    if device is not None and device.confirmed_at is not None:
        return True
    return session.scalars(select(SecurityKey.id).filter_by(user_id=user_id).limit(1)).first() is not None


# --------------------------------------------------------------------------------------------- the app's codes


class Enrolment(NamedTuple):
    """What a phone reads: the picture as an address that holds it, and the same in letters."""

    picture: str
    secret: str


def begin_app(settings, user_id):
    """A new secret for this person's app, which counts from its first right code on."""
    now = datetime.now(UTC)
    with access.system_session("second factor", door="page") as session:
        device = session.get(TotpDevice, user_id)
        if device is not None and device.confirmed_at is not None:
            return  # the one there is stays until it is given up
        if device is None:
            device = TotpDevice(user_id=user_id, last_step=0)
            session.add(device)
        device.secret, device.created_at = vault.seal(settings, pyotp.random_base32()), now


def enrolment(settings, user_id):
    """What to show of a secret that waits for its first code, or None."""
    with access.system_session("second factor", door="page", writes=False) as session:
        device = session.get(TotpDevice, user_id)
        if not _is_waiting(device):
            return None
        secret = vault.unseal(settings, device.secret)
        name = security.username_of(session, user_id)
    uri = pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name=f"Foyer {settings.COMPANY_NAME}"[:60])
    picture = segno.make(uri, error="m").svg_data_uri(scale=5, border=4, light="#fff", dark="#000")
    return Enrolment(picture, " ".join(secret[at : at + 4] for at in range(0, len(secret), 4)))


def confirm_app(settings, user_id, code):
    """The first right code makes the app count; returns the new codes for paper, or None for a wrong one."""
    with access.system_session("second factor", door="page") as session:
        session.info["on_behalf_of"] = user_id
        device = _device(session, user_id)
        if not _is_waiting(device) or not _takes(settings, device, code):
            return None
        device.confirmed_at = datetime.now(UTC)
        security.note(session, user_id, "second factor")
        return _new_codes(settings, session, user_id)


def is_code_of(settings, user_id, code):
    """Whether the app shows this code now. A code counts once: neither it nor an older one is taken again."""
    with access.system_session("second factor", door="sign-in") as session:
        device = _device(session, user_id)
        if device is None or device.confirmed_at is None:
            return False
        return _takes(settings, device, code)


def _is_waiting(device):
    if device is None or device.confirmed_at is not None:
        return False
    return datetime.now(UTC) - device.created_at < ENROLMENT


def _device(session, user_id):
    """The row, locked: of two who bring the same code at once only one finds it unused."""
    return session.scalars(select(TotpDevice).filter_by(user_id=user_id).with_for_update()).first()


def _takes(settings, device, code):
    code = "".join(code.split())
    if len(code) != 6 or not (code.isascii() and code.isdigit()):
        return False
    totp = pyotp.TOTP(vault.unseal(settings, device.secret), interval=STEP)
    now = int(datetime.now(UTC).timestamp()) // STEP
    for step in range(now - DRIFT, now + DRIFT + 1):
        if hmac.compare_digest(totp.generate_otp(step), code) and step > device.last_step:
            device.last_step = step
            return True
    return False


# --------------------------------------------------------------------------------------------- codes on paper


def new_codes(settings, user_id):
    """Ten new codes; those from before count no more."""
    with access.system_session("second factor", door="page") as session:
        session.info["on_behalf_of"] = user_id
        security.note(session, user_id, "recovery codes")
        return _new_codes(settings, session, user_id)


def use_code(settings, user_id, code):
    """Whether this is one of the codes on paper; it counts once."""
    marked = vault.mark(settings, _plain(code))
    used = update(RecoveryCode).where(
        RecoveryCode.user_id == user_id, RecoveryCode.code_hash == marked, RecoveryCode.used_at.is_(None)
    )
    with access.system_session("second factor", door="sign-in") as session:
        session.info["on_behalf_of"] = user_id
        if session.execute(used.values(used_at=datetime.now(UTC))).rowcount != 1:
            return False
        security.note(session, user_id, "recovery code")
        return True


def looks_like_a_recovery_code(text):
    return len(_plain(text)) > 6


def _new_codes(settings, session, user_id):
    session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
    codes = ["-".join(_word() for _ in range(3)) for _ in range(CODES)]
    for code in codes:
        session.add(RecoveryCode(user_id=user_id, code_hash=vault.mark(settings, _plain(code))))
    return codes


def _word():
    return "".join(secrets.choice(ALPHABET) for _ in range(4))


def _plain(code):
    return "".join(one for one in code.lower() if one.isalnum())[:40]


# --------------------------------------------------------------------------------------------- giving it up


def give_up(session, user_id):
    """No second factor any more: app, codes and keys go, all together."""
    for kind in (TotpDevice, RecoveryCode, SecurityKey):
        session.execute(delete(kind).where(kind.user_id == user_id))
