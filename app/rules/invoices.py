"""Invoices: drafted from a won deal, issued under a number without a gap, paid.

An issued invoice is frozen by the database itself (triggers): row and lines never change again. So issuing
is one UPDATE of the draft that sets everything at once, and nothing here touches an issued row afterwards.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from sqlalchemy import case, func, select

from app import access
from app.extensions import N_
from app.models import Invoice, InvoiceLine, NumberSeries, Payment
from app.rules import RuleBroken
from app.rules.money import CENT, cents, exact, tax_percent, totals

SERIES = "invoice"
PREFIX = "INV-"  # until somebody changes it in the latest series
METHODS = Payment.__table__.c.method.info["choices"]
LONGEST_REFERENCE = Payment.__table__.c.reference.type.length

# What an invoice takes over from the customer.
ON_PAPER = ("street", "postal_code", "city", "region", "country", "vat_id")

STATES = {
    "draft": N_("Draft"),
    "open": N_("Open"),
    "partly paid": N_("Partly paid"),
    "paid": N_("Paid"),
    "overdue": N_("Overdue"),
}


@dataclass(frozen=True)
class Seller:
    """Who writes the invoice, as it will stand in the letterhead; `address` has one line for each line."""

    name: str
    address: str = ""
    tax_id: str = ""
    bank: str = ""


# --------------------------------------------------------------------------------------------- drafts


def draft_from(session, deal, *, by, today):
    """Draft the one invoice of a won deal, with its lines and taxes. `by` is the id of who drafts it."""
    _lock(session, deal)  # of two who draft at once, the second sees the first's draft
    if deal.stage.outcome != "won":
        raise RuleBroken(N_("“%(deal)s” is not won yet; only a won deal is invoiced."), deal=str(deal))
    _check_no_invoice(session, deal)
    company = deal.company
    if company is None:
        raise RuleBroken(
            N_("“%(deal)s” has no customer that you can see; an invoice needs one."), deal=str(deal)
        )
    sees_lines = all(access.sees(session, line, ("unit_price", "discount", "net")) for line in deal.lines)
    if not (sees_lines and access.sees(session, deal, ("amount",)) and access.sees(session, company, ON_PAPER)):
        raise RuleBroken(N_("An invoice tells what is kept from you; somebody else has to draft it."))
    invoice = Invoice(
        deal_id=deal.id,
        company_id=company.id,
        department_id=deal.department_id,
        owner_id=deal.owner_id,
        currency=deal.currency,
        billed_to=company.name,
        billing_address="\n".join(company.address_lines),
        billing_tax_id=company.vat_id,
        lines=[_copy(line, position) for position, line in enumerate(deal.lines, start=1)] or [_whole(deal)],
    )
    _sum_up(invoice)
    if invoice.net <= 0:
        raise RuleBroken(N_("“%(deal)s” comes to nothing that could be invoiced."), deal=str(deal))
    session.add(invoice)
    session.flush()
    return invoice


def discard(session, invoice):
    """Throw a draft away; an issued invoice stays for good."""
    _check_draft(invoice)
    session.delete(invoice)
    session.flush()


def _check_no_invoice(session, deal):
    earlier = session.scalars(select(Invoice).where(Invoice.deal_id == deal.id)).first()
    if earlier is None:
        return
    if earlier.is_issued:
        raise RuleBroken(
            N_("“%(deal)s” has been invoiced already: %(invoice)s."), deal=str(deal), invoice=str(earlier)
        )
    raise RuleBroken(
        N_("“%(deal)s” has a draft already: %(invoice)s. Issue or discard it."),
        deal=str(deal),
        invoice=str(earlier),
    )


def _copy(line, position):
    return InvoiceLine(
        position=position,
        product_id=line.product_id,
        description=line.description,
        unit=line.product.unit if line.product else None,
        quantity=line.quantity,
        unit_price=line.unit_price,
        discount=line.discount,
        tax_percent=tax_percent(line),
        net=line.net,
    )


def _whole(deal):
    """A deal without lines is one line: its name and its amount, untaxed."""
    amount = exact(deal.amount or 0, 4, field="amount")
    return InvoiceLine(
        position=1,
        description=deal.name,
        quantity=Decimal(1),
        unit_price=amount,
        discount=Decimal(0),
        tax_percent=Decimal(0),
        net=cents(amount),
    )


def _sum_up(invoice):
    sums = totals(invoice.lines)
    invoice.net, invoice.tax, invoice.gross = sums.net, sums.tax, sums.gross


def _check_draft(invoice):
    if invoice.is_issued:
        raise RuleBroken(
            N_("%(invoice)s has been issued and cannot be changed any more."), invoice=invoice.number
        )


# --------------------------------------------------------------------------------------------- issuing


def issue(session, invoice, *, by, today, seller, payment_days):
    """Give a draft its number and freeze it. `by` is the id of who issues it, `today` becomes its date.

    The number is taken last, under a lock that holds until the commit: whoever else issues waits for it, and
    a transaction that fails gives its number back. So commit soon after.
    """
    session.flush()
    _lock(session, invoice)
    _check_draft(invoice)
    if not invoice.lines:
        raise RuleBroken(N_("The invoice has no lines yet."))
    _sum_up(invoice)
    invoice.issued_by_id = by
    invoice.seller_name, invoice.seller_address = seller.name, seller.address
    invoice.seller_tax_id, invoice.seller_bank = seller.tax_id, seller.bank
    # Not a word to the database about the invoice itself before the number is known: it is written once.
    with session.no_autoflush:
        series = _locked_series(session, today.year)
        _check_follows_the_last(session, today)
        series.last += 1
        invoice.number = f"{series.prefix}{series.year}-{series.last:05d}"
        invoice.issued_on, invoice.due_on = today, today + timedelta(days=payment_days)
    session.flush()
    return invoice


def _lock(session, row):
    """Hold this row, as it stands now, until the transaction ends. (SQLite has one writer anyway.)"""
    model = type(row)
    session.execute(
        select(model)
        .where(model.id == row.id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).scalar_one()


def _locked_series(session, year):
    this_year = _series().where(NumberSeries.year == year).with_for_update(key_share=True)
    series = session.scalars(this_year).first()
    if series is not None:
        return series
    # Who wants to begin a year locks the oldest row, always the same one, so that they queue up; then looks again.
    session.scalars(_series().order_by(NumberSeries.id).limit(1).with_for_update(key_share=True)).first()
    series = session.scalars(this_year).first()
    if series is None:
        latest = session.scalars(_series().order_by(NumberSeries.year.desc()).limit(1)).first()
        series = NumberSeries(name=SERIES, year=year, prefix=latest.prefix if latest else PREFIX, last=0)
        session.add(series)
    return series


def _series():
    return select(NumberSeries).where(NumberSeries.name == SERIES).execution_options(populate_existing=True)


def _check_follows_the_last(session, today):
    first, last = date(today.year, 1, 1), date(today.year, 12, 31)
    latest = session.scalar(select(func.max(Invoice.issued_on)).where(Invoice.issued_on.between(first, last)))
    if latest is not None and today < latest:
        raise RuleBroken(
            N_("The last invoice is of %(latest)s. Numbers follow the dates: this one cannot be of %(day)s."),
            latest=latest,
            day=today,
        )


# --------------------------------------------------------------------------------------------- payments


def record_payment(session, invoice, *, amount, paid_on, method, reference=None, today):
    """Money received on an issued invoice; a negative amount gives some of it back."""
    if not invoice.is_issued:
        raise RuleBroken(N_("A draft cannot be paid; issue it first."))
    _check_date(invoice, paid_on, today)
    if method not in METHODS:
        raise RuleBroken(N_("“%(method)s” is no way to pay."), field="method", method=method)
    reference = (reference or "").strip() or None
    if reference and len(reference) > LONGEST_REFERENCE:
        raise RuleBroken(
            N_("The reference is longer than %(most)s characters."), field="reference", most=LONGEST_REFERENCE
        )
    _lock(session, invoice)  # of two payments at once, the second sees what the first left open
    session.expire(invoice, ["payments"])
    amount = exact(amount, 2, field="amount")
    _check_amount(invoice, amount)
    # By its key, not through `invoice.payments`: the frozen row must not even look changed.
    payment = Payment(
        invoice_id=invoice.id, amount=amount, paid_on=paid_on, method=method, reference=reference
    )
    session.add(payment)
    session.flush()
    session.expire(invoice, ["payments"])
    return payment


def _check_date(invoice, paid_on, today):
    if paid_on > today:
        raise RuleBroken(N_("A payment cannot be of a day to come."), field="paid_on")
    if paid_on < invoice.issued_on:
        raise RuleBroken(N_("The payment is older than the invoice."), field="paid_on")


def _check_amount(invoice, amount):
    if amount == 0:
        raise RuleBroken(N_("An amount of zero is no payment."), field="amount")
    if amount > open_amount(invoice):
        raise RuleBroken(
            N_("Only %(open)s %(currency)s are open on %(invoice)s."),
            field="amount",
            open=open_amount(invoice),
            currency=invoice.currency,
            invoice=invoice.number,
        )
    if -amount > paid(invoice):
        raise RuleBroken(
            N_("Only %(paid)s %(currency)s were paid on %(invoice)s; no more can be given back."),
            field="amount",
            paid=paid(invoice),
            currency=invoice.currency,
            invoice=invoice.number,
        )


# --------------------------------------------------------------------------------------------- questions


def paid(invoice):
    """What was received on it so far."""
    return sum((payment.amount for payment in invoice.payments), Decimal("0.00"))


def open_amount(invoice):
    """What is still to come; nothing is due on a draft."""
    return invoice.gross - paid(invoice) if invoice.is_issued else Decimal("0.00")


def state(invoice, today):
    """How it stands on this day, one of `STATES`. What is late is overdue, partly paid or not."""
    if not invoice.is_issued:
        return "draft"
    if open_amount(invoice) <= 0:
        return "paid"
    if invoice.due_on < today:
        return "overdue"
    return "partly paid" if paid(invoice) else "open"


def paid_column():
    """`paid` as a column of a SELECT over Invoice."""
    return (
        select(func.coalesce(func.sum(Payment.amount), 0))
        .where(Payment.invoice_id == Invoice.id)
        .correlate(Invoice)
        .scalar_subquery()
    )


def open_column():
    """`open_amount` as a column of a SELECT over Invoice."""
    return case((Invoice.number.is_not(None), Invoice.gross - paid_column()), else_=0)


def state_column(today):
    """`state` as a column of a SELECT over Invoice, to filter and group by."""
    # Sums on SQLite are binary fractions: half a cent decides.
    half = CENT / 2
    return case(
        (Invoice.number.is_(None), "draft"),
        (Invoice.gross - paid_column() < half, "paid"),
        (Invoice.due_on < today, "overdue"),
        (paid_column() > half, "partly paid"),
        else_="open",
    )
