"""The JSON interface: versions, links out of sight, what a new row begins with, and tokens that do not count."""

import pytest

from app.models import Company
from tests.rules import world


@pytest.fixture
def north(client_for):
    return client_for("rep.north")


@pytest.fixture
def company_id(as_system):
    with as_system() as session:
        return world.company(session, name="Blauer See").id


# --------------------------------------------------------------------------------------------- versions


def test_what_is_deleted_is_named_with_its_version(north, company_id, as_system):
    url = f"/api/v1/companies/{company_id}"
    version = north.api("GET", url).json["version"]
    assert "If-Match" in north.api("DELETE", url, 428).json["message"]
    stale = north.api("DELETE", f"{url}?version={version + 1}", 409).json
    assert (stale["theirs"]["name"], stale["version"], stale["yours"]) == ("Blauer See", version, None)
    north.api("DELETE", url, 409, headers={"If-Match": '"99"'})
    north.api("DELETE", url, headers={"If-Match": f'"{version}"'})
    with as_system() as session:
        assert session.get(Company, company_id) is None


def test_the_version_of_a_delete_may_stand_in_the_address(north, company_id):
    url = f"/api/v1/companies/{company_id}"
    north.api("DELETE", f"{url}?version={north.api('GET', url).json['version']}")
    north.api("GET", url, 404)


def test_a_page_deletes_nothing_without_a_version(north, company_id):
    north.post(f"/companies/{company_id}/delete", status=409)
    north.submit(f"/companies/{company_id}", f"/companies/{company_id}/delete")
    north.get(f"/companies/{company_id}", status=404)
