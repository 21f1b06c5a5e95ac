"""Lists: filters as sentences, the panel that adds them, counts, pages, and how few statements a page takes."""

import re
from contextlib import contextmanager

import pytest
from sqlalchemy import event

from app.extensions import db
from app.models import Company, CustomField, Tag, Tagging
from app.views import MENU, MENU_MORE
from app.views.records import RecordView
from tests import factories
from tests.databases import on_both_engines, with_demo
from tests.rules import world

MOST_STATEMENTS = 8
LISTS = [entry.view.route_base + "/" for entry in (*MENU, *MENU_MORE) if issubclass(entry.view, RecordView)]


@contextmanager
def counted(app):
    """How many statements run within the block, transactions apart."""
    seen = []

    def note(_connection, _cursor, statement, *_more):
        if not statement.startswith(("BEGIN", "PRAGMA")):
            seen.append(statement)

    with app.app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", note)


# What costs most is asked by everybody, the rest by one or the other.
DEAR = ["?q=nordlihct", "?filters=open", "?created_at.min=2020-01-01&q=zzzz"]
ASKED = ["", "?q=an", "?count=exact", "?size=10&q=e&sort=id", "?created_at.during=this+year&sort=id"]
ASKED += ["?where=created_by_id.name+has+a+or+created_by_id+empty", "?sort=-id&size=25", "?id.min=3"]


@with_demo
@pytest.mark.parametrize("turn, who", list(enumerate(["director", "head.sales", "rep.north", "finance"])))
def test_a_list_takes_few_statements_whatever_is_asked_of_it(app, client_for, turn, who):
    client = client_for(who)
    client.get("/staff/?q=warm")  # what a process looks up once and keeps
    for path in LISTS:
        if client.get(path, status=None).status == 403:
            continue
        for query in [*DEAR, *ASKED[turn::4]]:
            with counted(app) as statements:
                client.get(path + query)
            said = "\n".join(statement[:300] for statement in statements)
            assert len(statements) <= MOST_STATEMENTS, f"{path}{query}: {len(statements)}\n{said}"


@pytest.fixture
def three(as_system):
    """Companies of North, by their city."""
    with as_system() as session:
        for name, city, country in (
            ("Adler", "Berlin", "Germany"),
            ("Bär", "Köln", "Germany"),
            ("Cygne", "Lyon", "France"),
        ):
            row = world.company(session, name=name, city=city, country=country)
            factories.make(session, "contact", last_name=f"Of {name}", company=row, department=row.department)


def test_filters_are_read_as_sentences_and_taken_off_one_by_one(client_for, three):
    client = client_for("rep.north")
    page = client.get("/companies/?country.is=Germany&where=city+is+Berlin+or+city+is+Lyon")
    assert "Adler" in page
    assert "Bär" not in page
    assert "Country is “Germany”" in page.text
    assert "City is “Berlin” or City is “Lyon”" in page.text
    off = next(
        link for link in page.links if "where" in link and "country" not in link and "filters" not in link
    )
    assert "Cygne" in client.get(off)


def test_a_filter_through_a_link_reads_like_one(client_for, three):
    page = client_for("rep.north").get("/contacts/?company_id.country.is=France")
    assert "Company: Country is “France”" in page.text
    assert "Of Cygne" in page
    assert "Of Adler" not in page


def test_the_panel_adds_a_filter_in_two_steps_without_a_script(client_for, three):
    client = client_for("rep.north")
    panel = client.get(
        client.get("/companies/?country.is=Germany").link_with(href="filters") or _panel(client)
    )
    assert "Often used" in panel.html
    second = client.get("/companies/?country.is=Germany&filters=open&column=city")
    assert "starts with" in second
    done = client.get(
        "/companies/?country.is=Germany&filters=open&column=city&operator=starts&value=ber", status=302
    )
    assert done.location == "/companies/?city.starts=ber&country.is=Germany"
    beside = client.get(
        "/companies/?country.is=Germany&filters=open&column=city&operator=is&value=Lyon&beside=0", status=302
    )
    page = client.get(beside.location)
    assert "Cygne" in page
    assert "Adler" in page


def _panel(client):
    return next(link for link in client.get("/companies/?country.is=Germany").links if "filters=open" in link)


def test_the_panel_finds_a_linked_record_by_its_name(client_for, three, as_system):
    client = client_for("rep.north")
    address = "/contacts/?filters=open&column=company_id&operator=is&value="
    page = client.get(client.get(f"{address}Adler", status=302).location)
    assert "Company is Adler" in page.text
    assert "Of Adler" in page
    assert "Of Cygne" not in page
    again = client.get(f"{address}Nobody+at+all", status=302)
    assert "filters=open" in again.location


def test_a_misspelt_search_says_what_it_shows_instead(client_for, three):
    page = client_for("rep.north").get("/companies/?q=addler")
    assert "Nothing is called “addler”. Shown is what is spelt almost like it." in page.text
    assert "Adler" in page


def test_a_filter_that_cannot_be_read_names_the_place(client_for):
    page = client_for("rep.north").get("/companies/?where=(city+is+Berlin", status=400)
    assert "At character 16 of the filter, “)” is expected." in page.text


@on_both_engines
def test_tags_and_custom_fields_are_asked_and_shown(client_for, as_system, three):
    with as_system() as session:
        session.add(CustomField(entity="company", name="size", kind="number", labels={"en": "Staff size"}))
        tag = Tag(name="Important")
        session.add(tag)
        session.flush()
        for row in session.query(Company):
            row.custom = {"size": {"Adler": 5, "Bär": 50}.get(row.name, 500)}
        adler = session.query(Company).filter_by(name="Adler").one()
        session.add(Tagging(tag_id=tag.id, entity="company", record_id=adler.id))
        tag_id = tag.id
    client = client_for("rep.north")
    page = client.get("/companies/?custom.size.min=50")
    assert "Staff size at least 50" in page.text
    assert "Bär" in page
    assert "Adler" not in page
    tagged = client.get(f"/companies/?tag.is={tag_id}")
    assert "Tag is Important" in tagged.text
    assert "Adler" in tagged
    assert "Bär" not in tagged


def test_the_count_stops_and_goes_on_when_asked(client_for, three, monkeypatch):
    monkeypatch.setattr("app.filters.pages.COUNT_UP_TO", 2)
    client = client_for("rep.north")
    page = client.get("/companies/?size=1")
    assert "2+" in page.text
    exact = next(link for link in page.links if "count=exact" in link)
    assert "2+" not in client.get(exact).text


def test_nonsense_in_the_panel_and_the_filter_is_answered_calmly(client_for):
    client = client_for("rep.north")
    for path in ("/companies/", "/contacts/", "/deals/", "/staff/"):
        for query in (
            "filters=open&column=nothing",
            "filters=open&column=id.id.id",
            "filters=open&column=custom.x",
            "column=id&operator=has&value=1",
            "column=id&operator=between&value=1",
            "column=id&operator=is&value=" + "9" * 5000,
            "column=created_at&operator=during&value=%00",
            "column=id&operator=is&value=1&beside=99999999999",
            "column=tag&operator=is&value=x",
            "where=" + "(" * 4001,
            "where=id+is+%ED%A0%80",
            "where=any+any+any",
            "where=id+is+1&where=id+is+%22",
            "created_at.during=last+99999+years",
            "created_at.older=9999+years",
            "created_at.min=0001-01-01&created_at.max=9999-12-31",
            "count=exact&q=%25&sort=id&after=WzEsIDFd",
        ):
            assert client.get(f"{path}?{query}", status=None).status in (200, 302, 400), (path, query)


@on_both_engines
def test_a_search_says_how_many_there_are_where_it_ends(client_for, as_system):
    north = client_for("rep.north")
    with as_system() as session:
        for number in range(60):
            world.company(session, name=f"Echo {number}")
    path, said = "/companies/?q=echo&size=25", []
    while path:
        page = north.get(path)
        said.append(re.search(r'class="list-count">([^< ]*)', page.html)[1])
        onward = re.search(r'href="([^"]*after=[^"]*)"', page.html)
        path = onward and onward[1].replace("&amp;", "&")
    assert said == ["25+", "25+", "60"]
