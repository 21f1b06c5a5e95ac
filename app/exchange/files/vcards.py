"""vCards 2.1, 3.0 and 4.0, as mail programs and phones write them: one card a row, under headers of ours.

Read by our own hand: vobject stops a whole file at the first odd line and knows little of 2.1, which phones
still write.
"""

import quopri
import re
from base64 import b64decode
from binascii import Error as NotBase64
from io import BytesIO, TextIOWrapper

from app.exchange.files import limits
from app.exchange.files.delimited import find_encoding
from app.exchange.files.table import Choice, Record, table_from
from app.exchange.reading import Refusal, legible
from app.extensions import N_

HEADERS = (
    *("UID", "First name", "Last name", "Full name", "Company", "Job title", "E-mail", "E-mail 2", "Phone"),
    *(
        "Mobile",
        "Fax",
        "Street",
        "Postal code",
        "City",
        "Region",
        "Country",
        "Website",
        "Date of birth",
        "Notes",
    ),
)
_PROPERTY = re.compile(
    r'(?:[\w-]+\.)?(?P<name>[\w-]+)(?P<params>(?:;(?:[^":;]|"[^"]*")*)*):(?P<value>.*)', re.DOTALL
)
_LEFT_OUT = {"PHOTO", "LOGO", "SOUND", "KEY"}
LINES_A_CARD = 5_000


def is_vcard(raw):
    """Whether the text begins as a card, in whatever encoding."""
    start = raw[:400].replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \r\n\t").upper()
    return start.startswith(b"BEGIN:VCARD")


def read(raw, name, choice):
    """A table with one row a card. Its rows are counted from 1, as the cards are; there is no header to read."""
    encoding, notes = find_encoding(raw, name, choice.encoding)

    def records():
        yield Record(0, None, list(HEADERS))
        yield from _cards(raw, name, encoding)

    return table_from(name, "vCard", Choice(), records, encoding=encoding, notes=notes)


def _cards(raw, name, encoding):
    errors = "surrogateescape" if encoding == "utf-8" else "replace"
    text = TextIOWrapper(
        BytesIO(raw), encoding="utf-8-sig" if encoding == "utf-8" else encoding, errors=errors
    )
    number, card, start, depth, faults = 0, None, 1, 0, []
    for line_number, line in _unfolded(text):
        word = line.strip().upper()
        if word == "BEGIN:VCARD":
            if card is None:
                number, card, start, faults = number + 1, {}, line_number, []
            depth += 1
        elif word == "END:VCARD" and card is not None:
            depth -= 1
            if depth == 0:
                yield _record(name, number, start, card, faults)
                card = None
        elif card is not None and depth == 1 and line.strip():
            if len(line) > limits.CELL and not line.upper().lstrip().startswith(tuple(_LEFT_OUT)):
                message = N_("a value has more than %(most)s characters")
                faults.append(Refusal(name, number, None, message, {"most": f"{limits.CELL:,}"}, line_number))
            else:
                _take(card, line)
    if card is not None:
        message = N_("the card does not end: the file was cut off")
        yield _record(name, number, start, card, [*faults, Refusal(name, number, None, message, {}, start)])


def _unfolded(text):
    """(number, line) with continued lines put together: by a blank (3.0, 4.0), or by “=” at the end (2.1)."""
    kept, started, is_soft = "", 1, False
    for number, line in enumerate(text, start=1):
        line = line.rstrip("\r\n")
        if is_soft:
            kept = kept[:-1] + line
        elif line[:1] in (" ", "\t") and kept:
            kept += line[1:]
        else:
            if kept:
                yield started, kept
            kept, started = line, number
        head = kept.partition(":")[0].upper()
        is_soft = "QUOTED-PRINTABLE" in head and kept.endswith("=")
    if kept:
        yield started, kept


def _take(card, line):
    """Put one property where it belongs; the first of a kind stays, a second mail address has a place of its own."""
    found = _PROPERTY.fullmatch(line)
    if found is None:
        return
    name = found["name"].upper()
    if name in _LEFT_OUT:
        return
    params = [part.strip().upper() for part in found["params"].split(";") if part]
    value = _decoded(found["value"], params)
    kinds = {word.strip('" ') for part in params for word in part.removeprefix("TYPE=").split(",")}
    if name == "N":
        last, first, middle, *_ = [*_parts(value), "", "", ""]
        _keep(card, "Last name", last)
        _keep(card, "First name", " ".join(part for part in (first, middle) if part))
    elif name == "ADR":
        box, extra, street, city, region, code, country, *_ = [*_parts(value), *[""] * 7]
        _keep(card, "Street", ", ".join(part for part in (box, extra, street) if part))
        for header, part in (("City", city), ("Region", region), ("Postal code", code), ("Country", country)):
            _keep(card, header, part)
    elif name == "ORG":
        _keep(card, "Company", next(iter(_parts(value)), ""))
    elif name == "TEL":
        value = re.sub(r"^tel:", "", value, flags=re.IGNORECASE)
        kind = "Fax" if "FAX" in kinds else "Mobile" if kinds & {"CELL", "MOBILE", "IPHONE"} else "Phone"
        _keep(card, kind, _plain(value))
    elif name == "EMAIL":
        _keep(card, "E-mail" if "E-mail" not in card else "E-mail 2", _plain(value))
    elif name == "BDAY":
        _keep(card, "Date of birth", _birthday(value))
    elif name in _SIMPLE:
        _keep(card, _SIMPLE[name], _plain(value))


_SIMPLE = {
    "FN": "Full name",
    "TITLE": "Job title",
    "ROLE": "Job title",
    "URL": "Website",
    "NOTE": "Notes",
    "UID": "UID",
}


def _keep(card, header, value):
    value = value.strip()
    if value and header not in card:
        card[header] = value


def _decoded(value, params):
    charset = next((one.removeprefix("CHARSET=") for one in params if one.startswith("CHARSET=")), "utf-8")
    if "ENCODING=QUOTED-PRINTABLE" in params or "QUOTED-PRINTABLE" in params:
        raw = quopri.decodestring(value.encode("latin-1", "replace"))
    elif {"ENCODING=B", "ENCODING=BASE64", "BASE64"} & set(params):
        try:
            raw = b64decode(value)
        except (NotBase64, ValueError):
            return value
    else:
        return value
    try:
        return raw.decode(charset.strip('"'))
    except (LookupError, UnicodeDecodeError):
        return raw.decode("cp1252", "replace")


def _parts(value):
    """The parts between semicolons, of which a backslash takes away the meaning."""
    return [_plain(part) for part in re.split(r"(?<!\\);", value)]


def _plain(value):
    text = re.sub(r"\\([nN,;:\\])", lambda found: "\n" if found[1] in "nN" else found[1], value)
    return text.strip()


def _birthday(value):
    """1985-04-12 or 19850412, with or without a time; one without its year is none."""
    found = re.match(r"(\d{4})-?(\d\d)-?(\d\d)", value)
    return "-".join(found.groups()) if found else ""


def _record(name, number, line, card, faults):
    """A card that has only a full name is given a first and a last one by it; a firm's card goes by the firm."""
    full = card.get("Full name", "")
    if "Last name" not in card and "First name" not in card and full and full != card.get("Company"):
        first, _, last = full.rpartition(" ")
        card["First name"], card["Last name"] = first, last
    cells = [card.get(header, "") for header in HEADERS]
    odd = [cell for cell in cells if not cell.isascii() and any("\udc80" <= one <= "\udcff" for one in cell)]
    odd += [cell for cell in cells if "\0" in cell]
    message = N_("“%(value)s” is not UTF-8: the file has another encoding")
    faults = [
        *faults,
        *(Refusal(name, number, None, message, {"value": legible(cell)}, line) for cell in odd),
    ]
    return Record(number, line, cells, tuple(faults))
