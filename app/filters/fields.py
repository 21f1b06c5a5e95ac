"""What a path of the filter language means for a table: the column it ends in, the links that lead there, its kind."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation

from sqlalchemy import JSON, Boolean, Date, Float, Integer, LargeBinary, String

from app.extensions import N_
from app.filters.language import BadQuery
from app.models import ENTITIES, Exact, Moment

LONGEST_VALUE = 1000
LARGEST_ID = 2**31 - 1
MOST_STEPS = 3  # links in a row

# Kind of a column -> the operators that make sense for it, the most used first.
_ORDERED = ("min", "max", "between")
OPERATORS_OF = {
    "text": ("has", "is", "not", "starts", "lacks", "empty", "filled"),
    "choice": ("is", "not"),
    "yes_no": ("is",),
    "number": ("is", *_ORDERED, "over", "under", "not", "empty", "filled"),
    "day": ("during", *_ORDERED, "after", "before", "older", "is", "empty", "filled"),
    "moment": ("during", *_ORDERED, "after", "before", "older", "is", "empty", "filled"),
    "link": ("is", "not", "empty", "filled"),
    "tag": ("is", "not", "empty", "filled"),
    "several": ("is", "not", "empty", "filled"),
}
CUSTOM, TAG = "custom", "tag"

# Kind of a custom field -> kind here.
_CUSTOM_KINDS = {
    "text": "text",
    "long_text": "text",
    "mail": "text",
    "phone": "text",
    "link": "text",
    "number": "number",
    "decimal": "number",
    "money": "number",
    "date": "day",
    "moment": "moment",
    "yes_no": "yes_no",
    "choice": "choice",
    "choices": "several",
    "record": "link",
}


@dataclass(frozen=True)
class Field:
    """Where a path ends: `steps` are the links to follow, `model` holds the column, `custom` the firm's own field."""

    path: str
    model: type
    steps: tuple  # columns, each a foreign key
    kind: str
    column: object = None
    custom: object = None
    target: type | None = None  # of a link

    @property
    def operators(self):
        return OPERATORS_OF[self.kind]


def resolve(model, path, asker):
    """The field that a path names, from this table on; raises BadQuery. One that is hidden from the asker is none.

    `asker.custom(entity)` gives name -> custom field as a column.
    """
    steps, names, start = [], path.split("."), model
    while len(names) > 1 and names[0] != CUSTOM:
        column = _column(model, names.pop(0), path, asker)
        model = _target(column)
        if model is None or len(steps) == MOST_STEPS:
            raise unknown(path)
        steps.append(column)
    if len(names) == 2:
        return _custom(model, names[1], path, tuple(steps), asker.custom)
    if names[0] == TAG and _takes_tags(model):
        return Field(path, model, tuple(steps), "tag", target=ENTITIES["tag"])
    column = _column(model, names[0], path, asker)
    kind = kind_of(column)
    if kind is None or (start is not model and column.info.get("hidden")):
        raise unknown(path)
    return Field(
        path, model, tuple(steps), kind, column=column, target=_target(column) if kind == "link" else None
    )


def unknown(path):
    return BadQuery(N_("There is no filter “%(name)s”."), name=path[:60])


def kind_of(column):
    """The kind of a plain column; None for one that takes no questions."""
    if _target(column) is not None and not column.primary_key:
        return "link"
    if "choices" in column.info:
        return "choice"
    for type_, kind in _KINDS:
        if isinstance(column.type, type_):
            return kind
    return None


_KINDS = (
    (Boolean, "yes_no"),
    (JSON, None),
    (LargeBinary, None),
    (Exact, "number"),
    (Integer, "number"),
    (Float, "number"),
    (Moment, "moment"),
    (Date, "day"),
    (String, "text"),
)


def _takes_tags(model):
    return model.__sight__ == "scoped" and model.__through__ is None


def _column(model, name, path, asker):
    column = model.__table__.c.get(name)
    is_kept = asker.principal is not None and name in asker.principal.hidden(model.__tablename__)
    if column is None or column.info.get("hidden") or is_kept:
        raise unknown(path)
    return column


def _target(column):
    return ENTITIES.get(next(iter(column.foreign_keys)).column.table.name) if column.foreign_keys else None


def _custom(model, name, path, steps, custom_fields):
    field = custom_fields(model.__tablename__).get(name) if CUSTOM in model.__table__.c else None
    if field is None:
        raise unknown(path)
    kind = _CUSTOM_KINDS[field.field.kind]
    target = ENTITIES.get(field.target) if kind == "link" else None
    if kind == "link" and target is None:
        raise unknown(path)
    return Field(path, model, steps, kind, custom=field, target=target)


# --------------------------------------------------------------------------------------------- values


def natural(text, most=LARGEST_ID):
    """The whole number that a text of digits means, for ids and pages out of a URL or form; None for any other."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most))):
        return None
    return int(text) if int(text) <= most else None


def coerce(column, text):
    """The value that a text means for this column; raises ValueError."""
    kind = column.type
    if len(text) > LONGEST_VALUE:
        raise ValueError("too long")
    if isinstance(kind, Boolean):
        return yes_no(text)
    if isinstance(kind, Exact):
        return decimal(text, kind.precision - kind.scale)
    if isinstance(kind, Integer):
        return whole(text)
    if isinstance(kind, Float):
        return float(text)
    if isinstance(kind, Moment):
        value = datetime.fromisoformat(text)
        return value.astimezone(UTC) if value.tzinfo else value
    if isinstance(kind, Date):
        return date.fromisoformat(text)
    return words(text)


def words(text):
    """A text that every database can hold; raises ValueError."""
    if "\x00" in text or len(text) > LONGEST_VALUE:
        raise ValueError(text)
    text.encode()
    return text


def yes_no(text):
    """True or False; raises KeyError."""
    return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[text.lower()]


def whole(text):
    """A whole number that every database can hold; raises ValueError."""
    value = int(text)
    if abs(value) > LARGEST_ID:
        raise ValueError(text)
    return value


def decimal(text, places=12):
    """An exact number of at most so many places before its point; raises ValueError."""
    value = Decimal(text.replace(",", "."))
    is_too_fine = abs(value.adjusted()) > 30  # also of a zero: databases refuse 0e-9999 and its kin
    if not value.is_finite() or is_too_fine or abs(value) >= 10**places:
        raise ValueError(text)
    return value


FAULTS = (ValueError, KeyError, InvalidOperation, OverflowError)  # what a wrong value raises above
