"""Values as people read them: one cell of a list, one fact of a sheet, one line of a history."""

import re
from functools import cache

from flask import g
from sqlalchemy import Boolean, Date, Integer

from app.models import ENTITIES, Exact, Moment
from app.views.reading import day, moment, money, number, percent, price
from app.views.templating import gettext, said

# Entity -> the path of its pages; views fill it in as they are registered.
PATHS = {}

COLORS = {
    "customer": "green",
    "prospect": "blue",
    "supplier": "violet",
    "partner": "amber",
    "won": "green",
    "lost": "red",
    "solved": "green",
    "urgent": "red",
    "high": "amber",
    "planned": "grey",
    "reached": "blue",
    "answered": "green",
}


def label(column):
    """The human name of a column."""
    return said(column.info["label"])


def relation_name(column_name):
    return column_name.removesuffix("_id")


def target_of(column):
    """The model a foreign key leads to; None for a column that is none, or that leads out of our own tables."""
    return ENTITIES.get(next(iter(column.foreign_keys)).column.table.name) if column.foreign_keys else None


def path_of(row):
    """The page of a record, or None when it has none or the principal has no business there."""
    entity = row.__tablename__
    base = PATHS.get(entity)
    return f"{base}/{row.id}" if base and g.principal.may("see", entity) else None


def link_to(row):
    """A related record as a cell; people show their initials."""
    if row.__tablename__ == "staff":
        return {"kind": "person", "label": row.name, "initials": row.initials}
    if row.__tablename__ == "stage":
        return {"kind": "badge", "label": row.name, "color": COLORS.get(row.outcome)}
    return {"kind": "link", "label": str(row), "href": path_of(row)}


def name_columns(target):
    """The columns by which a record of this table is named, with its id: enough to link to it without loading it."""
    columns = target.__table__.c
    named = ("id", "first_name", "last_name", "name", "subject", "number", "outcome")
    return [getattr(target, name) for name in named if name in columns]


def name_of(values):
    """What a record is called, given its `name_columns` as a mapping: the same as its `str()`."""
    return _called([value for name, value in values.items() if name not in ("id", "outcome")], values["id"])


def _called(parts, key):
    return " ".join([part for part in parts if part]) or f"#{key}"


def link_by_name(target, values, principal=None):
    """A record given by its `name_columns` as a cell, like `link_to`, as `principal` reads it: else who asks."""
    return linker(target, list(values), principal or g.principal)(list(values.values()))


def linker(target, names, principal):
    """The function from the values of these `name_columns`, the id first, to the cell that links there."""
    entity = target.__tablename__
    named = [place for place, name in enumerate(names) if name not in ("id", "outcome")]
    base = PATHS.get(entity) if principal.may("see", entity) else None

    def tell(values):
        key = values[0]
        if key is None:
            return HIDDEN
        name = _called([values[place] for place in named], key)
        if entity == "staff":
            initials = "".join(part[0] for part in name.split()[:2]).upper()
            return {"kind": "person", "label": name, "initials": initials}
        if entity == "stage":
            return {"kind": "badge", "label": name, "color": COLORS.get(values[names.index("outcome")])}
        return {"kind": "link", "label": name, "href": f"{base}/{key}" if base else None}

    return tell


HIDDEN = {"kind": "hidden"}


def cell(row, name):
    """The value of a column of this row, as the components show it."""
    column = row.__table__.c.get(name)
    if column is None:
        return getattr(row, name)
    value = getattr(row, name)
    if value is not None and target_of(column) is not None:
        related = getattr(row, relation_name(name))
        return HIDDEN if related is None else link_to(related)
    return shown(column, value, currency=getattr(row, "currency", None))


def shown(column, value, currency=None):
    """A plain value of this column, formatted by its kind."""
    return teller(column)(value, currency)


@cache
def teller(column):
    """The function from (value, currency) to the cell of this column: its kind is looked at once."""
    if isinstance(column.type, Boolean):
        return lambda value, _currency=None: {"kind": "check", "on": bool(value)}
    if kind := _CALLED.get(column.info.get("format")):
        return lambda value, _currency=None: {"kind": kind, "label": value} if value else None
    tell = _telling(column.info, column.type)
    if tell is None:
        return lambda value, _currency=None: None if value == "" else value
    return lambda value, currency=None: None if value is None or value == "" else tell(value, currency)


def is_plain(column):
    """Whether a value of this column is its own cell."""
    is_called = column.info.get("format") in _CALLED
    return not is_called and not isinstance(column.type, Boolean) and _telling(column.info, column.type) is None


_CALLED = {"email": "mail", "phone": "tel"}  # what is written or spoken to by a click


def _telling(info, kind):
    """How a value that is there becomes a cell; None where it is its own."""
    if "choices" in info:
        return lambda value, _currency: {
            "kind": "badge",
            "label": said(info["choices"].get(value, value)),
            "color": COLORS.get(value),
        }
    if info.get("money") and kind.scale > 2:  # a price a piece, to its last place
        return lambda value, currency: {
            "kind": "money",
            "label": f"{price(value)} {currency}" if currency else price(value),
        }
    if info.get("money"):
        return lambda value, currency: {"kind": "money", "label": money(value, currency)}
    for of_kind, name, write in (
        (Exact | Integer, "number", percent if info.get("share") else number),
        (Moment, "date", moment),
        (Date, "date", day),
    ):
        if isinstance(kind, of_kind):
            return lambda value, _currency, name=name, write=write: {"kind": name, "label": write(value)}
    if info.get("format") == "web":
        return _web
    return None


def _web(value, _currency):
    """A page of the web as a link, when it is one beyond doubt; else what was typed."""
    found = re.fullmatch(r"(https?://)?[\w-]+(\.[\w-]+)+([:/?#]\S*)?", value, re.IGNORECASE)
    if found is None:
        return value
    return {"kind": "web", "label": value, "href": value if found[1] else f"https://{value}"}


def words(value):
    """A cell as plain text."""
    if isinstance(value, dict):
        if value["kind"] == "hidden":
            return gettext("not visible")
        if value["kind"] == "check":
            return gettext("yes") if value["on"] else gettext("no")
        return value["label"]
    return "" if value is None else str(value)
