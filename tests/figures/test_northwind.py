"""The figures of a real trading firm, 1997: against its tables in plain SQL, and against its own files."""

import csv
from collections import Counter, defaultdict
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import pytest
from sqlalchemy import select

from app import access, security
from app.audit.papers import pages_of
from app.commands import demo
from app.documents.sales_report import sales_report_pdf
from app.figures.periods import Period
from app.figures.sales import Amount, sales_report
from app.formats import money
from tests import databases

NORTHWIND = Path(__file__).resolve().parents[3] / "shared" / "data" / "northwind"
pytestmark = pytest.mark.skipif(
    not NORTHWIND.is_dir(), reason="the Northwind export does not lie in ../shared beside this checkout"
)

YEAR = Period.parse("1997")
ISSUED = "FROM invoice WHERE number IS NOT NULL AND issued_on BETWEEN '1997-01-01' AND '1997-12-31'"


@pytest.fixture(scope="module")
def database():
    with databases.fresh_database("sqlite", "northwind") as database, databases.app_on(database) as app:
        with app.app_context(), access.system_session("cast", door="command") as session:
            demo.write_accounts(session)
        yield database


@pytest.fixture(scope="module")
def report(database):
    """What the head of sales reads."""
    with databases.app_on(database) as app, app.app_context():
        with access.system_session("look", writes=False) as session:
            user_id = session.scalars(select(security.User.id).filter_by(username="head.sales")).one()
        with access.session_for(security.load_principal(user_id), door="test", writes=False) as session:
            return sales_report(session, YEAR, today=date(2026, 11, 22), house_currency="EUR")


@pytest.fixture
def by_sql(database):
    def ask(statement):
        with database.raw() as connection:
            return connection.execute(statement).fetchall()

    return ask


def test_revenue_and_won_deals_equal_sums_over_the_tables(report, by_sql):
    assert report.now.revenue == _amount(*by_sql(f"SELECT count(*), sum(net) {ISSUED}")[0])
    won = "SELECT count(*), sum(amount), sum(julianday(closed_on) - julianday(opened_on)) FROM deal "
    won += "WHERE closed_on LIKE '1997-%' AND stage_id IN (SELECT id FROM stage WHERE outcome = 'won')"
    number, value, days = by_sql(won)[0]
    assert report.now.won == _amount(number, value)
    assert report.now.days_to_win == (Decimal(days) / number).quantize(Decimal("0.1"), ROUND_HALF_UP)
    assert (report.now.lost, report.now.win_rate) == (Amount(), 1)


def test_revenue_by_owner_customer_and_month_equals_sums_over_the_tables(report, by_sql):
    for column, lines in (("owner_id", report.owners), ("company_id", report.customers)):
        found = by_sql(f"SELECT {column}, count(*), sum(net) {ISSUED} GROUP BY {column}")
        assert {line.id: Amount(line.number, line.value) for line in lines} == _amounts(found)
        assert {line.kind for line in lines} == {"named"}
    months = by_sql(f"SELECT strftime('%m', issued_on), count(*), sum(net) {ISSUED} GROUP BY 1")
    assert {f"{first.month:02}": amount for (first, _), amount in report.parts} == _amounts(months)


def test_revenue_by_product_equals_sums_over_the_tables(report, by_sql):
    lines = "SELECT product_id, count(*), sum(net) FROM invoice_line "
    lines += f"WHERE invoice_id IN (SELECT id {ISSUED}) GROUP BY product_id"
    assert {line.id: Amount(line.number, line.value) for line in report.products} == _amounts(by_sql(lines))


def test_the_funnel_equals_sums_over_the_tables(report, by_sql):
    found = by_sql(
        "SELECT stage_id, count(*), sum(amount) FROM deal WHERE opened_on LIKE '1997-%' GROUP BY stage_id"
    )
    assert {line.id: Amount(line.number, line.value) for line in report.funnel if line.number} == _amounts(
        found
    )


def test_the_figures_equal_the_firms_own_files(report):
    """Once more without any table of ours: the orders that were shipped in 1997, line by line."""
    cent = Decimal("0.01")
    shipped = {row["OrderID"]: row for row in _rows("orders.csv") if row["ShippedDate"].startswith("1997")}
    names = {row["CustomerID"].strip(): row["CompanyName"] for row in _rows("customers.csv")}
    customers, whole = defaultdict(Decimal), Decimal()
    for line in _rows("order_lines.csv"):
        if line["OrderID"] in shipped:
            price, quantity, discount = (
                Decimal(line[name]) for name in ("UnitPrice", "Quantity", "Discount")
            )
            net = (price * quantity * (1 - discount)).quantize(cent, ROUND_HALF_UP)
            whole += net
            customers[names[shipped[line["OrderID"]]["CustomerID"].strip()]] += net
    assert report.now.revenue == Amount(len(shipped), whole) == Amount(398, Decimal("608847.01"))
    assert {line.name: line.value for line in report.customers} == dict(customers)


def test_the_paper_holds_every_number_of_the_report(report):
    paper = " ".join(pages_of(sales_report_pdf(report, house="Northwind Traders")))
    shown = Counter(money(line.value, "EUR") for table in _tables(report) for line in table)
    for amount, times in shown.items():
        assert paper.count(amount) >= times, amount
    for line in (*report.owners, *report.customers, *report.products):
        assert " ".join(line.name.split()) in paper
    assert "398 invoices" in paper
    assert "100%" in paper


# ---------------------------------------------------------------------------------------------


def _tables(report):
    return (
        report.owners,
        report.customers,
        report.products,
        report.funnel,
        [amount for _, amount in report.parts],
        [report.now.won, report.now.revenue],
    )


def _rows(name):
    with (NORTHWIND / name).open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def _amount(number, value):
    return Amount(number, Decimal(str(value)).quantize(Decimal("0.01")))


def _amounts(rows):
    return {key: _amount(number, value) for key, number, value in rows}
