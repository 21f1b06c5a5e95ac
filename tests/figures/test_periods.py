"""Periods: what is written in the address, and which days it means."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.figures.periods import FIRST_YEAR, LAST_YEAR, Period

KINDS = ("year", "quarter", "month")


@pytest.mark.parametrize(
    ("text", "first", "last", "label"),
    [
        ("2026", date(2026, 1, 1), date(2026, 12, 31), "2026"),
        ("2026-Q3", date(2026, 7, 1), date(2026, 9, 30), "Q3 2026"),
        ("2026-Q4", date(2026, 10, 1), date(2026, 12, 31), "Q4 2026"),
        ("2024-02", date(2024, 2, 1), date(2024, 2, 29), "February 2024"),
        ("2026-11", date(2026, 11, 1), date(2026, 11, 30), "November 2026"),
    ],
)
def test_a_period_is_read_and_written(text, first, last, label):
    period = Period.parse(text)
    assert (period.starts_on, period.ends_on, period.label(), str(period)) == (first, last, label, text)


def test_a_period_is_named_in_the_readers_language():
    assert Period.parse("2026-03").label("de") == "März 2026"
    assert Period.parse("2026-Q3").label("fr") == "T3 2026"


NO_PERIODS = ["", "26", "2026-", "2026-Q5", "2026-Q0", "2026-13", "2026-00", "2026-1", "2026-q3", "2026-Q3 "]
NO_PERIODS += ["٢٠٢٦", "0000", "9999", "2026-11-22", "today", "2026\n", "\x00"]


@pytest.mark.parametrize("text", NO_PERIODS)
def test_a_bad_text_is_no_period(text):
    with pytest.raises(ValueError):
        Period.parse(text)


def test_one_steps_from_period_to_period():
    assert str(Period.parse("2026-Q1").previous) == "2025-Q4"
    assert str(Period.parse("2026-12").next) == "2027-01"
    assert str(Period.parse("2026").next) == "2027"


def test_the_accepted_years_have_an_edge():
    assert Period.parse(f"{FIRST_YEAR}-01").previous is None
    assert Period.parse(f"{LAST_YEAR}-Q4").next is None


def test_a_month_is_drawn_in_weeks_and_a_quarter_in_months():
    november = Period.parse("2026-11")
    assert [november.part_label(part) for part in november.parts] == [
        "1",
        "2–8",
        "9–15",
        "16–22",
        "23–29",
        "30",
    ]
    quarter = Period.parse("2026-Q1")
    assert [quarter.part_label(part) for part in quarter.parts] == ["Jan", "Feb", "Mar"]


@given(st.dates(date(FIRST_YEAR + 1, 1, 1), date(LAST_YEAR - 1, 12, 31)), st.sampled_from(KINDS))
def test_every_day_lies_in_one_period_and_in_one_of_its_parts(day, kind):
    period = Period.around(day, kind)
    assert period.starts_on <= day <= period.ends_on
    assert Period.parse(str(period)) == period
    assert period.next.previous == period
    assert (period.next.starts_on - period.ends_on).days == 1
    assert sum(first <= day <= last for first, last in period.parts) == 1
    assert (period.parts[0][0], period.parts[-1][1]) == (period.starts_on, period.ends_on)
