"""What left the house stays as it is: the database refuses, whoever asks and however."""

import sqlite3

import psycopg
import pytest
from sqlalchemy.exc import IntegrityError

from app.models import Invoice
from tests.databases import on_both_engines
from tests.rules import world

REFUSED = (sqlite3.IntegrityError, psycopg.errors.IntegrityConstraintViolation)


@pytest.fixture
def frozen(as_system):
    """The id of an issued invoice; a draft lies beside it."""
    with as_system() as session:
        world.draft(session)
        return world.issued(session).id


@on_both_engines
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE invoice SET gross = 1 WHERE id = {id}",
        "UPDATE invoice SET number = 'INV-2026-00009' WHERE id = {id}",
        "UPDATE invoice SET number = NULL, issued_on = NULL WHERE id = {id}",
        "UPDATE invoice SET version = version WHERE id = {id}",
        "DELETE FROM invoice WHERE id = {id}",
        "UPDATE invoice_line SET net = 1 WHERE invoice_id = {id}",
        "UPDATE invoice_line SET invoice_id = {id}",
        "DELETE FROM invoice_line WHERE invoice_id = {id}",
    ],
)
def test_an_issued_invoice_is_frozen_for_raw_sql(database, frozen, statement):
    with pytest.raises(REFUSED, match="frozen"), database.raw() as connection:
        connection.execute(statement.format(id=frozen))


@on_both_engines
def test_a_draft_may_change(database, frozen):
    with database.raw() as connection:
        connection.execute("UPDATE invoice SET billed_to = 'Handel GmbH' WHERE number IS NULL")
        connection.execute(f"DELETE FROM invoice_line WHERE invoice_id <> {frozen}")
        connection.execute("DELETE FROM invoice WHERE number IS NULL")


@on_both_engines
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE number_series SET last = last - 1 WHERE last > 0",
        "UPDATE number_series SET last = last + 2",
        "DELETE FROM number_series",
    ],
)
def test_a_series_leaves_no_gap_and_goes_not_back(database, frozen, statement):
    with pytest.raises(REFUSED), database.raw() as connection:
        connection.execute(statement)


@on_both_engines
def test_the_session_is_refused_too(as_system, frozen):
    with pytest.raises(IntegrityError, match="frozen"), as_system() as session:
        session.get(Invoice, frozen).billed_to = "Somebody else"
