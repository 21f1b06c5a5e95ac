"""The real export of a trading firm, read beside this checkout; skipped where it does not lie there.

It takes its time, so it is SQLite's here; `python -m tests.prove.northwind` shows that it is the same on both engines.
"""

from decimal import Decimal

import pytest
from rich.console import Console

from app.commands.import_ import run_import
from tests.databases import NORTHWIND, needs_northwind, with_northwind

pytestmark = [needs_northwind, with_northwind]


@pytest.fixture
def ask(database):
    """`ask("SELECT …")` is one row of plain SQL, past everything of ours."""

    def work(statement):
        with database.raw() as connection:
            return connection.execute(statement).fetchone()

    return work


def test_every_row_has_become_what_it_should(ask):
    counts = {
        "company": 122,
        "contact": 122,
        "staff": 9,
        "product": 77,
        "deal": 830,
        "deal_line": 2155,
        "invoice": 809,
    }
    assert {table: ask(f"SELECT count(*) FROM {table}")[0] for table in counts} == counts
    by_kind = "SELECT count(*) FROM company WHERE kind = 'customer'"
    assert ask(by_kind)[0] == 93
    assert ask("SELECT count(*) FROM ab_user WHERE active OR password IS NOT NULL")[0] == 0


def test_the_money_adds_up_to_the_cent(ask):
    invoiced = ask("SELECT sum(net), sum(tax), sum(gross) FROM invoice WHERE number IS NOT NULL")
    assert [round(Decimal(str(amount)), 2) for amount in invoiced] == [
        Decimal("1239855.85"),
        Decimal("0"),
        Decimal("1239855.85"),
    ]
    still_open = ask(
        "SELECT count(*), sum(amount) FROM deal JOIN stage ON stage.id = stage_id WHERE outcome = 'open'"
    )
    assert (still_open[0], round(Decimal(str(still_open[1])), 2)) == (21, Decimal("25937.44"))
    lines = ask("SELECT sum(net) FROM deal_line")[0]
    assert round(Decimal(str(lines)), 2) == Decimal("1265793.29")


def test_the_numbers_have_no_gap_and_follow_the_dates(database):
    with database.raw() as connection:
        issued = connection.execute("SELECT number, issued_on FROM invoice ORDER BY number").fetchall()
        shipped = connection.execute(
            "SELECT count(*) FROM invoice JOIN deal ON deal.id = deal_id WHERE issued_on <> closed_on"
        ).fetchone()
    by_year = {}
    for number, day in issued:
        by_year.setdefault(str(day)[:4], []).append((int(number.rsplit("-", 1)[1]), str(day)))
    assert sorted(by_year) == ["1996", "1997", "1998"]
    for numbered in by_year.values():
        assert [number for number, _ in numbered] == list(range(1, len(numbered) + 1))
        assert [day for _, day in numbered] == sorted(day for _, day in numbered)
    assert shipped[0] == 0


def test_it_is_one_change_set(ask):
    assert ask("SELECT count(*) FROM change_set WHERE door = 'import'")[0] == 1


def test_a_second_run_creates_nothing(app, ask):
    before = ask("SELECT count(*) FROM change")
    with app.app_context():
        _, report = run_import(app, "northwind", NORTHWIND, "Sales", Console(quiet=True))
    assert sum(report.read.values()) == 3201
    assert sum(report.created.values()) == sum(report.records.values()) == 0
    assert [theirs == ours for _, theirs, ours in report.money] == [True] * 3
    assert ask("SELECT count(*) FROM change") == before
