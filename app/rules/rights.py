"""What a change of rights does, before it is made: who gains and loses which rows, verbs and fields.

The change itself is made, in a savepoint, and taken back: `around` reads the principals of everybody before and after.
They are values, and the rows are counted by the conditions that `access.allowed` gives for each: nothing here knows a
rule of its own.
"""

from dataclasses import dataclass, field
from hashlib import sha256

from sqlalchemy import and_, func, not_, select

from app import access, roles, security
from app.models import ENTITIES, RIGHTS_VERSION

COUNTED = ("see", "edit")  # the verbs whose rows are counted
SAMPLES = 3
# Rows that themselves tell of rights: a change of rights adds and takes them, so they are read before and after. Those
# that it adds or takes are the change itself, and nobody's gain or loss.
OF_RIGHTS = ("membership", "deputy")
ROWS = tuple(
    entity
    for entity in roles.VERBS
    if entity in ENTITIES
    and ENTITIES[entity].__through__ is None
    and entity not in ("change_set", "role", *OF_RIGHTS)
)


@dataclass
class Line:
    """What somebody gains and loses of one entity. `gained["see"]` is a number of rows."""

    entity: str
    gained: dict = field(default_factory=dict)
    lost: dict = field(default_factory=dict)
    gained_samples: list = field(default_factory=list)  # names, of those that the asker himself sees
    lost_samples: list = field(default_factory=list)
    verbs_gained: tuple = ()
    verbs_lost: tuple = ()
    fields_closed: tuple = ()
    fields_opened: tuple = ()

    def __bool__(self):
        told = (*self.gained.values(), *self.lost.values())
        return any(told) or any((self.verbs_gained, self.verbs_lost, self.fields_closed, self.fields_opened))


@dataclass
class Difference:
    """What a change does to one person."""

    person_id: int
    name: str
    lines: list


@dataclass(frozen=True)
class Snapshot:
    """Everybody's rights at one moment: the principals, and which rows that tell of rights each one sees."""

    people: dict
    of_rights: dict  # (person, verb, entity) -> ids; by the entity alone, all there are


def around(session, change):
    """(before, after) of a change that is made in this system session and taken back. What it refuses, it raises."""
    before = _snapshot(session, security.everybody(session))
    savepoint = session.begin_nested()
    try:
        change(session)
        session.flush()
        after = _snapshot(session, security.everybody(session))
    finally:
        savepoint.rollback()
        session.expire_all()
    return before, after


def _snapshot(session, people):
    rows = {
        entity: frozenset(session.scalars(select(ENTITIES[entity].id))) for entity in OF_RIGHTS
    }
    for key, person in people.items():
        for entity in OF_RIGHTS:
            for verb in COUNTED:
                rows[key, verb, entity] = frozenset(ids_of(session, person, verb, ENTITIES[entity]))
    return Snapshot(people, rows)


def ids_of(session, person, verb, model):
    """The ids of the rows that this person may do the verb to; the session is the system's."""
    condition = access.allowed(person, verb, model, model.__table__.c)
    if condition is access.NO_ROW:
        return []
    return session.connection().scalars(select(model.__table__.c.id).where(condition)).all()


def differences(session, before, after, *, asker=None):
    """[Difference] of all whom the change concerns, by name; the session is the system's.

    `asker`: of which records names are told, because he sees them himself; of none without one.
    """
    found = []
    for key in {**before.people, **after.people}:
        one, other = (people.get(key) or _nobody(key) for people in (before.people, after.people))
        lines = [_of_rights(entity, key, before, after, one, other) for entity in OF_RIGHTS]
        if _signature(one) != _signature(other):
            lines += [
                _line(session, entity, one, other, asker) for entity in roles.VERBS if entity not in OF_RIGHTS
            ]
        lines = [line for line in lines if line]
        if lines:
            named = other if other.name else one
            found.append(Difference(key, named.name, lines))
    return sorted(found, key=lambda one: (one.name, one.person_id))


def _nobody(key):
    return access.Principal(id=key, username="", name="")


def _signature(person, entity=None):
    """What a person's rights on an entity rest on; on all of them without one."""
    grants = (
        person.grants if entity is None else [one for one in person.grants if one.entity in _told_by(entity)]
    )
    held = frozenset(one._replace(via=None) for one in grants)
    shared = {one for one in person.shared if entity is None or one[1] in _told_by(entity)}
    whose = (person.persons, person.departments) if shared else ()
    more = (person.below, person.may("edit", "account")) if entity in (None, "custom_field") else ()
    return held, frozenset(shared), whose, more


def _told_by(entity):
    return (entity, *getattr(ENTITIES.get(entity), "__subjects__", ()))


def _line(session, entity, before, after, asker):
    line = Line(entity)
    if _signature(before, entity) == _signature(after, entity):
        return line
    _verbs_and_fields(line, before, after)
    if entity in ROWS:
        model = ENTITIES[entity]
        for verb in COUNTED:
            for rows, samples, one, other in (
                (line.gained, line.gained_samples, after, before),
                (line.lost, line.lost_samples, before, after),
            ):
                condition = only_of(one, other, verb, model)
                rows[verb] = 0 if condition is access.NO_ROW else _count(session, model, condition)
                if verb == "see" and rows[verb] and asker is not None:
                    samples += _samples(session, model, condition, asker)
    return line


def only_of(one, other, verb, model):
    """The condition on rows that one person may do the verb to, and another may not."""
    table = model.__table__
    his, theirs = (access.allowed(person, verb, model, table.c) for person in (one, other))
    if his is access.NO_ROW or theirs is access.EVERY_ROW:
        return access.NO_ROW
    # A link that leads nowhere makes a condition NULL, and that is no right to the row.
    return his if theirs is access.NO_ROW else and_(his, not_(func.coalesce(theirs, False)))


def _count(session, model, condition):
    return session.connection().scalar(select(func.count()).select_from(model.__table__).where(condition))


def _samples(session, model, condition, asker):
    seen = access.allowed(asker, "see", model, model.__table__.c)
    if seen is access.NO_ROW:
        return []
    asked = (
        select(model.__table__.c.id)
        .where(condition, seen)
        .order_by(model.__table__.c.id.desc())
        .limit(SAMPLES)
    )
    ids = session.connection().scalars(asked).all()
    return [
        str(row) for row in session.scalars(select(model).where(model.id.in_(ids)).order_by(model.id.desc()))
    ]


def _of_rights(entity, key, before, after, one, other):
    line = Line(entity)
    _verbs_and_fields(line, one, other)
    for verb in COUNTED:
        gained, lost = gained_and_lost(before, after, key, verb, entity)
        line.gained[verb], line.lost[verb] = len(gained), len(lost)
    return line


def gained_and_lost(before, after, key, verb, entity):
    """(ids gained, ids lost) of rows that tell of rights, and that stand before and after."""
    had, has = (when.of_rights.get((key, verb, entity), frozenset()) for when in (before, after))
    both = before.of_rights[entity] & after.of_rights[entity]
    return (has - had) & both, (had - has) & both


def _verbs_and_fields(line, before, after):
    entity = line.entity
    had, has = ({verb for verb in roles.VERBS[entity] if one.may(verb, entity)} for one in (before, after))
    line.verbs_gained = tuple(verb for verb in roles.VERBS[entity] if verb in has - had)
    line.verbs_lost = tuple(verb for verb in roles.VERBS[entity] if verb in had - has)
    if "see" in had & has:
        line.fields_closed = tuple(sorted(after.hidden(entity) - before.hidden(entity)))
        line.fields_opened = tuple(sorted(before.hidden(entity) - after.hidden(entity)))


def stamp(session, said, *, hold=False):
    """What a preview is good for: these words, and rights as they stand. Anything else has to be looked at again.

    `hold`: nobody changes rights until this transaction is over.
    """
    asked = select(RIGHTS_VERSION.c.number)
    asked = asked.with_for_update() if hold else asked
    number = session.connection().scalar(asked, execution_options={access.DOOR: True})
    return sha256(repr((number, sorted(said))).encode()).hexdigest()[:32]
