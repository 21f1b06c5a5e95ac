"""An export comes in whole or not at all, and nothing of it twice."""

from decimal import Decimal

import pytest
from rich.console import Console
from sqlalchemy import func, select

import run
from app.commands.import_ import run_import
from app.exchange.reading import Refused
from app.models import ENTITIES, ChangeSet, Company, Contact, Deal, ExternalKey, Invoice, Product, Staff
from tests.databases import on_both_engines, without_accounts
from tests.exchange import export


@pytest.fixture
def folder(tmp_path):
    return export.write(tmp_path / "northwind")


@pytest.fixture
def bring_in(app, folder):
    """`bring_in()` imports the folder as it lies there and returns the report."""

    def work():
        with app.app_context():
            return run_import(app, "northwind", folder, "Sales", Console(quiet=True))[1]

    return work


@pytest.fixture
def count(as_system):
    """`count()` is how many rows every table holds."""

    def work():
        with as_system() as session:
            return {
                name: session.scalar(select(func.count()).select_from(model.__table__))
                for name, model in ENTITIES.items()
            }

    return work


@on_both_engines
def test_everything_comes_in_and_the_sums_agree(bring_in, as_system):
    report = bring_in()
    assert dict(report.records) == {
        **{"company": 4, "contact": 4, "staff": 2, "product": 2},
        **{"deal": 3, "deal_line": 4, "invoice": 2},
    }
    assert sum(report.read.values()) == 17
    assert {what: (theirs, ours) for what, theirs, ours in report.money} == {
        "Invoices, net": (Decimal(export.NET_INVOICED),) * 2,
        "Open deals": (Decimal(export.NET_OPEN),) * 2,
        "Together": (Decimal("479.55"),) * 2,
    }


@on_both_engines
def test_a_second_run_creates_nothing_and_changes_nothing(bring_in, count):
    bring_in()
    before = count()
    report = bring_in()
    assert sum(report.created.values()) == sum(report.records.values()) == 0
    assert sum(report.skipped.values()) == 15, "all but the categories, which are looked up only"
    assert count() == before


@on_both_engines
def test_it_is_one_change_set_through_the_door_of_imports(bring_in, as_system):
    bring_in()
    with as_system() as session:
        sets = session.scalars(select(ChangeSet).where(ChangeSet.door == "import")).all()
        assert [(one.why, one.by_id) for one in sets] == [("northwind", None)]


def test_invoices_take_their_numbers_in_the_order_of_shipping(bring_in, as_system):
    bring_in()
    with as_system() as session:
        issued = session.execute(
            select(Invoice.number, Invoice.issued_on, Deal.name).join(Invoice.deal).order_by(Invoice.number)
        ).all()
    assert [(number, str(day), name) for number, day, name in issued] == [
        ("INV-1996-00001", "1996-07-10", "Order 10249"),
        ("INV-1996-00002", "1996-07-16", "Order 10248"),
    ]


def test_an_order_becomes_a_deal_of_its_employee_and_customer(bring_in, as_system):
    bring_in()
    with as_system() as session:
        deal = session.scalars(select(Deal).where(Deal.name == "Order 10248")).one()
        assert (deal.company.name, str(deal.contact), deal.owner.name) == (
            "Alfreds Futterkiste",
            "Maria Anders",
            "Nancy Davolio",
        )
        assert deal.department.name == "Sales"
        assert (str(deal.opened_on), str(deal.expected_on), str(deal.closed_on)) == (
            "1996-07-04",
            "1996-08-01",
            "1996-07-16",
        )
        assert (deal.stage.outcome, deal.freight, deal.amount) == ("won", Decimal("32.38"), Decimal("251.30"))
        assert "Obere Str. 57, 12209 Berlin, Germany" in deal.notes
        assert [line.net for line in deal.lines] == [Decimal("168.00"), Decimal("83.30")]


def test_what_was_not_shipped_stays_open_and_without_invoice(bring_in, as_system):
    bring_in()
    with as_system() as session:
        deal = session.scalars(select(Deal).where(Deal.name == "Order 11077")).one()
        assert (deal.stage.outcome, deal.closed_on, deal.amount) == ("open", None, Decimal("60.85"))
        assert session.scalars(select(Invoice).where(Invoice.deal_id == deal.id)).all() == []


def test_employees_have_left_and_keep_their_reporting_line(bring_in, as_system, anonymous):
    bring_in()
    with as_system() as session:
        nancy = session.scalars(select(Staff).where(Staff.name == "Nancy Davolio")).one()
        assert nancy.has_left and nancy.reports_to.name == "Andrew Fuller"
        assert (nancy.department.name, str(nancy.joined_on)) == ("Sales", "1992-05-01")
    page = anonymous.get("/login/")
    refused = {"username": "nancy.davolio", "password": "", "csrf_token": page.csrf_token}
    anonymous.post("/login/", refused, status=(200, 401, 403, 422))


def test_ids_are_trimmed_and_blanks_and_nulls_are_nothing(bring_in, as_system):
    bring_in()
    with as_system() as session:
        keys = session.scalars(select(ExternalKey.their_id).where(ExternalKey.entity == "company")).all()
        assert sorted(keys) == ["1", "2", "ALFKI", "Val2"]
        tokyo = session.scalars(select(Company).where(Company.name == "Tokyo Traders")).one()
        assert (tokyo.street, tokyo.region, tokyo.country) == ("9-8 Sekimai, Musashino-shi", None, "Japan")
        assert tokyo.website == "http://tokyo.example/x"
        alone = session.scalars(select(Contact).where(Contact.last_name == "Val2")).one()
        assert alone.first_name is None


def test_products_know_category_supplier_and_whether_they_are_sold(bring_in, as_system):
    bring_in()
    with as_system() as session:
        mix = session.scalars(select(Product).where(Product.name.startswith("Chef"))).one()
        assert (mix.category, mix.supplier.name, mix.is_active) == ("Condiments", "Tokyo Traders", False)
        assert (mix.price, mix.currency) == (Decimal("21.3500"), "EUR")


def test_new_orders_come_in_later_on(bring_in, folder):
    bring_in()
    export.change(folder, "orders.csv", "11077,", "11078,ALFKI,1,1998-05-07,,,,1.00,,,,,,\r\n11077,")
    export.change(folder, "order_lines.csv", "11077,2", "11078,1,18,2,0\r\n11077,2")
    report = bring_in()
    assert dict(+report.records) == {"deal": 1, "deal_line": 1}


def test_what_was_deleted_here_comes_in_anew(bring_in, folder, as_system):
    bring_in()
    with as_system() as session:
        for deal in session.scalars(select(Deal).where(Deal.name == "Order 11077")):
            session.delete(deal)
        supplier = session.scalars(select(Company).where(Company.name == "Exotic Liquids")).one()
        for product in session.scalars(select(Product).where(Product.supplier_id == supplier.id)):
            product.supplier_id = None
        for contact in session.scalars(select(Contact).where(Contact.company_id == supplier.id)):
            session.delete(contact)
        session.flush()
        session.delete(supplier)
    export.change(folder, "products.csv", "2,Chef", "3,Aniseed,1,2,,10,,,,0\r\n2,Chef")
    bring_in()
    with as_system() as session:
        anew = session.scalars(select(Product).where(Product.name == "Aniseed")).one()
        assert anew.supplier.name == "Exotic Liquids"


# --------------------------------------------------------------------------------------------- refusals

CUSTOMER = "Alfreds Futterkiste"
BROKEN = {
    "a column is missing": ("orders.csv", "OrderDate,", "", "row 1, column OrderDate: the column is missing"),
    "a column is unknown": (
        "categories.csv",
        "Description",
        "Text",
        "row 1, column Text: the column is not known",
    ),
    "a number is none": ("order_lines.csv", "9.8", "9,8", "row 3, column Discount: the row has 6 values"),
    "a number is a word": (
        "order_lines.csv",
        "9.8",
        "cheap",
        "row 3, column UnitPrice: “cheap” is no number",
    ),
    "a number is infinite": (
        "order_lines.csv",
        "9.8",
        "Infinity",
        "row 3, column UnitPrice: “Infinity” is no number",
    ),
    "a number is not Latin": ("order_lines.csv", "9.8", "٩", "row 3, column UnitPrice: “٩” is no number"),
    "a number has too many places": (
        "order_lines.csv",
        "9.8",
        "9.80001",
        "row 3, column UnitPrice: “9.80001” has more",
    ),
    "a discount is above one": (
        "order_lines.csv",
        "0.15",
        "15",
        "row 3, column Discount: “15” is more than 1",
    ),
    "a quantity is zero": (
        "order_lines.csv",
        "9.8,10",
        "9.8,0",
        "row 3, column Quantity: The quantity cannot be zero",
    ),
    "a date is none": (
        "orders.csv",
        "1996-07-05",
        "05.07.96",
        "row 3, column OrderDate: “05.07.96” is no date",
    ),
    "a date does not exist": (
        "orders.csv",
        "1996-07-05",
        "1996-02-30",
        "row 3, column OrderDate: “1996-02-30” is not in",
    ),
    "shipped before ordered": (
        "orders.csv",
        "1996-07-10",
        "1996-07-01",
        "row 3, column ShippedDate: 1996-07-01 is before",
    ),
    "shipped in the future": (
        "orders.csv",
        "1996-07-10",
        "2999-07-10",
        "row 3, column ShippedDate: 2999-07-10 is a",
    ),
    "another encoding": (
        "customers.csv",
        "Futterkiste",
        b"F\xfctterkiste",
        "row 2, column CompanyName: “Alfreds F�tt",
    ),
    "a NUL": (
        "customers.csv",
        "Futterkiste",
        b"Futter\0kiste",
        "row 2, column CompanyName: “Alfreds Futter�kiste” h",
    ),
    "an empty name": ("customers.csv", CUSTOMER, "  ", "row 2, column CompanyName: there is nothing"),
    "a NULL for a name": ("customers.csv", CUSTOMER, "NULL", "row 2, column CompanyName: there is nothing"),
    "a name too long": (
        "customers.csv",
        CUSTOMER,
        "x" * 161,
        "row 2, column CompanyName: the text has more than 160",
    ),
    "an id twice": (
        "customers.csv",
        "Val2 ",
        "ALFKI",
        "row 3, column CustomerID: the id ALFKI stands in row 2",
    ),
    "an unknown customer": (
        "orders.csv",
        "Val2",
        "VAL2",
        "row 3, column CustomerID: “VAL2” does not stand in",
    ),
    "an unknown product": (
        "order_lines.csv",
        "10249,1",
        "10249,7",
        "row 4, column ProductID: “7” does not stand in",
    ),
    "an unknown order": (
        "order_lines.csv",
        "10249,1",
        "10250,1",
        "row 4, column OrderID: “10250” does not stand",
    ),
    "an order without lines": (
        "order_lines.csv",
        "10249,1,18.6,9,0\r\n",
        "",
        "orders.csv, row 3, column OrderID: the order has",
    ),
    "an unknown superior": (
        "employees.csv",
        '""""",2',
        '""""",9',
        "row 2, column ReportsTo: “9” does not stand",
    ),
    "half a line": (
        "order_lines.csv",
        "21.35,3,0.05\r\n",
        "21.3",
        "row 5, column Quantity: the row has 3 values",
    ),
    "half a last value": (
        "order_lines.csv",
        "0.05\r\n",
        "0.0",
        "row 5, column Discount: the last line does not end",
    ),
    "a quote that never ends": (
        "suppliers.csv",
        "Charlotte",
        '"Charlotte',
        "row 2, column ContactName: the row is",
    ),
    "text after a quote": (
        "suppliers.csv",
        '-shi"',
        '-shi"x',
        "row 3, column Address: the row is broken",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_file_is_refused_by_file_row_and_column(kind, bring_in, folder, count):
    file, old, new, sentence = BROKEN[kind]
    export.change(folder, file, old, new)
    before = count()
    with pytest.raises(Refused) as refused:
        bring_in()
    told = [str(refusal) for refusal in refused.value.report.refusals]
    place = sentence if ".csv" in sentence.split(",")[0] else f"{file}, {sentence}"
    assert any(line.startswith(place) for line in told), told
    assert count() == before


@on_both_engines
@pytest.mark.parametrize("kind", ["a quantity is zero", "a name too long", "shipped in the future"])
def test_what_is_noticed_late_leaves_nothing_behind_either(kind, bring_in, folder, count):
    file, old, new, _ = BROKEN[kind]
    export.change(folder, file, old, new)
    before = count()
    with pytest.raises(Refused):
        bring_in()
    assert count() == before


@pytest.mark.parametrize("file", export.FILES)
@pytest.mark.parametrize(
    "content, sentence",
    [
        (None, "the file is missing"),
        (b"", "the file is empty"),
        (b"\xff\xfeO\0r\0", "the column is missing"),
        (b"\x89PNG\r\n\x1a\n\0\0", "the column is missing"),
    ],
)
def test_what_is_no_such_file_is_refused(file, content, sentence, bring_in, folder):
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(content)
    with pytest.raises(Refused) as refused:
        bring_in()
    assert any(sentence in str(refusal) for refusal in refused.value.report.refusals)


def test_a_mark_at_the_start_of_a_file_is_no_fault(bring_in, folder):
    path = folder / "customers.csv"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert bring_in().records["company"] == 4


# --------------------------------------------------------------------------------------------- the command


@pytest.fixture
def command(database, monkeypatch, capsys):
    """`command(folder)` is `run.py import northwind FOLDER`: its exit code, what it printed, its complaints."""
    monkeypatch.setenv("DATABASE_URL", database.url)
    monkeypatch.setenv("FOYER_HOME", str(database.home))

    def work(*arguments):
        code = run.main(["import", "northwind", *(str(argument) for argument in arguments)])
        return code, *capsys.readouterr()

    return work


@on_both_engines
@without_accounts
def test_the_command_prints_a_reconciliation(command, folder):
    code, printed, complaints = command(folder)
    assert (code, complaints) == (0, "")
    for line in ("orders.csv", "invoice", "Together", "418.70", "60.85", "479.55"):
        assert line in printed
    assert "differs" not in printed


def test_the_command_refuses_a_broken_file_with_its_place(command, folder):
    export.change(folder, "orders.csv", "32.38", "much")
    code, printed, complaints = command(folder)
    assert code == 1
    assert "orders.csv, row 2, column Freight: “much” is no number such as 1234.50" in complaints
    assert "Nothing was imported" in complaints and "Traceback" not in complaints
    assert "orders.csv" in printed


def test_the_command_refuses_a_folder_or_department_that_is_none(command, folder, tmp_path):
    assert command(tmp_path / "nowhere")[0] == 1
    code, _, complaints = command(folder, "--department", "Cellar")
    assert (code, complaints.count("\n")) == (1, 1) and "Cellar" in complaints
