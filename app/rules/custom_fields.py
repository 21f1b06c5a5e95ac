"""Custom fields: what their values must be like, whoever brings them, and who may define a field.

Text (or a date, number, list …) in, the plain value out that `app/custom.py` describes; what cannot be kept raises
RuleBroken with a sentence.
"""

import re
from datetime import UTC, date, datetime
from decimal import Decimal

from sqlalchemy import select

from app import formats, search
from app.custom import (
    PREFIX,
    TAKERS,
    Column,
    Field,
    column,
    day_of,
    expression,
    fields_for,
    forget,
    holds,
    is_visible,
    moment_of,
    moment_text,
)
from app.extensions import N_
from app.models import ENTITIES
from app.rules import RuleBroken, money, values

__all__ = [
    "PREFIX",
    "TAKERS",
    "Column",
    "Field",
    "column",
    "day_of",
    "expression",
    "fields_for",
    "forget",
    "holds",
    "is_visible",
    "moment_of",
]

LONGEST_LINE = 500  # also what an index takes, in any script
LANGUAGES = ("en", "de", "fr")
MOST_CHOICES = 200
PLACES = {"number": 0, "decimal": 4, "money": 2}
LINES = {"text": LONGEST_LINE, "mail": 200, "phone": 40, "link": LONGEST_LINE}
CHOOSING = ("choice", "choices")
NOT_INDEXED = ("long_text", "choices")  # what no order of values makes quick


_YES = {"yes", "true", "1", "on", "x", "ja", "wahr", "oui", "vrai"}
_NO = {"no", "false", "0", "off", "nein", "falsch", "non", "faux"}


def values_of(fields, custom):
    """name -> value of these fields; the keys that stand in `custom` but not among the fields stay unsaid."""
    custom = custom or {}
    return {one.name: custom.get(one.name) for one in fields}


def defaults(fields):
    """What a new record begins with."""
    return {one.name: one.default for one in fields if one.default is not None}


def missing(fields, custom):
    """The required fields that have no value."""
    custom = custom or {}
    return [one for one in fields if one.is_required and custom.get(one.name) is None]


# --------------------------------------------------------------------------------------------- values


def read_value(one, value, *, session=None, zone=UTC, before=None):
    """The plain value that a text (or a date, number, list …) means for this field; None for an empty one.

    Raises RuleBroken with a sentence. `session` finds the record that a link names, with its reader's sight; `zone` is
    the clock of moments without one; `before`, what stands there now, lets a retired choice stay.
    """
    if value is None or (isinstance(value, str | list | tuple) and not value):
        return None
    if isinstance(value, str):
        values.check_storable(value)
        if one.kind == "long_text":
            value = value.replace("\r\n", "\n").strip()
        elif one.kind != "choices":
            value = values.one_line(value).strip()
        if not value:
            return None
    return _READERS[one.kind](one, value, session=session, zone=zone, before=before)


def check(one, value, *, session=None, before=None):
    """That this is a plain value of the field as it is kept; raises RuleBroken."""
    if read_value(one, value, session=session, before=before) != value:
        raise RuleBroken(
            N_("“%(value)s” is no value for “%(field)s”."), value=str(value)[:60], field=str(one)
        )


def _read_line(one, value, **_more):
    text = _as_str(value)
    most = LINES.get(one.kind, values.LONGEST_PROSE)
    if one.kind == "link" and not re.match(r"[a-z][a-z0-9+.-]*:(?!\d)", text, re.IGNORECASE):
        text = f"https://{text}"
    if len(text) > most:
        raise RuleBroken(N_("the text has more than %(most)s characters"), most=most)
    if one.kind == "mail":
        values.check_email(text)
    elif one.kind == "phone":
        values.check_phone(text)
    elif one.kind == "link" and not re.fullmatch(r"https?://[^\s/?#]+\S*", text, re.IGNORECASE):
        raise RuleBroken(N_("This is not a web address."))
    return text


def _as_str(value):
    if isinstance(value, bool | list | dict):
        raise RuleBroken(N_("This takes a single text."))
    return as_plain_number(value) if isinstance(value, float | Decimal) else str(value)


def _read_number(one, value, **_more):
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise RuleBroken(N_("“%(value)s” is no number."), value=str(value)[:40])
    if isinstance(value, str):
        number = money.typed_number(value, PLACES[one.kind])
    else:
        number = money.exact(str(value), PLACES[one.kind], field=None)
    if number is None:
        return None
    return int(number) if one.kind == "number" else float(number)


def as_plain_number(value):
    """A number as one types it: no exponent, no padding."""
    text = f"{Decimal(str(value)):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _read_date(_one, value, **_more):
    if isinstance(value, datetime):
        value = value.date()
    if isinstance(value, date):
        return value.isoformat()
    try:
        return date.fromisoformat(value).isoformat()
    except (TypeError, ValueError):
        raise RuleBroken(N_("“%(value)s” is no date such as 1996-07-04."), value=str(value)[:40]) from None


def _read_moment(_one, value, *, zone, **_more):
    try:
        at = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        at = at if at.tzinfo else at.replace(tzinfo=zone)
        return moment_text(at)
    except (TypeError, ValueError, OverflowError):
        sentence = N_("“%(value)s” is no moment such as 1996-07-04 15:30.")
        raise RuleBroken(sentence, value=str(value)[:40]) from None


def _read_yes_no(_one, value, **_more):
    if isinstance(value, bool):
        return value
    word = str(value).casefold()
    if word in _YES or word in _NO:
        return word in _YES
    raise RuleBroken(N_("“%(value)s” is neither yes nor no."), value=str(value)[:40])


def _read_choice(one, value, *, before, **_more):
    wanted = _as_str(value)
    choice = one.choices_by_word.get(wanted) or one.choices_by_word.get(search.fold(wanted))
    if choice is not None and (not choice.get("retired") or choice["value"] in _several(before)):
        return choice["value"]
    raise RuleBroken(N_("“%(value)s” is none of the choices."), value=wanted[:60])


def _several(value):
    return value if isinstance(value, list) else [value]


def _read_choices(one, value, *, before, **_more):
    if isinstance(value, str):
        parts = [part.strip() for part in re.split(r"[;\n]", value)]
        if len(parts) == 1:
            parts = _split_at_commas(one, parts[0])
        value = parts
    if not isinstance(value, list | tuple):
        raise RuleBroken(N_("“%(value)s” is none of the choices."), value=str(value)[:60])
    chosen = {_read_choice(one, part, before=before) for part in value if part != ""}
    return [choice["value"] for choice in one.choices if choice["value"] in chosen] or None


def _split_at_commas(one, text):
    """A label may hold a comma itself."""
    return [text] if search.fold(text) in one.choices_by_word else [part.strip() for part in text.split(",")]


def _read_record(one, value, *, session, **_more):
    if session is None:
        raise TypeError("a link to a record is read by a session: it must be one that its reader sees")
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise RuleBroken(N_("“%(value)s” names no record."), value=str(value)[:40])
    target, text = ENTITIES[one.target], str(value)
    number = re.search(r"#?(\d{1,10})\)?$", text)
    if number and int(number[1]) <= values.LARGEST_INTEGER:
        row = session.get(target, int(number[1]))
        if row is not None and search.fold(text) in (
            number[1],
            f"#{row.id}",
            search.fold(f"{row} (#{row.id})"),
        ):
            return row.id
    if search.words_of(text):
        like = session.scalars(select(target).where(search.matching(target, text)).limit(30)).all()
        same = [row for row in like if search.fold(row) == search.fold(text)]
        if len(same) == 1:
            return same[0].id
        if same:
            raise RuleBroken(N_("Several are named “%(value)s”: give the number."), value=text[:60])
    raise RuleBroken(N_("Nothing is named “%(value)s”."), value=str(value)[:60])


_READERS = {
    "text": _read_line,
    "long_text": _read_line,
    "mail": _read_line,
    "phone": _read_line,
    "link": _read_line,
    "number": _read_number,
    "decimal": _read_number,
    "money": _read_number,
    "date": _read_date,
    "moment": _read_moment,
    "yes_no": _read_yes_no,
    "choice": _read_choice,
    "choices": _read_choices,
    "record": _read_record,
}


def as_text(one, value, zone=UTC):
    """A plain value as a text that `read_value` reads back: for fields of forms, and for files."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return "; ".join(map(str, value))
    if one.kind == "record":
        return f"#{value}"
    if one.kind == "money" and isinstance(value, int | float):
        return f"{Decimal(str(value)):.2f}"
    if isinstance(value, float):
        return as_plain_number(value)
    if one.kind == "moment" and zone is not UTC and (at := moment_of(value)) is not None:
        return at.astimezone(zone).replace(tzinfo=None).isoformat(timespec="minutes")
    return str(value)


def shown(one, value, *, language="en", timezone="UTC", currency=None, names=None):
    """A plain value in words, as people of that language read it; `names` maps (entity, id) to a record's name.

    A value that is not of the field's kind (it came back from the ledger, say) is told as it stands.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return {True: N_("yes"), False: N_("no")}[value]
    if isinstance(value, list):
        return ", ".join(one.choice_label(part, language) for part in value)
    if one.kind == "choice":
        return one.choice_label(value, language)
    if one.kind == "record":
        return (names or {}).get((one.target, value), "")
    if one.kind in PLACES and isinstance(value, int | float):
        number = Decimal(str(value))
        is_amount = one.kind == "money" and currency
        return formats.money(number, currency, language) if is_amount else formats.number(number, language)
    if one.kind == "date" and (day := day_of(value)) is not None:
        return formats.day(day, language)
    if one.kind == "moment" and (at := moment_of(value)) is not None:
        return formats.moment(at, language, timezone)
    return str(value)


def names_of(session, fields, customs):
    """(entity, id) -> name of every record that these values link to and the session's reader sees.

    One SELECT for each entity that is linked to at all.
    """
    wanted = {}
    for one in fields:
        if one.kind == "record":
            keys = {(custom or {}).get(one.name) for custom in customs}
            wanted.setdefault(one.target, set()).update(key for key in keys if type(key) is int)
    found = {}
    for target, keys in wanted.items():
        if keys:
            model = ENTITIES[target]
            found |= {
                (target, row.id): str(row) for row in session.scalars(select(model).where(model.id.in_(keys)))
            }
    return found
