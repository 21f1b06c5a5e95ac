"""The real export of a trading firm comes in on both engines: the same rows and sums, and a second time nothing.

    python -m tests.prove.northwind [--engine sqlite|postgresql]

The tests look into every corner of it on SQLite; here both engines are asked for the rows of every table and for the
sums of money, which must be the same.
"""

import argparse
import platform
import sys
import time
from dataclasses import dataclass, field

import sqlalchemy
from rich.console import Console

from app.commands.import_ import run_import
from app.models import ENTITIES
from tests import databases

SUMS = ("invoice.net", "invoice.gross", "deal.amount", "deal_line.net")
APART = {"search_entry"}  # counted by the engines in their own ways


@dataclass
class Outcome:
    """What stands after the import on one engine, and what should not be."""

    engine: str
    seconds: float = 0.0
    counts: dict = field(default_factory=dict)
    sums: dict = field(default_factory=dict)
    faults: list = field(default_factory=list)


def prove(engine):
    """Bring it in twice on this engine."""
    outcome, started = Outcome(engine), time.process_time()
    with databases.fresh_database(engine, "northwind") as database, databases.app_on(database) as app:
        outcome.seconds = time.process_time() - started
        outcome.counts, outcome.sums = _what_stands(database)
        with app.app_context():
            _, report = run_import(app, "northwind", databases.NORTHWIND, "Sales", Console(quiet=True))
        if sum(report.records.values()) or _what_stands(database)[0] != outcome.counts:
            outcome.faults.append("the second run was not idle")
        outcome.faults += [
            f"{what}: {ours} instead of {theirs}" for what, theirs, ours in report.money if theirs != ours
        ]
    return outcome


def _what_stands(database):
    with database.raw() as connection:
        counts = {
            name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0]
            for name in sorted(ENTITIES.keys() - APART)
        }
        sums = {}
        for one in SUMS:
            table, column = one.split(".")
            (total,) = connection.execute(f"SELECT sum({column}) FROM {table}").fetchone()
            sums[one] = f"{total:.2f}"
    return counts, sums


def table(outcomes):
    """The outcomes as one table that can be read in a report."""
    lines = [f"{'':<24}" + "".join(f"{one.engine:>16}" for one in outcomes)]
    for name in outcomes[0].counts:
        if outcomes[0].counts[name]:
            lines.append(f"{name:<24}" + "".join(f"{one.counts[name]:>16,}" for one in outcomes))
    lines += [f"{name:<24}" + "".join(f"{one.sums[name]:>16}" for one in outcomes) for name in SUMS]
    lines.append(f"{'CPU seconds':<24}" + "".join(f"{one.seconds:>16.1f}" for one in outcomes))
    lines.append(f"{'failed':<24}" + "".join(f"{len(one.faults):>16}" for one in outcomes))
    lines.append(f"Python {platform.python_version()}, SQLAlchemy {sqlalchemy.__version__}")
    return "\n".join([*lines, *(f"  {one.engine}: {fault}" for one in outcomes for fault in one.faults)])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", choices=databases.ENGINES, help="only this one")
    args = parser.parse_args()
    if not databases.NORTHWIND.is_dir():
        print("The Northwind export does not lie in ../shared beside this checkout.")
        return 0
    folder = databases.start_run()
    try:
        outcomes = [prove(engine) for engine in databases.ENGINES if args.engine in (None, engine)]
    finally:
        databases.end_run(folder)
    if len({(*one.counts.items(), *one.sums.items()) for one in outcomes}) > 1:
        outcomes[-1].faults.append("not the same on both engines")
    print(table(outcomes))
    return 1 if any(one.faults for one in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
