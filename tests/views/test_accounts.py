"""One's own account, everybody's for IT, forgotten passwords, and the headers of every page."""

import re
import socket
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy

import pytest
import time_machine
from aiosmtpd.controller import Controller
from sqlalchemy import select

from app import jobs, security, sessions
from app.models import AccountEvent, LoginSession, OutboxMessage, PasswordLink
from tests import databases
from tests.client import Client

NEW = "three calm otters"


def user_id(as_system, username="agent"):
    with as_system() as session:
        return session.scalar(select(security.User.id).filter_by(username=username))


# --------------------------------------------------------------------------------------------- sessions


def test_one_sees_where_one_is_signed_in_and_ends_it(app, client_for):
    here, there = client_for("agent"), client_for("agent")
    page = here.get("/account/")
    assert page.text.count("Last seen") == 2 and "this one" in page
    end = next(form.action for form in page.forms if form.action.endswith("/end"))
    assert "Signed out there" in here.submit(page, end, follow=True)
    assert "/login/" in there.request("GET", "/tickets/").location
    assert "Nobody is signed in there" in here.post(end, follow=True)
    assert "end-others" not in here.get("/account/").html


def test_nobody_ends_the_session_of_another(client_for, as_system):
    client_for("director")
    with as_system() as session:
        foreign = session.scalar(select(LoginSession.id))
    mine = client_for("agent")
    assert "Nobody is signed in there" in mine.post(f"/account/sessions/{foreign}/end", follow=True)
    with as_system() as session:
        assert session.get(LoginSession, foreign) is not None


def test_it_signs_somebody_out_everywhere_and_others_may_not(client_for, as_system):
    key, agent, admin = user_id(as_system), client_for("agent"), client_for("admin")
    client_for("head.support").get(f"/accounts/{key}", status=403)
    client_for("head.support").post(f"/accounts/{key}/end-sessions", status=403)
    agent.get("/tickets/")
    page = admin.get(f"/accounts/{key}")
    assert "signed out everywhere" in admin.submit(page, f"/accounts/{key}/end-sessions", follow=True)
    assert "/login/" in agent.request("GET", "/tickets/").location
    with as_system() as session:
        event = session.scalars(select(AccountEvent).filter_by(user_id=key, kind="sessions ended")).one()
        assert event.details == {"sessions": 1, "why": "by IT"}
    admin.get("/accounts/99999", status=404)


# --------------------------------------------------------------------------------------------- passwords


def replace(client, status=302, **values):
    values = {"current": "demo", "password": NEW, "again": NEW} | values
    return client.submit("/account/password", "/account/password", status=status, **values)


def test_one_replaces_the_password_and_stays_signed_in_here_alone(app, client_for):
    here, there = client_for("agent"), client_for("agent")
    replace(here)
    assert "Your password is replaced" in here.get("/account/")
    assert "/login/" in there.request("GET", "/tickets/").location
    Client(app).sign_in("agent", NEW)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"current": "wrong"}, "not your present password"),
        ({"again": "three calm bears"}, "not the same"),
        ({"password": "short", "again": "short"}, "at least 8"),
        ({"password": "Password1", "again": "Password1"}, "Too many people"),
        ({"password": "jonas weber 77", "again": "jonas weber 77"}, "must not hold"),
        ({"password": "your company is", "again": "your company is"}, "the firm"),
        ({"password": "", "again": ""}, "required"),
    ],
)
def test_what_will_not_do_is_said_at_its_field(client_for, values, sentence):
    client = client_for("agent")
    assert sentence in replace(client, status=422, **values)
    client.get("/tickets/")


def test_the_present_password_is_guessed_no_more_often_than_at_the_door(client_for):
    client = client_for("agent")
    answers = [replace(client, status=(422, 429), current=f"wrong {number}") for number in range(7)]
    assert [page.status for page in answers] == [422] * 5 + [429] * 2
    assert int(answers[-1].response.headers["Retry-After"]) > 800
    assert re.search(r"Try again in 15 minutes", answers[-1].text)


def test_one_that_it_set_is_replaced_before_anything_else(app, client_for, as_system):
    key, admin = user_id(as_system), client_for("admin")
    admin.submit(f"/staff/{key}/edit", f"/staff/{key}/edit", password=NEW)
    client = Client(app)
    page = client.get("/login/")
    client.post("/login/", {"username": "agent", "password": NEW, "csrf_token": page.csrf_token})
    client.username = "agent"
    assert client.request("GET", "/tickets/").location == "/account/password"
    assert client.request("GET", "/api/v1/tickets/").status == 403
    assert "before you go on" in client.get("/account/password")
    other = "five loud herons"
    client.submit("/account/password", "/account/password", current=NEW, password=other, again=other)
    client.get("/tickets/")


def test_it_can_ask_for_a_new_password(client_for, as_system):
    key, agent, admin = user_id(as_system), client_for("agent"), client_for("admin")
    agent.get("/tickets/")
    admin.submit(f"/accounts/{key}", f"/accounts/{key}/ask-for-password")
    assert agent.request("GET", "/tickets/").location == "/account/password"


def test_it_sets_no_password_of_its_own_in_the_staff_form(client_for, as_system):
    form = f"/staff/{user_id(as_system, 'admin')}/edit"
    admin = client_for("admin")
    assert "Your account" in admin.submit(form, form, status=422, password=NEW)


def test_the_staff_form_takes_no_common_password(client_for, as_system):
    form = f"/staff/{user_id(as_system)}/edit"
    assert "Too many people" in client_for("admin").submit(form, form, status=422, password="Password1")


def test_a_password_gets_old_only_where_the_firm_says_so(client_for, app, monkeypatch):
    client = client_for("agent")
    settings = app.config["SETTINGS"]
    strict = settings.model_copy(
        update={"PASSWORD_DAYS": 90, "SESSION_HOURS": 8760, "SESSION_IDLE_MINUTES": 43200}
    )
    monkeypatch.setitem(app.config, "SETTINGS", strict)
    client.get("/tickets/")
    with time_machine.travel(datetime.now(UTC) + timedelta(days=20)):
        client.get("/tickets/")
    with time_machine.travel(datetime.now(UTC) + timedelta(days=20, hours=1)):
        monkeypatch.setitem(app.config, "SETTINGS", strict.model_copy(update={"PASSWORD_DAYS": 10}))
        assert client.request("GET", "/tickets/").location == "/account/password"


# --------------------------------------------------------------------------------------------- forgotten


class Inbox:
    """A mail server that keeps what comes."""

    def __init__(self):
        self.mails = []

    async def handle_DATA(self, server, session, envelope):
        self.mails.append(message_from_bytes(envelope.content, policy=policy.default))
        return "250 kept"


@pytest.fixture
def inbox(app, monkeypatch):
    """A real mail server, which the house sends to."""
    handler = Inbox()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = Controller(handler, hostname="127.0.0.1", port=port)
    server.start()
    settings = app.config["SETTINGS"].model_copy(update={"MAIL_HOST": "127.0.0.1", "MAIL_PORT": port})
    monkeypatch.setitem(app.config, "SETTINGS", settings)
    yield handler
    server.stop()


def ask(client, name):
    client.get("/login/forgotten")
    return client.post("/login/forgotten", {"username": name}, status=200)


@databases.on_both_engines
def test_a_forgotten_password_is_replaced_by_a_mailed_link_once(app, anonymous, inbox, as_system, client_for):
    signed_in = client_for("agent")
    assert "a mail is on its way" in ask(anonymous, "agent@foyer.example")
    jobs.deliver(app)
    mail = inbox.mails[0]
    assert mail["To"] == "agent@foyer.example"
    link = re.search(r"http://127\.0\.0\.1:8080(/login/new-password\?token=\S+)", mail.get_content())[1]
    token = link.partition("=")[2]
    with as_system() as session:
        held = [
            repr(vars(row))
            for table in (OutboxMessage, PasswordLink)
            for row in session.scalars(select(table))
        ]
    assert token not in "".join(held), "no row holds the secret"
    page = anonymous.get(link)
    form = page.form("/login/new-password")
    weak = form.with_values({"password": "Password1", "again": "Password1"})
    anonymous.post("/login/new-password", weak, status=422)
    anonymous.post("/login/new-password", form.with_values({"password": NEW, "again": NEW}))
    assert "/login/" in signed_in.request("GET", "/tickets/").location
    anonymous.get(link, status=404)
    Client(app).sign_in("agent", NEW)


def test_a_link_is_good_for_an_hour_and_the_newest_alone(app, anonymous, as_system):
    key = user_id(as_system)
    with app.app_context():
        first, second = security.make_password_link(key), security.make_password_link(key)
    anonymous.get(f"/login/new-password?token={first}", status=404)
    anonymous.get(f"/login/new-password?token={second}")
    with time_machine.travel(datetime.now(UTC) + timedelta(minutes=61)):
        anonymous.get(f"/login/new-password?token={second}", status=404)


def test_known_and_unknown_names_are_answered_alike_and_mailed_seldom(app, anonymous, inbox):
    known, unknown = ask(anonymous, "agent"), ask(anonymous, "nobody")
    assert re.sub(r'"I[^"]{20,}"', "", known.html) == re.sub(r'"I[^"]{20,}"', "", unknown.html)
    for _ in range(6):
        ask(anonymous, "agent")
    jobs.deliver(app)
    assert len(inbox.mails) == 2


def test_without_a_mail_server_one_is_told_whom_to_ask(anonymous):
    assert "hold the accounts" in anonymous.get("/login/forgotten")


# --------------------------------------------------------------------------------------------- headers


def test_every_answer_carries_its_headers(anonymous, client_for):
    for page in (
        anonymous.get("/login/"),
        client_for("agent").get("/tickets/"),
        anonymous.get("/x", status=404),
    ):
        headers = page.response.headers
        assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'; ")
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert "camera=()" in headers["Permissions-Policy"]
        assert headers["Cache-Control"] == "no-store"
        assert "Strict-Transport-Security" not in headers


def test_over_https_cookies_belong_to_this_host_alone(app, monkeypatch):
    settings = app.config["SETTINGS"].model_copy(update={"PUBLIC_URL": "https://crm.example.com"})
    for name, value in settings.flask_config().items():
        if name.startswith("SESSION_") or name == "SETTINGS":
            monkeypatch.setitem(app.config, name, value)
    client = Client(app)
    client.browser.environ_base["wsgi.url_scheme"] = "https"
    client.browser.environ_base["HTTP_REFERER"] = "https://localhost/login/"
    page = client.request("GET", "/login/", 200, base_url="https://localhost")
    sent = {"username": "agent", "password": "demo", "csrf_token": page.csrf_token}
    answer = client.request("POST", "/login/", 302, data=sent, base_url="https://localhost")
    cookies = answer.response.headers.getlist("Set-Cookie")
    assert {one.partition("=")[0] for one in cookies} == {
        "__Host-foyer-session",
        "__Host-foyer-device",
        "__Host-foyer",
    }
    for cookie in cookies:
        assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= set(cookie.split("; ")), cookie
    assert answer.response.headers["Strict-Transport-Security"] == "max-age=63072000"


@pytest.mark.parametrize(
    "target", ("https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "\t//evil")
)
def test_sign_in_leads_to_no_other_house(anonymous, target):
    anonymous.get("/login/")
    page = anonymous.post("/login/", {"username": "agent", "password": "demo", "next": target})
    assert page.location == "/"


def test_a_flood_is_sent_away_with_the_time_to_wait(anonymous, app):
    anonymous.get("/login/")
    for _ in range(5):
        anonymous.post("/login/", {"username": "nobody", "password": "x"}, status=401)
    page = anonymous.post("/login/", {"username": "nobody", "password": "x"}, status=429)
    assert "Try again in 15 minutes" in page
    sent = {"username": "nobody", "password": "x", "provider": "db"}
    page = Client(app).request("POST", "/api/v1/security/login", 429, json=sent)
    assert int(page.response.headers["Retry-After"]) > 800
    assert "15 minutes" in page.json["message"]


def test_whose_password_is_kept_elsewhere_is_sent_no_link_and_asked_for_none(
    app, client_for, inbox, as_system
):
    key, client = user_id(as_system), client_for("agent")
    with as_system() as session:
        security.ask_to_change(session, key)
        table = security.User.__table__
        without = table.update().where(table.c.id == key).values(password=None)
        session.connection().execute(without)
    ask(Client(app), "agent")
    jobs.deliver(app)
    assert inbox.mails == []
    assert "/login/" in client.request("GET", "/tickets/").location, "the session was begun with a password"


def test_what_the_door_keeps_is_dropped_in_time(app, anonymous, inbox, as_system, client_for):
    client_for("agent")
    ask(anonymous, "nobody")
    with app.app_context():
        security.make_password_link(user_id(as_system))
    settings = app.config["SETTINGS"]
    for days, kept in ((0, (1, True)), (2, (0, True)), (500, (0, False))):
        with as_system() as session:
            now = datetime.now(UTC) + timedelta(days=days)
            security.forget_old(session, now, settings)
            sessions.forget_old(session, now, settings)
        with as_system() as session:
            events = session.scalars(select(AccountEvent)).all()
            assert (sum(event.user_id is None for event in events), bool(events)) == kept
            assert bool(session.scalars(select(LoginSession)).all()) is (days == 0)
            assert bool(session.scalars(select(PasswordLink)).all()) is (days == 0)
