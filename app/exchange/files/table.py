"""What every kind of file becomes: a header, rows of values, and what was found out about the file."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice

from app.exchange.files import limits
from app.exchange.reading import Refusal, Refused, Report, legible
from app.extensions import N_
from app.rules.leaving_the_house import find_trace

__all__ = ["Choice", "Note", "Record", "Table", "letters", "refuse", "table_from"]

LOOKED_AT = 30  # rows in which the header is looked for


@dataclass(frozen=True)
class Choice:
    """How the file is to be read, where its reader knows better than we do. None: as found out."""

    encoding: str | None = None
    delimiter: str | None = None
    sheet: str | None = None
    header_row: int | None = None  # counted from 1; 0: there is none


@dataclass(frozen=True)
class Note:
    """Something that a reader should know of a file that can be read; `message` is a gettext id."""

    message: str
    values: dict = field(default_factory=dict)

    def __str__(self):
        return self.message % self.values


@dataclass(frozen=True)
class Record:
    """One row of a file: its number as a spreadsheet counts, its line in the text, its cells, and what is wrong."""

    number: int
    line: int | None
    cells: list  # text, and from spreadsheets numbers, dates and yes/no; "" is an empty cell
    faults: tuple = ()


@dataclass
class Table:
    """A file, opened. `records()` starts anew each time, so that a plan may look twice and hold nothing."""

    name: str
    format: str
    headers: list
    header_row: int
    records: Callable
    encoding: str | None = None
    delimiter: str | None = None
    sheet: str | None = None
    sheets: list = field(default_factory=list)
    head: list = field(default_factory=list)  # the first records, read already
    notes: list = field(default_factory=list)


def refuse(name, message, *, row=None, column=None, line=None, **values):
    """Say no to the whole file."""
    raise Refused(Report(refusals=[Refusal(name, row, column, message, values, line)]))


def table_from(name, format, choice, raw_records, **found):
    """The table over raw records (number, line, cells, faults), header and empty columns sorted out.

    `raw_records()` yields every row of the file. Rows that end early are refused where cells have no address of their
    own (`found["is_aligned"]` is false): a delimiter that is missing would shift what follows.
    """
    is_aligned = found.pop("is_aligned", False)
    notes = found.pop("notes", [])
    first = found.pop("head", None) or list(islice(raw_records(), LOOKED_AT))
    if not any(_filled(record.cells) for record in first):
        refuse(name, N_("the file is empty"))
    header_row = choice.header_row if choice.header_row is not None else _find_header(first)
    header = next((record for record in first if record.number == header_row), None)
    if header_row and header is None:
        refuse(name, N_("row %(row)s is not there to be the header"), row=header_row)
    if header is not None and header.faults:
        raise Refused(Report(refusals=list(header.faults)))
    cells = header.cells if header else []
    width = len(cells) if header else max(len(record.cells) for record in first)
    if max(width, *(len(record.cells) for record in first)) > limits.COLUMNS:
        most = f"{limits.COLUMNS:,}"
        refuse(name, N_("the file has more than %(most)s columns"), row=header_row or None, most=most)
    below = [record for record in first if record.number > header_row]
    headers, more = _headers(cells, width, below)
    notes.extend(more)

    def records():
        how_many = 0
        for record in raw_records():
            if record.number <= header_row or not _filled(record.cells):
                continue
            how_many += 1
            if how_many > limits.ROWS:
                refuse(name, N_("the file has more than %(most)s rows"), most=f"{limits.ROWS:,}")
            yield _fit(name, record, headers, is_aligned)

    head = [_fit(name, record, headers, is_aligned) for record in below if _filled(record.cells)]
    if not head and next(records(), None) is None:
        refuse(name, N_("the file has a header, but no rows"), row=header_row or None)
    return Table(name, format, headers, header_row, records, head=head, notes=notes, **found)


def letters(position):
    """How a spreadsheet calls a column: 0 is A, 26 is AA."""
    name = ""
    position += 1
    while position:
        position, rest = divmod(position - 1, 26)
        name = chr(65 + rest) + name
    return name


def _filled(cells):
    return any(cell not in ("", None) for cell in cells)


def _find_header(first):
    """The first row that is about as wide as the widest and holds words only."""
    widest = max(sum(cell not in ("", None) for cell in record.cells) for record in first)
    for record in first:
        given = [cell for cell in record.cells if cell not in ("", None)]
        if len(given) >= max(1, widest * 0.6) and all(isinstance(cell, str) for cell in given):
            return record.number
    return next(record.number for record in first if _filled(record.cells))


def _headers(cells, width, below):
    """A name for each column: doubled ones are numbered, nameless ones called by their letter, empty ends cut."""
    notes, names, taken = [], [], set()
    cells = [*(str(cell).strip() if cell is not None else "" for cell in cells), *[""] * (width - len(cells))]
    while cells and not any(_has(record, len(cells) - 1) for record in below) and _says_nothing(cells[-1]):
        cells.pop()
    for position, cell in enumerate(cells):
        name = " ".join("".join(one if one.isprintable() else " " for one in cell).split())[:120]
        if not name:
            name = f"({letters(position)})"
            if _filled([cell for one in below for cell in one.cells[position : position + 1]]):
                notes.append(Note(N_("Column %(column)s has no header."), {"column": letters(position)}))
        if name in taken:
            notes.append(Note(N_("The header “%(name)s” stands more than once."), {"name": legible(name)}))
            count = 2
            while f"{name} ({count})" in taken:
                count += 1
            name = f"{name} ({count})"
        taken.add(name)
        names.append(name)
    return names, notes


def _says_nothing(header):
    """A column that is empty below may go where its header is, too, or is the mark by which an export is traced."""
    return not header or find_trace(header.encode()) is not None


def _has(record, position):
    return len(record.cells) > position and record.cells[position] not in ("", None)


def _fit(name, record, headers, is_aligned):
    """The record with exactly as many cells as there are headers."""
    cells, wanted = record.cells, len(headers)
    if len(cells) == wanted:
        return record
    found = len(cells)
    if found > wanted and not _filled(cells[wanted:]):
        return Record(record.number, record.line, cells[:wanted], record.faults)
    if found < wanted and is_aligned:
        return Record(record.number, record.line, [*cells, *[""] * (wanted - found)], record.faults)
    column = headers[min(found, wanted - 1)] if headers else None
    message = N_("the row has %(found)s values instead of %(wanted)s")
    fault = Refusal(name, record.number, column, message, {"found": found, "wanted": wanted}, record.line)
    padded = [*cells[:wanted], *[""] * (wanted - found)]
    return Record(record.number, record.line, padded, (*record.faults, fault))
