"""The schema: migrations up and down on both engines, the triggers, declared sight, and who imports whom."""

import ast
import os
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import select

from app import access, search
from app.commands import CommandError
from app.commands.upgrade import DEPARTMENTS, MIGRATIONS, upgrade
from app.extensions import db
from app.models import (
    ENTITIES,
    INDEX_TABLES,
    PRIVATE_TABLES,
    SECURITY_TABLES,
    ChangeSet,
    Department,
    NumberSeries,
    Pipeline,
    Stage,
    TaxRate,
)
from config import BASE
from tests import factories
from tests.databases import on_both_engines, on_postgresql, without_accounts, without_tables

# Departments and staff name each other, which Alembic mentions each time it sorts the tables.
pytestmark = pytest.mark.filterwarnings("ignore:Cannot correctly sort tables")

CONFIG = Config(MIGRATIONS)
OURS = set(ENTITIES) | SECURITY_TABLES | INDEX_TABLES | PRIVATE_TABLES
REFUSALS = (psycopg.errors.IntegrityConstraintViolation, sqlite3.IntegrityError)


@pytest.fixture
def tables(app):
    """`tables()` is the names of all tables in the database."""

    def look():
        with app.app_context(), db.engine.connect().execution_options(**{access.DOOR: True}) as connection:
            names = set(sa.inspect(connection).get_table_names()) - {"alembic_version"}
            # FTS5, the queue and the wall keep theirs themselves.
            return {name for name in names if not name.startswith(("search_fts", "huey_", "foyer_"))}

    return look


@pytest.fixture
def migrate(app):
    """`migrate(command.upgrade, "head")` runs a command of Alembic."""

    def run(verb, *arguments):
        with app.app_context():
            verb(CONFIG, *arguments)

    return run


@pytest.fixture
def refused(database):
    """`with refused("words") as execute:` — the database itself must refuse the raw statement, in these words."""

    @contextmanager
    def block(words):
        with pytest.raises(REFUSALS, match=words), database.raw() as connection:
            yield connection.execute

    return block


# --------------------------------------------------------------------------------------------- migrations


@on_both_engines
@without_tables
def test_migrations_go_up_and_down_from_empty(migrate, tables):
    for _ in range(2):
        migrate(command.upgrade, "head")
        assert tables() == OURS
        migrate(command.downgrade, "base")
        assert tables() == set()


def test_entries_that_an_older_foyer_has_numbered_find_their_places(migrate, database, as_system):
    with as_system() as session:
        last = max(factories.make(session, "company", name="Echo").id for _ in range(30))
    migrate(command.downgrade, "0009")
    with database.raw() as raw:
        new = "INSERT INTO search_entry (entity, record_id, department_id, text) VALUES (?, ?, 2, '  later')"
        raw.executemany(new, [*(("contact", 5000 + number) for number in range(70)), ("company", last + 1)])
        raw.execute("INSERT INTO search_fts(search_fts) VALUES ('rebuild')")
    migrate(command.upgrade, "head")
    with database.raw() as raw:
        entries = raw.execute("SELECT id, entity, record_id, department_id FROM search_entry").fetchall()
        assert len(entries) > 100 and all(number == search.number_of(*place) for number, *place in entries)
        raw.execute("INSERT INTO search_fts(search_fts, rank) VALUES ('integrity-check', 1)")


@on_both_engines
def test_migrations_go_down_and_up_from_a_populated_database(migrate, tables, as_system):
    with as_system() as session:
        owner = factories.make(session, "staff")
        factories.one_of_each(session, "word", department_id=owner.department_id, owner_id=owner.id)
    migrate(command.downgrade, "base")
    assert tables() == set()
    migrate(command.upgrade, "head")
    assert tables() == OURS


@on_both_engines
@without_accounts
def test_the_models_and_the_migrations_say_the_same(migrate):
    migrate(command.check)


def test_there_is_one_head():
    assert len(ScriptDirectory.from_config(CONFIG).get_heads()) == 1


@on_both_engines
@without_accounts
def test_a_second_upgrade_changes_nothing(app, as_system):
    with as_system() as session:
        before = session.scalars(select(ChangeSet.id)).all()
    said = []
    upgrade(app, say=said.append)
    with as_system() as session:
        assert session.scalars(select(ChangeSet.id)).all() == before
    assert said == []


@on_both_engines
@without_tables
def test_two_upgrades_at_once_wait_for_each_other(database, as_system):
    def run_upgrade(_):
        return subprocess.run(
            [sys.executable, "run.py", "upgrade"],
            cwd=BASE,
            env=os.environ | {"DATABASE_URL": database.url, "FOYER_HOME": str(database.home)},
            capture_output=True,
            text=True,
        )

    with ThreadPoolExecutor() as pool:
        results = list(pool.map(run_upgrade, range(2)))
    assert [result.returncode for result in results] == [0, 0], [result.stderr for result in results]
    with as_system() as session:
        assert sorted(session.scalars(select(Department.name))) == sorted(DEPARTMENTS)


@without_accounts
def test_what_was_changed_by_hand_stays_changed(app, as_system):
    with as_system() as session:
        session.scalars(select(Department).where(Department.name == "Marketing")).one().name = "Communication"
        session.delete(session.scalars(select(TaxRate)).first())
    upgrade(app, say=print)
    with as_system() as session:
        assert "Marketing" not in session.scalars(select(Department.name)).all()
        assert len(session.scalars(select(TaxRate)).all()) == 2


@without_accounts
def test_upgrade_writes_what_a_firm_begins_with(session):
    stages = session.execute(
        select(Pipeline.kind, Stage.name, Stage.outcome).join(Stage.pipeline).order_by(Stage.id)
    )
    assert [tuple(row) for row in stages] == [
        ("deal", "New", "open"),
        ("deal", "Qualified", "open"),
        ("deal", "Proposal", "open"),
        ("deal", "Negotiation", "open"),
        ("deal", "Won", "won"),
        ("deal", "Lost", "lost"),
        ("ticket", "New", "open"),
        ("ticket", "In progress", "open"),
        ("ticket", "Waiting", "open"),
        ("ticket", "Solved", "solved"),
    ]
    assert [series.prefix for series in session.scalars(select(NumberSeries))] == ["INV-"]


@without_accounts
def test_a_database_of_a_newer_version_is_refused(app, database):
    with database.raw() as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'from the future'")
    with pytest.raises(CommandError, match="newer version"):
        upgrade(app, say=print)


# --------------------------------------------------------------------------------------------- triggers


@pytest.fixture
def paper(as_system):
    """The ids of an issued invoice, a draft with a line, and a document."""
    with as_system() as session:
        bill = factories.issued(session)
        draft = factories.draft(session)
        document = factories.make(session, "document", entity="invoice", record_id=bill.id)
        return {
            "bill": bill.id,
            "bill_line": bill.lines[0].id,
            "draft": draft.id,
            "draft_line": draft.lines[0].id,
            "document": document.id,
        }


@on_both_engines
@pytest.mark.parametrize(
    "words, statement",
    [
        ("An issued invoice is frozen", "UPDATE invoice SET net = net + 1 WHERE id = {bill}"),
        (
            "An issued invoice is frozen",
            "UPDATE invoice SET number = NULL, issued_on = NULL WHERE id = {bill}",
        ),
        ("An issued invoice is frozen", "DELETE FROM invoice WHERE id = {bill}"),
        ("An issued invoice is frozen", "DELETE FROM invoice"),
        ("lines of an issued invoice", "UPDATE invoice_line SET net = 0 WHERE id = {bill_line}"),
        ("lines of an issued invoice", "UPDATE invoice_line SET invoice_id = {draft} WHERE id = {bill_line}"),
        ("lines of an issued invoice", "UPDATE invoice_line SET invoice_id = {bill} WHERE id = {draft_line}"),
        ("lines of an issued invoice", "DELETE FROM invoice_line WHERE id = {bill_line}"),
        (
            "lines of an issued invoice",
            "INSERT INTO invoice_line (invoice_id, position, description, quantity, unit_price, discount, tax_percent,"
            " net, created_at, updated_at, version) SELECT {bill}, 9, 'more', 1, 1, 0, 0, 1, created_at, updated_at, 1"
            " FROM invoice WHERE id = {bill}",
        ),
        ("A document is written once", "UPDATE document SET name = 'other' WHERE id = {document}"),
        ("A document is written once", "DELETE FROM document WHERE id = {document}"),
        ("never back", "UPDATE number_series SET last = last - 1 WHERE last > 0"),
        ("never back", "UPDATE number_series SET last = last + 2 WHERE last > 0"),
        ("never back", "UPDATE number_series SET year = year + 100 WHERE last > 0"),
        ("kept for good", "DELETE FROM number_series"),
    ],
)
def test_raw_sql_is_refused_what_would_falsify_the_books(words, statement, paper, refused):
    with refused(words) as execute:
        execute(statement.format(**paper))


@pytest.mark.parametrize(
    "statement",
    [
        "REPLACE INTO invoice SELECT * FROM invoice WHERE id = {bill}",
        "REPLACE INTO invoice_line SELECT * FROM invoice_line WHERE id = {bill_line}",
    ],
)
def test_sqlite_replaces_nothing_that_was_issued(statement, paper, refused):
    with refused("frozen") as execute:
        execute(statement.format(**paper))


@on_postgresql
@pytest.mark.parametrize(
    "table, words",
    [
        ("invoice", "frozen"),
        ("invoice_line", "frozen"),
        ("document", "written once"),
        ("number_series", "kept for good"),
    ],
)
def test_postgresql_truncates_nothing_that_must_stay(table, words, paper, refused):
    with refused(words) as execute:
        execute(f"TRUNCATE {table} CASCADE")


@on_both_engines
def test_a_draft_is_free(paper, database):
    statements = (
        "UPDATE invoice_line SET net = 1 WHERE id = {draft_line}",
        "DELETE FROM invoice_line WHERE invoice_id = {draft}",
        "DELETE FROM invoice WHERE id = {draft}",
    )
    with database.raw() as connection:
        for statement in statements:
            assert connection.execute(statement.format(**paper)).rowcount > 0


# --------------------------------------------------------------------------------------------- declared sight


def undeclared(tables):
    """The tables of which nobody has said who may see their rows."""
    declared = {name for name, model in ENTITIES.items() if model.__sight__ in ("scoped", "reference")}
    return sorted(
        table.name for table in tables if table.name not in declared | SECURITY_TABLES | INDEX_TABLES | PRIVATE_TABLES
    )


def test_every_table_declares_its_sight():
    assert undeclared(db.metadata.tables.values()) == []
    fabs = {name for name in SECURITY_TABLES if name.startswith("ab_")}
    assert {name for name in db.metadata.tables if name.startswith("ab_")} == fabs


def test_a_table_without_sight_is_found():
    secret = sa.Table("secret", sa.MetaData(), sa.Column("id", sa.Integer))
    assert undeclared([*db.metadata.tables.values(), secret]) == ["secret"]


def test_a_table_without_sight_shows_nobody_anything(as_person):
    secret = sa.Table("secret", sa.MetaData(), sa.Column("id", sa.Integer))
    with pytest.raises(access.Unsighted, match="secret"), as_person("director") as session:
        session.execute(select(secret.c.id))


def test_a_model_without_sight_keeps_foyer_from_starting():
    program = (
        "import app.models as models, sqlalchemy.orm as orm\n"
        "class Secret(models.Row):\n    __tablename__ = 'secret'\n"
        "models.ENTITIES['secret'] = Secret\n"
        "import app.access\n"
    )
    result = subprocess.run([sys.executable, "-c", program], cwd=BASE, capture_output=True, text=True)
    assert result.returncode != 0 and "__sight__" in result.stderr


# --------------------------------------------------------------------------------------------- who imports whom

# From the ground up; a module may import from its own storey and from those below it. Commands stand above the
# application, because each of them makes one.
STOREYS = (
    {"config", "app.roles"},
    {"app.extensions"},
    {"app.models"},
    {
        *("app.security", "app.sessions", "app.throttle", "app.access", "app.ledger"),
        *("app.in_hand", "app.wall", "app.policies", "app.bell", "app.blobs"),
        *("app.search", "app.custom", "app.filters", "app.formats"),
    },
    {"app.identity"},
    {"app.bulk", "app.past"},
    {"app.undo"},
    {"app.rules"},
    {"app.figures", "app.documents", "app.exchange"},
    {"app.jobs"},
    {"app.views"},
    {"app"},
    {"app.audit"},
    {"app.commands"},
    {"run"},
)


def storey_of(module):
    """How high a module of ours stands; None for those of others."""
    parts = module.split(".")
    for name in (".".join(parts[:2]), parts[0] if len(parts) == 1 else None):
        for height, names in enumerate(STOREYS):
            if name in names:
                return height
    return None


def imports_of(path):
    """(line, module) of everything of ours that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "app":
            names = [f"app.{alias.name}" for alias in node.names]
            yield from ((node.lineno, name if storey_of(name) is not None else "app") for name in names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.lineno, node.module


def module_of(path):
    parts = path.relative_to(BASE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = [*sorted((BASE / "app").rglob("*.py")), BASE / "config.py", BASE / "run.py"]


def test_every_module_has_its_storey():
    assert [module_of(path) for path in SOURCES if storey_of(module_of(path)) is None] == []


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_nobody_imports_from_a_storey_above(path):
    module = module_of(path)
    height = storey_of(module)
    upwards = [
        f"line {line}: {imported}"
        for line, imported in imports_of(path)
        if (storey := storey_of(imported)) is not None and storey > height
    ]
    assert upwards == []


def test_rules_know_nothing_of_the_web():
    for path in (BASE / "app" / "rules").glob("*.py"):
        imported = {module.split(".")[0] for _, module in imports_of(path)}
        assert not imported & {"flask", "flask_babel", "flask_login", "flask_appbuilder", "werkzeug"}, (
            path.name
        )
