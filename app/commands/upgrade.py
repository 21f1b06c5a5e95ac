"""Bring the database up to date: tables, roles, and the first departments, pipelines and tax rates."""

from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from functools import partial

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Flask
from psycopg import sql
from psycopg.errors import InsufficientPrivilege
from sqlalchemy import func, make_url, select, text
from sqlalchemy.exc import OperationalError

from app import access, create_app, jobs, policies, search, security, wall
from app.commands import CommandError
from app.extensions import db
from app.models import Department, NumberSeries, Pipeline, Stage, TaxRate
from config import BASE

# Held by whoever changes the schema or the first rows on PostgreSQL (SQLite has one writer anyway).
# Any number will do, as long as nothing else locks it: "Foyer" in ASCII.
UPGRADE_LOCK = 0x466F796572

MIGRATIONS = BASE / "migrations" / "alembic.ini"

# The first one also takes the first administrator in.
DEPARTMENTS = ("Management", "Sales", "Support", "Marketing", "Finance")

# Pipeline -> its kind and stages; a stage is its name, its outcome and the chance to win in percent.
PIPELINES = {
    "Sales": (
        "deal",
        [
            ("New", "open", 10),
            ("Qualified", "open", 30),
            ("Proposal", "open", 50),
            ("Negotiation", "open", 75),
            ("Won", "won", 100),
            ("Lost", "lost", 0),
        ],
    ),
    "Support": (
        "ticket",
        [("New", "open", 0), ("In progress", "open", 0), ("Waiting", "open", 0), ("Solved", "solved", 0)],
    ),
}
TAX_PERCENTS = (Decimal(0), Decimal(7), Decimal(19))
INVOICE_SERIES, INVOICE_PREFIX = "invoice", "INV-"


def add_arguments(parser):
    """It takes none."""


def run(args, settings):
    upgrade(settings, say=partial(print, flush=True))
    print("The database is up to date.")


def upgrade(settings_or_app, say=print):
    """Migrate, write roles and first data. Again, it changes nothing; two at once wait for each other."""
    app = settings_or_app if isinstance(settings_or_app, Flask) else create_app(settings_or_app)
    settings = app.config["SETTINGS"]
    with app.app_context(), _as_owner(settings):
        try:
            _migrate(say)
            if not settings.is_sqlite:
                _build_the_wall(settings, say)
        except OperationalError as error:
            reason = str(error.orig).strip().splitlines()[0]
            raise CommandError(f"The database {settings.database_shown} cannot be used: {reason}")
        with access.system_session("upgrade", door="command") as session:
            if not settings.is_sqlite:
                session.execute(select(func.pg_advisory_xact_lock(UPGRADE_LOCK)))
            security.sync_roles(session)
            write_first_rows(session, today=datetime.now(settings.zone).date())
            if search.is_stale(session):
                say("Indexing the words of all records …")
                search.rebuild(session)


@contextmanager
def _as_owner(settings):
    """Work as the owner of the tables, where the application runs under another role."""
    engines, own = db.engines, db.engine
    engines[None] = wall.owners_engine(settings)
    try:
        yield
    finally:
        if engines[None] is not own:
            engines[None].dispose()
        engines[None] = own


def _build_the_wall(settings, say):
    """PostgreSQL's own policies, the queue's tables, and the rights of the role that the application runs under."""
    with db.engine.begin() as connection:
        connection = connection.execution_options(**{access.DOOR: True})
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": UPGRADE_LOCK})
        jobs.make_queue_tables()
        if settings.app_role:
            _ensure_role(connection, settings)
        key = wall.key_from(settings.secret_key())
        if policies.install(connection, key, settings.app_role):
            say("Writing who sees what into PostgreSQL …")


def _ensure_role(connection, settings):
    role, password = settings.app_role, make_url(settings.DATABASE_URL).password
    asked = text("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = :role")
    passes_by = connection.scalar(asked, {"role": role})
    if passes_by:
        raise CommandError(
            f"The role “{role}” of DATABASE_URL passes by all policies: it must be neither SUPERUSER nor BYPASSRLS."
        )
    if passes_by is None:
        made = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), sql.Literal(password))
        try:
            connection.connection.driver_connection.execute(made)
        except InsufficientPrivilege:
            raise CommandError(
                f"The role “{role}” of DATABASE_URL is not there: make it (CREATE ROLE … LOGIN), then run this again."
            )


def write_first_rows(session, *, today):
    """What a firm cannot begin without. A kind of row of which there is any is left as it is."""
    if _is_empty(session, Department):
        session.add_all([Department(name=name) for name in DEPARTMENTS])
    for name, (kind, stages) in PIPELINES.items():
        if _is_empty(session, Pipeline, Pipeline.kind == kind):
            _add_pipeline(session, name, kind, stages)
    if _is_empty(session, TaxRate):
        session.add_all([TaxRate(name=f"{percent} %", percent=percent) for percent in TAX_PERCENTS])
    if _is_empty(session, NumberSeries, NumberSeries.name == INVOICE_SERIES, NumberSeries.year == today.year):
        session.add(NumberSeries(name=INVOICE_SERIES, year=today.year, prefix=INVOICE_PREFIX))


def _add_pipeline(session, name, kind, stages):
    pipeline = Pipeline(name=name, kind=kind)
    session.add(pipeline)
    session.flush()
    for position, (stage, outcome, probability) in enumerate(stages):
        session.add(
            Stage(
                pipeline_id=pipeline.id,
                name=stage,
                position=position,
                outcome=outcome,
                probability=probability,
            )
        )


def _is_empty(session, model, *conditions):
    return session.scalars(select(model.id).where(*conditions).limit(1)).first() is None


def _migrate(say):
    config = Config(MIGRATIONS)
    revisions = ScriptDirectory.from_config(config)
    with db.engine.connect().execution_options(**{access.DOOR: True}) as connection:
        current = MigrationContext.configure(connection).get_current_heads()
    if current == tuple(revisions.get_heads()):
        return
    known = {script.revision for script in revisions.walk_revisions()}
    if not known.issuperset(current):
        raise CommandError(
            "The database was made by a newer version of Foyer than this one; install that one."
        )
    say("Making the tables …" if not current else "Bringing the tables up to date …")
    command.upgrade(config, "head")
