"""The fields that the firm added itself: which there are, who sees them, and how SQL asks for their values.

A record keeps the values of its custom fields in one JSON column, `custom`: field name -> plain value; an empty value
is no key, and no values at all are None. Kept are:

    text, long_text, mail, phone, link   text
    number                               a whole number
    decimal, money                       a number of at most 14 digits, 4 or 2 of them behind the point; JSON numbers
                                         keep 15 exactly
    date                                 "2026-03-04"
    moment                               "2026-03-04T12:00:00Z", always UTC, so that text order is time order
    yes_no                               true or false; not said is neither
    choice, choices                      the value of a choice; a list of them
    record                               the id of a record of the entity `target`

Every door (form, sheet, list, filter, history, import, export, API) asks `fields_for` and so knows only the fields of
its reader; what a reader does not see, he cannot read, write, filter or order by. What values must be like, and who
may define a field, says `rules/custom_fields.py`.
"""

import json
import re
from dataclasses import dataclass
from dataclasses import field as attribute
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cached_property

from sqlalchemy import Boolean, Date, Integer, Numeric, String, bindparam, literal_column, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import scoped_session
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator

from app.access import DOOR, principal_of
from app.extensions import N_
from app.models import CustomField, Exact, Moment
from app.search import fold

PREFIX = "custom."  # before the name of a field, where columns are named beside it
NUMBERS = ("number", "decimal", "money")
# Whose records take custom fields, as people call them; and where a link may lead.
TAKERS = {
    "company": N_("Companies"),
    "contact": N_("Contacts"),
    "deal": N_("Deals"),
    "ticket": N_("Tickets"),
    "campaign": N_("Campaigns"),
    "activity": N_("Activities"),
    "invoice": N_("Invoices"),
    "product": N_("Products"),
    "staff": N_("Staff"),
}


# --------------------------------------------------------------------------------------------- the fields


@dataclass(frozen=True)
class Field:
    """A custom field as it stands, apart from any session. Two are equal when all they say is."""

    id: int = attribute(compare=False)
    entity: str
    name: str
    kind: str
    labels: dict = attribute(compare=False)
    choices: list = attribute(compare=False)  # {"value", "labels", "retired"}
    target: str | None
    default: object = attribute(compare=False)
    department_ids: tuple
    is_required: bool
    is_indexed: bool
    is_active: bool
    position: int
    told: str = attribute(repr=False)  # labels, choices and default, for comparison

    @classmethod
    def of(cls, row):
        """From a row of `CustomField`, or one of its columns."""
        return cls(
            **{name: getattr(row, name) for name in _COLUMNS if name != "department_ids"},
            department_ids=tuple(row.department_ids),
            told=json.dumps([row.labels, row.choices, row.default], sort_keys=True),
        )

    @property
    def key(self):
        """How it is named beside columns: in forms, filters, the ledger, files and the API."""
        return f"{PREFIX}{self.name}"

    def label(self, language="en"):
        """What people call it, in their language if it has a label there."""
        return _in_language(self.labels, language) or self.name

    def __str__(self):
        return self.label()

    @cached_property
    def words_of_choices(self):
        return {choice["value"]: choice for choice in self.choices}

    @cached_property
    def choices_by_word(self):
        """Folded label or value -> choice; values win over labels."""
        named = {fold(label): choice for choice in self.choices for label in choice["labels"].values()}
        return named | {choice["value"]: choice for choice in self.choices}

    def choice_label(self, value, language="en"):
        """What people call a choice; a value that is none is told as it stands."""
        choice = self.words_of_choices.get(value)
        return _in_language(choice["labels"], language) if choice else str(value)

    def offered(self, language="en", kept=()):
        """(value, label) of the choices that may be chosen; retired ones only where they are `kept`."""
        return [
            (choice["value"], self.choice_label(choice["value"], language))
            for choice in self.choices
            if not choice.get("retired") or choice["value"] in kept
        ]


_COLUMNS = (
    "id",
    "entity",
    "name",
    "kind",
    "labels",
    "choices",
    "target",
    "default",
    "department_ids",
    "is_required",
    "is_indexed",
    "is_active",
    "position",
)


_TABLE = CustomField.__table__
_IN_USE = (
    select(*(_TABLE.c[name] for name in _COLUMNS))
    .where(_TABLE.c.entity == bindparam("entity"), _TABLE.c.is_active)
    .order_by(_TABLE.c.position, _TABLE.c.id)
)


def fields_for(session, entity):
    """The fields in use of an entity that the session's principal sees, in their order.

    One SELECT a transaction; none where the session knows how the definitions stand (`as_they_stand`), and this
    process has read them.
    """
    if entity not in TAKERS:
        return ()
    session = session() if isinstance(session, scoped_session) else session
    if (stamp := session.info.get("custom_fields_stamp")) is not None:
        principal = principal_of(session)
        return tuple(one for one in _as_of(session, stamp, entity) if is_visible(one, principal))
    transaction, known = session.info.get("custom_fields", (None, {}))
    if transaction is None or transaction is not session.get_transaction():
        known = {}
    if entity not in known:
        # Everybody may read definitions; asked through the session's guards it would cost several times as much.
        rows = session.connection().execute(_IN_USE, {"entity": entity}, execution_options={DOOR: True}).all()
        principal = principal_of(session)
        known[entity] = tuple(found for found in map(Field.of, rows) if is_visible(found, principal))
        session.info["custom_fields"] = (session.get_transaction(), known)
    return known[entity]


def forget(session):
    """The fields have changed within this transaction: they are asked for anew."""
    session.info.pop("custom_fields", None)
    session.info.pop("custom_fields_stamp", None)


def as_they_stand(session, stamp):
    """Tell a session that is about to read how the definitions stand: `stamp` is another after each change of one."""
    session.info["custom_fields_stamp"] = stamp


def _as_of(session, stamp, entity):
    if (stamp, entity) not in _READ:
        if len(_READ) > _MOST_READ:
            _READ.clear()
        rows = session.connection().execute(_IN_USE, {"entity": entity}, execution_options={DOOR: True}).all()
        _READ[stamp, entity] = tuple(map(Field.of, rows))
    return _READ[stamp, entity]


_READ, _MOST_READ = {}, 200  # (stamp, entity) -> the fields in use


def is_visible(one, principal):
    """Whether the principal sees this field: it is for all departments, or for one of his own or of those below.

    The director sees every department's, and so do admins, who arrange them.
    """
    if principal.is_system or not one.department_ids or {"director", "admin"} & set(principal.roles):
        return True
    return not {principal.department_id, *principal.below}.isdisjoint(one.department_ids)


# --------------------------------------------------------------------------------------------- in SQL


class Day(TypeDecorator):
    """A date kept as ISO text; takes and gives dates."""

    impl, cache_ok = String, True

    def process_bind_param(self, value, dialect):
        return value.isoformat() if isinstance(value, date) else value

    def process_result_value(self, value, dialect):
        return day_of(value)

    def coerce_compared_value(self, op, value):
        return self


class Instant(TypeDecorator):
    """A moment kept as ISO text in UTC; takes and gives aware datetimes."""

    impl, cache_ok = String, True

    def process_bind_param(self, value, dialect):
        if isinstance(value, datetime):
            return moment_text(value if value.tzinfo else value.replace(tzinfo=UTC))
        return value

    def process_result_value(self, value, dialect):
        return moment_of(value)

    def coerce_compared_value(self, op, value):
        return self


class Quantity(TypeDecorator):
    """A JSON number, compared as a number; takes and gives decimals. SQLite has none: there it is a float."""

    impl, cache_ok = Numeric(asdecimal=False), True

    def process_bind_param(self, value, dialect):
        if value is None:
            return None
        return float(value) if dialect.name == "sqlite" else Decimal(str(value))

    def process_result_value(self, value, dialect):
        return None if value is None else Decimal(str(value))

    def coerce_compared_value(self, op, value):
        return self


class _Stored(FunctionElement):
    """The value of one key of a JSON column, or NULL where it is absent or of another type.

    Written with the key in the SQL itself, not as a parameter, and always in the same words: an index over the
    expression serves only the very same expression. Texts are ordered byte by byte, the same on both engines.
    """

    inherit_cache = True
    sqlite_types = postgresql_type = cast = None


class StoredText(_Stored):
    """A text of a JSON column."""

    name = "custom_text"
    inherit_cache = True
    sqlite_types, postgresql_type, cast = "'text'", "string", ""


class StoredNumber(_Stored):
    """A number of a JSON column."""

    name = "custom_number"
    inherit_cache = True
    sqlite_types, postgresql_type, cast = "'integer', 'real'", "number", "::numeric"


class StoredTruth(_Stored):
    """A yes or no of a JSON column."""

    name = "custom_truth"
    inherit_cache = True
    sqlite_types, postgresql_type, cast = "'true', 'false'", "boolean", "::boolean"


class StoredList(_Stored):
    """A list of a JSON column, as JSON text."""

    name = "custom_list"
    inherit_cache = True
    sqlite_types, postgresql_type, cast = "'array'", "array", ""


@compiles(_Stored, "sqlite")
def _on_sqlite(element, compiler, **more):
    column, name = (compiler.process(part, **more) for part in list(element.clauses)[:2])
    path = f"'$.{name}'"
    is_kind = f"json_type({column}, {path}) IN ({element.sqlite_types})"
    return f"(CASE WHEN {is_kind} THEN json_extract({column}, {path}) END)"


@compiles(_Stored, "postgresql")
def _on_postgresql(element, compiler, **more):
    column, name = (compiler.process(part, **more) for part in list(element.clauses)[:2])
    kind = f"jsonb_typeof({column} -> '{name}')"
    value = f"(CASE WHEN {kind} = '{element.postgresql_type}' THEN ({column} ->> '{name}'){element.cast} END)"
    return value if element.cast else f'({value} COLLATE "C")'


_SQL = {
    "number": (StoredNumber, Quantity()),
    "decimal": (StoredNumber, Quantity()),
    "money": (StoredNumber, Quantity()),
    "record": (StoredNumber, Quantity()),
    "date": (StoredText, Day()),
    "moment": (StoredText, Instant()),
    "yes_no": (StoredTruth, Boolean()),
    "choices": (StoredList, String()),
}
# What a filter may ask of a kind: that of a column of this type.
_LIKE = {
    "number": Integer(),
    "decimal": Exact(14, 4),
    "money": Exact(14, 2),
    "date": Date(),
    "moment": Moment(),
    "yes_no": Boolean(),
    "record": Integer(),
}


def expression(one, model):
    """The field's value as an SQL expression over `model` (a class, an alias, a table's `.c`), typed for `<` and `=`.

    NULL where the field is empty. Dates, moments and numbers are compared with their Python kinds; a choice is its
    value's text; several choices are JSON text: ask `holds`.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", one.name):
        raise ValueError(f"{one.name!r} is no name of a field")
    stored, kind = _SQL.get(one.kind, (StoredText, String()))
    # The kind stands beside it, unwritten, so that no statement compiled for one kind is used again for another.
    element = stored(model.custom, literal_column(one.name), literal_column(one.kind))
    element.type = kind
    return element


def holds(one, model, value):
    """That a record's several choices hold this one."""
    return expression(one, model).contains(f'"{value}"', autoescape=True)


@dataclass(frozen=True)
class Column:
    """A custom field where a list, a filter or a file expects a column."""

    field: Field
    label: str
    type: object  # that of a column of the same kind: tells which operators suit
    choices: tuple  # (value, label)

    @property
    def name(self):
        return self.field.key

    @property
    def target(self):
        """The entity that a link leads to."""
        return self.field.target if self.field.kind == "record" else None

    @property
    def is_sortable(self):
        return self.field.kind not in ("long_text", "choices", "record")

    @property
    def is_number(self):
        return self.field.kind in NUMBERS

    def over(self, model):
        """The SQL expression; see `expression`."""
        return expression(self.field, model)


def column(one, language="en"):
    """The field as a column of lists, filters and files."""
    choices = [(choice["value"], one.choice_label(choice["value"], language)) for choice in one.choices]
    return Column(one, one.label(language), _LIKE.get(one.kind, String()), tuple(choices))


def moment_text(at):
    """A moment as it is kept."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def day_of(value):
    """The date that a kept text means, or None."""
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        return None


def moment_of(value):
    """The moment that a kept text means, aware and in UTC, or None."""
    try:
        at = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _in_language(labels, language):
    return labels.get(language) or labels.get("en") or next(iter(labels.values()), "")
