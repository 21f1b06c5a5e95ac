"""Who holds which role in which department, and who stands in for whom: given, ended, and never more than one holds.

Who holds the accounts gives anything. A head gives, to people of his own departments, the roles of which he holds all
himself there (`access.covers`); the session's write guard asks the same, whatever door a row comes through.
"""

from datetime import timedelta

from sqlalchemy import or_, select

from app import access, roles
from app.extensions import N_
from app.models import ComposedRole, Department, Deputy, Membership, Staff
from app.rules import RuleBroken

LONGEST = timedelta(days=366)  # that somebody is stood in for; who is away longer has moved

IN_THE_WAY = N_("You let others hold only what you hold yourself; ask an administrator.")


def names_of_roles(session):
    """The names of all roles there are: the house's, then the firm's own."""
    return [*roles.ROLES, *session.scalars(select(ComposedRole.name).order_by(ComposedRole.name))]


def may_give(by, department_id, role):
    """Whether this person may let others hold the role in that department."""
    return by.is_system or by.may("edit", "account") or role in dict(by.gives).get(department_id, ())


def places(session, by):
    """[(department, the roles he may give there)] of this person, by name."""
    departments = session.scalars(select(Department).order_by(Department.name)).all()
    known = names_of_roles(session)
    found = [(one, [name for name in known if may_give(by, one.id, name)]) for one in departments]
    return [(one, names) for one, names in found if names]


def people(session, by, *, today):
    """Those whose roles and deputies this person may arrange, by name."""
    near = None if by.may("edit", "account") else by.arranges("membership")
    found = (
        select(Staff)
        .where(or_(Staff.left_on.is_(None), Staff.left_on > today))
        .order_by(Staff.name, Staff.id)
    )
    return session.scalars(found if near is None else found.where(Staff.department_id.in_(near))).all()


def is_his(by, person):
    """Whether the person is one of those whose rights he arranges."""
    near = None if by.is_system or by.may("edit", "account") else by.arranges("membership")
    return near is None or person.department_id in near


# --------------------------------------------------------------------------------------------- memberships


def add(session, *, by, owner, department, role):
    """Let a person hold a role in a department."""
    if role not in names_of_roles(session):
        raise RuleBroken(N_("There is no role “%(role)s”."), field="role", role=role)
    if owner.has_left:
        raise RuleBroken(N_("%(person)s has left."), field="owner_id", person=str(owner))
    if not is_his(by, owner):
        raise RuleBroken(
            N_("%(person)s belongs to %(department)s: somebody who answers for both has to take him in."),
            field="owner_id",
            person=str(owner),
            department=str(owner.department),
        )
    if not may_give(by, department.id, role):
        raise RuleBroken(
            N_("“%(role)s” in %(department)s is more than you hold yourself; ask an administrator."),
            field="role",
            role=role,
            department=str(department),
        )
    same = select(Membership.source).filter_by(owner_id=owner.id, department_id=department.id, role=role)
    with session.no_autoflush:
        if session.scalar(same.limit(1)) is not None:
            raise RuleBroken(
                N_("%(person)s holds “%(role)s” in %(department)s already."),
                field="role",
                person=str(owner),
                role=role,
                department=str(department),
            )
    held = Membership(owner_id=owner.id, department_id=department.id, role=role, source="local")
    session.add(held)
    session.flush()
    return held


def end(session, held, *, by):
    """Take a role away again. What the directory gave, the directory takes."""
    if held.source == "directory":
        raise RuleBroken(N_("The directory gave this role; it is taken away there."))
    if not may_give(by, held.department_id, held.role):
        raise RuleBroken(
            N_("“%(role)s” in %(department)s is more than you hold yourself; ask an administrator."),
            role=held.role,
            department=str(held.department),
        )
    if held.role == "admin":
        if held.owner_id == by.id:
            raise RuleBroken(N_("You cannot shut yourself out."))
        others = select(Membership.id).join(Staff, Staff.id == Membership.owner_id)
        others = others.where(Membership.role == "admin", Membership.id != held.id, Staff.left_on.is_(None))
        if session.scalar(others.limit(1)) is None:
            raise RuleBroken(N_("Somebody has to hold the accounts: this is the last admin."))
    session.delete(held)
    session.flush()


# --------------------------------------------------------------------------------------------- deputies


def appoint(session, *, by, owner, deputy, starts_on, ends_on, reason, today):
    """Let a person act for another on some days, both included: he may then whatever that one may."""
    for person, field in ((owner, "owner_id"), (deputy, "deputy_id")):
        if person.has_left:
            raise RuleBroken(N_("%(person)s has left."), field=field, person=str(person))
        if not is_his(by, person):
            raise RuleBroken(
                N_("%(person)s belongs to %(department)s, which is not yours; ask an administrator."),
                field=field,
                person=str(person),
                department=str(person.department),
            )
    if owner.id == deputy.id:
        raise RuleBroken(N_("Nobody stands in for himself."), field="deputy_id")
    if ends_on < starts_on:
        raise RuleBroken(N_("It ends before it begins."), field="ends_on")
    if ends_on < today:
        raise RuleBroken(N_("These days are over."), field="ends_on")
    if ends_on - starts_on >= LONGEST:
        raise RuleBroken(N_("At most a year: after that it is another's work."), field="ends_on")
    lacking = beyond(session, by, owner)
    if lacking:
        raise RuleBroken(
            N_(
                "%(person)s holds more than you do (%(what)s), which you cannot hand on; ask an administrator."
            ),
            field="owner_id",
            person=str(owner),
            what=", ".join(lacking),
        )
    clash = select(Deputy.id).where(
        Deputy.owner_id == owner.id,
        Deputy.deputy_id == deputy.id,
        Deputy.starts_on <= ends_on,
        Deputy.ends_on >= starts_on,
    )
    with session.no_autoflush:
        if session.scalar(clash.limit(1)) is not None:
            raise RuleBroken(
                N_("%(deputy)s stands in for %(person)s on some of these days already."),
                field="starts_on",
                deputy=str(deputy),
                person=str(owner),
            )
    row = Deputy(
        owner_id=owner.id,
        department_id=owner.department_id,
        deputy_id=deputy.id,
        starts_on=starts_on,
        ends_on=ends_on,
        reason=reason,
    )
    session.add(row)
    try:
        session.flush()
    except access.WriteRefused:
        # What was shared with him is asked by the guard alone: whether there is such a record, is not told.
        raise RuleBroken(IN_THE_WAY, field="owner_id") from None
    return row


def beyond(session, by, owner):
    """What the other holds that this person may not hand on: "role in department"."""
    held = session.execute(
        select(Membership.department_id, Membership.role, Department.name)
        .join(Department, Department.id == Membership.department_id)
        .where(Membership.owner_id == owner.id)
    ).all()
    return [f"{role}, {name}" for key, role, name in held if not may_give(by, key, role)]


def dismiss(session, row, *, by):
    """End it, from now on; that it was, stands in the ledger."""
    if not is_his(by, row.owner):
        raise RuleBroken(
            N_("%(person)s belongs to %(department)s, which is not yours; ask an administrator."),
            person=str(row.owner),
            department=str(row.owner.department),
        )
    session.delete(row)
    session.flush()
