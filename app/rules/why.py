"""Why somebody may see a record, or may not: told from his grants, each asked of the database for this very row.

The parts are those of which `access.allowed` makes the rule of sight (`grounds_of`, `subjects_of`, shares); nothing
here decides anything anew.
"""

from dataclasses import dataclass, field

from sqlalchemy import case, or_, select

from app import access, roles, security
from app.models import ENTITIES, Share

# Records that somebody may be asked about.
ASKED = tuple(entity for entity in roles.BUSINESS if ENTITIES[entity].__through__ is None)


@dataclass(frozen=True)
class Ground:
    """One grant, and how far it carries for this record."""

    grant: access.Held
    reaches: bool
    holds: bool  # its condition

    @property
    def carries(self):
        return self.reaches and self.holds


@dataclass
class Answer:
    """Why one person sees a record, or does not."""

    person: access.Principal
    grounds: list = field(default_factory=list)
    shares: list = field(default_factory=list)  # open ones that reach him
    ended: list = field(default_factory=list)  # those that did
    unseen: list = field(default_factory=list)  # what the record speaks of and he may not see
    hidden: tuple = ()  # fields that are kept from him on it

    @property
    def sees(self):
        return bool(self.shares or self.granting) and not self.unseen

    @property
    def granting(self):
        return [ground for ground in self.grounds if ground.carries]


def everybody(session, model, key):
    """The Answers of all who can sign in, in the order of their names; the session is the system's."""
    row = session.get(model, key)
    shares = shares_of(session, row)
    people = sorted(security.everybody(session).values(), key=lambda one: (one.name, one.id))
    return [_answer(session, person, row, shares) for person in people]


def shares_of(session, row):
    """All shares of a record, the newest first."""
    found = select(Share).where(Share.entity == row.__tablename__, Share.record_id == row.id)
    return session.scalars(found.order_by(Share.id.desc())).all()


def _answer(session, person, row, shares):
    model, table = type(row), type(row).__table__
    grounds = list(access.grounds_of(person, "see", model, table.c))
    subjects = list(access.subjects_of(person, model, table.c))
    asked = [condition for _, *two in grounds for condition in two] + [condition for _, condition in subjects]
    told = iter(_ask(session, table, row.id, asked))
    answer = Answer(person)
    answer.grounds = [Ground(grant, next(told), next(told)) for grant, _, _ in grounds]
    answer.unseen = [subject for subject, _ in subjects if not next(told)]
    theirs = [one for one in shares if _is_for(one, person)]
    if theirs:
        open_ids = set(session.scalars(_open(person, row)))
        answer.shares = [one for one in theirs if one.id in open_ids]
        answer.ended = [one for one in theirs if one.id not in open_ids]
    if answer.sees and person.has_hidden:
        answer.hidden = tuple(sorted(person.hidden_on(row)))
    return answer


def _ask(session, table, key, conditions):
    """Whether each of these conditions holds for this row, in one question."""
    known = {index: one is access.EVERY_ROW for index, one in enumerate(conditions) if _is_known(one)}
    open_ = [index for index in range(len(conditions)) if index not in known]
    if open_:
        columns = [case((conditions[index], 1), else_=0).label(f"c{index}") for index in open_]
        found = session.connection().execute(select(*columns).where(table.c.id == key)).one()
        known |= {index: bool(value) for index, value in zip(open_, found, strict=True)}
    return [known[index] for index in range(len(conditions))]


def _is_known(condition):
    return condition is access.EVERY_ROW or condition is access.NO_ROW


def _is_for(share, person):
    return share.to_staff_id in person.persons or share.to_department_id in person.departments


def _open(person, row):
    """The ids of the shares of a record that count for a person: as `access.shared_ids` has them."""
    shared = access.shared_ids(person, "see", row.__tablename__).subquery()
    is_open = or_(Share.until_on.is_(None), Share.until_on >= person.today)
    return select(Share.id).where(
        Share.entity == row.__tablename__,
        Share.record_id == row.id,
        Share.record_id.in_(select(shared.c.record_id)),
        is_open,
    )
