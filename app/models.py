"""The whole schema, top to bottom in dependency order: read it and you know the business.

Pure tables: columns, links, `__str__`, and properties computed from the row's own columns. No query, no clock, no user.

Every table declares who may see its rows (`__sight__`); a test reads it, and a table without it is refused at start:

- ``scoped``    rows of a department. The rule of sight (`app/access.py`) filters them: by their own `department_id` and
                `owner_id`, or through a parent (`__through__ = "deal"`), or through the record they speak of
                (`__through__ = "record"`: columns `entity` and `record_id`), or through two of them (`"pair"`).
- ``reference`` everyone signed in reads it; writing needs a grant.
- ``security``  accounts, roles, permissions: for sign-in and for those who hold the accounts.
- ``private``   what sign-in keeps for itself: secrets, marks, events. No session of a person reads or writes it.

The human name of a column lives on the column, so lists, forms, exports, history and API agree.
"""

from datetime import UTC
from decimal import Decimal

from flask_appbuilder.models.sqla import Model
from sqlalchemy import (
    JSON,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import declared_attr, mapped_column, relationship
from sqlalchemy.types import TypeDecorator

from app.extensions import N_

# --------------------------------------------------------------------------------------------- kinds of columns


class Exact(TypeDecorator):
    """A decimal number of fixed scale. SQLite has no decimals: there it is a float outside and exact again inside."""

    impl = Numeric
    cache_ok = True

    def __init__(self, precision=14, scale=2):
        super().__init__(precision, scale, asdecimal=False)
        self.precision, self.scale = precision, scale

    def process_bind_param(self, value, dialect):
        if value is None or dialect.name != "sqlite":
            return value
        return float(value)

    def process_result_value(self, value, dialect):
        return None if value is None else Decimal(str(value)).quantize(Decimal(1).scaleb(-self.scale))

    def coerce_compared_value(self, op, value):
        return self


class Moment(TypeDecorator):
    """A moment in UTC: aware in Python, naive UTC in the database, the same on both engines."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value, dialect):
        return value.astimezone(UTC).replace(tzinfo=None) if value is not None and value.tzinfo else value

    def process_result_value(self, value, dialect):
        return value if value is None else value.replace(tzinfo=UTC)


def column(*args, **kwargs):
    """A column whose old value is loaded before it is overwritten: the ledger never guesses a "before"."""
    return mapped_column(*args, active_history=True, **kwargs)


def words(label, length=120, required=False, **info):
    """A line of text."""
    return column(String(length), nullable=not required, info={"label": label, **info})


def prose(label, required=False, **info):
    """Text of any length."""
    return column(Text, nullable=not required, info={"label": label, **info})


def choice(label, choices, default, **info):
    """One word of a fixed list; `choices` maps it to what people read."""
    return column(
        String(20), nullable=False, default=default, info={"label": label, "choices": choices, **info}
    )


def money(label, required=False, **info):
    """An amount in the currency that stands beside it, to the cent."""
    return column(Exact(14, 2), nullable=not required, info={"label": label, "money": True, **info})


def number(label, scale, default=None, precision=14, **info):
    """An exact decimal number with `scale` places."""
    return column(
        Exact(precision, scale), nullable=default is None, default=default, info={"label": label, **info}
    )


def currency():
    """ISO 4217 code."""
    return column(String(3), nullable=False, info={"label": N_("Currency"), "currency": True})


def day(label, required=False, **info):
    return column(Date, nullable=not required, info={"label": label, **info})


def moment(label, required=False, **info):
    return column(Moment, nullable=not required, info={"label": label, **info})


def custom_values():
    """Values of the custom fields, by their name; a dict that is replaced as a whole, never changed in place."""
    kind = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
    return column(kind, nullable=True, info={"custom": True})


def link(target, label, required=False, **info):
    """A foreign key; the row it names is loaded through the relationship beside it."""
    return column(
        ForeignKey(f"{target}.id"), nullable=not required, index=True, info={"label": label, **info}
    )


class Row(Model):
    """What every table of ours has: a key."""

    __abstract__ = True
    __table_args__ = {}  # FAB's default (`extend_existing`) would merge two classes on one table silently
    __through__ = None
    __search__ = ()  # columns whose words find the row
    __sorts__ = ()  # columns by which a long list may be ordered; each has its indexes (end of this file)

    id = column(Integer, primary_key=True, info={"label": N_("No.")})


class Recorded(Row):
    """A row that people edit: stamped by the ledger, and versioned so that no edit overwrites another unseen."""

    __abstract__ = True

    created_at = moment(N_("Created"), required=True, stamped=True)
    updated_at = moment(N_("Last changed"), required=True, stamped=True)
    version = column(Integer, nullable=False, info={"label": N_("Version"), "stamped": True})

    @declared_attr
    def created_by_id(cls):
        return column(
            ForeignKey("staff.id"), nullable=True, info={"label": N_("Created by"), "stamped": True}
        )

    @declared_attr
    def created_by(cls):
        return relationship(
            "Staff", foreign_keys=[cls.created_by_id], remote_side="Staff.id", viewonly=True
        )

    @declared_attr.directive
    def __mapper_args__(cls):
        return {"version_id_col": cls.version}


class Owned(Recorded):
    """A row of a department, with the person who looks after it."""

    __abstract__ = True
    __sight__ = "scoped"

    custom = custom_values()

    @declared_attr
    def department_id(cls):
        return column(
            ForeignKey("department.id"), nullable=False, info={"label": N_("Department")}
        )  # indexed with the id: see the end of this file

    @declared_attr
    def owner_id(cls):
        return column(ForeignKey("staff.id"), nullable=True, index=True, info={"label": N_("Owner")})

    @declared_attr
    def department(cls):
        return relationship("Department", foreign_keys=[cls.department_id])

    @declared_attr
    def owner(cls):
        return relationship("Staff", foreign_keys=[cls.owner_id])


class Addressed:
    """A postal address, in the fields that letters and exports use."""

    street = words(N_("Street"), 200)
    postal_code = words(N_("Postal code"), 20)
    city = words(N_("City"), 80)
    region = words(N_("Region"), 80)
    country = words(N_("Country"), 80)

    @property
    def address_lines(self):
        town = " ".join(part for part in (self.postal_code, self.city) if part)
        return [line for line in (self.street, town, self.region, self.country) if line]


# --------------------------------------------------------------------------------------------- the firm itself


class Department(Recorded):
    """A department; together they form a tree."""

    __tablename__ = "department"
    __sight__ = "reference"
    __search__ = ("name",)

    name = words(N_("Name"), 80, required=True, unique=True)
    parent_id = link("department", N_("Part of"))
    parent = relationship("Department", remote_side="Department.id", foreign_keys=[parent_id])

    __table_args__ = (UniqueConstraint("name"),)

    def __str__(self):
        return self.name


class Staff(Recorded):
    """A colleague: the profile on FAB's account, under the same id. Who has left cannot sign in but keeps his work."""

    __tablename__ = "staff"
    __sight__ = "reference"
    __search__ = ("name", "job_title", "phone")

    custom = custom_values()

    id = column(ForeignKey("ab_user.id"), primary_key=True, info={"label": N_("No.")})
    name = words(N_("Name"), 130, required=True)
    department_id = link("department", N_("Department"), required=True)
    job_title = words(N_("Job title"))
    phone = words(N_("Phone"), 40)
    language = choice(
        N_("Language"), {"en": N_("English"), "de": N_("German"), "fr": N_("French")}, default="en"
    )
    reports_to_id = link("staff", N_("Reports to"))
    joined_on = day(N_("Joined on"))
    left_on = day(N_("Left on"))

    department = relationship("Department", foreign_keys=[department_id])
    reports_to = relationship("Staff", remote_side="Staff.id", foreign_keys=[reports_to_id])

    @property
    def has_left(self):
        return self.left_on is not None

    @property
    def initials(self):
        return "".join(part[0] for part in self.name.split()[:2]).upper()

    def __str__(self):
        return self.name


# --------------------------------------------------------------------------------------------- customers


class Company(Owned, Addressed):
    """An organisation one does business with."""

    __tablename__ = "company"
    __search__ = ("name", "email", "phone", "city", "country", "vat_id", "postal_code")
    __sorts__ = ("name", "city", "country")

    name = words(N_("Name"), 160, required=True)
    kind = choice(
        N_("Kind"),
        {
            "customer": N_("Customer"),
            "prospect": N_("Prospect"),
            "supplier": N_("Supplier"),
            "partner": N_("Partner"),
        },
        default="prospect",
    )
    industry = words(N_("Industry"))
    email = words(N_("E-mail"), 200, format="email")
    phone = words(N_("Phone"), 40, format="phone")
    fax = words(N_("Fax"), 40)
    website = words(N_("Website"), 300, format="web")
    vat_id = words(N_("VAT id"), 40)
    notes = prose(N_("Notes"))

    contacts = relationship("Contact", back_populates="company", viewonly=True, order_by="Contact.last_name")

    def __str__(self):
        return self.name


class Contact(Owned, Addressed):
    """A person one talks to, at a company or alone."""

    __tablename__ = "contact"
    __search__ = ("first_name", "last_name", "email", "phone", "mobile", "city", "postal_code", "birth_date")
    __sorts__ = ("last_name", "first_name", "email", "city")

    first_name = words(N_("First name"), 80)
    last_name = words(N_("Last name"), 80, required=True)
    job_title = words(N_("Job title"))
    company_id = link("company", N_("Company"))
    email = words(N_("E-mail"), 200, format="email")
    phone = words(N_("Phone"), 40, format="phone")
    mobile = words(N_("Mobile"), 40, format="phone")
    fax = words(N_("Fax"), 40)
    birth_date = day(N_("Date of birth"))
    notes = prose(N_("Notes"))

    company = relationship("Company", back_populates="contacts")

    @property
    def name(self):
        return " ".join(part for part in (self.first_name, self.last_name) if part)

    def __str__(self):
        return self.name


# --------------------------------------------------------------------------------------------- goods and taxes


class TaxRate(Recorded):
    """A rate of sales tax, in percent."""

    __tablename__ = "tax_rate"
    __sight__ = "reference"
    __search__ = ("name",)

    name = words(N_("Name"), 60, required=True)
    percent = number(N_("Percent"), 3, default=Decimal(0), precision=6, at_least=0, at_most=100)

    def __str__(self):
        return self.name


class Product(Recorded):
    """What one sells: a thing, a service, a subscription."""

    __tablename__ = "product"
    __sight__ = "reference"
    __search__ = ("name", "sku", "category")

    custom = custom_values()

    name = words(N_("Name"), 160, required=True)
    sku = words(N_("Article no."), 60)
    category = words(N_("Category"), 80)
    unit = words(N_("Unit"), 60)
    price = number(N_("Price"), 4, default=Decimal(0), money=True, at_least=0)
    currency = currency()
    tax_rate_id = link("tax_rate", N_("Tax rate"))
    supplier_id = link("company", N_("Supplier"))
    description = prose(N_("Description"))
    is_active = column(Boolean, nullable=False, default=True, info={"label": N_("For sale")})

    tax_rate = relationship("TaxRate")
    supplier = relationship("Company")

    def __str__(self):
        return self.name


# --------------------------------------------------------------------------------------------- pipelines


class Pipeline(Recorded):
    """A way that deals or tickets go, stage by stage."""

    __tablename__ = "pipeline"
    __sight__ = "reference"
    __search__ = ("name",)

    name = words(N_("Name"), 80, required=True)
    kind = choice(N_("For"), {"deal": N_("Deals"), "ticket": N_("Tickets")}, default="deal")
    position = column(Integer, nullable=False, default=0, info={"label": N_("Position")})

    stages = relationship(
        "Stage", back_populates="pipeline", order_by="Stage.position, Stage.id", viewonly=True
    )

    def __str__(self):
        return self.name


class Stage(Recorded):
    """One step of a pipeline. Its outcome says whether what stands in it is still open, and how it ended."""

    __tablename__ = "stage"
    __sight__ = "reference"
    __search__ = ("name",)

    pipeline_id = link("pipeline", N_("Pipeline"), required=True)
    name = words(N_("Name"), 80, required=True)
    position = column(Integer, nullable=False, default=0, info={"label": N_("Position")})
    outcome = choice(
        N_("Outcome"),
        {"open": N_("Open"), "won": N_("Won"), "lost": N_("Lost"), "solved": N_("Solved")},
        default="open",
    )
    probability = column(
        Integer, nullable=False, default=0, info={"label": N_("Probability %"), "at_least": 0, "at_most": 100}
    )
    rots_after_days = column(
        Integer,
        nullable=True,
        info={
            "label": N_("Rots after days"),
            "hint": N_("Without a change or an activity for longer, a card is marked on the board. Empty: never."),
            "at_least": 1,
            "at_most": 3650,
        },
    )

    pipeline = relationship("Pipeline", back_populates="stages")

    def __str__(self):
        return self.name


# --------------------------------------------------------------------------------------------- selling


class Deal(Owned):
    """A chance to sell. Its stage says how far it is; its lines, when it has any, what it is worth."""

    __tablename__ = "deal"
    __search__ = ("name",)
    __sorts__ = ("name", "amount", "expected_on")

    name = words(N_("Name"), 160, required=True)
    company_id = link("company", N_("Company"))
    contact_id = link("contact", N_("Contact"))
    stage_id = link("stage", N_("Stage"), required=True)
    amount = money(N_("Amount"), hint=N_("Follows from the lines as soon as there are any."), at_least=0)
    currency = currency()
    expected_on = day(N_("Expected close"))
    opened_on = day(N_("Opened on"), required=True)
    closed_on = day(N_("Closed on"), deed=True)
    lost_reason = words(N_("Reason for the loss"), 300, deed=True)
    freight = money(N_("Freight"), at_least=0)
    notes = prose(N_("Notes"))
    position = column(Float, nullable=False, default=0.0, info={"label": N_("Position"), "deed": True})

    company = relationship("Company")
    contact = relationship("Contact")
    stage = relationship("Stage")
    lines = relationship(
        "DealLine",
        back_populates="deal",
        cascade="all, delete-orphan",
        order_by="DealLine.position, DealLine.id",
    )

    __table_args__ = (
        Index("ix_deal_stage_position", "stage_id", "position", "id"),
        Index("ix_deal_closed_on", "closed_on"),
    )

    def __str__(self):
        return self.name


class DealLine(Recorded):
    """One product or service in a deal. `net` = price × quantity × (1 − discount), rounded half-up to the cent."""

    __tablename__ = "deal_line"
    __sight__ = "scoped"
    __through__ = "deal"

    deal_id = link("deal", N_("Deal"), required=True)
    position = column(Integer, nullable=False, default=0, info={"label": N_("Position")})
    product_id = link("product", N_("Product"))
    description = words(N_("Description"), 300, required=True)
    quantity = number(N_("Quantity"), 3, default=Decimal(1))
    unit_price = number(N_("Price"), 4, default=Decimal(0), money=True)
    discount = number(N_("Discount"), 4, default=Decimal(0), precision=5, at_least=0, at_most=1, share=True)
    tax_rate_id = link("tax_rate", N_("Tax rate"))
    net = money(N_("Net"), required=True, deed=True)

    deal = relationship("Deal", back_populates="lines")
    product = relationship("Product")
    tax_rate = relationship("TaxRate")

    def __str__(self):
        return self.description


# --------------------------------------------------------------------------------------------- service


class Ticket(Owned):
    """A customer's request. The owner is the agent who works on it."""

    __tablename__ = "ticket"
    __search__ = ("subject", "body")
    __sorts__ = ("subject", "due_on")

    subject = words(N_("Subject"), 200, required=True)
    body = prose(N_("Request"))
    company_id = link("company", N_("Company"))
    contact_id = link("contact", N_("Contact"))
    stage_id = link("stage", N_("Stage"), required=True)
    priority = choice(
        N_("Priority"),
        {"low": N_("Low"), "normal": N_("Normal"), "high": N_("High"), "urgent": N_("Urgent")},
        default="normal",
    )
    due_on = day(N_("Due on"))
    solved_at = moment(N_("Solved at"), deed=True)
    position = column(Float, nullable=False, default=0.0, info={"label": N_("Position"), "deed": True})

    company = relationship("Company")
    contact = relationship("Contact")
    stage = relationship("Stage")
    messages = relationship(
        "TicketMessage", back_populates="ticket", cascade="all, delete-orphan", order_by="TicketMessage.id"
    )

    __table_args__ = (Index("ix_ticket_stage_position", "stage_id", "position", "id"),)

    def __str__(self):
        return self.subject


class TicketMessage(Recorded):
    """What was written on a ticket: a reply the customer reads, or a note for colleagues only."""

    __tablename__ = "ticket_message"
    __sight__ = "scoped"
    __through__ = "ticket"

    ticket_id = link("ticket", N_("Ticket"), required=True)
    kind = choice(N_("Kind"), {"reply": N_("Reply"), "note": N_("Internal note")}, default="reply")
    body = prose(N_("Text"), required=True)

    ticket = relationship("Ticket", back_populates="messages")

    def __str__(self):
        return self.body[:60]


# --------------------------------------------------------------------------------------------- marketing


class Campaign(Owned):
    """An effort to reach many people, with those it addresses as its members."""

    __tablename__ = "campaign"
    __search__ = ("name", "goal")
    __sorts__ = ("name", "starts_on", "ends_on", "budget")

    name = words(N_("Name"), 160, required=True)
    kind = choice(
        N_("Kind"),
        {"mail": N_("Mailing"), "call": N_("Calls"), "event": N_("Event"), "ads": N_("Advertising")},
        default="mail",
    )
    starts_on = day(N_("Starts on"))
    ends_on = day(N_("Ends on"))
    budget = money(N_("Budget"), at_least=0)
    currency = currency()
    goal = prose(N_("Goal"))

    members = relationship(
        "CampaignMember",
        back_populates="campaign",
        cascade="all, delete-orphan",
        order_by="CampaignMember.id",
    )

    def __str__(self):
        return self.name


class CampaignMember(Recorded):
    """A contact that a campaign addresses, and how far it came with him."""

    __tablename__ = "campaign_member"
    __sight__ = "scoped"
    __through__ = "campaign"

    campaign_id = link("campaign", N_("Campaign"), required=True)
    contact_id = link("contact", N_("Contact"), required=True)
    status = choice(
        N_("Status"),
        {"planned": N_("Planned"), "reached": N_("Reached"), "answered": N_("Answered")},
        default="planned",
    )

    campaign = relationship("Campaign", back_populates="members")
    contact = relationship("Contact")

    __table_args__ = (UniqueConstraint("campaign_id", "contact_id"),)

    def __str__(self):
        return f"#{self.id}"


# --------------------------------------------------------------------------------------------- activities


class Activity(Owned):
    """A note, call, meeting, mail or task about a company, contact, deal or ticket.

    It belongs to its author's department and is seen by whoever reaches that and may see all its subjects.
    """

    __tablename__ = "activity"
    __subjects__ = ("company", "contact", "deal", "ticket")
    __search__ = ("subject", "body")
    __sorts__ = ("subject", "due_on", "done_at")

    kind = choice(
        N_("Kind"),
        {
            "note": N_("Note"),
            "call": N_("Call"),
            "meeting": N_("Meeting"),
            "mail": N_("Mail"),
            "task": N_("Task"),
        },
        default="note",
    )
    subject = words(N_("Subject"), 200, required=True)
    body = prose(N_("Text"))
    due_on = day(N_("Due on"))
    done_at = moment(N_("Done at"), deed=True)
    company_id = link("company", N_("Company"))
    contact_id = link("contact", N_("Contact"))
    deal_id = link("deal", N_("Deal"))
    ticket_id = link("ticket", N_("Ticket"))

    company = relationship("Company")
    contact = relationship("Contact")
    deal = relationship("Deal")
    ticket = relationship("Ticket")

    __table_args__ = (Index("ix_activity_owner_due", "owner_id", "due_on"),)

    @property
    def is_done(self):
        return self.done_at is not None

    def __str__(self):
        return self.subject


# --------------------------------------------------------------------------------------------- money


class NumberSeries(Row):
    """The numbers of one kind of document in one year, without a gap: `last` is the last one given."""

    __tablename__ = "number_series"
    __sight__ = "reference"

    name = words(N_("Series"), 40, required=True)
    year = column(Integer, nullable=False, info={"label": N_("Year")})
    prefix = words(N_("Prefix"), 20, required=True)
    last = column(Integer, nullable=False, default=0, info={"label": N_("Last number")})

    __table_args__ = (UniqueConstraint("name", "year"),)

    def __str__(self):
        return f"{self.name} {self.year}"


class Invoice(Owned):
    """A bill. A draft until it is issued; then it has its number and the database itself keeps it as it is.

    Seller and buyer stand in it as they were on that day, so that the paper can be made again from the frozen rows.
    """

    __tablename__ = "invoice"
    __search__ = ("number", "billed_to")
    __sorts__ = ("number", "billed_to", "issued_on", "due_on", "gross")

    number = words(N_("Number"), 40, deed=True)
    deal_id = link("deal", N_("Deal"))
    company_id = link("company", N_("Customer"))
    issued_on = day(N_("Issued on"), deed=True)
    due_on = day(N_("Due on"), deed=True)
    issued_by_id = link("staff", N_("Issued by"), deed=True)
    currency = currency()
    net = money(N_("Net"), required=True, deed=True)
    tax = money(N_("Tax"), required=True, deed=True)
    gross = money(N_("Total"), required=True, deed=True)
    billed_to = words(N_("Billed to"), 160, required=True)
    billing_address = prose(N_("Billing address"))
    billing_tax_id = words(N_("Customer's VAT id"), 40)
    seller_name = words(N_("Seller"), 160)
    seller_address = prose(N_("Seller's address"))
    seller_tax_id = words(N_("Seller's tax id"), 60)
    seller_bank = words(N_("Seller's bank"), 200)

    deal = relationship("Deal")
    company = relationship("Company")
    issued_by = relationship("Staff", foreign_keys=[issued_by_id])
    lines = relationship(
        "InvoiceLine",
        back_populates="invoice",
        cascade="all, delete-orphan",
        order_by="InvoiceLine.position, InvoiceLine.id",
    )
    payments = relationship("Payment", back_populates="invoice", order_by="Payment.paid_on, Payment.id")

    __table_args__ = (
        UniqueConstraint("number"),
        CheckConstraint("(number IS NULL) = (issued_on IS NULL)", name="number_with_date"),
    )

    @property
    def is_issued(self):
        return self.number is not None

    def __str__(self):
        return self.number or f"#{self.id}"


class InvoiceLine(Recorded):
    """One line of a bill, copied from the deal: what was sold, at what price, with which tax."""

    __tablename__ = "invoice_line"
    __sight__ = "scoped"
    __through__ = "invoice"

    invoice_id = link("invoice", N_("Invoice"), required=True)
    position = column(Integer, nullable=False, default=0, info={"label": N_("Position")})
    product_id = link("product", N_("Product"))
    description = words(N_("Description"), 300, required=True)
    unit = words(N_("Unit"), 60)
    quantity = number(N_("Quantity"), 3, default=Decimal(1))
    unit_price = number(N_("Price"), 4, default=Decimal(0), money=True)
    discount = number(N_("Discount"), 4, default=Decimal(0), precision=5, share=True)
    tax_percent = number(N_("Tax %"), 3, default=Decimal(0), precision=6)
    net = money(N_("Net"), required=True)

    invoice = relationship("Invoice", back_populates="lines")
    product = relationship("Product")

    def __str__(self):
        return self.description


class Payment(Recorded):
    """Money received on an invoice; a negative amount takes one back."""

    __tablename__ = "payment"
    __sight__ = "scoped"
    __through__ = "invoice"
    __sorts__ = ("paid_on", "amount")

    invoice_id = link("invoice", N_("Invoice"), required=True)
    paid_on = day(N_("Paid on"), required=True)
    amount = money(N_("Amount"), required=True)
    method = choice(
        N_("Method"),
        {
            "transfer": N_("Bank transfer"),
            "card": N_("Card"),
            "cash": N_("Cash"),
            "debit": N_("Direct debit"),
        },
        default="transfer",
    )
    reference = words(N_("Reference"), 140)

    invoice = relationship("Invoice", back_populates="payments")

    def __str__(self):
        return f"{self.amount}"


class Document(Row):
    """The bytes of a paper that left the house. Written once; the database refuses to change or delete it."""

    __tablename__ = "document"
    __sight__ = "scoped"
    __through__ = "record"

    entity = words(N_("Entity"), 40, required=True)
    record_id = column(Integer, nullable=False, info={"label": N_("Record")})
    kind = words(N_("Kind"), 20, required=True)
    name = words(N_("File name"), 200, required=True)
    media_type = words(N_("Media type"), 100, required=True)
    sha256 = words(N_("SHA-256"), 64, required=True)
    size = column(Integer, nullable=False, info={"label": N_("Bytes")})
    content = column(LargeBinary, nullable=False, deferred=True, info={"label": N_("Content")})
    created_at = moment(N_("Created"), required=True)

    __table_args__ = (UniqueConstraint("entity", "record_id", "kind"),)

    def __str__(self):
        return self.name


# --------------------------------------------------------------------------------------------- memory


class ExternalKey(Row):
    """Under which id another system knows a record of ours; imports match by it. Who may edit the record keeps it."""

    __tablename__ = "external_key"
    __sight__ = "scoped"
    __through__ = "record"
    __written_with_record__ = "edit"

    source = words(N_("Source"), 60, required=True)
    entity = words(N_("Entity"), 40, required=True)
    their_id = words(N_("Their id"), 120, required=True)
    record_id = column(Integer, nullable=False, info={"label": N_("Record")})

    __table_args__ = (
        UniqueConstraint("source", "entity", "their_id"),
        Index("ix_external_key_record", "entity", "record_id"),
    )


class ChangeSet(Row):
    """What was changed together: by whom, when, through which door, and why. Seen by who sees one of its changes."""

    __tablename__ = "change_set"
    __sight__ = "scoped"

    at = moment(N_("At"), required=True)
    by_id = link("staff", N_("By"))
    door = words(N_("Door"), 20, required=True)
    why = words(N_("Why"), 300)
    undoes_id = link("change_set", N_("Undoes"))

    by = relationship("Staff")
    undoes = relationship("ChangeSet", remote_side="ChangeSet.id", foreign_keys=[undoes_id])
    changes = relationship("Change", back_populates="change_set", viewonly=True)

    __table_args__ = (Index("ix_change_set_at", "at", "id"),)


_IS_DELETION = text("action = 'delete'")


class Change(Row):
    """One row that was added, edited or deleted: `values` maps a column to [before, after].

    `root` is the record in whose history it stands: a deal for its lines, else the row itself; `department_id` and
    `owner_id` are whose it was at that time, so that it is known who may see the change when the record is gone.
    """

    __tablename__ = "change"
    __sight__ = "scoped"
    __through__ = "root"

    change_set_id = column(
        ForeignKey("change_set.id"), nullable=False, info={"label": N_("Change set")}
    )  # indexed with what it is about
    entity = words(N_("Entity"), 40, required=True)
    record_id = column(Integer, nullable=False, info={"label": N_("Record")})
    root_entity = words(N_("Record kind"), 40, required=True)
    root_id = column(Integer, nullable=False, info={"label": N_("Record")})
    department_id = column(Integer, nullable=True, info={"label": N_("Department")})
    owner_id = column(Integer, nullable=True, info={"label": N_("Owner")})
    action = choice(
        N_("Action"), {"add": N_("added"), "edit": N_("edited"), "delete": N_("deleted")}, default="edit"
    )
    values = column(JSON, nullable=False, info={"label": N_("Values")})

    change_set = relationship("ChangeSet", back_populates="changes")

    __table_args__ = (
        Index("ix_change_root", "root_entity", "root_id", "id"),
        Index("ix_change_record", "entity", "record_id", "id"),  # what was done to a row since
        Index("ix_change_of_set", "change_set_id", "entity", "record_id", "id"),
        Index(
            "ix_change_deletion", "id", sqlite_where=_IS_DELETION, postgresql_where=_IS_DELETION
        ),  # the trash
    )


class SearchEntry(Row):
    """The words by which a record is found, folded: lower case, no diacritics, Latin letters.

    Two blanks stand before each word, so that the start of a word makes trigrams of its own. On SQLite an FTS5 table
    stands beside it, which `app/search.py` tells of every entry, and numbers it; on PostgreSQL a trigram index.
    """

    __tablename__ = "search_entry"
    __sight__ = "scoped"
    __through__ = "record"

    entity = words(N_("Entity"), 40, required=True)
    record_id = column(Integer, nullable=False, info={"label": N_("Record")})
    department_id = column(Integer, nullable=True, info={"label": N_("Department")})
    text = prose(N_("Text"), required=True)

    __table_args__ = (
        UniqueConstraint("entity", "record_id"),
        Index("ix_search_entry_within", "entity", "department_id", "record_id").ddl_if(dialect="postgresql"),
        # With the text: who sees few has many of theirs looked through, which lie far apart in the table.
        Index("ix_search_entry_held", "entity", "department_id", "record_id", "text").ddl_if(dialect="sqlite"),
        Index(
            "ix_search_entry_text", "text", postgresql_using="gin", postgresql_ops={"text": "gin_trgm_ops"}
        ).ddl_if(dialect="postgresql"),
    )


# For misspelt words: every word of the entries under itself and under itself less one letter. It holds no record.
SEARCH_WORDS = Table(
    "search_word",
    Row.metadata,
    Column("variant", String(24), primary_key=True),
    Column("word", String(24), primary_key=True),
    sqlite_with_rowid=False,
)


# --------------------------------------------------------------------------------------------- what people arrange


class Tag(Recorded):
    """A word that people stick on records of any kind."""

    __tablename__ = "tag"
    __sight__ = "reference"
    __search__ = ("name",)

    name = words(N_("Name"), 60, required=True, unique=True)
    color = choice(
        N_("Color"),
        {
            "grey": N_("Grey"),
            "blue": N_("Blue"),
            "green": N_("Green"),
            "amber": N_("Amber"),
            "red": N_("Red"),
            "violet": N_("Violet"),
        },
        default="grey",
    )

    __table_args__ = (UniqueConstraint("name"),)

    def __str__(self):
        return self.name


class Tagging(Row):
    """A tag on a record: seen with the record, set and taken off by whoever may edit it."""

    __tablename__ = "tagging"
    __sight__ = "scoped"
    __through__ = "record"
    __written_with_record__ = "edit"

    tag_id = link("tag", N_("Tag"), required=True)
    entity = words(N_("Entity"), 40, required=True)
    record_id = column(Integer, nullable=False, info={"label": N_("Record")})

    tag = relationship("Tag")

    __table_args__ = (
        UniqueConstraint("tag_id", "entity", "record_id"),
        Index("ix_tagging_record", "entity", "record_id"),
    )


class Attachment(Recorded):
    """A file on a record: seen with it, put there and taken off by whoever may edit it. `blobs.py` keeps the bytes.

    The bytes lie outside the database under their hash, once, however many records they hang on. `media_type` is what
    the bytes are, not what the name says.
    """

    __tablename__ = "attachment"
    __sight__ = "scoped"
    __through__ = "record"
    __written_with_record__ = "edit"

    entity = words(N_("Entity"), 40, required=True)
    record_id = column(Integer, nullable=False, info={"label": N_("Record")})
    name = words(N_("File name"), 200, required=True)
    media_type = words(N_("Media type"), 100, required=True)
    size = column(Integer, nullable=False, info={"label": N_("Bytes")})
    sha256 = words(N_("SHA-256"), 64, required=True)

    __table_args__ = (
        Index("ix_attachment_record", "entity", "record_id"),
        Index("ix_attachment_sha256", "sha256"),
    )

    def __str__(self):
        return self.name


class CustomField(Recorded):
    """A field that the firm added to an entity. Its values stand in the records' `custom`, under its name."""

    __tablename__ = "custom_field"
    __sight__ = "reference"
    __search__ = ("name",)

    entity = words(N_("Entity"), 40, required=True)
    name = words(N_("Key"), 40, required=True)
    kind = choice(
        N_("Kind"),
        {
            "text": N_("Text"),
            "long_text": N_("Long text"),
            "number": N_("Number"),
            "decimal": N_("Decimal number"),
            "money": N_("Money"),
            "date": N_("Date"),
            "moment": N_("Date and time"),
            "yes_no": N_("Yes or no"),
            "choice": N_("Choice"),
            "choices": N_("Several choices"),
            "mail": N_("E-mail"),
            "phone": N_("Phone"),
            "link": N_("Web address"),
            "record": N_("Link to a record"),
        },
        default="text",
    )
    labels = column(JSON, nullable=False, default=dict, info={"label": N_("Labels")})  # language -> label
    choices = column(JSON, nullable=False, default=list, info={"label": N_("Choices")})  # value, labels
    target = words(N_("Links to"), 40)  # entity, for the kind "record"
    default = column(JSON(none_as_null=True), nullable=True, info={"label": N_("Default")})
    department_ids = column(JSON, nullable=False, default=list, info={"label": N_("Departments")})  # []: all
    is_required = column(Boolean, nullable=False, default=False, info={"label": N_("Required")})
    is_indexed = column(Boolean, nullable=False, default=False, info={"label": N_("Indexed")})
    is_active = column(Boolean, nullable=False, default=True, info={"label": N_("In use")})
    position = column(Integer, nullable=False, default=0, info={"label": N_("Position")})

    __table_args__ = (UniqueConstraint("entity", "name"),)

    def __str__(self):
        return self.labels.get("en") or next(iter(self.labels.values()), self.name)


class ImportMapping(Recorded):
    """How the columns of files of one shape were mapped to ours: remembered for the next file like it."""

    __tablename__ = "import_mapping"
    __sight__ = "reference"

    entity = words(N_("Entity"), 40, required=True)
    shape = words(N_("Shape"), 64, required=True)  # SHA-256 over the headers
    mapping = column(JSON, nullable=False, default=dict, info={"label": N_("Mapping")})

    __table_args__ = (UniqueConstraint("entity", "shape"),)

    def __str__(self):
        return f"{self.entity} {self.shape[:8]}"


class DuplicatePair(Row):
    """Two records that look like one; seen by who sees both. `reasons` says why, as sentences with their weight."""

    __tablename__ = "duplicate_pair"
    __sight__ = "scoped"
    __through__ = "pair"

    entity = words(N_("Entity"), 40, required=True)
    one_id = column(Integer, nullable=False, info={"label": N_("Record")})
    other_id = column(Integer, nullable=False, info={"label": N_("Record")})
    score = column(Integer, nullable=False, info={"label": N_("Likeness %")})
    reasons = column(JSON, nullable=False, default=list, info={"label": N_("Reasons")})
    state = choice(N_("State"), {"open": N_("Open"), "dismissed": N_("No duplicate")}, default="open")
    found_at = moment(N_("Found"), required=True)

    __table_args__ = (
        UniqueConstraint("entity", "one_id", "other_id"),
        CheckConstraint("one_id < other_id", name="in_order"),
        Index("ix_duplicate_pair_open", "entity", "state", "score", "id"),
        Index("ix_duplicate_pair_other", "entity", "other_id"),
    )


# --------------------------------------------------------------------------------------------- rights


class ComposedRole(Recorded):
    """A role of the firm's own, put together from the same parts as the house's (`app/roles.py`)."""

    __tablename__ = "role"
    __sight__ = "reference"

    name = words(N_("Name"), 60, required=True, unique=True)
    description = words(N_("What it is for"), 300)
    grants = column(JSON, nullable=False, default=list, info={"label": N_("Grants")})  # roles.Grant as objects

    __table_args__ = (UniqueConstraint("name"),)

    def __str__(self):
        return self.name


class Membership(Recorded):
    """That a person (`owner`) holds a role in a department; several stand side by side."""

    __tablename__ = "membership"
    __sight__ = "scoped"

    owner_id = link("staff", N_("Person"), required=True)
    department_id = link("department", N_("Department"), required=True)
    role = words(N_("Role"), 60, required=True)
    source = choice(
        N_("Given by"), {"local": N_("Foyer"), "directory": N_("Directory")}, default="local", deed=True
    )

    owner = relationship("Staff", foreign_keys=[owner_id])
    department = relationship("Department")

    __table_args__ = (UniqueConstraint("owner_id", "department_id", "role", "source"),)

    def __str__(self):
        return self.role


class Deputy(Recorded):
    """That a person acts for another (`owner`) for some days, both included: he may then whatever that one may."""

    __tablename__ = "deputy"
    __sight__ = "scoped"

    owner_id = link("staff", N_("Stands in for"), required=True)
    department_id = link("department", N_("Department"), required=True)  # the owner's, on the day it was arranged
    deputy_id = link("staff", N_("Deputy"), required=True)
    starts_on = day(N_("From"), required=True)
    ends_on = day(N_("To"), required=True)
    reason = words(N_("Reason"), 300)

    owner = relationship("Staff", foreign_keys=[owner_id])
    deputy = relationship("Staff", foreign_keys=[deputy_id])
    department = relationship("Department")

    __table_args__ = (
        CheckConstraint("starts_on <= ends_on", name="in_order"),
        CheckConstraint("owner_id <> deputy_id", name="of_another"),
    )


class Share(Recorded):
    """A record opened to a person or department beyond whose it is: for a time or, where they work on it, for good."""

    __tablename__ = "share"
    __sight__ = "scoped"
    __through__ = "record"
    __written_with_record__ = "share"  # the verb it takes

    entity = words(N_("Entity"), 40, required=True)
    record_id = column(Integer, nullable=False, info={"label": N_("Record")})
    to_staff_id = link("staff", N_("With"))
    to_department_id = link("department", N_("With the department"))
    may = choice(N_("May"), {"see": N_("See"), "edit": N_("See and edit")}, default="see")
    until_on = day(N_("Until"))  # the last day; none: for good
    reason = words(N_("Reason"), 300, required=True)
    cause = choice(N_("Because"), {"given": N_("Shared"), "work": N_("Own work there")}, default="given", deed=True)

    to_staff = relationship("Staff", foreign_keys=[to_staff_id])
    to_department = relationship("Department", foreign_keys=[to_department_id])

    __table_args__ = (
        CheckConstraint("(to_staff_id IS NULL) <> (to_department_id IS NULL)", name="with_one"),
        Index("ix_share_record", "entity", "record_id"),
        Index("ix_share_staff", "to_staff_id", "entity", "record_id"),
        Index("ix_share_department", "to_department_id", "entity", "record_id"),
    )


class ReadEntry(Row):
    """What was opened under seal or taken out of the house: by whom, which rows, how many, traced by which code."""

    __tablename__ = "read_entry"
    __sight__ = "scoped"

    at = moment(N_("At"), required=True)
    owner_id = link("staff", N_("By"))
    department_id = link("department", N_("Department"))
    kind = choice(
        N_("Kind"),
        {"sealed": N_("Sealed line"), "export": N_("Export"), "document": N_("Document"), "why": N_("Who may see it")},
        default="export",
    )
    entity = words(N_("Entity"), 40)
    record_id = column(Integer, nullable=True, info={"label": N_("Record")})
    question = prose(N_("Filter"))
    rows = column(Integer, nullable=False, default=0, info={"label": N_("Rows")})
    trace = words(N_("Trace"), 20)

    owner = relationship("Staff")
    department = relationship("Department")

    __table_args__ = (Index("ix_read_entry_at", "at", "id"), Index("ix_read_entry_trace", "trace"))


class Approval(Recorded):
    """An export above the set size that waits for a head, and what he said."""

    __tablename__ = "approval"
    __sight__ = "scoped"

    owner_id = link("staff", N_("Asked by"), required=True)
    department_id = link("department", N_("Department"), required=True)
    entity = words(N_("Entity"), 40, required=True)
    question = prose(N_("What"), required=True)  # the path and the parameters of the export
    rows = column(Integer, nullable=False, default=0, info={"label": N_("Rows")})
    reason = words(N_("Reason"), 300)
    state = choice(
        N_("State"),
        {"waiting": N_("Waiting"), "granted": N_("Granted"), "refused": N_("Refused"), "used": N_("Used")},
        default="waiting",
    )
    decided_by_id = link("staff", N_("Decided by"))
    decided_at = moment(N_("Decided"))
    answer = words(N_("Answer"), 300)

    owner = relationship("Staff", foreign_keys=[owner_id])
    decided_by = relationship("Staff", foreign_keys=[decided_by_id])
    department = relationship("Department")


# One number that goes up with every change of rights: principals made before it are made anew.
RIGHTS_VERSION = Table(
    "rights_version",
    Row.metadata,
    Column("id", Integer, primary_key=True),
    Column("number", Integer, nullable=False),
)


# --------------------------------------------------------------------------------------------- work and post


class Job(Row):
    """Work that outlasts a request, done by `run.py work` for the person who asked. This row is the truth about it."""

    __tablename__ = "job"
    __sight__ = "scoped"

    kind = words(N_("Kind"), 40, required=True)
    title = words(N_("Title"), 200, required=True)
    state = choice(
        N_("State"),
        {
            "draft": N_("Being prepared"),
            "waiting": N_("Waiting"),
            "running": N_("Running"),
            "done": N_("Done"),
            "failed": N_("Failed"),
            "stopped": N_("Stopped"),
        },
        default="waiting",
    )
    params = column(JSON, nullable=False, default=dict, info={"label": N_("Parameters")})
    result = column(JSON, nullable=False, default=dict, info={"label": N_("Result")})
    done = column(Integer, nullable=False, default=0, info={"label": N_("Done")})
    total = column(Integer, nullable=False, default=0, info={"label": N_("Of")})
    note = words(N_("Note"), 300)
    error = prose(N_("Error"))
    attempts = column(Integer, nullable=False, default=0, info={"label": N_("Attempts")})
    department_id = link("department", N_("Department"), required=True)
    owner_id = link("staff", N_("For"), required=True)
    change_set_id = link("change_set", N_("Change set"))
    created_at = moment(N_("Created"), required=True)
    started_at = moment(N_("Started"))
    beat_at = moment(N_("Last sign of life"))
    finished_at = moment(N_("Finished"))

    department = relationship("Department")
    owner = relationship("Staff")
    files = relationship("JobFile", back_populates="job", cascade="all, delete-orphan", order_by="JobFile.id")

    __table_args__ = (Index("ix_job_state", "state", "id"),)

    @property
    def is_over(self):
        return self.state in ("done", "failed", "stopped")

    def __str__(self):
        return self.title


class JobFile(Row):
    """A file that a job works on, or that it made."""

    __tablename__ = "job_file"
    __sight__ = "scoped"
    __through__ = "job"

    job_id = link("job", N_("Job"), required=True)
    role = words(N_("Role"), 20, required=True)
    name = words(N_("File name"), 200, required=True)
    media_type = words(N_("Media type"), 100, required=True)
    size = column(Integer, nullable=False, info={"label": N_("Bytes")})
    sha256 = words(N_("SHA-256"), 64, required=True)
    content = column(LargeBinary, nullable=False, deferred=True, info={"label": N_("Content")})

    job = relationship("Job", back_populates="files")

    def __str__(self):
        return self.name


class OutboxMessage(Row):
    """Something that is to leave the house, written with the change that caused it; a worker sends it, once."""

    __tablename__ = "outbox_message"
    __sight__ = "scoped"

    channel = words(N_("Channel"), 20, required=True)
    address = words(N_("To"), 300, required=True)
    payload = column(JSON, nullable=False, default=dict, info={"label": N_("Content")})
    state = choice(
        N_("State"),
        {
            "waiting": N_("Waiting"),
            "claimed": N_("Being sent"),
            "sent": N_("Sent"),
            "unclear": N_("Perhaps sent"),
            "failed": N_("Failed"),
        },
        default="waiting",
    )
    attempts = column(Integer, nullable=False, default=0, info={"label": N_("Attempts")})
    error = prose(N_("Error"))
    department_id = link("department", N_("Department"), required=True)
    owner_id = link("staff", N_("By"), required=True)
    created_at = moment(N_("Created"), required=True)
    due_at = moment(N_("Not before"), required=True)
    claimed_at = moment(N_("Claimed"))
    sent_at = moment(N_("Sent"))

    __table_args__ = (Index("ix_outbox_message_state", "state", "due_at", "id"),)

    def __str__(self):
        return f"{self.channel}: {self.address}"


# --------------------------------------------------------------------------------------------- the door
#
# What sign-in keeps of its own: no business rows, so no `Row`s. `sessions.py`, `security.py` and `throttle.py` read and
# write them in system sessions; besides, only those who hold the accounts may see them.


class Account(Model):
    """What the house adds to an account of FAB's: since when its password stands, and whether it must be replaced."""

    __tablename__ = "account"
    __table_args__ = {}

    user_id = mapped_column(ForeignKey("ab_user.id"), primary_key=True, autoincrement=False)
    password_at = mapped_column(Moment, nullable=True)
    must_change = mapped_column(Boolean, nullable=False, default=False)


class OldPassword(Model):
    """A password that was, as its hash: so that it is not taken again at once."""

    __tablename__ = "old_password"
    __table_args__ = {"sqlite_autoincrement": True}

    id = mapped_column(Integer, primary_key=True)
    user_id = mapped_column(ForeignKey("ab_user.id"), nullable=False, index=True)
    password = mapped_column(String(256), nullable=False)
    at = mapped_column(Moment, nullable=False)


class LoginSession(Model):
    """Somebody signed in, in one browser or program. The row goes when the session ends; there is no other copy of it.

    The cookie or token holds a random id, the row only its hash. `stamp` stands for the password and roles it was begun
    with. While `waits_for` names something, the sign-in is not finished, and the session opens nothing else.
    """

    __tablename__ = "login_session"

    id = mapped_column(Integer, primary_key=True)
    token_hash = mapped_column(String(64), nullable=False)
    user_id = mapped_column(ForeignKey("ab_user.id"), nullable=False, index=True)
    kind = mapped_column(String(20), nullable=False)  # "browser" or "token"
    method = mapped_column(String(20), nullable=False)  # "password", "ldap", "oidc" …
    waits_for = mapped_column(String(20), nullable=True)
    second_factor_at = mapped_column(Moment, nullable=True)
    stamp = mapped_column(String(64), nullable=False)
    created_at = mapped_column(Moment, nullable=False)
    seen_at = mapped_column(Moment, nullable=False)
    address = mapped_column(String(45), nullable=False)
    device = mapped_column(String(120), nullable=False)

    __table_args__ = (UniqueConstraint("token_hash"), {"sqlite_autoincrement": True})


class AccountEvent(Model):
    """One thing that happened to an account: sign-ins, refusals, new passwords, other roles. Only ever added to."""

    __tablename__ = "account_event"

    id = mapped_column(Integer, primary_key=True)
    at = mapped_column(Moment, nullable=False)
    user_id = mapped_column(ForeignKey("ab_user.id"), nullable=True)  # None: a name that nobody has
    kind = mapped_column(String(40), nullable=False)
    by_id = mapped_column(ForeignKey("ab_user.id"), nullable=True)  # None: the system
    door = mapped_column(String(20), nullable=False)
    address = mapped_column(String(45), nullable=True)
    device = mapped_column(String(120), nullable=True)
    details = mapped_column(JSON, nullable=False, default=dict)

    __table_args__ = (
        Index("ix_account_event_user", "user_id", "id"),
        Index("ix_account_event_at", "at"),
        {"sqlite_autoincrement": True},
    )


class PasswordLink(Model):
    """A link sent by mail with which a forgotten password is replaced, once. The row holds only its secret's hash."""

    __tablename__ = "password_link"

    id = mapped_column(Integer, primary_key=True)
    token_hash = mapped_column(String(64), nullable=False)
    user_id = mapped_column(ForeignKey("ab_user.id"), nullable=False, index=True)
    ends_at = mapped_column(Moment, nullable=False)

    __table_args__ = (UniqueConstraint("token_hash"), {"sqlite_autoincrement": True})


class Guess(Model):
    """One try of a secret, counted before it is looked at. `key` says whose try it counts as; see `throttle.py`."""

    __tablename__ = "guess"

    id = mapped_column(Integer, primary_key=True)
    key = mapped_column(String(100), nullable=False)
    kind = mapped_column(String(20), nullable=False)
    at = mapped_column(Moment, nullable=False)

    __table_args__ = (
        Index("ix_guess_key", "key", "at"),
        Index("ix_guess_at", "at"),
        {"sqlite_autoincrement": True},
    )


class KnownPlace(Model):
    """A network or browser from which somebody has signed in: strangers' guesses do not lock him out from there."""

    __tablename__ = "known_place"
    __table_args__ = {}

    user_id = mapped_column(ForeignKey("ab_user.id"), primary_key=True, autoincrement=False)
    place = mapped_column(String(80), primary_key=True)
    seen_at = mapped_column(Moment, nullable=False)


# --------------------------------------------------------------------------------------------- who comes in


class GroupMapping(Recorded):
    """What membership in a group of the company's directory gives here: a role, a department, or both."""

    __tablename__ = "group_mapping"
    __sight__ = "reference"
    __search__ = ("group_name", "role")

    source = choice(
        N_("From"), {"ldap": N_("Directory (LDAP)"), "oidc": N_("OpenID Connect")}, default="ldap"
    )
    group_name = words(
        N_("Group"), 300, required=True, hint=N_("Its name, or its whole DN; * stands for everybody.")
    )
    role = words(N_("Role"), 64)
    department_id = link("department", N_("Department"))
    position = column(
        Integer,
        nullable=False,
        default=0,
        info={
            "label": N_("Position"),
            "hint": N_("Whoever is in several groups: the smallest number gives the department."),
        },
    )

    department = relationship("Department")

    __table_args__ = (UniqueConstraint("source", "group_name", "role", "department_id"),)

    def __str__(self):
        return self.group_name


class SecondFactorRule(Recorded):
    """A role whose people sign in with a second factor only."""

    __tablename__ = "second_factor_rule"
    __sight__ = "reference"

    role = words(N_("Role"), 64, required=True)

    __table_args__ = (UniqueConstraint("role"),)

    def __str__(self):
        return self.role


class Private(Model):
    """What sign-in keeps for itself, in system sessions only; the ledger never holds its values."""

    __abstract__ = True
    __table_args__ = {}
    __sight__ = "private"
    __through__ = None


def account():
    """Whose row it is; it goes with the account."""
    return mapped_column(ForeignKey("ab_user.id", ondelete="CASCADE"), nullable=False, index=True)


class ExternalAccount(Private):
    """Under which unchanging id a directory or provider knows an account of ours, and where that has put him."""

    __tablename__ = "external_account"

    id = mapped_column(Integer, primary_key=True)
    user_id = account()
    source = mapped_column(String(20), nullable=False)  # ldap, oidc
    issuer = mapped_column(String(300), nullable=False)
    subject = mapped_column(String(300), nullable=False)
    department_id = mapped_column(ForeignKey("department.id", ondelete="SET NULL"), nullable=True)
    seen_at = mapped_column(Moment, nullable=False)
    shut_out_at = mapped_column(Moment, nullable=True)  # by the directory; forgotten when people decide otherwise

    __table_args__ = (UniqueConstraint("source", "issuer", "subject"), {"sqlite_autoincrement": True})


class BreakGlass(Private):
    """A local account that signs in with its password even where that is off, or the directory is down."""

    __tablename__ = "break_glass"

    user_id = mapped_column(ForeignKey("ab_user.id", ondelete="CASCADE"), primary_key=True, autoincrement=False)
    marked_at = mapped_column(Moment, nullable=False)


class TotpDevice(Private):
    """The app on a phone that shows codes (RFC 6238). `last_step`: the step of the newest code that was used."""

    __tablename__ = "totp_device"

    user_id = mapped_column(ForeignKey("ab_user.id", ondelete="CASCADE"), primary_key=True, autoincrement=False)
    secret = mapped_column(String(300), nullable=False)  # sealed with a key that is not in the database
    created_at = mapped_column(Moment, nullable=False)
    confirmed_at = mapped_column(Moment, nullable=True)  # NULL: shown, not yet proved
    last_step = mapped_column(Integer, nullable=False, default=0)


class RecoveryCode(Private):
    """One of the codes on paper that stand in for a lost phone, once each; only its hash."""

    __tablename__ = "recovery_code"
    __table_args__ = {"sqlite_autoincrement": True}

    id = mapped_column(Integer, primary_key=True)
    user_id = account()
    code_hash = mapped_column(String(64), nullable=False)
    used_at = mapped_column(Moment, nullable=True)


class SecurityKey(Private):
    """A WebAuthn credential: a key on a ring, or the one in a laptop."""

    __tablename__ = "security_key"
    __table_args__ = {"sqlite_autoincrement": True}

    id = mapped_column(Integer, primary_key=True)
    user_id = account()
    name = mapped_column(String(80), nullable=False)
    credential_id = mapped_column(String(1400), nullable=False, unique=True)  # base64url
    public_key = mapped_column(Text, nullable=False)  # COSE, base64url
    sign_count = mapped_column(Integer, nullable=False)
    created_at = mapped_column(Moment, nullable=False)
    last_used_at = mapped_column(Moment, nullable=True)


class ApiKey(Private):
    """A key with which a person's program uses the API: some of his roles, until a day. Only its hash is kept.

    `window` (minutes since 1970) and `taken` count the requests of the running minute, for all processes together.
    """

    __tablename__ = "api_key"
    __table_args__ = {"sqlite_autoincrement": True}

    id = mapped_column(Integer, primary_key=True)
    user_id = account()
    name = mapped_column(String(80), nullable=False)
    prefix = mapped_column(String(12), nullable=False, unique=True)
    key_hash = mapped_column(String(64), nullable=False)
    roles = mapped_column(JSON, nullable=False)
    per_minute = mapped_column(Integer, nullable=False)
    expires_on = mapped_column(Date, nullable=False)  # the last day
    created_at = mapped_column(Moment, nullable=False)
    last_used_at = mapped_column(Moment, nullable=True)
    ended_at = mapped_column(Moment, nullable=True)
    window = mapped_column(Integer, nullable=False, default=0)
    taken = mapped_column(Integer, nullable=False, default=0)


class Notification(Private):
    """That somebody was mentioned, was given a record, or has a task due. `bell.py` keeps them.

    It names the record and holds nothing of it: what it is called, its reader is told through his own sight.
    """

    __tablename__ = "notification"
    __table_args__ = (
        Index("ix_notification_unread", "user_id", "read_at"),
        Index("ix_notification_record", "entity", "record_id"),
        {"sqlite_autoincrement": True},
    )

    id = mapped_column(Integer, primary_key=True)
    user_id = account()
    kind = mapped_column(String(20), nullable=False)  # mention, assigned, due
    at = mapped_column(Moment, nullable=False)
    by_id = mapped_column(ForeignKey("ab_user.id", ondelete="SET NULL"), nullable=True)  # None: the system
    entity = mapped_column(String(40), nullable=False)
    record_id = mapped_column(Integer, nullable=True)  # None: several at once
    rows = mapped_column(Integer, nullable=False, default=1)
    change_set_id = mapped_column(Integer, nullable=True)  # where several came from
    read_at = mapped_column(Moment, nullable=True)


# --------------------------------------------------------------------------------------------- pages as one likes them


class Preference(Private):
    """How a person likes his pages. Who has none has the usual ones; an empty language is that of his profile.

    `default_views`: entity -> the saved view with which its list begins for him.
    """

    __tablename__ = "preference"

    user_id = mapped_column(ForeignKey("ab_user.id", ondelete="CASCADE"), primary_key=True, autoincrement=False)
    language = mapped_column(String(10), nullable=True)
    theme = mapped_column(String(10), nullable=False, default="auto")  # auto, light, dark
    density = mapped_column(String(10), nullable=False, default="roomy")  # roomy, dense
    has_shortcuts = mapped_column(Boolean, nullable=False, default=True)
    signature = mapped_column(Text, nullable=True)
    default_views = mapped_column(JSON, nullable=False, default=dict)


class SavedView(Private):
    """A list as somebody set it up: filters, order, columns, density, all in `query` as the list's address has it.

    `reach` says for whom: "mine", "department" (all who hold a role in it) or "everyone". It opens no row to anybody.
    """

    __tablename__ = "saved_view"
    __table_args__ = {"sqlite_autoincrement": True}

    id = mapped_column(Integer, primary_key=True)
    user_id = account()
    entity = mapped_column(String(40), nullable=False, index=True)
    name = mapped_column(String(80), nullable=False)
    reach = mapped_column(String(20), nullable=False)
    department_id = mapped_column(ForeignKey("department.id", ondelete="CASCADE"), nullable=True, index=True)
    query = mapped_column(Text, nullable=False)
    is_pinned = mapped_column(Boolean, nullable=False, default=True)
    created_at = mapped_column(Moment, nullable=False)


# Tables that hold no record of anybody, kept by one module for itself: no session of a person reads them.
INDEX_TABLES = frozenset({SEARCH_WORDS.name, RIGHTS_VERSION.name})

# FAB's own tables, named one by one: a new one that comes with an update must be judged before it is used …
SECURITY_TABLES = frozenset(
    "ab_api_key ab_group ab_group_role ab_permission ab_permission_view ab_permission_view_role ab_register_user "
    "ab_role ab_user ab_user_group ab_user_role ab_view_menu "
    # … and what the door keeps beside them.
    "account account_event guess known_place login_session old_password password_link".split()
)

PRIVATE_TABLES = frozenset(kind.__tablename__ for kind in Private.__subclasses__())

ENTITIES = {
    mapper.class_.__tablename__: mapper.class_
    for mapper in sorted(Row.registry.mappers, key=lambda mapper: mapper.class_.__name__)
    if issubclass(mapper.class_, Row)
}

# A long list is walked along an index, never sorted: each order has one for who sees every row, and one behind
# the department for who sees a part.
for _model in ENTITIES.values():
    _columns = _model.__table__.c
    if "department_id" in _columns and issubclass(_model, Owned):
        Index(f"ix_{_model.__tablename__}_department_id", _columns.department_id, _columns.id)
    for _name in _model.__sorts__:
        Index(f"ix_{_model.__tablename__}_by_{_name}", _columns[_name], _columns.id)
        if "department_id" in _columns:
            Index(
                f"ix_{_model.__tablename__}_department_by_{_name}",
                _columns.department_id,
                _columns[_name],
                _columns.id,
            )

# SQLite gives the id of a deleted last row to the next one; the history of the one would become the other's past.
for _model in ENTITIES.values():
    if not _model.__table__.c.id.foreign_keys:
        _model.__table__.dialect_options["sqlite"]["autoincrement"] = True
