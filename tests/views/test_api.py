"""The JSON interface: versions, links out of sight, what a new row begins with, and tokens that do not count."""

from datetime import timedelta

import pytest
from flask_jwt_extended import create_access_token, create_refresh_token

from app import security
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


# --------------------------------------------------------------------------------------------- writing


def test_a_link_out_of_sight_is_not_written(north, as_system):
    with as_system() as session:
        customer = Company(name="Süd", kind="customer", department_id=world.department(session, "South").id)
        session.add(customer)
        session.flush()
        url = f"/api/v1/deals/{world.deal(session, customer=customer).id}"
        ours_id = world.company(session).id
    read = north.api("GET", url).json
    assert read["result"]["not_visible"] == ["company_id"]
    for value in (ours_id, None):
        said = north.api("PUT", url, 422, json={"company_id": value, "version": read["version"]}).json
        assert list(said["errors"]) == ["company_id"]
    north.api("PUT", url, json={"name": "Renamed", "version": read["version"]})


def test_what_is_not_said_begins_with_the_default(client_for):
    ticket = client_for("agent").api("POST", "/api/v1/tickets/", 201, json={"subject": "Help"}).json
    assert ticket["result"]["priority"] == "normal"
    company = client_for("rep.north").api("POST", "/api/v1/companies/", 201, json={"name": "Neu"}).json
    assert company["result"]["kind"] == "prospect"


def test_a_new_form_shows_the_default(client_for):
    form = client_for("agent").get("/tickets/new").form("/tickets/new")
    assert dict(form.fields)["priority"] == "normal"


# --------------------------------------------------------------------------------------------- tokens


def test_a_token_that_does_not_count_is_answered_401(app, anonymous):
    with app.app_context():
        tokens = {
            "broken": "x",
            "two words": "a b",
            "too old": create_access_token("1", expires_delta=timedelta(seconds=-5)),
            "nobody's": create_access_token("999999"),
            "for another purpose": create_refresh_token("1"),
        }
    for name, token in tokens.items():
        headers = {"Authorization": f"Bearer {token}"}
        answer = anonymous.request("GET", "/api/v1/deals/", 401, headers=headers)
        assert answer.json["message"], name


def test_a_good_token_opens_the_door(anonymous):
    login = {"username": "rep.north", "password": security.DEMO_PASSWORD, "provider": "db"}
    token = anonymous.request("POST", "/api/v1/security/login", 200, json=login).json["access_token"]
    anonymous.request("GET", "/api/v1/deals/", 200, headers={"Authorization": f"Bearer {token}"})
