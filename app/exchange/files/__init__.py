"""Files that people bring: bytes and a name in, one table out, or a refusal in words. By content, never by the ending.

CSV and TSV in any encoding, XLSX, XLS, ODS and vCards. Nothing here touches the database, and nothing of a hostile file
(bombs, entities, macros, broken structure) reaches further than a message: workbooks are unpacked by a process of their
own with little memory (`spreadsheets`).
"""

from app.exchange.files import delimited, limits, spreadsheets, vcards
from app.exchange.files.table import Choice, Note, Record, Table, letters, refuse
from app.exchange.reading import legible
from app.extensions import N_

__all__ = ["ENDINGS", "Choice", "Note", "Record", "Table", "letters", "open_table"]

ENDINGS = {
    "CSV": (".csv", ".txt", ".tsv", ".tab"),
    "XLSX": (".xlsx", ".xlsm", ".xltx", ".xltm"),
    "XLS": (".xls", ".xlt"),
    "ODS": (".ods", ".ots"),
    "vCard": (".vcf", ".vcard"),
}

# What is often mistaken for a table, by the bytes it begins with.
_OTHERS = (
    (b"%PDF", N_("this is a PDF; the table must be saved as CSV or XLSX")),
    (b"\x89PNG", N_("this is a picture")),
    (b"\xff\xd8\xff", N_("this is a picture")),
    (b"GIF8", N_("this is a picture")),
    (b"\x1f\x8b", N_("this is a packed file; unpack it first")),
    (b"BZh", N_("this is a packed file; unpack it first")),
    (b"\xfd7zXZ", N_("this is a packed file; unpack it first")),
    (b"7z\xbc\xaf", N_("this is a packed file; unpack it first")),
    (b"Rar!", N_("this is a packed file; unpack it first")),
    (b"SQLite format 3", N_("this is a database; export its table as CSV")),
    (b"{\\rtf", N_("this is a text document; the table must be saved as CSV or XLSX")),
    (b"\x7fELF", N_("this is a program")),
    (b"MZ\x90", N_("this is a program")),
)


def open_table(raw, name, choice=None):
    """The table in these bytes; raises Refused (app/exchange/reading.py) with file, row, column and why."""
    choice = choice or Choice()
    name = legible((name or "").replace("\\", "/").rsplit("/", 1)[-1]) or "file"
    if len(raw) > limits.FILE_BYTES:
        refuse(name, N_("the file has more than %(most)s MB"), most=limits.FILE_BYTES // 2**20)
    if not (raw[:1000].strip() or raw.strip()):  # not the whole of a large one just to look
        refuse(name, N_("the file is empty"))
    for beginning, message in _OTHERS:
        if raw.startswith(beginning):
            refuse(name, message)
    if raw.startswith((b"PK\x03\x04", b"PK\x05\x06")) or raw.startswith(spreadsheets.OLE):
        table = spreadsheets.read(raw, name, choice)
    elif vcards.is_vcard(raw):
        table = vcards.read(raw, name, choice)
    else:
        table = delimited.read(raw, name, choice)
    _look_at_ending(table)
    return table


def _look_at_ending(table):
    ending = f".{table.name.rsplit('.', 1)[-1].lower()}" if "." in table.name else ""
    meant = next((format for format, endings in ENDINGS.items() if ending in endings), None)
    if meant not in (None, table.format):
        message = N_("The name ends in %(ending)s, but this is %(format)s.")
        table.notes.append(Note(message, {"ending": ending, "format": table.format}))
