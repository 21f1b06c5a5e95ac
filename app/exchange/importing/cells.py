"""Cells of other people's files as values of our columns: by the reader's day order and decimal mark, never by guess.

A reader is a function of one cell, text or typed; it raises RuleBroken with the sentence that stands beside the row.
"""

import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal, InvalidOperation
from functools import cache

from babel.support import Translations
from sqlalchemy import Boolean, Date, Integer, String

from app.extensions import N_
from app.models import Exact, Moment
from app.rules import RuleBroken, values
from app.rules.money import exact

DAY_ORDERS = ("dmy", "mdy", "ymd")
EXCEL_EPOCH = date(1899, 12, 30)
LAST_EXCEL_DAY = 2_958_465  # 31 December 9999
TRUE = {"1", "yes", "y", "true", "x", "on", "ja", "j", "wahr", "oui", "o", "vrai"}
FALSE = {"0", "no", "n", "false", "off", "nein", "falsch", "non", "faux"}


@dataclass(frozen=True)
class Style:
    """How the file writes days and numbers, and on whose clock its moments are."""

    dates: str = "dmy"
    decimal: str = "."
    zone: tzinfo = UTC
    languages: tuple = ("en",)
    catalogues: str | None = None  # folder of the shipped translations


def as_text(cell):
    """A typed cell as a person would have written it."""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, bool):
        return "1" if cell else "0"
    if isinstance(cell, float):
        return f"{Decimal(repr(cell)):f}"
    if isinstance(cell, datetime):
        return cell.date().isoformat() if cell.time() == time() else cell.isoformat(" ")
    if isinstance(cell, date):
        return cell.isoformat()
    return str(cell)


def normal(value):
    """A value as it is compared: letters regardless of case, blanks as one, everything else as it is."""
    if not isinstance(value, str):
        return value
    if not value.isascii():
        value = unicodedata.normalize("NFKC", value).casefold()
        return " ".join(value.split())
    return " ".join(value.lower().split())


def reader_for(column, style):
    """The function that reads a cell for this column (not for links: those are looked up)."""
    kind = column.type
    if "choices" in column.info:
        return choice_reader(column.info["choices"], style)
    if isinstance(kind, Boolean):
        return read_flag
    if isinstance(kind, Exact):
        return _number_reader(column, style)
    if isinstance(kind, Date):
        return lambda cell: read_day(cell, style)
    if isinstance(kind, Moment):
        return lambda cell: read_moment(cell, style)
    if isinstance(kind, Integer):
        return _whole_reader(column, style)
    if isinstance(kind, String):
        read = values.text_reader(column)
        return lambda cell: read(cell if type(cell) is str else as_text(cell))
    raise TypeError(f"{column}: no cell becomes this")


def read_flag(cell):
    word = normal(as_text(cell))
    if word in TRUE:
        return True
    if word in FALSE:
        return False
    raise RuleBroken(N_("“%(value)s” is neither yes nor no."), value=as_text(cell)[:40])


def read_number(cell, style):
    """A decimal number. Between its thousands the other mark, blanks or ' may stand, where they belong."""
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        return Decimal(repr(cell)) if isinstance(cell, float) else Decimal(cell)
    text = re.sub(r"[\s\u00a0\u202f']", "", as_text(cell)).replace("\u2212", "-")
    mark, other = (",", r"\.") if style.decimal == "," else (r"\.", ",")
    if not re.fullmatch(rf"[+-]?(\d{{1,3}}({other}\d{{3}})+|\d+)?({mark}\d*)?", text) or not re.search(
        r"\d", text
    ):
        raise RuleBroken(N_("“%(value)s” is no number."), value=as_text(cell)[:40])
    text = text.replace("." if style.decimal == "," else ",", "").replace(",", ".")
    try:
        return Decimal(text)
    except InvalidOperation:
        raise RuleBroken(N_("“%(value)s” is no number."), value=as_text(cell)[:40])


def _number_reader(column, style):
    def read(cell):
        if isinstance(cell, str):
            cell = re.sub(r"^[€$£%]|[€$£%]$|\s*\b[A-Z]{3}$", "", as_text(cell).strip())
        number = read_number(cell, style)
        if isinstance(cell, float):
            number = round(number, column.type.scale + 6)  # 0.1 + 0.2 of a spreadsheet
        number = exact(number, column.type.scale, field=None)
        values.check_range(number, column)
        return number

    return read


def _whole_reader(column, style):
    def read(cell):
        number = read_number(cell, style)
        if number != number.to_integral_value():
            raise RuleBroken(N_("“%(value)s” is no whole number."), value=as_text(cell)[:40])
        values.check_range(int(number), column)
        return int(number)

    return read


def read_day(cell, style):
    """A day; the time that some systems write behind it is left away."""
    if isinstance(cell, datetime):
        return cell.date()
    if isinstance(cell, date):
        return cell
    if isinstance(cell, int | float) and not isinstance(cell, bool) and 0 < cell <= LAST_EXCEL_DAY:
        return EXCEL_EPOCH + timedelta(days=int(cell))
    text = as_text(cell).strip()
    found = re.match(r"(\d{4})-(\d\d?)-(\d\d?)(?=$|[T ])", text)
    order = "ymd"
    if not found:
        found = re.match(r"(\d{1,4})\s*[./-]\s*(\d{1,2})\s*[./-]\s*(\d{1,4})(?=$|[T ])", text)
        order = style.dates
    if not found and re.fullmatch(r"\d{8}", text):
        found, order = re.match(r"(\d{4})(\d\d)(\d\d)", text), "ymd"
    if not found:
        raise RuleBroken(N_("“%(value)s” is no date."), value=text[:40])
    parts = dict(zip(order, found.groups(), strict=True))
    if len(parts["y"]) != 4:
        message = N_(
            "“%(value)s”: the year needs four digits, and the order of days and months must be right."
        )
        raise RuleBroken(message, value=text[:40])
    try:
        return date(int(parts["y"]), int(parts["m"]), int(parts["d"]))
    except ValueError:
        raise RuleBroken(N_("“%(value)s” is not in the calendar."), value=text[:40])


def read_moment(cell, style):
    """A moment; without a zone it is on the house's clock."""
    if isinstance(cell, str):
        text = as_text(cell).strip()
        try:
            cell = datetime.fromisoformat(text)
        except ValueError:
            day_text, _, time_text = text.partition(" ")
            day = read_day(day_text, style)
            try:
                cell = datetime.combine(day, time.fromisoformat(time_text.strip() or "00:00"))
            except ValueError:
                raise RuleBroken(N_("“%(value)s” is no date."), value=text[:40])
    elif not isinstance(cell, datetime):
        cell = datetime.combine(read_day(cell, style), time())
    return (cell if cell.tzinfo else cell.replace(tzinfo=style.zone)).astimezone(UTC)


def choice_reader(choices, style):
    """A choice by its value, or by its words in any language that is shipped."""
    meanings = _meanings(tuple(choices.items()), style.languages, style.catalogues)

    def read(cell):
        text = as_text(cell)
        value = meanings.get(normal(text))
        if value is None:
            offered = ", ".join(choices)
            raise RuleBroken(N_("“%(value)s” is none of: %(choices)s."), value=text[:40], choices=offered)
        return value

    return read


@cache
def _meanings(choices, languages, folder):
    found = {}
    for language in languages:
        translate = Translations.load(folder, [language]).gettext if folder else str
        for value, words in choices:
            found.setdefault(normal(str(translate(words))), value)
    for value, words in choices:
        found[normal(words)] = found[normal(value)] = value
    return found
