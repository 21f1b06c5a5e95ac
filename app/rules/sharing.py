"""Sharing: a record is opened to a person or department beyond whose it is, and the second department of a customer.

A share says who sees the record besides, whether he may edit it, until when, and why. Nobody gives more than he holds,
and what was shared with somebody he does not pass on. Where a department opens its own work on another's customer, the
share comes by itself and for good: docs/decisions/0014-a-customer-of-two-departments.md.
"""

from datetime import timedelta

from sqlalchemy import bindparam, event, inspect, or_, select

from app import access, bulk
from app.access import DOOR
from app.extensions import N_, Session
from app.models import ENTITIES, Deal, Department, Share, Staff, Ticket
from app.roles import VERBS
from app.rules import RuleBroken, values

SHAREABLE = tuple(entity for entity, verbs in VERBS.items() if "share" in verbs)
LONGEST_REASON = Share.__table__.c.reason.type.length
LONGEST = timedelta(days=3660)  # a share that ends, ends within ten years

NOT_YOURS = N_("This is not yours to share.")
SEEN_IN_PART = N_("A part of this is kept from you, so you cannot open it to others.")
READ_IN_PART = N_("You may not edit this yourself, or not all of it: share it to be seen.")
HELD_ALREADY = N_("It is shared like that already.")

_SHARE, _STAFF, _DEPARTMENT = Share.__table__, Staff.__table__, Department.__table__
_GIVER = _STAFF.alias("giver")
_OF_RECORD = (
    select(
        _SHARE.c.id,
        _SHARE.c.may,
        _SHARE.c.until_on,
        _SHARE.c.reason,
        _SHARE.c.cause,
        _SHARE.c.created_at,
        _STAFF.c.name.label("person"),
        _DEPARTMENT.c.name.label("department"),
        _GIVER.c.name.label("by"),
    )
    .select_from(_SHARE)
    .outerjoin(_STAFF, _STAFF.c.id == _SHARE.c.to_staff_id)
    .outerjoin(_DEPARTMENT, _DEPARTMENT.c.id == _SHARE.c.to_department_id)
    .outerjoin(_GIVER, _GIVER.c.id == _SHARE.c.created_by_id)
    .where(
        _SHARE.c.entity == bindparam("entity"),
        _SHARE.c.record_id == bindparam("record_id"),
        or_(_SHARE.c.until_on.is_(None), _SHARE.c.until_on >= bindparam("today")),
    )
    .order_by(_SHARE.c.id)
)


def shares_of(session, row, *, today):
    """With whom a record is shared now, by whom, why and until when: one SELECT of names.

    The row has come through the rule of sight, and its shares are seen with it.
    """
    this = {"entity": row.__tablename__, "record_id": row.id, "today": today}
    return session.connection().execute(_OF_RECORD, this, execution_options={DOOR: True}).all()


def can_share(principal, row):
    """Whether the principal may share this very row, as far as it tells itself; the guard asks again when he does."""
    return principal.is_system or any(
        _reaches(grant, row)
        for grant in principal.grants_for("share", row.__tablename__)
        if grant.condition is None
    )


def _reaches(grant, row):
    if grant.owners is not None:
        return row.owner_id in grant.owners
    return grant.departments is None or row.department_id in grant.departments


def share(session, row, to, *, may, until_on, reason, today):
    """Open a record to a person or department (`to`) until a day, or for good with None; returns the share.

    Raises RuleBroken; WriteRefused comes from the guard where the record is not the principal's to share.
    """
    terms = terms_of(to, may=may, until_on=until_on, reason=reason, today=today)
    _check_held(access.principal_of(session), session, row, terms["may"])
    if (row.id, *_target(terms)) in _held(session, row.__tablename__, [row.id], terms):
        raise RuleBroken(HELD_ALREADY, field="to")
    given = Share(entity=row.__tablename__, record_id=row.id, **terms)
    session.add(given)
    session.flush()
    return given


def terms_of(to, *, may, until_on, reason, today):
    """The columns of a share, once they are sound: with whom, what for, how long. Raises RuleBroken."""
    if not isinstance(to, Staff | Department):
        raise RuleBroken(N_("Say with whom."), field="to")
    if isinstance(to, Staff) and to.has_left:
        raise RuleBroken(N_("%(person)s has left."), field="to", person=str(to))
    if may not in Share.__table__.c.may.info["choices"]:
        raise RuleBroken(N_("Say what it is shared for: to be seen, or to be edited, too."), field="may")
    if until_on is not None and until_on < today:
        raise RuleBroken(N_("This day has passed."), field="until_on")
    if until_on is not None and until_on > today + LONGEST:
        raise RuleBroken(N_("Not later than in ten years; or share it for good."), field="until_on")
    reason = values.one_line(reason or "").strip()
    if not reason:
        raise RuleBroken(N_("Say why: whoever reads it later needs the reason."), field="reason")
    values.check_storable(reason)
    if len(reason) > LONGEST_REASON:
        raise RuleBroken(N_("At most %(most)s letters."), field="reason", most=LONGEST_REASON)
    target = "to_staff_id" if isinstance(to, Staff) else "to_department_id"
    return {target: to.id, "may": may, "until_on": until_on, "reason": reason}


def _check_held(principal, session, row, may):
    """Nobody opens what he does not see or edit himself."""
    if principal.is_system:
        return
    if not can_share(principal, row):
        raise access.WriteRefused(row.__tablename__, NOT_YOURS)
    if principal.hidden_on(row):
        raise RuleBroken(SEEN_IN_PART)
    if may == "edit":
        model = type(row)
        within = select(model.id).where(model.id == row.id, access.lies_within(principal, "edit", model))
        if principal.read_only_on(row) or session.scalar(within) is None:
            raise RuleBroken(READ_IN_PART, field="may")


def reasons_against(session, model, ids, may):
    """id -> why it cannot be shared by the session's principal, of those that he may not share so: for many rows."""
    principal = access.principal_of(session)
    if principal.is_system:
        return {}
    if principal.hidden(model.__tablename__):
        return dict.fromkeys(ids, SEEN_IN_PART)
    if may == "edit" and principal.read_only(model.__tablename__):
        return dict.fromkeys(ids, READ_IN_PART)
    within = {}
    for verb in ("share", "edit") if may == "edit" else ("share",):
        reached = select(model.id).where(model.id.in_(ids), access.lies_within(principal, verb, model))
        within[verb] = set(session.scalars(reached))
    refused = {key: READ_IN_PART for key in ids if key not in within.get("edit", set(ids))}
    return refused | {key: NOT_YOURS for key in ids if key not in within["share"]}


def held_already(session, entity, ids, terms):
    """Those of the ids that are shared so, or more widely, already."""
    return {key for key, *_ in _held(session, entity, ids, terms)}


def share_many(session, entity, ids, terms):
    """Share these records on these terms; returns how many were not shared so yet. The guard asks for the right."""
    held = held_already(session, entity, ids, terms)
    new = [{"entity": entity, "record_id": key, **terms} for key in ids if key not in held]
    bulk.add(session, Share, new)
    return [row["record_id"] for row in new]


def _target(terms):
    return terms.get("to_staff_id"), terms.get("to_department_id")


def _held(session, entity, ids, terms):
    """(record, person, department) of shares that give as much for as long, to the same."""
    staff_id, department_id = _target(terms)
    column, key = (_SHARE.c.to_staff_id, staff_id) if staff_id else (_SHARE.c.to_department_id, department_id)
    lasting = _SHARE.c.until_on.is_(None)
    if terms["until_on"] is not None:
        lasting = or_(lasting, _SHARE.c.until_on >= terms["until_on"])
    asked = select(_SHARE.c.record_id, _SHARE.c.to_staff_id, _SHARE.c.to_department_id).where(
        _SHARE.c.entity == entity, _SHARE.c.record_id.in_(ids), column == key, lasting
    )
    if terms["may"] == "edit":
        asked = asked.where(_SHARE.c.may == "edit")
    return {tuple(row) for row in session.connection().execute(asked, execution_options={DOOR: True})}


def end(session, row, share_id):
    """End a share of this record; returns whether it was there. Raises RuleBroken while the department works there."""
    this = (Share.id == share_id, Share.entity == row.__tablename__, Share.record_id == row.id)
    given = session.scalars(select(Share).where(*this)).first()
    if given is None:
        return False
    if given.cause == "work" and _works_there(session, row, given.to_department_id):
        raise RuleBroken(
            N_("%(department)s has work of its own here: the customer belongs to both."),
            department=str(session.get(Department, given.to_department_id)),
        )
    bulk.delete(session, Share, [given.id])
    return True


# --------------------------------------------------------------------------------------------- work of two departments

CUSTOMERS = {"company_id": "company", "contact_id": "contact"}
WORK = (Deal, Ticket)
REASON_OF_WORK = "Own work there"  # as the ledger keeps it; pages say it by the cause


def _works_there(session, row, department_id):
    """Whether deals or tickets of the department stand on this customer: only yes or no is told of them."""
    column = f"{row.__tablename__}_id"
    for model in WORK:
        table = model.__table__
        asked = select(table.c.id).where(table.c[column] == row.id, table.c.department_id == department_id)
        if session.connection().execute(asked.limit(1), execution_options={DOOR: True}).first():
            return True
    return False


@event.listens_for(Session, "after_flush")
def _belongs_to_both(session, _context):
    """In the flush that opens or moves a deal or ticket, its customers become its department's, too."""
    rows = [
        *(row for row in session.new if isinstance(row, WORK)),
        *(row for row in session.dirty if isinstance(row, WORK) and _is_moved(row)),
    ]
    opened = [{name: getattr(row, name) for name in ("department_id", *CUSTOMERS)} for row in rows]
    if opened:
        belong_to_both(session, opened)


def _is_moved(row):
    attributes = inspect(row).attrs
    return any(attributes[name].history.has_changes() for name in ("department_id", *CUSTOMERS))


@bulk.heard(*WORK)
def _belong_to_both(session, rows):
    belong_to_both(session, rows)


def belong_to_both(session, opened):
    """Give each department for good the sight of foreign customers on which it opened work.

    `opened`: dicts of department_id, company_id, contact_id. Only what persons open counts: the system moves rows for
    them and opens nothing, nor does an undo. To see is all it gives: nobody can give himself the right to edit by
    opening a deal.
    """
    if access.principal_of(session).is_system or session.info.get(access.GOING_BACK):
        return
    for column, entity in CUSTOMERS.items():
        wanted = {(row[column], row["department_id"]) for row in opened if row.get(column) is not None}
        if wanted:
            foreign = _foreign(session, ENTITIES[entity].__table__, sorted(wanted))
            new = sorted(foreign - _known(session, entity, sorted(foreign)))
            terms = {"entity": entity, "may": "see", "until_on": None, "cause": "work", "reason": REASON_OF_WORK}
            bulk.add_along(session, Share, [{"record_id": key, "to_department_id": to, **terms} for key, to in new])


def _foreign(session, table, pairs):
    """Of these (customer, department), those where the customer belongs to another department."""
    keys = sorted({key for key, _ in pairs})
    whose = dict(_asked(session, select(table.c.id, table.c.department_id), table.c.id, keys))
    return {(key, to) for key, to in pairs if key in whose and whose[key] != to}


def _known(session, entity, pairs):
    """Of these (customer, department), those that belong together already."""
    by_work = select(_SHARE.c.record_id, _SHARE.c.to_department_id)
    by_work = by_work.where(_SHARE.c.entity == entity, _SHARE.c.cause == "work")
    keys = sorted({key for key, _ in pairs})
    return {tuple(row) for row in _asked(session, by_work, _SHARE.c.record_id, keys)}


def _asked(session, statement, column, keys):
    """The rows of a statement whose column is one of many keys, asked past the rule."""
    for start in range(0, len(keys), bulk.CHUNK):
        some = statement.where(column.in_(keys[start : start + bulk.CHUNK]))
        yield from session.connection().execute(some, execution_options={DOOR: True})
