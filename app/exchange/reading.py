"""Reads the files of an export and refuses, with file, row and column, what is not as the recipe says.

Nothing here touches the database: a folder goes in, sheets of clean rows or a list of refusals come out.
"""

import csv
import io
import re
from collections import Counter
from dataclasses import dataclass, field

from app.exchange.values import NOTHING, BadValue
from app.extensions import N_

MOST_REFUSALS = 100  # a wrong file is wrong in every row; nobody reads more


@dataclass(frozen=True)
class Refusal:
    """What cannot be taken over: where it stands and why. `row` counts as a spreadsheet does: 1 is the header."""

    file: str
    row: int | None
    column: str | None
    message: str  # a gettext id, filled by `values`
    values: dict
    line: int | None = None  # of the text file, where it is not the same

    @property
    def place(self):
        line = f" (line {self.line})" if self.line not in (None, self.row) else ""
        parts = [self.file]
        parts += [f"row {self.row}{line}"] if self.row else []
        parts += [f"column {self.column}"] if self.column else []
        return ", ".join(parts)

    def __str__(self):
        return f"{self.place}: {self.message % self.values}"


@dataclass
class Report:
    """What became of the files: rows by file, records by entity, sums of money, and what was refused."""

    read: dict = field(default_factory=dict)  # file -> rows
    created: Counter = field(default_factory=Counter)  # file -> rows that became records
    skipped: Counter = field(default_factory=Counter)  # file -> rows that were known already
    records: Counter = field(default_factory=Counter)  # entity -> records made
    money: list = field(default_factory=list)  # (what, in the files, in the database)
    refusals: list = field(default_factory=list)

    @property
    def refused(self):
        """File -> how many of its rows were refused."""
        places = {(refusal.file, refusal.row) for refusal in self.refusals if refusal.row}
        return Counter(file for file, _ in places)


class Refused(Exception):
    """The export cannot be taken over; nothing of it was stored. `report` says how far it was read."""

    def __init__(self, report):
        super().__init__("; ".join(str(refusal) for refusal in report.refusals[:3]))
        self.report = report


class Row:
    """One row, its values read: `row["OrderDate"]` is a date. `key` is its id in the export."""

    def __init__(self, sheet, number, line, cells):
        self.sheet, self.number, self.line, self.cells = sheet, number, line, cells
        self.key = "/".join(str(cells[name]) for name in sheet.key)

    def __getitem__(self, column):
        return self.cells[column]

    def refusal(self, column, message, **values):
        return Refusal(self.sheet.file, self.number, column, message, values, self.line)


def read(recipe, folder):
    """All rows of the export, file -> its rows in their order; raises Refused with everything that is wrong."""
    report, rows = Report(), {}
    for sheet in recipe.sheets:
        report.read[sheet.file], rows[sheet.file] = _read_sheet(sheet, folder, report.refusals)
    if not report.refusals:
        _check_references(recipe, rows, report.refusals)
    if not report.refusals and recipe.check:
        report.refusals.extend(recipe.check(rows))
    if report.refusals:
        raise Refused(report)
    return rows


# --------------------------------------------------------------------------------------------- one file


def _read_sheet(sheet, folder, refusals):
    """How many rows the file has, and the clean ones; what is wrong is added to `refusals`."""
    try:
        raw = (folder / sheet.file).read_bytes()
    except FileNotFoundError:
        refusals.append(_of_file(sheet, N_("the file is missing")))
        return 0, []
    except OSError as error:
        refusals.append(_of_file(sheet, N_("the file cannot be read: %(reason)s"), reason=error.strerror))
        return 0, []
    if not raw.strip():
        refusals.append(_of_file(sheet, N_("the file is empty")))
        return 0, []
    # Bytes that are no UTF-8 are carried along as marks, so that the row and column they stand in can be named.
    text = raw.decode("utf-8-sig", "surrogateescape")
    records = _records(sheet, text, refusals)
    _, _, header = next(records, (1, 1, None))
    if header is None or not _is_header(sheet, header, refusals):
        return 0, []
    rows, how_many = _read_rows(sheet, header, records, refusals)
    if not text.endswith("\n"):
        # Cut in the middle of its last value, a file looks whole: that its last line does not end tells.
        message = N_("the last line does not end: the file was cut off")
        refusals.append(Refusal(sheet.file, how_many + 1, header[-1].strip(), message, {}))
    return how_many, rows


def _read_rows(sheet, header, records, refusals):
    rows, first_seen, how_many = [], {}, 0
    for number, line, cells in records:
        how_many += 1
        row = _read_row(sheet, header, number, line, cells, refusals)
        if row is None:
            continue
        if row.key in first_seen:
            message = N_("the id %(key)s stands in row %(first)s already")
            refusals.append(row.refusal(sheet.key[-1], message, key=row.key, first=first_seen[row.key]))
        else:
            first_seen[row.key] = number
            rows.append(row)
        if len(refusals) >= MOST_REFUSALS:
            break
    return rows, how_many


def _records(sheet, text, refusals):
    """(row, line, cells) of a CSV text, the header first. A text that is no CSV ends in a refusal."""
    lines = list(io.StringIO(text, newline=""))
    reader = csv.reader(lines, strict=True)
    row, line, header = 1, 1, []
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            column = _broken_column("".join(lines[line - 1 :]))
            name = header[column].strip() if column < len(header) else str(column + 1)
            values = {"reason": str(error)}
            refusals.append(Refusal(sheet.file, row, name, N_("the row is broken: %(reason)s"), values, line))
            return
        header = header or cells
        if cells:
            yield row, line, cells
        row, line = row + 1, reader.line_num + 1


# One value, quoted or not, up to the comma or line end that closes it.
_VALUE = re.compile(r'(?:"(?:[^"]|"")*"|[^",\r\n][^,\r\n]*|)(?=,|\r?\n|\Z)')


def _broken_column(text):
    """In which value, counted from 0, the record at the start of this text stops being CSV."""
    position = column = 0
    while (value := _VALUE.match(text, position)) and text[value.end() : value.end() + 1] == ",":
        position, column = value.end() + 1, column + 1
    return column


def _is_header(sheet, header, refusals):
    names = [name.strip() for name in header]
    before = len(refusals)
    for column in sheet.columns:
        if column.optional and column.name not in names:
            continue
        if names.count(column.name) != 1:
            message = (
                N_("the column is missing") if column.name not in names else N_("the column stands twice")
            )
            refusals.append(Refusal(sheet.file, 1, column.name, message, {}))
    known = {column.name for column in sheet.columns}
    for name in names:
        if name not in known:
            # Its contents would be lost without a word.
            refusals.append(
                Refusal(sheet.file, 1, legible(name), N_("the column is not known to this import"), {})
            )
    return len(refusals) == before


def _read_row(sheet, header, number, line, cells, refusals):
    def refuse(column, message, **values):
        refusals.append(Refusal(sheet.file, number, column, message, values, line))

    if len(cells) != len(header):
        # Where the row ends is the first column that is missing; or it holds more than the last one.
        column = header[min(len(cells), len(header) - 1)].strip()
        refuse(
            column,
            N_("the row has %(found)s values instead of %(wanted)s"),
            found=len(cells),
            wanted=len(header),
        )
        return None
    given = {name.strip(): cell for name, cell in zip(header, cells, strict=True)}
    clean, before = {}, len(refusals)
    for column in sheet.columns:
        try:
            clean[column.name] = _read_cell(column, given.get(column.name, ""))
        except BadValue as bad:
            refuse(column.name, bad.message, **bad.values)
    if len(refusals) > before:
        return None
    row = Row(sheet, number, line, clean)
    for column, message, values in sheet.check(row) if sheet.check else ():
        refuse(column, message, **values)
    return row if len(refusals) == before else None


def _read_cell(column, cell):
    if any("\udc80" <= letter <= "\udcff" for letter in cell):
        raise BadValue(N_("“%(value)s” is not UTF-8: the file has another encoding"), value=legible(cell))
    if "\0" in cell:
        raise BadValue(N_("“%(value)s” holds a NUL, which no text does"), value=legible(cell))
    cell = cell.strip()
    if cell in NOTHING:
        if column.required:
            raise BadValue(N_("there is nothing"))
        return None
    try:
        return column.read(cell)
    except BadValue as bad:
        bad.values["value"] = legible(bad.values.get("value", cell))
        raise


def _of_file(sheet, message, **values):
    return Refusal(sheet.file, None, None, message, values)


def in_general(message):
    """What several refusals have in common: “%(value)s” is no date -> … is no date."""
    return re.sub(r"“?%\(\w+\)s”?", "…", message)


def legible(text):
    """A foreign text as a message may show it: short, and without what a terminal would obey."""
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    text = "".join(letter if letter.isprintable() else "�" for letter in text)
    return text if len(text) <= 60 else f"{text[:60]}…"


# --------------------------------------------------------------------------------------------- between files


def _check_references(recipe, rows, refusals):
    """Every id that a row names must stand in the file it belongs to."""
    keys = {file: {row.key for row in sheet_rows} for file, sheet_rows in rows.items()}
    for sheet in recipe.sheets:
        for column in sheet.columns:
            if column.refers_to is None:
                continue
            for row in rows[sheet.file]:
                value = row[column.name]
                if value is not None and str(value) not in keys[column.refers_to]:
                    message = N_("“%(value)s” does not stand in %(file)s")
                    refusals.append(
                        row.refusal(column.name, message, value=legible(str(value)), file=column.refers_to)
                    )
