"""The habits of the database engines: how connections begin, end, and what they remember."""

from sqlalchemy import select, text

from app.access import DOOR
from app.extensions import db, for_one_question
from app.models import Department
from tests.databases import on_both_engines, on_postgresql

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
