"""Money is exact."""

from decimal import Decimal
from fractions import Fraction
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.models import DealLine, InvoiceLine, TaxRate
from app.rules import RuleBroken
from app.rules.money import cents, exact, line_net, totals, typed_number

prices = st.decimals(-9_999_999, 9_999_999, places=4)
quantities = st.decimals(-9_999, 9_999, places=3)
discounts = st.decimals(0, 1, places=4)
percents = st.sampled_from([Decimal("0"), Decimal("7"), Decimal("8.375"), Decimal("19"), Decimal("20")])
lines = st.lists(
    st.builds(
        lambda net, percent: InvoiceLine(net=net, tax_percent=percent),
        st.decimals(-99_999, 99_999, places=2),
        percents,
    )
)


def half_up(number):
    """The schoolbook's rounding, on fractions: no Decimal takes part."""
    whole, rest = divmod(abs(number) * 100, 1)
    return (1 if number >= 0 else -1) * Fraction(whole + (rest >= Fraction(1, 2)), 100)


def test_cents_are_rounded_half_up():
    assert [cents(Decimal(value)) for value in ("0.125", "0.135", "-0.125", "2.4949")] == [
        Decimal("0.13"),
        Decimal("0.14"),
        Decimal("-0.13"),
        Decimal("2.49"),
    ]


def test_a_line_costs_price_times_quantity_less_discount():
    assert line_net(Decimal("18.00"), Decimal("2.5"), Decimal("0.15")) == Decimal("38.25")


@given(prices, quantities, discounts)
def test_a_line_is_rounded_once_and_exactly(price, quantity, discount):
    expected = half_up(Fraction(price) * Fraction(quantity) * (1 - Fraction(discount)))
    assert Fraction(line_net(price, quantity, discount)) == expected


@given(lines)
def test_totals_add_up(rows):
    sums = totals(rows)
    assert sums.net == sum(row.net for row in rows)
    assert sums.tax == sum(tax for _, _, tax in sums.taxes)
    assert sums.gross == sums.net + sums.tax
    assert sum(net for _, net, _ in sums.taxes) == sums.net


@given(lines)
def test_tax_is_rounded_once_for_each_rate(rows):
    sums = totals(rows)
    assert [percent for percent, _, _ in sums.taxes] == sorted({row.tax_percent for row in rows})
    for percent, _, tax in sums.taxes:
        net = sum(Fraction(row.net) for row in rows if row.tax_percent == percent)
        assert Fraction(tax) == half_up(net * Fraction(percent) / 100)


def test_a_deal_line_is_taxed_at_its_rate():
    rate = TaxRate(percent=Decimal(20))
    sums = totals([DealLine(net=Decimal("10.00"), tax_rate=rate), DealLine(net=Decimal("5.00"))])
    assert sums.taxes == [(0, Decimal("5.00"), Decimal("0.00")), (20, Decimal("10.00"), Decimal("2.00"))]
    assert sums.gross == Decimal("17.00")


def test_nothing_comes_to_nothing():
    assert totals([]) == (Decimal("0.00"), [], Decimal("0.00"), Decimal("0.00"))


@pytest.mark.parametrize(
    "value", ["NaN", "sNaN", "Infinity", "-Infinity", "1e11", "-99999999999999", "", "ten", None]
)
def test_what_is_no_number_or_too_large_is_refused(value):
    with pytest.raises(RuleBroken) as refusal:
        exact(value, 4, field="unit_price")
    assert refusal.value.field == "unit_price"


def test_a_line_that_no_column_holds_is_refused():
    with pytest.raises(RuleBroken):
        line_net(Decimal("9999999999"), Decimal("1000"), Decimal(0))


def test_a_sum_that_no_column_holds_is_refused():
    row = SimpleNamespace(net=Decimal("999999999999.99"), tax_rate=None)
    with pytest.raises(RuleBroken):
        totals([row, row])


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1234", "1234"),
        ("12,34", "12.34"),
        ("-0,5", "-0.5"),
        ("1 234,50", "1234.5"),
        ("1\u00a0234.5", "1234.5"),
        ("1\u202f234", "1234"),
        ("12.300", "12.3"),
    ],
)
def test_a_typed_number_is_read_as_it_was_meant(text, number):
    assert typed_number(text, 2) == Decimal(number)


def test_nothing_typed_is_no_number():
    assert typed_number(" ", 2) is None


@pytest.mark.parametrize(
    "text", ["1,234", "1,000", "1,234.50", "1.234,50", "1,234,567", "12.345", "0.005", "1_0", "٣", "1e3"]
)
def test_a_typed_number_is_never_guessed_or_rounded(text):
    with pytest.raises(RuleBroken) as refusal:
        typed_number(text, 2, field="amount")
    assert refusal.value.field == "amount"


def test_a_number_with_more_places_than_its_column_is_refused():
    with pytest.raises(RuleBroken):
        exact(Decimal("0.005"), 2, field="amount")
    assert exact(Decimal("0.5000"), 2, field="amount") == Decimal("0.50")
