"""PostgreSQL's own policies: raw SQL under the application's role sees and writes what the rule of sight allows."""

from itertools import product

import psycopg
import pytest
from psycopg import errors
from sqlalchemy import select, text

from app import access, roles, wall
from app.access import SYSTEM, WriteRefused
from app.models import ENTITIES, Company, Deal
from tests import databases
from tests.databases import without_tables
from tests.prove import scope
from tests.test_access import House

ACCOUNTS = [*scope.ACCOUNTS, *scope.MORE_ACCOUNTS]
ENTER = "SELECT set_config('foyer.rights', %s, true)"


class Raw:
    """A bare connection under the application's own role, as whoever got hold of it has one."""

    def __init__(self, house):
        self.house = house
        self.connection = psycopg.connect(house.database.url.replace("+psycopg", ""), options="-c jit=off")

    def enter(self, principal):
        principal = self.house.people[principal] if isinstance(principal, str) else principal
        self.connection.rollback()
        self.run(ENTER, [wall.signed(principal, self.connection.info.backend_pid)])
        return self

    def run(self, sql, values=None):
        return self.connection.execute(sql, values)

    def ids(self, table):
        return {key for (key,) in self.run(f'SELECT id FROM "{table}"')}

    def count(self, table):
        return self.run(f'SELECT count(*) FROM "{table}"').fetchone()[0]


@pytest.fixture(scope="module")
def house():
    with (
        databases.fresh_database("postgresql", "house", is_behind_the_wall=True) as database,
        databases.app_on(database) as app,
    ):
        yield House(app, database)


@pytest.fixture
def raw(house):
    raw = Raw(house)
    yield raw
    raw.connection.close()


# --------------------------------------------------------------------------------------------- reading


@pytest.mark.parametrize("account", ACCOUNTS)
def test_raw_sql_sees_of_each_table_what_the_session_sees(house, raw, account):
    raw.enter(account)
    with house.session(account) as session:
        for table, model in ENTITIES.items():
            assert raw.ids(table) == set(session.scalars(select(model.id))), table


def test_raw_sql_sees_what_the_requirement_says(house, raw):
    for account in ("rep.north", "head.sales", "finance", "nobody"):
        raw.enter(account)
        for table in ("company", "deal", "activity", "deal_line", "document", "search_entry", "change"):
            assert raw.ids(table) == house.visible(account, table), (account, table)


def test_without_a_principal_nothing_is_seen(raw):
    for table in ENTITIES["deal"].metadata.tables:
        assert raw.count(table) == 0, table


def test_accounts_are_seen_by_those_who_hold_them(raw):
    assert [raw.enter(account).count("ab_user") > 0 for account in ("rep.north", "director", "admin")] == [
        False,
        False,
        True,
    ]
    assert raw.enter("admin").count("rights_version") == 0
    assert raw.enter(SYSTEM).count("rights_version") == 1


def test_every_table_stands_behind_the_wall(raw):
    rows = raw.run("SELECT relname, relrowsecurity FROM pg_class WHERE relkind = 'r' AND relnamespace = 2200")
    open_ones = {name for name, is_behind in rows if not is_behind and not name.startswith("huey_")}
    assert open_ones == {"alembic_version", "foyer_key"}


# --------------------------------------------------------------------------------------------- who says so


def test_nobody_makes_up_whom_he_works_for(house, raw):
    mine = wall.signed(house.people["rep.north"], raw.connection.info.backend_pid)
    forged = (
        wall.rights(SYSTEM),
        "0" * 64 + wall.rights(SYSTEM),
        mine[:64] + wall.rights(SYSTEM),
        wall.signed(SYSTEM, raw.connection.info.backend_pid + 1),
        "é" * 100,
        "{}",
    )
    for said in forged:
        raw.connection.rollback()
        raw.run(ENTER, [said])
        assert raw.count("company") == raw.count("department") == 0, said
    assert raw.enter(SYSTEM).count("company") > 0


def test_what_was_said_ends_with_the_transaction(raw):
    assert raw.enter("director").count("deal") > 0
    raw.connection.commit()
    assert raw.count("deal") == 0


def test_the_role_cannot_step_out_of_the_policies(raw):
    for way in (
        "SELECT * FROM foyer_key",
        "SET row_security = off; SELECT * FROM company",
        "ALTER TABLE company DISABLE ROW LEVEL SECURITY",
        "DROP POLICY foyer_select ON company",
        "SET ROLE postgres",
        "CREATE OR REPLACE FUNCTION foyer_all(leaf text) RETURNS boolean LANGUAGE sql AS 'SELECT true'",
        "TRUNCATE company",
        "UPDATE alembic_version SET version_num = 'x'",
    ):
        raw.enter("rep.north")
        with pytest.raises(errors.InsufficientPrivilege):
            raw.run(way)


# --------------------------------------------------------------------------------------------- writing


def test_foreign_rows_are_neither_edited_nor_deleted_nor_added(house, raw):
    north, south = (house.departments[name] for name in ("North", "South"))
    raw.enter("rep.north")
    own, foreign = house.one("company", "North"), house.one("company", "South")
    assert raw.run("UPDATE company SET city = 'x' WHERE id = %s", [own]).rowcount == 1
    assert raw.run("UPDATE company SET city = 'x'").rowcount == len(house.ids("company", "North"))
    assert raw.run("UPDATE company SET city = 'x' WHERE id = %s", [foreign]).rowcount == 0
    assert raw.run("DELETE FROM deal_line WHERE deal_id = %s", [house.one("deal", "South")]).rowcount == 0
    add = (
        "INSERT INTO company (name, kind, department_id, created_at, updated_at, version)"
        " VALUES ('x', 'prospect', %s, now(), now(), 1) RETURNING id"
    )
    assert raw.run(add, [north]).fetchone()
    refused = {
        "into another department": (add, [south]),
        "moved out": ("UPDATE company SET department_id = %s WHERE id = %s", [south, own]),
        "linked to a foreign row": (
            "UPDATE contact SET company_id = %s WHERE id = %s",
            [foreign, house.one("contact", "North")],
        ),
        "a line of a foreign deal": (
            "INSERT INTO deal_line (deal_id, position, description, quantity, unit_price, discount, net, created_at,"
            " updated_at, version) VALUES (%s, 1, 'x', 1, 1, 0, 1, now(), now(), 1)",
            [house.one("deal", "South")],
        ),
        "the ledger": ("INSERT INTO change_set (at, door) VALUES (now(), 'page')", []),
        "the index": (
            "INSERT INTO search_entry (entity, record_id, text) VALUES ('company', %s, 'x')",
            [own],
        ),
        "a membership": (
            "INSERT INTO membership (owner_id, department_id, role, source, created_at, updated_at, version)"
            " VALUES (%s, %s, 'director', 'local', now(), now(), 1)",
            [house.people["rep.north"].id, north],
        ),
        "an account": ("INSERT INTO ab_role (id, name) VALUES (99, 'x')", []),
    }
    for name, (statement, values) in refused.items():
        raw.enter("rep.north")
        with pytest.raises(errors.InsufficientPrivilege):
            raw.run(statement, values)
            pytest.fail(name)
    for statement in (
        "UPDATE change SET action = 'add'",
        "DELETE FROM change_set",
        "DELETE FROM search_entry",
    ):
        assert raw.enter("rep.north").run(statement).rowcount == 0, statement


def test_what_the_database_refuses_is_a_refused_write(house):
    with house.session("rep.north") as session:
        foreign = text("UPDATE company SET department_id = :there WHERE id = :own")
        values = {"there": house.departments["South"], "own": house.one("company", "North")}
        connection = session.connection()
        session._flushing = True  # as if a flush sent it: past the net
        try:
            with pytest.raises(WriteRefused):
                connection.execute(foreign, values)
        finally:
            session._flushing = False


def test_the_house_steps_past_the_wall_and_back(house):
    said = text("SELECT current_setting('foyer.rights') LIKE '%\"system\": true%'")
    with house.session("rep.north") as session:
        session.add(Company(name="Aside", kind="prospect", department_id=house.departments["North"]))
        session.flush()  # its ledger and its words are written past the wall
        driver = session.connection().connection.driver_connection
        assert session.connection().scalar(said, execution_options={access.DOOR: True})
        assert driver.execute("SELECT count(*) FROM rights_version").fetchone() == (0,)
        with session.begin_nested() as savepoint:
            session.connection().execute(said, execution_options={access.DOOR: True})
            savepoint.rollback()
        assert driver.execute("SELECT count(*) FROM rights_version").fetchone() == (0,)
        assert session.scalars(select(Deal.id)).all()


# --------------------------------------------------------------------------------------------- one rule


def test_what_is_told_as_everything_is_what_the_rule_calls_every_row(house):
    for person, verb in product(house.people.values(), ("see", "add", "edit", "delete")):
        for name, model in ENTITIES.items():
            if wall.is_everything(person, verb, model):
                assert access.allowed(person, verb, model) is access.EVERY_ROW, (person.username, verb, name)


def test_policies_ask_the_database_once_a_statement_and_never_by_the_row(house, raw):
    plan = "\n".join(row for (row,) in raw.enter("rep.north").run("EXPLAIN SELECT id FROM deal"))
    scan = plan[plan.index("Filter") : plan.index("InitPlan")]
    assert "foyer_" not in scan, plan


def test_all_house_roles_are_told_without_a_fault():
    for name in roles.ROLES:
        held = access.held(roles.grants_of(name), person_id=1, department_id=1, below=frozenset({1, 2}))
        assert "reach" in wall.rights(access.Principal(id=1, username=name, grants=held))


# --------------------------------------------------------------------------------------------- setting up


@databases.on_postgresql
@without_tables
def test_an_upgrade_as_the_owner_makes_the_role_and_its_wall(operator, database):
    role = f"role_of_{database.url.split('?')[0].rpartition('/')[2]}"
    two = {
        "DATABASE_OWNER_URL": database.url,
        "DATABASE_URL": database.url.replace("postgres@", f"{role}:secret@"),
    }
    alone = operator("upgrade")
    assert alone.returncode == 0, alone.stderr
    assert "PostgreSQL's own policies do not hold" in operator("check").stdout
    upgraded = operator("upgrade", **two)
    assert upgraded.returncode == 0, upgraded.stderr
    checked = operator("check", **two)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert (
        "ok   PostgreSQL itself keeps from the application's role what nobody entered may see."
        in checked.stdout
    )
    again = operator("upgrade", **two)
    assert again.stdout == "The database is up to date.\n"


@databases.on_postgresql
@without_tables
def test_a_role_that_passes_by_policies_is_refused(operator, database):
    with database.raw() as connection:
        connection.execute("CREATE ROLE mighty LOGIN BYPASSRLS")
    mighty = database.url.replace("postgres@", "mighty@")
    refused = operator("upgrade", DATABASE_OWNER_URL=database.url, DATABASE_URL=mighty)
    assert refused.returncode == 1
    assert "must be neither SUPERUSER nor BYPASSRLS" in refused.stderr
