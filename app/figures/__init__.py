"""Every number the house shows: named, defined in words, and one scoped SELECT.

A figure says which rows it counts and what it measures on them. The numbers (`query`) and the rows behind
them (`rows`) come from the same conditions, so a drill-down shows exactly what was counted. It never joins:
a join to a scoped table would drop the rows whose link the reader may not see.
"""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Integer, func, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from app.models import Exact


@dataclass(frozen=True)
class Figure:
    """A number, or a table of numbers, over the rows of one entity.

    `counted(period, currency)` gives the conditions a row must meet, `measures` what is computed on the
    rows that do, `by` the columns they are grouped by. `label` and `definition` are gettext ids.
    """

    name: str
    label: str
    definition: str
    entity: type
    counted: Callable
    measures: tuple
    by: tuple = ()

    def query(self, period, currency):
        """The SELECT of the numbers: first the columns of `by`, then the measures."""
        return select(*self.by, *self.measures).where(*self.counted(period, currency)).group_by(*self.by)

    def groups(self, period, currency):
        """The SELECT of what the rows are grouped by, once for each row: for `IN`."""
        return select(*self.by).where(*self.counted(period, currency))

    def rows(self, period, currency, *group):
        """The SELECT of the ids that were counted: all, or of one group (a value for each column of `by`)."""
        in_group = [column == value for column, value in zip(self.by, group, strict=False)]
        return select(self.entity.id).where(*self.counted(period, currency), *in_group)


class total(FunctionElement):
    """The exact sum of a money column; 0 over no rows.

    SQLite keeps money as floats and adds them up with their errors: there, whole cents are summed instead.
    """

    type = Exact(18, 2)
    inherit_cache = True


@compiles(total)
def _total(element, compiler, **options):
    return f"coalesce(sum({compiler.process(element.clauses, **options)}), 0)"


@compiles(total, "sqlite")
def _total_in_cents(element, compiler, **options):
    amount = compiler.process(element.clauses, **options)
    return f"coalesce(sum(cast(round({amount} * 100) as integer)), 0) / 100.0"


class days_between(FunctionElement):
    """Whole days from the first date to the second; neither engine's way is the other's."""

    type = Integer()
    inherit_cache = True


@compiles(days_between)
def _days_between(element, compiler, **options):
    start, end = (compiler.process(clause, **options) for clause in element.clauses)
    return f"({end} - {start})"


@compiles(days_between, "sqlite")
def _julian_days_between(element, compiler, **options):
    start, end = (compiler.process(clause, **options) for clause in element.clauses)
    return f"cast(julianday({end}) - julianday({start}) as integer)"


def number_of(entity):
    """How many rows, as `number`."""
    return func.count(entity.id).label("number")
