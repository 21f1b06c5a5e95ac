"""Sharing in the browser: on the sheet of a record, for a selection, and in the record's history."""

from datetime import date, timedelta

import pytest
from sqlalchemy import select

from app import security
from app.models import Department, Share
from tests import factories
from tests.databases import on_both_engines

TODAY = date.today()


@pytest.fixture
def world(as_system):
    """A deal and a company of North; the ids of departments and people by their names."""
    with as_system() as session:
        ids = {row.name: row.id for row in session.scalars(select(Department))}
        ids |= dict(session.execute(select(security.User.username, security.User.id)).all())
        own = {"department_id": ids["North"], "owner_id": ids["rep.north"]}
        company = factories.make(session, "company", name="Alpine Tents", **own)
        deal = factories.make(session, "deal", name="Forty tents", company_id=company.id, **own)
        return {**ids, "deal": f"/deals/{deal.id}", "company": f"/companies/{company.id}"}


def given(as_system):
    with as_system() as session:
        return [(one.entity, one.to_staff_id, one.to_department_id, one.may, one.cause) for one in _all(session)]


def _all(session):
    return session.scalars(select(Share).order_by(Share.id)).all()


@on_both_engines
def test_a_record_is_shared_and_that_is_ended_on_its_sheet(world, client_for, as_system):
    rep, agent = client_for("rep.north"), client_for("agent")
    agent.get(world["deal"], status=403)
    page = rep.submit(
        f"{world['deal']}/share",
        f"{world['deal']}/share",
        follow=True,
        to=f"staff-{world['agent']}",
        until_on=TODAY + timedelta(days=3),
        reason="He was at the fair",
    )
    assert "He was at the fair" in page and "See" in page
    assert "Forty tents" in agent.get(world["deal"])
    assert "Share added" in rep.get(f"{world['deal']}/history")
    with as_system() as session:
        (share,) = _all(session)
        end = f"{world['deal']}/shares/{share.id}/end"
    assert "Shared with" in agent.get(world["deal"]) and end not in agent.get(world["deal"]).html
    agent.post(end, {}, status=403)
    page = rep.submit(world["deal"], end, follow=True)
    assert "He was at the fair" not in page
    agent.get(world["deal"], status=403)
    assert "Share deleted" in rep.get(f"{world['deal']}/history")


def test_a_share_says_with_whom_until_when_and_why(world, client_for, as_system):
    rep, path = client_for("rep.north"), f"{world['deal']}/share"
    whom = f"department-{world['Support']}"
    for typed, sentence in (
        ({"reason": "so"}, "Say with whom."),
        ({"to": whom}, "Say why"),
        ({"to": whom, "reason": "so", "until_on": TODAY - timedelta(days=1)}, "This day has passed."),
        ({"to": whom, "reason": "so", "until_on": TODAY + timedelta(days=9999)}, "Not later than in ten years"),
    ):
        assert sentence in rep.submit(path, path, status=422, **typed)
    rep.post(path, {"to": whom, "reason": "so", "may": "own"}, status=422)
    assert given(as_system) == []
    rep.submit(path, path, to=whom, reason="so")
    assert "It is shared like that already." in rep.submit(path, path, status=422, to=whom, reason="again")


def test_what_was_shared_to_be_edited_is_edited_but_not_passed_on(world, client_for, as_system):
    rep, south = client_for("rep.north"), client_for("rep.south")
    path = f"{world['deal']}/share"
    south.get(path, status=404)
    rep.submit(path, path, to=f"staff-{world['rep.south']}", may="edit", reason="He has more time")
    south.submit(f"{world['deal']}/edit", f"{world['deal']}/edit", name="Fifty tents")
    assert "Fifty tents" in rep.get(world["deal"])
    page = south.get(f"{world['deal']}/edit")
    for taken in ({"department_id": world["South"]}, {"owner_id": world["rep.south"]}):
        south.submit(page, f"{world['deal']}/edit", status=403, **taken)
    south.get(path, status=403)
    south.post(path, {"to": f"staff-{world['agent']}", "reason": "so"}, status=403)


def test_who_only_reads_shares_nothing(world, client_for):
    path = f"{world['company']}/share"
    agent = client_for("agent")
    assert path not in agent.get(world["company"]).html
    agent.get(path, status=403)
    client_for("admin").get("/tax-rates/1/share", status=404)


@on_both_engines
def test_a_selection_is_shared_on_the_same_terms(world, client_for, as_system):
    with as_system() as session:
        more = factories.make(session, "deal", name="Ropes", department_id=world["North"]).id
    first = world["deal"].rpartition("/")[2]
    rep = client_for("rep.north")
    page = rep.get(f"/deals/bulk?deed=share&which=chosen&id={first}&id={more}")
    page = rep.submit(
        page, "/deals/bulk/share", to=f"department-{world['Marketing']}", reason="A brochure", status=200
    )
    assert "2 would change" in page and "A brochure" in page
    rep.submit(page, "/deals/bulk/share")
    assert [one[:3] for one in given(as_system)] == [("deal", None, world["Marketing"])] * 2
    marketer = client_for("marketer")
    assert "Ropes" in marketer.get(f"/deals/{more}")
    assert marketer.get("/deals/").html.count(">shared<") == 2 and ">shared<" not in rep.get("/deals/").html


# --------------------------------------------------------------------------------------------- two departments


@on_both_engines
def test_a_customer_belongs_also_to_the_department_that_opens_work_on_him(world, client_for, as_system):
    agent, key = client_for("agent"), world["company"].rpartition("/")[2]
    agent.submit("/tickets/new", "/tickets/new", subject="Leaking tent", company_id=f"#{key}")
    assert given(as_system) == [("company", None, world["Support"], "see", "work")]
    agent.submit("/tickets/new", "/tickets/new", subject="Another", company_id=f"#{key}")
    assert len(given(as_system)) == 1
    rep = client_for("rep.north")
    page = rep.get(world["company"])
    assert "Also customer of Support" in page
    with as_system() as session:
        (share,) = _all(session)
        end = f"{world['company']}/shares/{share.id}/end"
    assert "has work of its own here" in rep.submit(page, end, status=422)
    assert "Leaking tent" not in page, "each sees its own work there"


def test_what_was_shared_for_a_day_is_seen_for_good_once_one_works_there(world, client_for, as_system):
    rep, south = client_for("rep.north"), client_for("rep.south")
    path, key = f"{world['company']}/share", world["company"].rpartition("/")[2]
    rep.submit(path, path, to=f"staff-{world['rep.south']}", until_on=TODAY, reason="Look")
    token = south.get("/deals/new").csrf_token
    body = {"name": "Ropes for them", "company_id": int(key)}
    made = south.request("POST", "/api/v1/deals/", json=body, headers={"X-CSRFToken": token})
    assert made.status == 201
    with as_system() as session:
        session.delete(_all(session)[0])
    assert "Alpine Tents" in south.get(world["company"])
    assert "Ropes for them" not in rep.get(world["company"])
    south.get(f"{world['company']}/share", status=403)
