"""How values read, on screen and on paper."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from app import formats

NBSP = "\N{NO-BREAK SPACE}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (formats.money(Decimal("1239855.85"), "EUR"), "€1,239,855.85"),
        (formats.money(Decimal("-3.5"), "USD"), "-$3.50"),
        (formats.money(Decimal("1234.5"), "EUR", "de"), f"1.234,50{NBSP}€"),
        (formats.about(Decimal("137013.49"), "EUR"), "€137K"),
        (formats.about(Decimal("137013.49"), "EUR", "de"), f"137.013{NBSP}€"),
        (formats.about(Decimal("1234567"), "EUR", "de"), f"1,2{NBSP}Mio.{NBSP}€"),
        (formats.day(date(2026, 3, 4)), "Mar 4, 2026"),
        (formats.day(date(2026, 3, 4), "de"), "04.03.2026"),
        (formats.number(Decimal("1234.500")), "1,234.5"),
        (formats.number(Decimal("2.000")), "2"),
        (formats.percent(Decimal("0.1250")), "12.5%"),
        (formats.rate(Decimal("19.000")), "19%"),
        (formats.rate(Decimal("8.375"), "de"), f"8,375{NBSP}%"),
        (formats.price(Decimal("18.0000")), "18.00"),
        (formats.price(Decimal("1013.7345")), "1,013.7345"),
    ],
)
def test_values_read_as_one_writes_them(text, expected):
    assert text == expected


def test_a_moment_is_shown_on_the_readers_clock():
    seen = [
        formats.moment(moment, "de", "Europe/Vienna")
        for moment in (datetime(2026, 3, 4, 23, 30, tzinfo=UTC), datetime(2026, 3, 4, 23, 30))
    ]
    assert seen == ["05.03.2026, 00:30"] * 2


def test_what_is_missing_reads_as_nothing():
    assert [formats.money(None, "EUR"), formats.day(None), formats.moment(None)] == ["", "", ""]
    assert [formats.number(None), formats.percent(None), formats.rate(None), formats.price(None)] == [""] * 4
