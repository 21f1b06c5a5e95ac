"""Invoices in memory to draw, and ways to read what was drawn."""

import io
from datetime import date
from decimal import Decimal

from pypdf import PdfReader

from app.models import Invoice, InvoiceLine
from app.rules.money import line_net, totals
from tests.rules.world import SELLER


def line(position=1, *, price="18.00", quantity="2", discount="0", percent="20", **values):
    price, quantity, discount = Decimal(price), Decimal(quantity), Decimal(discount)
    values = {"description": f"Chartreuse verte, case {position}", "unit": "bottle"} | values
    return InvoiceLine(
        position=position,
        quantity=quantity,
        unit_price=price,
        discount=discount,
        tax_percent=Decimal(percent),
        net=line_net(price, quantity, discount),
        **values,
    )


def invoice(*lines, **values):
    sums = totals(lines)
    row = {
        "number": "INV-2026-00042",
        "issued_on": date(2026, 3, 4),
        "due_on": date(2026, 3, 18),
        "company_id": 117,
        "currency": "EUR",
        "billed_to": "Ernst Handel",
        "billing_address": "Kirchgasse 6\n8010 Graz\nAustria",
        "billing_tax_id": "ATU12345678",
        "seller_name": SELLER.name,
        "seller_address": SELLER.address,
        "seller_tax_id": SELLER.tax_id,
        "seller_bank": SELLER.bank,
    }
    return Invoice(lines=list(lines), net=sums.net, tax=sums.tax, gross=sums.gross, **row | values)


def fonts(pdf):
    """The names of all fonts in it."""
    names = set()
    for page in PdfReader(io.BytesIO(pdf)).pages:
        for font in page["/Resources"].get("/Font", {}).values():
            names.add(font.get_object()["/BaseFont"].split("+")[-1])
    return names
