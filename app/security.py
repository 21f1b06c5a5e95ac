"""Accounts: who may sign in, with which password and roles. Loads a person before any principal stands.

Everything here works in short system sessions of its own or in a session it is given; it never touches a request.
"""

import hashlib
import re
import secrets
import unicodedata
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache

from flask_appbuilder.security.sqla.models import Permission, PermissionView, Role, User, ViewMenu
from sqlalchemy import bindparam, delete, event, func, insert, inspect, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import aliased
from werkzeug.security import check_password_hash, generate_password_hash

from app import access, in_hand, roles, throttle
from app.extensions import N_, Session, db, for_one_question
from app.models import (
    ENTITIES,
    RIGHTS_VERSION,
    Account,
    AccountEvent,
    BreakGlass,
    ComposedRole,
    CustomField,
    Department,
    Deputy,
    ExternalAccount,
    Membership,
    PasswordLink,
    Preference,
    SavedView,
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
SHORTEST_PASSWORD, LONGEST_PASSWORD = 8, 128  # for all but the demo's

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")

# Checked when the name is unknown, so that the answer takes as long as for a known one.
_NOBODY = generate_password_hash(secrets.token_hex())


def load_principal(user_id, *, only=None):
    """The person with this account as a principal, or None when the account is gone or inactive.

    One statement tells who it is and whether anything has changed: the account's and the profile's own columns, and the
    number that goes up with every change of rights. While all that is as it was, and it is the same day, the principal
    is the same object. `only`: the names of the roles that count, where a key carries a part of them.
    """
    with for_one_question(db.engine).connect() as connection:
        asked = {"user_id": user_id}
        row = connection.execute(_by_id(), asked, execution_options={access.DOOR: True}).first()
    return principal_from(user_id, row, only=only) if row is not None else None


def principal_from(user_id, row, *, only=None):
    """The principal that a row of `person()` speaks of."""
    row = tuple(row[: len(_columns())])
    key = (db.engine.url, user_id, only)
    found, known = (*row, _today()), _KNOWN.get(key)
    if known is None or known[0] != found:
        with access.system_session("sign-in", door="sign-in", writes=False) as session:
            known = _KNOWN[key] = (found, _principal(session, user_id, row, only))
    return known[1]


_KNOWN = {}  # database, account and its part -> (what its statement said, the principal made of it)
_ZONE = {"zone": UTC}  # the firm's, in which days begin: set at start


def use_zone(zone):
    """On whose clock deputies and shares begin and end."""
    _ZONE["zone"] = zone


def _today():
    return datetime.now(_ZONE["zone"]).date()


@cache
def _columns():
    """What tells who somebody is, and whether anything has changed. Built once mappers stand: FAB adds columns late."""
    return (
        User.password,
        User.username,
        Staff.name,
        Staff.job_title,
        Staff.department_id,
        Staff.language,
        Preference.language,
        Preference.theme,
        Preference.density,
        Preference.has_shortcuts,
        Preference.default_views,
        Staff.version,
        select(RIGHTS_VERSION.c.number).scalar_subquery(),
        _fields("count", CustomField.id),
        _fields("sum", CustomField.version),
        _fields("max", CustomField.updated_at),
    )


def person(*more):
    """The statement that tells who it is: active accounts with `_columns()`, and `more` behind them."""
    return (
        select(*_columns(), *more)
        .select_from(User)
        .outerjoin(Staff, Staff.id == User.id)
        .outerjoin(Preference, Preference.user_id == User.id)
        .where(User.active)
    )


@cache
def _by_id():
    return person().where(User.id == bindparam("user_id"))


def _fields(said, column):
    """What is said of all custom fields together: it is another after each change of one."""
    return select(getattr(func, said)(column)).scalar_subquery()


def principal_in(session, user_id, firm=None):
    """The person as this very session has the rows of rights, saved or not; None when he cannot sign in."""
    row = session.execute(_by_id(), {"user_id": user_id}).first()
    return None if row is None else _principal(session, user_id, row, firm=firm)


def everybody(session):
    """Id -> principal of all who can sign in, as this session has the rows of rights."""
    firm = _firm(session)
    ids = session.scalars(select(User.id).join(Staff, Staff.id == User.id).where(User.active).order_by(User.id)).all()
    return {key: principal_in(session, key, firm) for key in ids}


def _firm(session):
    """What all principals are made with: the tree of departments, the firm's own roles, the day."""
    return tree_of(session), composed_roles(session), _today()


def _principal(session, user_id, row, only=None, firm=None):
    password_hash, username, name, title, department_id, language, *likes = row[:11]
    own_language, theme, density, has_shortcuts, default_views = likes
    tree, composed, today = firm or _firm(session)
    acts_for = () if only is not None else tuple(map(tuple, _stood_in_for(session, user_id, today)))
    persons = {user_id: None} | {owner_id: ends_on for owner_id, _, ends_on in acts_for}
    grants = access.held(
        roles.EVERYONE, person_id=user_id, department_id=department_id, below=under(tree, department_id)
    )
    names, departments, own = [], {department_id}, set()
    for owner_id, role, its_department in _memberships(session, persons):
        if owner_id == user_id:
            own.add(role)
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
    principal = access.Principal(
        id=user_id,
        username=username,
        name=name or username,
        title=title or "",
        department_id=department_id,
        departments=departments,
        below=frozenset(key for one in departments for key in under(tree, one)),
        persons=tuple(persons),
        roles=tuple(dict.fromkeys(names)),
        language=own_language or language or "en",
        chosen_language=own_language or "",
        theme=theme or "auto",
        density=density or "roomy",
        has_shortcuts=has_shortcuts is not False,
        default_views=default_views or {},
        stamp=_stamp(password_hash, own),
        grants=tuple(dict.fromkeys(grants)),
        shared=_shared(session, tuple(persons), departments, today),
        today=today,
        acts_for=acts_for,
        custom_fields=tuple(row[-3:]),
    )
    return replace(principal, gives=_gives(principal, tree, composed))


def _gives(principal, tree, composed):
    """(department, roles) that he may let others hold there: those of which he holds all himself."""
    near = principal.arranges("membership")
    if near == frozenset() or principal.may("edit", "account"):
        return ()
    own, found = principal.own_grants, []
    for key in sorted(set(_keys(tree)) if near is None else near):
        names = [
            name
            for name in (*roles.ROLES, *composed)
            if access.covers(
                own,
                access.held(
                    roles.grants_of(name, composed), person_id=None, department_id=key, below=under(tree, key)
                ),
            )
        ]
        found.append((key, tuple(names)))
    return tuple(found)


def _keys(tree):
    return [key for children in tree.values() for key in children]


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
    """(person, name, last day) of those for whom this one acts. What they hold as deputies is not passed on."""
    return session.execute(
        select(Deputy.owner_id, Staff.name, func.max(Deputy.ends_on))
        .join(Staff, Staff.id == Deputy.owner_id)
        .where(Deputy.deputy_id == user_id, Deputy.starts_on <= today, Deputy.ends_on >= today)
        .group_by(Deputy.owner_id, Staff.name)
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


# What tells of rights, and what principals keep at hand: any change of it makes every principal anew.
OF_RIGHTS = (Membership, Deputy, Share, ComposedRole, Department, SavedView)


@event.listens_for(Session, "after_flush")
def _rights_have_changed(session, _context):
    if any(isinstance(row, OF_RIGHTS) for row in (*session.new, *session.dirty, *session.deleted)):
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


def authenticate(username, password, *, address, device=None):
    """The id of the active account with this name (or mail address) and password, or None.

    Counted before it is looked at; over the limit it raises `throttle.TooMany`. Names known and unknown take the same
    time and the same writing; the hash is computed outside any transaction.
    """
    if not (is_storable(username) and is_storable(password)) or len(password) > 8 * LONGEST_PASSWORD:
        return None
    with throttle.in_line():
        user_id, password_hash = _credentials(username)
        account = username if user_id is None else user_id
        if (seconds := throttle.ask("password", account, address, device)) is not None:
            _note_guessing(user_id, address)
            raise throttle.TooMany(seconds)
        is_right = is_hash_of(password_hash or _NOBODY, password)
        if not is_right or password_hash is None:
            return None
        throttle.passed("password", user_id, address, device)
        return user_id


def is_own_password(user_id, password, *, address, device=None):
    """Whether this is the person's password, asked again before something weighty; counted like a sign-in."""
    with access.system_session("sign-in", door="sign-in", writes=False) as session:
        username = session.get(User, user_id).username
    return authenticate(username, password, address=address, device=device) == user_id


def _credentials(username):
    """(id, hash) of the account with this name or mail address; without a hash where nobody can sign in with it."""
    with access.system_session("sign-in", door="sign-in", writes=False) as session:
        by_name = select(User).where((User.username == username) | (User.email == username))
        user = session.scalars(by_name.order_by(User.username != username)).first()
        if user is None:
            return None, None
        return user.id, (user.password or None) if user.active else None


def _note_guessing(user_id, address):
    """Somebody was sent away at this account: told once a window, or a flood would fill the log."""
    since, owner = datetime.now(UTC) - throttle.WINDOW, throttle.NOBODY if user_id is None else user_id
    told = select(AccountEvent.id).where(
        AccountEvent.user_id == owner, AccountEvent.kind == "too many guesses", AccountEvent.at > since
    )
    with access.system_session("throttle", door="sign-in", writes=False) as session:
        if session.scalar(told.limit(1)) is not None or user_id is None:
            return
    with access.system_session("throttle", door="sign-in") as session:
        note(session, user_id, "too many guesses", address=address)


def normal(password):
    """A password as it is hashed: NFC, any kind of blank a plain one (RFC 8265, OpaqueString).

    The same word typed on a Mac, a phone and a PC would otherwise be three passwords.
    """
    text = "".join(" " if unicodedata.category(one) == "Zs" else one for one in password)
    return unicodedata.normalize("NFC", text)


def hashed(password):
    """The hash that is kept of a password."""
    return generate_password_hash(normal(password))


def is_hash_of(kept, password):
    """Whether this hash was kept of this password; computed in line with all others, for it takes its time."""
    return throttle.compute(check_password_hash, kept, normal(password))


# What can happen at the ways in beside the password: those who hold the accounts see it all on one page.
WAYS_IN = {
    "break-glass": N_("Signed in with a break-glass account"),
    "came in": N_("Account made at the first sign-in from a directory"),
    "adopted": N_("Account taken over by a directory"),
    "closed": N_("Closed: the directory lets this person in no longer"),
    "opened": N_("Open again: the directory lets this person in"),
    "refused": N_("Known to a directory, but not let in"),
    "second factor": N_("Second factor set up"),
    "second factor off": N_("Second factor given up"),
    "second factor reset": N_("Second factor reset"),
    "recovery code": N_("A recovery code was used"),
    "recovery codes": N_("New recovery codes"),
    "security key": N_("Security key added"),
    "security key off": N_("Security key removed"),
    "security key copied": N_("Security key refused: it may have been copied"),
    "api key": N_("API key made"),
    "api key off": N_("API key ended"),
    "marked": N_("Marked as a break-glass account"),
    "unmarked": N_("No longer a break-glass account"),
}
# What can happen to an account, as its holder and IT read it.
EVENTS = WAYS_IN | {
    "signed in": N_("Signed in"),
    "signed out": N_("Signed out"),
    "too many guesses": N_("Too many wrong guesses; further ones were sent away"),
    "password changed": N_("New password, set by the person"),
    "password set": N_("New password, set by somebody else"),
    "password reset": N_("New password, set with a mailed link"),
    "reset asked": N_("Asked for a mailed link to set a new password"),
    "sessions ended": N_("Sessions ended"),
    "roles changed": N_("Other roles"),
    "shut out": N_("May no longer sign in"),
    "let in": N_("May sign in again"),
    "account made": N_("Account made"),
}


def note(session, user_id, kind, *, address=None, device=None, **details):
    """Write down what happened to an account, in this transaction. Never a secret, not even its hash."""
    assert kind in EVENTS, kind
    statement = insert(AccountEvent.__table__).values(
        at=datetime.now(UTC),
        user_id=user_id,
        kind=kind,
        by_id=session.info.get("on_behalf_of", access.principal_of(session).id),
        door=session.info["door"],
        address=address,
        device=device,
        details=details,
    )
    session.connection().execute(statement, execution_options={access.DOOR: True})


def events_of(session, user_id, most):
    """The newest events of an account, each with the name of whoever did it (None: the system)."""
    doer = aliased(User)
    newest = (
        select(AccountEvent, doer.username)
        .outerjoin(doer, doer.id == AccountEvent.by_id)
        .where(AccountEvent.user_id == user_id)
        .order_by(AccountEvent.id.desc())
    )
    return session.execute(newest.limit(most)).all()


def events_of_kinds(session, kinds, most):
    """The newest events of these kinds, of all accounts, like `events_of`; with the account's name for its doer."""
    of_whom = aliased(User)
    newest = (
        select(AccountEvent, of_whom.username)
        .outerjoin(of_whom, of_whom.id == AccountEvent.user_id)
        .where(AccountEvent.kind.in_(kinds))
        .order_by(AccountEvent.id.desc())
    )
    return session.execute(newest.limit(most)).all()


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
    must_change=False,
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
        password=hashed(password) if password else None,
    )
    session.add(user)
    session.flush()
    name = " ".join(part for part in (first_name, last_name) if part)
    staff = Staff(id=user.id, name=name, department_id=department_id, **profile)
    session.add(staff)
    session.flush()
    set_roles(session, user_id=user.id, names=roles)
    if must_change:
        ask_to_change(session, user.id)
    return staff


def set_roles(session, user_id, names, *, department_id=None, source="local"):
    """Let the person hold exactly these roles in a department (his own, unless said), as far as `source` gave them.

    What another source gave stays as it is. Raises LookupError for a role that there is not.
    """
    known = {*roles.ROLES, *session.scalars(select(ComposedRole.name))}
    if missing := set(names) - known:
        raise LookupError(f"no such role: {', '.join(sorted(missing))}")
    department_id = department_id or session.get(Staff, user_id).department_id
    there = session.scalars(select(Membership).filter_by(owner_id=user_id, department_id=department_id)).all()
    held = {one.role: one for one in there if one.source == source}
    if source == "local":  # a form shows what the directory gave, too: sending it back does not make it ours
        names = [name for name in names if name in held or name not in {one.role for one in there}]
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


def set_password(session, user_id, password, *, must_change=False):
    """Give the account this password, whatever it is (`rules/passwords.py` says which will do); its sessions end."""
    new = hashed(password)  # before the transaction begins, where this is its first deed
    session.get(User, user_id).password = new
    session.flush()
    if must_change:
        ask_to_change(session, user_id)


def ask_to_change(session, user_id):
    """The person lands on the page for a new password, until he has set one."""
    set_account(session, user_id, must_change=True)


def set_account(session, user_id, **values):
    """Write what the house adds to an account, in this transaction."""
    dialect = {"sqlite": sqlite, "postgresql": postgresql}[session.get_bind().dialect.name]
    new = dialect.insert(Account.__table__).values(**{"user_id": user_id, "must_change": False} | values)
    again = new.on_conflict_do_update(index_elements=["user_id"], set_=values)
    session.connection().execute(again, execution_options={access.DOOR: True})


def drop_password(session, user_id):
    """No password of ours opens this account any more: its directory's does."""
    session.get(User, user_id).password = None


def has_password(session, user_id):
    """Whether a password kept here opens this account."""
    return bool(session.get(User, user_id).password)


def username_of(session, user_id):
    return session.get(User, user_id).username


def role_names(session):
    """The roles that can be given: the house's and the firm's own."""
    return {*roles.ROLES, *session.scalars(select(ComposedRole.name))}


def roles_held(session, user_id):
    """The names of the roles that the person holds, in whatever department."""
    return set(session.scalars(select(Membership.role).where(Membership.owner_id == user_id)))


def is_break_glass(session, user_id):
    """Whether this account's password counts even where local sign-in is off, or the directory is down."""
    return session.get(BreakGlass, user_id) is not None


def mark_break_glass(session, user_id, is_marked):
    """Make this an account for the day on which nothing else opens the door, or one like any other again."""
    mark = session.get(BreakGlass, user_id)
    if is_marked and mark is None:
        session.add(BreakGlass(user_id=user_id, marked_at=datetime.now(UTC)))
    elif not is_marked:
        session.execute(delete(BreakGlass).where(BreakGlass.user_id == user_id))


def set_active(session, user_id, active, *, today, at_once=False):
    """Let the account sign in, or no longer; who is shut out has left on that day.

    Whoever has work in hand hands it over first: else StillInHand (`rules/handing_over.py`). `at_once` closes the door
    all the same; he has left only when his work is handed over.
    """
    user = session.get(User, user_id)
    work = in_hand.work_of(session, user_id, today) if not active else {}
    if work and not at_once and user.active:
        raise in_hand.StillInHand(work)
    if bool(user.active) != active:
        user.active = active
        marks = ExternalAccount.__table__  # this decision stands above the directory's of before
        forgotten = update(marks).where(marks.c.user_id == user_id).values(shut_out_at=None)
        session.connection().execute(forgotten, execution_options={access.DOOR: True})
    staff = session.get(Staff, user_id)
    if staff is not None:
        staff.left_on = None if active or (work and staff.left_on is None) else staff.left_on or today


# --------------------------------------------------------------------------------------------- forgotten passwords

LINK_HOLDS = timedelta(hours=1)


def find_by_name(session, username):
    """The active account with this name or mail address and a password of ours, or None.

    Who comes in from a directory has none, and gets none by mail: it would outlive his place in the directory.
    """
    by_name = select(User).where((User.username == username) | (User.email == username), User.active)
    by_name = by_name.where(User.password.is_not(None))
    return session.scalars(by_name.order_by(User.username != username)).first()


def make_password_link(user_id):
    """The secret of a new link with which this person sets a password; one sent before opens nothing any more."""
    token = secrets.token_urlsafe(32)
    with access.system_session("password link", door="mail") as session:
        session.execute(delete(PasswordLink).where(PasswordLink.user_id == user_id))
        ends_at = datetime.now(UTC) + LINK_HOLDS
        session.add(PasswordLink(token_hash=_hash(token), user_id=user_id, ends_at=ends_at))
    return token


def user_of_link(session, token):
    """The active account whose password this link may replace, or None."""
    if not token or not is_storable(token):
        return None
    living = (PasswordLink.token_hash == _hash(token), PasswordLink.ends_at > datetime.now(UTC))
    return session.scalars(
        select(User).join(PasswordLink, PasswordLink.user_id == User.id).where(*living, User.active)
    ).first()


def use_link(session, token):
    """The link has done its work; returns whether it was still there, which only one of two at once sees."""
    return session.execute(delete(PasswordLink).where(PasswordLink.token_hash == _hash(token))).rowcount == 1


def forget_old(session, now, settings):
    """Drop links that have run out, and what the accounts' log holds longer than it is kept; called once a day."""
    session.execute(delete(PasswordLink).where(PasswordLink.ends_at < now))
    session.execute(
        delete(AccountEvent).where(AccountEvent.at < now - timedelta(days=settings.ACCOUNT_LOG_DAYS))
    )
    of_nobody = (AccountEvent.user_id.is_(None), AccountEvent.at < now - timedelta(days=1))
    session.execute(delete(AccountEvent).where(*of_nobody))


def _hash(token):
    return hashlib.sha256(token.encode()).hexdigest()


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


def _stamp(password_hash, names):
    """What a session was begun with: another password, or other roles, by whatever door, and it is over."""
    told = "\n".join((password_hash or "", *sorted(names)))
    return hashlib.sha256(told.encode()).hexdigest()


def tree_of(session):
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
