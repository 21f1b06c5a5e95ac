"""Accounts: who may sign in, with which password and roles. Loads a person before any principal stands.

Everything here works in short system sessions of its own or in a session it is given; it never touches a request.
"""

import hashlib
import re
import secrets
from datetime import UTC, datetime
from functools import cache

from flask_appbuilder.security.sqla.models import Permission, PermissionView, Role, User, ViewMenu
from sqlalchemy import bindparam, func, select
from werkzeug.security import check_password_hash, generate_password_hash

from app import access, roles
from app.models import Department, Staff

DEMO_USERNAMES = (
    "admin",
    "director",
    "head.sales",
    "rep.north",
    "rep.south",
    "head.support",
    "agent",
    "marketer",
    "finance",
)
DEMO_PASSWORD = "demo"
SHORTEST_PASSWORD = 8  # for all but the demo's

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")

# Checked when the name is unknown, so that the answer takes as long as for a known one.
_NOBODY = generate_password_hash(secrets.token_hex())


def load_principal(user_id):
    """The person with this account as a principal, or None when the account is gone or inactive.

    One statement tells who it is and whether anything of it has changed: the account's and the profile's own columns,
    the roles, and how the tree of departments stands. While all that is as it was, the principal is the same object.
    """
    with access.system_session("sign-in", door="sign-in", writes=False) as session:
        rows = session.execute(_person(), {"user_id": user_id}).all()
        if not rows:
            return None
        found = tuple(sorted(tuple(row) for row in rows))
        known = _KNOWN.get(user_id)
        if known is None or known[0] != found:
            known = _KNOWN[user_id] = (found, _principal(session, user_id, rows))
        return known[1]


_KNOWN = {}  # account -> (what its statement said, the principal made of it); as many as there are accounts


@cache
def _person():
    """Built once mappers stand: FAB adds a user's roles to its class late."""
    return (
        select(
            func.coalesce(Role.name, ""),
            User.password,
            User.username,
            Staff.name,
            Staff.job_title,
            Staff.department_id,
            Staff.language,
            Staff.version,
            select(func.count(Department.id)).scalar_subquery(),
            select(func.max(Department.updated_at)).scalar_subquery(),
        )
        .select_from(User)
        .outerjoin(Staff, Staff.id == User.id)
        .outerjoin(User.roles)
        .where(User.id == bindparam("user_id"), User.active)
    )


def _principal(session, user_id, rows):
    _, password_hash, username, name, title, department_id, language, *_ = rows[0]
    names = tuple(sorted(role for role, *_ in rows if role))
    return access.Principal(
        id=user_id,
        username=username,
        name=name or username,
        title=title or "",
        department_id=department_id,
        below=_below(session, department_id),
        roles=names,
        language=language or "en",
        stamp=_stamp(password_hash),
        grants=roles.grants_of(names),
    )


def authenticate(username, password):
    """The id of the active account with this name (or mail address) and password, or None.

    Names known and unknown take the same time; the hash is computed outside any transaction.
    """
    if not (is_storable(username) and is_storable(password)):
        return None
    with access.system_session("sign-in", door="sign-in", writes=False) as session:
        by_name = select(User).where((User.username == username) | (User.email == username))
        user = session.scalars(by_name.order_by(User.username != username)).first()
        known = (
            (user.id, user.password)
            if user is not None and user.active and user.password
            else (None, _NOBODY)
        )
    user_id, password_hash = known
    is_right = check_password_hash(password_hash, password)
    if user_id is None:
        return None
    with access.system_session("sign-in", door="sign-in") as session:
        user = session.get(User, user_id)
        if is_right:
            user.last_login = datetime.now(UTC).replace(tzinfo=None)
            user.login_count, user.fail_login_count = (user.login_count or 0) + 1, 0
        else:
            user.fail_login_count = (user.fail_login_count or 0) + 1
    return user_id if is_right else None


def address_of(user_id):
    """The mail address of an active account, or None."""
    with access.system_session("mail", door="sign-in", writes=False) as session:
        user = session.get(User, user_id)
        return user.email if user is not None and user.active else None


def is_storable(text):
    """Whether a database can keep this text: no NUL, no half of a surrogate pair."""
    return _UNSTORABLE.search(text) is None


def sync_roles(session):
    """Write the table of roles into FAB's own: roles, permissions, and which role has which. Idempotent."""
    for name in roles.ROLES:
        if session.scalar(select(Role).where(Role.name == name)) is None:
            session.add(Role(name=name))
    session.flush()
    pairs = {}
    for entity, verbs in roles.VERBS.items():
        view = _named(session, ViewMenu, entity)
        for verb in verbs:
            permission = _named(session, Permission, f"can_{verb}")
            where = {"permission_id": permission.id, "view_menu_id": view.id}
            pair = session.scalars(select(PermissionView).filter_by(**where)).first()
            if pair is None:
                pair = PermissionView(**where)
                session.add(pair)
            pairs[verb, entity] = pair
    session.flush()
    for name in roles.ROLES:
        role = session.scalars(select(Role).where(Role.name == name)).one()
        wanted = {pairs[verb, grant.entity] for grant in roles.grants_of([name]) for verb in grant.verbs}
        if set(role.permissions) != wanted:
            role.permissions = sorted(wanted, key=lambda pair: pair.id)


def create_account(
    session,
    *,
    username,
    first_name,
    last_name,
    email,
    department_id,
    roles,
    password=None,
    active=True,
    **profile,
):
    """A new account with its staff profile, in the given session. Without a password nobody can sign in with it."""
    user = User(
        username=username,
        first_name=first_name,
        last_name=last_name,
        email=email,
        active=active,
        password=generate_password_hash(password) if password else None,
        roles=_roles(session, roles),
    )
    session.add(user)
    session.flush()
    name = " ".join(part for part in (first_name, last_name) if part)
    staff = Staff(id=user.id, name=name, department_id=department_id, **profile)
    session.add(staff)
    session.flush()
    return staff


def set_roles(session, user_id, names):
    """Give the account exactly these roles."""
    session.get(User, user_id).roles = _roles(session, names)


def set_password(session, user_id, password):
    session.get(User, user_id).password = generate_password_hash(password)


def set_active(session, user_id, active, *, today):
    """Let the account sign in, or no longer; who is shut out has left on that day."""
    session.get(User, user_id).active = active
    staff = session.get(Staff, user_id)
    if staff is not None:
        staff.left_on = None if active else staff.left_on or today


def create_first_admin(session):
    """Where nobody can sign in: one account with a random password, as (name, password); otherwise None.

    Nobody can also mean that an import brought colleagues of old, who have accounts but no way in.
    """
    may_enter = select(User.id).where(User.active, User.password.is_not(None)).limit(1)
    if session.scalar(may_enter) is not None:
        return None
    taken = set(session.scalars(select(User.username)))
    username = next(name for name in ("admin", "administrator", "foyer.admin") if name not in taken)
    password = secrets.token_urlsafe(12)
    department = session.scalars(select(Department).order_by(Department.id)).first()
    create_account(
        session,
        username=username,
        first_name="",
        last_name="Administrator",
        email=f"{username}@localhost",
        department_id=department.id,
        roles=["admin"],
        password=password,
    )
    return username, password


def has_demo_accounts(session):
    """Whether an account stands open with the password that everybody knows."""
    users = session.scalars(select(User).where(User.username.in_(DEMO_USERNAMES), User.active)).all()
    return any(user.password and check_password_hash(user.password, DEMO_PASSWORD) for user in users)


def _stamp(password_hash):
    """What a session or token carries of the password it was begun with: another password, and it is over."""
    return hashlib.sha256((password_hash or "").encode()).hexdigest()[:16]


def _below(session, department_id):
    """The department and all below it. A loop in the tree ends where it began."""
    if department_id is None:
        return frozenset()
    children = {}
    for key, parent_id in session.execute(select(Department.id, Department.parent_id)):
        children.setdefault(parent_id, []).append(key)
    found, stack = set(), [department_id]
    while stack:
        key = stack.pop()
        if key not in found:
            found.add(key)
            stack.extend(children.get(key, ()))
    return frozenset(found)


def _roles(session, names):
    found = session.scalars(select(Role).where(Role.name.in_(names))).all()
    missing = set(names) - {role.name for role in found}
    if missing:
        raise LookupError(f"no such role: {', '.join(sorted(missing))}")
    return list(found)


def _named(session, model, name):
    row = session.scalars(select(model).where(model.name == name)).first()
    if row is None:
        row = model(name=name)
        session.add(row)
        session.flush()
    return row
