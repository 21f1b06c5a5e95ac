"""Links typed by name, and filters over links: they find what is meant, and tell nothing that is hidden."""

import pytest

from app.models import Company, Contact
from tests.rules import world


@pytest.fixture
def companies(as_system):
    """Two companies of the North; the second is called like a number of the first."""
    with as_system() as session:
        first = world.company(session, name="Blauer See")
        second = world.company(session, name=f"Studio #{first.id}")
        return first.id, second.id


@pytest.fixture
def hidden_link(as_system):
    """A contact of the North at a company of the South: (contact's id, company's id)."""
    with as_system() as session:
        south = world.department(session, "South")
        company = Company(name="Delikatessen Süd", department_id=south.id)
        session.add(company)
        session.flush()
        north = world.department(session, "North")
        contact = Contact(last_name="Grenzer", company_id=company.id, department_id=north.id)
        session.add(contact)
        session.flush()
        return contact.id, company.id


def company_of(as_system, last_name):
    with as_system() as session:
        return session.query(Contact).filter_by(last_name=last_name).one().company_id


@pytest.mark.parametrize(
    ("text", "which"), [("Blauer See", 0), ("blauer see (#{first})", 0), ("#{first}", 0)]
)
def test_a_company_is_found_by_name_and_by_its_number(client_for, as_system, companies, text, which):
    client = client_for("rep.north")
    typed = text.format(first=companies[0])
    client.submit("/contacts/new", "/contacts/new", last_name="Neu", company_id=typed)
    assert company_of(as_system, "Neu") == companies[which]


def test_a_name_that_ends_like_a_number_is_a_name(client_for, as_system, companies):
    client = client_for("rep.north")
    client.submit("/contacts/new", "/contacts/new", last_name="Neu", company_id=f"Studio #{companies[0]}")
    assert company_of(as_system, "Neu") == companies[1]


def test_a_filter_tells_no_link_that_is_hidden(client_for, hidden_link):
    _, company_id = hidden_link
    client = client_for("rep.north")
    assert "Grenzer" in client.get("/contacts/").text
    assert "Grenzer" not in client.get(f"/contacts/?company_id.is={company_id}").text
    assert "Grenzer" in client.get(f"/contacts/?company_id.not={company_id}").text
    client.get(f"/contacts/?company_id.min={company_id}", status=400)


def test_finance_sees_who_has_bought_and_no_prospect(client_for, as_system):
    with as_system() as session:
        prospect = world.company(session, name="Noch nicht", kind="prospect").id
        partner = world.company(session, name="Partnerhaus", kind="partner")
        deal = world.deal(session, name="Gemeinsam", customer=partner, amount="100.00")
        deal.stage = world.stage(session, "Won")
        partner = partner.id
    client = client_for("finance")
    client.get(f"/companies/{prospect}", status=404)
    client.get(f"/companies/{partner}")
