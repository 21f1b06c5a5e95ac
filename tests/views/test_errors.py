"""What goes wrong is said in a sentence that fits: pages from before a sign-in, and what the database refuses."""

import re

import pytest
from sqlalchemy.exc import IntegrityError

from app.models import Department
from app.views import errors
from tests.databases import on_both_engines, somebody_writes
from tests.rules import world


def test_a_form_from_before_a_sign_in_says_that_nothing_is_lost(client_for):
    north = client_for("rep.north")
    page = north.post("/companies/new", {"name": "Blauer See", "csrf_token": "from before"}, status=400)
    assert "not understood" not in page
    assert "nothing was stored" in page
    assert "still there" in page
    said = north.post("/companies/new", {"csrf_token": "x"}, 400, headers={"Accept": "application/json"})
    assert "nothing was stored" in said.json["message"]


def test_who_waits_too_long_for_his_turn_to_write_is_told_so_and_keeps_what_he_typed(app, client_for, monkeypatch):
    north = client_for("rep.north")
    form = north.get("/companies/new")
    with somebody_writes(app, monkeypatch):
        said = {"name": "Blauer See", "csrf_token": form.csrf_token}
        assert "Many people are writing just now" in north.post("/companies/new", said, status=503)
        as_json = north.post("/companies/new", said, status=503, headers={"Accept": "application/json"})
        assert "Many people are writing just now" in as_json.json["message"]


@on_both_engines
def test_what_is_still_needed_is_not_deleted(client_for, as_system):
    with as_system() as session:
        company = world.company(session)
        world.deal(session, customer=company)
        url = f"/companies/{company.id}"
    north = client_for("rep.north")
    page = north.submit(url, f"{url}/delete", status=422)
    assert "Other records still point to this one." in page
    assert "exists already" not in page
    for referrer, ways_out in ((f"http://localhost{url}", [url, "/"]), ("https://elsewhere.example/", ["/"])):
        refused = north.post(f"{url}/delete", {"version": "1"}, status=422, headers={"Referer": referrer})
        assert re.findall(r'class="btn[^"]*" href="([^"]+)"', refused.html.split('class="oops"')[1]) == ways_out


@on_both_engines
def test_what_is_there_already_is_said_to_be(app, as_system):
    with pytest.raises(IntegrityError) as refused, as_system() as session:
        session.add(Department(name=world.department(session).name))
    with app.test_request_context("/api/v1/companies/"):
        response, status = errors._integrity(refused.value)
    assert (status, response.json["message"]) == (422, "This exists already.")
