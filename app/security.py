"""Accounts: who may sign in, with which password and roles. Loads a person before any principal stands.

Everything here works in short system sessions of its own or in a session it is given; it never touches a request.
"""

import hashlib
import re
import secrets
from datetime import UTC, datetime
from functools import cache

from flask_appbuilder.security.sqla.models import Permission, PermissionView, Role, User, ViewMenu
from sqlalchemy import bindparam, event, func, inspect, or_, select, update
from werkzeug.security import check_password_hash, generate_password_hash

from app import access, roles
from app.extensions import Session, db
from app.models import (
    ENTITIES,
    RIGHTS_VERSION,
    ComposedRole,
    CustomField,
    Department,
    Deputy,
    Membership,
    Share,
    Staff,
)

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


def load_principal(user_id, *, only=None):
    """The person with this account as a principal, or None when the account is gone or inactive.

    One statement tells who it is and whether anything has changed: the account's and the profile's own columns, and the
    number that goes up with every change of rights. While all that is as it was, and it is the same day, the principal
    is the same object. `only`: the names of the roles that count, where a key carries a part of them.
    """
    with db.engine.connect() as connection:
        asked = {"user_id": user_id}
        row = connection.execute(_person(), asked, execution_options={access.DOOR: True}).first()
    if row is None:
        return None
    found, known = (*row, _today()), _KNOWN.get((user_id, only))
    if known is None or known[0] != found:
        with access.system_session("sign-in", door="sign-in", writes=False) as session:
            known = _KNOWN[user_id, only] = (found, _principal(session, user_id, row, only))
    return known[1]


_KNOWN = {}  # account and its part -> (what its statement said, the principal made of it)
_ZONE = {"zone": UTC}  # the firm's, in which days begin: set at start


def use_zone(zone):
    """On whose clock deputies and shares begin and end."""
    _ZONE["zone"] = zone


def _today():
    return datetime.now(_ZONE["zone"]).date()


@cache
def _person():
    """Built once mappers stand: FAB adds to a user's columns late."""
    return (
        select(
            User.password,
            User.username,
            Staff.name,
            Staff.job_title,
            Staff.department_id,
            Staff.language,
            Staff.version,
            select(RIGHTS_VERSION.c.number).scalar_subquery(),
            _fields("count", CustomField.id),
            _fields("sum", CustomField.version),
            _fields("max", CustomField.updated_at),
        )
        .select_from(User)
        .outerjoin(Staff, Staff.id == User.id)
        .where(User.id == bindparam("user_id"), User.active)
    )


def _fields(said, column):
    """What is said of all custom fields together: it is another after each change of one."""
    return select(getattr(func, said)(column)).scalar_subquery()


def _principal(session, user_id, row, only=None):
    password_hash, username, name, title, department_id, language, *_ = row
    tree, composed, today = _tree(session), composed_roles(session), _today()
    persons = {user_id: None}
    if only is None:
        persons |= {owner_id: ends_on for owner_id, ends_on in _stood_in_for(session, user_id, today)}
    grants = access.held(
        roles.EVERYONE, person_id=user_id, department_id=department_id, below=under(tree, department_id)
    )
    names, departments = [], {department_id}
    for owner_id, role, its_department in _memberships(session, persons):
        if only is not None and role not in only:
            continue
        via = access.Via(role, its_department, None if owner_id == user_id else owner_id, persons[owner_id])
        grants += access.held(
            roles.grants_of(role, composed),
            person_id=owner_id,
            department_id=its_department,
            below=under(tree, its_department),
            via=via,
        )
        names.append(role)
        departments.add(its_department)
    departments = frozenset(departments - {None})
    return access.Principal(
        id=user_id,
        username=username,
        name=name or username,
        title=title or "",
        department_id=department_id,
        departments=departments,
        below=frozenset(key for one in departments for key in under(tree, one)),
        persons=tuple(persons),
        roles=tuple(dict.fromkeys(names)),
        language=language or "en",
        stamp=_stamp(password_hash),
        grants=tuple(dict.fromkeys(grants)),
        shared=_shared(session, tuple(persons), departments, today),
        today=today,
        custom_fields=tuple(row[-3:]),
    )


def _memberships(session, persons):
    """(person, role, department) of what these persons hold, their own first."""
    found = session.execute(
        select(Membership.owner_id, Membership.role, Membership.department_id)
        .where(Membership.owner_id.in_(persons))
        .order_by(Membership.id)
    )
    order = list(persons)
    return sorted(found, key=lambda row: order.index(row.owner_id))


def _stood_in_for(session, user_id, today):
    """(person, last day) of those whom this one stands in for on a day. What they hold as deputies is not passed on."""
    return session.execute(
        select(Deputy.owner_id, func.max(Deputy.ends_on))
        .join(User, User.id == Deputy.owner_id)
        .where(Deputy.deputy_id == user_id, Deputy.starts_on <= today, Deputy.ends_on >= today)
        .group_by(Deputy.owner_id)
        .order_by(Deputy.owner_id)
    ).all()


def _shared(session, persons, departments, today):
    """(verb, entity) of what is shared with these persons or departments on a day."""
    to_them = or_(Share.to_staff_id.in_(persons), Share.to_department_id.in_(sorted(departments)))
    is_open = or_(Share.until_on.is_(None), Share.until_on >= today)
    found = session.execute(select(Share.entity, Share.may).where(to_them, is_open).distinct())
    return frozenset((verb, entity) for entity, may in found for verb in ({"see", may}))


def composed_roles(session):
    """The firm's own roles: name -> grants."""
    return {
        role.name: tuple(grant_from(said) for said in role.grants)
        for role in session.scalars(select(ComposedRole))
    }


def grant_from(said):
    """A grant as a composed role keeps it: verbs and fields that are none any more are left out."""
    entity = said["entity"]
    fields = set(access.hideable(ENTITIES[entity])) if entity in ENTITIES else set()
    return roles.Grant(
        entity,
        tuple(verb for verb in roles.VERBS.get(entity, ()) if verb in said["verbs"]),
        said["reach"],
        said.get("condition"),
        tuple(sorted(fields.intersection(said.get("hidden", ())))),
        tuple(sorted(fields.intersection(said.get("read_only", ())))),
    )


# What tells of rights: any change of it makes every principal anew.
_OF_RIGHTS = (Membership, Deputy, Share, ComposedRole, Department)


@event.listens_for(Session, "after_flush")
def _rights_have_changed(session, _context):
    if any(isinstance(row, _OF_RIGHTS) for row in (*session.new, *session.dirty, *session.deleted)):
        rights_changed(session)


def rights_changed(session):
    """Say that principals made before this transaction no longer count."""
    raised = update(RIGHTS_VERSION).values(number=RIGHTS_VERSION.c.number + 1)
    session.connection().execute(raised, execution_options={access.DOOR: True})


@event.listens_for(Session, "before_flush")
def _memberships_move_along(session, _context, _instances):
    """Who changes his department takes along what he held in the old one; what he holds elsewhere stays."""
    for row in session.dirty:
        if not isinstance(row, Staff):
            continue
        moved = inspect(row).attrs.department_id.history
        if not (moved.added and moved.deleted):
            continue
        held = select(Membership).where(Membership.owner_id == row.id)
        with session.no_autoflush:
            rows = session.scalars(held).all()
        taken = {(one.role, one.source) for one in rows if one.department_id == row.department_id}
        for one in rows:
            if one.department_id != moved.deleted[0]:
                continue
            if (one.role, one.source) in taken:
                session.delete(one)
            else:
                one.department_id = row.department_id


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
        grants = (*roles.EVERYONE, *roles.grants_of(name))
        wanted = {pairs[verb, grant.entity] for grant in grants for verb in grant.verbs}
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
    )
    session.add(user)
    session.flush()
    name = " ".join(part for part in (first_name, last_name) if part)
    staff = Staff(id=user.id, name=name, department_id=department_id, **profile)
    session.add(staff)
    session.flush()
    set_roles(session, user_id=user.id, names=roles)
    return staff


def set_roles(session, user_id, names, *, department_id=None, source="local"):
    """Let the person hold exactly these roles in a department (his own, unless said), as far as `source` gave them.

    What another source gave stays as it is. Raises LookupError for a role that there is not.
    """
    known = {*roles.ROLES, *session.scalars(select(ComposedRole.name))}
    if missing := set(names) - known:
        raise LookupError(f"no such role: {', '.join(sorted(missing))}")
    department_id = department_id or session.get(Staff, user_id).department_id
    held = {
        one.role: one
        for one in session.scalars(
            select(Membership).filter_by(owner_id=user_id, department_id=department_id, source=source)
        )
    }
    for name in sorted(set(held) - set(names)):
        session.delete(held[name])
    for name in names:
        if name not in held:
            session.add(Membership(owner_id=user_id, department_id=department_id, role=name, source=source))
            held[name] = None
    session.flush()


def roles_of(session, user_id):
    """The names of the roles that the person holds in his own department, in order."""
    own = select(Staff.department_id).where(Staff.id == user_id).scalar_subquery()
    held = select(Membership.role).where(Membership.owner_id == user_id, Membership.department_id == own)
    return list(session.scalars(held.order_by(Membership.role).distinct()))


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


def _tree(session):
    """Department -> those right below it."""
    children = {}
    for key, parent_id in session.execute(select(Department.id, Department.parent_id)):
        children.setdefault(parent_id, []).append(key)
    return children


def under(tree, department_id):
    """The department and all below it. A loop in the tree ends where it began."""
    if department_id is None:
        return frozenset()
    found, stack = set(), [department_id]
    while stack:
        key = stack.pop()
        if key not in found:
            found.add(key)
            stack.extend(tree.get(key, ()))
    return frozenset(found)


def _named(session, model, name):
    row = session.scalars(select(model).where(model.name == name)).first()
    if row is None:
        row = model(name=name)
        session.add(row)
        session.flush()
    return row
