"""An invoice, from the won deal to the last cent."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import select

from app.models import Change, Company, Deal, Invoice, InvoiceLine, NumberSeries
from app.rules import RuleBroken, deals, invoices
from tests.databases import on_both_engines
from tests.rules import world
from tests.rules.world import SELLER, TODAY

LATER = TODAY + timedelta(days=3)


def pay(session, invoice, amount, *, paid_on=TODAY, method="transfer", today=LATER, **more):
    return invoices.record_payment(
        session, invoice, amount=amount, paid_on=paid_on, method=method, today=today, **more
    )


# --------------------------------------------------------------------------------------------- drafts


@on_both_engines
def test_a_won_deal_is_drafted_with_its_lines_and_taxes(session):
    deal = world.won_deal(session)
    invoice = invoices.draft_from(session, deal, by=None, today=TODAY)
    assert (invoice.net, invoice.tax, invoice.gross) == (Decimal("36.00"), Decimal("7.20"), Decimal("43.20"))
    line = invoice.lines[0]
    assert (line.description, line.unit, line.quantity) == ("Chartreuse verte", "bottle", Decimal(2))
    assert (line.unit_price, line.tax_percent, line.net) == (Decimal("18"), Decimal(20), Decimal("36.00"))
    assert invoice.number is None


def test_a_draft_belongs_where_its_deal_does(session):
    deal = world.won_deal(session)
    invoice = invoices.draft_from(session, deal, by=None, today=TODAY)
    assert (invoice.department_id, invoice.owner_id, invoice.currency) == (
        deal.department_id,
        deal.owner_id,
        "EUR",
    )


def test_a_draft_names_the_customer_as_he_is_today(session):
    invoice = world.draft(session)
    session.get(Company, invoice.company_id).name = "Handel GmbH"
    assert (invoice.billed_to, invoice.billing_address) == ("Ernst Handel", "Kirchgasse 6\n8010 Graz")
    assert invoice.billing_tax_id == "ATU12345678"


def test_a_deal_without_lines_is_one_line_of_its_amount(session):
    deal = world.deal(session, at="Won", customer=world.company(session), amount="500")
    invoice = invoices.draft_from(session, deal, by=None, today=TODAY)
    assert [(line.description, line.net, line.tax_percent) for line in invoice.lines] == [
        ("Spring order", Decimal("500.00"), 0)
    ]
    assert invoice.gross == Decimal("500.00")


def test_a_deal_that_is_not_won_is_not_invoiced(session):
    deal = world.deal(session, customer=world.company(session), amount="500")
    with pytest.raises(RuleBroken, match="not won yet"):
        invoices.draft_from(session, deal, by=None, today=TODAY)


def test_a_deal_without_a_customer_is_not_invoiced(session):
    with pytest.raises(RuleBroken, match="no customer"):
        invoices.draft_from(session, world.deal(session, at="Won", amount="500"), by=None, today=TODAY)


@pytest.mark.parametrize("amount", [None, "0"])
def test_a_deal_worth_nothing_is_not_invoiced(session, amount):
    deal = world.deal(session, at="Won", customer=world.company(session), amount=amount)
    with pytest.raises(RuleBroken, match="comes to nothing"):
        invoices.draft_from(session, deal, by=None, today=TODAY)


def test_lines_that_come_to_less_than_nothing_are_not_invoiced(session):
    deal = world.deal(session, customer=world.company(session))
    deals.add_line(deal, description="Returned bottles", quantity=-2, unit_price=18)
    deals.win(session, deal, by=None, today=TODAY)
    with pytest.raises(RuleBroken, match="comes to nothing"):
        invoices.draft_from(session, deal, by=None, today=TODAY)


def test_a_deal_has_one_draft(session):
    deal = world.won_deal(session)
    first = invoices.draft_from(session, deal, by=None, today=TODAY)
    with pytest.raises(RuleBroken, match=f"has a draft already: {first}"):
        invoices.draft_from(session, deal, by=None, today=TODAY)


def test_a_deal_is_invoiced_once(session):
    invoice = world.issued(session)
    with pytest.raises(RuleBroken, match=f"invoiced already: {invoice.number}"):
        invoices.draft_from(session, session.get(Deal, invoice.deal_id), by=None, today=TODAY)


def test_a_draft_is_discarded_with_its_lines_and_the_deal_is_free_again(session):
    draft = world.draft(session)
    deal = session.get(Deal, draft.deal_id)
    invoices.discard(session, draft)
    assert session.scalars(select(InvoiceLine)).all() == []
    assert invoices.draft_from(session, deal, by=None, today=TODAY)


def test_an_issued_invoice_is_not_discarded(session):
    invoice = world.issued(session)
    with pytest.raises(RuleBroken, match="has been issued"):
        invoices.discard(session, invoice)


# --------------------------------------------------------------------------------------------- issuing


@on_both_engines
def test_an_issued_invoice_has_number_dates_and_seller(session):
    invoice = world.issued(session)
    session.refresh(invoice)
    assert invoice.number == "INV-2026-00001"
    assert (invoice.issued_on, invoice.due_on) == (TODAY, date(2026, 3, 18))
    assert (invoice.seller_name, invoice.seller_bank) == (SELLER.name, SELLER.bank)
    assert (invoice.seller_address, invoice.seller_tax_id) == (SELLER.address, SELLER.tax_id)
    assert str(invoice.issued_by) == "Sofía Herrera"


def test_issuing_is_one_change_of_the_draft(session):
    invoice = world.draft(session)
    version = invoice.version
    invoices.issue(session, invoice, by=None, today=TODAY, seller=SELLER, payment_days=14)
    assert invoice.version == version + 1
    edits = select(Change).where(
        Change.entity == "invoice", Change.record_id == invoice.id, Change.action == "edit"
    )
    assert [change.values["number"] for change in session.scalars(edits)] == [[None, "INV-2026-00001"]]


@on_both_engines
def test_numbers_follow_each_other_and_begin_anew_each_year(session):
    days = [date(2031, 12, 30), date(2031, 12, 31), date(2032, 1, 1), date(2032, 1, 1), date(1997, 5, 5)]
    numbers = [world.issued(session, today=day).number for day in days]
    assert numbers == [
        "INV-2031-00001",
        "INV-2031-00002",
        "INV-2032-00001",
        "INV-2032-00002",
        "INV-1997-00001",
    ]


def test_a_new_year_keeps_the_prefix_of_the_latest(session):
    session.add(NumberSeries(name="invoice", year=2040, prefix="R", last=7))
    assert world.issued(session, today=date(2041, 1, 2)).number == "R2041-00001"


def test_the_first_series_of_all_makes_itself(session):
    session.add(NumberSeries(name="credit note", year=2031, prefix="C-"))
    for row in session.scalars(select(NumberSeries).where(NumberSeries.name == "invoice")):
        row.name = "offer"
    assert world.issued(session, today=date(2031, 1, 2)).number == "INV-2031-00001"


def test_an_issued_invoice_is_not_issued_again(session):
    invoice = world.issued(session)
    with pytest.raises(RuleBroken, match="INV-2026-00001 has been issued"):
        invoices.issue(session, invoice, by=None, today=TODAY, seller=SELLER, payment_days=14)


def test_an_invoice_without_lines_is_not_issued(session):
    invoice = world.draft(session)
    invoice.lines.clear()
    with pytest.raises(RuleBroken, match="no lines"):
        invoices.issue(session, invoice, by=None, today=TODAY, seller=SELLER, payment_days=14)


def test_numbers_and_dates_go_the_same_way(session):
    world.issued(session)
    draft = world.draft(session)
    with pytest.raises(RuleBroken, match="last invoice is of 2026-03-04"):
        invoices.issue(
            session, draft, by=None, today=TODAY - timedelta(days=1), seller=SELLER, payment_days=14
        )
    session.refresh(draft)
    assert draft.number is None
    assert (
        invoices.issue(session, draft, by=None, today=TODAY, seller=SELLER, payment_days=14).number[-1] == "2"
    )


def test_the_year_before_can_still_be_closed(session):
    world.issued(session)
    assert world.issued(session, today=date(2025, 12, 31)).number == "INV-2025-00001"


@on_both_engines
def test_a_number_that_was_not_committed_is_given_again(as_system):
    with as_system() as session:
        key = world.draft(session).id
    with pytest.raises(ZeroDivisionError), as_system() as session:
        invoices.issue(
            session, session.get(Invoice, key), by=None, today=TODAY, seller=SELLER, payment_days=14
        )
        raise ZeroDivisionError
    with as_system() as session:
        invoice = invoices.issue(
            session, session.get(Invoice, key), by=None, today=TODAY, seller=SELLER, payment_days=14
        )
        assert invoice.number == "INV-2026-00001"


# --------------------------------------------------------------------------------------------- payments


@on_both_engines
def test_payments_leave_less_and_less_open(session):
    invoice = world.issued(session)
    assert (invoices.paid(invoice), invoices.open_amount(invoice)) == (0, Decimal("43.20"))
    payment = pay(session, invoice, "20", reference=" RF18 ")
    assert (payment.amount, payment.reference) == (Decimal("20.00"), "RF18")
    pay(session, invoice, "23.20", method="cash")
    assert (invoices.paid(invoice), invoices.open_amount(invoice)) == (Decimal("43.20"), 0)


def test_a_payment_leaves_the_frozen_row_alone(session):
    invoice = world.issued(session)
    version = invoice.version
    pay(session, invoice, "20")
    session.commit()
    assert invoice.version == version


def test_a_negative_payment_takes_one_back(session):
    invoice = world.issued(session)
    pay(session, invoice, "43.20")
    pay(session, invoice, "-3.20")
    assert invoices.open_amount(invoice) == Decimal("3.20")


def test_a_draft_is_not_paid(session):
    with pytest.raises(RuleBroken, match="draft cannot be paid"):
        pay(session, world.draft(session), "1")


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"amount": "0"}, "zero is no payment"),
        ({"amount": "0.004"}, "more than 2 decimal places"),
        ({"amount": "NaN"}, "is no number"),
        ({"amount": "43.21"}, "Only 43.20 EUR are open on INV-2026-00001"),
        ({"amount": "-0.01"}, "Only 0.00 EUR were paid on INV-2026-00001"),
        ({"amount": "1", "paid_on": LATER + timedelta(days=1)}, "day to come"),
        ({"amount": "1", "paid_on": TODAY - timedelta(days=1)}, "older than the invoice"),
        ({"amount": "1", "method": "barter"}, "“barter” is no way to pay"),
        ({"amount": "1", "reference": "x" * 141}, "reference is longer"),
    ],
)
def test_a_payment_that_cannot_be_is_refused(session, values, sentence):
    invoice = world.issued(session)
    with pytest.raises(RuleBroken, match=sentence):
        pay(session, invoice, values.pop("amount"), **values)
    assert invoices.paid(invoice) == 0


# --------------------------------------------------------------------------------------------- how it stands


@on_both_engines
def test_row_and_column_tell_the_same_state(session):
    due, late = date(2026, 3, 18), date(2026, 3, 19)
    draft = world.draft(session)
    rows = {name: world.issued(session) for name in ("open", "partly paid", "paid")}
    pay(session, rows["partly paid"], "0.10")
    for part in ("43.00", "0.10", "0.10"):
        pay(session, rows["paid"], part)
    expected = {
        due: {draft.id: "draft", **{row.id: name for name, row in rows.items()}},
        late: {draft.id: "draft", rows["paid"].id: "paid"}
        | {rows[name].id: "overdue" for name in ("open", "partly paid")},
    }
    for day, states in expected.items():
        asked = select(Invoice.id, invoices.state_column(day)).order_by(Invoice.id)
        assert dict(session.execute(asked).all()) == states
        assert {row.id: invoices.state(row, day) for row in (draft, *rows.values())} == states


@on_both_engines
def test_row_and_column_tell_the_same_open_amount(session):
    world.draft(session)
    pay(session, world.issued(session), "0.10")
    world.issued(session)
    asked = select(Invoice, invoices.paid_column(), invoices.open_column())
    for row, paid, still_open in session.execute(asked):
        assert (paid, still_open) == (invoices.paid(row), invoices.open_amount(row))


# --------------------------------------------------------------------------------------------- who may


@on_both_engines
def test_finance_drafts_issues_and_records_the_payment(as_person, as_system):
    with as_system() as session:
        key = world.won_deal(session, customer=world.company(session, kind="prospect")).id
    with as_person("finance") as session:
        by = world.colleague(session, "Sofía Herrera").id
        invoice = invoices.draft_from(session, session.get(Deal, key), by=by, today=TODAY)
        invoices.issue(session, invoice, by=by, today=date(2031, 1, 2), seller=SELLER, payment_days=14)
        pay(session, invoice, "43.20", paid_on=date(2031, 1, 3), today=date(2031, 1, 3))
        session.flush()
        assert session.execute(select(Invoice.number, invoices.state_column(TODAY))).all() == [
            ("INV-2031-00001", "paid")
        ]


def test_a_rep_sees_the_invoice_of_his_deal_and_cannot_draft_one(as_person, as_system):
    from app.access import WriteRefused

    with as_system() as session:
        world.issued(session)
        key = world.won_deal(session).id
    with as_person("rep.north") as session:
        assert len(session.scalars(select(Invoice)).all()) == 1
    with pytest.raises(WriteRefused), as_person("rep.north") as session:
        invoices.draft_from(session, session.get(Deal, key), by=None, today=TODAY)
