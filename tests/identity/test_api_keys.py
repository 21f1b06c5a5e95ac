"""API keys: what they open, what they do not, how they are counted, and how they end."""

import re
from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from app.identity import api_keys
from app.models import Change, ChangeSet
from tests import databases
from tests.client import Client
from tests.identity.test_second_factors import _id

NOON = datetime(2026, 5, 4, 12, 0, 10, tzinfo=UTC)


@pytest.fixture(autouse=True)
def clock():
    api_keys._AHEAD.clear()
    with time_machine.travel(NOON, tick=False) as clock:
        yield clock


@pytest.fixture
def makes_key(client_for):
    """`makes_key("rep.north")`: the text of a key that this person has made on his page."""

    def make(username, **values):
        client = client_for(username)
        client.submit("/api-keys/", "/api-keys/password", password="demo")
        values = {"name": "warehouse", **values}
        page = client.submit("/api-keys/new", "/api-keys/new", status=200, **values)
        return re.search(r'class="secret">(foyer_[\w-]+)<', page.html).group(1)

    return make


@pytest.fixture
def with_key(app):
    """`with_key(text, "GET", "/api/v1/companies/")`: a program's request."""

    def ask(text, method, path, status=200, **more):
        return Client(app).request(method, path, status, headers={"Authorization": f"Bearer {text}"}, **more)

    return ask


@databases.on_both_engines
def test_a_key_opens_the_api_and_the_ledger_names_it(makes_key, with_key, as_system):
    key = makes_key("rep.north")
    made = with_key(
        key, "POST", "/api/v1/companies/", 201, json={"name": "Bolt Ltd", "kind": "prospect"}
    ).json
    assert with_key(key, "GET", f"/api/v1/companies/{made['id']}").json["result"]["name"] == "Bolt Ltd"
    with as_system() as session:
        change = session.query(Change).filter_by(entity="company", record_id=made["id"]).one()
        by = session.get(ChangeSet, change.change_set_id)
        assert (by.door, by.why) == ("api", "API key “warehouse”") and by.by.name


def test_a_key_holds_no_more_than_the_ticked_roles(makes_key, with_key, as_system, app):
    from app import security

    key_id = _id(app, "rep.north")
    with as_system() as session:
        security.set_roles(session, key_id, ["sales", "support"])
    key = makes_key("rep.north", roles="support")
    with_key(key, "GET", "/api/v1/tickets/")
    with_key(key, "GET", "/api/v1/deals/", 403)
    with as_system() as session:
        security.set_roles(session, key_id, ["sales"])
    with_key(key, "GET", "/api/v1/tickets/", 403)


def test_a_key_opens_no_page(makes_key, with_key):
    key = makes_key("admin")
    for path in ("/", "/staff/", "/api-keys/", "/second-factors/", "/account/", "/sign-ins/"):
        with_key(key, "GET", path, 403)
    with_key(key, "POST", "/api-keys/new", 403)


def test_a_key_is_shown_once_and_kept_as_a_hash(makes_key, client_for, database):
    key = makes_key("rep.north")
    _, prefix, secret = key.split("_", 2)
    page = client_for("rep.north").get("/api-keys/")
    assert prefix in page and secret not in page.html
    with database.raw() as connection:
        told = str(connection.execute("SELECT * FROM api_key").fetchall())
    assert secret not in told and prefix in told


def test_a_key_ends_after_its_last_day(makes_key, with_key, clock):
    key = makes_key("rep.north", expires_on=(NOON + timedelta(days=3)).date().isoformat())
    clock.move_to(NOON + timedelta(days=3))
    with_key(key, "GET", "/api/v1/companies/")
    clock.move_to(NOON + timedelta(days=4))
    with_key(key, "GET", "/api/v1/companies/", 401)


def test_a_key_ends_with_its_owners_account_and_does_not_come_back(makes_key, with_key, as_system, app):
    from app import security

    key = makes_key("rep.north")
    for is_open in (False, True):
        with as_system() as session:
            security.set_active(session, _id_in(session, "rep.north"), is_open, today=NOON.date())
        with_key(key, "GET", "/api/v1/companies/", 401)


def test_a_key_is_ended_by_its_owner_and_by_those_who_hold_accounts(
    makes_key, with_key, client_for, database
):
    own, other = makes_key("rep.north"), makes_key("rep.north", name="second")
    with database.raw() as connection:
        first, second = (
            row[0] for row in connection.execute("SELECT id FROM api_key ORDER BY id").fetchall()
        )
    client_for("rep.south").post(f"/api-keys/{first}/end", status=404)
    client_for("rep.north").post(f"/api-keys/{first}/end")
    with_key(own, "GET", "/api/v1/companies/", 401)
    with_key(other, "GET", "/api/v1/companies/")
    admin = client_for("admin")
    assert "second" in admin.get("/sign-ins/")
    admin.post(f"/sign-ins/keys/{second}/end")
    with_key(other, "GET", "/api/v1/companies/", 401)


@databases.on_both_engines
def test_requests_beyond_the_limit_wait_for_the_next_minute(makes_key, with_key, clock):
    key = makes_key("rep.north", per_minute="5")
    for _ in range(5):
        with_key(key, "GET", "/api/v1/companies/")
    page = with_key(key, "GET", "/api/v1/companies/", 429)
    assert 0 < int(page.response.headers["Retry-After"]) <= 61
    api_keys._AHEAD.clear()  # another process, or this one after a restart
    with_key(key, "GET", "/api/v1/companies/", 429)
    clock.shift(60)
    with_key(key, "GET", "/api/v1/companies/")


def test_processes_together_give_out_no_more_than_the_limit(makes_key, app, database):
    makes_key("rep.north", per_minute="60")
    with database.raw() as connection:
        ((key_id, user_id),) = connection.execute("SELECT id, user_id FROM api_key").fetchall()
    key, processes = api_keys.Key(key_id, user_id, "warehouse", 60), [{}, {}, {}]
    with app.app_context():
        given = 0
        for number in range(90):
            before = dict(api_keys._AHEAD)
            api_keys._AHEAD.clear()
            api_keys._AHEAD.update(processes[number % 3])
            given += api_keys.take(key) is None
            processes[number % 3] = dict(api_keys._AHEAD)
            assert before is not None
    assert given == 60


def test_last_use_is_written_once_a_minute(makes_key, with_key, database, clock):
    key = makes_key("rep.north", per_minute="3")

    def used():
        with database.raw() as connection:
            return connection.execute("SELECT last_used_at FROM api_key").fetchall()[0][0]

    with_key(key, "GET", "/api/v1/companies/")
    first = used()
    clock.shift(20)
    with_key(key, "GET", "/api/v1/companies/")
    assert first is not None and used() == first
    clock.shift(60)
    with_key(key, "GET", "/api/v1/companies/")
    assert used() != first


@pytest.mark.parametrize("text", ["foyer_", "foyer_x", "foyer_00000000_x", "foyer_" + "a" * 500, "foyer_é_é"])
def test_what_is_no_key_opens_nothing(with_key, text):
    with_key(text.encode().decode("latin-1"), "GET", "/api/v1/companies/", 401)


def test_a_wrong_secret_behind_a_right_prefix_is_counted(makes_key, with_key):
    key = makes_key("rep.north")
    wrong = key[:20] + "x" * (len(key) - 20)
    statuses = [with_key(wrong, "GET", "/api/v1/companies/", None).status for _ in range(12)]
    assert statuses[0] == 401 and statuses[-1] == 429
    with_key(key, "GET", "/api/v1/companies/")


def test_a_key_needs_the_password_a_role_and_a_day_that_is_allowed(client_for):
    client = client_for("rep.north")
    client.post("/api-keys/new", {"name": "x"}, status=302)
    client.submit("/api-keys/", "/api-keys/password", password="demo")
    client.submit("/api-keys/new", "/api-keys/new", status=422, name="x", roles=None)
    client.submit("/api-keys/new", "/api-keys/new", status=422, name="x", expires_on="2030-01-01")
    client.submit("/api-keys/new", "/api-keys/new", status=422, name="x", per_minute="1000000")
    page = client.get("/api-keys/new")
    data = page.form("/api-keys/new").with_values({"name": "x"}) | {"roles": "admin"}
    client.post("/api-keys/new", data, status=422)


def _id_in(session, username):
    from app.security import User

    return session.query(User.id).filter_by(username=username).scalar()
