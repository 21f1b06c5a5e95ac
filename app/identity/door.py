"""The first step of signing in: a name and a password, asked of the directory and of the accounts kept here."""

import logging
from datetime import datetime
from typing import NamedTuple

from flask_appbuilder.security.sqla.models import User
from sqlalchemy import func, select

from app import access, security, throttle
from app.identity import directory, mapping
from app.identity.directory import DirectoryDown

log = logging.getLogger(__name__)


def first_step(settings, username, password, *, address, device=None):
    """The id of the active account that this name and password open, or None; over the limit `throttle.TooMany`.

    The directory is asked first. Where it does not know the name, or is down, the password kept here counts: for
    everybody while LOCAL_SIGN_IN is on, and always for accounts marked as break-glass, whose every use is noted.
    """
    if (
        not username
        or not password
        or not (security.is_storable(username) and security.is_storable(password))
    ):
        return None
    if settings.LDAP_URL:
        try:
            user_id, is_theirs = _by_directory(settings, username, password, address, device)
        except DirectoryDown as error:
            log.error("the directory is down: %s", error)
        else:
            if is_theirs:
                return user_id
    return _by_our_own(settings, username, password, address, device)


def is_password_of(settings, user_id, password, *, address, device=None):
    """Whether this is the present password of a person who is signed in: the directory's, or the one kept here.

    Counted like a sign-in; over the limit it raises `throttle.TooMany`.
    """
    if not password or not security.is_storable(password):
        return False
    with access.system_session("sign-in", door="sign-in", writes=False) as session:
        username, is_local = security.username_of(session, user_id), security.has_password(session, user_id)
        is_theirs = mapping.mark_of_user(session, directory.SOURCE, username) is not None
    if is_local:
        return security.authenticate(username, password, address=address, device=device) == user_id
    if not is_theirs or not settings.LDAP_URL:
        return False
    try:
        entry = directory.find(settings, username)
        return entry is not None and _is_right(settings, entry, password, user_id, address, device)
    except DirectoryDown as error:
        log.error("the directory is down: %s", error)
        return False


def knows_password(user_id):
    """Whether this person has a password at all that we can ask for: one from an OpenID provider has none."""
    with access.system_session("sign-in", door="sign-in", writes=False) as session:
        username = security.username_of(session, user_id)
        return security.has_password(session, user_id) or (
            mapping.mark_of_user(session, directory.SOURCE, username) is not None
        )


def method_of(user_id):
    """How somebody whom `first_step` let in has come: "password" or "ldap"."""
    with access.system_session("sign-in", door="sign-in", writes=False) as session:
        return "password" if security.has_password(session, user_id) else directory.SOURCE


def take_in(settings, person, *, adopts_by=None):
    """Let somebody in of whom a directory or provider has vouched; his account's id, or None."""
    today = datetime.now(settings.zone).date()
    with access.system_session("sign-in", door="sign-in") as session:
        return mapping.take_in(session, person, adopts_by=adopts_by, today=today)


class TooMany(Exception):
    """A sync would shut out more people than can be meant."""


class Synced(NamedTuple):
    """Where a sync left the accounts of the directory."""

    open: int
    closed: int


def sync(settings, *, even_if_many=False):
    """Bring every account of the directory up to date, and close those it no longer lets in; nobody needs to sign in.

    New people are not taken in before they come. Should more than half of the accounts (and more than five) be about
    to close, something is wrong with the directory or its filter: `TooMany`, and nothing is done.
    """
    people = {entry.person.subject: entry.person for entry in directory.everyone(settings)}
    today = datetime.now(settings.zone).date()
    with access.system_session("sync with the directory", door="sign-in") as session:
        marks = mapping.marks_of(session, directory.SOURCE, directory.issuer_of(settings))
        gone = [mark for mark in marks if mark.subject not in people and mark.shut_out_at is None]
        if len(gone) > max(5, len(marks) // 2) and not even_if_many:
            raise TooMany(f"{len(gone)} of {len(marks)} accounts are no longer in the directory")
        for mark in gone:
            mapping.shut_out(session, mark, today=today, why="not found by the sync")
        there = [people[mark.subject] for mark in marks if mark.subject in people]
        kept = [mapping.take_in(session, person, today=today) for person in there]
        closed = len(gone) + kept.count(None)
        return Synced(open=len(kept) - kept.count(None), closed=closed)


def _by_directory(settings, username, password, address, device):
    """(the account's id or None, whether the directory has the last word on this name)."""
    entry = directory.find(settings, username)
    if entry is None:
        return None, _is_shut_out(settings, username)
    if _belongs_to_us(settings, entry.person):
        return None, False
    with access.system_session("sign-in", door="sign-in", writes=False) as session:
        mark = mapping.mark_of(session, entry.person)
        account = mark.user_id if mark is not None else username
    if not _is_right(settings, entry, password, account, address, device):
        return None, True
    adopts_by = "username" if settings.LDAP_ADOPTS_ACCOUNTS else None
    return take_in(settings, entry.person, adopts_by=adopts_by), True


def _is_right(settings, entry, password, account, address, device):
    """Whether the directory takes this password; counted first, so that nobody guesses at the directory through us."""
    if (seconds := throttle.ask("password", account, address, device)) is not None:
        raise throttle.TooMany(seconds)
    if not directory.is_password_of(settings, entry, password):
        return False
    throttle.passed("password", account, address, device)
    return True


def _belongs_to_us(settings, person):
    """Whether an account of this name was here before, and stays apart from the directory's person."""
    with access.system_session("sign-in", door="sign-in", writes=False) as session:
        same = func.lower(User.username) == person.username
        user = session.scalars(select(User).where(same)).first()
        if user is None or mapping.mark_of_user(session, directory.SOURCE, person.username) is not None:
            return False
        return not settings.LDAP_ADOPTS_ACCOUNTS or security.is_break_glass(session, user.id)


def _is_shut_out(settings, username):
    """Somebody whom the directory brought and no longer lets in: his account is closed at once."""
    with access.system_session("sign-in", door="sign-in", writes=False) as session:
        mark = mapping.mark_of_user(session, directory.SOURCE, username)
        subject = mark.subject if mark is not None else None
    if subject is None or directory.is_let_in(settings, subject):  # under another name, say
        return subject is not None
    today = datetime.now(settings.zone).date()
    with access.system_session("sign-in", door="sign-in") as session:
        mark = mapping.mark_of_user(session, directory.SOURCE, username)
        mapping.shut_out(session, mark, today=today, why="not found at the sign-in")
        return True


def _by_our_own(settings, username, password, address, device):
    user_id = security.authenticate(username, password, address=address, device=device)
    if user_id is None or not settings.has_outer_door:
        return user_id
    with access.system_session("sign-in", door="sign-in") as session:
        if not security.is_break_glass(session, user_id):
            return user_id if settings.LOCAL_SIGN_IN else None
        session.info["on_behalf_of"] = user_id
        security.note(session, user_id, "break-glass", address=address)
    return user_id
