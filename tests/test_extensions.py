"""The habits of the database engines: how connections begin, end, and what they remember."""

from contextlib import ExitStack
from datetime import UTC, datetime

import psycopg
import pytest
from sqlalchemy import bindparam, event, select, text
from sqlalchemy.exc import OperationalError

from app.access import DOOR
from app.extensions import db, for_one_question, for_writing
from app.models import Department
from tests.databases import on_both_engines, on_postgresql

NOW = datetime.now(UTC)
PAGES = 8  # psycopg prepares what has been asked five times


@on_postgresql
def test_what_is_prepared_outlives_the_end_of_a_page(app, client_for):
    client = client_for("rep.north")
    for _ in range(PAGES):
        client.get("/contacts/", 200)
    with app.app_context(), db.engine.connect() as connection:
        asked = text("SELECT statement FROM pg_prepared_statements")
        kept = connection.scalars(asked, execution_options={DOOR: True}).all()
    assert any("FROM contact" in one for one in kept), kept


@on_postgresql
def test_a_transaction_that_failed_is_ended_all_the_same(app):
    with app.app_context(), db.engine.connect() as connection:
        try:
            connection.execute(text("SELECT 1 / 0"), execution_options={DOOR: True})
        except Exception as error:
            assert "division by zero" in str(error)
        connection.rollback()
        assert connection.scalar(text("SELECT 1"), execution_options={DOOR: True}) == 1


@on_postgresql
def test_a_rollback_takes_back_what_was_written(app):
    with app.app_context():
        with db.engine.connect() as connection:
            written = text("UPDATE department SET name = name || ' (Nowhere)'")
            connection.execute(written, execution_options={DOOR: True})
        with db.engine.connect() as connection:
            asked = select(Department.__table__.c.id).where(Department.__table__.c.name.contains("Nowhere"))
            assert connection.scalar(asked, execution_options={DOOR: True}) is None


@on_both_engines
def test_one_question_is_asked_without_a_transaction(app):
    with app.app_context():
        with for_one_question(db.engine).connect() as connection:
            names = connection.scalars(
                select(Department.__table__.c.name), execution_options={DOOR: True}
            ).all()
            driver = connection.connection.driver_connection
            is_open = (
                driver.in_transaction
                if db.engine.dialect.name == "sqlite"
                else driver.info.transaction_status
            )
        assert names
        assert not is_open


def test_what_passes_by_whole_is_not_mapped_and_all_else_is(app, as_system):
    asked = text("PRAGMA mmap_size")
    for is_whole in (False, True, False):
        with as_system() as session:
            if is_whole:
                session.info["reads all"] = True
            mapped = session.connection().scalar(asked, execution_options={DOOR: True})
        assert (mapped == 0) == is_whole


@on_postgresql
def test_what_nobody_waits_for_is_one_statement_with_its_answer(app, as_system):
    table, told, seen = Department.__table__, [], []
    with as_system() as session:
        event.listen(db.engine, "before_cursor_execute", lambda *asked: seen.append(asked[2]))
        session.say_last(table.update().values(name=table.c.name).where(table.c.id == bindparam("one")), {"one": 1})
        one = table.insert().values(name=bindparam("new_name"), version=1, created_at=NOW, updated_at=NOW)
        session.say_last(one.returning(table.c.id), {"new_name": "Said at once"}, told.append)
        session.say_now()
        assert session.scalar(select(Department.name).where(Department.id == told[0])) == "Said at once"
        assert len([one for one in seen if "Said" in one or "WITH" in one]) == 1


@on_postgresql
def test_what_was_left_to_the_end_goes_with_its_transaction(app, as_system):
    with as_system() as session:
        session.add(Department(name="Taken back"))
        session.flush()
        session.say_last(Department.__table__.insert(), {"name": "Never said"})
        session.rollback()
        session.say_now()
        assert not session.scalars(select(Department).where(Department.name.endswith(" said"))).all()


@on_postgresql
def test_a_server_that_is_gone_is_said_so_where_a_transaction_begins(app):
    with app.app_context():
        with db.engine.connect() as connection:
            driver = connection.connection.driver_connection
        driver.pgconn.finish()
        with pytest.raises(OperationalError), db.engine.connect() as connection:
            connection.execute(text("SELECT 1"), execution_options={DOOR: True})
        with db.engine.connect() as connection:
            assert connection.scalar(text("SELECT 1"), execution_options={DOOR: True}) == 1


@on_postgresql
def test_columns_are_described_to_whoever_looks(app):
    with app.app_context(), db.engine.connect() as connection:
        cursor = connection.connection.driver_connection.execute("SELECT 1 AS one, 'a' AS two")
        assert [one.name for one in cursor.description] == ["one", "two"]
        assert len(cursor.description) == 2 and cursor.description[1].name == "two"
        assert connection.connection.driver_connection.execute("SET work_mem TO DEFAULT").description is None


@on_postgresql
def test_a_server_that_went_away_costs_one_error_however_many_connections_there_were(app):
    asked, failed = text("SELECT 1"), 0
    with app.app_context():
        with ExitStack() as held:
            several = [held.enter_context(db.engine.connect()) for _ in range(4)]
            theirs = [one.scalar(text("SELECT pg_backend_pid()"), execution_options={DOOR: True}) for one in several]
        with psycopg.connect(db.engine.url.set(drivername="postgresql").render_as_string(False)) as other:
            for pid in theirs:
                other.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
        for _ in range(5):
            try:
                with db.engine.connect() as connection:
                    connection.execute(asked, execution_options={DOOR: True})
            except OperationalError:
                failed += 1
    assert failed == 1


def test_an_engine_with_an_option_is_the_same_each_time(app):
    with app.app_context():
        assert for_writing(db.engine) is for_writing(db.engine) is not for_one_question(db.engine)
