"""Exports above the set size wait for a head, who lets exactly what was asked out, once."""

from datetime import timedelta

import pytest
from sqlalchemy import delete, select

from app.models import Approval, Change, Membership, ReadEntry
from app.rules import approvals
from tests import factories
from tests.databases import on_both_engines

PATH = "/contacts/export?format=csv&q=vogel"


@pytest.fixture
def house(as_system, app):
    """Three contacts of North, and a house in which more than two rows need an approval."""
    with as_system() as session:
        north = factories.department(session, "North").id
        for number in range(3):
            factories.make(session, "contact", last_name=f"Vogel {number}", department_id=north)
    settings = app.config["SETTINGS"]
    app.config["SETTINGS"] = settings.model_copy(update={"EXPORT_APPROVAL_ROWS": 2})
    yield
    app.config["SETTINGS"] = settings


def ask(client, path=PATH, reason="For the fair"):
    page = client.get(path, status=403)
    assert "needs an approval" in page
    return client.submit(page, "/approvals/ask", follow=True, reason=reason)


def states(as_system):
    with as_system() as session:
        return list(session.scalars(select(Approval.state).order_by(Approval.id)))


@on_both_engines
def test_a_large_export_goes_once_a_head_has_granted_it_and_only_that_one(house, client_for, as_system):
    rep, head = client_for("rep.north"), client_for("head.sales")
    assert PATH in ask(rep)
    assert "it waits for an answer" in rep.get(PATH, status=403)
    page = head.get("/approvals/")
    assert "For the fair" in page
    with as_system() as session:
        key = session.scalars(select(Approval.id)).one()
    rep.post(f"/approvals/{key}/grant", {}, status=403)
    client_for("head.support").post(f"/approvals/{key}/grant", {}, status=404)
    head.submit(page, f"/approvals/{key}/grant", answer="Only for the fair")
    page = rep.get("/approvals/")
    assert "Only for the fair" in page and PATH in page.links
    rep.get(f"{PATH}&columns=all", status=403)
    exported = rep.request("GET", PATH, status=200)
    assert exported.html.count("Vogel") == 3
    assert states(as_system) == ["used"]
    rep.get(PATH, status=403)
    with as_system() as session:
        assert session.scalars(select(ReadEntry.rows)).all() == [3]
        told = select(Change.values).where(Change.entity == "approval").order_by(Change.id)
        assert [values.get("state", [None])[-1] for values in session.scalars(told)] == ["waiting", "granted", "used"]


def test_what_is_refused_does_not_go_and_says_why(house, client_for, as_system):
    rep, head = client_for("rep.north"), client_for("head.sales")
    ask(rep)
    with as_system() as session:
        key = session.scalars(select(Approval.id)).one()
    assert "Say why not." in head.post(f"/approvals/{key}/refuse", {}, status=422)
    head.post(f"/approvals/{key}/refuse", {"answer": "Ask for fewer"})
    assert "Ask for fewer" in rep.get("/approvals/")
    rep.get(PATH, status=403)
    assert "decided already" in head.post(f"/approvals/{key}/grant", {}, status=422)


def test_a_small_export_and_a_directors_need_no_word(house, client_for):
    client_for("rep.north").get("/contacts/export?format=csv&last_name.not=Vogel+0", status=200)
    client_for("director").get(PATH, status=200)


def test_a_head_asks_those_above_him_and_himself_only_where_there_is_nobody(house, client_for, as_system):
    head = client_for("head.sales")
    ask(head)
    with as_system() as session:
        key = session.scalars(select(Approval.id)).one()
    assert f"/approvals/{key}/grant" not in head.get("/approvals/").html
    assert "while there is somebody above him" in head.post(f"/approvals/{key}/grant", {}, status=422)
    with as_system() as session:
        session.execute(delete(Membership).where(Membership.role == "director"))
    head.submit("/approvals/", f"/approvals/{key}/grant")
    head.get(PATH, status=200)


def test_a_word_does_not_count_for_ever_and_cannot_be_forged(house, client_for, as_system):
    rep = client_for("rep.north")
    ask(rep)
    with as_system() as session:
        approval = session.scalars(select(Approval)).one()
        approval.state, approval.decided_at = "granted", approval.created_at - approvals.VALID - timedelta(hours=1)
    assert PATH not in rep.get("/approvals/").links
    rep.get(PATH, status=403)
    rep.post("/approvals/ask", {"asked": "made up", "reason": "so"}, status=400)
    page = rep.get(PATH, status=403)
    form = dict(page.form("/approvals/ask").fields)
    client_for("rep.south").post("/approvals/ask", {"asked": form["asked"], "reason": "so"}, status=400)
    assert "Say why" in rep.submit(page, "/approvals/ask", status=422)


def test_a_program_is_told_too(house, client_for):
    told = client_for("rep.north").request("GET", PATH, status=403, headers={"Accept": "application/json"})
    assert "3 rows" in told.json["message"]
