"""Thirty writers issue a thousand invoices while ten of them are killed: no gap, no duplicate, none lost.

    python -m tests.prove.writers [--engine sqlite|postgresql] [--seed N] [--quick]

Each writer is a process of its own. It issues the invoices of its deals one by one, each in a transaction, and
writes a number down, safe on disk, only after the commit: from then on the number is promised to somebody. Now and
then a random writer gets SIGKILL, wherever it is, and another takes up its deals. In the end plain SQL looks at
what stands in the database.
"""

import argparse
import multiprocessing
import os
import platform
import random
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path

import sqlalchemy
from flask import Flask
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from app import access, ledger, search, security, wall  # noqa: F401 - the guards stand as soon as they are imported
from app.extensions import db
from app.models import Company, Deal, DealLine, Invoice
from app.rules import invoices
from tests import databases
from tests.rules import world

# Nobody has begun this year's series: the first writers also race to begin it.
DAY = date(2031, 1, 2)
WRITER = "finance"
PATIENCE = 20  # times that a writer tries an invoice again
REFUSED = "refused"


@dataclass(frozen=True)
class Size:
    """How much is tried, and after how many seconds it counts as stuck."""

    writers: int = 30
    invoices: int = 1000
    kills: int = 10
    limit: int = 900


FULL, QUICK = Size(), Size(writers=6, invoices=60, kills=2, limit=300)


@dataclass
class Outcome:
    """What was seen; `faults` is everything that should not be."""

    engine: str
    version: str
    issued: int = 0
    acknowledged: int = 0
    refused: int = 0  # by a busy database, and tried again
    killed: int = 0
    crashed: int = 0
    gaps: int = 0
    duplicates: int = 0
    lost: int = 0
    half: int = 0  # drafts, or issued without a line, a ledger entry or its place in the series
    seconds: float = 0.0
    faults: list = field(default_factory=list)

    @property
    def failed(self):
        return self.gaps + self.duplicates + self.lost + self.half + self.crashed + len(self.faults)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", choices=databases.ENGINES, help="only this one")
    parser.add_argument("--seed", type=int, default=20260304, help="chooses whom to kill, and when")
    parser.add_argument("--quick", action="store_true", help="the size that the tests run")
    args = parser.parse_args()
    size = QUICK if args.quick else FULL
    folder = databases.start_run()
    try:
        outcomes = [
            prove(engine, size, seed=args.seed)
            for engine in databases.ENGINES
            if args.engine in (None, engine)
        ]
    finally:
        databases.end_run(folder)
    print(table(outcomes, size, args.seed))
    return 1 if any(outcome.failed for outcome in outcomes) else 0


def prove(engine, size, *, seed):
    """Let them write on a fresh database of this engine, and look at what came of it."""
    with databases.fresh_database(engine) as database, tempfile.TemporaryDirectory() as folder:
        with databases.app_on(database) as app, app.app_context():
            deals = _won_deals(size.invoices)
        outcome = Outcome(engine, _version(database))
        started = time.monotonic()
        promised = _let_them_write(database.url, deals, size, random.Random(seed), Path(folder), outcome)
        outcome.seconds = time.monotonic() - started
        _look(database, size, promised, outcome)
        return outcome


def table(outcomes, size, seed):
    """The outcomes as one table that can be read in a report."""
    rows = [
        ("engine", lambda one: one.version),
        ("writers", lambda _: size.writers),
        ("tried", lambda one: size.invoices + one.refused),
        ("tried again", lambda one: one.refused),
        ("killed", lambda one: f"{one.killed} of {size.kills}"),
        ("issued", lambda one: one.issued),
        ("acknowledged", lambda one: one.acknowledged),
        ("gaps", lambda one: one.gaps),
        ("duplicates", lambda one: one.duplicates),
        ("lost", lambda one: one.lost),
        ("half done", lambda one: one.half),
        ("crashed", lambda one: one.crashed),
        ("failed", lambda one: one.failed),
        ("seconds", lambda one: f"{one.seconds:.1f}"),
        ("a second", lambda one: f"{one.issued / one.seconds:.0f}"),
    ]
    lines = [f"{name:<14}" + "".join(f"{value(one)!s:>22}" for one in outcomes) for name, value in rows]
    lines.append(
        f"seed {seed}, Python {platform.python_version()}, SQLAlchemy {sqlalchemy.__version__}, {os.cpu_count()} cores"
    )
    lines.extend(f"{one.engine}: {fault}" for one in outcomes for fault in one.faults)
    return "\n".join(lines)


# --------------------------------------------------------------------------------------------- a writer


def write(url, deals, notebook, starting_gun):
    """What a writer process does: issue the invoice of each deal, and note the number after the commit."""
    app = Flask("writer")
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    wall.use_key(databases.secret())
    db.init_app(app)
    with app.app_context(), notebook.open("ab", buffering=0) as notes:
        with access.system_session("sign in", writes=False) as session:
            key = session.scalars(select(security.User.id).where(security.User.username == WRITER)).one()
        principal = security.load_principal(key)
        while not starting_gun.exists():
            time.sleep(0.005)
        for deal_id in deals:
            number = _insist(principal, deal_id, notes)
            if number is not None:
                notes.write(f"{number} {deal_id}\n".encode())
                os.fsync(notes)


def _insist(principal, deal_id, notes):
    """Issue it, and like a person try again when the database was too busy; each such time is noted."""
    for _ in range(PATIENCE):
        try:
            return _issue(principal, deal_id)
        except OperationalError:
            notes.write(f"{REFUSED} {deal_id}\n".encode())
    return _issue(principal, deal_id)


def _issue(principal, deal_id):
    with access.session_for(principal, door="command", why="writers") as session:
        deal = session.get(Deal, deal_id)
        if session.scalars(select(Invoice.id).where(Invoice.deal_id == deal_id)).first() is not None:
            return None  # who was killed had committed, but could not say so any more
        invoice = invoices.draft_from(session, deal, by=principal.id, today=DAY)
        invoices.issue(session, invoice, by=principal.id, today=DAY, seller=world.SELLER, payment_days=14)
        number = invoice.number
    return number


# --------------------------------------------------------------------------------------------- who lets them


def _let_them_write(url, deals, size, dice, folder, outcome):
    """Start them, kill some, wait for all; returns what was promised: number -> deal."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["app.security", "tests.rules.world"]
    )  # else each writer imports them anew
    gun = folder / "go"
    running = {}

    def start(number):
        process = context.Process(
            target=write, args=(url, deals[number :: size.writers], folder / f"{number}.txt", gun)
        )
        process.start()
        running[number] = process

    for number in range(size.writers):
        start(number)
    gun.touch()
    # Not among the last tenth: somebody should still be there to be killed.
    moments = sorted(dice.sample(range(1, size.invoices * 9 // 10), size.kills))
    deadline = time.monotonic() + size.limit
    while running:
        if time.monotonic() > deadline:
            outcome.faults.append(f"still at work after {size.limit} s")
            for process in running.values():
                process.kill()
                process.join()
            break
        for number, process in list(running.items()):
            if not process.is_alive():
                process.join()
                outcome.crashed += process.exitcode != 0
                del running[number]
        if running and outcome.killed < len(moments) and len(_promised(folder)) >= moments[outcome.killed]:
            number, victim = dice.choice(sorted(running.items(), key=lambda item: item[0]))
            os.kill(victim.pid, signal.SIGKILL)
            victim.join()
            # It may just have come to its end by itself; then somebody else is next.
            outcome.killed += victim.exitcode == -signal.SIGKILL
            start(number)
        time.sleep(0.005)
    if outcome.killed < size.kills:
        outcome.faults.append(f"only {outcome.killed} of {size.kills} could be killed")
    promised = _promised(folder)
    outcome.acknowledged = len(promised)
    outcome.refused = len(_noted(folder)) - len(promised)
    return promised


def _promised(folder):
    """Every number that was promised, with its deal."""
    return [(number, int(deal)) for number, deal in _noted(folder) if number != REFUSED]


def _noted(folder):
    notes = []
    for notebook in folder.glob("*.txt"):
        *whole, _rest = notebook.read_text().split("\n")
        notes.extend(line.split() for line in whole)
    return notes


# --------------------------------------------------------------------------------------------- before and after


def _won_deals(count):
    """Write the deals that are to be invoiced; returns their ids."""
    with access.system_session("deals to invoice", door="command") as session:
        company = Company(name="Ernst Handel", kind="customer", department_id=world.department(session).id)
        session.add(company)
        session.flush()
        rows = [_deal(session, number, company) for number in range(count)]
        session.add_all(rows)
        session.flush()
        return [row.id for row in rows]


def _deal(session, number, company):
    price = Decimal(number + 1)
    return Deal(
        name=f"Order {number}",
        company_id=company.id,
        department_id=company.department_id,
        stage=world.stage(session, "Won"),
        currency="EUR",
        opened_on=DAY,
        closed_on=DAY,
        amount=price,
        lines=[DealLine(description="Bottles", quantity=Decimal(1), unit_price=price, net=price, position=1)],
    )


def _look(database, size, promised, outcome):
    """Count, in plain SQL and past everything of ours, what should not be."""
    with database.raw() as connection:

        def ask(statement):
            return connection.execute(statement).fetchall()

        issued = ask("SELECT number, deal_id FROM invoice WHERE number IS NOT NULL")
        numbers = {number for number, _ in issued}
        expected = {f"INV-{DAY.year}-{number:05d}" for number in range(1, size.invoices + 1)}
        outcome.issued = len(issued)
        outcome.gaps = len(expected - numbers)
        outcome.duplicates = 2 * len(issued) - len(numbers) - len({deal for _, deal in issued})
        outcome.duplicates += len(promised) - len({number for number, _ in promised})
        outcome.lost = len(set(promised) - {(number, deal) for number, deal in issued})
        ((last,),) = ask(f"SELECT last FROM number_series WHERE name = 'invoice' AND year = {DAY.year}")
        ((drafts,),) = ask("SELECT count(*) FROM invoice WHERE number IS NULL")
        ((bare,),) = ask("SELECT count(*) FROM invoice WHERE id NOT IN (SELECT invoice_id FROM invoice_line)")
        ((recorded,),) = ask("SELECT count(*) FROM change WHERE entity = 'invoice' AND action = 'edit'")
        outcome.half = drafts + bare + abs(last - len(issued)) + abs(recorded - len(issued))


def _version(database):
    with database.raw() as connection:
        if database.engine == "sqlite":
            return f"SQLite {connection.execute('SELECT sqlite_version()').fetchone()[0]}"
        return f"PostgreSQL {connection.execute('SHOW server_version').fetchone()[0].split()[0]}"


if __name__ == "__main__":
    sys.exit(main())
