"""The ledger of reads and exports: what goes out is written down, counted, and traced by what it carries."""

import io
import re
import zipfile

import pytest
from pypdf import PdfReader
from sqlalchemy import select

from app.exchange.files import open_table
from app.models import ReadEntry
from app.rules.leaving_the_house import find_trace, typed_trace
from tests import factories
from tests.databases import on_both_engines


@pytest.fixture
def contacts(as_system):
    """Three contacts of North, one of South."""
    with as_system() as session:
        north, south = (factories.department(session, name).id for name in ("North", "South"))
        for number in range(3):
            factories.make(session, "contact", last_name=f"Vogel {number}", department_id=north)
        factories.make(session, "contact", last_name="Vogel South", department_id=south)


def entries(as_system):
    with as_system() as session:
        found = session.scalars(select(ReadEntry).order_by(ReadEntry.id)).all()
        return [(one.kind, one.entity, one.rows, one.trace, one.question) for one in found]


@on_both_engines
@pytest.mark.parametrize("kind", ["csv", "xlsx", "vcf"])
def test_an_export_is_written_down_and_carries_its_trace(contacts, client_for, as_system, kind):
    page = client_for("rep.north").request("GET", f"/contacts/export?format={kind}&q=vogel&last_name.not=Vogel+0")
    content = page.response.data
    ((what, entity, rows, trace, question),) = entries(as_system)
    assert (what, entity, rows) == ("export", "contact", 2)
    assert "Vogel 0" in question and "“vogel”" in question and f"/contacts/export?format={kind}" in question
    assert find_trace(content) == trace and len(trace) == 12
    assert trace in page.response.headers["Content-Disposition"]
    if kind == "xlsx":
        properties = zipfile.ZipFile(io.BytesIO(content)).read("docProps/core.xml").decode()
        assert f"<cp:keywords>foyer-trace:{trace}</cp:keywords>" in properties
    elif kind == "vcf":
        assert content.decode().count(trace) == 2, "each card carries it"


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_an_import_passes_over_the_mark(contacts, client_for, kind):
    content = client_for("rep.north").request("GET", f"/contacts/export?format={kind}").response.data
    table = open_table(content, f"leaked.{kind}")
    assert not [header for header in table.headers if "trace" in header]
    assert all(len(record.cells) == len(table.headers) and not record.faults for record in table.records())


def test_how_many_rows_went_out_is_told_when_the_reader_hangs_up(contacts, client_for, as_system, monkeypatch):
    monkeypatch.setattr("app.exchange.exporting.CHUNK", 1)
    client = client_for("rep.north")
    response = type(client.browser).open(client.browser, "/contacts/export?format=csv")
    pieces = iter(response.response)
    next(pieces), next(pieces), next(pieces)
    response.close()
    ((*_, rows, _trace, _question),) = entries(as_system)
    assert rows == 2


def test_a_file_that_asks_for_nonsense_leaves_no_entry(contacts, client_for, as_system):
    client_for("rep.north").request("GET", "/contacts/export?format=exe", status=400)
    assert entries(as_system) == []


@on_both_engines
def test_papers_are_written_down_too(client_for, as_system):
    with as_system() as session:
        invoice = factories.issued(session, department_id=factories.department(session, "Finance").id)
        key = invoice.id
    finance = client_for("finance")
    paper = finance.request("GET", f"/invoices/{key}/pdf", status=200).response.data
    report = finance.request("GET", "/reports/sales.pdf", status=200).response.data
    (kind, entity, *_), (_, of_report, _, trace, _) = entries(as_system)
    assert (kind, entity, of_report) == ("document", "invoice", "sales_report")
    read_back = PdfReader(io.BytesIO(report))
    assert read_back.metadata["/Keywords"] == f"foyer-trace:{trace}"
    assert trace in read_back.pages[0].extract_text()
    assert find_trace(report) == trace
    director = client_for("director")
    page = director.post("/reads/find", {"file": (io.BytesIO(paper), "leaked.pdf")}, status=200)
    assert "This left the house like this" in page and "Document" in page


@on_both_engines
def test_a_head_finds_out_whose_a_leaked_file_is(contacts, client_for, as_system):
    rep = client_for("rep.north")
    content = rep.request("GET", "/contacts/export?format=csv").response.data
    ((*_, trace, _),) = entries(as_system)
    head = client_for("head.sales")
    for sent in ({"trace": f"foyer-trace:{trace.lower()}"}, {"file": (io.BytesIO(content), "holiday.txt")}):
        page = head.post("/reads/find", sent, status=200)
        assert trace in page and "Ingrid Solberg" in page
    other = client_for("head.support").post("/reads/find", {"trace": trace}, status=200)
    assert "not among the exports that you may see" in other and "Ingrid Solberg" not in other
    assert "carries no trace" in head.post("/reads/find", {"file": (io.BytesIO(b"x"), "x")}, status=200)
    rep.post("/reads/find", {"trace": trace}, status=403)
    assert trace in rep.get("/reads/") and trace not in client_for("rep.south").get("/reads/")


def test_a_trace_is_read_however_it_is_typed():
    assert typed_trace(" foyer-trace: abcd efgh 2345 ") == "ABCDEFGH2345"
    assert typed_trace("foyer-trace:ABC") is None
    assert re.fullmatch("[A-Z2-9]{12}", typed_trace("ABCDEFGH2345"))
