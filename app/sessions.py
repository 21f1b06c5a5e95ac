"""Sessions: who is signed in where. They stand in the database; the cookie or token holds a random id and no more.

A session ends when its row goes: at sign-out, by its owner or IT, and whenever password, roles or the right to sign in
change, on whatever path (`_end_with_what_changed` listens on every flush). What changes these past the ORM does not
match the session's stamp any more, which ends it just as well. Idle and absolute limits hold as they are set now.
"""

import hashlib
import re
import secrets
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import NamedTuple

from sqlalchemy import bindparam, delete, event, func, insert, inspect, select, update
from sqlalchemy.exc import OperationalError

from app import access, bell, security, throttle
from app.extensions import SQLITE_HABITS, Session, db, for_one_question
from app.models import Account, LoginSession, Membership, OldPassword
from app.security import User

SEEN_EVERY = timedelta(minutes=1)  # "last seen" is no more exact than that
UNFINISHED = timedelta(minutes=10)  # a sign-in that still waits for something


class Login(NamedTuple):
    """The session that a request came with."""

    id: int
    user_id: int
    kind: str
    method: str
    waits_for: str | None
    second_factor_at: datetime | None
    stamp: str
    created_at: datetime
    seen_at: datetime
    must_change: bool | None
    password_at: datetime | None
    unread: int  # what the bell has to tell
    has_password: bool  # one that is kept here: a directory's people have none


# --------------------------------------------------------------------------------------------- asking


def find(token, kind, settings):
    """(principal, login) of a living session with this id, or (None, None). One statement, by an index."""
    if not token or not security.is_storable(token):
        return None, None
    with for_one_question(db.engine).connect() as connection:
        asked = {"token_hash": _hash(token)}
        row = connection.execute(_by_token(), asked, execution_options={access.DOOR: True}).first()
    if row is None:
        return None, None
    login = Login(*row[1 - len(Login._fields) :], has_password=bool(row.password))
    principal = security.principal_from(login.user_id, row)
    is_alive = login.kind == kind and login.stamp == principal.stamp and not _is_over(login, settings)
    return (principal, login) if is_alive else (None, None)


@cache
def _by_token():
    columns = [getattr(LoginSession, name) for name in Login._fields[:-4]]
    stands_since = func.coalesce(Account.password_at, User.created_on).label("password_at")
    found = security.person(*columns, Account.must_change, stands_since, bell.unread_of(User.id))
    found = found.join(LoginSession, LoginSession.user_id == User.id)
    found = found.outerjoin(Account, Account.user_id == User.id)
    return found.where(LoginSession.token_hash == bindparam("token_hash"))


def _is_over(login, settings):
    now = datetime.now(UTC)
    idle, whole = limits(settings)
    if login.waits_for is not None and now - login.created_at > UNFINISHED:
        return True
    return now - login.seen_at > idle or now - login.created_at > whole


def limits(settings):
    """(how long a session may lie idle, how long it may last at all)."""
    return timedelta(minutes=settings.SESSION_IDLE_MINUTES), timedelta(hours=settings.SESSION_HOURS)


def of(session, user_id, settings):
    """The living sessions of a person, the one last seen first."""
    now = datetime.now(UTC)
    idle, whole = limits(settings)
    alive = (LoginSession.seen_at > now - idle, LoginSession.created_at > now - whole)
    mine = select(LoginSession).where(
        LoginSession.user_id == user_id, LoginSession.waits_for.is_(None), *alive
    )
    return session.scalars(mine.order_by(LoginSession.seen_at.desc(), LoginSession.id.desc())).all()


def must_change_password(login, settings):
    """Whether this person has to set a new password before anything else. Only those who have one of ours."""
    if not login.has_password:
        return False
    if login.must_change:
        return True
    if not settings.PASSWORD_DAYS or login.password_at is None:
        return False
    at = login.password_at if login.password_at.tzinfo else login.password_at.replace(tzinfo=UTC)
    return datetime.now(UTC) - at > timedelta(days=settings.PASSWORD_DAYS)


# --------------------------------------------------------------------------------------------- beginning


def begin(
    user_id,
    *,
    kind,
    method,
    address,
    device,
    place=None,
    waits_for=None,
    replacing=None,
    second_factor=False,
    is_renewal=False,
):
    """A new session for this account; returns its id, which stands nowhere else. `replacing` is one that it takes over.

    `device` is the browser in words, `place` what its device cookie holds. A session that `waits_for` something opens
    nothing until `finish` is called.
    """
    principal = security.load_principal(user_id)
    token, now = secrets.token_urlsafe(32), datetime.now(UTC)
    with access.system_session("sign-in", door="sign-in") as session:
        session.info["on_behalf_of"] = user_id
        if replacing:
            session.execute(delete(LoginSession).where(LoginSession.token_hash == _hash(replacing)))
        session.add(
            LoginSession(
                token_hash=_hash(token),
                user_id=user_id,
                kind=kind,
                method=method,
                waits_for=waits_for,
                second_factor_at=now if second_factor else None,
                stamp=principal.stamp,
                created_at=now,
                seen_at=now,
                address=address[:45],
                device=device[:120],
            )
        )
        if waits_for is None and not is_renewal:
            _came_in(session, user_id, method, address, device, place)
    return token


def finish(token, *, address, device, place=None):
    """What this session waited for is done (the second factor); returns its new id: the old one opens nothing more."""
    fresh, now = secrets.token_urlsafe(32), datetime.now(UTC)
    with access.system_session("sign-in", door="sign-in") as session:
        waiting = (LoginSession.token_hash == _hash(token), LoginSession.waits_for.is_not(None))
        row = session.scalars(select(LoginSession).where(*waiting)).one()
        session.info["on_behalf_of"] = row.user_id
        row.token_hash, row.waits_for, row.second_factor_at = _hash(fresh), None, now
        row.created_at = row.seen_at = now
        _came_in(session, row.user_id, row.method, address, device, place)
    return fresh


def _came_in(session, user_id, method, address, device, place):
    user = session.get(User, user_id)
    user.last_login = datetime.now(UTC).replace(tzinfo=None)
    user.login_count = (user.login_count or 0) + 1
    throttle.remember(session, user_id, address, place)
    security.note(session, user_id, "signed in", address=address, device=device, method=method)


def touch(app, login):
    """Write down that this session was used; skipped while somebody else writes. Call it outside of any transaction."""
    with app.app_context(), db.engine.connect().execution_options(**{access.DOOR: True}) as connection:
        is_sqlite = connection.dialect.name == "sqlite"
        if is_sqlite:
            connection.exec_driver_sql("PRAGMA busy_timeout=50")
        try:
            now = datetime.now(UTC)
            seen = update(LoginSession).where(
                LoginSession.id == login.id, LoginSession.seen_at < now - SEEN_EVERY
            )
            connection.execute(seen.values(seen_at=now))
            connection.commit()
        except OperationalError as error:
            connection.rollback()
            if "locked" not in str(error.orig):  # the next page says it again
                raise
        finally:
            if is_sqlite:
                patience = next(habit for habit in SQLITE_HABITS if habit.startswith("busy_timeout"))
                connection.exec_driver_sql(f"PRAGMA {patience}")


def is_due(login):
    """Whether `touch` has something to write."""
    return datetime.now(UTC) - login.seen_at > SEEN_EVERY


# --------------------------------------------------------------------------------------------- ending


def end(session, user_id, why, *, only=None, but=None):
    """End an account's sessions in this transaction: all, `only` that with this id, or all `but` one.

    The one place where sessions end; returns how many did. Call it for whatever else takes a sign-in's ground away.
    """
    these = delete(LoginSession.__table__).where(LoginSession.__table__.c.user_id == user_id)
    if only is not None:
        these = these.where(LoginSession.__table__.c.id == only)
    if but is not None:
        these = these.where(LoginSession.__table__.c.id != but)
    ended = session.connection().execute(these, execution_options={access.DOOR: True}).rowcount
    if ended:
        kind = "signed out" if why == "signed out" else "sessions ended"
        security.note(session, user_id, kind, sessions=ended, why=why)
    return ended


def forget_old(session, now, settings):
    """Drop the sessions that have run out; called once a day."""
    idle, whole = limits(settings)
    over = (LoginSession.seen_at < now - idle) | (LoginSession.created_at < now - whole)
    session.execute(delete(LoginSession).where(over))


@event.listens_for(Session, "before_flush")
def _keep_the_old_password(session, _context, _instances):
    for user in session.dirty:
        if isinstance(user, User) and inspect(user).attrs.password.history.has_changes():
            table = User.__table__
            before = select(table.c.password).where(table.c.id == user.id)
            old = session.connection().execute(before, execution_options={access.DOOR: True}).scalar()
            if old:
                kept = insert(OldPassword.__table__).values(
                    user_id=user.id, password=old, at=datetime.now(UTC)
                )
                session.connection().execute(kept, execution_options={access.DOOR: True})


@event.listens_for(Session, "after_flush")
def _end_with_what_changed(session, _context):
    """Another password, other roles, no right to sign in: sessions end, and the account's log says so."""
    for user in session.new:
        if isinstance(user, User):
            security.note(session, user.id, "account made")
            if user.password:
                _stands_since_now(session, user.id)
    for user in session.dirty:
        if isinstance(user, User):
            _end_for(session, user)
    for user_id, (given, taken) in _other_roles(session).items():
        security.note(session, user_id, "roles changed", given=sorted(given), taken=sorted(taken))
        end(session, user_id, "roles")


def _end_for(session, user):
    changed = [name for name in ("password", "active") if inspect(user).attrs[name].history.has_changes()]
    if "password" in changed:
        _stands_since_now(session, user.id)
        security.note(session, user.id, session.info.get("password deed") or _whose_deed(session, user.id))
    if "active" in changed:
        security.note(session, user.id, "let in" if user.active else "shut out")
    if changed:
        end(session, user.id, " ".join(changed))


def _other_roles(session):
    """Account -> (roles given, roles taken) in this flush. Who only moves to another department keeps his."""
    changed = defaultdict(lambda: (set(), set()))
    for row in session.new:
        if isinstance(row, Membership):
            changed[row.owner_id][0].add(row.role)
    for row in session.deleted:
        if isinstance(row, Membership):
            changed[row.owner_id][1].add(row.role)
    for row in session.dirty:
        if isinstance(row, Membership) and row not in session.deleted:
            role = inspect(row).attrs.role.history
            if role.has_changes():
                changed[row.owner_id][0].add(row.role)
                changed[row.owner_id][1].update(role.deleted)
    return changed


def _whose_deed(session, user_id):
    by = session.info.get("on_behalf_of", access.principal_of(session).id)
    return "password changed" if by == user_id else "password set"


def _stands_since_now(session, user_id):
    security.set_account(session, user_id, password_at=datetime.now(UTC), must_change=False)


def _hash(token):
    return hashlib.sha256(token.encode()).hexdigest()


# --------------------------------------------------------------------------------------------- devices

_BROWSERS = (
    ("Edg", "Edge"),
    ("OPR", "Opera"),
    ("SamsungBrowser", "Samsung Internet"),
    ("Firefox|FxiOS", "Firefox"),
    ("Chrome|CriOS", "Chrome"),
    ("Safari", "Safari"),
    ("curl", "curl"),
    ("python|Python", "Python"),
)
_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("CrOS", "ChromeOS"),
    ("Mac OS X|Macintosh", "Mac"),
    ("Linux", "Linux"),
)


def in_words(user_agent):
    """A browser as people know it, from what it says of itself: "Firefox, Windows". Empty when it says nothing."""
    browser = next((name for sign, name in _BROWSERS if re.search(sign, user_agent)), "")
    system = next((name for sign, name in _SYSTEMS if re.search(sign, user_agent)), "")
    return ", ".join(part for part in (browser, system) if part) or re.sub(r"[^ -~]", "", user_agent)[:40]
