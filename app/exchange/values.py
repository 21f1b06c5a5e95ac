"""The kinds of values a file may hold: text in, a Python value out, or a refusal in words.

Strict on purpose. What could be read in two ways (1,000 · 04.07.96 · １２) is refused, not guessed.
"""

import re
from datetime import date, datetime
from decimal import Decimal

from app.extensions import N_

# What exports write where there is nothing.
NOTHING = {"", "NULL"}


class BadValue(Exception):
    """A value that is not what its column holds; `message` is a gettext id, `values` fills its places."""

    def __init__(self, message, **values):
        super().__init__(message % values)
        self.message, self.values = message, values


def text(value):
    """Any text, without the blanks around it; line ends are kept."""
    return value.replace("\r\n", "\n")


def whole(value):
    """A whole number from 0 up."""
    if not re.fullmatch(r"\d{1,9}", value, re.ASCII):
        raise BadValue(N_("“%(value)s” is no whole number"), value=value)
    return int(value)


def decimal(places, *, at_most=None):
    """A number from 0 up, with a point and at most so many places."""

    def read(value):
        if not re.fullmatch(r"\d{1,12}(\.\d+)?", value, re.ASCII):
            raise BadValue(N_("“%(value)s” is no number such as 1234.50"), value=value)
        number = Decimal(value)
        if number != round(number, places):
            raise BadValue(N_("“%(value)s” has more than %(places)s places"), value=value, places=places)
        if at_most is not None and number > at_most:
            raise BadValue(N_("“%(value)s” is more than %(most)s"), value=value, most=at_most)
        return number

    return read


def day(value):
    """A date as 1996-07-04, or as the midnight at which it begins: 1996-07-04 00:00:00.000."""
    found = re.fullmatch(r"(\d{4}-\d\d-\d\d)([ T]00:00(:00(\.0+)?)?)?", value, re.ASCII)
    if not found:
        raise BadValue(N_("“%(value)s” is no date such as 1996-07-04"), value=value)
    try:
        return date.fromisoformat(found[1])
    except ValueError:
        raise BadValue(N_("“%(value)s” is not in the calendar"), value=value)


def flag(value):
    """1 for yes, 0 for no."""
    if value not in ("0", "1"):
        raise BadValue(N_("“%(value)s” is neither 0 nor 1"), value=value)
    return value == "1"


def shown(value):
    """A value as people read it in a note."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    return str(value)
