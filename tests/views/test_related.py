"""Related lists of a sheet: searched in place, kept to the record and to what the reader sees."""

import pytest

from tests import factories


@pytest.fixture
def company_id(as_system):
    with as_system() as session:
        north, south = factories.department(session, "North"), factories.department(session, "South")
        company = factories.make(session, "company", name="Searched", department=north)
        other = factories.make(session, "company", name="Another", department=north)
        for name in ("Alpha", "Beta", "Gamma", "Delta", "Epsilon", "Zeta"):
            factories.make(session, "deal", name=f"{name} works", company=company, department=north)
        factories.make(session, "deal", name="Alpha elsewhere", company=other, department=north)
        factories.make(session, "deal", name="Alpha foreign", company=company, department=south)
        return company.id


def test_a_related_list_is_searched_in_place(client_for, company_id):
    client = client_for("rep.north")
    page = client.get(f"/companies/{company_id}")
    assert f"/companies/{company_id}/related/deals" in page.html
    found = client.get(f"/companies/{company_id}/related/deals?q=alpha")
    assert "Alpha works" in found and "Beta" not in found and "elsewhere" not in found and "foreign" not in found
    assert "Nothing is found." in client.get(f"/companies/{company_id}/related/deals?q=omega")


def test_without_a_script_the_list_page_finds_the_same(client_for, company_id):
    client = client_for("rep.north")
    page = client.submit(f"/companies/{company_id}", action="/deals/", q="alpha")
    assert "Alpha works" in page and "elsewhere" not in page and "foreign" not in page


def test_there_is_no_other_list_and_no_foreign_record(client_for, company_id):
    client_for("rep.north").get(f"/companies/{company_id}/related/nonsense", status=404)
    client_for("rep.south").get(f"/companies/{company_id}/related/deals?q=alpha", status=404)
