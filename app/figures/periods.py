"""The time that figures speak of: a year, a quarter or a month, written "2026", "2026-Q3", "2026-11"."""

import re
from dataclasses import dataclass
from datetime import date, timedelta

from babel.dates import format_date, format_skeleton

FIRST_YEAR, LAST_YEAR = 1900, 2199
_TEXT = re.compile(r"(?P<year>\d{4})(?:-Q(?P<quarter>[1-4])|-(?P<month>0[1-9]|1[0-2]))?", re.ASCII)
_MONTHS = {"year": 12, "quarter": 3, "month": 1}


@dataclass(frozen=True)
class Period:
    """A calendar year, quarter or month; both days belong to it."""

    kind: str  # year, quarter or month
    starts_on: date

    @classmethod
    def parse(cls, text):
        """Read "2026", "2026-Q3" or "2026-11"; anything else is a ValueError."""
        match = _TEXT.fullmatch(text)
        if match is None or not cls.is_year(int(match["year"])):
            raise ValueError(f"“{text}” is no year, quarter or month such as 2026, 2026-Q3 or 2026-11")
        if match["month"]:
            return cls("month", date(int(match["year"]), int(match["month"]), 1))
        if match["quarter"]:
            return cls("quarter", date(int(match["year"]), int(match["quarter"]) * 3 - 2, 1))
        return cls("year", date(int(match["year"]), 1, 1))

    @classmethod
    def around(cls, day, kind):
        """The period of this kind that a day lies in."""
        months = _MONTHS[kind]
        return cls(kind, date(day.year, (day.month - 1) // months * months + 1, 1))

    @staticmethod
    def is_year(year):
        """Whether periods of this year are accepted."""
        return FIRST_YEAR <= year <= LAST_YEAR

    @property
    def ends_on(self):
        return _months_later(self.starts_on, _MONTHS[self.kind]) - timedelta(days=1)

    @property
    def previous(self):
        """The one before; None at the edge of the years that are accepted."""
        return self._moved(-_MONTHS[self.kind])

    @property
    def next(self):
        """The one after; None at the edge of the years that are accepted."""
        return self._moved(_MONTHS[self.kind])

    @property
    def parts(self):
        """What a chart draws one bar for: months, or the weeks of a month; (first, last) day of each."""
        if self.kind == "month":
            return list(_weeks(self.starts_on, self.ends_on))
        firsts = [_months_later(self.starts_on, months) for months in range(_MONTHS[self.kind])]
        return [(first, _months_later(first, 1) - timedelta(days=1)) for first in firsts]

    def holds(self, column):
        """The condition that a date column lies in this period."""
        return column.between(self.starts_on, self.ends_on)

    def label(self, locale="en"):
        """What people read: "2026", "Q3 2026", "November 2026"."""
        skeleton = {"year": "y", "quarter": "yQQQ", "month": "yMMMM"}[self.kind]
        return format_skeleton(skeleton, self.starts_on, locale=locale)

    def part_label(self, part, locale="en"):
        """What stands under a bar: "Nov", or the days of a week "2–8"."""
        first, last = part
        if self.kind != "month":
            return format_date(first, "LLL", locale=locale)
        return str(first.day) if first == last else f"{first.day}–{last.day}"

    def __str__(self):
        year, month = self.starts_on.year, self.starts_on.month
        return (
            str(year) + {"year": "", "quarter": f"-Q{(month + 2) // 3}", "month": f"-{month:02}"}[self.kind]
        )

    def _moved(self, months):
        first = _months_later(self.starts_on, months)
        return Period(self.kind, first) if self.is_year(first.year) else None


def _months_later(day, months):
    years, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(years, month + 1, 1)


def _weeks(first, last):
    """Monday to Sunday, cut off at both ends."""
    while first <= last:
        sunday = min(first + timedelta(days=6 - first.weekday()), last)
        yield first, sunday
        first = sunday + timedelta(days=1)
