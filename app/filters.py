"""From the text of a URL to one condition, one order and one page of a list. The filter language grows here.

A filter is `column.operator=value`: `kind.is=customer`, `name.has=alfred`, `closed_on.min=1997-01-01`,
`owner_id.is=me`.
The order is `sort=name` or `sort=-name`; a page follows a row: `after=` names the last row of the page before.
"""

import base64
import json
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation

from sqlalchemy import Boolean, Date, Float, Integer, String, and_, func, or_, select

from app import search
from app.extensions import N_
from app.models import ENTITIES, Exact, Moment

PAGE_SIZES = (25, 50, 100, 200)
COUNT_UP_TO = 10_000
MOST_FILTERS, MOST_VALUES, LONGEST_VALUE = 30, 100, 1000  # more than that, no page of ours asks for
LARGEST_ID = 2**31 - 1

# How an operator reads in a chip, and which kinds of columns take it.
OPERATORS = {
    "is": N_("is"),
    "not": N_("is not"),
    "has": N_("contains"),
    "min": N_("from"),
    "max": N_("to"),
    "empty": N_("is empty"),
}


class BadQuery(Exception):
    """The URL asks for something that does not exist; `message` says what, `values` fills it."""

    def __init__(self, message, **values):
        super().__init__(message)
        self.message, self.values = message, values


@dataclass(frozen=True)
class Filter:
    """One condition on one column, with the text it came from."""

    name: str
    operator: str
    text: str
    condition: object = field(repr=False, compare=False)

    @property
    def parameter(self):
        return f"{self.name}.{self.operator}"


@dataclass(frozen=True)
class Query:
    """What a list is asked for: filters, words, order, page."""

    filters: tuple = ()
    words: str = ""
    sort: str = ""
    after: tuple | None = None
    size: int = PAGE_SIZES[1]


def parse(model, args, *, sortable, principal, default_sort):
    """Read a URL's parameters; raises BadQuery for the first that makes no sense. Other names are left alone."""
    filters = tuple(
        _filter(model, key, text, principal)
        for key, text in args.items(multi=True)
        if "." in key and text.strip()
    )
    if len(filters) > MOST_FILTERS:
        raise BadQuery(N_("That is more than can be asked for at once."))
    sort = args.get("sort", "") or default_sort
    if sort.removeprefix("-") not in sortable:
        raise BadQuery(N_("The list cannot be ordered by “%(name)s”."), name=sort[:60])
    words = args.get("q", "").strip()
    if "\x00" in words:
        raise BadQuery(N_("The search holds a character that cannot be searched."))
    return Query(filters, words, sort, _cursor(args.get("after", "")), _size(args.get("size", "")))


def conditions(model, query):
    """What a row must fulfil, as a list of conditions."""
    found = [one.condition for one in query.filters]
    if query.words:
        found.append(search.matching(model, query.words[:200]))
    return found


def page(model, query):
    """The SELECT of one page and one row more, which tells whether there is a next page."""
    statement = select(model).where(*conditions(model, query))
    column = getattr(model, query.sort.removeprefix("-"))
    downwards = query.sort.startswith("-")
    if query.after is not None:
        statement = statement.where(_beyond(model, column, query.after, downwards))
    order = [
        column.is_(None),
        column.desc() if downwards else column,
        model.id.desc() if downwards else model.id,
    ]
    return statement.order_by(*order).limit(query.size + 1)


def count(model, query):
    """The SELECT that counts, but no further than COUNT_UP_TO + 1."""
    some = select(model.id).where(*conditions(model, query)).limit(COUNT_UP_TO + 1).subquery()
    return select(func.count()).select_from(some)


def cursor_after(row, query):
    """The text that names this row as the last of its page."""
    value = getattr(row, query.sort.removeprefix("-"))
    plain = (
        value.isoformat()
        if isinstance(value, date | datetime)
        else str(value)
        if isinstance(value, Decimal)
        else value
    )
    return base64.urlsafe_b64encode(json.dumps([plain, row.id]).encode()).decode().rstrip("=")


def coerce(column, text):
    """The value that a text means for this column; raises ValueError."""
    kind = column.type
    if len(text) > LONGEST_VALUE:
        raise ValueError("too long")
    if isinstance(kind, Boolean):
        return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[text.lower()]
    if isinstance(kind, Exact):
        value = Decimal(text.replace(",", "."))
        is_too_fine = abs(value.adjusted()) > 30  # also of a zero: databases refuse 0e-9999 and its kin
        if not value.is_finite() or is_too_fine or abs(value) >= 10 ** (kind.precision - kind.scale):
            raise ValueError(text)
        return value
    if isinstance(kind, Integer):
        value = int(text)
        if abs(value) > LARGEST_ID:
            raise ValueError(text)
        return value
    if isinstance(kind, Float):
        return float(text)
    if isinstance(kind, Moment):
        value = datetime.fromisoformat(text)
        return value.astimezone(UTC) if value.tzinfo else value
    if isinstance(kind, Date):
        return date.fromisoformat(text)
    if "\x00" in text:
        raise ValueError(text)
    text.encode()
    return text


def natural(text, most=LARGEST_ID):
    """The whole number that a text of digits means, for ids and pages out of a URL or form; None for any other."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most))):
        return None
    return int(text) if int(text) <= most else None


def _filter(model, key, text, principal):
    name, _, operator = key.rpartition(".")
    column = model.__table__.c.get(name)
    if column is None or operator not in OPERATORS or column.info.get("hidden"):
        raise BadQuery(N_("There is no filter “%(name)s”."), name=key[:60])
    attribute = getattr(model, name)
    if operator == "empty":
        is_empty = attribute.is_(None)
        return Filter(name, operator, text, is_empty if text not in ("0", "no") else ~is_empty)
    if operator == "has":
        if not isinstance(column.type, String):
            raise BadQuery(N_("There is no filter “%(name)s”."), name=key[:60])
        return Filter(name, operator, text, attribute.icontains(_value(column, text, key), autoescape=True))
    several = text.split(",") if operator in ("is", "not") else [text]
    if len(several) > MOST_VALUES:
        raise BadQuery(N_("That is more than can be asked for at once."))
    values = [_value(column, principal.id if one == "me" else one, key) for one in several]
    if column.foreign_keys and not column.primary_key:
        if operator not in ("is", "not"):
            raise BadQuery(N_("There is no filter “%(name)s”."), name=key[:60])
        # Only links that the reader may see: a filter must not tell which hidden record a row points to.
        target = ENTITIES[next(iter(column.foreign_keys)).column.table.name]
        values = select(target.id).where(target.id.in_(values))
    if operator == "is":
        condition = attribute.in_(values)
    elif operator == "not":
        condition = or_(attribute.is_(None), attribute.not_in(values))
    elif operator == "min":
        condition = attribute >= values[0]
    else:
        condition = attribute <= values[0]
    return Filter(name, operator, text, condition)


def _value(column, text, key):
    try:
        return coerce(column, str(text).strip())
    except (ValueError, KeyError, InvalidOperation, OverflowError):
        raise BadQuery(
            N_("“%(value)s” is no value for the filter “%(name)s”."), value=str(text)[:60], name=key[:60]
        ) from None


def _size(text):
    if not text:
        return PAGE_SIZES[1]
    size = natural(text, PAGE_SIZES[-1])
    if not size:
        raise BadQuery(
            N_("A page holds 1 to %(most)s rows, not “%(value)s”."), most=PAGE_SIZES[-1], value=text[:20]
        )
    return size


def _cursor(text):
    if not text:
        return None
    try:
        value, key = json.loads(base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4)))
        if type(key) is not int or abs(key) > LARGEST_ID or isinstance(value, list | dict):
            raise ValueError(text)
    except (ValueError, TypeError, RecursionError):
        raise BadQuery(N_("There is no such page.")) from None
    return value, key


def _beyond(model, column, after, downwards):
    """Rows that come after the named one in this order; empty values come last."""
    value, key = after
    later_id = model.id < key if downwards else model.id > key
    if value is None:
        return and_(column.is_(None), later_id)
    try:
        value = coerce(column.property.columns[0], str(value))
    except (ValueError, KeyError, InvalidOperation, OverflowError):
        raise BadQuery(N_("There is no such page.")) from None
    further = column < value if downwards else column > value
    return or_(further, and_(column == value, later_id), column.is_(None))
