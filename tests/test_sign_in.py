"""What the proof of sign-in shows at full size, in small; and what it presupposes."""

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from sqlalchemy import Engine, event, select

from app import security, sessions
from app.models import AccountEvent, LoginSession, OldPassword
from tests.client import Client
from tests.databases import on_both_engines, with_demo
from tests.prove import sign_in


@pytest.fixture
def statements():
    """`with statements() as sent:` — every SQL statement that is sent in the block."""

    @contextmanager
    def listen():
        sent = []

        def hear(_connection, _cursor, statement, *_more):
            if not statement.startswith(("BEGIN", "PRAGMA")):
                sent.append(statement)

        event.listen(Engine, "before_cursor_execute", hear)
        try:
            yield sent
        finally:
            event.remove(Engine, "before_cursor_execute", hear)

    return listen


def test_what_has_ended_stays_ended(app):
    """Every second way; the proof goes them all."""
    assert len(sign_in.ENDINGS) >= 12
    for ending in sign_in.ENDINGS[1::2]:
        sent, accepted = sign_in.replays(app, ending)
        assert sent >= 5
        assert accepted == []


def test_the_replays_would_be_let_in_if_nothing_had_ended(app):
    sent, accepted = sign_in.replays(app, lambda house: None)
    assert len(accepted) == sent


@on_both_engines
def test_no_more_than_ten_guesses_are_hashed(app, database):
    outcome = sign_in.Outcome("")
    sign_in.prove_guesses(app, database, sign_in.Size(guesses=6, restart=False), outcome)
    assert outcome.faults == []
    assert "10 hashed" in next(iter(outcome.figures.values())), outcome.figures


def test_no_more_than_ten_codes_are_looked_at(app, database):
    outcome = sign_in.Outcome("")
    sign_in.prove_codes(app, database, sign_in.Size(guesses=24), outcome)
    assert outcome.faults == []
    assert "10 looked at" in next(iter(outcome.figures.values())), outcome.figures


@with_demo
def test_no_forged_request_is_served_and_nothing_is_changed_by_reading(app, database):
    outcome = sign_in.Outcome("")
    size = sign_in.Size(who=("head.sales",), forged=4, rows=1)  # every route; the proof goes as everybody
    sign_in.prove_forgeries(app, database, size, outcome)
    sign_in.prove_reading(app, database, size, outcome)
    assert outcome.faults == []
    assert int(outcome.figures["requests without or with a foreign CSRF token"].split(",")[0]) > 300


def test_known_and_unknown_names_cost_the_same_statements(app, statements):
    client = Client(app)
    client.get("/login/")
    with statements() as known:
        client.post("/login/", {"username": "agent", "password": "wrong"}, status=401)
    with statements() as unknown:
        client.post("/login/", {"username": "nobody", "password": "wrong"}, status=401)
    assert len(known) - len(unknown) in (0, 1), "a known name asks once from where the person is known"


# --------------------------------------------------------------------------------------------- sessions


def test_the_cookie_holds_an_id_whose_hash_stands_in_the_database(client_for, as_system):
    cookie = client_for("agent").browser.get_cookie("foyer-session")
    assert len(cookie.value) == 43 and cookie.http_only and cookie.same_site == "Lax"
    with as_system() as session:
        held = session.scalars(select(LoginSession.token_hash)).all()
    assert held == [sessions._hash(cookie.value)]


def test_a_page_asks_once_who_it_is_and_writes_nothing(client_for, statements):
    client = client_for("agent")
    with statements() as sent:
        client.get("/account/password")
    assert len([one for one in sent if "login_session" in one]) == 1
    assert not [one for one in sent if one.startswith(("INSERT", "UPDATE", "DELETE"))]


@on_both_engines
def test_last_seen_is_written_once_a_minute(client_for, as_system):
    def seen():
        with as_system() as session:
            return session.scalar(select(LoginSession.seen_at))

    client = client_for("agent")
    begun = seen()
    for later, is_written in ((30, False), (61, True), (100, False)):
        before = seen()
        with time_machine.travel(begun + timedelta(seconds=later)):
            client.get("/tickets/")
            client.get("/tickets/")
        assert (seen() > before) is is_written


def test_while_somebody_writes_a_page_does_not_wait_to_say_that_it_was_seen(client_for, as_system, database):
    client = client_for("agent")
    with as_system() as session:
        begun = session.scalar(select(LoginSession.seen_at))
    with database.raw() as connection, time_machine.travel(begun + timedelta(minutes=5)):
        connection.execute("BEGIN IMMEDIATE")
        client.get("/tickets/")
    with as_system() as session:
        assert session.scalar(select(LoginSession.seen_at)) == begun


def test_idle_sessions_end_and_used_ones_go_on(client_for):
    client = client_for("agent")
    now = datetime.now(UTC)
    for hours in (3, 6, 9, 12, 15):
        with time_machine.travel(now + timedelta(hours=hours)):
            client.get("/tickets/")
    with time_machine.travel(now + timedelta(hours=16, minutes=1)):
        assert "/login/" in client.request("GET", "/tickets/").location


def test_signing_in_takes_another_id_and_another_csrf_token(anonymous):
    page = anonymous.get("/login/")
    before = anonymous.browser.get_cookie("foyer").value
    anonymous.sign_in("agent", security.DEMO_PASSWORD)
    assert anonymous.browser.get_cookie("foyer").value != before
    anonymous.post("/account/sessions/end-others", {"csrf_token": page.csrf_token}, status=400)


def test_a_cookie_that_is_none_is_nobody(app):
    for text in ("", "x", "x" * 5000, "\x00", "é", "' OR 1=1 --"):
        client = app.test_client()
        client.set_cookie("foyer-session", text)
        assert client.get("/tickets/").status_code == 302


def test_a_user_id_in_a_signed_cookie_opens_nothing(app):
    client = app.test_client()
    with client.session_transaction() as signed:
        signed["_user_id"], signed["_fresh"] = "1", True
    assert client.get("/tickets/").status_code == 302


# --------------------------------------------------------------------------------------------- the log


def test_what_happens_to_an_account_is_written_down(app, client_for, as_system):
    client_for("agent")
    person = {"username": "agent", "password": "wrong"}
    for _ in range(7):
        client_off = Client(app)
        client_off.get("/login/")
        client_off.post("/login/", person, status=(401, 429))
    with as_system() as session:
        user_id = session.scalar(select(security.User.id).filter_by(username="agent"))
    admin = client_for("admin")
    form = f"/staff/{user_id}/edit"
    admin.look_and_save(form, form, role_names=["support", "reader"])
    admin.submit(form, form, password="three calm otters")
    with as_system() as session:
        events = session.scalars(
            select(AccountEvent).filter_by(user_id=user_id).order_by(AccountEvent.id)
        ).all()
        kinds = [event.kind for event in events]
        roles = [event.details for event in events if event.kind == "roles changed"]
        written = repr([(event.kind, event.details, event.address, event.device) for event in events])
        old = session.scalars(select(OldPassword)).all()
    assert kinds[:4] == ["account made", "roles changed", "signed in", "too many guesses"]
    assert {"roles changed", "password set", "sessions ended"} <= set(kinds)
    assert roles[1] == {"given": ["reader"], "taken": []}
    assert "scrypt" not in written and "otters" not in written
    assert len(old) == 1
    page = admin.get(f"/accounts/{user_id}")
    assert "Other roles" in page and "given: reader" in page
    assert "Other roles" in admin.get(f"/staff/{user_id}")
    assert "Other roles" not in client_for("head.support").get(f"/staff/{user_id}")


@on_both_engines
def test_a_name_that_nobody_has_is_asked_about_like_one_that_somebody_has(app, statements):
    client = Client(app)
    token = client.get("/login/").csrf_token
    asked = {"agent": [], "agenx": []}
    for name, turns in asked.items():
        for _ in range(8):
            with statements() as sent:
                data = {"username": name, "password": "wrong", "csrf_token": token}
                client.request("POST", "/login/", None, data=data)
            turns.append(sent)
    assert asked["agent"].pop(5) != asked["agenx"].pop(5), (
        "the first that is sent away: of a known one it is noted"
    )
    assert asked["agent"] == asked["agenx"]
