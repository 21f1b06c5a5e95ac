"""Merging: several records that were one all along become one, and everything that pointed to them points to it.

docs/decisions/0006-merging.md says whose rows are moved and what a merge refuses to do. All of it is one change set,
and its undo brings everything back.
"""

from collections import defaultdict

from sqlalchemy import UniqueConstraint, select

from app import access, bulk, ledger
from app.access import DOOR
from app.extensions import N_
from app.models import ENTITIES, CampaignMember, Company, Contact, CustomField, Document, Invoice, Share
from app.rules import RuleBroken

MERGED = (Contact, Company)
MOST = 10  # records that are merged at a time
NOT_CHOSEN = {"id", "custom"}  # columns that people choose nothing for
_OPTIONS = {DOOR: True}


def columns_to_choose(model):
    """The columns of which a merged record takes over one value each."""
    return [
        column
        for column in model.__table__.c
        if column.name not in NOT_CHOSEN and not column.info.get("stamped") and column.info.get("label")
    ]


def proposed(rows):
    """Which record's value each column best takes over: column -> id.

    What is filled goes before what is empty, what was changed last before what is older, and what is written out
    ("Roland") before what it is short for ("R.").
    """
    newest = _newest_first(rows)
    return {
        column.name: _best([(row.id, getattr(row, column.name)) for row in newest])
        for column in columns_to_choose(type(rows[0]))
    }


def proposed_custom(rows):
    """The same for the custom fields that any of the records has: name -> id."""
    newest = _newest_first(rows)
    names = sorted({name for row in rows for name in row.custom or {}})
    return {name: _best([(row.id, (row.custom or {}).get(name)) for row in newest]) for name in names}


def _newest_first(rows):
    return sorted(rows, key=lambda row: (row.updated_at, row.id), reverse=True)


def _best(values):
    filled = [(key, value) for key, value in values if value not in (None, "", [])]
    key, best = (filled or values)[0]
    for other, value in filled:
        if isinstance(value, str) and isinstance(best, str) and _is_short_for(best, value):
            key, best = other, value
    return key


def _is_short_for(short, long):
    return len(short) < len(long) and long.casefold().startswith(short.rstrip(". ").casefold())


def proposed_master(session, rows):
    """The record that best stays: one that papers stand on, else the oldest."""
    frozen = frozen_among(session, type(rows[0]), [row.id for row in rows])
    return min(rows, key=lambda row: (row.id not in frozen, row.created_at, row.id)).id


def frozen_among(session, model, ids):
    """Those of the ids that something points to which nobody may change: issued invoices, kept papers."""
    ids = list(ids)
    papers = select(Document.__table__.c.record_id).where(
        Document.__table__.c.entity == model.__tablename__, Document.__table__.c.record_id.in_(ids)
    )
    found = set(session.connection().scalars(papers, execution_options=_OPTIONS))
    if model is Company:
        table = Invoice.__table__
        issued = select(table.c.company_id).where(table.c.company_id.in_(ids), table.c.number.is_not(None))
        found.update(session.connection().scalars(issued, execution_options=_OPTIONS))
    return found


def merge(session, model, keep, others, values):
    """Make these records one: `keep` (an id) stays with `values`, all links move to it, `others` (ids) are deleted.

    `values` maps columns, and `custom` as a whole, to what the record is to hold. Returns the id of the change set.
    The principal must be allowed to edit the one and to delete the others, else WriteRefused. Raises RuleBroken when
    a paper that nobody may change stands on one of the others.
    """
    others = sorted(set(others) - {keep})
    if model not in MERGED:
        raise RuleBroken(N_("Only contacts and companies can be merged."))
    if not others:
        raise RuleBroken(N_("Choose at least two records to merge."))
    if len(others) >= MOST:
        raise RuleBroken(N_("No more than %(most)s records can be merged at a time."), most=MOST)
    found = _rows(session, model.__table__, model.__table__.c.id.in_([keep, *others]))
    if len(found) < len(others) + 1:
        raise RuleBroken(N_("One of these records is not there any more."))
    access.ask(session, "merge", model, [keep, *others])
    access.ask(session, "edit", model, [keep])
    access.ask(session, "delete", model, others)
    values = _with_what_is_kept(access.principal_of(session), model, keep, found, values)
    frozen = frozen_among(session, model, others)
    if frozen:
        raise RuleBroken(
            N_("Issued papers stand on “%(name)s”, and they stay as they are. Keep this one."),
            name=_name(model, next(row for row in found if row["id"] in frozen)),
        )
    why = _why(model, found, keep)
    with ledger.new_change_set(session, door="merge", why=why) as change_set_id:
        _take_over(session, model, keep, found, values)
        _move_links(session, model, keep, others)
        _move_pointers(session, model, keep, others)
        _move_custom_links(session, model, keep, others)
        bulk.delete(session, model, others)
    session.expire_all()
    return change_set_id


def _with_what_is_kept(principal, model, keep, rows, values):
    """The values with those of the columns that are not the principal's to choose: filled goes before empty."""
    entity = model.__tablename__
    if kept := principal.read_only(entity) & set(values):
        raise access.FieldRefused(entity, min(kept))
    names = principal.read_only(entity).intersection(column.name for column in columns_to_choose(model))
    newest = sorted(rows, key=lambda row: (row["updated_at"], row["id"]), reverse=True)
    by_id = {row["id"]: row for row in rows}
    sources = {name: _best([(row["id"], row[name]) for row in newest]) for name in names}
    stands = by_id[keep]
    taken = {name: by_id[key][name] for name, key in sources.items() if by_id[key][name] != stands[name]}
    return {**values, **taken}


def _take_over(session, model, keep, rows, values):
    """Set the chosen values. A link that one of the records has may be taken over without seeing where it leads."""
    if "custom" in values:
        values = {**values, "custom": values["custom"] or None}  # without any is empty, not an empty heap
    theirs = {name: value for name, value in values.items() if any(row[name] == value for row in rows)}
    bulk.edit(session, model, {keep: theirs}, goes_along=True)
    access.ask(session, "edit", model, [keep])
    others = {name: value for name, value in values.items() if name not in theirs}
    bulk.edit(session, model, {keep: others})


def _why(model, rows, keep):
    """What the change set says: a sentence for the ledger, which keeps it as it is."""
    names = {row["id"]: _name(model, row) for row in rows}
    gone = ", ".join(f"“{names[row['id']]}” (#{row['id']})" for row in rows if row["id"] != keep)
    return f"Merged {gone} into “{names[keep]}” (#{keep})"[:300]


def _name(model, row):
    return row["name"] if model is Company else " ".join(filter(None, (row["first_name"], row["last_name"])))


# --------------------------------------------------------------------------------------------- what moves


def links_to(model):
    """(model, column) of every foreign key of the schema that leads to this table."""
    for entity in sorted(ENTITIES):
        for column in ENTITIES[entity].__table__.c:
            if any(key.column.table is model.__table__ for key in column.foreign_keys):
                yield ENTITIES[entity], column


def _move_links(session, model, keep, others):
    for linking, column in links_to(model):
        rows = _rows(session, linking.__table__, column.in_(others))
        if linking is CampaignMember:
            _keep_how_far_it_came(session, rows, keep)
        doubled = _doubled(session, linking, rows, {column.name: keep})
        bulk.delete(session, linking, sorted(doubled), goes_along=True)
        moved = {row["id"]: {column.name: keep} for row in rows if row["id"] not in doubled}
        bulk.edit(session, linking, moved, goes_along=True)


def _move_pointers(session, model, keep, others):
    """What speaks of a record by entity and id: tags, ids of other systems, shares. A pair of likes goes with its
    records."""
    for entity in ledger.POINTING:
        linking, table = ENTITIES[entity], ENTITIES[entity].__table__
        of_these = (table.c.entity == model.__tablename__, table.c.record_id.in_(others))
        rows = _rows(session, table, *of_these)
        if linking is Share:
            doubled = _shared_already(session, model, rows, keep)
        else:
            doubled = _doubled(session, linking, rows, {"record_id": keep})
        bulk.delete(session, linking, sorted(doubled), goes_along=True)
        moved = {row["id"]: {"record_id": keep} for row in rows if row["id"] not in doubled}
        bulk.edit(session, linking, moved, goes_along=True)


def _move_custom_links(session, model, keep, others):
    """Custom fields that link to records of this kind."""
    fields = CustomField.__table__
    leading = select(fields.c.entity, fields.c.name).where(
        fields.c.kind == "record", fields.c.target == model.__tablename__
    )
    for entity, name in session.connection().execute(leading, execution_options=_OPTIONS).all():
        linking = ENTITIES[entity]
        table = linking.__table__
        rows = _rows(session, table, table.c.custom[name].as_integer().in_(others))
        moved = {
            row["id"]: {"custom": {**row["custom"], name: keep}} for row in rows if row["id"] not in others
        }
        bulk.edit(session, linking, moved, goes_along=True)


def _doubled(session, linking, rows, new):
    """The ids of those rows that, once moved, would say again what another row says already, where that may be said
    only once."""
    doubled, table = set(), linking.__table__
    for constraint in table.constraints:
        names = [column.name for column in constraint.columns]
        if not isinstance(constraint, UniqueConstraint) or not set(new).intersection(names):
            continue
        if not rows:
            continue
        said = _rows(
            session, table, *(table.c[name] == value for name, value in new.items() if name in names)
        )
        taken = {tuple(row[name] for name in names) for row in said}
        for row in sorted(rows, key=lambda row: row["id"]):
            says = tuple(new.get(name, row[name]) for name in names)
            if says in taken:
                doubled.add(row["id"])
            taken.add(says)
    return doubled


def _shared_already(session, model, rows, keep):
    """Those of these shares that give nothing beyond what the record that stays, or one before them, gives."""
    table, names = Share.__table__, ("to_staff_id", "to_department_id", "may", "until_on", "cause")
    kept = _rows(session, table, table.c.entity == model.__tablename__, table.c.record_id == keep)
    taken = {tuple(row[name] for name in names) for row in kept}
    (home,) = (row["department_id"] for row in _rows(session, model.__table__, model.__table__.c.id == keep))
    doubled = set()
    for row in rows:
        says = tuple(row[name] for name in names)
        if says in taken or row["to_department_id"] == home:
            doubled.add(row["id"])
        taken.add(says)
    return doubled


def _keep_how_far_it_came(session, rows, keep):
    """Of two memberships in a campaign one stays, with the further of both states."""
    order = list(CampaignMember.__table__.c.status.info["choices"])
    table = CampaignMember.__table__
    furthest = defaultdict(lambda: order[0])
    for row in rows:
        campaign = row["campaign_id"]
        furthest[campaign] = max(furthest[campaign], row["status"], key=order.index)
    stay = _rows(session, table, table.c.contact_id == keep, table.c.campaign_id.in_(list(furthest)))
    stay += [row for row in rows if row["campaign_id"] not in {one["campaign_id"] for one in stay}]
    raised = {
        row["id"]: {"status": furthest[row["campaign_id"]]}
        for row in stay
        if order.index(furthest[row["campaign_id"]]) > order.index(row["status"])
    }
    bulk.edit(session, CampaignMember, raised, goes_along=True)


def _rows(session, table, *conditions):
    """Rows as they stand, locked, whoever they belong to: what a merge has to move, not what it shows."""
    statement = select(table).where(*conditions).order_by(table.c.id).with_for_update()
    return session.connection().execute(statement, execution_options=_OPTIONS).mappings().all()
