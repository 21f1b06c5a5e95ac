"""Days as people name them: "today", "last 30 days", "this quarter", "2026-Q1". The day it is comes as an argument."""

import re
from datetime import date, timedelta

UNITS = ("day", "week", "month", "quarter", "year")
MONTHS = {"month": 1, "quarter": 3, "year": 12}
MOST = {"day": 36_500, "week": 5_200, "month": 1_200, "quarter": 400, "year": 100}

_NAMED = re.compile(r"(last|this|next) (day|week|month|quarter|year)")
_COUNTED = re.compile(r"(last|next) (\d{1,5}) (day|week|month|quarter|year)s?")
_LENGTH = re.compile(r"(\d{1,5}) (day|week|month|quarter|year)s?")
_FIXED = re.compile(r"(\d{4})(?:-(?:Q([1-4])|(\d{2})))?")


def period(text, *, today, first_weekday=0):
    """(first day, day after the last) of a named span of days; raises ValueError.

    `last 30 days` are those before today; `next 7 days` begin tomorrow. `first_weekday` is 0 for Monday.
    """
    said = " ".join(text.lower().split())
    if said in ("today", "yesterday", "tomorrow"):
        start = today + timedelta(days=("yesterday", "today", "tomorrow").index(said) - 1)
        return start, start + timedelta(days=1)
    if found := _NAMED.fullmatch(said):
        way, unit = ("last", "this", "next").index(found[1]) - 1, found[2]
        start = add(first_of(unit, today, first_weekday), way, unit)
        return start, add(start, 1, unit)
    if found := _COUNTED.fullmatch(said):
        number = _number(found[2], found[3])
        if found[1] == "last":
            return add(today, -number, found[3]), today
        start = today + timedelta(days=1)
        return start, add(start, number, found[3])
    if found := _FIXED.fullmatch(text.strip().upper()):
        year, quarter, month = (int(one) if one else None for one in found.groups())
        if quarter:
            start = date(year, quarter * 3 - 2, 1)
            return start, add(start, 1, "quarter")
        start = date(year, month or 1, 1)
        return start, add(start, 1, "month" if month else "year")
    raise ValueError(text)


def ago(text, *, today):
    """The day that lies this long ago: "30 days", "6 months"; raises ValueError."""
    found = _LENGTH.fullmatch(" ".join(text.lower().split()))
    if found is None:
        raise ValueError(text)
    return add(today, -_number(found[1], found[2]), found[2])


def first_of(unit, day, first_weekday=0):
    """The first day of the week, month, quarter or year in which a day lies."""
    if unit == "day":
        return day
    if unit == "week":
        return day - timedelta(days=(day.weekday() - first_weekday) % 7)
    month = 1 if unit == "year" else day.month - (day.month - 1) % MONTHS[unit]
    return date(day.year, month, 1)


def add(day, number, unit):
    """A day moved by so many units; the 31st becomes the last of a shorter month."""
    if unit in ("day", "week"):
        return day + timedelta(days=number * (7 if unit == "week" else 1))
    months = day.year * 12 + day.month - 1 + number * MONTHS[unit]
    year, month = divmod(months, 12)
    if not 1 <= year <= 9999:
        raise ValueError(day)
    for last in (day.day, 30, 29, 28):
        try:
            return date(year, month + 1, min(last, day.day))
        except ValueError:
            continue
    raise ValueError(day)


def _number(text, unit):
    number = int(text)
    if not 0 < number <= MOST[unit]:
        raise ValueError(text)
    return number
