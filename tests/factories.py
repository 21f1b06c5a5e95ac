"""A valid row of every table by one call: `make(session, "deal", name="Big one")`.

What is not given is filled in: required links with rows that stand or are made, text with something readable. With
`canary="word"` every text of the row holds that word, so that a test can look for it wherever it might leak out.
The session is a system session.
"""

import hashlib
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import count

from sqlalchemy import Date, Float, Integer, LargeBinary, String, Text, select

from app import security
from app.models import ENTITIES, Department, Exact, Moment, Pipeline, Stage
from app.rules import deals, invoices

# Where rows of a department belong when nobody says otherwise.
DEPARTMENTS = {"ticket": "Support", "campaign": "Marketing", "invoice": "Finance"}
SELLER = invoices.Seller("Foyer Test Ltd", "1 Test Street\nTestville", "XX 123", "IBAN XX00")
TODAY = date(2026, 3, 4)

_numbers = count(1)


def make(session, entity, /, *, canary=None, **values):
    """One saved row of this table. Staff get an account; a document gets its bytes."""
    if entity == "staff":
        return _staff(session, canary, values)
    model = ENTITIES[entity]
    fields = {}
    for attribute in model.__mapper__.column_attrs:
        column = attribute.columns[0]
        relation = attribute.key.removesuffix("_id")
        if attribute.key in values or relation in values or column.info.get("stamped") or column.primary_key:
            continue
        value = _value(session, entity, attribute.key, column, canary)
        if value is not None:
            fields[attribute.key] = value
    if entity == "share" and "to_staff_id" not in values:  # with one, and no more than one
        fields["to_department_id"] = values.pop("to_department_id", department(session, "Sales").id)
    row = model(**fields, **values)
    session.add(row)
    session.flush()
    return row


def won_deal(session, *, canary=None, lines=2, today=TODAY, **values):
    """A deal with priced lines that was won today."""
    values = {"company": make(session, "company", canary=canary, kind="customer"), **values}
    deal = make(session, "deal", canary=canary, **values)
    rate = make(session, "tax_rate", percent=Decimal(19))
    for number in range(1, lines + 1):
        deals.add_line(
            deal,
            description=canary or f"Thing {number}",
            quantity=number,
            unit_price=Decimal("10.05"),
            tax_rate_id=rate.id,
        )
    session.flush()
    deals.win(session, deal, by=deal.owner_id, today=today)
    session.flush()
    return deal


def draft(session, **values):
    """The draft of an invoice for a won deal."""
    deal = won_deal(session, **values)
    return invoices.draft_from(session, deal, by=deal.owner_id, today=values.get("today", TODAY))


def issued(session, **values):
    """An invoice with its number, frozen."""
    invoice, today = draft(session, **values), values.get("today", TODAY)
    return invoices.issue(session, invoice, by=invoice.owner_id, today=today, seller=SELLER, payment_days=14)


def department(session, name):
    return session.scalars(select(Department).where(Department.name == name)).one()


def stage(session, name, kind="deal"):
    query = select(Stage).join(Stage.pipeline).where(Pipeline.kind == kind, Stage.name == name)
    return session.scalars(query).one()


# --------------------------------------------------------------------------------------------- filling in


def _value(session, entity, name, column, canary):
    """What stands in a column for which nothing was given; None leaves it to the column's default."""
    kind, info = column.type, column.info
    if name == "department_id" and column.foreign_keys:
        return department(session, DEPARTMENTS.get(entity, "Sales")).id
    if column.foreign_keys:
        return _linked(session, entity, name, column, canary) if not column.nullable else None
    if info.get("choices"):
        return column.default.arg
    if isinstance(kind, String | Text) and not info.get("currency"):
        return _text(entity, name, column, canary)
    if column.nullable or column.default is not None:
        return None
    if isinstance(kind, String):
        return "EUR"
    if isinstance(kind, Moment):
        return datetime.now(UTC)
    if isinstance(kind, Date):
        return TODAY
    if isinstance(kind, LargeBinary):
        return b"%PDF-1.7 nothing"
    if isinstance(kind, Exact):
        return Decimal(0)
    if isinstance(kind, Integer | Float):
        return next(_numbers)
    return {}


def _text(entity, name, column, canary):
    """Text for a column: the canary everywhere, else something readable where something must stand."""
    if (entity, name) in {("invoice", "number"), ("deal", "lost_reason")}:
        return None  # these say that something was done
    if name in ("entity", "root_entity"):
        return "company"
    if name == "sha256":
        return hashlib.sha256(b"%PDF-1.7 nothing").hexdigest()
    if name == "media_type":
        return "application/pdf"
    if canary is None:
        return None if column.nullable else f"{name.replace('_', ' ')} {next(_numbers)}"[: column.type.length]
    number = f"{canary}{next(_numbers)}" if column.unique else canary
    shapes = {"email": f"{number}@example.com", "website": f"https://{number}.example"}
    return shapes.get(name, number)[: column.type.length]


def _linked(session, entity, name, column, canary):
    target = next(iter(column.foreign_keys)).column.table.name
    if target == "stage":
        return deals.first_stage(session, "ticket" if entity == "ticket" else "deal").id
    if target == "invoice" and entity == "payment":
        return issued(session, canary=canary).id
    return make(session, target, canary=canary).id


def _staff(session, canary, values):
    """A colleague who can sign in with the password “demo”."""
    number = next(_numbers)
    given = {
        "username": f"{canary or 'colleague'}{number}",
        "first_name": canary or "Robin",
        "last_name": canary or f"Colleague {number}",
        "email": f"{canary or 'colleague'}{number}@example.com",
        "department_id": department(session, "Sales").id,
        "roles": [],
        "password": security.DEMO_PASSWORD,
        "job_title": canary,
        **values,
    }
    return security.create_account(session, **given)


def one_of_each(session, word, *, department_id, owner_id):
    """Every kind of business row, all of one department and owner, each text holding `word`: entity -> row."""
    own = {"department_id": department_id, "owner_id": owner_id, "canary": word}
    rows = {"company": make(session, "company", kind="customer", **own)}
    company = {"company": rows["company"]}
    rows["contact"] = make(session, "contact", **company, **own)
    both = {**company, "contact": rows["contact"]}
    rows["product"] = make(session, "product", canary=word)
    rows["deal"] = make(session, "deal", **both, **own)
    rows["deal_line"] = make(
        session,
        "deal_line",
        canary=word,
        deal=rows["deal"],
        product=rows["product"],
        unit_price=Decimal("7.77"),
    )
    rows["ticket"] = make(session, "ticket", **both, **own)
    rows["ticket_message"] = make(session, "ticket_message", canary=word, ticket=rows["ticket"])
    rows["campaign"] = make(session, "campaign", **own)
    rows["campaign_member"] = make(
        session, "campaign_member", campaign=rows["campaign"], contact=rows["contact"]
    )
    rows["activity"] = make(session, "activity", **both, deal=rows["deal"], **own)
    rows["invoice"] = issued(session, company=rows["company"], **own)
    rows["payment"] = make(
        session,
        "payment",
        canary=word,
        invoice_id=rows["invoice"].id,
        amount=Decimal("1.00"),
        paid_on=rows["invoice"].issued_on,
    )
    rows["external_key"] = make(
        session, "external_key", canary=word, entity="company", record_id=rows["company"].id
    )
    rows["document"] = make(
        session,
        "document",
        canary=word,
        entity="invoice",
        record_id=rows["invoice"].id,
        kind="test",
        content=f"%PDF-1.7 {word}".encode(),
    )
    return rows


def texts_of(row):
    """The columns of a row that hold text a person wrote: name -> text."""
    return {
        attribute.key: getattr(row, attribute.key)
        for attribute in type(row).__mapper__.column_attrs
        if isinstance(attribute.columns[0].type, String | Text)
        and not attribute.columns[0].info.get("choices")
        and getattr(row, attribute.key)
    }
