"""Jobs and the outbox: done once, for whoever asked; lost by no kill; sent by no kill twice."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from app import access, jobs
from app.models import ChangeSet, Company, Job, JobFile, OutboxMessage
from app.rules import RuleBroken
from config import BASE
from tests import factories
from tests.databases import on_both_engines, somebody_writes

PATIENCE = 120  # seconds; a busy build server is slow
BUSY = {"with": nullcontext}  # what goes on while a test job writes


@jobs.kind("test")
def _work(run):
    """Adds a company, keeps a file, and ends as it is told."""
    with run.reading() as session:
        before = len(session.scalars(select(Company.id)).all())
    run.progress(1, 2, "half")
    company = Company(name=run.params["name"], department_id=run.params["department"])
    with BUSY["with"]() if run.params.get("end") == "busy" else nullcontext():
        run.session.add(company)
        run.session.flush()
    run.keep(
        "result", "said.txt", "text/plain", run.file("upload").upper() if "file" in run.params else b"ok"
    )
    if run.params.get("end") == "rule":
        raise RuleBroken("No “%(name)s” today.", name=run.params["name"])
    if run.params.get("end") == "fault":
        raise ZeroDivisionError
    if run.params.get("end") == "wait":
        open(run.params["flag"], "w").close()
        time.sleep(60)
    return {"added": 1, "rows": before}


@pytest.fixture
def ask(as_person, as_system):
    """`ask("rep.north", end="rule")` asks for a test job in North; returns its id."""

    def ask_for(who="rep.north", *, files=(), **params):
        with as_system() as session:
            department = factories.department(session, params.pop("where", "North")).id
        with as_person(who) as session:
            params = {"name": "Roofs", "department": department, **params}
            return jobs.start(session, "test", "A test", params, files).id

    return ask_for


@pytest.fixture
def job(as_system):
    """`job(key, "state", "error")` reads columns of a job."""

    def read(key, *names):
        with as_system() as session:
            row = session.get(Job, key)
            return tuple(getattr(row, name) for name in names)

    return read


def companies(as_system):
    with as_system() as session:
        return session.scalars(select(Company.name).where(Company.name == "Roofs")).all()


@on_both_engines
def test_a_job_is_done_in_the_name_of_whoever_asked(app, ask, job, as_system):
    key = ask(files=[("upload", "in.txt", "text/plain", b"hello")], file=True)
    assert job(key, "state") == ("waiting",) and companies(as_system) == []
    assert jobs.run_waiting(app) == 1
    assert job(key, "state", "result", "attempts") == ("done", {"added": 1, "rows": 0}, 1)
    with as_system() as session:
        row, company = session.get(Job, key), session.scalars(select(Company)).one()
        change_set = session.get(ChangeSet, row.change_set_id)
        assert (change_set.door, change_set.why, change_set.by_id) == ("test", "A test", row.owner_id)
        assert company.created_by_id == row.owner_id
        made = session.scalars(select(JobFile).where(JobFile.role == "result")).one()
        assert (made.name, made.content) == ("said.txt", b"HELLO")
    assert jobs.run(app, key) is None, "what is over does not begin again"


def test_a_job_that_waits_too_long_for_its_turn_to_write_is_tried_again(app, ask, job, as_system, monkeypatch):
    key = ask(end="busy")
    monkeypatch.setitem(BUSY, "with", lambda: somebody_writes(app, monkeypatch))
    assert jobs.run(app, key) == "waiting"
    assert job(key, "state") == ("waiting",) and companies(as_system) == []
    monkeypatch.setitem(BUSY, "with", nullcontext)
    assert jobs.run(app, key) == "done" and companies(as_system) == ["Roofs"]


def test_the_list_of_jobs_shows_what_has_no_name_by_its_number(app, client_for, ask, job):
    key = ask()
    jobs.run(app, key)
    page = client_for("rep.north").get("/jobs/?show=title,change_set_id")
    assert f"#{job(key, 'change_set_id')[0]}" in page


@on_both_engines
@pytest.mark.parametrize("end, words", [("rule", "No “Roofs” today."), ("fault", "Error id")])
def test_a_job_that_fails_stores_nothing_and_says_why(app, ask, job, as_system, end, words, caplog):
    key = ask(end=end)
    jobs.run_waiting(app)
    state, error = job(key, "state", "error")
    assert state == "failed" and words in error and companies(as_system) == []
    if end == "fault":
        assert "ZeroDivisionError" in caplog.text


def test_a_job_may_do_what_its_person_may_and_no_more(app, ask, job, as_system):
    key = ask("rep.north", where="South")
    jobs.run_waiting(app)
    assert job(key, "state") == ("failed",) and companies(as_system) == []


def test_a_job_of_someone_who_left_is_not_done(app, ask, job, as_system):
    from app.security import User

    key = ask()
    with as_system() as session:
        session.scalars(select(User).where(User.username == "rep.north")).one().active = False
    jobs.run_waiting(app)
    assert job(key, "state") == ("failed",)


def test_a_job_whose_request_fails_was_never_asked_for(app, as_person, as_system):
    with pytest.raises(ZeroDivisionError), as_person("rep.north") as session:
        jobs.start(session, "test", "A test", {})
        raise ZeroDivisionError
    with as_system() as session:
        assert session.scalars(select(Job)).all() == []


def test_nobody_sees_the_jobs_of_others(client_for, ask):
    key = ask()
    client_for("rep.north").get(f"/jobs/{key}")
    for other in ("rep.south", "head.sales", "director", "admin"):
        client_for(other).get(f"/jobs/{key}", status=404)


def test_the_page_shows_how_far_it_is_and_what_it_brought(app, client_for, ask, job, as_system):
    key, client = ask(), client_for("rep.north")
    page = client.get(f"/jobs/{key}")
    assert page.response.headers["Refresh"] == "2" and "as soon as the worker is free" in page.text
    jobs.run_waiting(app)
    page = client.get(f"/jobs/{key}")
    assert (
        "Refresh" not in page.response.headers
        and "said.txt" in page.text
        and f"/changes/{job(key, 'change_set_id')[0]}" in page.links
    )
    with as_system() as session:
        file = session.scalars(select(JobFile.id)).one()
    assert client.get(f"/jobs/{key}/files/{file}").response.data == b"ok"
    client_for("director").get(f"/jobs/{key}/files/{file}", status=404)


def test_what_waits_can_be_stopped(app, client_for, ask, job):
    key = ask()
    client_for("rep.north").post(f"/jobs/{key}/stop")
    jobs.run_waiting(app)
    assert job(key, "state") == ("stopped",)


@on_both_engines
def test_a_killed_worker_leaves_nothing_half_done_and_its_job_goes_on(
    app, database, ask, job, as_system, tmp_path
):
    flag = tmp_path / "inside"
    key = ask(end="wait", flag=str(flag))
    program = (
        "import sys; from app import create_app, jobs; from config import load_settings; import tests.test_jobs\n"
        "jobs.run(create_app(load_settings(DATABASE_URL=sys.argv[1], FOYER_HOME=sys.argv[2])), int(sys.argv[3]))"
    )
    command = [sys.executable, "-c", program, database.url, str(database.home), str(key)]
    worker = subprocess.Popen(command, cwd=BASE)
    deadline = time.monotonic() + PATIENCE
    while not flag.exists():
        assert worker.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    assert job(key, "state", "attempts") == ("running", 1) and companies(as_system) == []
    with as_system() as session:
        row = session.get(Job, key)
        row.params = {**row.params, "end": None}
    jobs.sweep(app)
    assert job(key, "state", "attempts") == ("done", 2) and companies(as_system) == ["Roofs"]


def test_a_job_that_kills_its_worker_each_time_is_given_up(app, ask, job, as_system):
    key = ask()
    with as_system() as session:
        row = session.get(Job, key)
        row.state, row.attempts, row.beat_at = (
            "running",
            jobs.ATTEMPTS,
            datetime.now(UTC) - timedelta(hours=1),
        )
    jobs.sweep(app)
    assert job(key, "state") == ("failed",)


@on_both_engines
def test_files_go_some_days_after_the_end_and_what_nobody_began_is_put_aside(app, ask, job, as_system):
    upload = ("upload", "people.csv", "text/csv", b"names")
    over, begun, draft, young = (ask(files=[upload], file=True) for _ in range(4))
    long_ago, settings = datetime.now(UTC) - timedelta(days=31), app.config["SETTINGS"]
    with app.app_context():
        jobs.run(app, over)
    with as_system() as session:
        session.get(Job, over).finished_at = long_ago
        session.get(Job, draft).state = session.get(Job, young).state = "draft"
        session.get(Job, begun).created_at = session.get(Job, draft).created_at = long_ago
    kept = settings.model_copy(update={"JOB_FILES_DAYS": 0})
    for told, left in ((kept, [over, over, begun, draft, young]), (settings, [begun, young])):
        with app.app_context():
            jobs.drop_old_files(told, datetime.now(UTC))
        with as_system() as session:
            assert session.scalars(select(JobFile.job_id).order_by(JobFile.job_id)).all() == left
    assert [job(key, "state") for key in (over, begun, draft, young)] == [
        ("done",),
        ("waiting",),
        ("stopped",),
        ("draft",),
    ]


class TestOutbox:
    @pytest.fixture
    def sent(self, monkeypatch):
        """What left by the channel "test", which fails as often as `sent.fails` says."""

        class Sent(list):
            fails = 0

        sent = Sent()

        def send(settings, message):
            if sent.fails:
                sent.fails -= 1
                raise OSError("no line")
            sent.append((message.address, message.payload))

        monkeypatch.setitem(jobs._CHANNELS, "test", send)
        return sent

    @pytest.fixture
    def write(self, as_person):
        def write():
            with as_person("rep.north") as session:
                message = jobs.send_later(session, "test", "a@example.com", {"n": 1})
                session.flush()
                return message.id

        return write

    @staticmethod
    def state(as_system, key):
        with as_system() as session:
            row = session.get(OutboxMessage, key)
            return row.state, row.attempts

    @on_both_engines
    def test_a_message_leaves_once(self, app, write, sent, as_system):
        key = write()
        assert jobs.deliver(app) == 1 and jobs.deliver(app) == 0
        assert sent == [("a@example.com", {"n": 1})] and self.state(as_system, key) == ("sent", 1)

    def test_what_cannot_be_sent_is_tried_later_and_given_up_in_the_end(self, app, write, sent, as_system):
        key, sent.fails = write(), 99
        for attempt in range(1, len(jobs.RETRIES) + 2):
            jobs.deliver(app)
            expected = "waiting" if attempt <= len(jobs.RETRIES) else "failed"
            assert self.state(as_system, key) == (expected, attempt)
            assert jobs.deliver(app) == 0, "not before its time"
            with as_system() as session:
                session.get(OutboxMessage, key).due_at = datetime.now(UTC)
        assert sent == []

    def test_what_was_being_sent_when_the_sender_died_is_not_sent_twice(self, app, write, sent, as_system):
        key = write()
        with as_system() as session:
            row = session.get(OutboxMessage, key)
            row.state, row.claimed_at = "claimed", datetime.now(UTC) - jobs.SENDING - timedelta(seconds=1)
        jobs.deliver(app)
        assert sent == [] and self.state(as_system, key)[0] == "unclear"

    def test_a_mail_is_taken_by_a_real_server(self, app, as_person, as_system):
        from aiosmtpd.controller import Controller
        from aiosmtpd.handlers import Message

        class Inbox(Message):
            mails = []

            def handle_message(self, message):
                self.mails.append(message)

        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        server = Controller(Inbox(), hostname="127.0.0.1", port=port)
        server.start()
        try:
            settings = app.config["SETTINGS"].model_copy(update={"MAIL_HOST": "127.0.0.1", "MAIL_PORT": port})
            with as_person("rep.north") as session:
                payload = {"subject": "Fertig: Größe", "text": "It is done."}
                message = jobs.send_later(session, "mail", "rep@example.com", payload)
                session.flush()
                key = message.id
            with app.app_context(), access.system_session("test") as session:
                jobs._CHANNELS["mail"](settings, session.get(OutboxMessage, key))
        finally:
            server.stop()
        mail = Inbox.mails[0]
        assert mail["To"] == "rep@example.com" and mail["Message-ID"].startswith(f"<foyer-{key}@")
        assert "done" in mail.get_payload(decode=True).decode()


def test_the_worker_ends_when_it_is_told_to(database):
    environment = {**os.environ, "DATABASE_URL": database.url, "FOYER_HOME": str(database.home)}
    worker = subprocess.Popen(
        [sys.executable, "run.py", "work"], cwd=BASE, env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert "Working" in worker.stdout.readline()
        time.sleep(0.5)
    finally:
        worker.send_signal(signal.SIGTERM)
    assert worker.wait(PATIENCE) in (0, -signal.SIGTERM)
