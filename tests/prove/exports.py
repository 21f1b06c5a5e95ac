"""A list of a million contacts leaves as CSV and as XLSX in constant memory, at once and whole.

    python -m tests.prove.exports [--engine sqlite|postgresql] [--rows 1000000] [--quick]

Every export is asked for over HTTP, in a process of its own whose memory is measured: how much it held before, how
much at its peak, after how long the first bytes came, and how many rows arrived. A small list beside the large one
shows that the memory does not grow with the rows. What counts is the memory that is the process's own (RssAnon): SQLite
reads its file through the system's cache, which is lent to the process page by page and taken back when it is needed;
the column "with file" counts those pages, too.
"""

import argparse
import csv
import multiprocessing
import platform
import resource
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy

from app import create_app, security
from tests import databases
from tests.client import Client

FORMATS = ("csv", "xlsx")
FULL, SMALL, QUICK = 1_000_000, 10_000, 2_000
MOST_GROWTH = 48  # MB that the large export may take more than the small one
ASKED = "/contacts/export?columns=all&sort=last_name&format="


@dataclass
class Outcome:
    """What one export took; `faults` is everything that should not be."""

    engine: str
    format: str
    rows: int
    arrived: int = 0
    megabytes: float = 0.0
    before: float = 0.0  # MB of memory
    peak: float = 0.0
    with_file: float = 0.0  # MB, counting the pages of the database file that the system lends
    first: float = 0.0  # seconds to the first bytes of the answer
    seconds: float = 0.0
    faults: list = field(default_factory=list)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", choices=databases.ENGINES, help="only this one")
    parser.add_argument("--rows", type=int, default=FULL)
    parser.add_argument("--quick", action="store_true", help="the size that the tests run")
    args = parser.parse_args()
    sizes = [QUICK // 10, QUICK] if args.quick else [SMALL, args.rows]
    folder = databases.start_run()
    try:
        outcomes = [
            outcome
            for engine in databases.ENGINES
            if args.engine in (None, engine)
            for outcome in prove(engine, sizes)
        ]
    finally:
        databases.end_run(folder)
    print(table(outcomes))
    return 1 if any(outcome.faults for outcome in outcomes) else 0


def prove(engine, sizes):
    """Export lists of these sizes in every format, on fresh databases of this engine."""
    outcomes = []
    for rows in sizes:
        with databases.fresh_database(engine) as database:
            fill(database, rows)
            for kind in FORMATS:
                outcome = Outcome(engine, kind, rows)
                _in_a_process_of_its_own(_export, database.url, outcome, outcomes)
    for kind in FORMATS:
        small, *_, large = [one for one in outcomes if one.format == kind]
        if large.peak - small.peak > MOST_GROWTH:
            large.faults.append(f"takes {large.peak - small.peak:.0f} MB more than {small.rows} rows")
    return outcomes


def table(outcomes):
    """The outcomes as one table that can be read in a report."""
    lines = [
        f"{'engine':<12}{'format':<8}{'rows':>10}{'arrived':>10}{'file MB':>9}{'MB before':>11}{'MB peak':>9}"
        f"{'with file':>11}{'first byte s':>14}{'seconds':>9}"
    ]
    for one in outcomes:
        lines.append(
            f"{one.engine:<12}{one.format:<8}{one.rows:>10,}{one.arrived:>10,}{one.megabytes:>9.1f}"
            f"{one.before:>11.0f}{one.peak:>9.0f}{one.with_file:>11.0f}{one.first:>14.2f}{one.seconds:>9.1f}"
        )
    lines.append(f"Python {platform.python_version()}, SQLAlchemy {sqlalchemy.__version__}")
    lines.extend(f"{one.engine} {one.format}: {fault}" for one in outcomes for fault in one.faults)
    return "\n".join(lines)


# --------------------------------------------------------------------------------------------- the lists


def fill(database, rows):
    """So many contacts at a tenth as many companies, in two statements past the application."""
    numbers = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) "
        if database.engine == "sqlite"
        else "WITH n(i) AS (SELECT generate_series(1, {rows})) "
    )
    stamps = "1, '2026-03-04 10:00:00', '2026-03-04 10:00:00', 1"
    own = "department_id, created_at, updated_at, version"
    companies = max(1, rows // 10)
    with database.raw() as connection:
        connection.execute(
            f"INSERT INTO company (name, kind, {own}) {numbers.format(rows=companies)}"
            f"SELECT 'Company ' || i, 'customer', {stamps} FROM n"
        )
        (first,) = connection.execute("SELECT min(id) FROM company").fetchone()
        connection.execute(
            f"INSERT INTO contact (first_name, last_name, company_id, email, phone, city, notes, birth_date, {own}) "
            f"{numbers.format(rows=rows)}SELECT '=Ann' || i, 'Person ' || ((i * 2147) % 1000003), "
            f"{first} + i % {companies}, 'p' || i || '@example.com', '+49 30 ' || i, 'City ' || (i % 500), "
            f"'met at the fair, no. ' || i, '1985-04-12', {stamps} FROM n"
        )


# --------------------------------------------------------------------------------------------- an export


def _in_a_process_of_its_own(work, url, outcome, outcomes):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["app.views", "tests.client"])  # else each process imports them anew
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=work, args=(url, outcome, sender))
    process.start()
    sender.close()
    try:
        outcomes.append(receiver.recv())
    except EOFError:
        outcome.faults.append("the process ended without a word")
        outcomes.append(outcome)
    process.join()


def _export(url, outcome, sender):
    """What the process does: sign in, ask for the export, and write down what comes as it comes."""
    with tempfile.TemporaryDirectory() as folder:
        app = create_app(databases.Database(outcome.engine, url, Path(folder)).settings())
        client = Client(app)
        client.sign_in("director", security.DEMO_PASSWORD)
        outcome.before, began = _own_memory(), time.monotonic()
        response = client.browser.get(ASKED + outcome.format, buffered=False)
        path = Path(folder) / "export"
        with path.open("wb") as file:
            for piece in response.response:
                if piece and not outcome.first:
                    outcome.first = time.monotonic() - began
                file.write(piece)
                outcome.peak = max(outcome.peak, _own_memory())
        response.close()
        outcome.seconds = time.monotonic() - began
        outcome.with_file = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        outcome.megabytes = path.stat().st_size / 2**20
        if response.status_code != 200:
            outcome.faults.append(f"answered {response.status_code}")
        else:
            _look(path, outcome)
    sender.send(outcome)


def _own_memory():
    """MB that this process holds for itself now, as Linux counts it."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0]) / 1024


def _look(path, outcome):
    """Count what arrived, and see that it came in order and disarmed."""
    if outcome.format == "csv":
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file)
            header = next(rows)
            names, firsts = header.index("Last name"), header.index("First name")
            last = ""
            for row in rows:
                outcome.arrived += 1
                if row[names] < last or not row[firsts].startswith("'="):
                    outcome.faults.append(f"row {outcome.arrived} is out of order or armed: {row}")
                    return
                last = row[names]
    else:
        outcome.arrived = _rows_of_workbook(path) - 1
    if outcome.arrived != outcome.rows:
        outcome.faults.append(f"{outcome.arrived} of {outcome.rows} rows arrived")


def _rows_of_workbook(path):
    with zipfile.ZipFile(path) as archive, archive.open("xl/worksheets/sheet1.xml") as sheet:
        rows, rest = 0, b""
        while piece := sheet.read(2**20):
            rows += (rest + piece).count(b"</row>")
            rest = piece[-5:]
        return rows


if __name__ == "__main__":
    sys.exit(main())
