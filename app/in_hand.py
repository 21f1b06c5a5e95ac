"""What somebody still has in hand: so that nobody leaves while work waits for him.

Asked past the rule of sight, for numbers alone: who closes an account need not see the records.
"""

from sqlalchemy import and_, func, or_, select

from app.access import DOOR
from app.models import (
    Activity,
    Approval,
    Campaign,
    Company,
    Contact,
    Deal,
    Deputy,
    Invoice,
    Job,
    Staff,
    Stage,
    Ticket,
)

_STAGE = Stage.__table__.alias()


def _is_open_stage(row):
    return row.stage_id.in_(select(_STAGE.c.id).where(_STAGE.c.outcome == "open"))


# What is open of whose, entity by entity: each is looked after by its owner. `row`: the columns; `today`: the day.
OPEN = {
    "deal": lambda row, today: _is_open_stage(row),
    "ticket": lambda row, today: _is_open_stage(row),
    "activity": lambda row, today: and_(
        row.done_at.is_(None), or_(row.kind == "task", row.due_on.is_not(None))
    ),
    "campaign": lambda row, today: or_(row.ends_on.is_(None), row.ends_on >= today),
    "invoice": lambda row, today: row.number.is_(None),
}
MODELS = {
    model.__tablename__: model for model in (Deal, Ticket, Activity, Campaign, Invoice, Company, Contact)
}
CUSTOMERS = ("company", "contact")  # no open work, but somebody should look after them


class StillInHand(Exception):
    """Somebody cannot leave yet: `work` says how many of what wait for him."""

    def __init__(self, work):
        super().__init__(", ".join(f"{count} {entity}" for entity, count in work.items()))
        self.work = work


def of(entity, person_id, today):
    """The condition on rows of an entity that this person has in hand: (table, condition)."""
    table = MODELS[entity].__table__
    whose = table.c.owner_id == person_id
    return table, and_(whose, OPEN[entity](table.c, today)) if entity in OPEN else whose


def beside(person_id, today):
    """What else waits for a person: name -> (table, condition). It is settled with the hand-over, not handed over."""
    staff, deputy, job, approval = (model.__table__ for model in (Staff, Deputy, Job, Approval))
    acts = and_(
        or_(deputy.c.owner_id == person_id, deputy.c.deputy_id == person_id), deputy.c.ends_on >= today
    )
    return {
        "staff": (staff, and_(staff.c.reports_to_id == person_id, staff.c.left_on.is_(None))),
        "deputy": (deputy, acts),
        "job": (job, and_(job.c.owner_id == person_id, job.c.state.in_(("draft", "waiting", "running")))),
        "approval": (approval, and_(approval.c.owner_id == person_id, approval.c.state == "waiting")),
    }


def work_of(session, person_id, today):
    """Entity -> how many of it this person still has in hand; empty for whoever may go."""
    asked = {entity: of(entity, person_id, today) for entity in OPEN} | beside(person_id, today)
    found = {}
    for entity, (table, condition) in asked.items():
        count = select(func.count()).select_from(table).where(condition)
        found[entity] = session.connection().scalar(count, execution_options={DOOR: True})
    return {entity: count for entity, count in found.items() if count}
