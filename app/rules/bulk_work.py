"""Bulk work: one deed on many records, with the rules and rights that each of them alone would meet.

A `Deed` sets fields, tags, untags, shares or deletes. `preview` says how many it reaches, department by department,
what it would change and what stays as it is, and why; `carry_out` does it through the door for many rows, in chunks,
in the session's one transaction. What goes by deeds of its own (a deal's or ticket's way through its stages, an issued
invoice) is not done in bulk.
"""

from array import array
from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from sqlalchemy import Date, LargeBinary, and_, case, func, inspect, select

from app import access, bulk, custom, ledger
from app.access import DOOR
from app.extensions import N_
from app.models import ENTITIES, DealLine, Department, Exact, Invoice, Share, Staff
from app.rules import RuleBroken, deals, sharing, tags

IN_REQUEST = 200  # rows that are done while one waits; more are a job
LOOKED_AT = 1000  # rows that a preview looks at one by one
AT_ONCE = 500
SAMPLES = 5
NOTED = 100  # refused records that are told by name

# What is done in bulk to records of these kinds, and the verb that it takes.
KINDS = ("company", "contact", "deal", "ticket", "campaign", "activity", "invoice", "product")
VERBS = {"edit": "edit", "tag": "edit", "untag": "edit", "delete": "delete", "share": "share"}
UNCHANGING = ("see", "export")  # what does nothing to the records themselves
# A draft is given to somebody else; everything on it comes from its deal.
ONLY = {"invoice": ("department_id", "owner_id")}
BY_DEEDS = {"stage_id"}

NOT_YOURS = N_("You may not change it.")
NOT_YOURS_TO_DELETE = N_("You may not delete it.")
ISSUED = N_("It has been issued, and stays as it is.")
BILLED = N_("It has been invoiced, and stays as it was billed.")
FROM_LINES = N_("Its amount follows from its lines.")
CLOSED_BEFORE = N_("It was closed before this day.")
ENDS_BEFORE = N_("It would end before it starts.")
HIDDEN_STILL = N_("Other records that you do not see still point to it.")
STILL = {
    "contact": N_("Contacts still belong to it."),
    "deal": N_("Deals still belong to it."),
    "ticket": N_("Tickets still belong to it."),
    "invoice": N_("Invoices still belong to it."),
    "activity": N_("Activities still speak of it."),
    "product": N_("Products still name it."),
    "payment": N_("Payments of it are recorded."),
    "campaign_member": N_("It is a member of a campaign."),
    "deal_line": N_("It stands in the lines of deals."),
    "invoice_line": N_("It stands in the lines of invoices."),
}


@dataclass(frozen=True)
class Deed:
    """What is to be done: `values` maps a column, or custom.<name>, to its new value."""

    kind: str  # edit, tag, untag, share, delete
    values: dict = field(default_factory=dict)
    tag_ids: tuple = ()
    terms: dict = field(default_factory=dict)  # of a share: its columns

    @property
    def verb(self):
        return VERBS[self.kind]

    def as_json(self):
        plain = {name: ledger.plain(value) for name, value in self.values.items()}
        terms = {name: ledger.plain(value) for name, value in self.terms.items()}
        return {"kind": self.kind, "values": plain, "tag_ids": list(self.tag_ids), "terms": terms}

    @classmethod
    def from_json(cls, model, kept):
        columns = model.__table__.c
        values = {name: _typed(columns.get(name), value) for name, value in kept["values"].items()}
        of_share = Share.__table__.c
        terms = {name: _typed(of_share[name], value) for name, value in kept.get("terms", {}).items()}
        return cls(kept["kind"], values, tuple(kept["tag_ids"]), terms)


@dataclass
class Preview:
    """What a deed would do. Refusals and changes are those of the first `looked_at` records."""

    total: int = 0
    departments: list = field(default_factory=list)  # (name or None, records, those that the deed may reach)
    samples: list = field(default_factory=list)  # (id, name, [(field, before, after)])
    looked_at: int = 0
    changed: int = 0
    unchanged: int = 0
    refused: list = field(default_factory=list)  # (id, name, reason)
    reasons: Counter = field(default_factory=Counter)

    @property
    def beyond_rights(self):
        return sum(records - reached for _, records, reached in self.departments)


@dataclass
class Outcome:
    """What was done: how many records changed, stayed as they were, were refused; the first of those by name."""

    changed: int = 0
    unchanged: int = 0
    reasons: Counter = field(default_factory=Counter)
    refused: list = field(default_factory=list)  # (id, name, reason)

    @property
    def refusals(self):
        return self.reasons.total()


class SomeRefused(RuleBroken):
    """Not all of them can be done, and nobody said that the others shall be."""


# --------------------------------------------------------------------------------------------- what can be set


def columns_to_set(model):
    """The columns that are set in bulk."""
    only = ONLY.get(model.__tablename__)
    return tuple(
        column.name
        for column in model.__table__.c
        if column.info.get("label")
        and not column.info.get("stamped")
        and not column.info.get("deed")
        and not isinstance(column.type, LargeBinary)
        and column.name not in {"id", "version", "position", *BY_DEEDS}
        and (only is None or column.name in only)
    )


def check(session, model, deed):
    """That the deed itself is sound, whichever records it is done to; raises RuleBroken."""
    if deed.kind in ("tag", "untag"):
        if model.__tablename__ not in tags.TAGGED:
            raise RuleBroken(N_("Records of this kind take no tags."))
        if not deed.tag_ids:
            raise RuleBroken(N_("Say which tag."), field="tag")
    if deed.kind == "share" and model.__tablename__ not in sharing.SHAREABLE:
        raise RuleBroken(N_("Records of this kind are not shared."))
    if deed.kind != "edit":
        return
    if not deed.values:
        raise RuleBroken(N_("Choose at least one field to set."))
    allowed = access.writable(access.principal_of(session), model.__tablename__, columns_to_set(model))
    fields = {one.key: one for one in custom.fields_for(session, model.__tablename__)}
    for name, value in deed.values.items():
        if name in fields:
            if value is None and fields[name].is_required:
                raise RuleBroken(N_("This is needed."), field=name)
        elif name not in allowed:
            raise RuleBroken(N_("This field is not set in bulk."), field=name)
        elif value is None and not model.__table__.c[name].nullable:
            raise RuleBroken(N_("This is needed."), field=name)
    owner = session.get(Staff, deed.values["owner_id"]) if deed.values.get("owner_id") else None
    if owner is not None and owner.has_left:
        raise RuleBroken(N_("%(person)s has left."), field="owner_id", person=str(owner))


# --------------------------------------------------------------------------------------------- looking


def ids_of(session, model, conditions):
    """The ids of all visible records under these conditions, in order: eight bytes each, however many they are."""
    statement = select(model.id).where(*conditions).order_by(model.id)
    return array("q", session.scalars(statement.execution_options(yield_per=10_000)))


def reached_by(session, verb, model):
    """The condition that a row lies within this verb; and within "bulk", where the verb changes it."""
    principal = access.principal_of(session)
    verbs = (verb,) if verb in UNCHANGING else ("bulk", verb)
    return and_(*(access.lies_within(principal, one, model) for one in verbs))


def counts(session, model, conditions, verb):
    """[(department or None, how many records, how many of them the verb reaches)], largest first."""
    within = reached_by(session, verb, model)
    reached = func.sum(case((within, 1), else_=0))
    if "department_id" not in model.__table__.c:
        total, may = session.execute(select(func.count(model.id), reached).where(*conditions)).one()
        return [(None, total, may or 0)] if total else []
    of_each = select(model.department_id, func.count(model.id), reached).where(*conditions)
    found = session.execute(of_each.group_by(model.department_id)).all()
    names = dict(session.execute(select(Department.id, Department.name)).all())
    rows = [(names[key], total, may) for key, total, may in found]
    return sorted(rows, key=lambda row: (-row[1], row[0]))


def preview(session, model, conditions, deed):
    """What the deed would do to all records under these conditions; nothing is written."""
    said = Preview(departments=counts(session, model, conditions, deed.verb))
    said.total = sum(records for _, records, _ in said.departments)
    first = select(model.id).where(*conditions).order_by(model.id).limit(LOOKED_AT)
    ids = session.scalars(first).all()
    said.looked_at = len(ids)
    told = {}
    for chunk in _chunks(ids):
        look = _look(session, model, deed, chunk)
        said.changed += len(look.changes)
        said.unchanged += len(look.unchanged)
        said.reasons.update(look.refused.values())
        told.update(look.refused)
        for key in list(look.changes)[: SAMPLES - len(said.samples)]:
            said.samples.append((key, look.changes[key], look.before[key]))
    named = _names(session, model, [*list(told)[:NOTED], *(key for key, _, _ in said.samples)])
    said.samples = [
        (key, named[key], [(name, before.get(name), value) for name, value in changes.items()])
        for key, changes, before in said.samples
    ]
    said.refused = [(key, named[key], reason) for key, reason in list(told.items())[:NOTED]]
    return said


def _names(session, model, ids):
    return {row.id: str(row) for row in session.scalars(select(model).where(model.id.in_(ids)))}


@dataclass
class _Look:
    """What a deed would do to a chunk of records."""

    changes: dict = field(default_factory=dict)  # id -> {field: value}
    before: dict = field(default_factory=dict)  # id -> {field: value}
    unchanged: list = field(default_factory=list)
    refused: dict = field(default_factory=dict)  # id -> reason


def _look(session, model, deed, ids):
    look = _Look()
    reached = select(model.id).where(model.id.in_(ids))
    reached = reached.where(reached_by(session, deed.verb, model))
    reached = set(session.scalars(reached))
    no = NOT_YOURS_TO_DELETE if deed.kind == "delete" else NOT_YOURS
    look.refused = {key: no for key in ids if key not in reached}
    mine = [key for key in ids if key in reached]
    if deed.kind == "edit":
        _look_at_edits(session, model, deed, mine, look)
    elif deed.kind == "delete":
        look.refused.update(_kept(session, model, mine))
        look.changes = {key: {} for key in mine if key not in look.refused}
        look.before = {key: {} for key in look.changes}
    elif deed.kind == "share":
        look.refused.update(sharing.reasons_against(session, model, mine, deed.terms["may"]))
        mine = [key for key in mine if key not in look.refused]
        held = sharing.held_already(session, model.__tablename__, mine, deed.terms)
        look.unchanged = [key for key in mine if key in held]
        look.changes = {key: {} for key in mine if key not in held}
        look.before = {key: {} for key in look.changes}
    else:
        held, is_set = tags.held(session, model.__tablename__, mine), deed.kind == "tag"
        for key in mine:
            if all((tag_id in held.get(key, ())) == is_set for tag_id in deed.tag_ids):
                look.unchanged.append(key)
            else:
                look.changes[key] = look.before[key] = {}
    return look


# --------------------------------------------------------------------------------------------- edits

_NEEDED = {
    "deal": ("opened_on", "closed_on"),
    "campaign": ("starts_on", "ends_on"),
    "invoice": ("number",),
}


def _look_at_edits(session, model, deed, ids, look):
    entity, own = model.__tablename__, [name for name in deed.values if name.startswith(custom.PREFIX)]
    names = dict.fromkeys(
        ["id", *(name for name in deed.values if name not in own), *_NEEDED.get(entity, ())]
    )
    if own:
        names["custom"] = None
    rows = session.execute(select(*(getattr(model, name) for name in names)).where(model.id.in_(ids))).all()
    known = _Known(session, entity, ids, deed)
    for values in rows:
        row = dict(zip(names, values, strict=True))
        kept = row.pop("custom", None) or {}
        stands = row | {name: kept.get(name.removeprefix(custom.PREFIX)) for name in own}
        changes = {name: value for name, value in deed.values.items() if stands[name] != value}
        reason = known.reason(stands, changes) if changes else None
        if reason:
            look.refused[row["id"]] = reason
        elif changes:
            look.changes[row["id"]] = changes
            look.before[row["id"]] = stands | ({"custom": kept} if own else {})
        else:
            look.unchanged.append(row["id"])


class _Known:
    """What is asked about a chunk of records before some of their fields are set."""

    def __init__(self, session, entity, ids, deed):
        self.entity, self.with_lines, self.billed = entity, set(), set()
        if entity == "deal" and "amount" in deed.values:
            self.with_lines = _ids_in(session, DealLine.__table__.c.deal_id, ids)
        if entity == "deal" and set(deals.BILLED) & set(deed.values):
            # Asked for everybody: whether there is an invoice matters also to those who may not see it.
            self.billed = _ids_in(session, Invoice.__table__.c.deal_id, ids)

    def reason(self, row, changes):
        """Why this record stays as it is; None: it need not."""
        after = row | changes
        if self.entity == "invoice" and row["number"] is not None:
            return ISSUED
        if row["id"] in self.billed and set(deals.BILLED) & set(changes):
            return BILLED
        if row["id"] in self.with_lines and "amount" in changes:
            return FROM_LINES
        if self.entity == "deal" and after["closed_on"] and after["closed_on"] < after["opened_on"]:
            return CLOSED_BEFORE
        if self.entity == "campaign" and after["starts_on"] and after["ends_on"]:
            return ENDS_BEFORE if after["ends_on"] < after["starts_on"] else None
        return None


def _ids_in(session, column, ids):
    """Those of these ids that stand in a column of another table."""
    asked = select(column).where(column.in_(ids)).distinct()
    return set(session.connection().scalars(asked, execution_options={DOOR: True}))


# --------------------------------------------------------------------------------------------- deletions


def _kept(session, model, ids):
    """id -> why it cannot be deleted: it is frozen, or others still point to it."""
    kept = {}
    if model is Invoice:
        issued = select(Invoice.id).where(Invoice.id.in_(ids), Invoice.number.is_not(None))
        kept.update(dict.fromkeys(session.scalars(issued), ISSUED))
    for other, name in _pointing(model):
        pointed = _ids_in(session, other.__table__.c[name], ids)
        if pointed:
            column = getattr(other, name)
            seen = set(session.scalars(select(column).where(column.in_(pointed)).distinct()))
            for key in pointed:
                kept.setdefault(key, STILL[other.__tablename__] if key in seen else HIDDEN_STILL)
    return kept


def _pointing(model):
    """(model, column) of every foreign key to this one, but for parts that go with their whole."""
    parts = {one.mapper.class_ for one in inspect(model).relationships if one.cascade.delete}
    for other in ENTITIES.values():
        for column in other.__table__.c:
            leads_here = any(key.column.table is model.__table__ for key in column.foreign_keys)
            if leads_here and other not in parts and not column.info.get("stamped"):
                yield other, column.name


# --------------------------------------------------------------------------------------------- doing


def carry_out(session, model, ids, deed, *, leave_refused=False, step=lambda done: None):
    """Do it; the caller commits. Returns the Outcome.

    Where some records must stay as they are, all of them do (SomeRefused), unless `leave_refused` says to do the rest.
    """
    check(session, model, deed)
    done, outcome = 0, Outcome()
    for chunk in _chunks(ids):
        look = _look(session, model, deed, chunk)
        outcome.unchanged += len(look.unchanged)
        outcome.reasons.update(look.refused.values())
        room = NOTED - len(outcome.refused)
        if look.refused and room > 0:
            named = _names(session, model, list(look.refused)[:room])
            outcome.refused += [(key, name, look.refused[key]) for key, name in named.items()]
        if look.refused and not leave_refused:
            raise SomeRefused(
                N_("Some records must stay as they are: “%(name)s” is one. Nothing was changed."),
                name=outcome.refused[0][1] if outcome.refused else f"#{next(iter(look.refused))}",
            )
        outcome.changed += _do(session, model, deed, look)
        done += len(chunk)
        step(done)
    return outcome


def _do(session, model, deed, look):
    keys = list(look.changes)
    if deed.kind == "edit":
        changes = {key: _as_columns(values, look.before[key]) for key, values in look.changes.items()}
        return len(bulk.edit(session, model, changes))
    if deed.kind == "delete":
        return len(bulk.delete(session, model, keys))
    if deed.kind == "share":
        return len(sharing.share_many(session, model.__tablename__, keys, deed.terms))
    change = tags.set_on_many if deed.kind == "tag" else tags.take_off_many
    return len(change(session, model.__tablename__, keys, deed.tag_ids))


def _as_columns(changes, before):
    """The changes with those of custom fields put into their column."""
    own = {name.removeprefix(custom.PREFIX): value for name, value in changes.items() if _is_own(name)}
    values = {name: value for name, value in changes.items() if not _is_own(name)}
    if own:
        kept = {name: value for name, value in {**before["custom"], **own}.items() if value is not None}
        values["custom"] = kept or None
    return values


def _is_own(name):
    return name.startswith(custom.PREFIX)


def _typed(column, value):
    """A value as its column takes it, from JSON."""
    if column is None or not isinstance(value, str):
        return value
    if isinstance(column.type, Exact):
        return Decimal(value)
    return date.fromisoformat(value) if isinstance(column.type, Date) else value


def _chunks(ids, size=AT_ONCE):
    for start in range(0, len(ids), size):
        yield list(ids[start : start + size])
