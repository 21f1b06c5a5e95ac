"""How one kind of export becomes rows of ours, as a declaration: a recipe, its sheets, their columns, what they make.

A recipe names the files in the order in which they are taken over, because a row may only link to what stands
already. Rows are matched by the export's own ids (`Sheet.key`), which are kept as external keys.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from app.exchange import values


@dataclass(frozen=True)
class Column:
    """A column a file must have, unless it is `optional`. `refers_to` is the file in whose key its value must stand."""

    name: str
    read: Callable = values.text
    required: bool = False
    refers_to: str | None = None
    left_out: str | None = None  # why there is no place for it here
    optional: bool = False  # some files of the kind do not have it


def column(name, read=values.text, **how):
    """A column that may be empty."""
    return Column(name, read, **how)


def needed(name, read=values.text, **how):
    """A column that every row fills."""
    return Column(name, read, required=True, **how)


@dataclass(frozen=True)
class Link:
    """The id of what the row with this id, in that file, has become here."""

    column: str
    file: str
    entity: str


@dataclass(frozen=True)
class Fixed:
    """The same value in every row."""

    value: object


@dataclass(frozen=True)
class Make:
    """One record that each row of a sheet becomes.

    `fields` maps our columns to where their values come from: the name of a column in the file, a `Link`, a
    `Fixed`, or a function of the row. `later` is filled in when the whole sheet stands (links within one file).
    `by(world, row, fields)` makes the record where plain columns do not suffice; a part also gets its whole.
    """

    entity: str
    fields: dict
    later: dict = field(default_factory=dict)
    by: Callable | None = None


@dataclass(frozen=True)
class Sheet:
    """One file: its columns, those that identify a row, and what each row becomes (nothing: it is looked up)."""

    file: str
    key: tuple
    columns: tuple
    makes: tuple = ()
    check: Callable | None = None  # yields (column, message, values) for what does not fit together in a row
    part_of: Link | None = None  # the row it is a line of: both are made in one go
    source: str | None = None  # under which name its keys are kept, when not that of recipe and file


@dataclass(frozen=True)
class Recipe:
    """An export: its sheets in order, and what follows when all rows stand."""

    name: str
    sheets: tuple
    finish: Callable | None = None
    money: Callable | None = None
    check: Callable | None = None  # yields refusals for what does not fit together across files

    def sheet(self, file):
        return next(sheet for sheet in self.sheets if sheet.file == file)

    @property
    def left_out(self):
        """(file, column, why) of all that is read but has no place here."""
        return [(s.file, c.name, c.left_out) for s in self.sheets for c in s.columns if c.left_out]
