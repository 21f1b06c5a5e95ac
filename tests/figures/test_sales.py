"""The sales figures against sums that plain SQL takes over the same tables, on both engines."""

from datetime import date
from decimal import Decimal

import pytest
from sqlalchemy import text

from app import access, roles
from app.figures import sales
from app.figures.periods import Period
from app.figures.sales import Amount, sales_report

READERS = ("head", "north", "south", "finance", "director")
TODAY = date(2026, 11, 22)
PERIODS = ("2025", "2025-Q2", "2026-05", "2019")
ASKED = (("2025", "EUR"), ("2025-Q2", "EUR"), ("2026-05", "EUR"), ("2026", "USD"))

# Who sees which rows, said once more by hand.
DEPARTMENTS = {
    "head": ("Sales", "North", "South"),
    "north": ("North",),
    "south": ("South",),
    "finance": ("Sales", "North", "South", "Support", "Finance"),
    "director": ("Sales", "North", "South", "Support", "Finance"),
}
DEALS = """
    deal JOIN stage ON stage.id = deal.stage_id JOIN department ON department.id = deal.department_id
    WHERE department.name IN ({departments}) AND deal.currency = :currency
"""
INVOICES = """
    invoice JOIN department ON department.id = invoice.department_id
    WHERE department.name IN ({departments}) AND invoice.currency = :currency AND invoice.number IS NOT NULL
    AND invoice.issued_on >= :first AND invoice.issued_on <= :last
"""


@pytest.fixture(params=READERS)
def reader(request):
    return request.param


@pytest.fixture(params=ASKED, ids="-".join)
def asked(request):
    return request.param


@pytest.fixture
def period(asked):
    return Period.parse(asked[0])


@pytest.fixture
def currency(asked):
    return asked[1]


@pytest.fixture
def report(firm, reader, period, currency):
    return _report(firm, reader, period, currency)


@pytest.fixture
def by_sql(firm, reader, period, currency):
    """Ask in plain SQL, as the system."""

    def ask(what, tables, more="", group=None):
        departments = ", ".join(f"'{name}'" for name in DEPARTMENTS[reader])
        statement = f"SELECT {what} FROM {tables.format(departments=departments)} {more}"
        statement += f" GROUP BY {group}" if group else ""
        values = {"currency": currency, "first": period.starts_on, "last": period.ends_on}
        with firm.app.app_context(), access.system_session("count again", writes=False) as session:
            return session.execute(text(statement), values).all()

    return ask


CLOSED = "AND stage.outcome = '{}' AND closed_on >= :first AND closed_on <= :last"


def test_won_and_lost(report, by_sql, reader):
    won = by_sql("count(*), sum(amount), min(closed_on)", DEALS, CLOSED.format("won"))[0]
    assert report.now.won == _amount(won)
    lost = by_sql("count(*), sum(amount)", DEALS, CLOSED.format("lost"))[0]
    if reader == "finance":
        assert (report.now.lost, report.now.win_rate, report.funnel, report.lost_reasons) == (
            None,
            None,
            (),
            (),
        )
        return
    assert report.now.lost == _amount(lost)
    closed = won[0] + lost[0]
    assert report.now.win_rate == (round(Decimal(won[0]) / closed + Decimal("1e-9"), 3) if closed else None)
    reasons = by_sql("lost_reason, count(*), sum(amount)", DEALS, CLOSED.format("lost"), "lost_reason")
    assert {line.name: (line.number, line.value) for line in report.lost_reasons} == _grouped(reasons)


def test_days_to_win(report, by_sql, firm):
    days = by_sql("opened_on, closed_on", DEALS, CLOSED.format("won"))
    spans = [_days(opened_on, closed_on) for opened_on, closed_on in days]
    mean = Decimal(sum(spans)) / len(spans) if spans else None
    assert report.now.days_to_win == (round(mean + Decimal("1e-9"), 1) if spans else None)


def test_revenue(report, by_sql):
    assert report.now.revenue == _amount(by_sql("count(*), sum(net)", INVOICES)[0])


def test_revenue_by_owner_and_over_time_adds_up(report, by_sql):
    owners = by_sql("owner_id, count(*), sum(net)", INVOICES, group="owner_id")
    assert {line.id: (line.number, line.value) for line in report.owners} == _grouped(owners)
    assert sum(report.owners, Amount()) == report.now.revenue
    assert sum((amount for _, amount in report.parts), Amount()) == report.now.revenue


def test_revenue_by_customer_keeps_the_hidden_ones(report, by_sql, reader):
    found = _grouped(by_sql("company_id, count(*), sum(net)", INVOICES, group="company_id"))
    seen = {line.id: (line.number, line.value) for line in report.customers if line.kind == "named"}
    assert seen.items() <= found.items()
    assert sum(report.customers, Amount()) == report.now.revenue
    hidden = {key: amount for key, amount in found.items() if key is not None and key not in seen}
    line = next((line for line in report.customers if line.kind == "hidden"), Amount())
    assert line.number == sum(number for number, _ in hidden.values())
    assert line.value == sum(value for _, value in hidden.values())
    if reader == "director":
        assert not hidden


def test_revenue_by_product(report, by_sql):
    lines = "invoice_line JOIN invoice ON invoice.id = invoice_line.invoice_id" + INVOICES.replace(
        "invoice", "", 1
    )
    lines = lines.replace("JOIN department", " JOIN department")
    found = by_sql("product_id, count(*), sum(invoice_line.net)", lines, group="product_id")
    assert {line.id: (line.number, line.value) for line in report.products} == _grouped(found)
    assert sum(line.value for line in report.products) == report.now.revenue.value


def test_funnel(report, by_sql, reader):
    if reader == "finance":
        return
    opened = "AND opened_on >= :first AND opened_on <= :last"
    found = _grouped(by_sql("stage_id, count(*), sum(amount)", DEALS, opened, "stage_id"))
    assert {line.id: (line.number, line.value) for line in report.funnel if line.number} == found


def test_every_figure_drills_down_to_what_it_counted(firm, reader, period, currency):
    with firm.app.app_context(), firm.as_(reader) as session:
        for figure in sales.FIGURES.values():
            groups = session.execute(figure.query(period, currency)).all()
            counted = 0
            for row in groups:
                key = tuple(row)[: len(figure.by)]
                ids = session.scalars(figure.rows(period, currency, *key)).all()
                assert len(ids) == row.number, figure.name
                counted += len(ids)
            assert len(session.scalars(figure.rows(period, currency)).all()) == counted, figure.name


@pytest.mark.parametrize("period_text", PERIODS)
def test_a_heads_report_is_the_sum_of_his_reps_and_of_his_own_rows(firm, period_text):
    period = Period.parse(period_text)
    whole, north, south = (_report(firm, name, period, "EUR") for name in ("head", "north", "south"))
    own = _only(firm, "Sales", period)
    for read in (lambda r: r.now.won, lambda r: r.now.lost, lambda r: r.now.revenue):
        assert read(whole) == read(north) + read(south) + read(own)
    for table in ("owners", "products", "lost_reasons", "funnel"):
        parts = [line for part in (north, south, own) for line in getattr(part, table)]
        assert _summed(getattr(whole, table)) == _summed(parts), table


def test_the_most_used_currency_is_the_default(firm, reader):
    report = _report(firm, reader, Period.parse("2025"), None)
    assert report.currencies == ("EUR", "USD")
    assert report.currency == "EUR"
    empty = _report(firm, reader, Period.parse("2019"), None)
    assert (empty.currencies, empty.currency, empty.is_empty) == ((), "CHF", True)


def test_the_period_before_is_told_too(firm):
    now = _report(firm, "head", Period.parse("2025-Q3"), "EUR")
    before = _report(firm, "head", Period.parse("2025-Q2"), "EUR")
    assert now.before == before.now
    assert now.now != before.now


def test_the_report_says_which_departments_it_covers(firm):
    said = {name: _report(firm, name, Period.parse("2025"), "EUR") for name in READERS}
    assert {name: (report.deals.reach, report.deals.department) for name, report in said.items()} == {
        "head": ("below", "Sales"),
        "north": ("department", "North"),
        "south": ("department", "South"),
        "finance": ("all", "Finance"),
        "director": ("all", "Sales"),
    }


def test_who_may_see_nothing_reads_nothing(firm):
    report = _report(firm, "agent", Period.parse("2025"), None)
    assert (report.now.won, report.now.revenue, report.is_empty) == (Amount(), Amount(), True)
    assert report.deals.reach == "nothing"


def test_a_long_table_ends_in_a_row_for_the_rest(firm, monkeypatch):
    monkeypatch.setattr(sales, "LONGEST_TABLE", 3)
    report = _report(firm, "director", Period.parse("2025"), "EUR")
    assert [line.kind for line in report.customers] == ["named", "named", "named", "rest", "none"]
    assert sum(report.customers, Amount()) == report.now.revenue


def test_the_latest_day_with_figures(firm, reader):
    with firm.app.app_context(), firm.as_(reader) as session:
        latest = sales.latest_on(session)
        assert not _report(firm, reader, Period.around(latest, "month"), None).is_empty


def test_sums_are_exact_to_the_cent(firm):
    """A tenth of a cent's error in every row would show here; floats added up one by one do."""
    with firm.app.app_context(), firm.as_("director") as session:
        for figure in sales.FIGURES.values():
            for row in session.execute(figure.query(Period.parse("2025"), "EUR")):
                if "value" in row._fields:
                    assert type(row.value) is Decimal
                    assert row.value.as_tuple().exponent == -2


# ---------------------------------------------------------------------------------------------


def _report(firm, username, period, currency):
    with firm.app.app_context(), firm.as_(username) as session:
        return sales_report(session, period, currency, today=TODAY, house_currency="CHF")


def _only(firm, department, period):
    """The report over one department alone: that of a rep who sits in it."""
    with firm.app.app_context():
        with access.system_session("look", writes=False) as session:
            found = session.execute(
                text("SELECT id FROM department WHERE name = :name"), {"name": department}
            )
            key = found.scalar_one()
        rep = access.Principal(
            id=99,
            username="rep",
            department_id=key,
            roles=("sales",),
            grants=access.held(roles.grants_of("sales"), person_id=99, department_id=key, below={key}),
        )
        with access.session_for(rep, door="test", writes=False) as session:
            return sales_report(session, period, "EUR", today=TODAY, house_currency="EUR")


def _amount(row):
    return Amount(row[0], _money(row[1]))


def _grouped(rows):
    return {key: (number, _money(value)) for key, number, value in rows}


def _money(value):
    return round(Decimal(str(value or 0)), 2)


def _days(opened_on, closed_on):
    """SQLite hands out dates as text when nobody tells it their type."""
    opened_on, closed_on = (
        date.fromisoformat(day) if isinstance(day, str) else day for day in (opened_on, closed_on)
    )
    return (closed_on - opened_on).days


def _summed(lines):
    sums = {}
    for line in lines:
        # By id where there is one: the name of a stage tells its pipeline only when there are several.
        key = line.id or line.name
        sums[key] = sums.get(key, Amount()) + line
    return {key: amount for key, amount in sums.items() if amount.number}
