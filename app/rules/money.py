"""Money, exact: Decimal from end to end, rounded half-up to the cent once a line and once a tax rate."""

import re
from collections import defaultdict
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import NamedTuple

from app.extensions import N_
from app.models import InvoiceLine
from app.rules import RuleBroken

CENT = Decimal("0.01")
MOST = Decimal(10) ** 12  # what a column of 14 digits with 2 places cannot hold any more


class Totals(NamedTuple):
    """What stands under the lines: `taxes` holds (percent, net, tax) for each rate, the lowest first."""

    net: Decimal
    taxes: list
    tax: Decimal
    gross: Decimal


def cents(value):
    """Rounded half-up to the cent, away from zero: 0.125 -> 0.13, -0.125 -> -0.13."""
    return Decimal(value).quantize(CENT, ROUND_HALF_UP)


def typed_number(text, places, *, field=None):
    """The number a person typed, or None for an empty text.

    Spaces group thousands and one comma is a decimal comma, unless exactly three digits follow it: 1,234 may be
    meant either way, and a guess would be wrong by a factor of a thousand. Surplus places are refused as well.
    """
    text = re.sub(r"\s", "", text or "")
    if not text:
        return None
    if "," in text and ("." in text or text.count(",") > 1 or re.search(r",\d{3}$", text)):
        raise RuleBroken(
            N_("“%(value)s” can be read in two ways. Write 1234 or 12.34."), field=field, value=text[:40]
        )
    number = text.replace(",", ".")
    if not re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)", number):
        raise RuleBroken(N_("“%(value)s” is no number."), field=field, value=text[:40])
    return exact(number, places, field=field)


def exact(value, places, *, field):
    """The number as its column keeps it; refuses what is no number, too large, or has more places than that."""
    try:
        number = Decimal(value)
    except (InvalidOperation, TypeError, ValueError):
        number = Decimal("NaN")
    if not number.is_finite() or abs(number) >= Decimal(10) ** (14 - places):
        raise RuleBroken(
            N_("“%(value)s” is no number, or too large a one."), field=field, value=str(value)[:40]
        )
    kept = number.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
    if kept != number:
        raise RuleBroken(
            N_("“%(value)s” has more than %(places)s decimal places."),
            field=field,
            value=str(value)[:40],
            places=places,
        )
    return kept


def line_net(unit_price, quantity, discount):
    """What a line costs without tax: price × quantity × (1 − discount), to the cent."""
    return cents(within_reach(Decimal(unit_price) * Decimal(quantity) * (1 - Decimal(discount))))


def within_reach(amount):
    """The same amount; refused when it is larger than the columns for money hold."""
    if abs(amount) >= MOST:
        raise RuleBroken(N_("That comes to more than %(most)s."), field="unit_price", most=f"{MOST:,}")
    return amount


def totals(lines):
    """The sums under deal or invoice lines. Tax is reckoned once on the sum of each rate, not by line."""
    nets = defaultdict(Decimal)
    for line in lines:
        nets[tax_percent(line)] += line.net
    taxes = [(percent, net, cents(net * percent / 100)) for percent, net in sorted(nets.items())]
    net = cents(sum(nets.values()))
    tax = cents(sum(tax for _, _, tax in taxes))
    return Totals(net, taxes, tax, within_reach(net + tax))


def tax_percent(line):
    """The rate of a line: frozen in an invoice's line, that of the tax rate in a deal's."""
    if isinstance(line, InvoiceLine):
        return line.tax_percent
    return line.tax_rate.percent if line.tax_rate else Decimal(0)
