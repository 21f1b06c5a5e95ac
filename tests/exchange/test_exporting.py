"""Export: what a list shows as CSV, XLSX and vCards, and back again."""

import csv
import io
from datetime import date, datetime
from decimal import Decimal

import pytest
import python_calamine

from app.exchange import files, formulas
from app.exchange.workbook import LONGEST, workbook
from tests import factories
from tests.databases import on_both_engines
from tests.prove import exports

ODD = "=1+1", "+49 30 123", "-x", "@SUM(A1)", "\tx", "'=x", "''+", "'plain", "＝1"


def lines_of(page):
    raw = page.response.get_data()
    assert raw.startswith(b"\xef\xbb\xbf")
    lines = list(csv.reader(io.StringIO(raw.decode("utf-8-sig"), newline="")))
    assert lines[0][-1].startswith("foyer-trace:") and not any(line[-1] for line in lines[1:])
    return [line[:-1] for line in lines]


def sheet_of(raw, number=0):
    book = python_calamine.load_workbook(io.BytesIO(raw))
    return book.get_sheet_by_index(number).to_python()


# --------------------------------------------------------------------------------------------- formulas


@pytest.mark.parametrize("text", [*ODD, "plain", "", "1+1", " =1"])
def test_a_text_comes_back_from_behind_its_mark(text):
    assert formulas.restored(formulas.disarmed(text)) == text


@pytest.mark.parametrize("text", (*ODD[:5], "＝1"))
def test_no_cell_begins_like_a_formula(text):
    assert formulas.disarmed(text) == f"'{text}"


# --------------------------------------------------------------------------------------------- workbooks


def made(rows, headers=("a", "b"), **more):
    return b"".join(workbook("Sheet: 1/2", list(headers), iter(rows), **more))


def test_a_workbook_holds_values_of_their_own_kinds():
    row = ["x", 3], [Decimal("1.50"), date(2026, 3, 4)], [True, datetime(2026, 3, 4, 12, 30, 15)], [None, ""]
    rows = sheet_of(made(row))
    assert rows[:3] == [["a", "b"], ["x", 3], [1.5, date(2026, 3, 4)]]
    assert rows[3] == [True, datetime(2026, 3, 4, 12, 30, 15)]


@pytest.mark.parametrize("text", [*ODD, "two\nlines", "a\rb", "\x0b", "_x0041_", '<&>"', "日本", "  edges  "])
def test_any_text_comes_back_from_a_workbook(text):
    assert sheet_of(made([[text, "end"]]))[1][0] == text


def test_texts_are_never_formulas():
    import zipfile

    archive = zipfile.ZipFile(io.BytesIO(made([list(ODD[:2])], headers=("=cmd|' /C calc'!A0", "b"))))
    assert archive.testzip() is None
    assert b"<f>" not in archive.read("xl/worksheets/sheet1.xml")


def test_what_has_no_room_in_a_cell_is_named_on_a_sheet_of_its_own():
    raw = made([["x" * (LONGEST + 1), 1], ["x" * LONGEST, 2]], too_long="Too long")
    assert [row[1] for row in sheet_of(raw)] == ["b", 1, 2]
    assert len(sheet_of(raw)[2][0]) == LONGEST
    assert sheet_of(raw, 1)[1] == ["Sheet 1 2", "A2", LONGEST + 1]


def test_more_rows_than_a_sheet_takes_go_on_with_the_next(monkeypatch):
    monkeypatch.setattr("app.exchange.workbook.MOST_ROWS", 3)
    raw = made([[number, ""] for number in range(5)])
    sheets = [[row[0] for row in sheet_of(raw, number)] for number in range(3)]
    assert sheets == [["a", 0, 1], ["a", 2, 3], ["a", 4]]
    exact = made([[number, ""] for number in range(4)])
    assert len(python_calamine.load_workbook(io.BytesIO(exact)).sheet_names) == 2


# --------------------------------------------------------------------------------------------- lists


@pytest.fixture
def people(as_system):
    """A company and contacts of the North with everything odd about them, and one of the South."""
    with as_system() as session:
        north, south = (factories.department(session, name).id for name in ("North", "South"))
        company = factories.make(session, "company", name="Ernst Handel", department_id=north)
        factories.make(session, "company", name="ernst  handel", department_id=north)
        hidden = factories.make(session, "company", name="Secret Ltd", department_id=south)
        tag = factories.make(session, "tag", name="Fair")
        for number, text in enumerate(ODD):
            row = factories.make(
                session,
                "contact",
                first_name=None,
                last_name=text.strip() or "x",
                phone="+49 30 123",
                notes=f"{text.strip()}\nsecond; line, “quoted”",
                city="Graz" if number % 2 else "Wien",
                company_id=(hidden if number == 3 else company).id,
                birth_date=date(1899, 5, 6) if number == 1 else date(1985, 4, 12),
                department_id=north,
            )
            factories.make(session, "tagging", tag=tag, entity="contact", record_id=row.id)
        factories.make(session, "contact", last_name="Elsewhere", department_id=south)
        return company.id


@on_both_engines
def test_a_list_is_exported_as_it_is_filtered_and_sorted(people, client_for):
    rep = client_for("rep.north")
    page = rep.get("/contacts/export?format=csv&city.is=Graz&sort=-last_name&links=names")
    header, *rows = lines_of(page)
    assert header == ["Last name", "First name", "Company", "E-mail", "Phone", "City"]
    assert {row[5] for row in rows} == {"Graz"} and len(rows) == 4
    assert {row[4] for row in rows} == {"'+49 30 123"}
    names = [formulas.restored(row[0]) for row in rows]
    assert len(names) == 4 and "Elsewhere" not in names
    assert [row[2] for row in rows].count("") == 1, "a link that is not seen is an empty cell"
    assert page.response.headers["Content-Disposition"].startswith('attachment; filename="contacts-')


@on_both_engines
def test_all_columns_and_chosen_rows(people, client_for):
    rep = client_for("rep.north")
    header, *rows = lines_of(rep.get("/contacts/export?columns=all"))
    assert header[0] == "No." and {"Tags", "Notes", "Department", "Created"} <= set(header)
    assert {row[header.index("Tags")] for row in rows} == {"Fair"}
    assert {row[header.index("Company")] for row in rows} == {f"Ernst Handel (#{people})", ""}
    ids = [row[0] for row in rows[:2]]
    chosen = lines_of(rep.get(f"/contacts/export?columns=last_name&ids={ids[0]}&ids={ids[1]}"))
    assert [row[0] for row in chosen[1:]] == ids and chosen[0] == ["No.", "Last name"]


@pytest.mark.parametrize("address", ["format=exe", "columns=password", "links=all", "ids=x", "city.of=x"])
def test_what_is_not_offered_is_said(client_for, address):
    assert client_for("rep.north").get(f"/contacts/export?{address}", status=400)


def test_only_contacts_are_cards(client_for):
    assert client_for("rep.north").get("/companies/export?format=vcf", status=400)


def test_who_may_not_see_a_list_does_not_export_it(client_for):
    assert client_for("admin").get("/contacts/export", status=403)


@on_both_engines
def test_cards_are_escaped_and_folded_and_can_be_imported(people, client_for):
    raw = client_for("rep.north").get("/contacts/export?format=vcf&sort=id").response.get_data()
    assert all(len(line) <= 75 for line in raw.split(b"\r\n"))
    table = files.open_table(raw, "contacts.vcf")
    records = [dict(zip(table.headers, record.cells, strict=True)) for record in table.records()]
    assert [one["Last name"] for one in records] == [text.strip() or "x" for text in ODD]
    assert records[0]["Notes"] == "=1+1\nsecond; line, “quoted”"
    assert records[0]["Phone"] == "+49 30 123" and records[0]["Company"] == "Ernst Handel"
    assert records[1]["Date of birth"] == "1899-05-06" and records[3]["Company"] == ""


def test_the_proof_of_large_exports_runs_in_small():
    outcomes = exports.prove("sqlite", [20, 400])
    assert [outcome.faults for outcome in outcomes] == [[]] * 4
    assert [outcome.arrived for outcome in outcomes] == [20, 20, 400, 400]
    assert "arrived" in exports.table(outcomes)
