"""Export: any list as CSV, XLSX or vCards, row by row, so that a million of them need no more memory than a thousand.

What a session sees of a SELECT becomes rows of plain values under the names of their columns; a file of them, fed to
the import, changes nothing: records go by their number, links by name and number ("Ernst Handel (#4)", a colleague
or a stage by name alone where there is only one of it), choices by their words, days and moments by ISO 8601.
A link to a record that the reader does not see is an empty cell, which an import leaves as it is.
"""

import csv
import io
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from functools import partial

from sqlalchemy import JSON, Column, LargeBinary, bindparam, select

from app import access
from app.access import DOOR
from app.exchange import formulas
from app.exchange.importing.cells import normal
from app.exchange.workbook import workbook
from app.extensions import N_
from app.models import ENTITIES, Contact, Moment, Pipeline, Stage, Tag, Tagging
from app.rules import custom_fields

CHUNK = 1000
TAGS = "tags"
SMALL = ("department", "staff", "stage", "pipeline", "tax_rate")  # read whole
LEFT_OUT = {"version", "position"}
# What stands in a record's name; elsewhere it is the column `name`.
NAMED_BY = {
    "contact": ("first_name", "last_name"),
    "ticket": ("subject",),
    "activity": ("subject",),
    "invoice": ("number",),
}


@dataclass(frozen=True)
class Manner:
    """How values are written: for whom, on whose clock, and whether an import shall find the records again."""

    zone: tzinfo = UTC
    language: str = "en"
    decimal: str = "."
    say: object = field(default=str, repr=False)  # translates a text of ours
    is_for_import: bool = True


@dataclass(frozen=True)
class Shown:
    """One column of the file: where its values come from, and what stands above it."""

    name: str
    header: str
    column: Column | None = None
    custom: object = None  # the custom field

    @property
    def target(self):
        """The entity that a link leads to."""
        if self.custom is not None:
            return self.custom.target if self.custom.kind == "record" else None
        if self.column is None or self.column.primary_key or not self.column.foreign_keys:
            return None
        return next(iter(self.column.foreign_keys)).column.table.name


# --------------------------------------------------------------------------------------------- columns


def all_names(session, model):
    """Every column that can be exported, in the order of the model; custom fields and tags behind them."""
    entity = model.__tablename__
    plain = [column.name for column in model.__table__.c if _is_plain(column)]
    names = list(access.shown(access.principal_of(session), entity, plain))
    names += [one.key for one in custom_fields.fields_for(session, entity)]
    return [*names, TAGS] if takes_tags(model) else names


def takes_tags(model):
    """Whether people stick tags on records of this kind."""
    return model.__tablename__ in custom_fields.TAKERS and model.__sight__ == "scoped"


def columns_for(session, model, names, manner):
    """The columns of these names; with the record's number before them when they shall be found again."""
    if manner.is_for_import:
        names = ["id", *names]
    custom = {one.key: one for one in custom_fields.fields_for(session, model.__tablename__)}
    hidden = access.principal_of(session).hidden(model.__tablename__)
    found, headers = [], set()
    for name in dict.fromkeys(names):
        column = model.__table__.c.get(name)
        if name in custom:
            header = custom[name].label(manner.language)
        elif name == TAGS and takes_tags(model):
            header = manner.say(N_("Tags"))
        elif column is not None and _is_plain(column) and name not in hidden:
            header = manner.say(column.info["label"])
        else:
            continue
        if header in headers:
            header = name  # two columns of one name could not be told apart again; by its key the import knows it
        headers.add(header)
        found.append(Shown(name, header, column, custom.get(name)))
    return found


def _is_plain(column):
    return (
        bool(column.info.get("label"))
        and not column.info.get("hidden")
        and not isinstance(column.type, LargeBinary | JSON)
        and column.name not in LEFT_OUT
    )


# --------------------------------------------------------------------------------------------- rows


def rows(session, model, statement, columns, manner):
    """The rows of a SELECT of `model`, as lists of str, int, Decimal, date, datetime, bool or None.

    One SELECT brings them, in the order and under the conditions of `statement` as it was when it began; the names
    of linked records and the tags follow, some hundred rows at a time.
    """
    names = dict.fromkeys(["id", *(one.column.name for one in columns if one.column is not None)])
    if any(one.custom is not None for one in columns):
        names["custom"] = None
    places = {name: place for place, name in enumerate(names)}
    wanted = statement.with_only_columns(*(getattr(model, name) for name in names))
    found = session.execute(wanted.execution_options(yield_per=CHUNK))
    links = {one.target: _Names(session, one.target, model, manner) for one in columns if one.target}
    writers = [_writer(one, places, links, manner) for one in columns]
    has_tags = any(one.name == TAGS for one in columns)
    tag_names = dict(session.execute(select(Tag.id, Tag.name)).all()) if has_tags else {}
    for chunk in found.partitions():
        for one in columns:
            if one.target and one.custom is None:
                links[one.target].look({row[places[one.name]] for row in chunk})
            elif one.target:
                links[one.target].look({(row[places["custom"]] or {}).get(one.custom.name) for row in chunk})
        tags = _tags_of(session, model, [row[0] for row in chunk], tag_names) if has_tags else {}
        for row in chunk:
            yield [tags.get(row[0]) if write is None else write(row) for write in writers]
        for known in links.values():
            known.forget()


class _Names:
    """What records of one table are called, for the rows at hand; the small tables are known whole."""

    def __init__(self, session, target, model, manner):
        self.session, self.target, self.model = session, target, ENTITIES[target]
        self.is_small, self.with_number = target in SMALL, manner.is_for_import
        self.known = {}
        if self.is_small:
            self.known = self._all(model)
            return
        columns = [getattr(self.model, name) for name in NAMED_BY.get(target, ("name",))]
        # One statement for all: made anew for some hundred rows, they lie about until garbage is looked for.
        self.asked = select(self.model.id, *columns).where(self.model.id.in_(bindparam("ids", expanding=True)))

    def look(self, ids):
        """Ask for the names of these ids that are not known yet."""
        ids -= {None, *self.known}
        if self.is_small or not ids:
            return
        for number, *parts in self.session.execute(self.asked, {"ids": list(ids)}):
            name = " ".join(part for part in parts if part) or f"#{number}"
            self.known[number] = f"{name} (#{number})" if self.with_number else name

    def forget(self):
        """The rows at hand are written."""
        if not self.is_small:
            self.known = {}

    def _all(self, model):
        """Each by its name; where several are called the same, by what an import tells them apart by."""
        found = {row.id: row for row in self.session.scalars(select(self.model))}
        if self.model is Stage:
            pipelines = {row.id: row for row in self.session.scalars(select(Pipeline))}
            kind = model.__tablename__
            found = {key: row for key, row in found.items() if pipelines[row.pipeline_id].kind == kind}
        names = {key: str(row) for key, row in found.items()}
        times = Counter(map(normal, names.values()))
        for key, name in names.items() if self.with_number else ():
            if times[normal(name)] == 1:
                continue
            if self.model is Stage:
                names[key] = f"{pipelines[found[key].pipeline_id]}: {name}"
            else:
                names[key] = f"{name} (#{key})" if self.target == "staff" else f"#{key}"
        return names


def _tags_of(session, model, ids, names):
    """id -> its tags. Asked past the rule of sight: the ids have come through it, and tags are seen with them."""
    table, found = Tagging.__table__, {}
    this = (table.c.entity == model.__tablename__, table.c.record_id.in_(ids))
    asked = select(table.c.record_id, table.c.tag_id).where(*this)
    for record_id, tag_id in session.connection().execute(asked, execution_options={DOOR: True}):
        found.setdefault(record_id, []).append(names[tag_id])
    return {key: "; ".join(sorted(held)) for key, held in found.items()}


def _writer(one, places, links, manner):
    """The function from a row to the value of this column; None for the tags."""
    if one.name == TAGS:
        return None
    if one.custom is not None:
        return partial(_custom_value, one.custom, places["custom"], links.get(one.custom.target), manner)
    place, kind = places[one.name], one.column.type
    if one.target:
        names = links[one.target]
        return lambda row: names.known.get(row[place])
    if "choices" in one.column.info:
        words = {value: manner.say(text) for value, text in one.column.info["choices"].items()}
        return lambda row: words.get(row[place], row[place])
    if isinstance(kind, Moment):
        return lambda row: row[place] and row[place].astimezone(manner.zone)
    return lambda row: row[place]


def _custom_value(one, place, names, manner, row):
    """The value of a custom field as a plain one of Python: what is kept as text may be a day or a moment."""
    value = (row[place] or {}).get(one.name)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, list):
        return "; ".join(one.choice_label(part, manner.language) for part in value)
    if one.kind == "choice":
        return one.choice_label(value, manner.language)
    if one.kind == "record":
        return names.known.get(value)
    if isinstance(value, float):
        return Decimal(custom_fields.as_text(one, value))
    if one.kind == "date":
        return custom_fields.day_of(value) or value
    if one.kind == "moment":
        at = custom_fields.moment_of(value)
        return at.astimezone(manner.zone) if at else value
    return value


# --------------------------------------------------------------------------------------------- CSV


def as_csv(columns, found, manner, mark=None):
    """The bytes of a CSV, piece by piece: UTF-8 with its mark, so that Excel reads it; texts in quotes.

    `mark`, by which the file is traced, is the header of a last, empty column, which an import passes over.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_NONNUMERIC)
    end = [mark] if mark else []
    writer.writerow([*(formulas.disarmed(one.header) for one in columns), *end])
    end = [None] if mark else []
    yield "\ufeff".encode()
    for number, row in enumerate(found, start=1):
        writer.writerow([*(_csv_cell(value, manner) for value in row), *end])
        if number % CHUNK == 0:
            yield text.getvalue().encode()
            text.seek(0)
            text.truncate()
    yield text.getvalue().encode()


def _csv_cell(value, manner):
    kind = type(value)
    if kind is str:
        return f"'{value}" if formulas.is_armed(value) else value
    if value is None or kind is int:
        return value
    if kind is bool:
        return "yes" if value else "no"
    if kind is Decimal:
        return f"{value:f}".replace(".", manner.decimal)
    return value.isoformat()


# --------------------------------------------------------------------------------------------- XLSX


def as_workbook(columns, found, title, manner, mark=None):
    """The bytes of an XLSX, piece by piece; `mark` stands in its properties and above a last, empty column."""
    end = [None] if mark else []
    plain = ([*map(_on_the_clock, row), *end] for row in found)
    headers = [*(one.header for one in columns), *([mark] if mark else [])]
    yield from workbook(title, headers, plain, too_long=manner.say(N_("Too long for a cell")), mark=mark)


def _on_the_clock(value):
    """A moment as its clock shows it; in the hour that comes twice a year, as text with its zone."""
    if type(value) is not datetime:
        return value
    shown = value.replace(tzinfo=None)
    return value.isoformat() if value.fold else shown


# --------------------------------------------------------------------------------------------- vCards

_CARD = (
    *("first_name", "last_name", "job_title", "company_id", "email", "phone", "mobile", "fax"),
    *("street", "postal_code", "city", "region", "country", "birth_date", "notes", TAGS),
)


def as_cards(session, statement, manner, mark=None):
    """Contacts as vCards 3.0, which phones, Outlook and mail programs all read; each bears the mark."""
    manner = Manner(manner.zone, manner.language, say=manner.say, is_for_import=False)
    columns = columns_for(session, Contact, _CARD, manner)
    for row in rows(session, Contact, statement, columns, manner):
        yield _card({one.name: value for one, value in zip(columns, row, strict=True) if value}, mark).encode()


def _card(one, mark):
    def parts(*names):
        return ";".join(_escaped(one.get(name, "")) for name in names)

    full = " ".join(one[name] for name in ("first_name", "last_name") if name in one)
    lines = [
        "BEGIN:VCARD",
        "VERSION:3.0",
        *([f"PRODID:-//Foyer//{mark}//EN"] if mark else []),
        f"N:{parts('last_name', 'first_name')};;;",
        f"FN:{_escaped(full)}",
    ]
    for name, key in _SIMPLE.items():
        if name in one:
            lines.append(f"{key}:{_escaped(one[name])}")
    if _ADDRESS & one.keys():
        lines.append(f"ADR;TYPE=WORK:;;{parts('street', 'city', 'region', 'postal_code', 'country')}")
    if "birth_date" in one:
        lines.append(f"BDAY:{one['birth_date'].isoformat()}")
    if TAGS in one:
        lines.append("CATEGORIES:" + ",".join(_escaped(tag) for tag in one[TAGS].split("; ")))
    lines.append("END:VCARD")
    return "".join(f"{folded}\r\n" for line in lines for folded in _folded(line))


_ADDRESS = {"street", "city", "region", "postal_code", "country"}
_SIMPLE = {
    "company_id": "ORG",
    "job_title": "TITLE",
    "email": "EMAIL;TYPE=INTERNET",
    "phone": "TEL;TYPE=WORK,VOICE",
    "mobile": "TEL;TYPE=CELL",
    "fax": "TEL;TYPE=WORK,FAX",
    "notes": "NOTE",
}


def _escaped(text):
    text = text.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,")
    return text.replace("\r\n", "\\n").replace("\n", "\\n").replace("\r", "\\n")


def _folded(line):
    """Lines of at most 75 bytes (RFC 2425, 5.8.1), never cut within a letter."""
    start, size = 0, 0
    for place, letter in enumerate(line):
        width = len(letter.encode())
        if size + width > (75 if start == 0 else 74):
            yield line[start:place] if start == 0 else f" {line[start:place]}"
            start, size = place, 0
        size += width
    yield line[start:] if start == 0 else f" {line[start:]}"
