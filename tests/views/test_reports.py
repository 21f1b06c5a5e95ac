"""The sales report on screen and as a paper: the same numbers, for those who may see them."""

import re
from urllib.parse import parse_qsl, urlsplit

import pytest
from sqlalchemy import select
from werkzeug.datastructures import MultiDict

from app import access, filters
from app.audit.papers import pages_of
from app.figures import sales
from app.figures.periods import Period
from app.models import Deal, Invoice, Stage
from tests.databases import with_demo

READINGS = (
    ("head.sales", "2026"),
    ("rep.north", "2026-Q3"),
    ("rep.south", "2026-Q3"),
    ("finance", "2026-09"),
    ("director", "2026-06"),
)
STRANGERS = ("admin", "head.support", "agent", "marketer")
PERIOD = "2026"

AMOUNT = re.compile(r"€[\d,]+\.\d\d")


def paper_of(client, url):
    """The text of the PDF at this address, page by page."""
    page = client.get(url)
    assert page.response.mimetype == "application/pdf"
    return pages_of(page.response.data)


@with_demo
def test_the_report_of_a_year_shows_its_figures(client_for):
    page = client_for("head.sales").get(f"/reports/sales?period={PERIOD}")
    assert page.h1 == "Sales report 2026"
    assert "Sales and all below" in page
    for heading in ("Revenue", "Deals won", "Deals lost", "Win rate", "Funnel", "Why deals were lost"):
        assert heading in page.text
    assert page.html.count('<svg role="img"') == 2


@with_demo
@pytest.mark.parametrize(("reader", "period"), READINGS)
def test_the_paper_holds_the_numbers_of_the_page(client_for, reader, period):
    client = client_for(reader)
    page = client.get(f"/reports/sales?period={period}&currency=EUR")
    paper = paper_of(client, f"/reports/sales.pdf?period={period}&currency=EUR")
    amounts = set(AMOUNT.findall(page.text))
    assert len(amounts) > 5
    assert amounts == set(AMOUNT.findall(" ".join(paper)))
    for number, text in enumerate(paper, 1):
        assert f"Page {number} of {len(paper)}" in text
    assert page.h1 in paper[0]


@with_demo
@pytest.mark.parametrize(
    ("reader", "covered"),
    [
        ("head.sales", "Sales and all below"),
        ("rep.north", "North"),
        ("finance", "All departments"),
        ("director", "All departments"),
    ],
)
def test_page_and_paper_say_which_departments_they_cover(client_for, reader, covered):
    client = client_for(reader)
    assert f"{covered} · EUR" in client.get(f"/reports/sales?period={PERIOD}&currency=EUR").text
    assert f"Departments {covered}" in paper_of(client, f"/reports/sales.pdf?period={PERIOD}")[0]


@with_demo
def test_finance_is_told_that_it_reads_won_deals_only(client_for):
    client = client_for("finance")
    page = client.get(f"/reports/sales?period={PERIOD}")
    assert "Your role reads won deals only" in page.text
    for unknown in ("Win rate", "Funnel", "Why deals were lost"):
        assert unknown not in page.text
    assert "Your role reads won deals only" in paper_of(client, f"/reports/sales.pdf?period={PERIOD}")[0]


@with_demo
def test_one_goes_to_the_period_before_and_after_and_to_a_longer_one(client_for):
    client = client_for("head.sales")
    page = client.get("/reports/sales?period=2026-Q3&currency=EUR")
    for period in ("2026-Q2", "2026-Q4", "2026"):
        assert f"/reports/sales?period={period}&currency=EUR" in page.links
        assert client.get(f"/reports/sales?period={period}&currency=EUR").status == 200
    assert "/reports/sales.pdf?period=2026-Q3&currency=EUR" in page.links


@with_demo
@pytest.mark.parametrize("reader", ["head.sales", "finance"])
def test_a_figure_leads_to_the_list_of_exactly_what_it_counted(client_for, as_person, reader):
    page = client_for(reader).get("/reports/sales?period=2026-Q3&currency=EUR")
    period, checked = Period.parse("2026-Q3"), set()
    with as_person(reader, writes=False) as session:
        for link in page.links:
            if ".min=" not in link:
                continue
            address = urlsplit(link)
            model = {"/deals/": Deal, "/invoices/": Invoice}[address.path]
            query = MultiDict(parse_qsl(address.query))
            principal = access.principal_of(session)
            asked = filters.parse(model, query, sortable=("id",), principal=principal, default_sort="id")
            listed = set(session.scalars(select(model.id).where(*filters.conditions(model, asked))))
            assert listed, link
            figure, group = _figure_behind(session, model, query)
            assert listed == set(session.scalars(figure.rows(period, "EUR", *group))), link
            checked.add(figure.name)
    expected = {"won", "revenue", "revenue_by_owner", "revenue_by_customer"}
    assert checked == expected | ({"lost", "win_rate", "funnel"} if reader == "head.sales" else set())


def _figure_behind(session, model, query):
    """Which figure a list's address stands for, and which group of it."""
    if model is Invoice:
        grouped = {"owner_id": sales.REVENUE_BY_OWNER, "company_id": sales.REVENUE_BY_CUSTOMER}
        for name, figure in grouped.items():
            if f"{name}.is" in query:
                return figure, (int(query[f"{name}.is"]),)
            if f"{name}.empty" in query:
                return figure, (None,)
        return sales.REVENUE, ()
    if "opened_on.min" in query:
        return sales.FUNNEL, (int(query["stage_id.is"]),)
    stages = [int(key) for key in query["stage_id.is"].split(",")]
    outcomes = frozenset(session.scalars(select(Stage.outcome).where(Stage.id.in_(stages))))
    figures = {("won",): sales.WON, ("lost",): sales.LOST, ("lost", "won"): sales.WIN_RATE}
    return figures[tuple(sorted(outcomes))], ()


@with_demo
def test_the_picker_is_a_plain_form(client_for):
    client = client_for("head.sales")
    page = client.submit("/reports/sales", action="/reports/sales", period="2026-05")
    assert page.h1 == "Sales report May 2026"


def test_an_empty_period_says_so_and_leads_to_the_latest_figures(client_for):
    page = client_for("head.sales").get("/reports/sales?period=2001-Q1")
    assert "Nothing was sold in Q1 2001" in page.text


@with_demo
def test_an_empty_period_leads_to_the_last_one_with_figures(client_for):
    client = client_for("head.sales")
    page = client.get("/reports/sales?period=2001-Q1")
    (target,) = (link for link in page.links if re.fullmatch(r"/reports/sales\?period=\d{4}-Q\d", link))
    assert "Nothing was sold" not in client.get(target).text


def test_an_empty_report_prints_too(client_for):
    paper = paper_of(client_for("head.sales"), "/reports/sales.pdf?period=2001-Q1")
    assert "None in this period." in paper[0] + paper[1]


@pytest.mark.parametrize(
    "query",
    [
        "period=nonsense",
        "period=2026-Q5",
        "period=2026-13",
        "period=0000",
        "period=99999",
        "period=%00",
        "period=%F0%28",
        "period=2026&currency=eur",
        "period=2026&currency=ABC",
        "currency=%27%3B--",
        "period=" + "9" * 5000,
    ],
)
@pytest.mark.parametrize("path", ["/reports/sales", "/reports/sales.pdf"])
def test_a_bad_period_or_currency_is_refused_with_a_sentence(client_for, path, query):
    page = client_for("head.sales").get(f"{path}?{query}", status=400)
    assert "is no period" in page.text or "is no currency" in page.text


@pytest.mark.parametrize("stranger", STRANGERS)
@pytest.mark.parametrize("path", ["/reports/sales", "/reports/sales.pdf"])
def test_who_has_no_report_is_refused(client_for, stranger, path):
    client_for(stranger).get(path, status=403)


@pytest.mark.parametrize("path", ["/reports/sales", "/reports/sales.pdf"])
def test_without_a_sign_in_the_way_leads_to_the_door(anonymous, path):
    page = anonymous.get(f"{path}?period=2026", status=302)
    assert page.location.startswith("/login/")
