"""Sign-in under attack: guesses are counted, what has ended stays ended, names are not told apart, nothing is forged.

    python -m tests.prove.sign_in [--engine sqlite|postgresql] [--quick]

1. A thousand guesses an account over every door: how many were hashed in the fifteen minutes (Python's own `scrypt` is
   counted), half of them after a restart of the application in a process of its own.
2. Every way in which a session ends, then the cookie or token of before sent again, to pages, API and deeds.
3. Known and unknown names with a wrong password, by turns: the difference of the median times.
4. Every mutating route without a CSRF token, with one of another session, and with one of the page before signing in.
5. Every GET route as every account: a checksum over all business tables before and after.
6. A flood of sign-ins, each with another name from another network, at a server of its own: how long a neighbour's page
   takes meanwhile.
"""

import argparse
import hashlib
import json
import os
import platform
import re
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from statistics import median, quantiles
from types import SimpleNamespace
from urllib.parse import urlencode

import pyotp
import sqlalchemy
import time_machine
from sqlalchemy import delete, select, update

from app import access, create_app, in_hand, security, sessions
from app.commands import user as user_command
from app.identity import factors
from app.models import ENTITIES, Guess, LoginSession, OldPassword
from app.views import base
from tests import databases
from tests.client import Client
from tests.prove import scope

ROOT = Path(__file__).parent.parent.parent
PERSON, COLLEAGUE = "agent", "head.support"
PAGE, API = "/tickets/", "/api/v1/tickets/"
A_NEW_ONE = "three calm otters"
PROMISED = 10  # hashed guesses an account in fifteen minutes
TOLERATED = 5.0  # milliseconds between the medians


@dataclass
class Outcome:
    """What was tried and what should not have happened."""

    engine: str
    version: str = ""
    figures: dict = field(default_factory=dict)
    faults: list = field(default_factory=list)
    seconds: float = 0.0


@dataclass(frozen=True)
class Size:
    """How much is tried."""

    guesses: int = 1000
    times: int = 200
    routes: int = 1  # every n-th route
    accounts: int = 1  # every n-th account
    who: tuple = ()  # … or just these
    forged: int = 1  # every n-th kind of CSRF token that is none
    rows: int = 2  # records opened at each address
    restart: bool = True
    pages: int = 100  # opened by the neighbour, at rest and under the flood
    flooders: int = 16


FULL, QUICK = Size(), Size(guesses=60, times=20, routes=9, accounts=4, restart=False, pages=20)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", choices=databases.ENGINES, help="only this one")
    parser.add_argument("--quick", action="store_true", help="a small size")
    parser.add_argument("--only", choices=sorted(PARTS), help="only this part")
    parser.add_argument("--guess", nargs=3, metavar=("URL", "HOME", "NUMBER"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.guess:
        url, home, number = args.guess
        app = create_app(databases.Database("", url, Path(home)).settings())
        print(json.dumps(guess(app, int(number))))
        return 0
    size = QUICK if args.quick else FULL
    folder = databases.start_run()
    try:
        outcomes = [
            prove(engine, size, args.only) for engine in databases.ENGINES if args.engine in (None, engine)
        ]
    finally:
        databases.end_run(folder)
    for outcome in outcomes:
        print(
            f"{outcome.engine} {outcome.version}, Python {platform.python_version()}, {outcome.seconds:.0f} s"
        )
        for name, figure in outcome.figures.items():
            print(f"  {name:<70} {figure}")
        print(f"  faults: {len(outcome.faults)}", *outcome.faults[:20], sep="\n    ")
    return 1 if any(outcome.faults for outcome in outcomes) else 0


def prove(engine, size, only=None):
    """Everything, or one part, on one engine."""
    outcome, started = Outcome(engine, f"SQLAlchemy {sqlalchemy.__version__}"), time.monotonic()
    with databases.fresh_database(engine, "demo") as database, databases.app_on(database) as app:
        for name, part in PARTS.items():
            if only in (None, name):
                part(app, database, size, outcome)
    outcome.seconds = time.monotonic() - started
    return outcome


# --------------------------------------------------------------------------------------------- 1. guesses


@contextmanager
def counted_hashes():
    """`with counted_hashes() as hashes:` — `hashes.number` is how often a password was hashed in the block."""
    count, lock, real = SimpleNamespace(number=0), threading.Lock(), hashlib.scrypt

    def scrypt(*args, **kwargs):
        with lock:
            count.number += 1
        return real(*args, **kwargs)

    hashlib.scrypt = scrypt
    try:
        yield count
    finally:
        hashlib.scrypt = real


def by_form(client, number):
    client.get("/login/")
    client.post("/login/", {"username": PERSON, "password": f"wrong {number}"}, status=(401, 429))


def by_api(client, number):
    sent = {"username": PERSON, "password": f"wrong {number}", "provider": "db"}
    client.request("POST", "/api/v1/security/login", (401, 429), json=sent)


def by_mail_address(client, number):
    client.get("/login/")
    sent = {"username": f"{PERSON}@foyer.example", "password": f"wrong {number}"}
    client.post("/login/", sent, status=(401, 429))


def by_link(client, number):
    """The link of a forgotten password, with a secret that nobody was sent."""
    client.get("/login/forgotten")
    sent = {"token": f"made up {number}", "password": A_NEW_ONE, "again": A_NEW_ONE}
    client.post("/login/new-password", sent, status=(404, 429))


# Every door at which something is guessed; a new one belongs here.
DOORS = {"form": by_form, "token API": by_api, "form, by mail address": by_mail_address, "reset": by_link}


def guess(app, number):
    """So many guesses by turns at all doors, from other networks and from the person's own; how many were hashed."""
    with counted_hashes() as hashes:
        for one in range(number):
            name = list(DOORS)[one % len(DOORS)]
            client = Client(app)
            if one // len(DOORS) % 2:
                client.browser.environ_base["REMOTE_ADDR"] = f"198.51.{one // 250 % 250}.{one % 250}"
            DOORS[name](client, one)
    return hashes.number


def prove_guesses(app, database, size, outcome):
    """A thousand guesses an account at each door, half of them after a restart."""
    number = size.guesses * len(DOORS)
    here = number if not size.restart else number // 2
    began = time.monotonic()
    Client(app).sign_in(PERSON, security.DEMO_PASSWORD)  # from the network that is known of him from then on
    hashed = guess(app, here)
    if size.restart:
        asked = [
            sys.executable,
            "-m",
            "tests.prove.sign_in",
            "--guess",
            database.url,
            str(database.home),
            str(number - here),
        ]
        told = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        hashed += int(told.splitlines()[-1])
    took = time.monotonic() - began
    outcome.figures["guesses, over " + ", ".join(DOORS)] = f"{number} in {took:.0f} s, {hashed} hashed"
    windows = 1 + int(took // 900)
    if not 0 < hashed <= PROMISED * windows:
        outcome.faults.append(f"{hashed} guesses were hashed in {windows} windows of fifteen minutes")
    _forget_guesses(app)


def prove_codes(app, database, size, outcome):
    """A thousand codes of the app and of paper, by somebody who has the password: how many were looked at."""
    settings = app.config["SETTINGS"]
    Client(app).sign_in(PERSON, security.DEMO_PASSWORD)  # the network is known of him from then on
    with app.app_context():
        user_id = set_up_second_factor(settings)
    client = Client(app)
    client.submit("/login/", "/login/", username=PERSON, password=security.DEMO_PASSWORD)
    client.get("/login/second-factor")
    answers = Counter()
    for number in range(size.guesses):
        if number % 2:
            client.browser.environ_base["REMOTE_ADDR"] = f"198.51.{number // 250}.{number % 250}"
            client.browser.delete_cookie("foyer-device")
        code = f"{number:06}" if number % 4 < 2 else f"abcd-efgh-{number:04}"
        page = client.post("/login/second-factor", {"code": code}, status=(401, 429))
        answers[page.status] += 1
        client.browser.environ_base["REMOTE_ADDR"] = "127.0.0.1"
    outcome.figures["codes of the app and of paper"] = f"{size.guesses}, {answers[401]} looked at"
    if not 0 < answers[401] <= PROMISED:
        outcome.faults.append(f"{answers[401]} codes were looked at")
    with app.app_context(), access.system_session("proof") as session:
        factors.give_up(session, user_id)
    _forget_guesses(app)


def set_up_second_factor(settings):
    """Have the person's app count; returns his id. The code is the one that the app shows."""
    with access.system_session("proof", writes=False) as session:
        user_id = session.scalar(select(security.User.id).filter_by(username=PERSON))
    factors.begin_app(settings, user_id)
    secret = factors.enrolment(settings, user_id).secret.replace(" ", "")
    assert factors.confirm_app(settings, user_id, pyotp.TOTP(secret).now()) is not None
    return user_id


def _forget_guesses(app):
    with app.app_context(), access.system_session("proof") as session:
        session.execute(delete(Guess))


# --------------------------------------------------------------------------------------------- 2. endings


class House:
    """What the ways of ending a session work with: a person's browser and token, and IT's."""

    def __init__(self, app):
        self.app = app
        with app.app_context(), access.system_session("proof") as session:
            user = session.scalar(select(security.User).filter_by(username=PERSON))
            self.person_id, self.password = user.id, security.DEMO_PASSWORD
        self.restore()
        self.browser, self.admin = Client(app), Client(app)
        self.browser.sign_in(PERSON, self.password)
        self.admin.sign_in("admin", security.DEMO_PASSWORD)
        sent = {"username": PERSON, "password": self.password, "provider": "db", "refresh": True}
        self.tokens = Client(app).request("POST", "/api/v1/security/login", 200, json=sent).json
        self.cookie = self.browser.browser.get_cookie("foyer-session").value
        self.flask_cookie = self.browser.browser.get_cookie("foyer").value

    def restore(self):
        """The person as the demo made him, past rules that would refuse the demo's password."""
        with self.system() as session:
            session.execute(delete(Guess))
            session.execute(delete(OldPassword))
            security.set_password(session, self.person_id, security.DEMO_PASSWORD)
            security.set_roles(session, self.person_id, ["support"])
            security.set_active(session, self.person_id, True, today=datetime.now(UTC).date())

    @contextmanager
    def system(self):
        with self.app.app_context(), access.system_session("proof", door="command") as session:
            yield session

    def another(self):
        """Another browser of the same person."""
        client = Client(self.app)
        client.sign_in(PERSON, self.password)
        return client

    def in_staff_form(self, **values):
        path = f"/staff/{self.person_id}/edit"
        self.admin.submit(path, path, **values)

    def own_id(self):
        with self.system() as session:
            token_hash = sessions._hash(self.cookie)
            return session.scalar(select(LoginSession.id).where(LoginSession.token_hash == token_hash))


def signed_out(house):
    house.browser.post("/logout/")


def signed_out_by_its_token(house):
    headers = {"Authorization": f"Bearer {house.tokens['access_token']}"}
    house.browser.post("/logout/")
    Client(house.app).request("POST", "/logout/", 302, headers=headers)


def ended_from_another_browser(house):
    other = house.another()
    other.get("/account/")
    other.post(f"/account/sessions/{house.own_id()}/end")


def ended_with_all_others(house):
    other = house.another()
    other.get("/account/")
    other.post("/account/sessions/end-others")


def ended_by_it(house):
    house.admin.get(f"/accounts/{house.person_id}")
    house.admin.post(f"/accounts/{house.person_id}/end-sessions")


def own_new_password(house):
    other = house.another()
    values = {"current": house.password, "password": A_NEW_ONE, "again": A_NEW_ONE}
    other.submit("/account/password", "/account/password", **values)


def rotated_with_the_own_new_password(house):
    """The browser in which the password was replaced goes on under another id; the one before opens nothing."""
    values = {"current": house.password, "password": A_NEW_ONE, "again": A_NEW_ONE}
    house.browser.submit("/account/password", "/account/password", **values)


def password_set_by_it(house):
    house.in_staff_form(password=A_NEW_ONE)


def password_set_by_command(house):
    with house.system() as session:
        args = SimpleNamespace(username=PERSON, make=True)
        user_command.set_password(session, args, today=datetime.now(UTC).date())


def password_set_with_a_mailed_link(house):
    with house.app.app_context():
        token = security.make_password_link(house.person_id)
    visitor = Client(house.app)
    page = visitor.get(f"/login/new-password?token={token}")
    visitor.submit(page, "/login/new-password", password=A_NEW_ONE, again=A_NEW_ONE)


def password_changed_in_plain_sql(house):
    """By an operator with a console, past everything of ours."""
    table = security.User.__table__
    with house.system() as session:
        changed = (
            update(table).where(table.c.id == house.person_id).values(password=security.hashed(A_NEW_ONE))
        )
        session.connection().execute(changed, execution_options={access.DOOR: True})


def other_roles_in_the_staff_form(house):
    path = f"/staff/{house.person_id}/edit"
    house.admin.look_and_save(path, path, role_names=["support", "reader"])


def other_roles_by_the_session(house):
    """As the sync of a directory sets them."""
    with house.system() as session:
        security.set_roles(session, house.person_id, ["reader"])


def shut_out_and_let_in_again(house):
    today = datetime.now(UTC).date()
    with house.system() as session:
        security.set_active(session, house.person_id, False, today=today)
    with house.system() as session:
        security.set_active(session, house.person_id, True, today=today)


def shut_out_by_command(house):
    with house.system() as session:
        args = SimpleNamespace(username=PERSON, hand_over=None, at_once=False)
        user_command.deactivate(session, args, today=datetime.now(UTC).date())


def shut_out_in_the_staff_form(house):
    house.in_staff_form(is_open=None)


def second_factor_reset_by_it(house):
    with house.app.app_context():
        set_up_second_factor(house.app.config["SETTINGS"])
    house.admin.get("/account/")
    house.admin.post(f"/sign-ins/{house.person_id}/reset-second-factor")


def second_factor_required_of_the_role(house):
    house.admin.get("/account/")
    house.admin.post("/sign-ins/required-roles", {"roles": "support"})
    house.admin.post("/sign-ins/required-roles", {})


def lain_idle(house):
    return timedelta(minutes=house.app.config["SETTINGS"].SESSION_IDLE_MINUTES, seconds=1)


def too_old_although_in_use(house):
    with house.system() as session:
        tomorrow = datetime.now(UTC) + timedelta(hours=house.app.config["SETTINGS"].SESSION_HOURS)
        session.execute(update(LoginSession).values(seen_at=tomorrow))
    return timedelta(hours=house.app.config["SETTINGS"].SESSION_HOURS, seconds=1)


def signed_in_anew_in_the_same_browser(house):
    """Rotation: the id of before signing in opens nothing after it."""
    house.browser.post("/logout/")
    house.browser.username = None
    house.browser.sign_in(PERSON, house.password)
    headers = {"Authorization": f"Bearer {house.tokens['access_token']}"}
    Client(house.app).request("POST", "/logout/", 302, headers=headers)


def not_finished_yet(house):
    """The right password alone, where a second factor is waited for."""
    with house.system() as session:
        session.execute(update(LoginSession).values(waits_for="second factor"))


def of_the_other_kind(house):
    """A browser's id in a token, and a token's id in a cookie."""
    with house.system() as session:
        session.execute(update(LoginSession).where(LoginSession.kind == "browser").values(kind="token-"))
        session.execute(update(LoginSession).where(LoginSession.kind == "token").values(kind="browser"))
        session.execute(update(LoginSession).where(LoginSession.kind == "token-").values(kind="token"))


ENDINGS = (
    signed_out_by_its_token,
    ended_from_another_browser,
    ended_with_all_others,
    ended_by_it,
    own_new_password,
    rotated_with_the_own_new_password,
    password_set_by_it,
    password_set_by_command,
    password_set_with_a_mailed_link,
    password_changed_in_plain_sql,
    other_roles_in_the_staff_form,
    other_roles_by_the_session,
    shut_out_and_let_in_again,
    shut_out_by_command,
    shut_out_in_the_staff_form,
    second_factor_reset_by_it,
    second_factor_required_of_the_role,
    lain_idle,
    too_old_although_in_use,
    signed_in_anew_in_the_same_browser,
    not_finished_yet,
    of_the_other_kind,
)
# These end the browser's session and leave the token's alone: it is another session.
ONLY_THE_BROWSERS = (ended_from_another_browser,)


def replays(app, ending):
    """(requests sent with what has ended, those that were let in)."""
    house = House(app)
    sent, accepted = 0, []
    later = ending(house)
    with time_machine.travel(datetime.now(UTC) + (later or timedelta(0))):
        for name, send in _replays_of(house, with_token=ending not in ONLY_THE_BROWSERS):
            sent += 1
            response = send()
            is_refused = response.status_code in (400, 401) or "/login/" in (response.location or "")
            if not is_refused:
                accepted.append(f"{ending.__name__}, {name}: {response.status_code}")
    house.restore()
    return sent, accepted


def _replays_of(house, *, with_token):
    def browser(method, path, **more):
        client = house.app.test_client()
        client.set_cookie("foyer-session", house.cookie)
        client.set_cookie("foyer", house.flask_cookie)
        return client.open(path, method=method, buffered=True, **more)

    csrf = {"X-CSRFToken": house.browser.csrf_token or ""}
    yield "the page", lambda: browser("GET", PAGE)
    yield "one's own account", lambda: browser("GET", "/account/")
    yield "the API by cookie", lambda: browser("GET", API)
    if with_token:
        for name, token in house.tokens.items():
            headers = {"Authorization": f"Bearer {token}"}
            path = "/api/v1/security/refresh" if name == "refresh_token" else API
            method = "POST" if name == "refresh_token" else "GET"
            yield (
                name,
                lambda m=method, p=path, h=headers: house.app.test_client().open(p, method=m, headers=h),
            )
    yield "writing by the API", lambda: browser("POST", API, json={"subject": "x"}, headers=csrf)
    yield "a deed", lambda: browser("POST", "/account/sessions/end-others", headers=csrf)


def _give_the_work_away(app):
    """Nobody whose work waits for him is shut out: what the person has in hand becomes a colleague's."""
    with app.app_context(), access.system_session("proof") as session:
        names = dict(session.execute(select(security.User.username, security.User.id)).all())
        for entity in in_hand.OPEN:
            _table, condition = in_hand.of(entity, names[PERSON], datetime.now(UTC).date())
            for row in session.scalars(select(in_hand.MODELS[entity]).where(condition)):
                row.owner_id = names[COLLEAGUE]


def prove_endings(app, database, size, outcome):
    """Twelve ways and more of replaying a session that has ended."""
    _give_the_work_away(app)
    sent, accepted = 0, []
    for ending in ENDINGS:
        tried, let_in = replays(app, ending)
        sent, accepted = sent + tried, accepted + let_in
    outcome.figures[f"{len(ENDINGS)} ways to end a session, replays"] = f"{sent}, {len(accepted)} accepted"
    outcome.faults += accepted


# --------------------------------------------------------------------------------------------- 3. times


def prove_times(app, database, size, outcome):
    """Known and unknown names with a wrong password, by turns."""
    _hash_as_the_house_does(app)
    known, unknown = times(app, size.times)
    names = "known and unknown names, median"
    outcome.figures[names], difference = _compared([one for one, _ in known], [one for one, _ in unknown])
    worked = [one for _, one in known], [one for _, one in unknown]
    outcome.figures["… of the processor's time alone, without waiting"], _ = _compared(*worked)
    if abs(difference) >= TOLERATED:
        outcome.faults.append(f"names are told apart: {difference:+.2f} ms")


def _compared(known, unknown):
    """(the medians in words, their difference in milliseconds)."""
    one, other = median(known) * 1000, median(unknown) * 1000
    return f"{one:.2f} and {other:.2f} ms over {len(known)}: {one - other:+.2f} ms", one - other


def _hash_as_the_house_does(app):
    """The templates' passwords are hashed with less work."""
    with app.app_context(), access.system_session("proof") as session:
        user = session.scalars(select(security.User).filter_by(username=PERSON)).one()
        security.set_password(session, user.id, security.DEMO_PASSWORD)


def times(app, number):
    """(seconds, of the processor) of as many sign-ins with a known and with an unknown name, each looked at."""
    client = Client(app)
    page = client.get("/login/")
    found = {"known": [], "unknown": []}
    for turn in range(number):
        if turn % 4 == 0:
            _forget_guesses(app)
        for kind in ("known", "unknown") if turn % 2 else ("unknown", "known"):
            name = PERSON if kind == "known" else f"{PERSON[:-1]}x"
            sent = {"username": name, "password": f"wrong {turn}", "csrf_token": page.csrf_token}
            began, worked = time.perf_counter(), time.process_time()
            client.request("POST", "/login/", 401, data=sent)
            found[kind].append((time.perf_counter() - began, time.process_time() - worked))
    _forget_guesses(app)
    return found["known"], found["unknown"]


# --------------------------------------------------------------------------------------------- 4. forgeries


def prove_forgeries(app, database, size, outcome):
    """Every mutating route without a CSRF token, and with one of somebody else's."""
    before, sent, faults = checksum(database), 0, []
    for account in size.who or list(scope.ACCOUNTS)[:: size.accounts]:
        client, other = Client(app), Client(app)
        early = Client(app).get("/login/").csrf_token
        client.sign_in(account, security.DEMO_PASSWORD)
        other.sign_in("director" if account != "director" else "admin", security.DEMO_PASSWORD)
        other.get("/account/")
        for path, method in _mutating(app, database)[:: size.routes]:
            for token in (None, "", early, "x", other.csrf_token)[:: size.forged]:
                headers = {} if token is None else {"X-CSRFToken": token}
                response = client.browser.open(
                    path, method=method, data={"csrf_token": token or ""}, headers=headers
                )
                sent += 1
                if response.status_code != 400:
                    faults.append(f"{account}: {method} {path} with {token!r} answers {response.status_code}")
        own = {"csrf_token": client._token()}
        if client.browser.post("/account/sessions/end-others", data=own).status_code != 302:
            faults.append(f"{account}: not even the right token is taken")
    if checksum(database) != before:
        faults.append("a forged request has stored something")
    outcome.figures["requests without or with a foreign CSRF token"] = f"{sent}, {len(faults)} not refused"
    outcome.faults += faults


def _mutating(app, database):
    found = []
    for rule in app.url_map.iter_rules():
        if rule.endpoint not in base.CSRF_FREE:
            methods = sorted(rule.methods & {"POST", "PUT", "PATCH", "DELETE"})
            found += [(_filled(rule, database), method) for method in methods]
    return found


def _filled(rule, database, skip=0):
    """The address of a rule with an id that there is."""
    view = scope.VIEWS.get(rule.endpoint.split(".")[0])
    is_of_rows = view is not None and (
        hasattr(view, "record_view") or getattr(view, "model", None) or view.entity in ENTITIES
    )
    table = scope.model_of(view).__tablename__ if is_of_rows else "company"
    with database.raw() as connection:
        cursor = connection.cursor()
        cursor.execute(f"SELECT id FROM {table} ORDER BY id LIMIT 1 OFFSET {skip}")
        row = cursor.fetchone()
    return re.sub(
        r"<(?:\w+:)?(\w+)>", lambda name: str(row[0]) if row and name[1] == "pk" else "1", rule.rule
    )


# --------------------------------------------------------------------------------------------- 5. reading


def prove_reading(app, database, size, outcome):
    """Every GET route as every account changes no business table."""
    before, sent, faults = checksum(database), 0, []
    rules = [rule for rule in app.url_map.iter_rules() if "GET" in rule.methods and rule.endpoint != "static"]
    for account in (None, *(size.who or list(scope.ACCOUNTS)[:: size.accounts])):
        client = Client(app)
        if account:
            client.sign_in(account, security.DEMO_PASSWORD)
        for rule in rules[:: size.routes]:
            for skip in range(size.rows if rule.arguments else 1):
                path = _filled(rule, database, skip)
                response = client.browser.get(path)
                sent += 1
                if response.status_code >= 500:
                    faults.append(f"{account}: {path} answers {response.status_code}")
        after = checksum(database)
        faults += [
            f"{account} has changed {name} by reading" for name in after if after[name] != before[name]
        ]
        before = after
    outcome.figures[f"GET requests over {len(rules)} routes as everybody"] = f"{sent}, {len(faults)} changes"
    outcome.faults += faults


# A paper is made from frozen rows by whoever asks first, and the same ever after: a copy, not a business fact. What was
# read and taken out is written down.
DERIVED = {"document", "read_entry"}
BESIDE = {
    "change": "WHERE entity <> 'document'",
    "change_set": "WHERE id NOT IN (SELECT change_set_id FROM change WHERE entity = 'document')",
}


def checksum(database):
    """Business table -> a hash over all its rows."""
    found = {}
    with database.raw() as connection:
        cursor = connection.cursor()
        for table in sorted(set(ENTITIES) - DERIVED):
            cursor.execute(f"SELECT * FROM {table} {BESIDE.get(table, '')} ORDER BY 1")
            found[table] = hashlib.sha256(repr(cursor.fetchall()).encode("utf-8", "replace")).hexdigest()
    return found


# --------------------------------------------------------------------------------------------- 6. a flood


def prove_flood(app, database, size, outcome):
    """A neighbour's page while many strangers sign in."""
    with _server(database) as port:
        cookie = _signed_in(port)
        at_rest = [_page_time(port, cookie) for _ in range(size.pages)]
        over, answers = threading.Event(), Counter()
        flood = [
            threading.Thread(target=_flood, args=(port, number, over, answers))
            for number in range(size.flooders)
        ]
        for thread in flood:
            thread.start()
        time.sleep(1)
        under_flood = [_page_time(port, cookie) for _ in range(size.pages)]
        over.set()
        for thread in flood:
            thread.join()
    told = [
        f"{median(one) * 1000:.0f} ms, 95 of 100 within {quantiles(one, n=20)[18] * 1000:.0f} ms"
        for one in (at_rest, under_flood)
    ]
    outcome.figures["a neighbour's page at rest"] = told[0]
    outcome.figures[f"… while {size.flooders} sign in without pause"] = (
        f"{told[1]}; they got {dict(sorted(answers.items()))}"
    )
    if median(under_flood) > 0.5:
        outcome.faults.append(f"a page takes {median(under_flood):.2f} s under a flood of sign-ins")
    if not (answers[401] and answers[429]):
        outcome.faults.append(f"this was no flood: {dict(answers)}")


@contextmanager
def _server(database):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    said = {"FOYER_HOME": str(database.home), "DATABASE_URL": database.url, "PORT": str(port), "PROXIES": "1"}
    served = subprocess.Popen(
        [sys.executable, "run.py", "serve"],
        cwd=ROOT,
        env={**os.environ, **said},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        while "Stop it" not in (line := served.stdout.readline()):
            assert line or served.poll() is None, "the server has not started"
        yield port
    finally:
        served.terminate()
        served.wait()


def _ask(port, method, path, body=None, **headers):
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    answer.text = answer.read().decode()
    connection.close()
    return answer


def _signed_in(port):
    page = _ask(port, "GET", "/login/")
    flask_cookie = page.getheader("Set-Cookie").partition(";")[0]
    token = re.search(r'name="csrf_token" value="([^"]+)"', page.text)[1]
    body = urlencode({"username": PERSON, "password": security.DEMO_PASSWORD, "csrf_token": token})
    form = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": flask_cookie}
    answer = _ask(port, "POST", "/login/", body, **form)
    assert answer.status == 302, answer.status
    cookies = [value.partition(";")[0] for name, value in answer.getheaders() if name.lower() == "set-cookie"]
    return "; ".join(cookies)


def _page_time(port, cookie):
    began = time.perf_counter()
    answer = _ask(port, "GET", PAGE, Cookie=cookie)
    assert answer.status == 200, answer.status
    return time.perf_counter() - began


def _flood(port, number, over, answers):
    turn = 0
    while not over.is_set():
        turn += 1
        body = json.dumps({"username": f"somebody {number} {turn}", "password": "x", "provider": "db"})
        from_where = f"203.{number}.{turn // 250 % 250}.{turn % 250}"
        headers = {"Content-Type": "application/json", "X-Forwarded-For": from_where}
        answers[_ask(port, "POST", "/api/v1/security/login", body, **headers).status] += 1


PARTS = {
    "guesses": prove_guesses,
    "codes": prove_codes,
    "endings": prove_endings,
    "times": prove_times,
    "forgeries": prove_forgeries,
    "reading": prove_reading,
    "flood": prove_flood,
}

if __name__ == "__main__":
    sys.exit(main())
