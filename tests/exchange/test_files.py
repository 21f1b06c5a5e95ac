"""What people bring, whole or broken: a table comes out, or a sentence; the rest of the machine feels nothing."""

import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from app.exchange.files import Choice, limits, open_table
from app.exchange.reading import Refused
from tests.exchange import malformed

GOOD = malformed.GOOD.encode()


@pytest.mark.parametrize("kind", malformed.KINDS)
def test_a_malformed_file_is_put_into_words_or_read_as_far_as_it_is_good(kind):
    name, content, expected = malformed.content_of(kind)
    try:
        records = list(open_table(content, name).records())
    except Refused as refused:
        said = str(refused.report.refusals[0])
        assert isinstance(expected, str), said
        assert expected in said and said.startswith(name)
    else:
        faulty = [record for record in records if record.faults]
        assert (len(records) - len(faulty), len(faulty)) == expected
        assert all(str(fault) and fault.row for record in faulty for fault in record.faults)


def test_there_are_at_least_forty_kinds_and_none_of_them_swells_a_process():
    assert len(malformed.KINDS) >= 40
    reader = subprocess.run(
        [sys.executable, "-c", READ_THEM_ALL], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert int(reader.stdout) < 512 * 1024


ROOT = Path(__file__).parents[2]
# A process of its own, which has held nothing else: prints the most that it held, in kB.
READ_THEM_ALL = """
from contextlib import suppress
from pathlib import Path
from app.exchange.files import open_table
from app.exchange.reading import Refused
from tests.exchange import malformed
for kind in malformed.KINDS:
    name, content, _ = malformed.content_of(kind)
    with suppress(Refused):
        list(open_table(content, name).records())
print(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
"""


@pytest.mark.parametrize(
    "name, content, format",
    [
        ("a.csv", GOOD, "CSV"),
        ("a.tsv", GOOD.replace(b",", b"\t"), "CSV"),
        ("a.csv", GOOD.replace(b",", b";"), "CSV"),
        ("a.csv", GOOD.replace(b",", b"|"), "CSV"),
        ("a.xlsx", malformed.sound(), "XLSX"),
        ("a.xls", malformed.old_workbook(malformed.ROWS), "XLS"),
        ("a.ods", malformed.open_document(malformed.ROWS), "ODS"),
    ],
)
def test_every_format_gives_the_same_table(name, content, format):
    table = open_table(content, name)
    assert table.format == format and table.notes == []
    assert table.headers == ["Name", "E-mail"]
    assert [record.cells for record in table.records()] == [
        ["Anna", "anna@firm.example"],
        ["Bert", "bert@firm.example"],
    ]
    assert [record.number for record in table.records()] == [2, 3]


def test_delimiter_encoding_sheet_and_header_are_found_and_can_be_chosen():
    text = "Liste\nName;Ort;Land\nMüller, Anna;Köln;DE\nGroß, Bert;Fürth;DE\n".encode("cp1252")
    table = open_table(text, "a.csv")
    assert (table.encoding, table.delimiter, table.header_row) == ("cp1252", ";", 2)
    assert next(table.records()).cells == ["Müller, Anna", "Köln", "DE"]
    chosen = open_table(text, "a.csv", Choice(encoding="cp850", delimiter=",", header_row=2))
    assert (chosen.encoding, chosen.delimiter, chosen.headers[0]) == ("cp850", ",", "Name;Ort;Land")
    bare = open_table(b"Anna,Ernst\nBert,Ernst\n", "a.csv", Choice(header_row=0))
    assert bare.headers == ["(A)", "(B)"] and len(list(bare.records())) == 2
    with pytest.raises(Refused, match="no sheet “Nothing”"):
        open_table(malformed.sound(), "a.xlsx", Choice(sheet="Nothing"))


def test_values_of_a_spreadsheet_keep_their_types():
    content = malformed.workbook([("Name", "Count", "Price", "Sold"), ("Chai", 12, 1.5, True)])
    assert next(open_table(content, "a.xlsx").records()).cells == ["Chai", 12, 1.5, True]
    day = malformed.old_workbook([("Name", "On"), ("Anna", date(2026, 3, 4))])
    found = next(open_table(day, "a.xls").records()).cells[1]
    assert found in (date(2026, 3, 4), 46085), "xlwt writes a bare number where it is given no format"


def test_a_card_is_read_in_each_version():
    cards = (
        "BEGIN:VCARD\r\nVERSION:2.1\r\nN;CHARSET=ISO-8859-1;ENCODING=QUOTED-PRINTABLE:M=FCller;J=\r\n=FCrgen\r\n"
        "TEL;CELL:0171 1\r\nADR;HOME:;;Am Markt 1;K=C3=B6ln;;50667;DE\r\nEND:VCARD\r\n"
        "BEGIN:VCARD\r\nVERSION:3.0\r\nN:O\\;Hara;Ann\r\n ;Marie;;\r\nORG:Acme\\, Inc.;Sales\r\nEMAIL;TYPE=work:"
        "a@x.example\r\nEMAIL:b@x.example\r\nBDAY:1985-04-12T00:00:00Z\r\nNOTE:one\\ntwo\r\nEND:VCARD\r\n"
        "BEGIN:VCARD\r\nVERSION:4.0\r\nUID:urn:uuid:1\r\nFN:Ada Lovelace\r\n"
        'item1.TEL;VALUE=uri;TYPE="voice,fax":tel:+49-30-1\r\nPHOTO:data:image/png;base64,AAAA\r\nEND:VCARD\r\n'
    )
    table = open_table(cards.encode(), "a.vcf")
    first, second, third = (dict(zip(table.headers, one.cells, strict=True)) for one in table.records())
    assert (first["First name"], first["Last name"], first["Mobile"]) == ("Jürgen", "Müller", "0171 1")
    assert (first["Street"], first["Postal code"]) == ("Am Markt 1", "50667")
    assert (second["First name"], second["Last name"]) == ("Ann Marie", "O;Hara")
    assert (second["Company"], second["E-mail"], second["E-mail 2"]) == (
        "Acme, Inc.",
        "a@x.example",
        "b@x.example",
    )
    assert (second["Date of birth"], second["Notes"]) == ("1985-04-12", "one\ntwo")
    assert (third["First name"], third["Last name"], third["Fax"]) == ("Ada", "Lovelace", "+49-30-1")
    assert third["UID"] == "urn:uuid:1"


def test_what_was_doubtful_is_told():
    def notes(content, name="a.csv"):
        return " ".join(str(note) for note in open_table(content, name).notes)

    assert "stands more than once" in notes(b"a,a\n1,2\n")
    assert "Column B has no header" in notes(b"a,,c\n1,2,3\n")
    assert "does not end" in notes(b"a,b\n1,2")
    assert "this is CSV" in notes(GOOD, "a.xls")
    assert "neither run nor kept" in notes(malformed.content_of("macros")[1], "a.xlsm")
    assert "cp1252" in notes("Name,Ort\nMüller,Köln\n".encode("cp1252"))


def test_a_file_of_a_million_rows_is_read_row_by_row(monkeypatch):
    monkeypatch.setattr(limits, "ROWS", 50)
    table = open_table(b"a,b\n" + b"1,2\n" * 51, "a.csv")
    with pytest.raises(Refused, match="more than 50 rows"):
        list(table.records())
    monkeypatch.setattr(limits, "FILE_BYTES", 10)
    with pytest.raises(Refused, match="MB"):
        open_table(GOOD, "a.csv")
