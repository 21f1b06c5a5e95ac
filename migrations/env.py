"""How Alembic meets our database: a run is one transaction, on SQLite too, and runs go one after the other.

It needs an app context (`run.py upgrade` and `flask db` have one). On SQLite, foreign keys are off while
tables are rebuilt, and checked before the commit. A table that a batch rebuilds there loses its triggers:
make them anew in the same migration; tests/test_schema.py counts them.
"""

import flask_appbuilder.security.sqla.models  # noqa: F401  (the ab_* tables are part of the schema)
from alembic import context
from flask import current_app
from sqlalchemy import text

from app import policies, wall
from app.access import DOOR
from app.commands.upgrade import UPGRADE_LOCK
from app.extensions import db
from app.models import Exact, Moment


def render_item(kind, item, autogen_context):
    """Our kinds of columns as SQLAlchemy's own: an old migration must not depend on a later models.py."""
    if kind == "type" and isinstance(item, Exact):
        return f"sa.Numeric({item.precision}, {item.scale})"
    if kind == "type" and isinstance(item, Moment):
        return "sa.DateTime()"
    return False


def include_name(name, kind, parents):
    """FTS5, Huey and the policies keep their tables themselves; models.py does not know them."""
    return not (kind == "table" and name.startswith(("search_fts", "huey_", "foyer_")))


def include_object(item, _name, _kind, _reflected, _compared_to):
    """What is meant for one engine is not missed on the other."""
    meant_for = getattr(item, "_ddl_if", None)
    return meant_for is None or meant_for.dialect == context.get_context().dialect.name


def configure(**how):
    context.configure(
        include_name=include_name,
        include_object=include_object,
        target_metadata=db.metadata,
        compare_type=True,
        render_as_batch=True,
        render_item=render_item,
        **how,
    )


def run_offline():
    """Print the SQL instead of running it (`flask db upgrade --sql`)."""
    configure(url=db.engine.url, literal_binds=True, dialect_opts={"paramstyle": "named"})
    with context.begin_transaction():
        context.run_migrations()


def run_online():
    owner = wall.owners_engine(current_app.config["SETTINGS"])
    try:
        _run_as(owner.execution_options(begin="IMMEDIATE", **{DOOR: True}))
    finally:
        if owner is not db.engine:
            owner.dispose()


def _run_as(engine):
    with engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            _run_on_sqlite(connection)
        else:
            with connection.begin():
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": UPGRADE_LOCK})
                if "destination_rev" in context._proxy.context_opts:  # it goes up or down; `upgrade` writes them anew
                    policies.take_down(connection)
                _run(connection)


def _run_on_sqlite(connection):
    raw = connection.connection.driver_connection
    raw.execute("PRAGMA foreign_keys=OFF")  # has no effect inside a transaction
    try:
        with connection.begin():
            _run(connection)
            broken = connection.execute(text("PRAGMA foreign_key_check")).all()
            if broken:
                raise RuntimeError(f"the migration leaves rows that point nowhere: {broken[:5]}")
    finally:
        raw.execute("PRAGMA foreign_keys=ON")


def _run(connection):
    # SQLite's DDL is transactional once Python's driver no longer commits by itself (app/extensions.py).
    configure(connection=connection, transactional_ddl=True)
    context.run_migrations()


if context.is_offline_mode():
    run_offline()
else:
    run_online()
