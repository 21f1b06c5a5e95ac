"""The bell: what somebody is told in the house. Written in the same transaction as the change that it tells of.

A notification names a record and says nothing of it; the page of the bell looks it up through its reader's sight. Who
may not see a record is not told of it: its author hears that instead (`untold_in`).
"""

import re
from datetime import UTC, datetime, timedelta

from sqlalchemy import and_, delete, event, exists, func, insert, literal, select, update

from app import access, ledger, security
from app.access import DOOR, GOING_BACK, deleted_in, principal_of
from app.extensions import Session, history_of
from app.models import ENTITIES, Activity, Notification, Owned, Staff, TicketMessage
from app.security import User

MENTION, ASSIGNED, DUE = "mention", "assigned", "due"
KEPT = timedelta(days=90)
# Doors through which work is given to somebody. What an import or an undo sets is no news.
TELLING_DOORS = ("page", "api", "bulk", "hand-over")
# Where people write to each other: model -> its columns.
WRITTEN = {Activity: ("subject", "body"), TicketMessage: ("body",)}

_TOLD, _STAFF = Notification.__table__, Staff.__table__
_OPTIONS = {DOOR: True}


# --------------------------------------------------------------------------------------------- telling


@event.listens_for(Session, "after_flush")
def _hear(session, context):
    """Assignments and mentions in what is written one by one; what is done or gone needs no bell any more."""
    gone = deleted_in(context)
    for row in gone:
        if isinstance(row, Owned):
            _forget(session, row.__tablename__, [row.id])
    if session.info.get("door") not in TELLING_DOORS or session.info.get(GOING_BACK):
        return
    for row in (*session.new, *session.dirty.difference(gone)):
        if isinstance(row, Owned) and (owner := _new_value(row, "owner_id")):
            _tell_of_assignment(session, row.__tablename__, {owner: [row.id]})
        if isinstance(row, Activity) and _new_value(row, "done_at"):
            _is_done(session, row.id)
        if type(row) in WRITTEN:
            _tell_of_mentions(session, row)


def handed_over(session, model, edits):
    """Of many rows that got another owner at once, each new owner is told once. `edits`: (id, before, new values)."""
    if (
        not issubclass(model, Owned)
        or session.info.get("door") not in TELLING_DOORS
        or session.info.get(GOING_BACK)
    ):
        return
    given = {}
    for key, _before, after in edits:
        if after.get("owner_id"):
            given.setdefault(after["owner_id"], []).append(key)
    _tell_of_assignment(session, model.__tablename__, given)


def forget(session, model, keys):
    """Nobody needs to hear of records that are gone."""
    if issubclass(model, Owned):
        _forget(session, model.__tablename__, keys)


def _new_value(row, name):
    history = history_of(row, name)
    return history.added[0] if history.added and history.added != history.deleted else None


def _tell_of_assignment(session, entity, given):
    me = principal_of(session).id
    for owner, keys in given.items():
        if owner == me:
            continue
        one = keys[0] if len(keys) == 1 else None
        came_from = ledger.change_set_id(session) if one is None else None
        _tell(session, [owner], ASSIGNED, entity, one, rows=len(keys), change_set_id=came_from)


def _tell_of_mentions(session, row):
    text, before = "", ""
    for name in WRITTEN[type(row)]:
        history = history_of(row, name)
        text += "\n" + ((history.added or history.unchanged or [None])[0] or "")
        before += "\n" + ((history.deleted or history.unchanged or [None])[0] or "")
    if "@" not in text or (text == before and row not in session.new):
        return
    people = _people(session)
    called = set(mentioned(text, people))
    if row not in session.new:
        called -= set(mentioned(before, people))
    called -= {principal_of(session).id}
    if not called:
        return
    entity, key = ("ticket", row.ticket_id) if isinstance(row, TicketMessage) else (row.__tablename__, row.id)
    seeing = {person for person in called if _sees(session, person, entity, key)}
    _tell(session, sorted(seeing), MENTION, entity, key)
    names = dict(people)
    session.info.setdefault("untold", []).extend(names[one] for one in sorted(called - seeing))


def untold_in(session):
    """The names of those who were mentioned in this session's changes and told nothing, as they may not see them."""
    return session.info.pop("untold", [])


def _people(session):
    """(id, name) of every colleague who is still there."""
    here = select(_STAFF.c.id, _STAFF.c.name).where(_STAFF.c.left_on.is_(None)).order_by(_STAFF.c.id)
    return [tuple(one) for one in session.connection().execute(here, execution_options=_OPTIONS)]


def mentioned(text, people):
    """The ids of those whose whole name stands behind an @. Of “@Ann Lee” and “@Ann Leeds”, each is only himself."""
    found = []
    for key, name in people:
        if re.search(rf"(?<![\w@])@{re.escape(name)}(?!\w)", text, re.IGNORECASE):
            found.append(key)
    return found


def _sees(session, person, entity, key):
    """Whether somebody may see a record, asked within this transaction."""
    principal = security.load_principal(person)
    if principal is None:
        return False
    model = ENTITIES[entity]
    condition = access.allowed(principal, "see", model, model.__table__.c)
    seen = select(literal(1)).select_from(model.__table__).where(model.__table__.c.id == key, condition)
    return session.connection().execute(seen, execution_options=_OPTIONS).first() is not None


def _tell(session, people, kind, entity, record_id, *, rows=1, change_set_id=None):
    by, now = principal_of(session).id, datetime.now(UTC)
    told = [
        {
            "user_id": person,
            "kind": kind,
            "at": now,
            "by_id": by,
            "entity": entity,
            "record_id": record_id,
            "rows": rows,
            "change_set_id": change_set_id,
        }
        for person in people
    ]
    if told:
        session.connection().execute(insert(_TOLD), told, execution_options=_OPTIONS)


def _is_done(session, key):
    """A task that is done is due no more."""
    due = update(_TOLD).where(_TOLD.c.entity == "activity", _TOLD.c.record_id == key, _TOLD.c.kind == DUE)
    due = due.where(_TOLD.c.read_at.is_(None)).values(read_at=datetime.now(UTC))
    session.connection().execute(due, execution_options=_OPTIONS)


def _forget(session, entity, keys):
    gone = delete(_TOLD).where(_TOLD.c.entity == entity, _TOLD.c.record_id.in_(keys))
    session.connection().execute(gone, execution_options=_OPTIONS)


def tell_of_due_tasks(session, today):
    """Once for each open task that is due by today; in a system session, once a day."""
    task = Activity.__table__
    told = exists().where(
        _TOLD.c.user_id == task.c.owner_id,
        _TOLD.c.kind == DUE,
        _TOLD.c.entity == "activity",
        _TOLD.c.record_id == task.c.id,
    )
    is_due = and_(task.c.kind == "task", task.c.done_at.is_(None), task.c.due_on <= today)
    now = literal(datetime.now(UTC), _TOLD.c.at.type)
    due = select(task.c.owner_id, literal(DUE), now, literal("activity"), task.c.id, literal(1))
    due = due.where(is_due, task.c.owner_id.in_(select(User.id).where(User.active)), ~told)
    columns = ["user_id", "kind", "at", "entity", "record_id", "rows"]
    session.connection().execute(insert(_TOLD).from_select(columns, due), execution_options=_OPTIONS)


def forget_old(session, now):
    """What was told long ago goes, read or not."""
    old = delete(_TOLD).where(_TOLD.c.at < now - KEPT)
    session.connection().execute(old, execution_options=_OPTIONS)


# --------------------------------------------------------------------------------------------- reading


def unread_of(user_id):
    """How many things somebody has not read, as a subselect for the statement that asks who he is."""
    mine = select(func.count(_TOLD.c.id)).where(_TOLD.c.user_id == user_id, _TOLD.c.read_at.is_(None))
    return mine.scalar_subquery()


def newest(session, *, most, before=None):
    """What the session's person was told, the newest first, with the name of whoever caused it."""
    mine = select(*_TOLD.c, _STAFF.c.name.label("by")).select_from(
        _TOLD.outerjoin(_STAFF, _STAFF.c.id == _TOLD.c.by_id)
    )
    mine = mine.where(_TOLD.c.user_id == principal_of(session).id)
    if before is not None:
        mine = mine.where(_TOLD.c.id < before)
    mine = mine.order_by(_TOLD.c.id.desc()).limit(most)
    return session.connection().execute(mine, execution_options=_OPTIONS).all()


def find(session, key):
    """One thing that the session's person was told, or None."""
    mine = select(_TOLD).where(_TOLD.c.id == key, _TOLD.c.user_id == principal_of(session).id)
    return session.connection().execute(mine, execution_options=_OPTIONS).first()


def mark_read(session, key=None):
    """Mark one thing, or all that the session's person was told, as read."""
    mine = update(_TOLD).where(_TOLD.c.user_id == principal_of(session).id, _TOLD.c.read_at.is_(None))
    if key is not None:
        mine = mine.where(_TOLD.c.id == key)
    session.connection().execute(mine.values(read_at=datetime.now(UTC)), execution_options=_OPTIONS)
