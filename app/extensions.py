"""The objects the house is wired with: database, CSRF guard, migrations. Objects only, no behaviour of the firm."""

import sqlite3
from functools import lru_cache
from time import monotonic

import psycopg
from flask.globals import _cv_app, app_ctx
from flask_appbuilder.models.sqla import Model

# Named constraints, or SQLite's batch migrations cannot find them. Must stand before FAB's own tables are declared.
Model.metadata.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

from flask_appbuilder.models.sqla.base import SQLA  # noqa: E402
from flask_migrate import Migrate  # noqa: E402
from flask_sqlalchemy.session import Session as FlaskSession  # noqa: E402
from flask_wtf.csrf import CSRFProtect  # noqa: E402
from psycopg.errors import error_from_result  # noqa: E402
from psycopg.pq import ExecStatus, TransactionStatus  # noqa: E402
from sqlalchemy import Connection, Engine, event  # noqa: E402
from sqlalchemy.exc import DisconnectionError, OperationalError  # noqa: E402
from sqlalchemy.orm import Mapper  # noqa: E402
from sqlalchemy.orm import Session as AnySession  # noqa: E402
from sqlalchemy.orm.attributes import PASSIVE_NO_INITIALIZE, instance_state  # noqa: E402
from sqlalchemy.pool import Pool  # noqa: E402
from sqlalchemy_utils.aggregates import manager as aggregates  # noqa: E402

# A library of FAB's looks at every object of a session at each flush, for a feature that nobody here uses.
event.remove(AnySession, "after_flush", aggregates.construct_aggregate_queries)


def N_(text):
    """Mark a text for the translators; the edge translates it."""
    return text


class Session(FlaskSession):
    """The one kind of business session; `app/access.py` guards it.

    `info["principal"]` says for whom it works, `info["writes"]` that it will write: on SQLite such a session begins
    IMMEDIATE, because a deferred transaction that reads first fails at once when another commit came between.
    `info["reads all"]` says that whole tables will pass by.
    """

    def get_bind(self, *args, **kwargs):
        engine = super().get_bind(*args, **kwargs)
        if self.info.get("reads all"):
            return for_reading_all(engine)
        return for_writing(engine) if self.info.get("writes") else engine

    def say_last(self, statement, values, told=None):
        """Leave a statement for which nobody waits to the end of the flush: all of them are one way to the server.

        Of one of them alone the answer counts, one value, which goes to `told`. For PostgreSQL: SQLite knows no such
        statements, and no way. The names of their values differ.
        """
        self.info.setdefault("last", []).append((statement, values, told))

    def say_now(self):
        """Send what was left to the end of the flush."""
        last = sorted(self.info.pop("last", ()), key=lambda one: one[2] is None)
        if not last:
            return
        values = {name: value for _, some, _ in last for name, value in some.items()}
        statement = _at_once(*(statement for statement, _, _ in last))
        found = self.connection().execute(statement, values, execution_options={"foyer_door": True})
        if told := last[0][2]:
            told(found.scalar_one())

    def is_modified(self, instance, include_collections=True):
        """SQLAlchemy's, which looks at every attribute of a row; a flush asks several times, few were touched."""
        if include_collections:
            return super().is_modified(instance)
        state = instance_state(instance)
        return any(
            history_of(instance, name).has_changes()
            for name in tuple(state.committed_state)
            if not state.manager[name].impl.collection
        )

    def bulk_save_objects(self, *args, **kwargs):
        raise NotImplementedError("bulk_save_objects passes by the ledger: use session.add_all")

    bulk_insert_mappings = bulk_update_mappings = bulk_save_objects


def history_of(row, name):
    """What this flush changes of a row's attribute: `inspect(row).attrs[name].history`, describing no other."""
    return instance_state(row).get_history(name, PASSIVE_NO_INITIALIZE)


@lru_cache(maxsize=64)
def _at_once(main, *others):
    """These statements as one, which answers as the first does."""
    for number, other in enumerate(others):
        main = main.add_cte(other.cte(f"also_{number}"))
    return main


@event.listens_for(Session, "after_flush_postexec")
def _say_what_was_left(session, _context):
    session.say_now()


@event.listens_for(Session, "after_soft_rollback")
def _drop_what_was_left(session, _previous):
    session.info.pop("last", None)


@event.listens_for(Mapper, "after_configured")
def _ids_stay():
    """A record keeps its id for good: no flush need look for those who link to one that got another."""
    for mapper in Model.registry.mappers:
        mapper._dependency_processors.clear()


def here():
    """The application context, where `current_app` and `g` look for each attribute anew, by a longer way."""
    return _cv_app.get(None) or app_ctx._get_current_object()  # which says what is missing


class Database(SQLA):
    """Flask-AppBuilder's; a page asks ten times for its engine."""

    @property
    def engines(self):
        kept = here().app.extensions
        if "engines" not in kept:
            kept["engines"] = super().engines
        return kept["engines"]


db = Database(metadata=Model.metadata, session_options={"class_": Session, "scopefunc": lambda: id(here())})
csrf = CSRFProtect()
migrate = Migrate(compare_type=True, render_as_batch=True)


MAPPED = 16 * 1024**3  # bytes

SQLITE_HABITS = (
    "foreign_keys=ON",
    "journal_mode=WAL",
    "synchronous=FULL",
    "busy_timeout=30000",
    "recursive_triggers=ON",  # or REPLACE would delete a frozen row without asking its trigger
    f"mmap_size={MAPPED}",  # read straight from the system's cache: a page of a large file costs a third
)


class PlainConnection(Connection):
    """SQLAlchemy's, heard by the listeners of its engine alone: to look for its own takes a tenth of each statement.

    An engine with options of its own (`for_writing`) is heard by those of the engine that it stands for; whoever
    listens to one connection listens to them all.
    """

    def __init__(self, engine, *args, **options):
        super().__init__(engine, *args, **options)
        if "dispatch" in vars(self):
            self.dispatch = getattr(engine, "_proxied", engine).dispatch


Engine._connection_cls = PlainConnection


class LazyCursor(psycopg.Cursor):
    """psycopg's, whose columns are described for who looks: SQLAlchemy knows those of a statement it has kept."""

    @property
    def description(self):
        described = self.pgresult is not None and self.pgresult.nfields
        return _Columns(self) if described else super().description


class _Columns:
    """`Cursor.description`, made when it is looked into."""

    def __init__(self, cursor):
        self.cursor = cursor

    def _made(self):
        return psycopg.Cursor.description.fget(self.cursor)

    def __iter__(self):
        return iter(self._made())

    def __len__(self):
        return len(self._made())

    def __getitem__(self, place):
        return self._made()[place]


@event.listens_for(Engine, "connect")
def _habits(connection, _record):
    """Our own BEGIN on both engines; on SQLite foreign keys on, one writer beside many readers, nothing acknowledged
    lost in a power cut.
    """
    if type(connection).__module__.startswith("psycopg"):
        connection.autocommit, connection.cursor_factory = True, LazyCursor
    else:
        connection.isolation_level = None
        for pragma in SQLITE_HABITS:
            connection.execute(f"PRAGMA {pragma}").close()


IDLE = 3  # seconds after which a connection is asked whether it still stands: less, and each page would ask twice


@event.listens_for(Pool, "checkin")
def _note_when_used(_connection, record):
    record.info["used_at"] = monotonic()


@event.listens_for(Pool, "checkout")
def _still_there(connection, record, _proxy):
    """A server that was restarted is noticed before a user does: the pool then connects anew."""
    is_idle = monotonic() - record.info.get("used_at", monotonic()) > IDLE
    if not is_idle or type(connection).__module__.startswith("sqlite3"):
        return
    try:
        connection.execute("SELECT 1")
        connection.rollback()
    except Exception as error:
        raise DisconnectionError from error


@event.listens_for(Engine, "begin")
def _begin(connection):
    """A transaction, by the driver itself; none where `begin` is None (`for_one_question`)."""
    kind = connection.get_execution_options().get("begin", "DEFERRED")
    if kind is None:
        return
    driver = connection.connection.driver_connection
    if connection.dialect.name == "sqlite":
        _map(connection, driver)
        try:
            driver.execute(f"BEGIN {kind}")
        except sqlite3.OperationalError as error:  # another one writes: everybody knows it by SQLAlchemy's name
            raise OperationalError(f"BEGIN {kind}", None, error) from error
        return
    answer = driver.pgconn.exec_(b"BEGIN")
    if answer.status != ExecStatus.COMMAND_OK:  # the server is gone: as after any statement, the whole pool is stale
        error = psycopg.OperationalError(str(error_from_result(answer)))
        connection._handle_dbapi_exception(error, "BEGIN", None, None, None)


def _map(connection, driver):
    """SQLite's file is read where the system keeps it; but what passes by that way counts as memory of this process."""
    is_mapped = not connection.get_execution_options().get("reads all")
    if connection.info.get("is_mapped", True) != is_mapped:
        driver.execute(f"PRAGMA mmap_size={MAPPED if is_mapped else 0}").close()
        connection.info["is_mapped"] = is_mapped


@event.listens_for(Engine, "rollback")
def _keep_what_is_prepared(connection):
    """Nearly every page ends with a ROLLBACK, at which psycopg forgets the statements that it has prepared, and has
    them planned anew; PostgreSQL itself keeps them. What failed is left to psycopg.
    """
    if connection.invalidated:
        return
    driver = connection.connection.driver_connection
    if connection.dialect.name != "sqlite" and driver.pgconn.transaction_status == TransactionStatus.INTRANS:
        driver.pgconn.exec_(b"ROLLBACK")


def for_writing(engine):
    """The engine of a session that will write."""
    return _with(engine, "begin", "IMMEDIATE")


def for_reading_all(engine):
    """The engine of a session by which whole tables pass, as in an export."""
    return _with(engine, "reads all", True)


def for_one_question(engine):
    """The engine for a connection that asks one SELECT, which needs no transaction around it."""
    return _with(engine, "begin", None)


def _with(engine, option, value):
    """The engine with this option: the same each time, for a session opens a connection for each it is given."""
    kept = vars(engine).setdefault("of_foyer", {})
    if (option, value) not in kept:
        kept[option, value] = engine.execution_options(**{option: value})
    return kept[option, value]
