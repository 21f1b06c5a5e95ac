"""Fields that the firm added itself: what they are, who sees them, what their values must be like, how SQL asks them.

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
its reader; what a reader does not see, he cannot read, write, filter or order by.
"""

import json
import re
from dataclasses import dataclass
from dataclasses import field as attribute
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cached_property

from sqlalchemy import Boolean, Date, Integer, Numeric, String, literal_column, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator

from app import formats, search
from app.access import principal_of
from app.extensions import N_
from app.models import ENTITIES, CustomField, Exact, Moment
from app.past import CUSTOM
from app.rules import RuleBroken, money, values

LONGEST_LINE = 500  # also what an index takes, in any script
LANGUAGES = ("en", "de", "fr")
MOST_CHOICES = 200
PLACES = {"number": 0, "decimal": 4, "money": 2}
LINES = {"text": LONGEST_LINE, "mail": 200, "phone": 40, "link": LONGEST_LINE}
CHOOSING = ("choice", "choices")
NOT_INDEXED = ("long_text", "choices")  # what no order of values makes quick

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

_YES = {"yes", "true", "1", "on", "x", "ja", "wahr", "oui", "vrai"}
_NO = {"no", "false", "0", "off", "nein", "falsch", "non", "faux"}


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
        return f"{CUSTOM}{self.name}"

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
        named = {search.fold(label): choice for choice in self.choices for label in choice["labels"].values()}
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


def fields_for(session, entity):
    """The fields in use of an entity that the session's principal sees, in their order. One SELECT a transaction."""
    if entity not in TAKERS:
        return ()
    transaction, known = session.info.get("custom_fields", (None, {}))
    if transaction is None or transaction is not session.get_transaction():
        known = {}
    if entity not in known:
        columns = [getattr(CustomField, name) for name in _COLUMNS]
        mine = select(*columns).where(CustomField.entity == entity, CustomField.is_active.is_(True))
        rows = session.execute(mine.order_by(CustomField.position, CustomField.id)).all()
        principal = principal_of(session)
        known[entity] = tuple(found for found in map(Field.of, rows) if is_visible(found, principal))
        session.info["custom_fields"] = (session.get_transaction(), known)
    return known[entity]


def forget(session):
    """The fields have changed within this transaction: they are asked for anew."""
    session.info.pop("custom_fields", None)


def is_visible(one, principal):
    """Whether the principal sees this field: it is for all departments, or for one of his own or of those below.

    The director sees every department's, and so do admins, who arrange them.
    """
    if principal.is_system or not one.department_ids or {"director", "admin"} & set(principal.roles):
        return True
    return not {principal.department_id, *principal.below}.isdisjoint(one.department_ids)


def values_of(fields, custom):
    """name -> value of these fields; the keys that stand in `custom` but not among the fields stay unsaid."""
    custom = custom or {}
    return {one.name: custom.get(one.name) for one in fields}


def defaults(fields):
    """What a new record begins with."""
    return {one.name: one.default for one in fields if one.default is not None}


def missing(fields, custom):
    """The required fields that have no value."""
    custom = custom or {}
    return [one for one in fields if one.is_required and custom.get(one.name) is None]


# --------------------------------------------------------------------------------------------- values


def read_value(one, value, *, session=None, zone=UTC, before=None):
    """The plain value that a text (or a date, number, list …) means for this field; None for an empty one.

    Raises RuleBroken with a sentence. `session` finds the record that a link names, with its reader's sight; `zone` is
    the clock of moments without one; `before`, what stands there now, lets a retired choice stay.
    """
    if value is None or (isinstance(value, str | list | tuple) and not value):
        return None
    if isinstance(value, str):
        values.check_storable(value)
        if one.kind == "long_text":
            value = value.replace("\r\n", "\n").strip()
        elif one.kind != "choices":
            value = values.one_line(value).strip()
        if not value:
            return None
    return _READERS[one.kind](one, value, session=session, zone=zone, before=before)


def check(one, value, *, session=None, before=None):
    """That this is a plain value of the field as it is kept; raises RuleBroken."""
    if read_value(one, value, session=session, before=before) != value:
        raise RuleBroken(
            N_("“%(value)s” is no value for “%(field)s”."), value=str(value)[:60], field=str(one)
        )


def _read_line(one, value, **_more):
    text = _as_str(value)
    most = LINES.get(one.kind, values.LONGEST_PROSE)
    if one.kind == "link" and not re.match(r"[a-z][a-z0-9+.-]*:(?!\d)", text, re.IGNORECASE):
        text = f"https://{text}"
    if len(text) > most:
        raise RuleBroken(N_("the text has more than %(most)s characters"), most=most)
    if one.kind == "mail":
        values.check_email(text)
    elif one.kind == "phone":
        values.check_phone(text)
    elif one.kind == "link" and not re.fullmatch(r"https?://[^\s/?#]+\S*", text, re.IGNORECASE):
        raise RuleBroken(N_("This is not a web address."))
    return text


def _as_str(value):
    if isinstance(value, bool | list | dict):
        raise RuleBroken(N_("This takes a single text."))
    return as_plain_number(value) if isinstance(value, float | Decimal) else str(value)


def _read_number(one, value, **_more):
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise RuleBroken(N_("“%(value)s” is no number."), value=str(value)[:40])
    if isinstance(value, str):
        number = money.typed_number(value, PLACES[one.kind])
    else:
        number = money.exact(str(value), PLACES[one.kind], field=None)
    if number is None:
        return None
    return int(number) if one.kind == "number" else float(number)


def as_plain_number(value):
    """A number as one types it: no exponent, no padding."""
    text = f"{Decimal(str(value)):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _read_date(_one, value, **_more):
    if isinstance(value, datetime):
        value = value.date()
    if isinstance(value, date):
        return value.isoformat()
    try:
        return date.fromisoformat(value).isoformat()
    except (TypeError, ValueError):
        raise RuleBroken(N_("“%(value)s” is no date such as 1996-07-04."), value=str(value)[:40]) from None


def _read_moment(_one, value, *, zone, **_more):
    try:
        at = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        at = at if at.tzinfo else at.replace(tzinfo=zone)
        return _moment_text(at)
    except (TypeError, ValueError, OverflowError):
        sentence = N_("“%(value)s” is no moment such as 1996-07-04 15:30.")
        raise RuleBroken(sentence, value=str(value)[:40]) from None


def _moment_text(at):
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def _read_yes_no(_one, value, **_more):
    if isinstance(value, bool):
        return value
    word = str(value).casefold()
    if word in _YES or word in _NO:
        return word in _YES
    raise RuleBroken(N_("“%(value)s” is neither yes nor no."), value=str(value)[:40])


def _read_choice(one, value, *, before, **_more):
    wanted = _as_str(value)
    choice = one.choices_by_word.get(wanted) or one.choices_by_word.get(search.fold(wanted))
    if choice is not None and (not choice.get("retired") or choice["value"] in _several(before)):
        return choice["value"]
    raise RuleBroken(N_("“%(value)s” is none of the choices."), value=wanted[:60])


def _several(value):
    return value if isinstance(value, list) else [value]


def _read_choices(one, value, *, before, **_more):
    if isinstance(value, str):
        parts = [part.strip() for part in re.split(r"[;\n]", value)]
        if len(parts) == 1:
            parts = _split_at_commas(one, parts[0])
        value = parts
    if not isinstance(value, list | tuple):
        raise RuleBroken(N_("“%(value)s” is none of the choices."), value=str(value)[:60])
    chosen = {_read_choice(one, part, before=before) for part in value if part != ""}
    return [choice["value"] for choice in one.choices if choice["value"] in chosen] or None


def _split_at_commas(one, text):
    """A label may hold a comma itself."""
    return [text] if search.fold(text) in one.choices_by_word else [part.strip() for part in text.split(",")]


def _read_record(one, value, *, session, **_more):
    if session is None:
        raise TypeError("a link to a record is read by a session: it must be one that its reader sees")
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise RuleBroken(N_("“%(value)s” names no record."), value=str(value)[:40])
    target, text = ENTITIES[one.target], str(value)
    number = re.search(r"#?(\d{1,10})\)?$", text)
    if number and int(number[1]) <= values.LARGEST_INTEGER:
        row = session.get(target, int(number[1]))
        if row is not None and search.fold(text) in (
            number[1],
            f"#{row.id}",
            search.fold(f"{row} (#{row.id})"),
        ):
            return row.id
    if search.words_of(text):
        like = session.scalars(select(target).where(search.matching(target, text)).limit(30)).all()
        same = [row for row in like if search.fold(row) == search.fold(text)]
        if len(same) == 1:
            return same[0].id
        if same:
            raise RuleBroken(N_("Several are named “%(value)s”: give the number."), value=text[:60])
    raise RuleBroken(N_("Nothing is named “%(value)s”."), value=str(value)[:60])


_READERS = {
    "text": _read_line,
    "long_text": _read_line,
    "mail": _read_line,
    "phone": _read_line,
    "link": _read_line,
    "number": _read_number,
    "decimal": _read_number,
    "money": _read_number,
    "date": _read_date,
    "moment": _read_moment,
    "yes_no": _read_yes_no,
    "choice": _read_choice,
    "choices": _read_choices,
    "record": _read_record,
}


def as_text(one, value, zone=UTC):
    """A plain value as a text that `read_value` reads back: for fields of forms, and for files."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return "; ".join(map(str, value))
    if one.kind == "record":
        return f"#{value}"
    if one.kind == "money" and isinstance(value, int | float):
        return f"{Decimal(str(value)):.2f}"
    if isinstance(value, float):
        return as_plain_number(value)
    if one.kind == "moment" and zone is not UTC and (at := moment_of(value)) is not None:
        return at.astimezone(zone).replace(tzinfo=None).isoformat(timespec="minutes")
    return str(value)


def shown(one, value, *, language="en", timezone="UTC", currency=None, names=None):
    """A plain value in words, as people of that language read it; `names` maps (entity, id) to a record's name.

    A value that is not of the field's kind (it came back from the ledger, say) is told as it stands.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return {True: N_("yes"), False: N_("no")}[value]
    if isinstance(value, list):
        return ", ".join(one.choice_label(part, language) for part in value)
    if one.kind == "choice":
        return one.choice_label(value, language)
    if one.kind == "record":
        return (names or {}).get((one.target, value), "")
    if one.kind in PLACES and isinstance(value, int | float):
        number = Decimal(str(value))
        is_amount = one.kind == "money" and currency
        return formats.money(number, currency, language) if is_amount else formats.number(number, language)
    if one.kind == "date" and (day := day_of(value)) is not None:
        return formats.day(day, language)
    if one.kind == "moment" and (at := moment_of(value)) is not None:
        return formats.moment(at, language, timezone)
    return str(value)


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


def names_of(session, fields, customs):
    """(entity, id) -> name of every record that these values link to and the session's reader sees.

    One SELECT for each entity that is linked to at all.
    """
    wanted = {}
    for one in fields:
        if one.kind == "record":
            keys = {(custom or {}).get(one.name) for custom in customs}
            wanted.setdefault(one.target, set()).update(key for key in keys if type(key) is int)
    found = {}
    for target, keys in wanted.items():
        if keys:
            model = ENTITIES[target]
            found |= {
                (target, row.id): str(row) for row in session.scalars(select(model).where(model.id.in_(keys)))
            }
    return found


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
            return _moment_text(value if value.tzinfo else value.replace(tzinfo=UTC))
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
    expression serves only the very same expression.
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
    return f"CASE WHEN json_type({column}, {path}) IN ({element.sqlite_types}) THEN json_extract({column}, {path}) END"


@compiles(_Stored, "postgresql")
def _on_postgresql(element, compiler, **more):
    column, name = (compiler.process(part, **more) for part in list(element.clauses)[:2])
    kind = f"jsonb_typeof({column} -> '{name}')"
    return f"CASE WHEN {kind} = '{element.postgresql_type}' THEN ({column} ->> '{name}'){element.cast} END"


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
        return self.field.kind in PLACES

    def over(self, model):
        """The SQL expression; see `expression`."""
        return expression(self.field, model)


def column(one, language="en"):
    """The field as a column of lists, filters and files."""
    choices = [(choice["value"], one.choice_label(choice["value"], language)) for choice in one.choices]
    return Column(one, one.label(language), _LIKE.get(one.kind, String()), tuple(choices))


def _in_language(labels, language):
    return labels.get(language) or labels.get("en") or next(iter(labels.values()), "")
