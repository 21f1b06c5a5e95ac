"""The second factor: set up, asked for, used once, lost, reset, required of a role."""

import html
import re
from datetime import UTC, datetime, timedelta

import pyotp
import pytest
import time_machine

from app import throttle
from app.identity import factors
from tests import databases
from tests.client import Client
from tests.identity.authenticator import Authenticator

NOON = datetime(2026, 5, 4, 12, 0, 10, tzinfo=UTC)


@pytest.fixture(autouse=True)
def clock():
    """A clock that moves only when told: a code must not run out in the middle of a test."""
    with time_machine.travel(NOON, tick=False) as clock:
        yield clock


@pytest.fixture
def knocks(app):
    """`knocks("admin")`: a browser that has said name and password, and what it was answered."""

    def knock(username, password="demo"):
        client = Client(app)
        return client, client.submit("/login/", "/login/", username=username, password=password)

    return knock


def _secret(page):
    return re.search(r'class="secret">([A-Z2-7 ]+)<', page.html).group(1).replace(" ", "")


def _codes(page):
    return re.findall(r"<li><code>([a-z0-9-]+)</code></li>", page.html)


def _code(secret, at=None):
    return pyotp.TOTP(secret).at(at or datetime.now(UTC))


@pytest.fixture
def sets_up(client_for):
    """`sets_up("agent")`: a signed-in browser with an app set up; (browser, secret, codes for paper)."""

    def set_up(username):
        client = client_for(username)
        client.submit("/second-factors/", "/second-factors/password", password="demo")
        client.post("/second-factors/begin")
        secret = _secret(client.get("/second-factors/"))
        page = client.post("/second-factors/confirm", {"code": _code(secret)}, status=200)
        return client, secret, _codes(page)

    return set_up


@databases.on_both_engines
def test_after_the_password_the_code_is_asked_and_opens(sets_up, knocks, clock):
    client, secret, codes = sets_up("agent")
    assert len(codes) == len(set(codes)) == 10
    assert client.get("/").user == "agent", "the session in which it was set up goes on"
    clock.shift(60)
    client, page = knocks("agent")
    assert page.location == "/login/second-factor"
    assert client.get("/tickets/", status=302).location.startswith("/login/"), (
        "the password alone opens nothing"
    )
    client.api("GET", "/api/v1/tickets/", status=401)
    assert client.submit("/login/second-factor", "/login/second-factor", code=_code(secret)).location == "/"
    client.username = "agent"
    assert client.get("/").user == "agent"


def test_whither_one_wanted_is_remembered(sets_up, app, clock):
    _, secret, _ = sets_up("agent")
    clock.shift(60)
    client = Client(app)
    page = client.get("/login/?next=/tickets/")
    page = client.post("/login/", {"username": "agent", "password": "demo", "next": "/tickets/"})
    page = client.submit(page.location, "/login/second-factor", code=_code(secret))
    assert page.location == "/tickets/"


@databases.on_both_engines
def test_a_code_counts_once(sets_up, knocks, clock):
    _, secret, _ = sets_up("agent")
    client, _ = knocks("agent")
    client.submit(
        "/login/second-factor", "/login/second-factor", code=_code(secret), status=401
    )  # that of setting up
    clock.shift(30)
    code = _code(secret)
    client.submit("/login/second-factor", "/login/second-factor", code=code)
    other, _ = knocks("agent")
    other.submit("/login/second-factor", "/login/second-factor", code=code, status=401)
    older = _code(secret, datetime.now(UTC) - timedelta(seconds=30))
    other.submit("/login/second-factor", "/login/second-factor", code=older, status=401)


@pytest.mark.parametrize("seconds, is_taken", [(-90, False), (-30, True), (30, True), (90, False)])
def test_a_clock_may_be_half_a_minute_off(app, sets_up, clock, seconds, is_taken):
    _, secret, _ = sets_up("agent")
    clock.shift(600)
    with app.app_context():
        user_id = _id(app, "agent")
        said = _code(secret, datetime.now(UTC) + timedelta(seconds=seconds))
        assert factors.is_code_of(app.config["SETTINGS"], user_id, said) is is_taken


@pytest.mark.parametrize("said", ["", "12345", "1234567", "١٢٣٤٥٦", "abcdef", "\x00", "½½½½½½"])
def test_what_is_no_code_is_refused(sets_up, knocks, said):
    sets_up("agent")
    client, page = knocks("agent")
    client.get(page.location)
    client.post("/login/second-factor", {"code": said}, status=401)


def test_a_code_from_paper_counts_once(sets_up, knocks):
    _, _, codes = sets_up("agent")
    client, _ = knocks("agent")
    client.submit("/login/second-factor", "/login/second-factor", code=codes[3].upper().replace("-", " "))
    other, _ = knocks("agent")
    other.submit("/login/second-factor", "/login/second-factor", code=codes[3], status=401)
    other.submit("/login/second-factor", "/login/second-factor", code=codes[4])


def test_new_codes_for_paper_make_the_old_ones_worthless(sets_up, knocks):
    client, _, old = sets_up("agent")
    new = _codes(client.post("/second-factors/codes", status=200))
    assert len(new) == 10 and not set(new) & set(old)
    other, _ = knocks("agent")
    other.submit("/login/second-factor", "/login/second-factor", code=old[0], status=401)
    other.submit("/login/second-factor", "/login/second-factor", code=new[0])


def test_neither_secret_nor_codes_stand_in_the_database(app, sets_up, database):
    _, secret, codes = sets_up("agent")
    with database.raw() as connection:
        told = str(connection.execute("SELECT * FROM totp_device").fetchall())
        told += str(connection.execute("SELECT * FROM recovery_code").fetchall())
    assert "agent" not in told and secret not in told
    assert not any(code in told or code.replace("-", "") in told for code in codes)


def test_guesses_at_the_code_are_counted_with_those_at_the_password(sets_up, knocks, clock):
    _, secret, _ = sets_up("agent")
    clock.shift(60)
    client, page = knocks("agent")
    client.get(page.location)
    pages = [client.post(page.location, {"code": f"{number:06}"}, status=None) for number in range(12)]
    statuses = [page.status for page in pages]
    assert statuses.count(401) <= sum(throttle.LIMITS[throttle.GUESSES][:2]) and statuses[-1] == 429
    assert int(pages[-1].response.headers["Retry-After"]) > 0
    client.post("/login/second-factor", {"code": _code(secret)}, status=429)


def test_the_page_asks_the_password_before_anything_changes(client_for):
    client = client_for("rep.north")
    client.post("/second-factors/begin")
    assert "secret" not in client.get("/second-factors/").html.replace("secret-", "")
    client.submit("/second-factors/", "/second-factors/password", password="wrong", status=422)
    client.post("/second-factors/begin")
    assert "Set it up" not in client.get("/second-factors/")


def test_setting_it_up_ends_the_other_sessions(client_for, sets_up):
    other = client_for("agent")
    sets_up("agent")
    assert other.get("/", status=302).location.startswith("/login/")


def test_giving_it_up_leads_back_to_the_password_alone(sets_up, knocks):
    client, _, _ = sets_up("agent")
    client.post("/second-factors/off")
    _, page = knocks("agent")
    assert page.location == "/"


def test_the_token_api_does_not_go_round_it(sets_up, anonymous):
    sets_up("agent")
    said = {"username": "agent", "password": "demo", "provider": "db"}
    anonymous.request("POST", "/api/v1/security/login", status=401, json=said)


# --------------------------------------------------------------------------------------------- required of a role


def test_a_role_that_needs_it_lands_on_the_enrolment_until_it_is_done(client_for, knocks, clock):
    inside = client_for("agent")
    admin = client_for("admin")
    admin.post("/sign-ins/required-roles", {"roles": "support"})
    assert inside.get("/tickets/", status=302).location.startswith("/login/"), "signed out to set it up"
    client, page = knocks("agent")
    assert page.location == "/login/enrolment"
    assert client.get("/tickets/", status=302).location.startswith("/login/")
    page = client.get("/login/enrolment")
    secret = _secret(page)
    client.submit(page, "/login/enrolment", code="000000", status=422)
    other, _ = knocks("agent")  # begun with the password alone
    page = client.submit(page, "/login/enrolment", code=_code(secret), status=200)
    assert len(_codes(page)) == 10
    assert other.get("/login/enrolment", status=302).location == "/login/", "it does not ride along"
    assert client.get("/login/enrolment", status=302).location == "/"
    client.username = "agent"
    assert client.get("/").user == "agent"
    client.submit("/second-factors/", "/second-factors/password", password="demo")
    client.post("/second-factors/off", status=422)
    assert knocks("agent")[1].location == "/login/second-factor"


def test_a_reset_by_those_who_hold_accounts_ends_the_sessions(sets_up, client_for, knocks, app):
    client, _, _ = sets_up("agent")
    admin = client_for("admin")
    assert "agent" in admin.get("/sign-ins/")
    admin.post(f"/sign-ins/{_id(app, 'agent')}/reset-second-factor")
    assert client.get("/", status=302).location.startswith("/login/")
    assert knocks("agent")[1].location == "/"
    assert "Second factor reset" in admin.get("/sign-ins/")


def test_nobody_else_resets_or_requires(client_for, app):
    client = client_for("head.support")
    client.get("/sign-ins/", status=403)
    client.post(f"/sign-ins/{_id(app, 'agent')}/reset-second-factor", status=403)
    client.post("/sign-ins/required-roles", {"roles": "support"}, status=403)


# --------------------------------------------------------------------------------------------- security keys


def _options(page):
    return html.unescape(re.search(r'data-options="([^"]+)"', page.html).group(1))


@pytest.fixture
def with_key(client_for):
    """`with_key("agent")`: (browser, key) after the key was registered."""

    def register(username):
        client, key = client_for(username), Authenticator()
        client.submit("/second-factors/", "/second-factors/password", password="demo")
        page = client.get("/second-factors/")
        said = key.create(_options(page))
        page = client.post("/second-factors/keys", {"name": "on my ring", "credential": said}, status=200)
        assert len(_codes(page)) == 10, "codes for paper come with the first factor"
        return client, key

    return register


@databases.on_both_engines
def test_a_security_key_opens_after_the_password(with_key, knocks):
    _, key = with_key("agent")
    client, page = knocks("agent")
    assert page.location == "/login/second-factor"
    said = key.get(_options(client.get("/login/second-factor")))
    client.post("/login/second-factor", {"credential": said, "code": ""})
    client.username = "agent"
    assert client.get("/").user == "agent"
    other, _ = knocks("agent")
    other.get("/login/second-factor")
    other.post(
        "/login/second-factor", {"credential": said, "code": ""}, status=401
    )  # an answer to another challenge


def test_a_key_whose_counter_went_back_is_refused_and_told(with_key, knocks, client_for):
    _, key = with_key("agent")
    key.count = 5
    client, _ = knocks("agent")
    said = key.get(_options(client.get("/login/second-factor")))
    client.post("/login/second-factor", {"credential": said, "code": ""})
    key.count = 2  # a copy
    client, _ = knocks("agent")
    said = key.get(_options(client.get("/login/second-factor")))
    client.post("/login/second-factor", {"credential": said, "code": ""}, status=401)
    assert "may have been copied" in client_for("admin").get("/sign-ins/")


@pytest.mark.parametrize("place", [{"origin": "https://evil.example"}, {"host": "evil.example"}])
def test_a_key_that_answered_another_place_is_refused(with_key, knocks, place):
    _, key = with_key("agent")
    vars(key).update(place)
    client, _ = knocks("agent")
    said = key.get(_options(client.get("/login/second-factor")))
    client.post("/login/second-factor", {"credential": said, "code": ""}, status=401)


@pytest.mark.parametrize("said", ["", "{}", "[]", "null", "{", '{"id": 5}', "x" * 30_000])
def test_nonsense_from_a_browser_is_refused(with_key, knocks, said):
    with_key("agent")
    client, _ = knocks("agent")
    client.get("/login/second-factor")
    client.post("/login/second-factor", {"credential": said, "code": "" if said else "1"}, status=401)


def test_a_key_is_renamed_and_removed_by_its_owner_only(with_key, client_for, database, knocks):
    client, _ = with_key("agent")
    with database.raw() as connection:
        ((key,),) = connection.execute("SELECT id FROM security_key").fetchall()
    stranger = client_for("rep.north")
    stranger.submit("/second-factors/", "/second-factors/password", password="demo")
    stranger.post(f"/second-factors/keys/{key}/name", {"name": "mine"}, status=404)
    stranger.post(f"/second-factors/keys/{key}/remove", status=404)
    client.post(f"/second-factors/keys/{key}/name", {"name": "in the drawer"})
    assert "in the drawer" in client.get("/second-factors/")
    client.post(f"/second-factors/keys/{key}/remove")
    assert knocks("agent")[1].location == "/"


def _id(app, username):
    from app import access
    from app.security import User

    with app.app_context(), access.system_session("test", writes=False) as session:
        return session.query(User.id).filter_by(username=username).scalar()
