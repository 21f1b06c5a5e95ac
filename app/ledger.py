"""The ledger: every change of a business row, written in the same transaction, with before and after.

History, undo, "as of" and the audit trail come from here; nothing else in the house keeps history of its own.
"""

from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache, partial

from sqlalchemy import Text, bindparam, cast, delete, event, exists, func, insert, inspect, select, update
from sqlalchemy.orm.util import identity_key

from app.access import DOOR, deleted_in, principal_of
from app.extensions import Session, history_of
from app.models import (
    ENTITIES,
    Attachment,
    Change,
    ChangeSet,
    Document,
    DuplicatePair,
    ExternalKey,
    ImportMapping,
    Job,
    JobFile,
    OutboxMessage,
    ReadEntry,
    Recorded,
    Row,
    SearchEntry,
    Share,
    Tagging,
)

# The ledger does not write of itself, nor of what is derived from other rows and can be made again.
UNRECORDED = (Change, ChangeSet, SearchEntry, Job, JobFile, OutboxMessage, DuplicatePair, ImportMapping, ReadEntry)
# Tables whose rows stand with a record, named by entity and id, and go with it.
POINTING = ("tagging", "external_key", "share", "attachment")
_OMITTED = {"version", "updated_at"}  # but with a deletion: a row that comes back gets a version nobody has seen


@event.listens_for(Session, "before_flush")
def _stamp(session, _context, _instances):
    """Who and when, on rows that carry it."""
    now = datetime.now(UTC)
    for row in session.new:
        if isinstance(row, Recorded):
            row.created_at = row.created_at or now
            row.updated_at = row.updated_at or now
            if row.created_by_id is None:
                row.created_by_id = principal_of(session).id
    for row in session.dirty:
        if isinstance(row, Recorded) and session.is_modified(row, include_collections=False):
            row.updated_at = now
    for row in session.deleted:
        session.info["uncovered"] = True
        session.refresh(row)  # whole, so that the ledger can say all that is gone
        session.info["uncovered"] = False


@event.listens_for(Session, "after_flush")
def _write(session, context):
    """One change for each row of this flush, under the one change set of this transaction."""
    gone = deleted_in(context)
    kept = session.dirty.difference(gone)
    edited = (row for row in kept if session.is_modified(row, include_collections=False))
    rows = [
        *(("add", row) for row in session.new),
        *(("edit", row) for row in edited),
        *(("delete", row) for row in gone),
    ]
    changes = [_change(session, row, action) for action, row in rows if _is_recorded(row)]
    changes = [change for change in changes if change["values"]]
    if not changes:
        return
    connection, is_new = session.connection(), "change_set_id" not in session.info
    if is_new and len(changes) == 1 and connection.dialect.name == "postgresql":
        values = _of_set(session, door=session.info["door"], why=session.info.get("why")) | changes[0]
        session.say_last(_NEW_SET_OF_ONE, values, partial(_remember_set, session))
        return
    key = change_set_id(session)
    told = [{**change, "change_set_id": key} for change in changes]
    connection.execute(_NEW_CHANGES, told, execution_options={DOOR: True})


_NEW_CHANGES = insert(Change.__table__)


def record(session, model, action, rows):
    """Write the changes of many rows of one table: (id, values before, values after), whole rows by column."""
    if model in UNRECORDED:
        return
    roots = [_root_of_values(model, key, before or after) for key, before, after in rows]
    whose = _whose_roots(session, model, rows, roots)
    changes = [
        {
            **whose[root],
            "entity": model.__tablename__,
            "record_id": key,
            "root_entity": root[0],
            "root_id": root[1],
            "action": action,
            "values": values,
        }
        for (key, before, after), root in zip(rows, roots, strict=True)
        if (values := values_between(model, action, before, after))
    ]
    if changes:
        set_id = change_set_id(session)
        session.connection().execute(
            _NEW_CHANGES,
            [{**change, "change_set_id": set_id} for change in changes],
            execution_options={DOOR: True},
        )


def values_between(model, action, before, after):
    """Column -> [before, after] of what differs between two whole rows; an empty one stands for no row."""
    values = {}
    for column in model.__table__.c:
        old, new = before.get(column.name), after.get(column.name)
        if old == new or is_omitted(column.name, action):
            continue
        if column.info.get("custom"):
            values.update(custom_changes(old, new))
        else:
            values[column.name] = [plain(old), plain(new)]
    return values


def _root_of_values(model, key, values):
    if model in (Attachment, Document, ExternalKey, Share, Tagging):
        return values["entity"], values["record_id"]
    if model.__through__ in ENTITIES:
        return model.__through__, values[f"{model.__through__}_id"]
    return model.__tablename__, key


def _whose_roots(session, model, rows, roots):
    """Root -> its department and owner: the rows' own as they become, or asked for in one SELECT an entity."""
    names, whose, elsewhere = ("department_id", "owner_id"), {}, {}
    has_own = all(name in model.__table__.c for name in names)
    for (_, before, after), root in zip(rows, roots, strict=True):
        if root[0] == model.__tablename__ and has_own:
            whose[root] = {name: (after or before)[name] for name in names}
        else:
            whose[root] = dict.fromkeys(names)
            elsewhere.setdefault(root[0], set()).add(root[1])
    for entity, keys in elsewhere.items():
        table = ENTITIES[entity].__table__
        if all(name in table.c for name in names):
            columns = (table.c.id, *(table.c[name] for name in names))
            asked = select(*columns).where(table.c.id.in_(keys))
            for row in session.connection().execute(asked, execution_options={DOOR: True}).mappings():
                whose[entity, row["id"]] = {name: row[name] for name in names}
    return whose


def change_set_id(session):
    """The change set of the running transaction; begun when first asked for."""
    session.say_now()
    if "change_set_id" not in session.info:
        _begin_set(session, door=session.info["door"], why=session.info.get("why"))
    return session.info["change_set_id"]


@contextmanager
def new_change_set(session, *, door, why=None, **more):
    """A change set of its own for what is changed in this block, whatever the transaction has changed before."""
    session.flush()
    before = {name: session.info.pop(name, None) for name in _OF_THE_SET}
    yield _begin_set(session, door=door, why=why, **more)
    session.flush()
    for name, value in before.items():
        session.info.pop(name, None)
        if value is not None:
            session.info[name] = value


def drop_empty_change_set(session, key):
    """Take back a change set under which nothing was changed."""
    statement = delete(ChangeSet.__table__).where(ChangeSet.__table__.c.id == key)
    session.connection().execute(statement, execution_options={DOOR: True})


_OF_THE_SET = ("change_set_id", "change_set_begun_in")
_NEW_SET = insert(ChangeSet.__table__).returning(ChangeSet.__table__.c.id)


def _set_of_one():
    """A change set with its one change, which is what a save makes."""
    begun = {name: bindparam(name) for name in ("at", "by_id", "door", "why")}
    begun = insert(ChangeSet.__table__).values(begun).returning(ChangeSet.__table__.c.id).cte("begun")
    told = [one for one in Change.__table__.c if one.name not in ("id", "change_set_id")]
    values = select(begun.c.id, *(bindparam(one.name, type_=one.type) for one in told))
    change = insert(Change.__table__).from_select(["change_set_id", *told], values).add_cte(begun)
    return change.returning(Change.__table__.c.change_set_id)


_NEW_SET_OF_ONE = _set_of_one()


def _begin_set(session, **values):
    values = _of_set(session, **values)
    key = session.connection().execute(_NEW_SET, values, execution_options={DOOR: True}).scalar_one()
    _remember_set(session, key)
    return key


def _of_set(session, **values):
    return values | {"at": datetime.now(UTC), "by_id": principal_of(session).id}


def _remember_set(session, key):
    session.info["change_set_id"], session.info["change_set_begun_in"] = key, session.get_nested_transaction()


@event.listens_for(Session, "after_transaction_end")
def _close_the_set(session, transaction):
    if transaction.parent is None:
        for name in _OF_THE_SET:
            session.info.pop(name, None)


@event.listens_for(Session, "after_soft_rollback")
def _forget_a_set_that_is_gone(session, previous):
    """One that was begun inside the savepoint that was rolled back; the next change begins one anew."""
    begun_in = session.info.get("change_set_begun_in")
    while begun_in is not None:
        if begun_in is previous:
            for name in _OF_THE_SET:
                session.info.pop(name, None)
            return
        begun_in = begun_in.parent


def _is_recorded(row):
    return isinstance(row, Row) and not isinstance(row, UNRECORDED)


def _change(session, row, action):
    root_entity, root_id = root_of(row)
    return {
        **_whose(session, row, root_entity, root_id),
        "entity": row.__tablename__,
        "record_id": row.id,
        "root_entity": root_entity,
        "root_id": root_id,
        "action": action,
        "values": _values(row, action),
    }


def _whose(session, row, root_entity, root_id):
    """Department and owner of the record: the row's own, or its root's, who is at hand or asked for by plain SQL."""
    model = ENTITIES[root_entity]
    names = ("department_id", "owner_id")
    if not hasattr(model, "department_id") or not hasattr(model, "owner_id"):
        return dict.fromkeys(names)
    root = row if isinstance(row, model) else session.identity_map.get(identity_key(model, root_id))
    if root is not None and not inspect(root).expired:
        return {name: getattr(root, name) for name in names}
    columns = [model.__table__.c[name] for name in names]
    whose = select(*columns).where(model.__table__.c.id == root_id)
    found = session.connection().execute(whose, execution_options={DOOR: True}).first()
    return dict(zip(names, found or (None, None), strict=True))


def root_of(row):
    """The record in whose history a change of this row stands: (entity, id)."""
    if isinstance(row, Attachment | Document | ExternalKey | Share | Tagging):
        return row.entity, row.record_id
    parent = row.__through__
    if parent not in ENTITIES:
        return row.__tablename__, row.id
    key = inspect(row).attrs[f"{parent}_id"]
    return parent, key.value if key.value is not None else key.history.deleted[0]  # taken out of its parent


def _values(row, action):
    """Column -> [before, after], for the columns that this change touched."""
    state, values = inspect(row), {}
    for name, column in _told_of(type(row)):
        if action == "edit" and name not in state.committed_state:
            continue  # untouched
        if is_omitted(name, action):
            continue
        history = history_of(row, name)
        if action == "edit":
            if not history.has_changes():
                continue
            before = history.deleted[0] if history.deleted else None
            after = history.added[0] if history.added else None
        else:
            now = history.added[0] if history.added else history.unchanged[0] if history.unchanged else None
            if action == "delete" and history.deleted:
                now = history.deleted[0]
            before, after = (None, now) if action == "add" else (now, None)
        if before == after:
            continue
        if column.info.get("custom"):
            values.update(custom_changes(before, after))
        else:
            values[column.name] = [plain(before), plain(after)]
    return values


@cache
def _told_of(model):
    """(attribute, column) of all that a change of such a row may tell of."""
    return [(one.key, one.columns[0]) for one in inspect(model).column_attrs if not one.deferred]


def custom_changes(before, after):
    """What changed of the custom fields: "custom.<name>" -> [before, after]."""
    before, after = before or {}, after or {}
    names = sorted({*before, *after})
    return {
        f"custom.{name}": [before.get(name), after.get(name)]
        for name in names
        if before.get(name) != after.get(name)
    }


def is_omitted(name, action):
    """Whether a column is not told of in a change of this kind."""
    return name in _OMITTED and not (name == "version" and action == "delete")


def plain(value):
    """A value as JSON keeps it: decimals and dates as text."""
    if isinstance(value, Decimal | date | datetime):
        return str(value) if isinstance(value, Decimal) else value.isoformat()
    return value


# --------------------------------------------------------------------------------------------- forgetting


def forget_deleted(session, before):
    """Empty the values of records that were deleted before this moment and not brought back; returns how many.

    Who did what to them, and when, stays; what they held is gone from the ledger, too, and no undo finds it again.
    A part that has moved to a living record keeps its past.
    """
    table, sets = Change.__table__, ChangeSet.__table__
    later = table.alias()
    last, forgotten = 0, 0
    while True:
        deleted = (
            select(table.c.id, table.c.entity, table.c.record_id)
            .join(sets, sets.c.id == table.c.change_set_id)
            .where(table.c.action == "delete", table.c.entity == table.c.root_entity, table.c.id > last)
            .where(sets.c.at < before, func.length(cast(table.c["values"], Text)) > len("{}"))
            .where(
                ~exists().where(
                    later.c.entity == table.c.entity,
                    later.c.record_id == table.c.record_id,
                    later.c.id > table.c.id,
                )
            )
            .order_by(table.c.id)
            .limit(_FORGOTTEN_AT_ONCE)
        )
        found = session.connection().execute(deleted, execution_options={DOOR: True}).all()
        if not found:
            return forgotten
        by_entity = {}
        for last, entity, key in found:  # noqa: B007 - the last one is where it goes on
            by_entity.setdefault(entity, []).append(key)
        for entity, keys in by_entity.items():
            _empty(session, entity, keys)
        forgotten += len(found)


_FORGOTTEN_AT_ONCE = 500


def forget_parts(session, entity, before):
    """Empty the values of parts of this kind that were deleted before this moment and not brought back.

    For parts that hold something outside the database, which goes with them: files.
    """
    table, sets = Change.__table__, ChangeSet.__table__
    connection, options = session.connection(), {DOOR: True}
    there = ENTITIES[entity].__table__.alias()
    gone = (
        select(table.c.record_id)
        .join(sets, sets.c.id == table.c.change_set_id)
        .where(table.c.entity == entity)
        .where(~exists().where(there.c.id == table.c.record_id))
        .group_by(table.c.record_id)
        .having(func.max(sets.c.at) < before)
    )
    emptied = update(table).where(table.c.entity == entity, table.c.record_id.in_(gone)).values({"values": {}})
    emptied = emptied.where(func.length(cast(table.c["values"], Text)) > len("{}"))
    return connection.execute(emptied, execution_options=options).rowcount


def forget(session, deletion):
    """Empty what the ledger holds of one deleted record and its parts, for good: no undo finds it again.

    `deletion` is the change that deleted it. Who did what, and when, stays; that this was done is said by one more.
    """
    _empty(session, deletion.entity, [deletion.record_id])
    names = ("entity", "record_id", "root_entity", "root_id", "department_id", "owner_id", "action")
    said = {name: getattr(deletion, name) for name in names}
    said |= {"values": {}, "change_set_id": change_set_id(session)}
    session.connection().execute(insert(Change.__table__), said, execution_options={DOOR: True})


def _empty(session, entity, keys):
    """Empty what the ledger says of these records and of those of their parts that are gone with them."""
    table = Change.__table__
    of_them = (table.c.root_entity == entity, table.c.root_id.in_(keys))
    connection, options = session.connection(), {DOOR: True}
    kinds = connection.scalars(select(table.c.entity).where(*of_them).distinct(), execution_options=options)
    for kind in kinds.all():
        emptied = update(table).where(*of_them, table.c.entity == kind).values({"values": {}})
        if kind in ENTITIES:
            there = ENTITIES[kind].__table__.alias()
            emptied = emptied.where(~exists().where(there.c.id == table.c.record_id))
        connection.execute(emptied, execution_options=options)
