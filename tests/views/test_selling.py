"""Deals and invoices at the edge: what is typed, and what has changed meanwhile, never costs money or words."""

from decimal import Decimal

import pytest

from app.models import Deal, Payment
from tests.rules import world


@pytest.fixture
def north(client_for):
    return client_for("rep.north")


@pytest.fixture
def deal_id(as_system):
    with as_system() as session:
        return world.deal(session, customer=world.company(session)).id


@pytest.fixture
def invoice_id(as_system):
    with as_system() as session:
        return world.issued(session).id


def found(as_system, model, key):
    with as_system() as session:
        row = session.get(model, key)
        session.expunge(row)
        return row


LINE = {
    "product": "",
    "description": "Tea",
    "quantity": "1",
    "unit_price": "",
    "discount": "",
    "tax_rate_id": "",
}
PAYMENT = {"paid_on": "2026-03-04", "method": "transfer", "reference": ""}


# --------------------------------------------------------------------------------------------- typed numbers


@pytest.mark.parametrize("typed", [{"quantity": "1,000"}, {"unit_price": "1,234"}, {"discount": "12.345"}])
def test_a_line_with_an_unclear_number_is_asked_about(north, as_system, deal_id, typed):
    page = north.post(f"/deals/{deal_id}/lines", LINE | typed, status=422)
    assert next(iter(typed.values())) in page.html
    assert found(as_system, Deal, deal_id).amount is None


def test_a_payment_with_a_thousands_comma_is_not_recorded(client_for, as_system, invoice_id):
    page = client_for("finance").post(
        f"/invoices/{invoice_id}/payments", PAYMENT | {"amount": "1,234"}, status=422
    )
    assert "Write 1234 or 12.34." in page.text
    with as_system() as session:
        assert session.query(Payment).count() == 0


def test_a_form_refuses_a_thousands_comma(north, as_system, deal_id):
    page = north.get(f"/deals/{deal_id}/edit")
    north.submit(page, f"/deals/{deal_id}/edit", amount="1,234", status=422)
    north.submit(page, f"/deals/{deal_id}/edit", amount="1 234,50")
    assert found(as_system, Deal, deal_id).amount == Decimal("1234.50")
