"""Northwind, a trading firm's export: customers, suppliers, employees, products, and orders with their lines.

An order is a deal of its customer and employee. What was shipped is won and invoiced on the day of shipping, in
the order of those days; what was not is an open deal. Freight is a fact of the deal and not invoiced, and there
is no tax. What has no column here is kept in notes, so that nothing is lost.
"""

from decimal import Decimal
from itertools import count

from flask_appbuilder.security.sqla.models import User
from sqlalchemy import func, select

from app import security
from app.exchange.recipe import Fixed, Link, Make, Recipe, Sheet, column, needed
from app.exchange.values import day, decimal, flag, shown, whole
from app.extensions import N_
from app.models import Deal, ExternalKey, Invoice, Pipeline, Product, Stage
from app.rules import RuleBroken, boards, deals, invoices
from app.rules.money import line_net
from app.search import fold

PRODUCT = Link("ProductID", "products.csv", "product")

PRIVATE = N_("private; colleagues' profiles have no place for it")

ADDRESS = {
    "street": lambda row, world: _one_line(row["Address"]),
    "postal_code": "PostalCode",
    "city": "City",
    "region": "Region",
    "country": "Country",
}
PARTNER_COLUMNS = (
    needed("CompanyName"),
    needed("ContactName"),
    column("ContactTitle"),
    column("Address"),
    column("City"),
    column("Region"),
    column("PostalCode"),
    column("Country"),
    column("Phone"),
    column("Fax"),
)


def _one_line(text):
    return ", ".join(line.strip() for line in text.splitlines() if line.strip()) if text else None


def _note(*pairs):
    """Facts that have no column here, a line each; empty ones are left out."""
    lines = [f"{label}: {shown(value)}" for label, value in pairs if value is not None]
    return "\n".join(lines) or None


def _department(row, world):
    return world.choices["department"].id


def _currency(row, world):
    return world.choices["currency"]


# --------------------------------------------------------------------------------------------- people and goods


def _first_name(row, world):
    """Export names are one text: the first word is the first name, all others the last."""
    first, _, rest = row["ContactName"].partition(" ")
    return first if rest.strip() else None


def _last_name(row, world):
    first, _, rest = row["ContactName"].partition(" ")
    return rest.strip() or first


def _website(row, world):
    """The address in “words#address#”, which is how Access keeps a link."""
    parts = (row["HomePage"] or "").split("#")
    return next((part for part in parts if part.startswith(("http://", "https://"))), None)


def _home_page_note(row, world):
    return _note(("Home page", row["HomePage"].strip("#"))) if row["HomePage"] else None


def _partner(file, key, kind, more_columns=(), more_fields=None):
    """Customers and suppliers alike: a company, and the person one talks to there."""
    company = {
        "name": "CompanyName",
        "kind": Fixed(kind),
        **ADDRESS,
        "phone": "Phone",
        "fax": "Fax",
        "department_id": _department,
        **(more_fields or {}),
    }
    contact = {
        "first_name": _first_name,
        "last_name": _last_name,
        "job_title": "ContactTitle",
        "company_id": Link(key, file, "company"),
        "phone": "Phone",
        "fax": "Fax",
        "department_id": _department,
    }
    return Sheet(
        file,
        key=(key,),
        columns=(needed(key), *PARTNER_COLUMNS, *more_columns),
        makes=(Make("company", company), Make("contact", contact)),
    )


def _employ(world, row, fields):
    """An account nobody can sign in with: who is imported has left, and keeps his work."""
    username = _free_username(world.session, fold(f"{row['FirstName']}.{row['LastName']}").replace(" ", ""))
    return security.create_account(
        world.session,
        username=username,
        first_name=row["FirstName"],
        last_name=row["LastName"],
        email=f"{username}@imported.invalid",
        roles=[],
        active=False,
        **fields,
    )


def _free_username(session, wanted):
    taken = set(
        session.scalars(select(User.username).where(User.username.startswith(wanted, autoescape=True)))
    )
    ways = (f"{wanted}{number or ''}" for number in count())
    return next(name for name in ways if name not in taken)


def _phone(row, world):
    parts = (row["HomePhone"], f"ext. {row['Extension']}" if row["Extension"] else None)
    return " ".join(part for part in parts if part) or None


def _category(row, world):
    return world.row("categories.csv", row["CategoryID"])["CategoryName"]


def _stock_note(row, world):
    return _note(
        ("Category", world.row("categories.csv", row["CategoryID"])["Description"]),
        ("Units in stock", row["UnitsInStock"]),
        ("Units on order", row["UnitsOnOrder"]),
        ("Reorder level", row["ReorderLevel"]),
    )


# --------------------------------------------------------------------------------------------- orders


def _check_order(row):
    """Days that contradict each other."""
    for name in ("RequiredDate", "ShippedDate"):
        if row[name] is not None and row[name] < row["OrderDate"]:
            yield (
                name,
                N_("%(day)s is before the order of %(ordered)s"),
                {"day": row[name], "ordered": row["OrderDate"]},
            )


def _check_lines(rows):
    """An order without lines was cut off somewhere."""
    with_lines = {str(line["OrderID"]) for line in rows["order_lines.csv"]}
    for order in rows["orders.csv"]:
        if order.key not in with_lines:
            yield order.refusal("OrderID", N_("the order has no lines in order_lines.csv"))


def _order_note(row, world):
    ship_to = [row["ShipName"], _one_line(row["ShipAddress"])]
    ship_to.append(" ".join(part for part in (row["ShipPostalCode"], row["ShipCity"]) if part))
    ship_to += [row["ShipRegion"], row["ShipCountry"]]
    return _note(
        ("Required by", row["RequiredDate"]),
        ("Shipped on", row["ShippedDate"]),
        ("Shipped by carrier no.", row["ShipVia"]),
        ("Shipped to", ", ".join(part for part in ship_to if part) or None),
    )


def _order(world, row, fields):
    """The deal of an order, at the end of its stage."""
    if row["ShippedDate"] is not None and row["ShippedDate"] > world.today:
        world.refuse(row, "ShippedDate", N_("%(day)s is a day to come"), day=row["ShippedDate"])
    if "board" not in world.choices:
        world.choices["board"] = _Board(world.session)
    board, deal = world.choices["board"], Deal(**fields)
    deal.stage, deal.position = board.ordered, board.end_of(board.ordered)
    world.session.add(deal)
    return deal


class _Board:
    """The deals' board while hundreds of cards are put on it: asked once, counted on from there."""

    def __init__(self, session):
        self.session = session
        first = boards.first_stage(session, "deal")
        stages = session.scalars(
            select(Stage).where(Stage.pipeline_id == first.pipeline_id).order_by(Stage.position, Stage.id)
        ).all()
        # What was ordered but not shipped stands as far as an open deal can come.
        self.ordered = [stage for stage in stages if stage.outcome == "open"][-1]
        self.positions = {}

    def end_of(self, stage):
        if stage.id not in self.positions:
            query = select(func.max(Deal.position)).where(Deal.stage_id == stage.id)
            self.positions[stage.id] = self.session.scalar(query) or 0.0
        self.positions[stage.id] += boards.STEP
        return self.positions[stage.id]


def _line(world, row, fields, deal):
    return deals.add_line(deal, product=world.linked(PRODUCT, row), **fields)


def _ship(world, step):
    """Win and invoice what was shipped, in the order of the days and, within a day, of the order ids."""
    new = world.made("orders.csv", "deal")
    shipped = [row for row in world.rows["orders.csv"] if row["ShippedDate"] is not None and row.key in new]
    shipped.sort(key=lambda row: (row["ShippedDate"], row["OrderID"]))
    with world.session.no_autoflush:  # all are saved at once
        for row in shipped:
            deal = world.session.get(Deal, new[row.key])
            deals.win(world.session, deal, by=deal.owner_id, today=row["ShippedDate"])
            deal.position = world.choices["board"].end_of(deal.stage)
    world.forget()
    # A session lets go of what nobody holds; these few would be fetched again for every invoice.
    held = [world.session.scalars(select(model)).all() for model in (Stage, Pipeline, Product)]
    made = {}
    for row in shipped:
        try:
            made[row.key] = _invoice(world, world.session.get(Deal, new[row.key]), row["ShippedDate"])
        except RuleBroken as broken:
            world.refuse(row, "ShippedDate", broken.message, **broken.values)
        step("invoices", 1)
    del held
    world.remember("orders.csv", "invoice", made)


def _invoice(world, deal, day):
    by = deal.owner_id
    invoice = invoices.draft_from(world.session, deal, by=by, today=day)
    invoices.issue(
        world.session,
        invoice,
        by=by,
        today=day,
        seller=world.choices["seller"],
        payment_days=world.choices["payment_days"],
    )
    return invoice.id


# --------------------------------------------------------------------------------------------- money


def _money(world):
    """What the files add up to, and what stands in the database for it."""
    shipped, unshipped = Decimal(0), Decimal(0)
    for line in world.rows["order_lines.csv"]:
        net = line_net(line["UnitPrice"], line["Quantity"], line["Discount"])
        if world.row("orders.csv", line["OrderID"])["ShippedDate"] is None:
            unshipped += net
        else:
            shipped += net
    invoiced = _sum(world, Invoice, Invoice.net, Invoice.number.is_not(None))
    open_stages = (
        select(Stage.id).join(Stage.pipeline).where(Pipeline.kind == "deal", Stage.outcome == "open")
    )
    still_open = _sum(world, Deal, Deal.amount, Deal.stage_id.in_(open_stages))
    return [
        (N_("Invoices, net"), shipped, invoiced),
        (N_("Open deals"), unshipped, still_open),
        (N_("Together"), shipped + unshipped, invoiced + still_open),
    ]


def _sum(world, model, amount, condition):
    imported = select(ExternalKey.record_id).where(
        ExternalKey.source == world.source("orders.csv"), ExternalKey.entity == model.__tablename__
    )
    total = world.session.scalar(select(func.sum(amount)).where(model.id.in_(imported), condition))
    return total if total is not None else Decimal("0.00")


# --------------------------------------------------------------------------------------------- the recipe


RECIPE = Recipe(
    name="northwind",
    sheets=(
        Sheet(
            "categories.csv",
            key=("CategoryID",),
            columns=(needed("CategoryID", whole), needed("CategoryName"), column("Description")),
        ),
        _partner(
            "suppliers.csv",
            "SupplierID",
            "supplier",
            more_columns=(column("HomePage"),),
            more_fields={"website": _website, "notes": _home_page_note},
        ),
        _partner("customers.csv", "CustomerID", "customer"),
        Sheet(
            "employees.csv",
            key=("EmployeeID",),
            columns=(
                needed("EmployeeID", whole),
                needed("LastName"),
                needed("FirstName"),
                column("Title"),
                column("TitleOfCourtesy", left_out=PRIVATE),
                column("BirthDate", day, left_out=PRIVATE),
                column("HireDate", day),
                column("Address", left_out=PRIVATE),
                column("City", left_out=PRIVATE),
                column("Region", left_out=PRIVATE),
                column("PostalCode", left_out=PRIVATE),
                column("Country", left_out=PRIVATE),
                column("HomePhone"),
                column("Extension"),
                column("Notes", left_out=PRIVATE),
                column("ReportsTo", whole, refers_to="employees.csv"),
            ),
            makes=(
                Make(
                    "staff",
                    {
                        "department_id": _department,
                        "job_title": "Title",
                        "phone": _phone,
                        "joined_on": "HireDate",
                        "left_on": lambda row, world: world.today,
                    },
                    later={"reports_to_id": Link("ReportsTo", "employees.csv", "staff")},
                    by=_employ,
                ),
            ),
        ),
        Sheet(
            "products.csv",
            key=("ProductID",),
            columns=(
                needed("ProductID", whole),
                needed("ProductName"),
                column("SupplierID", whole, refers_to="suppliers.csv"),
                needed("CategoryID", whole, refers_to="categories.csv"),
                column("QuantityPerUnit"),
                needed("UnitPrice", decimal(4)),
                column("UnitsInStock", whole),
                column("UnitsOnOrder", whole),
                column("ReorderLevel", whole),
                needed("Discontinued", flag),
            ),
            makes=(
                Make(
                    "product",
                    {
                        "name": "ProductName",
                        "category": _category,
                        "unit": "QuantityPerUnit",
                        "price": "UnitPrice",
                        "currency": _currency,
                        "supplier_id": Link("SupplierID", "suppliers.csv", "company"),
                        "description": _stock_note,
                        "is_active": lambda row, world: not row["Discontinued"],
                    },
                ),
            ),
        ),
        Sheet(
            "orders.csv",
            key=("OrderID",),
            columns=(
                needed("OrderID", whole),
                needed("CustomerID", refers_to="customers.csv"),
                needed("EmployeeID", whole, refers_to="employees.csv"),
                needed("OrderDate", day),
                column("RequiredDate", day),
                column("ShippedDate", day),
                column("ShipVia", whole),
                needed("Freight", decimal(2)),
                column("ShipName"),
                column("ShipAddress"),
                column("ShipCity"),
                column("ShipRegion"),
                column("ShipPostalCode"),
                column("ShipCountry"),
            ),
            check=_check_order,
            makes=(
                Make(
                    "deal",
                    {
                        "name": lambda row, world: f"Order {row.key}",
                        "company_id": Link("CustomerID", "customers.csv", "company"),
                        "contact_id": Link("CustomerID", "customers.csv", "contact"),
                        "owner_id": Link("EmployeeID", "employees.csv", "staff"),
                        "department_id": _department,
                        "currency": _currency,
                        "opened_on": "OrderDate",
                        "expected_on": "RequiredDate",
                        "freight": "Freight",
                        "notes": _order_note,
                    },
                    by=_order,
                ),
            ),
        ),
        Sheet(
            "order_lines.csv",
            key=("OrderID", "ProductID"),
            columns=(
                needed("OrderID", whole, refers_to="orders.csv"),
                needed("ProductID", whole, refers_to="products.csv"),
                needed("UnitPrice", decimal(4)),
                needed("Quantity", whole),
                needed("Discount", decimal(4, at_most=1)),
            ),
            part_of=Link("OrderID", "orders.csv", "deal"),
            makes=(
                Make(
                    "deal_line",
                    {"unit_price": "UnitPrice", "quantity": "Quantity", "discount": "Discount"},
                    by=_line,
                ),
            ),
        ),
    ),
    check=_check_lines,
    finish=_ship,
    money=_money,
)
