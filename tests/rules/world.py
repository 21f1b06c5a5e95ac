"""The few rows that tests of rules start from, beside the cast that is there already."""

from datetime import date
from decimal import Decimal

from sqlalchemy import select

from app.models import Company, Contact, Deal, Department, Pipeline, Product, Staff, Stage, TaxRate, Ticket
from app.rules import boards, deals, invoices

TODAY = date(2026, 3, 4)
SELLER = invoices.Seller(
    "Foyer Trading Ltd",
    "1 Harbour Street\nLondon E1 6AN",
    "GB 123 4567 89",
    "IBAN GB33 BUKB 2020 1555 5555 55",
)


def department(session, name="North"):
    return session.scalars(select(Department).where(Department.name == name)).one()


def colleague(session, name="Ingrid Solberg"):
    return session.scalars(select(Staff).where(Staff.name == name)).one()


def stage(session, name, kind="deal"):
    return session.scalars(
        select(Stage).join(Stage.pipeline).where(Stage.name == name, Pipeline.kind == kind)
    ).one()


def company(session, name="Ernst Handel", **values):
    values = {"kind": "customer", "street": "Kirchgasse 6", "postal_code": "8010", "city": "Graz"} | values
    return _saved(
        session, Company(name=name, department_id=department(session).id, vat_id="ATU12345678", **values)
    )


def contact(session, last_name="Mendel", **values):
    return _saved(session, Contact(last_name=last_name, department_id=department(session).id, **values))


def product(session, name="Chartreuse verte", price="18.00", percent="20", **values):
    rate = _saved(session, TaxRate(name=f"{percent} %", percent=Decimal(percent)))
    values = {"currency": "EUR", "unit": "bottle"} | values
    return _saved(session, Product(name=name, price=Decimal(price), tax_rate_id=rate.id, **values))


def deal(session, name="Spring order", *, at="New", customer=None, amount=None, **values):
    """A deal of Ingrid Solberg's in the North, at the end of this stage."""
    row = Deal(
        name=name,
        company_id=customer.id if customer else None,
        department_id=department(session).id,
        owner_id=colleague(session).id,
        currency="EUR",
        amount=None if amount is None else Decimal(amount),
        opened_on=date(2026, 1, 5),
        **values,
    )
    boards.place(session, row, stage(session, at))
    return _saved(session, row)


def won_deal(session, *, customer=None, product_sold=None, **values):
    """A deal of two bottles at 18.00 and 20 % tax, won today."""
    row = deal(session, customer=customer or company(session), **values)
    deals.add_line(row, product=product_sold or product(session), quantity=2)
    deals.win(session, row, by=row.owner_id, today=TODAY)
    session.flush()
    return row


def draft(session, **values):
    return invoices.draft_from(session, won_deal(session, **values), by=None, today=TODAY)


def issued(session, *, today=TODAY, **values):
    """An invoice of 36.00 net, 43.20 with tax, issued today and due in two weeks."""
    row = draft(session, **values)
    return invoices.issue(
        session, row, by=colleague(session, "Sofía Herrera").id, today=today, seller=SELLER, payment_days=14
    )


def ticket(session, subject="Broken bottles", *, at="New"):
    row = Ticket(subject=subject, department_id=department(session, "Support").id)
    boards.place(session, row, stage(session, at, "ticket"))
    return _saved(session, row)


def _saved(session, row):
    session.add(row)
    session.flush()
    return row
