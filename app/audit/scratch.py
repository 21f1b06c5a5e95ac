"""The scratch copy: a second database with everything that stands in the firm's own, gone when the audit is over.

Nothing of the audit is ever written into the firm's own database: it is only read, in one transaction. On SQLite the
copy is a file in a temporary folder, on PostgreSQL a database of its own on the same server.
"""

import os
import shutil
import sqlite3
import tempfile
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.errors import InsufficientPrivilege
from sqlalchemy import make_url

from app.extensions import db

# What the copy does not do: write to anybody, ask a directory, or have passwords replaced.
QUIET = {"MAIL_HOST": "127.0.0.1", "LDAP_URL": "", "PUBLIC_URL": "", "TRUSTED_HOSTS": "", "PASSWORD_DAYS": 0}


class CannotCopy(Exception):
    """No scratch copy could be made; the text is for the operator."""


@dataclass(frozen=True)
class Scratch:
    """The copy: its settings, and a bare connection to it past everything of ours."""

    settings: object
    owner_url: str

    @contextmanager
    def raw(self):
        connection = _connect(self.owner_url)
        try:
            yield connection
            connection.commit()
        finally:
            connection.close()

    @property
    def engine(self):
        return "sqlite" if self.settings.is_sqlite else "postgresql"


@contextmanager
def copy_of(settings, prepare):
    """A scratch copy of the database of these settings, dropped at the end; the files it comes to have lie beside it.

    `prepare(settings)` makes the tables in an empty database, as `run.py upgrade` does.
    """
    with tempfile.TemporaryDirectory(prefix="foyer-scope-") as folder:
        home = Path(folder) / "home"
        shutil.copytree(settings.keys, home / "keys")
        quiet = settings.model_copy(update={**QUIET, "FOYER_HOME": home})
        if settings.is_sqlite:
            url = f"sqlite:///{folder}/scratch.db"
            _copy_file(settings.DATABASE_URL, Path(folder) / "scratch.db")
            yield _tidied(Scratch(quiet.model_copy(update={"DATABASE_URL": url}), url))
        else:
            with _copy_on_server(quiet, prepare) as scratch:
                yield _tidied(scratch)


@contextmanager
def _copy_on_server(settings, prepare):
    """A database of its own on the same server, with the rows of the firm's."""
    owner = settings.DATABASE_OWNER_URL or settings.DATABASE_URL
    name = f"foyer_scope_{os.getpid()}"
    _as_owner(owner, "CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'", name)
    try:
        moved = {"DATABASE_URL": _moved(settings.DATABASE_URL, name)}
        if settings.DATABASE_OWNER_URL:
            moved["DATABASE_OWNER_URL"] = _moved(owner, name)
        scratch = Scratch(settings.model_copy(update=moved), _moved(owner, name))
        prepare(scratch.settings)
        _copy_rows(owner, scratch.owner_url)
        yield scratch
    finally:
        _as_owner(owner, "DROP DATABASE {} WITH (FORCE)", name)


def _tidied(scratch):
    """Nobody has to set a new password or show a second factor first; all read English, for figures are compared."""
    with scratch.raw() as connection:
        cursor = connection.cursor()
        for statement in (
            "UPDATE account SET must_change = false",
            "UPDATE staff SET language = 'en'",
            "DELETE FROM second_factor_rule",
            "DELETE FROM login_session",
        ):
            cursor.execute(statement)
    return scratch


def _copy_file(url, path):
    source = make_url(url).database
    try:
        with (
            closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as here,
            closing(sqlite3.connect(path)) as there,
        ):
            here.backup(there)
    except sqlite3.Error as error:
        raise CannotCopy(f"The database {source} cannot be copied: {error}") from None


def _as_owner(url, statement, name):
    try:
        with psycopg.connect(_plain(url), autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(sql.Identifier(name)))
    except InsufficientPrivilege:
        role = make_url(url).username
        raise CannotCopy(
            f"The role “{role}” may not make databases, and the scratch copy is one of its own on the same server. "
            f'Let a superuser say `ALTER ROLE "{role}" CREATEDB`, and take it back afterwards if you like.'
        ) from None
    except psycopg.OperationalError as error:
        raise CannotCopy(
            f"The database server cannot be reached: {str(error).strip().splitlines()[0]}"
        ) from None


def _copy_rows(source, target):
    """Every row of every table, as it stands at one moment."""
    with psycopg.connect(_plain(source)) as here, psycopg.connect(_plain(target)) as there:
        here.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        tables = _in_order(here)
        for table in tables:  # what stands is not weighed again by rules that are for people
            there.execute(sql.SQL("ALTER TABLE {} DISABLE TRIGGER USER").format(sql.Identifier(table)))
        there.execute(sql.SQL("TRUNCATE {} CASCADE").format(sql.SQL(", ").join(map(sql.Identifier, tables))))
        for table in tables:
            names = sql.SQL(", ").join(sql.Identifier(name) for name in _columns(here, table))
            parts = {"table": sql.Identifier(table), "names": names}
            out = sql.SQL("COPY (SELECT {names} FROM {table}) TO STDOUT (FORMAT binary)").format(**parts)
            into = sql.SQL("COPY {table} ({names}) FROM STDIN (FORMAT binary)").format(**parts)
            with here.cursor().copy(out) as reading, there.cursor().copy(into) as writing:
                for chunk in reading:
                    writing.write(chunk)
        for table in tables:
            there.execute(sql.SQL("ALTER TABLE {} ENABLE TRIGGER USER").format(sql.Identifier(table)))
        _set_sequences(there)


LEFT_OUT = ("alembic_version", "foyer_key")


def _in_order(connection):
    """The tables, each after those that it points to; the queue's own are left out."""
    named = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
    there = {name for (name,) in named} - set(LEFT_OUT)
    return [table.name for table in db.metadata.sorted_tables if table.name in there]


def _columns(connection, table):
    asked = (
        "SELECT column_name FROM information_schema.columns WHERE table_schema = current_schema()"
        " AND table_name = %s AND is_generated = 'NEVER' ORDER BY ordinal_position"
    )
    return [name for (name,) in connection.execute(asked, (table,))]


def _set_sequences(connection):
    """New rows are numbered on from those that were copied."""
    asked = (
        "SELECT table_name, column_name, pg_get_serial_sequence(quote_ident(table_name), column_name)"
        " FROM information_schema.columns WHERE table_schema = current_schema()"
        " AND pg_get_serial_sequence(quote_ident(table_name), column_name) IS NOT NULL"
    )
    for table, column, sequence in connection.execute(asked).fetchall():
        most = sql.SQL("SELECT setval({}, (SELECT COALESCE(MAX({}), 0) + 1 FROM {}), false)")
        connection.execute(most.format(sql.Literal(sequence), sql.Identifier(column), sql.Identifier(table)))


def _moved(url, name):
    return make_url(url).set(database=name).render_as_string(hide_password=False)


def _plain(url):
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def _connect(url):
    if make_url(url).get_backend_name() == "sqlite":
        return sqlite3.connect(make_url(url).database)
    return psycopg.connect(_plain(url))
