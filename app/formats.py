"""How values read: money, days, moments, numbers; the same on screen and in a PDF.

Pure: the reader's locale and time zone come as arguments. A missing value reads as an empty text.
"""

import re
from datetime import UTC, time
from decimal import Decimal
from functools import cache, lru_cache

from babel import Locale
from babel.dates import format_date, format_time, get_datetime_format, get_timezone
from babel.numbers import format_compact_currency, format_currency, format_decimal, format_percent


def money(value, currency, locale="en"):
    """An amount to the cent with its currency: 1234.5, "EUR" -> “€1,234.50”."""
    return "" if value is None else format_currency(value, currency, locale=locale)


def about(value, currency, locale="en"):
    """An amount in few signs, as a chart has room for: “€137K”. To the unit where a language knows no short form."""
    short = format_compact_currency(value, currency, locale=locale, fraction_digits=1)
    if re.search(r"\d{4}", short):
        whole = Locale.parse(locale).currency_formats["standard"].pattern.replace(".00", "")
        return format_currency(value, currency, format=whole, locale=locale, currency_digits=False)
    return short


@lru_cache(maxsize=10_000)
def day(value, locale="en"):
    """A date as one writes it in a letter: “3 Feb 2026”, in the order of the locale."""
    return "" if value is None else format_date(value, "medium", locale=locale)


def moment(value, locale="en", timezone="UTC"):
    """A moment to the minute on the reader's clock. Moments without a zone are UTC, as the database keeps them."""
    if value is None:
        return ""
    aware = value if value.tzinfo else value.replace(tzinfo=UTC)
    local = aware.astimezone(get_timezone(timezone))
    return _day_and_time(locale).format(_clock(local.hour, local.minute, locale), day(local.date(), locale))


# A history says the same days and minutes again and again; to write one out takes Babel longer than all the rest.


@cache
def _day_and_time(locale):
    return get_datetime_format("medium", locale=locale)


@lru_cache(maxsize=10_000)
def _clock(hour, minute, locale):
    return format_time(time(hour, minute), "short", locale=locale)


@lru_cache(maxsize=10_000, typed=True)
def number(value, locale="en"):
    """A number with all its places and no padding: 1.500 -> “1.5”."""
    return "" if value is None else format_decimal(value, locale=locale, decimal_quantization=False)


def percent(value, locale="en"):
    """A share of one, as percent: 0.125 -> “12.5%”."""
    return "" if value is None else format_percent(value, locale=locale, decimal_quantization=False)


def rate(value, locale="en"):
    """A rate that is kept in percent: 19.000 -> “19%”."""
    return "" if value is None else percent(Decimal(value) / 100, locale)


def price(value, locale="en"):
    """An amount whose column names the currency: two places, up to four where a price has them."""
    return "" if value is None else format_decimal(value, format="#,##0.00##", locale=locale)
