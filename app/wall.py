"""The second wall: tells PostgreSQL for whom each transaction works, so that its own policies keep rows apart, too.

One `set_config` at the begin of a transaction says what the principal holds, under a signature: whoever only has the
connection can neither widen it nor make one up. The house's own statements (`access.DOOR`) step past the wall and
back. SQLite has no such wall, and a PostgreSQL whose tables belong to the application's own role pays it no heed.
"""

import hmac
import json
import re
from functools import lru_cache, partial
from hashlib import sha256

from psycopg import sql
from psycopg.pq import TransactionStatus
from sqlalchemy import create_engine, event, make_url
from sqlalchemy.engine import Engine

from app.access import DOOR, SYSTEM, WriteRefused
from app.extensions import Session, db
from app.models import ENTITIES, ChangeSet, Deputy, Membership

# The verbs that the policies ask for: reading, writing, and what is written with the verb of its record.
_VERBS = ("see", "add", "edit", "delete", "share")
_KEY = {}


def use_key(secret):
    """With which secret of the installation transactions are signed; `upgrade` tells the database the same."""
    _KEY["key"] = key_from(secret)


def key_from(secret):
    """The key for this purpose alone, made of the installation's secret."""
    return hmac.new(secret, b"foyer: row-level security", sha256).digest()


def pads(key):
    """The two halves of HMAC-SHA-256 with a key of 32 bytes (RFC 2104): the database needs no extension for it."""
    block = key.ljust(64, b"\0")
    return bytes(byte ^ 0x36 for byte in block), bytes(byte ^ 0x5C for byte in block)


def leaf_of(verb, entity, condition=None):
    """Under which name the reach of a verb on an entity is told to the database."""
    return f"{verb} {entity} {condition}" if condition else f"{verb} {entity}"


def owners_engine(settings):
    """The engine of the tables' owner, who makes tables and indexes; the application's own where that is the owner."""
    if not settings.DATABASE_OWNER_URL:
        return db.engine
    url = make_url(settings.DATABASE_OWNER_URL).set(database=db.engine.url.database)
    return create_engine(url, pool_size=1, pool_pre_ping=True)


# --------------------------------------------------------------------------------------------- what is told


@lru_cache(maxsize=4096)
def rights(principal):
    """What a principal holds, as the policies read it: JSON."""
    if principal.is_system:
        return '{"system": true}'
    ways, reach = {}, {}
    for verb in _VERBS:
        for entity in ENTITIES:
            for condition in principal.conditions_of(verb, entity):
                grants = [one for one in principal.grants_for(verb, entity) if one.condition == condition]
                reach[leaf_of(verb, entity, condition)] = ways.setdefault(_way(grants), len(ways))
    near = {verb: principal.fields_near(verb) for verb in _VERBS}
    says = {
        "me": principal.id,
        "may": [
            f"{verb} {entity}" for verb in _VERBS for entity in _ASKED_AT_ALL if principal.may(verb, entity)
        ],
        "all": [
            f"{verb} {entity}"
            for verb in _VERBS
            for entity, model in ENTITIES.items()
            if is_everything(principal, verb, model)
        ],
        "ways": list(ways),
        "reach": reach,
        "near": {verb: _array(keys - {None}) for verb, keys in near.items() if keys is not None},
        "gives": [f"{key} {name}" for key, names in principal.gives for name in names],
        "shared": [f"{verb} {entity}" for verb, entity in sorted(principal.shared)],
        "persons": _array(principal.persons),
        "departments": _array(principal.departments),
        "today": str(principal.today) if principal.today else None,
    }
    return json.dumps(says, separators=(",", ":"))


_ASKED_AT_ALL = (*(name for name, model in ENTITIES.items() if model.__sight__ == "reference"), "account")


def _way(grants):
    """(everywhere, departments, owners) that grants reach together."""
    everywhere = any(grant.departments is None and grant.owners is None for grant in grants)
    departments = {key for grant in grants for key in grant.departments or ()}
    owners = {key for grant in grants for key in grant.owners or ()}
    return everywhere, _array(departments), _array(owners)


def _array(keys):
    return "{" + ",".join(str(key) for key in sorted(keys)) + "}"


def is_everything(principal, verb, model):
    """Whether the verb reaches every row of a table, whatever they hold: then its policy asks nothing of them."""
    if model.__sight__ == "reference":
        is_whole = model.__tablename__ != "custom_field" or principal.fields_near(verb) is None
        return principal.may(verb, model.__tablename__) and is_whole
    if model in (Membership, Deputy) and verb != "see" and not principal.may("edit", "account"):
        return False  # nobody gives more than he holds
    if model.__through__ in ENTITIES:
        return is_everything(principal, verb if verb == "see" else "edit", ENTITIES[model.__through__])
    if model.__through__ or model is ChangeSet:
        return False
    subjects = (ENTITIES[name] for name in getattr(model, "__subjects__", ()))
    grants = [one for one in principal.grants_for(verb, model.__tablename__) if one.condition is None]
    return any(one.departments is None and one.owners is None for one in grants) and all(
        is_everything(principal, "see", subject) for subject in subjects
    )


# --------------------------------------------------------------------------------------------- and when


@event.listens_for(Engine, "connect")
def _look_for_the_wall(connection, record):
    """Policies hold for a role that does not own the tables; another need not be told of."""
    if type(connection).__module__.startswith("psycopg"):
        found = connection.execute(_IS_BEHIND).fetchone()
        connection.rollback()
        record.info["foyer_wall"] = found is not None and found[0]
        if record.info["foyer_wall"] and not event.contains(Engine, "before_cursor_execute", _step_past_the_wall):
            event.listen(Engine, "after_cursor_execute", _step_back)
            event.listen(Engine, "before_cursor_execute", _step_past_the_wall)


_IS_BEHIND = "SELECT NOT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = to_regclass('company')"


@event.listens_for(Session, "after_begin")
def _tell_the_database(session, transaction, connection):
    principal = session.info.get("principal")
    if connection.info.get("foyer_wall") and principal is not None and not transaction.nested:
        _say(connection, principal)


# These two listen once there is a wall: every statement would ask them.
def _step_past_the_wall(connection, _cursor, _statement, _parameters, context, _many):
    if context is None or not connection.info.get("foyer_wall") or not context.execution_options.get(DOOR):
        return
    session = connection.info.get("foyer_session")
    if session is None:  # the house's own engine work, which has said so on its connection
        _say_for_the_house(connection, context)
        return
    principal = session.info.get("principal")
    if principal is not None and not principal.is_system:
        _say(connection, SYSTEM)
        context.foyer_afterwards = partial(_say, connection, principal)


def _step_back(_connection, _cursor, _statement, _parameters, context, _many):
    if (afterwards := getattr(context, "foyer_afterwards", None)) is not None:
        afterwards()


def _say_for_the_house(connection, context):
    """Past the wall to the end of the transaction; where there is none, one is put around the statement."""
    driver = connection.connection.driver_connection
    if driver.pgconn.transaction_status == TransactionStatus.IDLE:
        said = sql.Literal(signed(SYSTEM, driver.info.backend_pid)).as_string(driver)
        driver.execute(f"BEGIN; SELECT set_config('foyer.rights', {said}, true)")
        context.foyer_afterwards = partial(driver.execute, "COMMIT")
    else:
        _say(connection, SYSTEM)


def _say(connection, principal):
    """By the driver itself: it is no statement of anybody's. A savepoint that is rolled back takes it back as well."""
    driver = connection.connection.driver_connection
    value = signed(principal, driver.info.backend_pid)
    driver.execute("SELECT set_config('foyer.rights', %s, true) IS NULL", (value,), prepare=True)


def signed(principal, backend_pid):
    """What the transaction is told: of use on this connection alone."""
    said = rights(principal)
    message = f"{backend_pid}{said}".encode()
    return hmac.new(_KEY["key"], message, sha256).hexdigest() + said


@event.listens_for(Engine, "handle_error")
def _say_who_refused(context):
    """What PostgreSQL's policies refuse is answered like what the guard refuses."""
    if getattr(context.original_exception, "sqlstate", None) != _INSUFFICIENT_PRIVILEGE:
        return None
    session = context.connection.info.get("foyer_session") if context.connection is not None else None
    principal = session.info.get("principal") if session is not None else None
    if principal is None or principal.is_system:
        return None
    named = re.search(r'table "(\w+)"', str(context.original_exception))
    return WriteRefused(named[1] if named else context.original_exception.diag.table_name)


_INSUFFICIENT_PRIVILEGE = "42501"
