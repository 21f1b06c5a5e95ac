"""Indexes over custom fields: which there should be, and making it so.

Made when a field is marked, without a new version of the schema: each is an index over the very expression that
filters ask with (`custom.expression`). Their names begin with "cf_"; nothing else in the schema does.
"""

from sqlalchemy import Column, Index, Integer, MetaData, Table, select, text
from sqlalchemy.schema import CreateIndex, DropIndex

from app.access import DOOR
from app.custom import Field, expression
from app.models import ENTITIES, CustomField
from app.rules.custom_fields import NOT_INDEXED

PREFIX = "cf_"
_OPTIONS = {DOOR: True}


def name_of(one):
    """The index of a field. The kind is in it: another kind is asked by another expression."""
    return f"{PREFIX}{one.entity}_{one.kind}_{one.name}"


def wanted(session):
    """Name -> field of the indexes that there should be. Asked past the rule of sight: they serve everybody."""
    table = CustomField.__table__
    marked = select(table).where(table.c.is_active, table.c.is_indexed, table.c.kind.not_in(NOT_INDEXED))
    rows = session.connection().execute(marked, execution_options=_OPTIONS).all()
    return {name_of(one): one for one in map(Field.of, rows)}


def bring_about(connection, fields):
    """Make the missing indexes and drop those that nobody wants any more; returns (made, dropped), by name.

    On PostgreSQL a connection without a transaction makes them without keeping anybody from writing; half-made ones
    of an attempt that broke off are made anew.
    """
    there = present(connection)
    sound = there - _broken(connection)
    dropped = sorted(there - (sound & set(fields)))
    made = sorted(set(fields) - sound)
    for name in dropped:
        connection.execute(DropIndex(_index(connection, name)), execution_options=_OPTIONS)
    for name in made:
        connection.execute(CreateIndex(_index(connection, name, fields[name])), execution_options=_OPTIONS)
    if connection.dialect.name == "sqlite":
        return made, dropped
    for entity in sorted({fields[name].entity for name in made}):
        # Without figures about the new expression its index might be passed over.
        connection.execute(text(f"ANALYZE {entity}"), execution_options=_OPTIONS)
    return made, dropped


def _index(connection, name, one=None):
    """The index over a field; one that is only to be dropped needs no more than its name."""
    kind = ENTITIES["contact"].__table__.c.custom.type
    table = Table(one.entity if one else "any", MetaData(), Column("id", Integer), Column("custom", kind))
    parts = [expression(one, table.c), table.c.id] if one else [table.c.id]
    is_aside = connection.get_execution_options().get("begin", "") is None
    return Index(name, *parts, postgresql_concurrently=is_aside)


def present(connection):
    """The names of the indexes that there are."""
    if connection.dialect.name == "sqlite":
        names = text("SELECT name FROM sqlite_master WHERE type = 'index'")
    else:
        names = text("SELECT indexname FROM pg_indexes WHERE schemaname = current_schema()")
    found = connection.execute(names, execution_options=_OPTIONS).scalars()
    return {name for name in found if name.startswith(PREFIX)}


def _broken(connection):
    """Indexes that PostgreSQL began and never finished."""
    if connection.dialect.name == "sqlite":
        return set()
    names = text(
        "SELECT relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid WHERE NOT indisvalid"
    )
    return set(connection.execute(names, execution_options=_OPTIONS).scalars())
