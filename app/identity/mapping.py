"""Groups of a directory become roles and a department here, by the table that IT keeps on its page.

What an account has from a directory is marked as such; what was given by hand is never taken away.
"""

from datetime import UTC, datetime
from typing import NamedTuple

from flask_appbuilder.security.sqla.models import User
from sqlalchemy import func, select

from app import security
from app.models import ExternalAccount, GroupMapping, Membership, Staff

EVERYBODY = "*"


class Person(NamedTuple):
    """Somebody as a directory or provider tells of him; `subject` never changes, whatever he is called."""

    source: str
    issuer: str
    subject: str
    username: str
    email: str
    first_name: str
    last_name: str
    groups: tuple


class Given(NamedTuple):
    """What the mapping makes of somebody's groups: (role, its department or None for his own), and his own."""

    held: frozenset
    department_id: int | None

    @property
    def roles(self):
        return frozenset(role for role, _ in self.held)


def given_to(session, person):
    """The roles and the department that these groups bring. Names are compared without regard to case."""
    names = {EVERYBODY, *(name.casefold() for name in person.groups)}
    names |= {_common_name(name) for name in names}
    rows = session.scalars(
        select(GroupMapping)
        .where(GroupMapping.source == person.source)
        .order_by(GroupMapping.position, GroupMapping.id)
    ).all()
    fitting = [row for row in rows if row.group_name.casefold() in names]
    departments = [row.department_id for row in fitting if row.department_id is not None]
    known = security.role_names(session)
    held = frozenset((row.role, row.department_id) for row in fitting if row.role in known)
    return Given(held, departments[0] if departments else None)


def take_in(session, person, *, adopts_by=None, today):
    """The account of this person, made or brought up to date; None when nothing lets him in.

    `adopts_by` names the column ("username", "email") by which an account that was here before is recognised.
    """
    given, now = given_to(session, person), datetime.now(UTC)
    mark = mark_of(session, person)
    if mark is None:
        user_id = _adopted(session, person, adopts_by)
        department_id = None  # of an account that was here before, people said where it is
        if user_id is None:
            user_id, department_id = _made(session, person, given), given.department_id
        if user_id is None:
            return None
        mark = ExternalAccount(
            user_id=user_id,
            source=person.source,
            issuer=person.issuer,
            subject=person.subject,
            department_id=department_id,
            seen_at=now,
        )
        session.add(mark)
    user = session.get(User, mark.user_id)
    mark.seen_at = now
    _follow_names(session, user, person)
    _follow(session, mark, given)
    if not security.roles_held(session, user.id):
        shut_out(session, mark, today=today, why="no group of his leads here")
        return None
    if not user.active and mark.shut_out_at is not None:  # whom people shut out, stays out
        security.set_active(session, user.id, True, today=today)
        security.note(session, user.id, "opened", source=person.source)
    session.flush()
    return user.id if user.active else None


def shut_out(session, mark, *, today, why):
    """Somebody whom the directory no longer knows, or no longer lets in: his door closes at once, his work waits."""
    user = session.get(User, mark.user_id)
    if user.active and not security.is_break_glass(session, user.id):
        security.set_active(session, user.id, False, today=today, at_once=True)
        mark.shut_out_at = datetime.now(UTC)
        session.flush()
        security.note(session, user.id, "closed", why=why)


def marks_of(session, source, issuer):
    """The accounts that this directory brought."""
    where = (ExternalAccount.source == source, ExternalAccount.issuer == issuer)
    return session.scalars(select(ExternalAccount).where(*where)).all()


def mark_of_user(session, source, username):
    """The mark of the account with this name, if it is this kind of directory's."""
    named = select(ExternalAccount).join(User, User.id == ExternalAccount.user_id)
    return session.scalars(named.where(ExternalAccount.source == source, User.username == username)).first()


def mark_of(session, person):
    """The mark of the account that this person has here, or None."""
    where = {"source": person.source, "issuer": person.issuer, "subject": person.subject}
    return session.scalars(select(ExternalAccount).filter_by(**where)).first()


def _adopted(session, person, column):
    """The account that was here before, if it may be taken over; its password here ends."""
    if column is None:
        return None
    value = getattr(person, column)
    same = func.lower(getattr(User, column)) == value.casefold()
    user = session.scalars(select(User).where(same)).first() if value else None
    if user is None or _is_marked(session, user) or security.is_break_glass(session, user.id):
        return None
    if person.source == "ldap":
        security.drop_password(session, user.id)
    session.flush()
    security.note(session, user.id, "adopted", source=person.source)
    return user.id


def _is_marked(session, user):
    return session.scalars(select(ExternalAccount.id).filter_by(user_id=user.id)).first() is not None


def _made(session, person, given):
    """A new account, if a role and a department wait for it and its names are free."""
    problem = _why_not(session, person, given)
    if problem:
        security.note(session, None, "refused", who=person.username, why=problem)
        return None
    staff = security.create_account(
        session,
        username=person.username,
        first_name=person.first_name,
        last_name=person.last_name or person.username,
        email=person.email,
        department_id=given.department_id,
        roles=[],
    )
    session.flush()
    security.note(session, staff.id, "came in", source=person.source)
    return staff.id


def _why_not(session, person, given):
    if not given.roles:
        return "no group of his leads to a role"
    if given.department_id is None:
        return "no group of his leads to a department"
    if not person.email:
        return "the directory knows no mail address of his"
    for column, value in ((User.username, person.username), (User.email, person.email)):
        if session.scalars(select(User.id).where(func.lower(column) == value.casefold())).first() is not None:
            return f"“{value}” belongs to an account that is here already"
    return None


def _follow(session, mark, given):
    """Give and take what the directory says, and nothing that was given by hand: memberships say where from."""
    _follow_department(session, mark, given)
    own = session.get(Staff, mark.user_id).department_id
    wanted = {}
    for role, department_id in given.held:
        wanted.setdefault(department_id or own, []).append(role)
    before = select(Membership.department_id).filter_by(owner_id=mark.user_id, source=mark.source).distinct()
    for department_id in sorted({*session.scalars(before), *wanted}):
        roles = sorted(wanted.get(department_id, ()))
        security.set_roles(session, mark.user_id, roles, department_id=department_id, source=mark.source)


def _follow_names(session, user, person):
    """A new name or address in the directory is one here, too, unless somebody else has it."""
    for column in ("username", "email"):
        value = getattr(person, column)
        if not value or getattr(user, column) == value or (column == "username" and person.source != "ldap"):
            continue
        same = select(User.id).where(
            func.lower(getattr(User, column)) == value.casefold(), User.id != user.id
        )
        if session.scalars(same).first() is None:
            setattr(user, column, value)


def _follow_department(session, mark, given):
    """Whom the directory has put somewhere, it may move; whom people have moved, stays."""
    staff = session.get(Staff, mark.user_id)
    if given.department_id is not None and staff.department_id == mark.department_id:
        mark.department_id = staff.department_id = given.department_id
        session.flush()


def _common_name(name):
    """The name in a DN: cn=sales,ou=groups,… -> sales; anything else is itself."""
    first = name.partition(",")[0]
    return first.partition("=")[2] if "=" in first and "," in name else name
