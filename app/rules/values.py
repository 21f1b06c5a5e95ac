"""What a value must be like to stand in a column, whoever brings it: a form, an import or a program.

Text in, the text as it is kept out; what cannot be kept raises RuleBroken with a sentence.
"""

import re
from functools import cache

from babel.core import get_global
from sqlalchemy import Text

from app.extensions import N_
from app.models import Exact
from app.rules import RuleBroken
from app.security import is_storable

LONGEST_PROSE = 100_000
LARGEST_INTEGER = 2**31 - 1
_BREAKS = re.compile(r"[\t\n\v\f\r\x1c-\x1e\x85\u2028\u2029]+")


def one_line(text):
    """A line break pasted into a line is a space: names stand in headings, headers and file names."""
    return text if text.isprintable() else _BREAKS.sub(" ", text)


def check_storable(text):
    """What no database keeps (NUL, half of a surrogate pair) is refused here, not by the database."""
    if not is_storable(text):
        raise RuleBroken(N_("This holds a character that cannot be stored."))


def check_email(text):
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", text):
        raise RuleBroken(N_("This is not a mail address."))


def check_phone(text):
    if not re.search(r"\d", text):
        raise RuleBroken(N_("This is not a phone number."))


def check_currency(text):
    if text not in _currencies():
        raise RuleBroken(N_("This is not a currency: three letters, such as EUR."))


FORMATS = {"email": check_email, "phone": check_phone}


def check_range(number, column):
    """That a number lies within what its column allows and can hold; amounts of signed columns go both ways."""
    info, kind = column.info, column.type
    least, most = info.get("at_least"), info.get("at_most")
    if isinstance(kind, Exact):
        if abs(number) >= 10 ** (kind.precision - kind.scale):
            raise RuleBroken(N_("This number is too large."))
    elif abs(number) > LARGEST_INTEGER:
        raise RuleBroken(N_("This number is too large."))
    if least is not None and number < least and most is None:
        raise RuleBroken(N_("Not less than %(least)s."), least=least)
    if (least is not None and number < least) or (most is not None and number > most):
        raise RuleBroken(N_("From %(least)s to %(most)s."), least=least, most=most)


@cache
def text_reader(column):
    """The function that reads a text for this column: blanks around it gone, too long or malformed refused."""
    is_prose = isinstance(column.type, Text)
    most = LONGEST_PROSE if is_prose else column.type.length
    check = FORMATS.get(column.info.get("format"))
    is_currency = bool(column.info.get("currency"))

    def read(text):
        text = text.replace("\r\n", "\n").strip() if is_prose else one_line(text).strip()
        if not text:
            return None
        if len(text) > most:
            raise RuleBroken(N_("the text has more than %(most)s characters"), most=most)
        if not text.isascii() or "\0" in text:
            check_storable(text)
        if check:
            check(text)
        if is_currency:
            text = text.upper()
            check_currency(text)
        return text

    return read


@cache
def _currencies():
    return get_global("all_currencies")
