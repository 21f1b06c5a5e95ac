"""A record added in passing, by the fewest fields; what it looks like is said while it is typed."""

import pytest
from sqlalchemy import select

from app.models import Contact, Deal
from tests import factories


def test_a_contact_is_added_by_the_fewest_fields(client_for, as_system):
    client = client_for("rep.north")
    page = client.get("/contacts/new?quick=1")
    shown = set(page.form("/contacts/new").controls)
    assert {"first_name", "last_name", "email"} <= shown and "street" not in shown
    added = client.submit(page, action="/contacts/new", last_name="Passing", follow=True)
    assert "“Passing” was added." in added
    with as_system() as session:
        contact = session.scalars(select(Contact).where(Contact.last_name == "Passing")).one()
        assert contact.department.name == "North" and contact.owner.name == "Ingrid Solberg"


def test_a_deal_is_added_in_a_column_of_the_board(client_for, as_system):
    client = client_for("rep.north")
    board = client.get("/deals/board")
    add = [link for link in board.links if "quick=1" in link and "stage_id" in link][1]
    page = client.submit(client.get(add), action="/deals/new", name="From the board", follow=True)
    assert page.url.startswith("/deals/board")
    with as_system() as session:
        deal = session.scalars(select(Deal).where(Deal.name == "From the board")).one()
        assert f"stage_id={deal.stage_id}" in add


def test_what_was_typed_goes_along_to_the_whole_form(client_for):
    client = client_for("rep.north")
    page = client.submit(
        "/contacts/new?quick=1", action="/contacts/new", status=200, last_name="Kept", refill="1"
    )
    fields = dict(page.form("/contacts/new").fields)
    assert fields["last_name"] == "Kept" and "street" in fields


def test_an_error_comes_back_to_the_short_form_at_its_field(client_for):
    client = client_for("rep.north")
    page = client.submit(
        "/contacts/new?quick=1", action="/contacts/new", status=422, first_name="Only", email="nonsense"
    )
    assert "street" not in page.form("/contacts/new").controls
    assert (
        dict(page.form("/contacts/new").fields)["first_name"] == "Only" and 'aria-invalid="true"' in page.html
    )


@pytest.fixture
def ann(as_system):
    with as_system() as session:
        north = factories.department(session, "North")
        values = {"first_name": "Annabel", "last_name": "Okonkwo", "email": "annabel@okonkwo.example"}
        return factories.make(session, "contact", department=north, **values).id


def test_a_likeness_is_told_while_one_types(client_for, ann):
    seen = client_for("rep.north").get("/contacts/look-alikes?first_name=Anabel&last_name=Okonkwo")
    assert "Annabel Okonkwo" in seen and f"/contacts/{ann}" in seen.links
    assert "Okonkwo" not in client_for("rep.north").get(
        "/contacts/look-alikes?first_name=Bob&last_name=Jones"
    )


def test_beyond_ones_reach_only_exact_identity_is_told_and_counted(client_for, ann):
    client = client_for("rep.south")
    assert client.get("/contacts/look-alikes?first_name=Annabel&last_name=Okonkwo").text == ""
    told = client.get("/contacts/look-alikes?email=annabel@okonkwo.example&left=1")
    assert "exists already, in North" in told and "Annabel" not in told.text
    asked = [client.get("/contacts/look-alikes?email=annabel@okonkwo.example&left=1").text for _ in range(40)]
    assert "exists already" in asked[0] and asked[-1] == "", "the throttle of the sealed line holds here, too"
