"""Who leads a department: whoever may approve what leaves it. Asked for the whole house, in a session of the system."""

from sqlalchemy import select

from app import roles, security
from app.models import Membership, Staff


def of(session, department_id):
    """Those who lead a department, the nearest first; colleagues who have left lead nobody."""
    composed, tree = security.composed_roles(session), security.tree_of(session)
    found = {}
    for member in session.scalars(select(Membership).order_by(Membership.id)):
        for grant in roles.grants_of(member.role, composed):
            if grant.entity != "approval" or "edit" not in grant.verbs:
                continue
            if distance := _distance(grant.reach, tree, member.department_id, department_id):
                found[member.owner_id] = min(distance, found.get(member.owner_id, distance))
    there = (Staff.id.in_(found), Staff.left_on.is_(None), security.User.active)
    people = session.scalars(select(Staff).join(security.User, security.User.id == Staff.id).where(*there))
    return sorted(people, key=lambda one: (found[one.id], one.id))


def _distance(reach, tree, from_id, to_id):
    """How near somebody leads: 1 his own department, 2 one below it, 3 the whole house; 0 not at all."""
    if reach == roles.ALL:
        return 3
    if from_id == to_id and reach in (roles.DEPARTMENT, roles.BELOW):
        return 1
    return 2 if reach == roles.BELOW and to_id in security.under(tree, from_id) else 0
