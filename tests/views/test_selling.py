"""Deals and invoices at the edge: what is typed, and what has changed meanwhile, never costs money or words."""

from decimal import Decimal

import pytest
from sqlalchemy import event, text
from sqlalchemy.orm import Session

from app.models import Deal, Payment, Stage
from app.rules import deals, invoices
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


# --------------------------------------------------------------------------------------------- changed meanwhile


def test_a_reason_outlives_a_change_by_somebody_else(north, as_system, deal_id):
    page = north.post(f"/deals/{deal_id}/lose", {"version": "99", "lost_reason": "Too dear"}, status=409)
    assert "it now stands in “New”" in page.text
    assert dict(page.form(f"/deals/{deal_id}/lose").fields) | {"csrf_token": ""} == {
        "csrf_token": "",
        "version": str(found(as_system, Deal, deal_id).version),
        "lost_reason": "Too dear",
    }
    north.submit(page, f"/deals/{deal_id}/lose")
    assert found(as_system, Deal, deal_id).lost_reason == "Too dear"


@pytest.mark.parametrize("deed", ["win", "reopen", "stage", "delete"])
def test_a_deed_on_a_changed_deal_answers_with_the_deal(north, deal_id, deed):
    page = north.post(f"/deals/{deal_id}/{deed}", {"version": "99"}, status=409)
    assert page.is_whole
    assert "Spring order" in page.h1
    assert "“Spring order” was changed in the meantime" in page.text


@pytest.mark.parametrize("deed", ["issue", "discard"])
def test_a_deed_on_a_changed_draft_answers_with_the_draft(client_for, as_system, deed):
    with as_system() as session:
        key = world.draft(session).id
    page = client_for("finance").post(f"/invoices/{key}/{deed}", {"version": "99"}, status=409)
    assert "was changed in the meantime" in page.text


def test_a_line_for_a_deal_just_closed_is_not_lost(north, as_system, deal_id):
    with as_system() as session:
        deal = session.get(Deal, deal_id)
        deals.win(session, deal, by=deal.owner_id, today=world.TODAY)
    page = north.post(f"/deals/{deal_id}/lines", LINE | {"description": "Green tea"}, status=422)
    assert "is already Won" in page.text
    assert "Green tea" in page.html


def test_two_who_add_a_line_at_once_are_told(north, deal_id):
    def somebody_is_faster(session, _context, _instances):
        session.connection().exec_driver_sql("UPDATE deal SET version = version + 1")

    event.listen(Session, "before_flush", somebody_is_faster)
    try:
        line = LINE | {"description": "Green tea", "unit_price": "5"}
        page = north.post(f"/deals/{deal_id}/lines", line, status=409)
    finally:
        event.remove(Session, "before_flush", somebody_is_faster)
    assert "at the same moment" in page.text
    assert "Green tea" in page.html


def test_a_payment_on_an_invoice_just_paid_is_not_lost(client_for, as_system, invoice_id):
    finance = client_for("finance")
    finance.post(f"/invoices/{invoice_id}/payments", PAYMENT | {"amount": "43.20"})
    page = finance.post(
        f"/invoices/{invoice_id}/payments", PAYMENT | {"amount": "43.20", "reference": "Wire 7"}, status=422
    )
    assert "Only 0.00 EUR are open" in page.text
    assert "Wire 7" in page.html


def test_a_paid_invoice_still_takes_money_given_back(client_for, invoice_id):
    finance = client_for("finance")
    finance.post(f"/invoices/{invoice_id}/payments", PAYMENT | {"amount": "43.20"})
    page = finance.get(f"/invoices/{invoice_id}")
    finance.submit(page, f"/invoices/{invoice_id}/payments", amount="-3.20", paid_on="2026-03-04")
    assert "-€3.20" in finance.get(f"/invoices/{invoice_id}")


# --------------------------------------------------------------------------------------------- editing a deal


@pytest.mark.parametrize("changes", [{"amount": "1"}, {"currency": "USD"}, {"company_id": ""}])
def test_an_invoiced_deal_stays_as_it_was_billed(north, as_system, changes):
    with as_system() as session:
        deal = world.won_deal(session)
        deal.lines.clear()
        deal.amount = Decimal("36.00")
        session.flush()
        invoices.draft_from(session, deal, by=None, today=world.TODAY)
        url = f"/deals/{deal.id}/edit"
    page = north.submit(north.get(url), url, **changes, status=422)
    assert "stays as it was billed" in page.text
    north.submit(north.get(url), url, notes="Call again")


def test_a_deal_is_not_opened_after_it_was_closed(north, as_system):
    with as_system() as session:
        url = f"/deals/{world.won_deal(session).id}/edit"
    page = north.submit(north.get(url), url, opened_on="2026-03-05", status=422)
    assert "closed before this day" in page.text


def test_a_deal_whose_lines_sum_below_zero_stays_editable(north, as_system, deal_id):
    url = f"/deals/{deal_id}/edit"
    north.submit(north.get(url), url, amount="-5", status=422)
    with as_system() as session:
        deals.add_line(session.get(Deal, deal_id), description="Returned", quantity=-1, unit_price=5)
    north.submit(north.get(url), url, name="Autumn order")
    assert found(as_system, Deal, deal_id).amount == Decimal("-5.00")


# --------------------------------------------------------------------------------------------- prices and papers


def test_a_price_is_shown_to_its_last_place(north, client_for, as_system, deal_id):
    with as_system() as session:
        deals.add_line(session.get(Deal, deal_id), description="Screws", quantity=1000, unit_price="0.0125")
        product = world.product(session, name="Screw", price="0.0125").id
    assert "0.0125" in north.get(f"/deals/{deal_id}")
    assert "0.0125 EUR" in client_for("finance").get(f"/products/{product}").text
    with as_system() as session:
        deal = session.get(Deal, deal_id)
        deals.win(session, deal, by=None, today=world.TODAY)
        invoice = invoices.draft_from(session, deal, by=None, today=world.TODAY).id
    assert "0.0125" in client_for("finance").get(f"/invoices/{invoice}")


def test_an_invoice_whose_paper_fails_is_issued_all_the_same(client_for, as_system):
    with as_system() as session:
        key = world.draft(session).id
        refusal = "BEFORE INSERT ON document BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
        session.execute(text(f"CREATE TRIGGER no_document {refusal}"))
    finance = client_for("finance")
    finance.submit(finance.get(f"/invoices/{key}"), f"/invoices/{key}/issue")
    page = finance.get(f"/invoices/{key}")
    assert "its PDF is made when it is first opened" in page.text
    assert "INV-" in page.h1
    with as_system() as session:
        session.execute(text("DROP TRIGGER no_document"))
    assert finance.get(f"/invoices/{key}/pdf").response.mimetype == "application/pdf"


# --------------------------------------------------------------------------------------------- stages and products


def test_a_deal_is_lost_in_the_stage_it_was_dropped_in(north, as_system, deal_id):
    with as_system() as session:
        lost = world.stage(session, "Lost")
        last = Stage(name="Gone quiet", pipeline=lost.pipeline, outcome="lost", position=lost.position + 1)
        session.add(last)
        session.flush()
        stage_id, new_id = last.id, world.stage(session, "New").id
    page = north.get(f"/deals/{deal_id}/lose?stage_id={stage_id}")
    page = north.submit(page, f"/deals/{deal_id}/lose", lost_reason=" ", status=422)
    north.submit(page, f"/deals/{deal_id}/lose", lost_reason="No answer")
    assert found(as_system, Deal, deal_id).stage_id == stage_id
    north.post(f"/deals/{deal_id}/reopen")
    given = {"stage_id": new_id, "lost_reason": "No answer"}
    assert "no stage for lost deals" in north.post(f"/deals/{deal_id}/lose", given, status=422).text


def test_a_product_that_is_not_for_sale_any_more_is_refused(north, as_system, deal_id):
    with as_system() as session:
        world.product(session, name="Absinthe", is_active=False)
    page = north.post(f"/deals/{deal_id}/lines", LINE | {"product": "Absinthe"}, status=422)
    assert "“Absinthe” is not for sale any more." in page.text
