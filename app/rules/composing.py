"""Roles of the firm's own: composed of the same verbs, reaches, conditions and fields as the house's."""

from sqlalchemy import func, select

from app import access, roles
from app.extensions import N_
from app.models import ENTITIES, ComposedRole, Exact, GroupMapping, Membership, SecondFactorRule, Staff
from app.rules import RuleBroken, values

REACHES = (roles.OWN, roles.DEPARTMENT, roles.BELOW, roles.ALL)
# What tells of all rights, and so stays with the house's own role for it.
KEPT = {
    "account": ("see", "edit"),
    "role": ("add", "edit", "delete"),
    "group_mapping": ("see", "add", "edit", "delete", "export"),
    "second_factor_rule": ("see", "add", "edit", "delete"),
    # Everybody's own.
    "own_account": ("see", "edit"),
    "second_factor": ("see", "edit"),
    "api_key": ("see", "add", "delete"),
}
NAMING = (GroupMapping, SecondFactorRule)  # what else speaks of a role by its name
WRITING = ("add", "edit")
WITH_FIELDS = (*roles.BUSINESS, "product", "staff")  # whose fields a role may hide


def verbs_of(entity):
    """The verbs that a role of the firm's own may give on an entity."""
    return tuple(verb for verb in roles.VERBS[entity] if verb not in KEPT.get(entity, ()))


def entities():
    """What roles speak of, in the order of the table of verbs."""
    return [entity for entity in roles.VERBS if verbs_of(entity)]


def conditions_of(entity):
    return [name for one, name in access.CONDITIONS if one == entity]


def fields_of(entity):
    """The fields that a role may hide or keep from being written."""
    return access.hideable(ENTITIES[entity]) if entity in WITH_FIELDS else ()


def has_departments(entity):
    """Whether rows of it belong to departments, so that a role may reach some and not others."""
    model = ENTITIES.get(entity)
    is_scoped = model is not None and model.__sight__ == "scoped" and model.__through__ is None
    return (is_scoped and entity != "change_set") or entity in ("custom_field", "payment", "sales_report")


def save(session, row, *, name, description, grants):
    """Give a new or standing role this name and these grants; who holds it holds it under the new name."""
    name, description = (
        values.one_line(name or "").strip(),
        values.one_line(description or "").strip() or None,
    )
    if not name:
        raise RuleBroken(N_("A role needs a name."), field="name")
    values.check_storable(name)
    values.check_storable(description or "")
    if name.casefold() in {one.casefold() for one in roles.ROLES}:
        raise RuleBroken(N_("The house has a role of this name."), field="name")
    with session.no_autoflush:
        same = select(ComposedRole.id).where(
            func.lower(ComposedRole.name) == name.lower(), ComposedRole.id != (row.id or 0)
        )
        if session.scalar(same) is not None:
            raise RuleBroken(N_("There is a role of this name already."), field="name")
    grants = [check(grant) for grant in grants]
    if not grants:
        raise RuleBroken(N_("A role grants something: tick at least one verb."))
    before = row.name
    row.name, row.description = name, description
    said = [_as_said(grant) for grant in grants]
    if row.grants != said:
        row.grants = said
    session.add(row)
    session.flush()
    if before not in (None, name):
        with session.no_autoflush:
            held = session.scalars(select(Membership).where(Membership.role == before)).all()
            named = [row for kind in NAMING for row in session.scalars(select(kind).where(kind.role == before))]
        for one in (*held, *named):
            one.role = name
        session.flush()
    return row


def check(grant):
    """The grant in good order, or RuleBroken with what is wrong with it."""
    entity = grant.entity
    if entity not in roles.VERBS:
        raise RuleBroken(N_("There is nothing called “%(entity)s”."), entity=entity)
    verbs = tuple(verb for verb in roles.VERBS[entity] if verb in grant.verbs)
    said = {"entity": entity.replace("_", " ")}
    if unknown := set(grant.verbs) - set(roles.VERBS[entity]):
        raise RuleBroken(N_("%(entity)s: there is no “%(verb)s”."), verb=sorted(unknown)[0], **said)
    if kept := set(verbs) & set(KEPT.get(entity, ())):
        raise RuleBroken(
            N_("%(entity)s: “%(verb)s” stays with the house's admins."), verb=sorted(kept)[0], **said
        )
    if not verbs:
        raise RuleBroken(N_("%(entity)s: tick a verb, or leave the whole line empty."), **said)
    if "see" in roles.VERBS[entity] and "see" not in verbs:
        raise RuleBroken(N_("%(entity)s: who may do something to it must see it."), **said)
    deeds = [verb for verb in verbs if verb not in ("see", "export", "delete", *WRITING)]
    if (
        deeds
        and "edit" in roles.VERBS[entity]
        and "edit" not in verbs
        and entity not in ("approval", "change_set")
    ):
        raise RuleBroken(
            N_("%(entity)s: “%(verb)s” changes it, so it needs “edit” too."), verb=deeds[0], **said
        )
    if "import" in verbs and "add" not in verbs:
        raise RuleBroken(N_("%(entity)s: who imports also adds."), **said)
    if grant.reach not in REACHES:
        raise RuleBroken(N_("%(entity)s: say how far it reaches."), **said)
    model = ENTITIES.get(entity)
    if grant.reach != roles.ALL and not has_departments(entity):
        raise RuleBroken(
            N_("%(entity)s: belongs to no department, so it reaches everything or nothing."), **said
        )
    if grant.condition and (entity, grant.condition) not in access.CONDITIONS:
        raise RuleBroken(N_("%(entity)s: there is no condition “%(name)s”."), name=grant.condition, **said)
    hidden, read_only = (tuple(dict.fromkeys(names)) for names in (grant.hidden, grant.read_only))
    if missing := {*hidden, *read_only} - set(fields_of(entity)):
        raise RuleBroken(N_("%(entity)s: “%(name)s” is no field to hide."), name=sorted(missing)[0], **said)
    if set(WRITING) & set(verbs) and (amounts := [name for name in hidden if _is_amount(model, name)]):
        raise RuleBroken(
            N_("%(entity)s: whoever writes it cannot be kept from “%(name)s”, which is reckoned with."),
            name=amounts[0].replace("_", " "),
            **said,
        )
    read_only = tuple(name for name in read_only if name not in hidden)
    fields = (tuple(sorted(names)) for names in (hidden, read_only))
    return roles.Grant(entity, verbs, grant.reach, grant.condition or None, *fields)


def _is_amount(model, name):
    return isinstance(model.__table__.c[name].type, Exact)


def _as_said(grant):
    """As the table keeps it."""
    said = {"entity": grant.entity, "verbs": list(grant.verbs), "reach": grant.reach}
    said |= {"condition": grant.condition} if grant.condition else {}
    return said | {
        name: list(getattr(grant, name)) for name in ("hidden", "read_only") if getattr(grant, name)
    }


def holders(session, name):
    """Those who hold a role, by name."""
    held = select(Membership.owner_id).where(Membership.role == name)
    return session.scalars(select(Staff).where(Staff.id.in_(held)).order_by(Staff.name)).all()


def remove(session, row):
    """Delete a role that nobody holds."""
    if people := holders(session, row.name):
        raise RuleBroken(
            N_("“%(role)s” is held by %(people)s; take it from them first."),
            role=row.name,
            people=", ".join(str(one) for one in people[:10]) + (" …" if len(people) > 10 else ""),
        )
    for kind in NAMING:
        if session.scalar(select(kind.id).where(kind.role == row.name).limit(1)) is not None:
            raise RuleBroken(N_("“%(role)s” is named in the rules of sign-in; take it out there first."), role=row.name)
    session.delete(row)
    session.flush()
