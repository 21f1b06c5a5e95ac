"""CSV and its kin: encoding and delimiter are found out, and a text that is none is refused in words."""

import csv
import io
import re
from codecs import (
    BOM_UTF8,
    BOM_UTF16_BE,
    BOM_UTF16_LE,
    BOM_UTF32_BE,
    BOM_UTF32_LE,
    getincrementaldecoder,
    lookup,
)
from collections import Counter

import charset_normalizer

from app.exchange.files import limits
from app.exchange.files.table import Note, Record, refuse, table_from
from app.exchange.reading import Refusal, legible
from app.extensions import N_

DELIMITERS = (",", ";", "\t", "|")
SAMPLE = 64 * 1024
CHUNK = 1024 * 1024
# What offices of this world have saved in, told apart by statistics; the reader may say otherwise.
LIKELY = [
    "cp1252",
    "cp1250",
    "cp1251",
    "cp1253",
    "cp1254",
    "cp1257",
    "cp850",
    "mac_roman",
    "shift_jis",
    "gb18030",
]
ENCODINGS = ("utf-8", "utf-16", *LIKELY, "iso8859-15", "iso8859-2", "koi8-r", "big5", "euc_kr", "euc_jp")
_BOMS = (
    (BOM_UTF8, "utf-8"),
    (BOM_UTF32_LE, "utf-32"),
    (BOM_UTF32_BE, "utf-32"),
    (BOM_UTF16_LE, "utf-16"),
    (BOM_UTF16_BE, "utf-16"),
)
_MARKUP = re.compile(r"\s*<(!doctype|html|\?xml|table|body|head|meta)", re.IGNORECASE)
_STRANGE = re.compile(r"[\x01-\x08\x0e-\x1a\x1c-\x1f]")


def read(raw, name, choice):
    """The table in a text; the text is decoded again, piece by piece, each time its rows are asked for."""
    encoding, notes = find_encoding(raw, name, choice.encoding)
    start = _decoded(raw, encoding, SAMPLE)
    _refuse_other_texts(start, name)
    delimiter, skip = _find_delimiter(start, choice.delimiter)
    # Only a text that is known to be broken, or whose encoding was chosen unseen, is looked at value by value.
    has_odd = b"\0" in raw or bool(notes) or bool(choice.encoding)

    def records():
        return _records(raw, name, encoding, delimiter, skip, has_odd)

    if not _ends(raw, encoding):
        notes.append(Note(N_("The last line does not end; make sure that the file is whole.")))
    return table_from(name, "CSV", choice, records, encoding=encoding, delimiter=delimiter, notes=notes)


def find_encoding(raw, name, chosen=None):
    """(encoding, notes): by its mark, or UTF-8 where it is that, or else by statistics."""
    if chosen:
        if chosen not in ENCODINGS:
            refuse(name, N_("the encoding “%(encoding)s” is not known"), encoding=legible(chosen))
        return chosen, []
    for mark, encoding in _BOMS:
        if raw.startswith(mark):
            return encoding, []
    sample = raw[:SAMPLE]
    if b"\0" in sample:
        # Text of two bytes a letter, without its mark: every second byte of Latin letters is empty.
        even, odd = sample[::2].count(0), sample[1::2].count(0)
        half = len(sample) // 2
        if odd > half * 0.4 and even < half * 0.1:
            return "utf-16-le", []
        if even > half * 0.4 and odd < half * 0.1:
            return "utf-16-be", []
        if even + odd > len(sample) * 0.1:
            refuse(name, N_("this is no text and no workbook that can be read"))
    broken = _broken_utf8(raw)
    if broken is None:
        return "utf-8", []
    whole = len(re.findall(rb"[\xc2-\xf4][\x80-\xbf]+", raw[max(0, broken - SAMPLE) : broken + SAMPLE]))
    lone = raw[broken : broken + SAMPLE].decode("utf-8", "surrogateescape")
    lone = sum("\udc80" <= letter <= "\udcff" for letter in lone)
    if whole >= lone:
        return "utf-8", [Note(N_("The text is UTF-8, but some bytes of it are broken."))]
    around = raw[max(0, broken - SAMPLE // 2) : broken + SAMPLE // 2]
    encoding = _likeliest(around)
    message = N_("The encoding was guessed: %(encoding)s. Look whether the letters are right.")
    return encoding, [Note(message, {"encoding": encoding})]


def _likeliest(sample):
    """By statistics; where several encodings read alike, the more common one."""
    found = charset_normalizer.from_bytes(sample, cp_isolation=LIKELY)
    best = found.best()
    if best is None:
        return "cp1252"
    alike = [one for one in found if (one.chaos, one.coherence) == (best.chaos, best.coherence)]
    names = {name for one in alike for name in one.could_be_from_charset}
    return next((name for name in LIKELY if name in names), "cp1252")


def _broken_utf8(raw):
    """Where the first byte stands that is no UTF-8; None in a good text."""
    if raw.isascii():
        return None
    decoder, view, position = getincrementaldecoder("utf-8")(), memoryview(raw), 0
    try:
        while position < len(raw):
            decoder.decode(view[position : position + CHUNK], final=position + CHUNK >= len(raw))
            position += CHUNK
    except UnicodeDecodeError as error:
        return position + max(0, error.start - 4)
    return None


def _decoded(raw, encoding, most):
    """The beginning of the text."""
    decoder = getincrementaldecoder(_codec(encoding))("replace")
    return decoder.decode(raw[:most]).removeprefix("\ufeff")


def _codec(encoding):
    return "utf-8-sig" if encoding == "utf-8" else lookup(encoding).name


def _refuse_other_texts(start, name):
    if _MARKUP.match(start):
        refuse(name, N_("this is a web page or XML, whatever its name says; save the table as CSV or XLSX"))
    if re.match(r"\s*(\{|\[\s*[\{\[])", start):
        refuse(name, N_("this is JSON; save the table as CSV or XLSX"))
    if start.startswith("BEGIN:VCALENDAR"):
        refuse(name, N_("this is a calendar, not a table"))
    if len(_STRANGE.findall(start)) > max(8, len(start) // 100):
        refuse(name, N_("this is no text and no workbook that can be read"))


def _find_delimiter(start, chosen):
    """(delimiter, lines to skip): as Excel's first line says (“sep=;”), or what cuts the rows most evenly."""
    said = re.match(r"sep=(.)\r?\n", start)
    if said:
        return chosen or said[1], 1
    if chosen:
        return chosen, 0
    lines = start.splitlines(keepends=True)
    if len(start) >= SAMPLE // 2:
        lines = lines[:-1] or lines  # the sample cuts its last line
    best, most = ",", 0.0
    for delimiter in DELIMITERS:
        try:
            widths = Counter(len(row) for row in csv.reader(lines[:200], delimiter=delimiter) if row)
        except csv.Error:
            continue
        width, rows = max(widths.items(), key=lambda one: (one[1] * (one[0] > 1), one[0]), default=(1, 0))
        score = rows / max(1, sum(widths.values())) * min(width, 50) if width > 1 else 0
        if score > most:
            best, most = delimiter, score
    return best, 0


def _records(raw, name, encoding, delimiter, skip, has_odd):
    errors = "surrogateescape" if encoding == "utf-8" else "replace"
    text = io.TextIOWrapper(io.BytesIO(raw), _codec(encoding), errors=errors, newline="")
    for _ in range(skip):
        text.readline()
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    number, line = skip, skip + 1
    while True:
        number += 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            _refuse_broken(name, number, line, str(error))
        faults = _faults(name, number, line, cells) if has_odd else ()
        yield Record(number, line, cells, faults)
        line = skip + reader.line_num + 1


def _refuse_broken(name, number, line, reason):
    if "field larger" in reason:
        message = N_("a value has more than %(most)s characters, or a quotation mark is never closed")
        refuse(name, message, row=number, line=line, most=f"{limits.CELL:,}")
    if "unexpected end" in reason:
        message = N_("a quotation mark is never closed: the file was cut off, or the mark is a stray one")
        refuse(name, message, row=number, line=line)
    refuse(name, N_("the row is broken: %(reason)s"), row=number, line=line, reason=reason)


def _faults(name, number, line, cells):
    """What no text holds: bytes of another encoding, and NUL."""
    faults = []
    for cell in cells:
        if cell.isascii() and "\0" not in cell:
            continue
        if "\0" in cell:
            message = N_("“%(value)s” holds a NUL, which no text does")
        elif any("\udc80" <= letter <= "\udcff" for letter in cell):
            message = N_("“%(value)s” is not UTF-8: the file has another encoding")
        else:
            continue
        faults.append(Refusal(name, number, None, message, {"value": legible(cell)}, line))
    return tuple(faults)


def _ends(raw, encoding):
    """Whether the last line is closed."""
    return bool(raw[-8:].decode(_codec(encoding).replace("-sig", ""), "ignore").endswith(("\n", "\r")))
