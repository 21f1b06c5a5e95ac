"""The rule of sight a second time, as PostgreSQL's own row-level security: generated from `access.allowed`.

`Whoever` answers what `allowed` asks of a principal not with somebody's values but with SQL that reads them from the
running transaction, where `wall.py` has put them under a signature. So there is one text of the rule and two who speak
it. docs/decisions/0013-policies-of-postgresql.md says what it keeps out and what not.

`install` writes it all into a database, as the owner of the tables; `upgrade` calls it.
"""

from hashlib import sha256

from sqlalchemy import Boolean, Integer, Text, and_, cast, func, literal, literal_column, or_, select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import ARRAY

from app.access import BOUGHT, CONDITIONS, EVERY_ROW, ROOTS, allowed
from app.models import ENTITIES, INDEX_TABLES, CustomField, Membership, Row
from app.wall import leaf_of, pads

COMMANDS = {"see": "SELECT", "add": "INSERT", "edit": "UPDATE", "delete": "DELETE"}
_DIALECT = postgresql.dialect()


def _asked(name, *said, kind=Boolean):
    """A function asked once a statement, not once a row: in a subselect of its own it is an init plan."""
    call = getattr(func, name)(
        *(literal(one) for one in said), type_=kind() if isinstance(kind, type) else kind
    )
    return select(call).scalar_subquery()


def _any_of(column, name, leaf):
    # Cast, or PostgreSQL would take the one array for a row of numbers.
    return column == func.any(cast(_asked(name, leaf, kind=ARRAY(Integer)), ARRAY(Integer)))


class Whoever:
    """Stands for the principal of the running transaction: the same answers as a `Principal`, in SQL."""

    is_system = False
    id = _asked("foyer_me", kind=Integer)

    def has(self, verb, entity):
        """See `Principal.has`."""
        return _asked("foyer_may", f"{verb} {entity}")

    def in_all(self, verb, entity):
        """See `Principal.in_all`: here, whether every row is allowed."""
        return _asked("foyer_all", f"{verb} {entity}")

    def of_whole(self, verb, column):
        """See `Principal.of_whole`: one list for all of them."""
        return column == func.any(cast(_asked("foyer_whole", verb, kind=ARRAY(Text)), ARRAY(Text)))

    def no_more_than_held(self, _verb, model, row):
        """See `Principal.no_more_than_held`: which memberships he gives; what a deputy gets, the session alone asks."""
        if model is not Membership:
            return EVERY_ROW
        gives = func.concat(row.department_id, literal(" "), row.role).in_(
            select(literal_column("foyer_gives()", Text))
        )
        return or_(self.has("edit", "account"), and_(row.source == "local", gives))

    def verbs_of_whole(self, verb):
        """See `Principal.verbs_of_whole`: a statement does not know whether the whole goes, too, so either will do."""
        return {"see": ("see",), "delete": ("edit", "delete")}.get(verb, ("edit",))

    def pointed_at(self):
        """See `Principal.pointed_at`: what everybody reads is in that list or not seen at all."""
        return tuple(
            name for name in ROOTS if ENTITIES[name].__sight__ == "scoped" or ENTITIES[name] is CustomField
        )

    def conditions_of(self, _verb, entity):
        """See `Principal.conditions_of`: any of those that there are."""
        return (None, *(name for of, name in CONDITIONS if of == entity))

    def reaches(self, verb, entity, condition, row):
        """See `Principal.reaches`."""
        leaf = leaf_of(verb, entity, condition)
        ways = [_asked("foyer_everywhere", leaf)]
        if hasattr(row, "department_id"):
            ways.append(_any_of(row.department_id, "foyer_departments", leaf))
        if hasattr(row, "owner_id"):
            ways.append(_any_of(row.owner_id, "foyer_owners", leaf))
        return or_(*ways)

    def shares_of(self, verb, entity):
        """See `Principal.shares_of`."""
        return select(literal_column(f"foyer_shared('{verb} {entity}')", Integer))

    def fields_near(self, verb):
        """See `Principal.fields_near`."""
        return verb

    def is_for(self, departments, listed_in, near):
        """See `Principal.is_for`."""
        return departments(listed_in, literal_column(f"SELECT unnest(foyer_near('{near}'))"))

    def seen_at(self, verb, model, row):
        """Another table's own policy keeps its rows; only another verb than to see must be asked for."""
        if verb == "see":
            return row.id.is_not(None)
        return or_(self.in_all(verb, model.__tablename__), allowed(self, verb, model, row))


WHOEVER = Whoever()


# --------------------------------------------------------------------------------------------- the policies


def expression(verb, model):
    """The condition of one policy, as SQL over the columns of its table."""
    entity = model.__tablename__
    rule = or_(WHOEVER.in_all(verb, entity), allowed(WHOEVER, verb, model, model.__table__.c))
    # As the condition of a SELECT, so that its subselects know whose columns are meant.
    _, condition = _sql(select(1).select_from(model.__table__).where(rule)).split("\nWHERE ", 1)
    return condition


def _sql(element):
    return str(element.compile(dialect=_DIALECT, compile_kwargs={"literal_binds": True}))


def _policies():
    """(table, command, condition) of every policy."""
    for entity, model in ENTITIES.items():
        for verb, command in COMMANDS.items():
            yield entity, command, expression(verb, model)
    for table in sorted(
        {*Row.metadata.tables} - {*ENTITIES, *INDEX_TABLES}
    ):  # accounts and what the door keeps
        yield table, "SELECT", _sql(WHOEVER.has("see", "account"))
        for command in ("INSERT", "UPDATE", "DELETE"):
            yield table, command, _sql(WHOEVER.has("edit", "account"))
    for table in sorted(INDEX_TABLES):
        for command in COMMANDS.values():
            yield table, command, _sql(WHOEVER.in_all("keep", "index"))  # the system alone


def _links():
    """table -> (column, table it points to) of what a written row may point to only where it is seen."""
    for entity, model in ENTITIES.items():
        found = []
        for column in model.__table__.c:
            if column.foreign_keys and not column.primary_key and not column.info.get("stamped"):
                target = next(iter(column.foreign_keys)).column.table.name
                if target in ENTITIES and ENTITIES[target].__sight__ == "scoped":
                    found.append((column.name, target))
        if found:
            yield entity, found


# --------------------------------------------------------------------------------------------- what they call

# Each is STABLE and asks nothing of the row: the planner asks it once a statement. SECURITY DEFINER: as the owner, who
# alone reads the key. {schema} is that of the tables.
_HEAD = "STABLE SECURITY DEFINER PARALLEL SAFE SET search_path = pg_catalog, {schema}, pg_temp"
_FUNCTIONS = {
    # What the transaction was told, or nothing where its signature is not by our key and for this very connection.
    "foyer_says()": (
        "jsonb",
        """
        DECLARE said text := current_setting('foyer.rights', true); inside bytea; outside bytea;
        BEGIN
            IF said IS NULL OR length(said) < 65 THEN RETURN NULL; END IF;
            SELECT k.inside, k.outside INTO inside, outside FROM foyer_key k;
            IF encode(sha256(outside || sha256(inside ||
                convert_to(pg_backend_pid() || substr(said, 65), 'UTF8'))), 'hex') = left(said, 64)
            THEN RETURN substr(said, 65)::jsonb; END IF;
            RETURN NULL;
        END""",
    ),
    "foyer_all(leaf text)": (
        "boolean",
        """
        DECLARE says jsonb := foyer_says();
        BEGIN RETURN coalesce(says ? 'system' OR says->'all' ? leaf, false); END""",
    ),
    "foyer_may(leaf text)": (
        "boolean",
        """
        DECLARE says jsonb := foyer_says();
        BEGIN RETURN coalesce(says ? 'system' OR says->'may' ? leaf, false); END""",
    ),
    "foyer_whole(verb text)": (
        "text[]",
        """
        DECLARE says jsonb := foyer_says();
        BEGIN
            RETURN ARRAY(SELECT substr(leaf, length(verb) + 2) FROM jsonb_array_elements_text(says->'all') leaf
                         WHERE split_part(leaf, ' ', 1) = verb);
        END""",
    ),
    "foyer_everywhere(leaf text)": (
        "boolean",
        """
        DECLARE says jsonb := foyer_says();
        BEGIN RETURN coalesce((says->'ways'->(says->'reach'->>leaf)::int->>0)::boolean, false); END""",
    ),
    "foyer_departments(leaf text)": (
        "integer[]",
        """
        DECLARE says jsonb := foyer_says();
        BEGIN RETURN coalesce((says->'ways'->(says->'reach'->>leaf)::int->>1)::int[], '{{}}'); END""",
    ),
    "foyer_owners(leaf text)": (
        "integer[]",
        """
        DECLARE says jsonb := foyer_says();
        BEGIN RETURN coalesce((says->'ways'->(says->'reach'->>leaf)::int->>2)::int[], '{{}}'); END""",
    ),
    "foyer_gives()": (
        "SETOF text",
        "BEGIN RETURN QUERY SELECT jsonb_array_elements_text(foyer_says()->'gives'); END",
    ),
    "foyer_me()": ("integer", "BEGIN RETURN (foyer_says()->>'me')::int; END"),
    "foyer_near(verb text)": (
        "integer[]",
        "BEGIN RETURN coalesce((foyer_says()->'near'->>verb)::int[], '{{}}'); END",
    ),
    "foyer_shared(leaf text)": (
        "SETOF integer",
        """
        DECLARE says jsonb := foyer_says(); verb text := split_part(leaf, ' ', 1);
        BEGIN
            IF says->'shared' ? leaf THEN
                RETURN QUERY SELECT s.record_id FROM share s
                WHERE s.entity = split_part(leaf, ' ', 2) AND (verb <> 'edit' OR s.may = 'edit')
                AND (s.to_staff_id = ANY ((says->>'persons')::int[])
                     OR s.to_department_id = ANY ((says->>'departments')::int[]))
                AND (s.until_on IS NULL OR s.until_on >= (says->>'today')::date);
            END IF;
        END""",
    ),
    # What the rule asks past itself. They tell no more than that a bare id is there, was billed, or is somebody's.
    "foyer_bought()": ("SETOF integer", "BEGIN RETURN QUERY {bought}; END"),
    "foyer_is_there(entity text, key integer)": ("boolean", "BEGIN {there} RETURN false; END"),
    "foyer_is_set_of(key integer, person integer)": (
        "boolean",
        "BEGIN RETURN EXISTS (SELECT 1 FROM change_set s WHERE s.id = key AND s.by_id = person); END",
    ),
}


def _functions(schema):
    there = "".join(
        f"IF entity = '{entity}' THEN RETURN EXISTS (SELECT 1 FROM \"{entity}\" t WHERE t.id = key); END IF; "
        for entity in ROOTS
    )
    parts = {"schema": schema, "bought": _sql(BOUGHT), "there": there}
    for name, (kind, body) in _FUNCTIONS.items():
        head = _HEAD.format(**parts)
        body = body.format(**parts)
        yield f"CREATE OR REPLACE FUNCTION {name} RETURNS {kind} LANGUAGE plpgsql {head} AS $$ {body} $$"


def statements(schema):
    """Everything that is written into a database, in order; again, it changes nothing."""
    yield (
        "CREATE TABLE IF NOT EXISTS foyer_key (id integer PRIMARY KEY CHECK (id = 1),"
        " inside bytea NOT NULL, outside bytea NOT NULL)"
    )
    yield "REVOKE ALL ON foyer_key FROM PUBLIC"
    yield from _functions(schema)
    tables = set()
    for table, command, condition in _policies():
        if table not in tables:
            tables.add(table)
            yield f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY'
        name = f"foyer_{command.lower()}"
        yield f'DROP POLICY IF EXISTS {name} ON "{table}"'
        using = "" if command == "INSERT" else f" USING ({condition})"
        check = f" WITH CHECK ({condition})" if command in ("INSERT", "UPDATE") else ""
        yield f'CREATE POLICY {name} ON "{table}" FOR {command}{using}{check}'
    for table, links in _links():
        yield from _guard_of_links(table, links)


def _guard_of_links(table, links):
    """A row is led only to rows that are seen; a link that stays as it was is left alone.

    A trigger, because a policy knows no old row. It asks under the policies of whoever writes.
    """
    lines = "".join(
        f"IF NEW.{column} IS NOT NULL AND (TG_OP = 'INSERT' OR OLD.{column} IS DISTINCT FROM NEW.{column}) "
        f'AND NOT EXISTS (SELECT 1 FROM "{target}" t WHERE t.id = NEW.{column}) '
        f"THEN RAISE insufficient_privilege USING MESSAGE = 'link beyond sight', TABLE = '{table}'; END IF; "
        for column, target in links
    )
    name = f"foyer_links_of_{table}"
    yield f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {lines}RETURN NEW; END $$"
    columns = ", ".join(column for column, _ in links)
    yield (
        f'CREATE OR REPLACE TRIGGER {name} BEFORE INSERT OR UPDATE OF {columns} ON "{table}" '
        f"FOR EACH ROW WHEN (row_security_active('{table}'::regclass)) EXECUTE FUNCTION {name}()"
    )


# --------------------------------------------------------------------------------------------- into a database


def install(connection, key, app_role=None):
    """Bring policies, functions and the key up to date, and the rights of the role that the application runs under.

    Needs the owner of the tables. Returns whether anything had to be written.
    """
    schema = connection.scalar(text("SELECT quote_ident(current_schema())"))
    wanted = list(statements(schema))
    digest = sha256("\n".join(wanted).encode()).hexdigest()
    has_them = connection.scalar(text("SELECT to_regprocedure('foyer_says()') IS NOT NULL"))
    written = has_them and connection.scalar(
        text("SELECT obj_description('foyer_says()'::regprocedure, 'pg_proc')")
    )
    if written != digest:
        for statement in wanted:
            connection.exec_driver_sql(statement)
        connection.exec_driver_sql(f"COMMENT ON FUNCTION foyer_says() IS '{digest}'")
    inside, outside = pads(key)
    connection.execute(
        text(
            "INSERT INTO foyer_key (id, inside, outside) VALUES (1, :inside, :outside)"
            " ON CONFLICT (id) DO UPDATE SET inside = :inside, outside = :outside"
        ),
        {"inside": inside, "outside": outside},
    )
    if connection.scalar(text("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")):
        for function in _TELL_NOTHING:
            connection.exec_driver_sql(f"ALTER FUNCTION pg_catalog.{function} LEAKPROOF")
    if app_role:
        for statement in _rights(schema, connection.dialect.identifier_preparer.quote(app_role)):
            connection.exec_driver_sql(statement)
    return written != digest


def take_down(connection):
    """Drop all policies: a migration could not touch what they name. Without one, its role sees nothing."""
    said = connection.scalars(
        text(
            "SELECT format('DROP POLICY %I ON %I', policyname, tablename) FROM pg_policies"
            " WHERE schemaname = current_schema() AND policyname LIKE 'foyer\\_%'"
            " UNION ALL SELECT format('DROP TRIGGER %I ON %I', tgname, relname) FROM pg_trigger"
            " JOIN pg_class ON pg_class.oid = tgrelid WHERE tgname LIKE 'foyer\\_links\\_%'"
            " UNION ALL SELECT 'COMMENT ON FUNCTION foyer_says() IS NULL'"
            " WHERE to_regprocedure('foyer_says()') IS NOT NULL"
        )
    )
    for statement in said.all():
        connection.execute(text(statement))


# Asked before the policies, as an index must be: they raise nothing that tells of a row.
_TELL_NOTHING = ("textlike(text, text)", "strpos(text, text)", "jsonb_object_field_text(jsonb, text)")


def _rights(schema, role):
    yield f"GRANT USAGE ON SCHEMA {schema} TO {role}"
    yield f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role}"
    yield f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA {schema} TO {role}"
    yield f"REVOKE ALL ON foyer_key FROM {role}"
    yield f"REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM {role}"
