"""The interface for programs: `/api/v1/…`, with the session's cookie and its CSRF token, or with a bearer token."""

from datetime import timedelta

import pytest
from flask_jwt_extended import create_access_token, create_refresh_token
from sqlalchemy import func, select

from app import security
from app.models import Company, Contact, Deal
from tests.client import Client
from tests.databases import on_both_engines
from tests.rules import world

RESOURCES = ("companies", "contacts", "deals", "tickets", "campaigns")


@pytest.fixture
def north(client_for):
    return client_for("rep.north")


@pytest.fixture
def company_id(as_system):
    with as_system() as session:
        return world.company(session, name="Blauer See").id


class Program:
    """A caller without a browser: it signs in for a token and sends that."""

    def __init__(self, app, username, password="demo"):
        self.browser = app.test_client(use_cookies=False)
        answer = self.browser.post(
            "/api/v1/security/login", json={"username": username, "password": password, "provider": "db"}
        )
        self.status, self.tokens = answer.status_code, answer.get_json()

    def send(self, method, url, **more):
        headers = {"Authorization": f"Bearer {self.tokens['access_token']}", **more.pop("headers", {})}
        return self.browser.open(url, method=method, headers=headers, **more)


@on_both_engines
def test_a_record_is_added_read_edited_and_deleted(client_for):
    client = client_for("rep.north")
    page = client.api("POST", "/api/v1/companies/", 201, json={"name": "Vins et alcools", "kind": "customer"})
    url, version = f"/api/v1/companies/{page.json['id']}", page.json["version"]
    assert client.api("GET", url).json["result"]["name"] == "Vins et alcools"
    page = client.api("PATCH", url, json={"city": "Reims", "version": version})
    assert page.json["result"]["city"] == "Reims"
    assert page.json["version"] == version + 1
    assert page.response.headers["ETag"] == f'"{version + 1}"'
    client.api("DELETE", url, 428)
    client.api("DELETE", url, 409, headers={"If-Match": f'"{version}"'})
    client.api("DELETE", url, headers={"If-Match": f'"{version + 1}"'})
    client.api("GET", url, 404)


@on_both_engines
@pytest.mark.parametrize("name", RESOURCES)
def test_every_resource_lists_page_by_page(client_for, as_system, name):
    with as_system() as session:
        for number in range(5):
            if name == "companies":
                world.company(session, name=f"Firm {number}")
            elif name == "contacts":
                world.contact(session, last_name=f"Person {number}")
            elif name == "deals":
                world.deal(session, name=f"Deal {number}")
            elif name == "tickets":
                world.ticket(session, subject=f"Ticket {number}")
            else:
                from app.models import Campaign

                marketing = world.department(session, "Marketing").id
                session.add(Campaign(name=f"Campaign {number}", department_id=marketing, currency="EUR"))
    who = {"tickets": "agent", "campaigns": "marketer"}.get(name, "rep.north")
    client, found, after = client_for(who), [], ""
    while after is not None:
        page = client.api("GET", f"/api/v1/{name}/?size=2&after={after}")
        found += [row["id"] for row in page.json["result"]]
        after = page.json["next"]
    assert page.json["count"] == len(found) == len(set(found)) == 5


def test_an_edit_needs_the_version_that_was_read(north, company_id):
    url = f"/api/v1/companies/{company_id}"
    for more in ({}, {"version": 99}, {"version": None}, {"version": "x"}):
        page = north.api("PATCH", url, 409, json={"name": "Overwritten", **more})
        assert page.json["theirs"]["name"] == "Blauer See"
        assert page.json["yours"]["name"] == "Overwritten"
        assert page.json["version"] == 1
    north.api("PATCH", url, json={"name": "Renamed"}, headers={"If-Match": '"1"'})
    north.api("PATCH", url, 409, json={"name": "Again"}, headers={"If-Match": '"1"'})
    assert north.api("GET", url).json["result"]["name"] == "Renamed"


def test_what_does_not_validate_is_named_by_field(north):
    body = {"name": "", "email": "none", "kind": "friend", "nothing": 1, "id": 7, "city": ["a", "b"]}
    page = north.api("POST", "/api/v1/companies/", 422, json=body)
    assert set(page.json["errors"]) == set(body)


def test_what_people_may_not_write_programs_may_not_either(north, company_id, as_system):
    for name in ("id", "created_at", "created_by_id", "updated_at"):
        page = north.api("PATCH", f"/api/v1/companies/{company_id}", 422, json={name: 5, "version": 1})
        assert name in page.json["errors"]
    with as_system() as session:
        assert session.get(Company, company_id).version == 1


@on_both_engines
def test_a_hidden_link_is_named_and_survives(client_for, as_system, company_id):
    with as_system() as session:
        south = world.department(session, "South").id
        customer = Company(name="Süd", kind="customer", department_id=south)
        session.add(customer)
        session.flush()
        deal_id, hidden_id = world.deal(session, customer=customer).id, customer.id
    client, url = client_for("rep.north"), f"/api/v1/deals/{deal_id}"
    result = client.api("GET", url).json["result"]
    assert result["company_id"] is None
    assert "company_id" in result["not_visible"]
    client.api("PATCH", url, json={"name": "Renamed", "version": 1})
    for key in (company_id, None):
        page = client.api("PATCH", url, 422, json={"company_id": key, "version": 2})
        assert "company_id" in page.json["errors"]
    with as_system() as session:
        row = session.get(Deal, deal_id)
        assert (row.name, row.company_id) == ("Renamed", hidden_id)


def test_a_link_to_a_foreign_id_is_refused_like_one_to_none(north, as_system):
    with as_system() as session:
        south = world.department(session, "South").id
        foreign = Company(name="Süd", kind="customer", department_id=south)
        session.add(foreign)
        session.flush()
        foreign_id = foreign.id
    answers = [
        north.api("POST", "/api/v1/contacts/", 422, json={"last_name": "x", "company_id": key}).json
        for key in (foreign_id, 99_999)
    ]
    assert answers[0] == answers[1]
    with as_system() as session:
        assert session.scalar(select(func.count(Contact.id))) == 0
        assert session.scalar(select(func.count(Company.id))) == 1, "an invisible id must not make a new row"


def test_a_foreign_record_answers_like_none(client_for, company_id):
    south = client_for("rep.south")
    for method in ("GET", "PATCH", "PUT", "DELETE"):
        more = {} if method in ("GET", "DELETE") else {"json": {"name": "x", "version": 1}}
        answers = [
            south.api(method, f"/api/v1/companies/{key}", 404, **more).json for key in (company_id, 99_999)
        ]
        assert answers[0] == answers[1]


@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
def test_the_cookie_alone_writes_nothing(north, company_id, as_system, method):
    url = "/api/v1/companies/" if method == "POST" else f"/api/v1/companies/{company_id}"
    for headers in ({}, {"X-CSRFToken": "forged"}):
        north.request(method, url, 400, json={"name": "Forged", "version": 1}, headers=headers)
    with as_system() as session:
        assert session.scalars(select(Company.name)).all() == ["Blauer See"]


@on_both_engines
def test_a_bearer_token_needs_no_cookie_and_no_csrf_token(app, as_system):
    program = Program(app, "rep.north")
    assert program.status == 200
    answer = program.send("POST", "/api/v1/companies/", json={"name": "By token", "kind": "customer"})
    assert answer.status_code == 201
    with as_system() as session:
        row = session.scalars(select(Company)).one()
        assert row.created_by.name == "Ingrid Solberg"
    assert program.send("GET", f"/api/v1/companies/{answer.get_json()['id']}").status_code == 200
    assert Program(app, "rep.south").send("GET", "/api/v1/companies/1").status_code == 404


def test_a_wrong_password_gets_no_token(app):
    for name, password in (("rep.north", "wrong"), ("nobody", "demo"), ("rep.north", "")):
        assert Program(app, name, password).status in (400, 401)


def test_a_forged_token_opens_nothing(app):
    program = Program(app, "rep.north")
    head, body, signature = program.tokens["access_token"].split(".")
    for token in (
        f"{head}.{body}.{signature[::-1]}",
        f"{head}.{body}.",
        "x",
        f"{head[:-2]}.{body}.{signature}",
    ):
        program.tokens = {"access_token": token}
        assert program.send("GET", "/api/v1/companies/").status_code in (401, 422)


def test_the_token_of_who_has_left_opens_nothing(app, as_system):
    from flask_appbuilder.security.sqla.models import User

    program = Program(app, "rep.north")
    with as_system() as session:
        session.scalars(select(User).where(User.username == "rep.north")).one().active = False
    assert program.send("GET", "/api/v1/companies/").status_code == 401


def test_who_has_no_business_there_is_told_so(client_for):
    for username, name in (("admin", "companies"), ("marketer", "deals"), ("rep.north", "tickets")):
        page = client_for(username).api("GET", f"/api/v1/{name}/", 403)
        assert page.json["message"]
    client_for("director").api("POST", "/api/v1/companies/", 403, json={"name": "x"})


def test_without_sign_in_nothing_is_told(app):
    for name in RESOURCES:
        for path in (f"/api/v1/{name}/", f"/api/v1/{name}/1"):
            assert Client(app).request("GET", path).status == 401


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
