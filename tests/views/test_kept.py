"""Nothing typed is lost when the session ends meanwhile: sign in again in place, and the form comes back filled."""

import pytest
from sqlalchemy import delete, func, select

from app import security
from app.models import Contact, LoginSession
from tests import factories

HERE = {"Origin": "http://localhost"}


@pytest.fixture
def typed(client_for, as_system):
    """A form that somebody filled in while his session ended: (his browser, what he sends)."""
    client = client_for("rep.north")
    data = (
        client.get("/contacts/new")
        .form("/contacts/new")
        .with_values({"last_name": "Typed", "notes": "Long\nand dear"})
    )
    with as_system() as session:
        session.execute(delete(LoginSession))
    client.username = None
    return client, data


def count(as_system):
    with as_system() as session:
        return session.scalar(select(func.count(Contact.id)).where(Contact.last_name == "Typed"))


def test_it_comes_back_to_its_form_after_signing_in(typed, as_system):
    client, data = typed
    again = client.post("/contacts/new", data, status=401, headers=HERE)
    assert "What you typed is kept" in again and "Long" not in again.text
    wrong = client.submit(again, action="/login/", username="rep.north", password="wrong", status=401)
    back = client.submit(
        wrong, action="/login/", username="rep.north", password=security.DEMO_PASSWORD, status=200
    )
    client.username = "rep.north"
    page = client.submit(back, action="/contacts/new", status=200)
    fields = dict(page.form("/contacts/new").fields)
    assert (fields["last_name"], fields["notes"].strip()) == ("Typed", "Long\nand dear")
    assert count(as_system) == 0, "nothing is stored before its writer says so"
    client.submit(page, action="/contacts/new")
    assert count(as_system) == 1


def test_what_another_site_sends_is_not_kept(typed):
    client, data = typed
    for headers in ({"Origin": "https://evil.example"}, {}):
        page = client.post("/contacts/new", data, status=400, headers=headers)
        assert "Typed" not in page.html


def test_a_note_is_shown_before_it_is_sent_again(client_for, as_system):
    with as_system() as session:
        deal = factories.make(session, "deal", department=factories.department(session, "North")).id
    client = client_for("rep.north")
    data = client.get(f"/deals/{deal}").form("/activities/log").with_values({"body": "A note of weight"})
    with as_system() as session:
        session.execute(delete(LoginSession))
    client.username = None
    again = client.post("/activities/log", data, status=401, headers=HERE)
    back = client.submit(
        again, action="/login/", username="rep.north", password=security.DEMO_PASSWORD, status=200
    )
    assert "A note of weight" in back.text
    client.username = "rep.north"
    assert "A note of weight" in client.submit(back, action="/activities/log", follow=True)


def test_who_signed_in_meanwhile_in_another_tab_gets_it_back_at_once(client_for, as_system):
    client = client_for("rep.north")
    data = client.get("/contacts/new").form("/contacts/new").with_values({"last_name": "Typed"})
    client.browser.delete_cookie("foyer-session")
    client.username = None
    client.sign_in("rep.north", security.DEMO_PASSWORD)
    back = client.request("POST", "/contacts/new", 400, data=data, headers=HERE)
    page = client.submit(back, action="/contacts/new", status=200)
    assert dict(page.form("/contacts/new").fields)["last_name"] == "Typed"


@pytest.mark.parametrize(
    "kept", ["{", "[]", '{"path": "//evil.example", "fields": [["a", "b"]]}', '{"path": "/x", "fields": [1]}']
)
def test_nonsense_in_its_place_is_passed_over(app, anonymous, kept):
    page = anonymous.get("/login/")
    sent = {
        "username": "rep.north",
        "password": security.DEMO_PASSWORD,
        "csrf_token": page.csrf_token,
        "kept": kept,
    }
    assert anonymous.post("/login/", sent, status=302).location == "/"


def test_passwords_are_never_carried_through_a_page(client_for, as_system):
    client = client_for("rep.north")
    client.get("/account/password")
    data = {"password": "geheim", "csrf_token": "old", "current": "x"}
    assert "geheim" not in client.post("/account/password", data, status=400, headers=HERE).html
