"""What every test may ask for: an application on a real database, and the cast that signs in to it.

No fixture keeps an application context open around a client: Flask would reuse it, and one person's sign-in
would leak into the next request. `session` does keep one, for tests of rules; a client then refuses to work.
"""

import gc
import io
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine, event

import run
from app import access, security
from tests import databases
from tests.client import Client

HERE = Path(__file__).parent
# The files that take longest, the longest first; the workers get whole files, so that each file's fixtures stand once.
LONG = (
    "browser/test_main_job.py",
    "views/test_malformed.py",
    "browser/test_keyboard.py",
    "test_schema.py",
    "browser/test_phone.py",
    "browser/test_scripting.py",
    "test_access.py",
    "test_scope.py",
    "test_commands.py",
    "test_undo.py",
    "test_policies.py",
    "views/test_pages.py",
    "exchange/test_northwind.py",
    "test_sign_in.py",
    "browser/test_faces.py",
    "rules/test_invoices_concurrent.py",
    "test_bench.py",
    "figures/test_sales.py",
    "browser/test_sign_in.py",
    "test_matrix.py",
    "rules/test_rights.py",
    "test_jobs.py",
    "exchange/test_exporting.py",
    "exchange/test_importing_at_size.py",
    "test_house.py",
    "rules/test_custom_fields.py",
    "views/test_records.py",
    "exchange/test_importing.py",
    "views/test_custom_fields.py",
    "views/test_api.py",
)


@event.listens_for(Engine, "connect")
def _be_quick(connection, _record):
    """Nothing that a test writes has to survive a power cut: SQLite need not wait for the disk at each commit."""
    if type(connection).__module__.startswith("sqlite3"):
        connection.execute("PRAGMA synchronous=OFF").close()


def pytest_configure(config):
    config.foyer_run = databases.start_run(databases.memory_to_spare())


def pytest_collection_modifyitems(items):
    """The files that take longest begin, so that no worker is left alone with one of them at the end."""
    order = {name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: order.get(item.path.relative_to(HERE).as_posix(), len(LONG)))


def pytest_collection_finish():
    """What is loaded by now stays: from here on garbage is looked for only among what the tests make."""
    gc.freeze()
    gc.enable()
    gc.set_threshold(20_000, 20, 20)


def pytest_unconfigure(config):
    if config.foyer_run:
        databases.end_run(config.foyer_run)


@pytest.fixture
def engine(request):
    """The database engine of this test: SQLite, unless it is marked `on_both_engines`."""
    return getattr(request, "param", "sqlite")


@pytest.fixture
def template(request):
    """What the database holds at first: the cast, unless the test is marked `with_demo` or `without_…`."""
    return getattr(request, "param", "cast")


@pytest.fixture
def database(engine, template):
    with databases.fresh_database(engine, template) as database:
        yield database


@pytest.fixture
def app(database):
    with databases.app_on(database) as app:
        yield app


@pytest.fixture
def as_system(app):
    """`with as_system() as session:` — a system session, committed at the end of the block."""

    @contextmanager
    def begin(why="test"):
        with app.app_context(), access.system_session(why, door="command") as session:
            yield session

    return begin


@pytest.fixture
def as_person(app):
    """`with as_person("rep.north") as session:` — a session that carries this colleague."""

    @contextmanager
    def begin(username, *, writes=True):
        with app.app_context():
            with access.system_session("test", writes=False) as session:
                user_id = session.scalars(access.select(security.User.id).filter_by(username=username)).one()
            with access.session_for(security.load_principal(user_id), door="page", writes=writes) as session:
                yield session

    return begin


@pytest.fixture
def session(as_system):
    """A system session for a test that opens no page; what it wrote is committed when the test has passed."""
    with as_system() as session:
        yield session


@pytest.fixture
def anonymous(app):
    """A browser in which nobody is signed in."""
    return Client(app)


@pytest.fixture
def client_for(app):
    """`client_for("rep.north")` — a browser in which this colleague has signed in at /login/."""

    def sign_in(username, password=security.DEMO_PASSWORD):
        client = Client(app)
        client.sign_in(username, password)
        return client

    return sign_in


@pytest.fixture
def operator(database, monkeypatch, capsys):
    """`operator("user", "list")` runs one verb on this test's database and returns what came of it.

    Through the door of the command line, but in this process: a start of its own would take seconds.
    """

    def begin(*arguments, stdin="", **environment):
        capsys.readouterr()
        with monkeypatch.context() as patch:
            for name, value in database.environment(**environment).items():
                patch.setenv(name, value)
            patch.setattr(sys, "stdin", io.StringIO(stdin))
            code = run.main(arguments)
        return subprocess.CompletedProcess(arguments, code, *capsys.readouterr())

    return begin
