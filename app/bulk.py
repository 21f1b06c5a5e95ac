"""The one door for many rows: added, edited or deleted in a few statements, with all that single ones get.

The same rights (asked of the database, old state and new), the same ledger, the same search entries, versions and
stamps as through the session. Values are those of the columns, already checked; the caller commits.

`goes_along`: the rows follow a record whose right was asked (a merge moves every link to it, whoever's the linking
row is), so their own is not; `rules/merging.py` and the undo of its sets are the only ones to say so.
"""

from datetime import UTC, datetime
from itertools import islice

from sqlalchemy import bindparam, event, insert, inspect, select, update
from sqlalchemy import delete as delete_from
from sqlalchemy.orm.util import identity_key

from app import access, bell, ledger, search, security
from app.access import DOOR, deleted_in, principal_of
from app.extensions import Session
from app.models import ENTITIES, Recorded

_LISTENERS = {}  # model -> those who want to hear of its rows
CHUNK = 1000  # rows a statement; SQLite takes 32,766 values at once
_OPTIONS = {DOOR: True}


def add(session, model, rows, *, restoring=False, goes_along=False, step=lambda how_many: None):
    """Insert these rows (dicts of column -> value) and return their ids, in their order.

    `restoring`: the rows bring their old id and stamps along. `step` hears of every chunk that is done.
    Raises WriteRefused when one of them, or a row it links to, is beyond the principal's rights.
    """
    session.flush()
    return _add(session, model, rows, restoring, goes_along, step)


def add_along(session, model, rows):
    """Insert rows that follow from others by a rule of the house, within their flush: nobody's right is asked."""
    return _add(session, model, rows, restoring=False, goes_along=True)


def _add(session, model, rows, restoring, goes_along, step=lambda how_many: None):
    ids, table = [], model.__table__
    for chunk in _chunks(rows):
        if not goes_along:
            names = {name for row in chunk for name, value in row.items() if value is not None}
            access.check_fields(principal_of(session), model, names)
        whole = [_completed(session, model, row, restoring) for row in chunk]
        if restoring:
            session.connection().execute(insert(table), whole, execution_options=_OPTIONS)
            keys = [row["id"] for row in whole]
        else:
            statement = insert(table).returning(table.c.id, sort_by_parameter_order=True)
            keys = session.connection().execute(statement, whole, execution_options=_OPTIONS).scalars().all()
        whole = [{**row, "id": key} for row, key in zip(whole, keys, strict=True)]
        if not goes_along:
            access.ask(session, "add", model, keys)
            _ask_links(session, model, whole)
        ledger.record(session, model, "add", [(key, {}, row) for key, row in zip(keys, whole, strict=True)])
        if model.__search__:
            search.put(session.connection(), [search.entry_of(model, row) for row in whole], new=True)
        _tell(session, model, whole)
        ids += keys
        step(len(chunk))
    return ids


def edit(session, model, changes, *, goes_along=False, step=lambda how_many: None):
    """Set values: `changes` maps an id to {column: value}. Returns the ids of the rows that really changed.

    Rows that are gone are passed over. Raises WriteRefused when a row, as it was or as it becomes, is beyond the
    principal's rights.
    """
    session.flush()
    changed = []
    for chunk in _chunks(changes.items()):
        wanted = dict(chunk)
        edits = []
        for before in _rows(session, model, wanted):
            after = {name: value for name, value in wanted[before["id"]].items() if before[name] != value}
            if after:
                edits.append((before["id"], before, after))
        if edits:
            if not goes_along:
                names = {name for _, _, after in edits for name in after}
                access.check_fields(principal_of(session), model, names)
            _edit(session, model, edits, goes_along)
            changed += [key for key, _, _ in edits]
        step(len(chunk))
    return changed


def delete(session, model, ids, *, goes_along=False, step=lambda how_many: None):
    """Delete these rows with their parts; returns the ids of those that were there.

    Raises WriteRefused, or the database's IntegrityError when something else still points to one of them.
    """
    session.flush()
    gone = []
    for chunk in _chunks(ids):
        rows = _rows(session, model, chunk)
        keys = [row["id"] for row in rows]
        if not goes_along:
            access.ask(session, "delete", model, keys)
        for part, column in _parts(model):
            of_these = select(part.__table__.c.id).where(part.__table__.c[column].in_(keys))
            theirs = session.connection().scalars(of_these, execution_options=_OPTIONS).all()
            delete(session, part, theirs, goes_along=True)  # the right was asked for on their whole
        # First the word, then the deed: whose a part was is asked of its record, which is about to go.
        ledger.record(session, model, "delete", [(row["id"], row, {}) for row in rows])
        for name in ledger.POINTING:
            _delete_pointing(session, ENTITIES[name], model, keys)
        if model.__search__:
            search.take(session.connection(), model.__tablename__, keys)
        this = delete_from(model.__table__).where(model.__table__.c.id.in_(keys))
        session.connection().execute(this, execution_options=_OPTIONS)
        _forget(session, model, keys, gone=True)
        bell.forget(session, model, keys)
        _tell(session, model, [])
        gone += keys
        step(len(chunk))
    return gone


def _edit(session, model, edits, goes_along):
    keys = [key for key, _, _ in edits]
    if not goes_along:
        access.ask(session, "edit", model, keys)
        given_away = [key for key, _, after in edits if access.WHOSE.intersection(after)]
        access.ask_to_give_away(session, model, given_away)
    now, table = datetime.now(UTC), model.__table__
    alike = {}  # the columns that are set -> the parameters of rows that set just these
    for key, before, after in edits:
        stamps = {"updated_at": now, "version": before["version"] + 1} if issubclass(model, Recorded) else {}
        values = {**after, **stamps}
        parameters = {"key of the row": key, **{f"new {name}": value for name, value in values.items()}}
        alike.setdefault(tuple(values), []).append(parameters)
    for names, parameters in alike.items():
        statement = update(table).where(table.c.id == bindparam("key of the row"))
        statement = statement.values(
            {name: bindparam(f"new {name}", type_=table.c[name].type) for name in names}
        )
        session.connection().execute(statement, parameters, execution_options=_OPTIONS)
    _forget(session, model, keys)
    if not goes_along:
        access.ask(session, "edit", model, keys)
        _ask_links(session, model, [after for _, _, after in edits])
    whole = [(key, before, {**before, **after}) for key, before, after in edits]
    ledger.record(session, model, "edit", whole)
    found_by = {*model.__search__, "department_id", "custom"}
    entries = [
        search.entry_of(model, after) for _, before, after in whole if _differ(before, after, found_by)
    ]
    if model.__search__:
        search.put(session.connection(), entries)
    bell.handed_over(session, model, edits)
    _tell(session, model, [after for _, _, after in whole])


def heard(*models):
    """Declare a function of (session, rows) that hears of every chunk of rows of these models as they have become."""

    def declare(listener):
        for model in models:
            _LISTENERS.setdefault(model, []).append(listener)
        return listener

    return declare


def _tell(session, model, rows):
    """Whoever must hear of what was written past the session's own events; principals, where it tells of rights."""
    if model in security.OF_RIGHTS:
        security.rights_changed(session)
    for listener in _LISTENERS.get(model, ()) if rows else ():
        listener(session, rows)


def _differ(before, after, names):
    return any(before.get(name) != after.get(name) for name in names)


def _completed(session, model, row, restoring):
    """A row with its defaults and stamps: every dict of one statement has the same keys."""
    values, now = {}, datetime.now(UTC)
    stamps = {"created_at": now, "updated_at": now, "version": 1, "created_by_id": principal_of(session).id}
    for column in model.__table__.c:
        default = column.default
        if column.name in row:
            values[column.name] = row[column.name]
        elif column.name in stamps and issubclass(model, Recorded) and not (restoring and column.nullable):
            values[column.name] = stamps[column.name]
        elif default is not None:
            values[column.name] = default.arg if default.is_scalar else default.arg(None)
        elif column.name != "id":
            values[column.name] = None
    return values


def _rows(session, model, ids):
    """The rows as they stand, locked; deferred columns stay where they are."""
    deferred = {one.columns[0].name for one in inspect(model).column_attrs if one.deferred}
    table = model.__table__
    columns = [column for column in table.c if column.name not in deferred]
    statement = select(*columns).where(table.c.id.in_(list(ids))).order_by(table.c.id).with_for_update()
    found = session.connection().execute(statement, execution_options=_OPTIONS).mappings()
    return [dict(row) for row in found]


def _parts(model):
    """(part, its column that names the whole) of what is deleted with a row."""
    for relation in inspect(model).relationships:
        if relation.cascade.delete:
            yield relation.mapper.class_, next(iter(relation.remote_side)).name


def _delete_pointing(session, pointing, model, keys):
    """Rows that stand with a record by entity and id go with it."""
    table = pointing.__table__
    theirs = select(table.c.id).where(table.c.entity == model.__tablename__, table.c.record_id.in_(keys))
    rows = _rows(session, pointing, session.connection().scalars(theirs, execution_options=_OPTIONS).all())
    if not rows:
        return
    ledger.record(session, pointing, "delete", [(row["id"], row, {}) for row in rows])
    this = delete_from(table).where(table.c.id.in_([row["id"] for row in rows]))
    session.connection().execute(this, execution_options=_OPTIONS)
    _tell(session, pointing, [])


@event.listens_for(Session, "after_flush")
def _take_pointing_along(session, context):
    """What is deleted one by one takes its tags and foreign ids along too."""
    gone = {}
    for row in deleted_in(context):
        if type(row).__tablename__ not in ledger.POINTING:
            gone.setdefault(type(row), []).append(row.id)
    for model, keys in gone.items():
        for name in ledger.POINTING:
            _delete_pointing(session, ENTITIES[name], model, keys)


def _ask_links(session, model, rows):
    """Every row that a foreign key is set to must be seen by who sets it."""
    if principal_of(session).is_system:
        return
    for column in model.__table__.c:
        target = _target(column)
        if target is not None:
            keys = {row[column.name] for row in rows if row.get(column.name) is not None}
            access.ask(session, "see", target, keys)


def _target(column):
    if not column.foreign_keys or column.primary_key or column.info.get("stamped"):
        return None
    return ENTITIES.get(next(iter(column.foreign_keys)).column.table.name)


def _forget(session, model, keys, *, gone=False):
    """What the session holds of these rows is no longer true."""
    for key in keys:
        row = session.identity_map.get(identity_key(model, key))
        if row is not None:
            session.expunge(row) if gone else session.expire(row)


def _chunks(items, size=CHUNK):
    items = iter(items)
    while chunk := list(islice(items, size)):
        yield chunk
