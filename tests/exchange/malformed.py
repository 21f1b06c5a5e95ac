"""Files that should never have been made: each with what must be said of it, or how many of its rows are good.

`KINDS` maps a kind to (file name, bytes, expected): a piece of the refusal, or (good rows, faulty rows).
"""

import io
import struct
import zipfile
import zlib
from functools import cache

import xlsxwriter
import xlwt

GOOD = "Name,E-mail\nAnna,anna@firm.example\nBert,bert@firm.example\n"


def workbook(rows, sheet="People"):
    """A small XLSX."""
    content = io.BytesIO()
    book = xlsxwriter.Workbook(content)
    page = book.add_worksheet(sheet)
    for number, row in enumerate(rows):
        page.write_row(number, 0, row)
    book.close()
    return content.getvalue()


def old_workbook(rows):
    """A small XLS."""
    book, content = xlwt.Workbook(), io.BytesIO()
    page = book.add_sheet("People")
    for number, row in enumerate(rows):
        for position, cell in enumerate(row):
            page.write(number, position, cell)
    book.save(content)
    return content.getvalue()


def open_document(rows, more=""):
    """A small ODS, made by hand."""
    cells = "".join(
        "<table:table-row>"
        + "".join(
            f'<table:table-cell office:value-type="string"{more}><text:p>{cell}</text:p></table:table-cell>'
            for cell in row
        )
        + "</table:table-row>"
        for row in rows
    )
    content = (
        '<?xml version="1.0" encoding="UTF-8"?><office:document-content '
        'xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" '
        'xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0" '
        'xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0" office:version="1.2"><office:body>'
        f'<office:spreadsheet><table:table table:name="People">{cells}</table:table>'
        "</office:spreadsheet></office:body></office:document-content>"
    )
    return packed(
        {
            "mimetype": b"application/vnd.oasis.opendocument.spreadsheet",
            "content.xml": content.encode(),
            "META-INF/manifest.xml": b'<?xml version="1.0"?><manifest:manifest xmlns:manifest="urn:oasis:names:'
            b'tc:opendocument:xmlns:manifest:1.0"/>',
        }
    )


def packed(parts):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return content.getvalue()


ROWS = [("Name", "E-mail"), ("Anna", "anna@firm.example"), ("Bert", "bert@firm.example")]


@cache
def sound():
    return workbook(ROWS)


def rebuilt(change):
    """The sound workbook with its parts changed: `change(parts)`."""
    with zipfile.ZipFile(io.BytesIO(sound())) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    change(parts)
    return packed(parts)


def with_part(name, content):
    return rebuilt(lambda parts: parts.update({name: content}))


def with_sheet(old, new):
    name = "xl/worksheets/sheet1.xml"
    return rebuilt(lambda parts: parts.update({name: parts[name].replace(old, new)}))


@cache
def bomb(megabytes):
    """A workbook with one part that unpacks to so many megabytes of zeros."""
    content = io.BytesIO(sound())
    with (
        zipfile.ZipFile(content, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("xl/media/big.bin", "w", force_zip64=True) as part,
    ):
        for _ in range(megabytes):
            part.write(bytes(2**20))
    return content.getvalue()


def lying_bomb(megabytes):
    """A bomb whose directory says that nothing is in it."""
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = b"".join(squeezer.compress(bytes(2**20)) for _ in range(megabytes)) + squeezer.flush()
    raw = packed({"xl/workbook.xml": b"<workbook/>", "[Content_Types].xml": b"<Types/>"})
    end = raw.rindex(b"PK\x05\x06")
    start = struct.unpack("<I", raw[end + 16 : end + 20])[0]
    directory = raw[start:end]
    name = b"xl/media/big.bin"
    fields = (20, 0, 8, 0, 0, 0, len(data), 10, len(name))
    local = b"PK\x03\x04" + struct.pack("<HHHHHIIIHH", *fields, 0) + name + data
    entry = b"PK\x01\x02" + struct.pack("<HHHHHHIIIHHHHHII", 20, *fields, 0, 0, 0, 0, 0, start) + name
    body = raw[:start] + local
    closing = struct.pack("<HHHHIIH", 0, 0, 3, 3, len(directory) + len(entry), len(body), 0)
    return body + directory + entry + b"PK\x05\x06" + closing


def encrypted():
    """What an XLSX with a password looks like from outside: an OLE file with such a stream."""
    return (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500) + "EncryptedPackage".encode("utf-16-le") + bytes(600)
    )


def ole_with(stream):
    return b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500) + stream.encode("utf-16-le") + bytes(600)


def sparse():
    """Two cells, in the first and the last corner of a sheet: seventeen thousand million cells to a naive reader."""
    return with_sheet(
        b"</sheetData>",
        b'<row r="1048576"><c r="XFD1048576" t="inlineStr"><is><t>end</t></is></c></row></sheetData>',
    )


def ods_repeated():
    return open_document(ROWS[:2], ' table:number-columns-repeated="16384"').replace(b"x", b"x")


def csv_of(columns, rows=2):
    header = ",".join(f"h{number}" for number in range(columns))
    return (header + "\n" + (",".join("v" * 1 for _ in range(columns)) + "\n") * rows).encode()


CARD = "BEGIN:VCARD\r\nVERSION:3.0\r\nN:Ernst;Anna;;;\r\nFN:Anna Ernst\r\nEMAIL:a@x.example\r\nEND:VCARD\r\n"

KINDS = {
    # ---- nothing, or nothing of use
    "empty": ("a.csv", b"", "the file is empty"),
    "blanks only": ("a.csv", b" \r\n\r\n  \n", "the file is empty"),
    "byte order mark only": ("a.csv", b"\xef\xbb\xbf", "the file is empty"),
    "delimiters only": ("a.csv", b",,,\n,,,\n", "the file is empty"),
    "header without rows": ("a.csv", b"Name,E-mail\n", "no rows"),
    "header and empty rows": ("a.csv", b"Name,E-mail\n,\n,\n", "no rows"),
    "workbook without cells": ("a.xlsx", lambda: workbook([]), "no sheet of the workbook holds anything"),
    # ---- encodings
    "utf-8 with its mark": ("a.csv", b"\xef\xbb\xbf" + GOOD.encode(), (2, 0)),
    "utf-16 with its mark": ("a.csv", GOOD.encode("utf-16"), (2, 0)),
    "utf-16 without its mark": ("a.csv", GOOD.encode("utf-16-le"), (2, 0)),
    "utf-16 big end first": ("a.csv", GOOD.encode("utf-16-be"), (2, 0)),
    "utf-32": ("a.csv", GOOD.encode("utf-32"), (2, 0)),
    "windows letters": ("a.csv", "Name;Ort\nMüller;Köln\nGroß;Fürth\n".encode("cp1252"), (2, 0)),
    "one broken byte in utf-8": (
        "a.csv",
        "Name,City\nMüller,Köln\nJäger,Fürth\n".encode() + b"Bro\xffken,x\n",
        (2, 1),
    ),
    "utf-8 cut inside a letter": ("a.csv", "Name,City\nA,Köln\nB,Gö".encode()[:-1], (1, 1)),
    "utf-16 cut inside a letter": ("a.csv", GOOD.encode("utf-16")[:-1], (2, 0)),
    "a NUL in a value": ("a.csv", b"Name,E-mail\nAn\0na,a@x.example\nBert,b@x.example\n", (1, 1)),
    "binary noise": ("a.csv", bytes(range(256)) * 40, "no text and no workbook"),
    "control characters": ("a.csv", b"\x01\x02\x03\x04\x05" * 400, "no text and no workbook"),
    # ---- rows
    "a row too short": ("a.csv", b"a,b,c\n1,2,3\n1,2\n", (1, 1)),
    "a row too long": ("a.csv", b"a,b\n1,2\n1,2,3\n", (1, 1)),
    "empty values too many": ("a.csv", b"a,b\n1,2,,,\n1,2\n", (2, 0)),
    "a quotation mark never closed": ("a.csv", b'a,b\n1,"two\n3,4\n', "never closed"),
    "text behind a quotation mark": ("a.csv", b'a,b\n"one" more,2\n', "the row is broken"),
    "the last line does not end": ("a.csv", b"a,b\n1,2\n3,4", (2, 0)),
    "line ends mixed": ("a.csv", b"a,b\r\n1,2\n3,4\r5,6\n", (3, 0)),
    "Excel's line about the delimiter": ("a.csv", b"sep=;\r\na;b\r\n1;2\r\n", (1, 0)),
    "lines above the header": ("a.csv", b"List of 2026\n\nname,mail,city\na,b,c\nd,e,f\n", (2, 0)),
    # ---- headers
    "doubled headers": ("a.csv", b"Name,Name,Name\na,b,c\n", (1, 0)),
    "empty headers": ("a.csv", b"Name,,City\na,b,c\n", (1, 0)),
    "a header of line breaks": ("a.csv", b'"Na\nme",b\n1,2\n', (1, 0)),
    "too many columns": ("a.csv", csv_of(501), "more than 500 columns"),
    # ---- size
    "a huge value": ("a.csv", b"a,b\n1," + b"x" * 200_000 + b"\n", "more than 131,072 characters"),
    "a huge cell in a workbook": (
        "a.xlsx",
        lambda: with_sheet(
            b"</sheetData>",
            b'<row r="9"><c r="A9" t="inlineStr"><is><t>'
            + b"x" * 200_000
            + b"</t></is></c></row></sheetData>",
        ),
        "more than 131,072 characters",
    ),
    "zip bomb": ("a.xlsx", lambda: bomb(800), "unpacked, the workbook has more than"),
    "zip bomb that lies": ("a.xlsx", lambda: lying_bomb(40), "broken or was cut off"),
    "a sheet of two corners": ("a.xlsx", sparse, "takes more memory"),
    "a workbook of many parts": (
        "a.xlsx",
        lambda: rebuilt(lambda parts: parts.update({f"xl/media/{n}.png": b"" for n in range(6000)})),
        "too many parts",
    ),
    # ---- not what the name says
    "CSV called xlsx": ("a.xlsx", GOOD.encode(), (2, 0)),
    "XLSX called csv": ("a.csv", sound, (2, 0)),
    "XLS called xlsx": ("a.xlsx", lambda: old_workbook(ROWS), (2, 0)),
    "web page called xls": (
        "a.xls",
        b"<html><body><table><tr><td>x</td></tr></table></body></html>",
        "web page",
    ),
    "XML called csv": ("a.csv", b'<?xml version="1.0"?><a><b>1</b></a>', "web page or XML"),
    "JSON called csv": ("a.csv", b'[{"name": "Anna"}]', "this is JSON"),
    "PDF called csv": ("a.csv", b"%PDF-1.7 and so on", "this is a PDF"),
    "picture called xlsx": ("a.xlsx", b"\x89PNG\r\n\x1a\n" + bytes(50), "this is a picture"),
    "packed text": ("a.csv", b"\x1f\x8b\x08" + bytes(50), "unpack it first"),
    "plain archive called xlsx": ("a.xlsx", lambda: packed({"readme.txt": b"hello"}), "unpack it first"),
    "text document called xlsx": ("a.xlsx", lambda: packed({"word/document.xml": b"<w/>"}), "text document"),
    "binary workbook": ("a.xlsb", lambda: packed({"xl/workbook.bin": b"x"}), "binary workbook"),
    "old text document called xls": ("a.xls", ole_with("WordDocument"), "text document"),
    "calendar called csv": ("a.csv", b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n", "calendar"),
    # ---- hostile or broken inside
    "external entity": (
        "a.xlsx",
        lambda: with_part(
            "xl/sharedStrings.xml",
            b'<?xml version="1.0"?><!DOCTYPE sst [<!ENTITY x SYSTEM "file:///etc/passwd">]><sst><si><t>&x;</t></si></sst>',
        ),
        "defines entities",
    ),
    "a thousand million laughs": (
        "a.xlsx",
        lambda: with_part(
            "xl/workbook.xml",
            '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><a/>'.encode("utf-16"),
        ),
        "defines entities",
    ),
    "entities in an ODS": (
        "a.ods",
        lambda: packed(
            {
                "mimetype": b"application/vnd.oasis.opendocument.spreadsheet",
                "content.xml": b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e "x">]><x>&e;</x>',
            }
        ),
        "defines entities",
    ),
    "macros": ("a.xlsm", lambda: with_part("xl/vbaProject.bin", b"\xd0\xcf\x11\xe0 macro"), (2, 0)),
    "a password": ("a.xlsx", encrypted(), "locked with a password"),
    "a workbook cut off": ("a.xlsx", lambda: sound()[: len(sound()) // 2], "broken or was cut off"),
    "a workbook with a flipped byte": (
        "a.xlsx",
        lambda: bytes(byte ^ 0xFF if number == 60 else byte for number, byte in enumerate(sound())),
        "broken or was cut off",
    ),
    "a sheet of broken XML": (
        "a.xlsx",
        lambda: with_sheet(b"<sheetData>", b"<sheetData><row><c <<<"),
        "broken or was cut off",
    ),
    "a sheet that is not there": (
        "a.xlsx",
        lambda: rebuilt(lambda parts: parts.pop("xl/worksheets/sheet1.xml")),
        "broken or was cut off",
    ),
    "an XLS cut off": ("a.xls", lambda: old_workbook(ROWS)[:2000], "was cut off"),
    "ODS cut off": ("a.ods", lambda: open_document(ROWS)[:300], "broken or was cut off"),
    # ---- vCards
    "a card that does not end": ("a.vcf", (CARD + CARD[:60]).encode(), (1, 1)),
    "odd lines in a card": ("a.vcf", CARD.replace("FN:", "???\r\n:::\r\nFN:").encode(), (1, 0)),
    "a card in a card": ("a.vcf", CARD.replace("END", CARD + "END", 1).encode(), (1, 0)),
    "windows letters in a card": ("a.vcf", CARD.replace("Ernst", "Müßig").encode("cp1252"), (1, 0)),
}


def content_of(kind):
    """(file name, bytes, expected) of a kind."""
    name, content, expected = KINDS[kind]
    return name, content() if callable(content) else content, expected
