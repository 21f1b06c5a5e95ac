"""What outlasts a request, and what leaves the house.

A job is a row: it is written with the transaction that asks for it, claimed by a worker, and ended in the same
transaction as its work, so a killed worker leaves nothing half done: the job is taken up again. Huey only wakes the
worker and carries the progress, in a file (SQLite) or tables (PostgreSQL) of its own; what it loses, the next
sweep finds.

A message in the outbox is a row, too: claimed and committed first, then sent. Killed in between it stays "perhaps
sent" and is never sent twice.
"""

import hashlib
import logging
import os
import smtplib
import socket
import threading
import time
import traceback
import uuid
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from functools import cache
from pathlib import Path

from huey import PostgresHuey, SqliteHuey, crontab
from sqlalchemy import delete, event, func, select, update
from sqlalchemy.exc import OperationalError

from app import access, search, security, sessions, throttle
from app.extensions import N_, Session, db
from app.models import Job, JobFile, OutboxMessage
from app.rules import RuleBroken

ATTEMPTS = 3  # a job that killed its worker so often is not tried again
STALE = timedelta(seconds=60)  # without a sign of life for so long, the worker is gone
SENDING = timedelta(minutes=10)  # a claimed message that old was interrupted
RETRIES = (1, 5, 30, 120, 600)  # minutes to wait before a message is tried again
TOLD_BY_MAIL = timedelta(minutes=1)  # work that took longer is reported by mail

log = logging.getLogger(__name__)
_KINDS, _CHANNELS, _DAILY = {}, {}, []


# --------------------------------------------------------------------------------------------- asking for work


def kind(name):
    """Declare who does jobs of this kind: a function of a `Run` that returns the result, a dict of plain values."""

    def declare(work):
        _KINDS[name] = work
        return work

    return declare


def daily(work):
    """Declare a function of (settings, now) that the worker calls once a day."""
    _DAILY.append(work)
    return work


def start(session, name, title, params, files=(), *, state="waiting"):
    """A job for the session's person, written in his transaction; the worker hears of it after the commit.

    `files` are (role, name, media type, bytes). A job in state "draft" waits until `release` is called.
    """
    principal, now = access.principal_of(session), datetime.now(UTC)
    job = Job(
        kind=name,
        title=title[:200],
        params=params,
        state=state,
        department_id=principal.department_id,
        owner_id=principal.id,
        created_at=now,
    )
    session.add(job)
    for role, file_name, media_type, content in files:
        attach(job, role, file_name, media_type, content)
    session.flush()
    if state == "waiting":
        session.info.setdefault("jobs to wake", []).append(job.id)
    return job


def release(session, job):
    """Let a prepared job begin."""
    job.state = "waiting"
    session.info.setdefault("jobs to wake", []).append(job.id)


def attach(job, role, name, media_type, content):
    """A file that stands with a job."""
    digest = hashlib.sha256(content).hexdigest()
    file = JobFile(role=role, name=name[-200:], media_type=media_type, size=len(content), sha256=digest)
    file.content = content
    job.files.append(file)
    return file


@event.listens_for(Session, "after_commit")
def _wake_the_worker(session):
    for key in session.info.pop("jobs to wake", ()):
        try:
            _tasks()["work"](key)
        except Exception:  # the row is written; the next sweep finds it
            log.exception("job %s waits for the next sweep: nobody could be woken", key)


@event.listens_for(Session, "after_rollback")
def _let_sleep(session):
    session.info.pop("jobs to wake", None)


# --------------------------------------------------------------------------------------------- the queue


@cache
def _queue_at(url):
    if url.drivername == "sqlite":
        beside = Path(url.database)
        filename = beside.with_name(f"{beside.stem}-queue.db")
        return SqliteHuey("foyer", filename=str(filename), fsync=False, timeout=10)
    return PostgresHuey("foyer", dsn=_dsn(url), create_tables=False)


def queue():
    """The Huey of this installation: a file of its own beside SQLite's, tables of its own in PostgreSQL."""
    return _queue_at(db.engine.url)


def make_queue_tables():
    """The queue's own tables in PostgreSQL, made by their owner; again, it changes nothing."""
    PostgresHuey("foyer", dsn=_dsn(db.engine.url)).storage.close()


def _dsn(url):
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


@cache
def _tasks_of(huey):
    """Huey's tasks: it wakes with them, and calls the sweep every minute."""

    def work(key):
        run(huey.foyer, key)

    def tend():
        sweep(huey.foyer)

    return {
        "work": huey.task(name="work")(work),
        "sweep": huey.periodic_task(crontab(), name="sweep")(tend),
    }


def _tasks():
    return _tasks_of(queue())


def progress_of(job):
    """(done, total, note) as far as a running job has said; else what its row says."""
    said = queue().storage.peek_data(f"job-{job.id}") if job.state == "running" else None
    if isinstance(said, bytes):
        done, total, note = said.decode().split("|", 2)
        return int(done), int(total), note
    return job.done, job.total, job.note or ""


# --------------------------------------------------------------------------------------------- doing it


class Run:
    """One attempt at a job: what its function works with."""

    def __init__(self, app, job, principal, stack):
        self.settings = app.config["SETTINGS"]
        self.id, self.kind, self.title, self.params = job.id, job.kind, job.title, job.params
        self.principal = principal
        self._queue = queue()
        self._stack, self._session, self._kept, self._told = stack, None, [], 0.0

    @property
    def session(self):
        """The session of whoever asked, in which the work is written; it commits with the job's end.

        On SQLite it keeps everybody else from writing: what only reads and thinks belongs into `reading`.
        """
        if self._session is None:
            entered = access.session_for(self.principal, door=self.kind[:20], why=self.title)
            self._session = self._stack.enter_context(entered)
        return self._session

    @contextmanager
    def reading(self):
        """A session of whoever asked that reads, and holds nobody up."""
        with access.session_for(self.principal, door=self.kind[:20], writes=False) as session:
            yield session

    def file(self, role):
        """The bytes of the job's file in this role."""
        with self.reading() as session:
            this = select(JobFile.content).where(JobFile.job_id == self.id, JobFile.role == role)
            return session.scalars(this.order_by(JobFile.id.desc()).limit(1)).one()

    def progress(self, done, total, note=""):
        """Say how far it is; cheap, so call it often."""
        now = time.monotonic()
        if now - self._told > 0.3 or done >= total:
            self._told = now
            self._queue.storage.put_data(f"job-{self.id}", f"{done}|{total}|{note}".encode())

    def keep(self, role, name, media_type, content):
        """A file that the job made, stored with its end."""
        self._kept.append((role, name, media_type, content))


def run(app, key):
    """Work on this job, unless another worker has it or it is over. Returns its state, or None if it was not ours."""
    with app.app_context():
        claimed = _claim(key)
        if claimed is None:
            return None
        job, principal = claimed
        began = datetime.now(UTC)
        with _signs_of_life(key):
            try:
                if principal is None:
                    raise RuleBroken(N_("Whoever asked for this has no account any more."))
                with ExitStack() as stack:
                    attempt = Run(app, job, principal, stack)
                    result = _KINDS[job.kind](attempt) or {}
                    _end(attempt, result, began)
                return "done"
            except RuleBroken as broken:
                return _fail(key, broken.message % broken.values)
            except OperationalError as error:
                if "locked" not in str(error.orig) and "busy" not in str(error.orig):
                    return _fail(key, _fault(key))
                log.warning("job %s: the database was busy for too long; it is tried again", key)
                return _put_back(key)
            except Exception:
                return _fail(key, _fault(key))


def run_waiting(app):
    """Do everything that waits, here and now; returns how many jobs."""
    with app.app_context(), access.system_session("jobs", writes=False) as session:
        waiting = session.scalars(select(Job.id).where(Job.state == "waiting").order_by(Job.id)).all()
    for key in waiting:
        run(app, key)
    return len(waiting)


def sweep(app):
    """Take up what nobody was woken for and what a killed worker left; send what is due; once a day, tidy."""
    with app.app_context():
        _take_back(app)
    run_waiting(app)
    deliver(app)
    _do_daily(app)


def _claim(key):
    with access.system_session("jobs") as session:
        now = datetime.now(UTC)
        table = Job.__table__
        claim = (
            update(table)
            .where(table.c.id == key, table.c.state == "waiting")
            .values(state="running", attempts=table.c.attempts + 1, started_at=now, beat_at=now)
        )
        if session.connection().execute(claim, execution_options={access.DOOR: True}).rowcount != 1:
            return None
        job = session.get(Job, key)
        session.refresh(job)
        session.expunge(job)
    return job, security.load_principal(job.owner_id)


def _end(attempt, result, began):
    now = datetime.now(UTC)
    job = attempt.session.get(Job, attempt.id)
    job.state, job.result, job.finished_at, job.note = "done", result, now, None
    job.done, job.total = result.get("done", job.total or 1), result.get("total", job.total or 1)
    for kept in attempt._kept:
        attach(job, *kept)
    attempt.session.flush()
    job.change_set_id = attempt.session.info.get("change_set_id")
    if now - began > TOLD_BY_MAIL and attempt.settings.MAIL_HOST:
        _tell(attempt.session, job)


def _tell(session, job):
    """A mail to whoever asked that his work is done."""
    address = security.address_of(job.owner_id)
    if address:
        text = N_("It is done: %(title)s") % {"title": job.title}
        send_later(session, "mail", address, {"subject": text, "text": text})


def _fail(key, sentence):
    with access.system_session("jobs") as session:
        job = session.get(Job, key)
        job.state, job.error, job.finished_at = "failed", sentence, datetime.now(UTC)
    return "failed"


def _put_back(key):
    with access.system_session("jobs") as session:
        session.get(Job, key).state = "waiting"
    return "waiting"


def _fault(key):
    """Log the error that is being handled; returns what its owner reads."""
    fault = uuid.uuid4().hex[:8]
    log.error("job %s, fault %s\n%s", key, fault, traceback.format_exc())
    return N_("Something went wrong on our side. Nothing was stored. Error id: %(id)s") % {"id": fault}


@contextmanager
def _signs_of_life(key):
    """Say every few seconds, beside the work, that its worker lives."""
    over, storage = threading.Event(), queue().storage

    def say():
        sign = f"{socket.gethostname()} {os.getpid()} {time.time()}"
        storage.put_data(f"life-{key}", sign.encode())

    def beat():
        while not over.wait(10):
            say()

    say()
    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        for name in ("life", "job"):
            storage.pop_data(f"{name}-{key}")


def _take_back(app):
    """Jobs whose worker is gone wait again, or fail when that happened too often."""
    with access.system_session("jobs") as session:
        for job in session.scalars(select(Job).where(Job.state == "running")):
            if _lives(job):
                continue
            log.warning("job %s: its worker is gone", job.id)
            if job.attempts < ATTEMPTS:
                job.state = "waiting"
            else:
                job.state, job.finished_at = "failed", datetime.now(UTC)
                job.error = N_("Its worker was killed %(times)s times. Nothing was stored.") % {
                    "times": ATTEMPTS
                }


def _lives(job):
    sign = queue().storage.peek_data(f"life-{job.id}")
    if isinstance(sign, bytes):
        host, pid, at = sign.decode().split()
        if host == socket.gethostname():
            return _is_process(int(pid))
        return time.time() - float(at) < STALE.total_seconds()
    return datetime.now(UTC) - job.beat_at < STALE


def _is_process(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _do_daily(app):
    """Once a day, on the house's clock: the queue remembers the day, and doing it twice would do no harm."""
    settings = app.config["SETTINGS"]
    with app.app_context():
        storage = queue().storage
    now = datetime.now(settings.zone)
    if storage.peek_data("daily") == now.date().isoformat().encode():
        return
    for work in _DAILY:
        with app.app_context():
            try:
                work(settings, now)
            except Exception:
                log.exception("the daily %s failed; it is tried again tomorrow", work.__name__)
    storage.put_data("daily", now.date().isoformat().encode())


@daily
def drop_old_files(settings, now):
    """What was brought for a job, and what it made, goes after so many days; the job itself stays and tells of it."""
    if not settings.JOB_FILES_DAYS:
        return
    before = now - timedelta(days=settings.JOB_FILES_DAYS)
    ended = func.coalesce(Job.finished_at, Job.created_at)
    with access.system_session("files of old jobs") as session:
        session.execute(update(Job).where(Job.state == "draft", ended <= before).values(state="stopped"))
        over = select(Job.id).where(Job.state.in_(("done", "failed", "stopped")), ended <= before)
        session.execute(delete(JobFile).where(JobFile.job_id.in_(over)))


@daily
def _gather_the_index(settings, now):
    """Merge what a day's changes have scattered; a little at a time, so that others can write in between."""
    with access.system_session("search index", writes=False) as session:
        is_more = search.is_scattered(session)
    begin = True
    while is_more:
        with access.system_session("search index") as session:
            is_more = search.gather(session, begin=begin)
        begin = False
        time.sleep(0.01)


# --------------------------------------------------------------------------------------------- the outbox


def channel(name):
    """Declare who sends messages of a channel: a function of (settings, message) that raises when it cannot."""

    def declare(send):
        _CHANNELS[name] = send
        return send

    return declare


def send_later(session, name, address, payload, *, due_at=None, department_id=None, owner_id=None):
    """Something that is to leave the house, written with the change that caused it; for somebody else where said."""
    principal, now = access.principal_of(session), datetime.now(UTC)
    message = OutboxMessage(
        channel=name,
        address=address,
        payload=payload,
        department_id=department_id or principal.department_id,
        owner_id=owner_id or principal.id,
        created_at=now,
        due_at=due_at or now,
    )
    session.add(message)
    return message


def deliver(app, *, most=100):
    """Send what is due; returns how many messages left."""
    with app.app_context():
        _mark_interrupted()
        return sum(_deliver_next(app.config["SETTINGS"]) for _ in range(_how_many_due(most)))


def _how_many_due(most):
    with access.system_session("outbox", writes=False) as session:
        due = (OutboxMessage.state == "waiting", OutboxMessage.due_at <= datetime.now(UTC))
        some = select(OutboxMessage.id).where(*due).limit(most).subquery()
        return session.scalar(select(func.count()).select_from(some))


def _mark_interrupted():
    with access.system_session("outbox") as session:
        long_ago = datetime.now(UTC) - SENDING
        stuck = select(OutboxMessage).where(
            OutboxMessage.state == "claimed", OutboxMessage.claimed_at < long_ago
        )
        for message in session.scalars(stuck):
            message.state = "unclear"
            message.error = N_("The sender was killed while it was sending; look whether it arrived.")


def _deliver_next(settings):
    """Claim one message and commit the claim, then send it; returns whether it left."""
    with access.system_session("outbox") as session:
        now = datetime.now(UTC)
        due = (OutboxMessage.state == "waiting", OutboxMessage.due_at <= now)
        first = select(OutboxMessage).where(*due).order_by(OutboxMessage.due_at, OutboxMessage.id).limit(1)
        message = session.scalars(first.with_for_update(skip_locked=True)).first()
        if message is None:
            return False
        message.state, message.claimed_at, message.attempts = "claimed", now, message.attempts + 1
        session.flush()
        session.expunge(message)
    try:
        _CHANNELS[message.channel](settings, message)
    except Exception as error:
        log.warning("outbox message %s was not sent: %s", message.id, error)
        _not_sent(message, error)
        return False
    with access.system_session("outbox") as session:
        row = session.get(OutboxMessage, message.id)
        row.state, row.sent_at = "sent", datetime.now(UTC)
    return True


def _not_sent(message, error):
    with access.system_session("outbox") as session:
        row = session.get(OutboxMessage, message.id)
        row.error = f"{type(error).__name__}: {error}"
        if row.attempts > len(RETRIES):
            row.state = "failed"
        else:
            row.state = "waiting"
            row.due_at = datetime.now(UTC) + timedelta(minutes=RETRIES[row.attempts - 1])


@channel("mail")
def _send_mail(settings, message):
    """One mail by the house's own server; the same Message-ID however often it is tried."""
    _send(settings, message, message.payload["subject"], message.payload["text"])


PASSWORD_LINK = "password link"


@channel(PASSWORD_LINK)
def _send_password_link(settings, message):
    """The link to set a forgotten password. Its secret is made here, so that no row ever holds it."""
    token = security.make_password_link(message.payload["user_id"])
    text = N_(
        "Somebody, probably you, asked to set a new password for “%(username)s”.\n\n"
        "Open this address within an hour; it works once:\n\n%(link)s\n\n"
        "If it was not you, do nothing: the password stays as it is.\n"
    )
    link = f"{settings.address}/login/new-password?token={token}"
    _send(
        settings,
        message,
        N_("A new password"),
        text % {"username": message.payload["username"], "link": link},
    )


def _send(settings, message, subject, text):
    mail = EmailMessage()
    mail["From"], mail["To"] = settings.MAIL_FROM, message.address
    mail["Subject"] = subject
    mail["Message-ID"] = f"<foyer-{message.id}@{settings.MAIL_FROM.rpartition('@')[2].rstrip('>')}>"
    mail.set_content(text)
    with smtplib.SMTP(settings.MAIL_HOST, settings.MAIL_PORT, timeout=30) as server:
        if settings.MAIL_USER:
            server.starttls()
            server.login(settings.MAIL_USER, settings.MAIL_PASSWORD)
        server.send_message(mail)


@daily
def _forget_what_the_door_kept(settings, now):
    with access.system_session("what counts no more") as session:
        throttle.forget_old(session, now)
        sessions.forget_old(session, now, settings)
        security.forget_old(session, now, settings)


# --------------------------------------------------------------------------------------------- the worker


def work(app):
    """Be the worker until told to end (SIGTERM, SIGINT): woken by the queue, sweeping once a minute."""
    with app.app_context():
        huey = queue()
    huey.foyer = app  # what its tasks work for
    _tasks_of(huey)
    sweep(app)
    huey.create_consumer(workers=2, worker_type="thread", initial_delay=0.05, max_delay=0.5).run()
