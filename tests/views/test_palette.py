"""One field that finds everything, the menu and what stands below it, shortcuts, and undo where one stands."""

import re

import pytest
from sqlalchemy import select

from app.models import Company
from tests.rules import world

FRAGMENT = {"HX-Request": "true", "HX-Request-Type": "partial"}


@pytest.fixture
def north(client_for, as_system):
    with as_system() as session:
        company = world.company(session, name="Blauer See")
        world.contact(session, last_name="Seebald", company_id=company.id)
        world.deal(session, name="Seeblick", customer=company)
    return client_for("rep.north")


def groups(page):
    return re.findall(r'class="found-title"[^>]*>([^<]+)<', page.html)


def test_everything_that_one_may_see_is_found_in_groups_the_best_first(north, client_for):
    page = north.get("/search/?q=seeblick")
    assert groups(page)[0] == "Deals" and "Seeblick" in page
    page = north.get("/search/?q=see")
    assert {"Companies", "Contacts", "Deals"} <= set(groups(page))
    assert "Blauer See" not in client_for("rep.south").get("/search/?q=blauer").text.replace("“blauer”", "")


def test_a_misspelt_name_is_found(north):
    assert "Seebald" in north.get("/search/?q=seebakd")


def test_what_one_may_do_and_where_one_may_go_is_found_too(north, client_for):
    page = north.get("/search/?q=new+deal", headers=FRAGMENT)
    assert not page.is_whole and page.links == ["/deals/new?quick=1"]
    assert "/deals/board" in north.get("/search/?q=board").links
    assert "/deals/new?quick=1" not in client_for("director").get("/search/?q=new+deal").links
    assert "Nothing is called “xyzzy”." in north.get("/search/?q=xyzzy")
    north.get("/search/?q=%00%ud800")


def test_whoever_has_typed_nothing_is_offered_what_he_worked_on_last(north, client_for, as_system):
    with as_system() as session:
        numbers = {row.name: row.id for row in session.scalars(select(Company))}
    assert "Recent" not in groups(north.get("/search/"))
    for name in ("One", "Two"):
        north.submit(north.get("/companies/new"), "/companies/new", name=name)
    with as_system() as session:
        new = {row.name: row.id for row in session.scalars(select(Company)) if row.name not in numbers}
    page = north.get("/search/")
    assert groups(page) == ["Recent", "Do and go"]
    assert page.links.index(f"/companies/{new['Two']}") < page.links.index(f"/companies/{new['One']}")
    assert "Recent" not in groups(client_for("rep.south").get("/search/"))
    north.submit(north.get(f"/companies/{new['Two']}"), f"/companies/{new['Two']}/delete")
    assert f"/companies/{new['Two']}" not in north.get("/search/").links


@pytest.mark.parametrize("who", ["admin", "director", "rep.north", "agent", "finance", "marketer"])
def test_no_more_than_eight_entries_stand_on_the_menu_and_the_rest_below_it(client_for, who):
    client = client_for(who)
    page = client.get("/settings/")
    menu = re.search(r'<nav class="rail".*?</nav>', page.html, re.S)[0]
    on_menu = re.findall(r'class="rail-link" href="([^"]+)"', menu)
    assert 1 <= len(on_menu) <= 8 and on_menu[-1] == "/settings/"
    below = re.findall(r'class="rail-link" href="([^"]+)"', page.html.split('class="home"')[1])
    assert below and not set(below) & set(on_menu)
    assert "/staff/" in below and ("/activities/" in {*on_menu, *below}) == (who != "admin")


def test_the_shortcuts_are_told(north):
    page = north.get("/shortcuts/")
    assert "Go to: Deals" in page and "<kbd>g</kbd><kbd>d</kbd>" in page.html


def test_a_deletion_is_taken_back_from_where_one_stands(north):
    page = north.submit("/deals/1", "/deals/1/delete", follow=True)
    assert "“Seeblick” was deleted." in page
    (undo,) = [form for form in page.forms if form.action.endswith("/undo")]
    back = north.post(undo.action, undo.with_values({}), follow=True)
    assert back.url == "/deals/" and "1 row was put back." in back and "Seeblick" in back


def test_an_undo_leads_to_no_other_site(north):
    page = north.submit("/deals/1", "/deals/1/delete", follow=True)
    (undo,) = [form for form in page.forms if form.action.endswith("/undo")]
    values = undo.with_values({}) | {"next": ["https://elsewhere.example/"]}
    assert north.post(undo.action, values).location == "/"
