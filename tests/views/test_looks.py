"""How a list looks: columns, density, saved views, and the records beside one; all of it in the address."""

import re

import pytest

from app.identity import saved_views
from tests.databases import on_both_engines
from tests.rules import world


@pytest.fixture
def north(client_for, as_system):
    with as_system() as session:
        for name, city in (("Anker", "Bonn"), ("Birke", None), ("Chor", "Aachen"), ("Dorn", None)):
            world.company(session, name=name, city=city)
    return client_for("rep.north")


def heads(page):
    inside = re.search(r"<thead>.*?</thead>", page.html, re.S)[0]
    said = (re.sub(r"<[^>]+>", "", one).strip() for one in re.findall(r"<th[^>]*>(.*?)</th>", inside, re.S))
    return [one for one in said if one != "Select"]


# --------------------------------------------------------------------------------------------- columns, density


def choose(client, address, **values):
    """Fill in the panel of columns that stands open at this address."""
    (form,) = [one for one in client.get(address).forms if "look" in one.controls]
    return client.get("/companies/", status=302, query_string=form.with_values(values)).location


def test_the_columns_of_a_list_are_chosen_and_stand_in_its_address(north):
    assert heads(north.get("/companies/"))[:3] == ["Name", "Kind", "City"]
    chosen = choose(north, "/companies/?kind.is=customer&look=open", col=["name", "email"], density="dense")
    assert chosen == "/companies/?kind.is=customer&show=name%2Cemail&density=dense"
    page = north.get(chosen)
    assert heads(page) == ["Name", "E-mail"] and "list-dense" in page.html
    for href in page.links:  # taking a filter off, another order, the next page: the look stays
        assert "sort=" not in href or "show=name%2Cemail" in href


def test_the_usual_columns_need_not_be_said(north):
    assert choose(north, "/companies/?look=open") == "/companies/"


def test_no_column_is_shown_that_there_is_not_or_that_is_hidden(north, client_for):
    north.get("/companies/?show=name,wealth", status=400)
    north.get("/companies/?density=thin", status=400)
    agent = client_for("agent")
    agent.get("/contacts/?show=last_name,birth_date", status=400)
    assert "birth_date" not in agent.get("/contacts/?look=open").html


def test_a_list_is_exported_with_the_columns_that_it_shows(north):
    page = north.get("/companies/?show=name,email")
    exported = north.submit(page, "/companies/export", format="csv", columns="shown")
    assert exported.html.lstrip("\ufeff").replace('"', "").startswith("No.,Name,E-mail,foyer-trace")


# --------------------------------------------------------------------------------------------- saved views


def save(client, address, **values):
    page = client.get(address)
    href = next(href for href in page.links if href.startswith("/saved-views/new"))
    return client.submit(client.get(href), "/saved-views/new", **values)


def tabs(page):
    found = re.search(r'<nav class="views".*?</ul>', page.html, re.S)
    return re.findall(r"<li><a [^>]*>(.*?)</a></li>", found[0]) if found else []


@on_both_engines
def test_a_list_is_kept_as_it_stands_and_found_again_as_a_tab(north):
    assert tabs(north.get("/companies/")) == []
    answer = save(north, "/companies/?city.is=Bonn&show=name,city", name="Bonn")
    page = north.get(answer.location)
    assert tabs(page) == ["All", "Bonn"] and "Anker" in page and "Chor" not in page
    assert heads(page) == ["Name", "City"]
    assert tabs(north.get("/companies/?view=1&city.is=Aachen")) == ["All", "Bonn, changed"]


@on_both_engines
def test_a_view_reaches_whom_it_is_for(client_for):
    head = client_for("head.sales")
    with_id = {name: key for key, name in _reaches(head)}
    save(head, "/companies/?city.is=Graz", name="Sales in Graz", reach=with_id["For Sales"])
    save(head, "/companies/?city.is=Linz", name="Mine alone", reach="mine")
    assert "For everybody" not in with_id
    assert "Sales in Graz" in tabs(client_for("rep.north").get("/companies/"))
    assert "Mine alone" not in tabs(client_for("rep.north").get("/companies/"))
    assert tabs(client_for("agent").get("/companies/")) == []
    director = client_for("director")
    save(director, "/companies/?city.is=Wien", name="The house", reach="everyone")
    assert tabs(client_for("agent").get("/companies/")) == ["All", "The house"]


def _reaches(client):
    page = client.get("/saved-views/new?entity=company&query=")
    return re.findall(r'<option (?:selected )?value="([^"]+)">([^<]+)</option>', page.html)


def test_whom_one_does_not_lead_one_saves_no_views_for(north):
    form = north.get("/saved-views/new?entity=company&query=").form("/saved-views/new").with_values({"name": ["All"]})
    north.post("/saved-views/new", form | {"reach": ["everyone"]}, status=422)
    assert {value for value, _ in _reaches(north)} == {"mine"}


def test_anothers_view_is_used_and_not_changed(north, client_for, app):
    save(client_for("director"), "/companies/?city.is=Wien", name="The house", reach="everyone")
    assert "The house" in tabs(north.get("/companies/"))
    north.get("/saved-views/1", status=404)
    north.post("/saved-views/1", {"name": "Mine"}, status=404)
    north.post("/saved-views/1/delete", status=404)


def test_a_list_begins_with_the_view_that_one_says(north):
    save(north, "/companies/?city.is=Bonn", name="Bonn", is_default="y")
    begun = north.get("/companies/", status=302)
    assert begun.location == "/companies/?city.is=Bonn&view=1"
    assert "Chor" in north.get("/companies/?view=all")
    north.submit("/saved-views/1", "/saved-views/1", is_default=None)
    north.get("/companies/")


def test_a_view_is_changed_and_thrown_away_by_who_saved_it(north):
    save(north, "/companies/?city.is=Bonn", name="Bonn")
    assert "Bonn" in north.get("/saved-views/")
    north.submit("/saved-views/1", "/saved-views/1", name="At the Rhine", is_pinned=None)
    page = north.get("/companies/")
    assert tabs(page) == ["All"] and "At the Rhine" in page
    north.submit("/saved-views/1", "/saved-views/1/delete")
    assert tabs(north.get("/companies/")) == []


def test_what_is_no_list_is_not_kept(north):
    address = "/saved-views/new?entity=company&query="
    north.submit(address + "nonsense.is%3D1", "/saved-views/new", name="Nonsense", status=422)
    north.submit(address, "/saved-views/new", name="  ", status=422)
    north.get("/saved-views/new?entity=nothing", status=404)


def test_nobody_keeps_views_without_end(north, app, monkeypatch):
    monkeypatch.setattr(saved_views, "MOST", 1)
    save(north, "/companies/?city.is=Bonn", name="Bonn")
    north.submit(
        "/saved-views/new?entity=company&query=city.is%3DAachen", "/saved-views/new", name="Aachen", status=422
    )


# --------------------------------------------------------------------------------------------- beside


def names(client, query):
    return re.findall(r'class="row-link" href="/companies/\d+">([^<]+)<', client.get(f"/companies/?{query}").html)


@on_both_engines
def test_from_a_record_one_goes_on_through_the_list_one_came_from(north):
    for query in ("", "sort=-name", "sort=city", "sort=-city", "sort=id", "q=8010"):
        in_order = names(north, query)
        first = re.search(r'class="row-link" href="(/companies/\d+)"', north.get(f"/companies/?{query}").html)[1]
        page = north.get(first, headers={"Referer": f"http://localhost/companies/?{query}"})
        for way, wanted, end in (("next", in_order, "last"), ("prev", in_order[::-1], "first")):
            seen = []
            for _ in wanted:
                seen.append(next(name for name in wanted if page.h1.startswith(name)))
                page = north.get(page.link_with(rel=way), follow=True)
            assert seen == wanted and f"This is the {end} one of the list." in page, query


def test_who_did_not_come_from_a_list_is_led_through_none(north):
    assert north.get("/companies/1").link_with(rel="next") is None
    for referrer in ("http://elsewhere.example/companies/", "http://localhost/deals/", "http://[broken"):
        assert north.get("/companies/1", headers={"Referer": referrer}).link_with(rel="next") is None
    assert north.get("/companies/1?list=nonsense.is%3D1").link_with(rel="next") is None
