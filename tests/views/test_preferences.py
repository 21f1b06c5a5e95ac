"""How one likes one's pages: kept for oneself, on every page from the next one on."""

import re

from sqlalchemy import select

from app.identity import preferences
from app.models import TicketMessage
from tests.databases import on_both_engines
from tests.rules import world


def _html(page):
    return re.search(r"<html[^>]*>", page.html)[0]


@on_both_engines
def test_who_has_said_nothing_has_the_usual_pages(client_for):
    page = client_for("rep.north").get("/")
    assert 'data-bs-theme="auto"' in _html(page)
    assert "data-density" not in _html(page) and "data-no-shortcuts" not in _html(page)


@on_both_engines
def test_what_one_likes_is_on_every_page_of_ones_own_and_of_nobody_elses(client_for):
    client, address = client_for("rep.north"), "/account/preferences"
    form = client.get(address).form(address).with_values({})
    assert form["theme"] == ["auto"] and form["has_shortcuts"] == ["y"] and form["language"] == ["en"]
    said = {"theme": "dark", "density": "dense", "has_shortcuts": None, "signature": "Best regards\nIngrid"}
    page = client.submit(address, address, follow=True, **said)
    assert "Your pages are as you like them." in page
    for told in ('data-bs-theme="dark"', 'data-density="dense"', "data-no-shortcuts"):
        assert told in _html(client.get("/companies/"))
        assert told not in _html(client_for("rep.south").get("/companies/"))
    kept = client.get(address).form(address).with_values({})
    assert kept["signature"][0].split() == ["Best", "regards", "Ingrid"]
    assert "has_shortcuts" not in kept


def test_what_is_no_theme_or_language_is_refused_at_the_field(client_for):
    client, address = client_for("rep.north"), "/account/preferences"
    page = client.submit(address, address, status=422, theme="purple", language="tlh")
    assert page.html.count('aria-invalid="true"') == 2


def test_what_is_not_named_stays_as_it_is(client_for, app):
    client_for("rep.north")
    with app.app_context():
        preferences.save(4, theme="dark")
        preferences.save(4, default_views={"company": 3})
        assert (preferences.of(4).theme, preferences.of(4).default_views) == ("dark", {"company": 3})


def test_the_signature_stands_below_replies_once_and_below_no_note(client_for, as_system):
    with as_system() as session:
        ticket = world.ticket(session)
        key = ticket.id
    agent = client_for("agent")
    agent.submit("/account/preferences", "/account/preferences", signature="Best regards\r\nJonas")
    for kind, body in (("reply", "It works."), ("reply", "Again.\n\nBest regards\nJonas"), ("note", "For us.")):
        agent.post(f"/tickets/{key}/reply", {"kind": kind, "body": body})
    with as_system() as session:
        bodies = [one.body for one in session.scalars(select(TicketMessage).order_by(TicketMessage.id))]
    assert bodies == ["It works.\n\nBest regards\nJonas", "Again.\n\nBest regards\nJonas", "For us."]
