"""The command line, run as an operator runs it: what each verb does, says, and refuses.

A process spends seconds on its start alone, so most verbs run in this one, through the same door; what only a
process has (its exit code, its streams, its workers) is asked of one.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from urllib.request import HTTPRedirectHandler, build_opener

import pytest

from app import search
from app.commands import check
from config import BASE
from tests.databases import on_both_engines, without_accounts, without_tables
from tests.rules import world

PATIENCE = 120  # seconds; a busy build server is slow


@pytest.fixture
def shell(database):
    """`shell("user", "list")` does the same in a process of its own."""

    def begin(*arguments, stdin="", **environment):
        return subprocess.run(
            [sys.executable, "run.py", *arguments],
            cwd=BASE,
            env=os.environ | database.environment(**environment),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )

    return begin


def assert_refused(result, sentence, code=1):
    assert (result.returncode, result.stdout) == (code, "")
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1, "one sentence, no traceback"


# --------------------------------------------------------------------------------------------- the line


def test_help_lists_every_verb(shell):
    result = shell("--help")
    assert result.returncode == 0
    for verb in ("serve", "upgrade", "demo", "import", "user", "check"):
        assert re.search(rf"^    {verb} +[A-Z]", result.stdout, re.MULTILINE), verb


def test_an_unknown_verb_is_refused(shell):
    result = shell("fly")
    assert result.returncode == 2 and "'fly'" in result.stderr


def test_a_wrong_setting_is_one_sentence(shell):
    assert_refused(shell("check", PORT="http"), "PORT is “http”, but must be a whole number", code=2)


# --------------------------------------------------------------------------------------------- user


def test_an_account_is_added_listed_shut_out_and_let_in(operator):
    person = ("--first-name", "Ada", "--last-name", "Lovelace", "--email", "ada@foyer.example")
    added = operator(
        "user", "add", "ada", *person, "--department", "Sales", "--role", "sales", "--role", "reader"
    )
    told = r"ada can sign in with the password \S{16} \(shown once\), and then sets another\.\n"
    assert re.fullmatch(told, added.stdout), added
    assert re.search(
        r"^  ada +Ada Lovelace, Sales: reader, sales$", operator("user", "list").stdout, re.MULTILINE
    )
    assert operator("user", "deactivate", "ada").stdout == "ada can no longer sign in.\n"
    assert "\n- ada " in "\n" + operator("user", "list").stdout
    assert operator("user", "activate", "ada").stdout == "ada can sign in.\n"


def test_a_password_from_a_pipe_opens_the_door(shell, anonymous):
    assert shell("user", "password", "rep.north", stdin="correct horse\n").returncode == 0
    anonymous.sign_in("rep.north", "correct horse")


def test_a_short_password_is_refused(operator, client_for):
    assert_refused(operator("user", "password", "rep.north", stdin="short\n"), "at least 8 characters")
    client_for("rep.north")


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"username": "rep.north"}, "There is an account with “rep.north” already."),
        ({"username": "Two Words"}, "“Two Words” is no user name"),
        (
            {"--email": "rep.north@foyer.example"},
            "There is an account with “rep.north@foyer.example” already.",
        ),
        ({"--department": "Space"}, "There is no department “Space”; there are: "),
    ],
)
def test_an_account_that_cannot_be_is_refused(changed, sentence, operator):
    given = {
        "username": "ada",
        "--first-name": "Ada",
        "--last-name": "Lovelace",
        "--email": "ada@foyer.example",
        "--department": "Sales",
        "--role": "sales",
        **changed,
    }
    username = given.pop("username")
    assert_refused(
        operator("user", "add", username, *[part for pair in given.items() for part in pair]), sentence
    )


def test_an_unknown_account_is_refused(operator):
    assert_refused(operator("user", "deactivate", "nobody"), "There is no account “nobody”")


@without_tables
def test_accounts_of_a_database_without_tables_are_one_sentence(operator):
    assert_refused(operator("user", "list"), "has `run.py upgrade` been run?")


# --------------------------------------------------------------------------------------------- check


@pytest.fixture
def invoice(as_system):
    """An issued invoice whose paper has not been made yet: its number."""
    with as_system() as session:
        return world.issued(session).number


@on_both_engines
def test_check_finds_everything_whole_once_a_missing_paper_is_made(invoice, app, capsys):
    with app.app_context():
        assert not check.all_holds()
        assert f"invoice {invoice} has no document" in capsys.readouterr().out
        assert check.all_holds(mend=True)
        assert "ok   Every issued invoice has its document. (1 mended)" in capsys.readouterr().out
        assert check.all_holds()
    assert "FAIL" not in capsys.readouterr().out


def test_check_run_as_a_verb_says_so_by_its_exit_code(operator, shell, database):
    assert operator("check").returncode == 0
    with database.raw() as raw:
        raw.execute("DELETE FROM search_entry WHERE entity = 'department'")
    result = shell("check")
    assert result.returncode == 1
    assert "FAIL Every record is found by its words." in result.stdout
    mended = operator("check", "--mend")
    assert mended.returncode == 0
    assert re.search(r"ok   Every record is found by its words\. \(\d+ mended\)", mended.stdout)


def test_mended_entries_are_found_and_stand_in_their_places(operator, shell, database):
    assert operator("check").returncode == 0
    with database.raw() as raw:
        raw.execute("UPDATE search_entry SET text = '  elsewhere', id = id + 7000000 WHERE entity = 'department'")
    assert "FAIL Every record is found by its words." in shell("check").stdout
    assert operator("check", "--mend").returncode == 0
    with database.raw() as raw:
        entries = raw.execute("SELECT id, record_id FROM search_entry WHERE entity = 'department'").fetchall()
        assert entries == [(search.number_of("department", key, None), key) for _, key in entries]
        (text,) = raw.execute("SELECT text FROM search_entry WHERE id = ?", entries[0][:1]).fetchone()
        like = "SELECT rowid FROM search_fts WHERE search_fts MATCH ?"
        assert entries[0][:1] in raw.execute(like, (f'"{text[2:5]}"',)).fetchall()
        assert raw.execute(like, ('"sew"',)).fetchall() == []  # of "elsewhere"


@without_tables
def test_check_wants_the_tables_first(operator):
    result = operator("check")
    assert result.returncode == 1
    assert "FAIL The tables are those of this version." in result.stdout
    assert "invoice" not in result.stdout


# What check says -> how somebody with a console could bring it about, once the triggers are gone.
DAMAGE = {
    "Invoice numbers have no gap and follow the dates.": "UPDATE number_series SET last = last + 1",
    "Every invoice is the sum of its lines.": "UPDATE invoice_line SET net = net + 1",
    "Every document is what was written.": "UPDATE document SET content = x'25504446'",
    "Every issued invoice has its document.": "DELETE FROM document",
    "Every search entry leads to a record.": "UPDATE search_entry SET record_id = record_id + 1000000",
}


@pytest.mark.parametrize("sentence", DAMAGE)
def test_check_tells_what_is_broken(sentence, invoice, app, database, capsys):
    with app.app_context():
        assert check.all_holds(mend=True)
    capsys.readouterr()
    with database.raw() as raw:
        for (trigger,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            raw.execute(f"DROP TRIGGER {trigger}")
        raw.execute(DAMAGE[sentence])
    with app.app_context():
        assert not check.all_holds()
    assert f"FAIL {sentence}" in capsys.readouterr().out


# --------------------------------------------------------------------------------------------- serve


@pytest.fixture
def port():
    """A free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A running `serve`: what it has said, and the door to it."""

    def __init__(self, process, log, port):
        self.process, self.log, self.port = process, log, port

    @property
    def said(self):
        return self.log.read_text()

    def get(self, path="/"):
        """(status, location) of one page, redirects not followed."""
        with build_opener(_NoRedirect).open(
            f"http://127.0.0.1:{self.port}{path}", timeout=PATIENCE
        ) as answer:
            return answer.status, answer.headers.get("Location")

    def workers(self):
        children = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        with open(children) as file:
            return [int(pid) for pid in file.read().split()]

    def wait_for(self, condition, what):
        end = time.monotonic() + PATIENCE
        while not condition():
            assert self.process.poll() is None, f"serve has ended:\n{self.said}"
            assert time.monotonic() < end, f"no {what}:\n{self.said}"
            time.sleep(0.02)


class _NoRedirect(HTTPRedirectHandler):
    def http_error_302(self, request, response, code, message, headers):
        return response


@pytest.fixture
def serving(database, port, tmp_path):
    """`with serving("--demo") as server:` — ready at the start of the block, ended at its end."""

    @contextmanager
    def begin(*arguments, **environment):
        log = tmp_path / "serve.log"
        with log.open("w") as out:
            process = subprocess.Popen(
                [sys.executable, "run.py", "serve", *arguments],
                cwd=BASE,
                env=os.environ | database.environment(PORT=port, PYTHONUNBUFFERED=1, **environment),
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        server = Server(process, log, port)
        try:
            server.wait_for(lambda: "Foyer is ready" in server.said, "readiness")
            yield server
        finally:
            process.terminate()
            assert process.wait(PATIENCE) == 0, server.said

    return begin


@without_tables
def test_the_first_start_makes_everything_and_one_admin_whose_password_it_shows_once(serving, client_for):
    with serving() as server:
        assert server.get("/") == (302, "/login/")
        said = server.said
    assert f"http://127.0.0.1:{server.port}" in said
    password = re.search(r"admin, password (\S+) \(shown once\)", said)[1]
    client_for("admin", password)
    with serving() as server:
        assert "password" not in server.said


@without_accounts
def test_with_demo_the_demo_accounts_are_named(serving, client_for):
    with serving("--demo") as server:
        assert "rep.north, rep.south" in server.said and "password demo" in server.said
    client_for("rep.north", "demo")


SLEEPER = """
import os, signal, sys, threading, time
from app.commands.serve import _Interrupt

interrupt = _Interrupt()
signal.signal(signal.SIGTERM, lambda *_: interrupt.set())

def signalled_elsewhere():  # the thread that sleeps is not woken by it, as when it is just falling asleep
    time.sleep(0.5)
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
    time.sleep(60)

threading.Thread(target=signalled_elsewhere, daemon=True).start()
interrupt.wait()
signal.raise_signal(signal.SIGTERM)
interrupt.clear()
interrupt.wait()
print("awake")
"""


def test_no_signal_is_slept_through():
    said = subprocess.run(
        [sys.executable, "-c", SLEEPER], cwd=BASE, capture_output=True, text=True, timeout=30, check=True
    )
    assert said.stdout == "awake\n"


def test_demo_accounts_are_not_served_to_the_world(operator):
    assert_refused(operator("serve", HOST="0.0.0.0"), "they are served on 127.0.0.1 only")
    assert_refused(operator("serve", "--demo", HOST="0.0.0.0"), "they are served on 127.0.0.1 only")


def test_a_taken_port_is_refused(operator, port):
    with socket.create_server(("127.0.0.1", port)):
        assert_refused(operator("serve", PORT=port), f"Port {port} is already in use")


def test_a_host_that_is_not_ours_is_refused(operator):
    assert_refused(operator("serve", HOST="192.0.2.1"), "HOST is “192.0.2.1”")


def test_a_killed_worker_is_replaced(serving):
    with serving() as server:
        server.wait_for(lambda: len(server.workers()) == 2, "two workers")
        before = set(server.workers())
        os.kill(min(before), signal.SIGKILL)
        server.wait_for(lambda: len(set(server.workers()) - before) == 1, "new worker")
        assert server.get("/")[0] == 302


def test_workers_do_not_outlive_a_killed_parent(serving):
    with pytest.raises(AssertionError), serving() as server:
        server.wait_for(lambda: len(server.workers()) == 2, "two workers")
        server.process.kill()
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", server.port)):
                return
        time.sleep(0.02)
    pytest.fail("somebody still serves")
