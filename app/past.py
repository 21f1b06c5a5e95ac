"""The past, told from the ledger: what several changes come to, and how a record stood at any moment.

Values are rebuilt backwards: from the row as it is now, or as it was when it was deleted, change by change. Undo, the
trash and "as of" stand on this; it reads and never writes.
"""

from datetime import UTC, date, datetime
from decimal import Decimal

from sqlalchemy import select

from app.access import DOOR, principal_of
from app.models import ENTITIES, Change, ChangeSet, Exact, Moment

CUSTOM = "custom."  # before the name of a custom field's value
AT_ONCE = 500  # rows asked about in one statement


def revived(column, value):
    """A value as the ledger keeps it, in its column's own kind again."""
    kind = column.type
    if value is None:
        return None
    if isinstance(kind, Exact):
        return Decimal(str(value)).quantize(Decimal(1).scaleb(-kind.scale))
    if isinstance(kind, Moment):
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    if isinstance(value, str) and kind.python_type is date:
        return date.fromisoformat(value)
    return value


def is_same(model, name, one, other):
    """Whether two values that the ledger keeps of a column mean the same: "10" and "10.00" of an amount do."""
    column = model.__table__.c.get(name)
    return one == other if column is None else revived(column, one) == revived(column, other)


class Net:
    """What the changes of one row come to: was it there before, is it there after, and its values on both sides."""

    __slots__ = ("after", "before", "has_been", "is_there", "last_id", "model", "record_id", "root")

    def __init__(self, model, record_id):
        self.model, self.record_id, self.root, self.last_id = model, record_id, None, None
        self.has_been = self.is_there = None
        self.before, self.after = {}, {}

    def take(self, change):
        """Take in the next change of this row, in the order in which they happened; with its values or without."""
        if self.has_been is None:
            self.has_been = change.action != "add"
        self.is_there = change.action != "delete"
        if change.action != "edit":
            self.after = dict.fromkeys([*self.before, *self.after])  # what is not told of it is empty
        for name, (before, after) in getattr(change, "values", {}).items():
            self.before.setdefault(name, before)
            self.after[name] = after
        self.root, self.last_id = (change.root_entity, change.root_id), change.id

    @property
    def kind(self):
        """What it comes to: add, edit, delete; None when all is as it was."""
        if self.has_been != self.is_there:
            return "add" if self.is_there else "delete"
        return "edit" if self.is_there and self.changed else None

    @property
    def changed(self):
        """The columns whose value differs."""
        return [
            name
            for name, before in self.before.items()
            if name != "version" and not is_same(self.model, name, before, self.after.get(name))
        ]

    @property
    def is_emptied(self):
        """Whether the trash has been emptied over it: it was deleted, and its values are gone."""
        return not self.is_there and "id" not in self.before

    def is_back_after(self, later):
        """Whether what came later (another Net of the same row) has set it back to what it was before this one."""
        if later.is_there != self.has_been:
            return False
        after = {**self.after, **later.after} if later.is_there else {}
        names = {
            *self.before,
            *(() if self.is_there else later.after),
        }  # one that came back may have got more
        return not self.has_been or all(
            is_same(self.model, name, self.before.get(name), after.get(name)) for name in names - {"version"}
        )

    def values_before(self, names=None):
        """column -> value before, in the columns' own kinds; values of custom fields together in `custom`."""
        columns, values, custom = self.model.__table__.c, {}, {}
        for name in self.before if names is None else names:
            if name.startswith(CUSTOM):
                custom[name.removeprefix(CUSTOM)] = self.before[name]
            elif name in columns:
                values[name] = revived(columns[name], self.before[name])
        return values, custom


def nets(changes):
    """The changes of many rows, in their order, as {(entity, id): Net}."""
    found = {}
    for change in changes:
        key = change.entity, change.record_id
        if key not in found:
            found[key] = Net(ENTITIES[change.entity], change.record_id)
        found[key].take(change)
    return found


# --------------------------------------------------------------------------------------------- as of a moment


def as_of(session, model, key, moment):
    """column -> value of this record as it stood at a moment; None when it was not there or is not to be seen."""
    return states_as_of(session, model, [key], moment).get(key)


def states_as_of(session, model, keys, moment):
    """id -> (column -> value) of many records as they stood at a moment, in few statements.

    Left out are those that were not there then, and those that the session does not show: a record of now is seen
    by who sees it now, one that is gone by who sees that it was deleted.
    """
    states, keys = {}, list(keys)
    for start in range(0, len(keys), AT_ONCE):
        states |= _states(session, model, keys[start : start + AT_ONCE], moment)
    return states


def parts_as_of(session, model, key, moment):
    """entity -> states of the parts that this record had at a moment: the lines of a deal, say."""
    entity, parts = model.__tablename__, {}
    kinds = [part for part in ENTITIES.values() if part.__through__ == entity and part.__sight__ == "scoped"]
    for part in kinds:
        parent = part.__table__.c[f"{entity}_id"].name
        now = session.scalars(select(part.id).where(getattr(part, parent) == key)).all()
        told = select(Change.record_id).where(
            Change.root_entity == entity, Change.root_id == key, Change.entity == part.__tablename__
        )
        ids = sorted({*now, *session.scalars(told.distinct())})
        states = states_as_of(session, part, ids, moment)
        parts[part.__tablename__] = [state for state in states.values() if state[parent] == key]
    return parts


def _states(session, model, keys, moment):
    hidden = principal_of(session).hidden(model.__tablename__)
    attributes = [one for one in model.__mapper__.column_attrs if not one.deferred and one.key not in hidden]
    names = [one.columns[0].name for one in attributes]
    statement = select(*(getattr(model, one.key) for one in attributes)).where(model.id.in_(keys))
    states = {row.id: dict(zip(names, row, strict=True)) for row in session.execute(statement)}
    missing = [key for key in keys if key not in states]
    if missing:
        gone = select(Change.record_id).where(
            Change.entity == model.__tablename__, Change.record_id.in_(missing), Change.action == "delete"
        )
        states |= dict.fromkeys(session.scalars(gone.distinct()))
    since = (
        select(*COLUMNS)
        .join(_SETS, _SETS.c.id == _CHANGES.c.change_set_id)
        .where(
            _CHANGES.c.entity == model.__tablename__, _CHANGES.c.record_id.in_(states), _SETS.c.at > moment
        )
        .order_by(_CHANGES.c.id.desc())
    )
    # Which of them may be seen is known by now.
    for change in session.connection().execute(since, execution_options={DOOR: True}):
        states[change.record_id] = _without(model, states[change.record_id], change)
    return {
        key: {name: value for name, value in state.items() if name not in hidden}
        for key, state in states.items()
        if state is not None
    }


_CHANGES, _SETS = Change.__table__, ChangeSet.__table__
COLUMNS = [
    _CHANGES.c[name] for name in ("id", "entity", "record_id", "root_entity", "root_id", "action", "values")
]


def _without(model, state, change):
    """The state before this change."""
    if change.action == "add":
        return None
    columns = model.__table__.c
    if change.action == "delete":
        if "id" not in change.values:
            return None  # the trash was emptied: nobody knows any more
        state = {one.columns[0].name: None for one in model.__mapper__.column_attrs if not one.deferred}
    elif state is None:
        return None
    else:
        state = dict(state)
    for name, (before, _) in change.values.items():
        if name in columns:
            state[name] = revived(columns[name], before)
        elif name.startswith(CUSTOM):
            state["custom"] = with_custom(state.get("custom"), {name.removeprefix(CUSTOM): before})
    return state


def with_custom(custom, values):
    """The values of custom fields with some replaced; empty ones are left out, and none at all is None."""
    merged = {**(custom or {}), **values}
    return {name: value for name, value in merged.items() if value is not None} or None
