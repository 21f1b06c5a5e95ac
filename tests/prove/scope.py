"""The scope audit: every text of every row is a word of its own, and every page is opened as everybody.

    python -m tests.prove.scope [--engine sqlite|postgresql] [--rows N]

The rows of all departments are filled with canaries: words that stand nowhere else. Then every GET route is walked as
every account, and a canary may come back only where the table of reaches allows it. That table stands here in plain
SQL, written from the words of the requirement and not from `app/access.py`. Where it allows a row, the row must also
be found; sums and counts are compared with sums in plain SQL; a foreign id and an absent one must answer alike.
"""

import argparse
import re
import sys
import time
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from hashlib import sha256
from io import BytesIO
from itertools import count, pairwise, product
from urllib.parse import unquote

from babel.numbers import format_currency
from flask_appbuilder.models.sqla import Model
from sqlalchemy import String

from app import access, blobs, models, security
from app.documents.invoice import draw, invoice_html
from app.models import ENTITIES, INDEX_TABLES, PRIVATE_TABLES, SECURITY_TABLES
from app.views import APIS, MENU, MENU_MORE, OFF_MENU
from tests import databases
from tests.client import Client, Page
from tests.papers import pages_of

# --------------------------------------------------------------------------------------------- who may see what

# Account -> its roles and the departments that these reach; None: every row.
ACCOUNTS = {
    "admin": (("admin",), ()),
    "director": (("director",), None),
    "head.sales": (("sales",), ("Sales", "North", "South")),
    "rep.north": (("sales",), ("North",)),
    "rep.south": (("sales",), ("South",)),
    "head.support": (("support",), ("Support",)),
    "agent": (("support",), ("Support",)),
    "marketer": (("marketing",), ("Marketing",)),
    "finance": (("finance",), ("Finance",)),
}
# Beside the cast: roles that none of the nine accounts holds, two roles at once, and none at all.
MORE_ACCOUNTS = {
    "reader.south": (("reader",), ("South",)),
    "both.south": (("sales", "marketing"), ("South",)),
    "nobody": ((), ()),
}
ROLE_NAMES = {"reader.south": ["reader"], "both.south": ["sales", "marketing"], "nobody": []}

# Role -> table -> which of its rows, in SQL over the table `t`. {own}: rows of the departments it reaches.
SEES = {
    "sales": {
        "company": "{own}",
        "contact": "{own}",
        "deal": "{own}",
        "invoice": "{own}",
        "activity": "{own}",
    },
    "support": {"company": "1 = 1", "contact": "1 = 1", "ticket": "{own}", "activity": "{own}"},
    "marketing": {"company": "1 = 1", "contact": "1 = 1", "campaign": "{own}", "activity": "{own}"},
    "finance": {
        "company": "(t.kind = 'customer' OR t.id IN (SELECT company_id FROM invoice) OR t.id IN (SELECT d.company_id"
        " FROM deal d JOIN stage s ON s.id = d.stage_id WHERE s.outcome = 'won'))",
        "deal": "t.stage_id IN (SELECT id FROM stage WHERE outcome = 'won')",
        "invoice": "1 = 1",
        "activity": "{own}",
        "number_series": "1 = 1",
    },
    "reader": dict.fromkeys(
        ("company", "contact", "deal", "invoice", "activity", "ticket", "campaign"), "{own}"
    ),
    "director": dict.fromkeys(
        ("company", "contact", "deal", "invoice", "activity", "ticket", "campaign"), "1 = 1"
    ),
    "admin": dict.fromkeys(("number_series", "group_mapping", "second_factor_rule"), "1 = 1"),
}
# Account -> (table, column) that its role keeps from it on every row.
HIDDEN = {"finance": {("company", "notes"), ("deal", "notes")}}
PARTS = {
    "deal_line": "deal",
    "ticket_message": "ticket",
    "campaign_member": "campaign",
    "invoice_line": "invoice",
    "payment": "invoice",
    "job_file": "job",
}
MAIN = ("company", "contact", "deal", "ticket", "campaign", "invoice", "activity")
EVERYBODYS = ("department", "staff", "pipeline", "stage", "product", "tax_rate", "tag", "custom_field", "role")
ADMINS = ("group_mapping", "second_factor_rule")
THEIR_OWN = ("job", "outbox_message")  # each sees those he began, heads too
# What tells of people's rights and reading: each his own, heads that of their part of the tree, these two all of it.
OF_PEOPLE = ("membership", "deputy", "read_entry", "approval")
OVERSEERS = ("admin", "director")


def condition(account, table):
    """Which rows of this table the account may see, as SQL over `t`."""
    roles, departments = {**ACCOUNTS, **MORE_ACCOUNTS}[account]
    if table in EVERYBODYS:
        return "1 = 1"
    if table in THEIR_OWN:
        return f"t.owner_id IN (SELECT id FROM ab_user WHERE username = '{account}')"
    if table == "duplicate_pair":
        return " OR ".join(
            f"(t.entity = '{one}' AND t.one_id IN ({_ids(account, one)}) AND t.other_id IN ({_ids(account, one)}))"
            for one in MAIN
        )
    if table in PARTS:
        parent = PARTS[table]
        return f"t.{parent}_id IN ({_ids(account, parent)})"
    if table in OF_PEOPLE:
        if account in OVERSEERS:
            return "1 = 1"
        own = f"t.owner_id IN (SELECT id FROM ab_user WHERE username = '{account}')"
        names = ", ".join(f"'{name}'" for name in departments) if account.startswith("head.") else "''"
        return f"{own} OR t.department_id IN (SELECT id FROM department WHERE name IN ({names}))"
    if table in ("document", "external_key", "search_entry", "tagging", "share", "attachment"):
        return _of_record(account, "entity", "record_id")
    if table == "change":
        return _of_record(account, "root_entity", "root_id")
    if table == "change_set":
        return f"t.id IN (SELECT change_set_id FROM change t WHERE {condition(account, 'change')})"
    names = ", ".join(f"'{name}'" for name in departments or ()) or "''"
    own = f"t.department_id IN (SELECT id FROM department WHERE name IN ({names}))"
    ways = [SEES[role][table].format(own=own) for role in roles if table in SEES[role]]
    if table in SHARED:
        ways.append(_shared_with(account, table))
    found = " OR ".join(f"({way})" for way in ways) or "1 = 0"
    if table == "activity":
        for subject in ("company", "contact", "deal", "ticket"):
            found = f"({found}) AND (t.{subject}_id IS NULL OR t.{subject}_id IN ({_ids(account, subject)}))"
    return found


SHARED = ("company", "contact", "deal", "ticket", "campaign")


def _shared_with(account, table):
    """What is shared with him or with a department in which he holds a role, and until when it is."""
    him = f"SELECT id FROM ab_user WHERE username = '{account}'"
    return (
        f"t.id IN (SELECT s.record_id FROM share s WHERE s.entity = '{table}' "
        f"AND (s.until_on IS NULL OR s.until_on >= CURRENT_DATE) AND (s.to_staff_id IN ({him}) "
        f"OR s.to_department_id IN (SELECT department_id FROM membership WHERE owner_id IN ({him})) "
        f"OR s.to_department_id IN (SELECT department_id FROM staff WHERE id IN ({him}))))"
    )


def _ids(account, table):
    return f"SELECT t.id FROM {table} t WHERE {condition(account, table)}"


def _of_record(account, entity, key):
    tables = (*MAIN, *EVERYBODYS, *ADMINS, *PARTS, *OF_PEOPLE, "number_series")
    return " OR ".join(
        f"(t.{entity} = '{table}' AND t.{key} IN ({_ids(account, table)}))" for table in tables
    )


# --------------------------------------------------------------------------------------------- the canaries

LETTERS = "bcdghkmnprstvwz"  # no ligatures in a PDF
CANARY = re.compile(f"zq[{LETTERS}]{{5}}")

# Texts that people do not write: names of tables, fixed words, hashes.
NOT_WRITTEN = {
    ("document", "entity"),
    ("document", "kind"),
    ("document", "media_type"),
    ("document", "sha256"),
    ("external_key", "entity"),
    ("change", "entity"),
    ("change", "root_entity"),
    ("change_set", "door"),
    ("search_entry", "entity"),
    ("tagging", "entity"),
    ("attachment", "entity"),
    ("attachment", "media_type"),
    ("attachment", "sha256"),
    ("share", "entity"),
    ("read_entry", "entity"),
    ("read_entry", "trace"),
    ("approval", "entity"),
    ("membership", "role"),
    ("duplicate_pair", "entity"),
    ("job", "kind"),
    ("job_file", "role"),
    ("job_file", "media_type"),
    ("job_file", "sha256"),
    ("outbox_message", "channel"),
}
NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
DEPARTMENTS = ("Sales", "North", "South", "Support", "Marketing", "Finance")
YEAR = 2026


class AuditFailed(AssertionError):
    """The audit cannot vouch for this house: something in it does not say who may see it."""


def written_columns(table):
    """The columns of a scoped table that hold words of people; each gets a canary."""
    return [
        column.name
        for column in table.c
        if isinstance(column.type, String)
        and "choices" not in column.info
        and not column.info.get("currency")
        and (table.name, column.name) not in NOT_WRITTEN
    ]


@dataclass
class Canaries:
    """The words given out so far, and where each belongs."""

    home: dict = field(default_factory=dict)  # word -> (table, id, column)
    _numbers: product = field(default_factory=lambda: product(LETTERS, repeat=5))

    def word(self):
        letters = "".join(next(self._numbers))
        return "zq" + letters[::-1]

    def belongs(self, word, table, key, column):
        self.home[word] = (table, key, column)

    def row(self, model, **values):
        """A new row of this model with a canary in every written column; `place` it when it has its id."""
        words = {name: self.word() for name in written_columns(model.__table__) if name not in values}
        row = model(**words, **values)
        if "custom" in model.__table__.c:
            row.custom = {"out_of_use": self.word()}  # belongs to no field that anybody sees
        row._canaries = words
        return row

    def place(self, *rows):
        for row in rows:
            for column, word in row._canaries.items():
                self.belongs(word, row.__tablename__, row.id, column)


class World:
    """Rows of every kind in every department, linked within and across."""

    def __init__(self, app, rows, *, papers=True):
        self.app, self.canaries, self.papers = app, Canaries(), papers
        self.made = defaultdict(list)  # (table, department) -> ids
        with self._system("departments") as session:
            self.departments = {row.name: row.id for row in session.query(models.Department)}
            self.staff = {row.department_id: row.id for row in session.query(models.Staff)}
            stages = session.query(models.Stage).join(models.Stage.pipeline)
            self.stages = {
                kind: {row.outcome: row.id for row in stages.filter(models.Pipeline.kind == kind)}
                for kind in ("deal", "ticket")
            }
            product_ = models.Product(name="Chair", currency="EUR", price=Decimal(1))
            session.add(product_)
            session.flush()
            self.product_id = product_.id
        for number in range(rows):
            for name in DEPARTMENTS:
                self._customers(name, number)
            for name in DEPARTMENTS:
                self._work(name, number)
        self._external_keys()
        self._edit_everything()
        self._tags_and_pairs()
        if papers:
            self._shares()
        for name in DEPARTMENTS:
            self._jobs(name)
            self._reads(name)

    @contextmanager
    def _system(self, why=None):
        """A system session; its `why` is a canary that belongs to the change set that it makes."""
        word = why or self.canaries.word()
        with self.app.app_context(), access.system_session(word, door="command") as session:
            yield session
            session.flush()
            if why is None:
                self.canaries.belongs(word, "change_set", session.info["change_set_id"], "why")

    def _add(self, session, department, *rows):
        session.add_all(rows)
        session.flush()
        self.canaries.place(*rows)
        for row in rows:
            self.made[row.__tablename__, department].append(row.id)
        return rows[0].id

    def _whose(self, name):
        department_id = self.departments[name]
        return {"department_id": department_id, "owner_id": self.staff.get(department_id)}

    def _customers(self, name, number):
        make = self.canaries.row
        for kind in ("customer", "prospect"):
            with self._system() as session:
                company_id = self._add(session, name, make(models.Company, kind=kind, **self._whose(name)))
            with self._system() as session:
                self._add(session, name, make(models.Contact, company_id=company_id, **self._whose(name)))

    def _next(self, name):
        return DEPARTMENTS[(DEPARTMENTS.index(name) + 1) % len(DEPARTMENTS)]

    def _pick(self, table, name):
        return self.made[table, name][-1]

    def _work(self, name, number):
        other, make = self._next(name), self.canaries.row
        here = {"company_id": self._pick("company", name), "contact_id": self._pick("contact", name)}
        there = {"company_id": self.made["company", other][0], "contact_id": self.made["contact", other][0]}
        deals = {}
        for place, (outcome, links) in enumerate(
            (("open", here), ("won", there), ("won", here), ("lost", there))
        ):
            deals[outcome] = self._deal(name, outcome, links, number * 10 + place)
        tickets = [
            self._ticket(name, outcome, links) for outcome, links in (("open", here), ("solved", there))
        ]
        self._campaign(name, (here["contact_id"], there["contact_id"]))
        for is_issued, links in ((False, here), (True, there), (True, here)):
            self._invoice(name, is_issued, links, deals["won"], number)
        subjects = [
            {},
            {"company_id": here["company_id"]},
            {"company_id": there["company_id"]},
            {"contact_id": there["contact_id"], "company_id": here["company_id"]},
            {"deal_id": deals["open"]},
            {"deal_id": deals["won"]},
            {"ticket_id": tickets[0]},
            {"deal_id": self.made["deal", other][0]} if self.made["deal", other] else {},
        ]
        for links in subjects:
            with self._system() as session:
                row = make(
                    models.Activity, kind="task", due_on=date(YEAR, 1, 1), **self._whose(name), **links
                )
                self._add(session, name, row)

    def _deal(self, name, outcome, links, number):
        with self._system() as session:
            amount = Decimal(1000 + 7 * self.departments[name] + number) + Decimal("0.01") * number
            deal = self.canaries.row(
                models.Deal,
                stage_id=self.stages["deal"][outcome],
                amount=amount,
                currency="EUR" if outcome != "lost" else "USD",
                opened_on=date(YEAR, 1, 5),
                closed_on=None if outcome == "open" else date(YEAR, 2, 6),
                position=float(number),
                **self._whose(name),
                **links,
            )
            self._add(session, name, deal)
            for product_id in (self.product_id, None):
                line = self.canaries.row(
                    models.DealLine,
                    deal_id=deal.id,
                    quantity=Decimal(1),
                    unit_price=amount / 2,
                    net=amount / 2,
                    product_id=product_id,
                )
                self._add(session, name, line)
            return deal.id

    def _ticket(self, name, outcome, links):
        with self._system() as session:
            row = self.canaries.row(
                models.Ticket, stage_id=self.stages["ticket"][outcome], **self._whose(name), **links
            )
            self._add(session, name, row)
            for kind in ("reply", "note"):
                self._add(session, name, self.canaries.row(models.TicketMessage, ticket_id=row.id, kind=kind))
            return row.id

    def _campaign(self, name, contact_ids):
        with self._system() as session:
            row = self.canaries.row(models.Campaign, currency="EUR", **self._whose(name))
            self._add(session, name, row)
            for status, contact_id in zip(("planned", "reached"), contact_ids, strict=True):
                member = models.CampaignMember(campaign_id=row.id, contact_id=contact_id, status=status)
                member._canaries = {}
                self._add(session, name, member)

    def _invoice(self, name, is_issued, links, deal_id, number):
        canaries, day_ = self.canaries, date(YEAR, 3, 1 + number % 28)
        net = Decimal(500 + 3 * self.departments[name] + number)
        with self._system() as session:
            more = {} if is_issued else {"number": None}
            invoice = canaries.row(
                models.Invoice,
                company_id=links["company_id"],
                deal_id=deal_id,
                currency="EUR",
                net=net,
                tax=Decimal("0.00"),
                gross=net,
                **self._whose(name),
                **more,
            )
            issued_number, invoice.number = invoice.number, None
            session.add(invoice)
            session.flush()
            line = canaries.row(
                models.InvoiceLine, invoice_id=invoice.id, product_id=self.product_id, unit_price=net, net=net
            )
            self._add(session, name, invoice, line)
            if not is_issued:
                return
            # One UPDATE: what is issued is frozen. What it overwrote stands in the ledger.
            before, after = invoice.billing_tax_id, canaries.word()
            canaries.belongs(before, "invoice's history", invoice.id, "billing_tax_id")
            canaries.belongs(after, "invoice", invoice.id, "billing_tax_id")
            invoice.billing_tax_id = after
            invoice.number, invoice.issued_on, invoice.due_on = issued_number, day_, day_
            invoice.issued_by_id = self.staff.get(self.departments["Finance"])
            session.flush()
            payment = canaries.row(models.Payment, invoice_id=invoice.id, paid_on=day_, amount=Decimal(100))
            self._add(session, name, payment)
            if self.papers:
                self._paper(session, name, invoice)

    def _paper(self, session, name, invoice):
        session.refresh(invoice)
        content = draw(invoice_html(invoice))
        document = self.canaries.row(
            models.Document,
            entity="invoice",
            record_id=invoice.id,
            kind="invoice",
            media_type="application/pdf",
            sha256=sha256(content).hexdigest(),
            size=len(content),
            content=content,
            created_at=datetime.now(UTC),
        )
        self._add(session, name, document)

    def _external_keys(self):
        for (table, name), keys in list(self.made.items()):
            if table not in MAIN:
                continue
            for key in keys:
                with self._system() as session:
                    self._add(session, name, self._attachment(table, key))
                    if table != "activity":
                        self._add(session, name, self.canaries.row(models.ExternalKey, entity=table, record_id=key))

    def _attachment(self, table, key):
        folder = blobs.folder_in(self.app.config["SETTINGS"].FOYER_HOME)
        kept = blobs.keep(folder, BytesIO(f"{table} {key}".encode()), most=100)
        file = {"media_type": "text/plain", "size": kept.size, "sha256": kept.sha256}
        return self.canaries.row(models.Attachment, entity=table, record_id=key, **file)

    def _tags_and_pairs(self):
        """A tag on every record, and pairs within and across departments that look alike."""
        with self._system() as session:
            tag = models.Tag(name="Audit")
            session.add(tag)
            session.flush()
            for table in ("company", "contact", "deal", "ticket", "campaign"):
                keys = sorted(key for (one, _), ids in self.made.items() if one == table for key in ids)
                session.add_all(models.Tagging(tag_id=tag.id, entity=table, record_id=key) for key in keys)
                if table in ("company", "contact"):
                    session.add_all(
                        models.DuplicatePair(entity=table, one_id=one, other_id=other, score=90, found_at=NOW)
                        for one, other in pairwise(keys)
                    )

    def _jobs(self, name):
        """Work and post of one colleague of each department: nobody else's, not even his head's."""
        department = self.departments[name]
        if department not in self.staff:
            return
        own = {"department_id": department, "owner_id": self.staff[department], "created_at": NOW}
        with self._system("jobs") as session:
            job = self.canaries.row(models.Job, kind="export", state="done", **own)
            self._add(session, name, job)
            file = self.canaries.row(
                models.JobFile,
                job_id=job.id,
                role="result",
                media_type="text/csv",
                sha256="0",
                size=1,
                content=b"x",
            )
            message = self.canaries.row(models.OutboxMessage, channel="mail", state="sent", due_at=NOW, **own)
            self._add(session, name, file, message)

    def _shares(self):
        """One record of each kind of each department is open to the department after the next, one to a colleague, and
        one was until lately: each with its reason."""
        for (table, name), keys in sorted(self.made.items()):
            if table not in SHARED:
                continue
            other = self.departments[self._next(self._next(name))]
            whom = [{"to_department_id": other}, {"to_staff_id": self.staff.get(other)}]
            for key, to in zip(keys[-2:], whom, strict=False):
                if None not in to.values():
                    with self._system() as session:
                        given = {"entity": table, "record_id": key, "may": "see", **to}
                        self._add(session, name, self.canaries.row(models.Share, **given))
            with self._system() as session:
                over = {"entity": table, "record_id": keys[0], "until_on": date(YEAR - 1, 1, 1)}
                past = self.canaries.row(models.Share, to_department_id=other, may="see", **over)
                self._add(session, name, past)

    def _reads(self, name):
        """What a colleague of each department took out, and what he asked for: his and his heads' business."""
        department = self.departments[name]
        if department not in self.staff:
            return
        own = {"department_id": department, "owner_id": self.staff[department]}
        with self._system("reads") as session:
            entry = self.canaries.row(models.ReadEntry, entity="company", kind="export", at=NOW, **own)
            approval = self.canaries.row(models.Approval, entity="company", rows=20_000, state="granted", **own)
            approval.decided_at, approval.decided_by_id = NOW, self.staff[self.departments["Management"]]
            over = {"deputy_id": self.staff[self.departments["Management"]], "starts_on": NOW, "ends_on": NOW}
            deputy = self.canaries.row(models.Deputy, **own, **over)
            self._add(session, name, entry, approval, deputy)

    def _edit_everything(self):
        """One word of every row is replaced: the old one then stands in the ledger alone."""
        for (table, _), keys in list(self.made.items()):
            model = ENTITIES[table]
            if not issubclass(model, models.Recorded) or table in ("invoice", "invoice_line", "payment"):
                continue
            columns = written_columns(model.__table__)
            for key, column in zip(keys, columns[-1:] * len(keys), strict=False):
                with self._system() as session:
                    row = session.get(model, key)
                    before, after = getattr(row, column), self.canaries.word()
                    setattr(row, column, after)
                    self.canaries.belongs(before, f"{table}'s history", key, column)
                    self.canaries.belongs(after, table, key, column)

    def mark_search_entries(self, database):
        """A word in every search entry that stands in no row: only the search can come upon it."""
        tables = ", ".join(f"'{table}'" for table in MAIN)
        with database.raw() as connection:
            cursor = connection.cursor()
            cursor.execute(f"SELECT id FROM search_entry WHERE entity IN ({tables})")
            for (key,) in cursor.fetchall():
                word = self.canaries.word()
                cursor.execute(f"UPDATE search_entry SET text = text || ' {word}' WHERE id = {int(key)}")
                self.canaries.belongs(word, "search_entry", key, "text")
            if database.engine == "sqlite":
                cursor.execute("INSERT INTO search_fts(search_fts) VALUES ('rebuild')")


# --------------------------------------------------------------------------------------------- what must be declared


def undeclared_tables(metadata=Model.metadata):
    """Tables that do not say who sees their rows, or that the audit above has no rows in."""
    faults = []
    for table in metadata.tables.values():
        model = ENTITIES.get(table.name)
        sight = getattr(model, "__sight__", None)
        if table.name in SECURITY_TABLES | INDEX_TABLES | PRIVATE_TABLES:
            continue
        if sight not in ("scoped", "reference"):
            faults.append(f"{table.name} declares no sight")
        known = (
            *MAIN,
            *PARTS,
            *THEIR_OWN,
            "document",
            "external_key",
            "search_entry",
            "change",
            "change_set",
        )
        known += ("tagging", "attachment", "duplicate_pair", "share", *OF_PEOPLE)
        if sight == "scoped" and table.name not in known:
            faults.append(f"{table.name} is scoped, but the audit knows no rule for it")
        if sight == "reference" and table.name not in (*EVERYBODYS, *ADMINS, "number_series", "import_mapping"):
            faults.append(f"{table.name} is everybody's, but the requirement does not say so")
    return faults


OPEN_ROUTES = {
    "static",
    *("SignIn.login", "SignIn.logout", "SecurityApi.login", "SecurityApi.refresh"),
    *("ForgottenView.forgotten", "ForgottenView.new_password"),
    *("SecondStepView.ask", "SecondStepView.enrol", "OpenIdView.start", "OpenIdView.callback"),
}


def unguarded_routes(app):
    """Routes that neither `allows` guards nor stand open by intention."""
    return sorted(
        f"{rule.rule} ({rule.endpoint})"
        for rule in app.url_map.iter_rules()
        if rule.endpoint not in OPEN_ROUTES and not hasattr(app.view_functions[rule.endpoint], "verb")
    )


# --------------------------------------------------------------------------------------------- the walk

VIEWS = {entry.view.__name__: entry.view for entry in (*MENU, *MENU_MORE)}
VIEWS |= {view.__name__: view for view in OFF_MENU} | {api.__name__: api for api in APIS}


def model_of(view):
    """Whose ids stand in the addresses of a view or an API."""
    if hasattr(view, "record_view"):
        return view.record_view.model
    return getattr(view, "model", None) or ENTITIES.get(view.entity)  # None: tables of the door, no records


BY_PERSON = ("/memberships/",)  # a list of people with what they hold: its rows are no rows of the table
# Routes that want more than the right to look at the record: to change it, to have it erased, to have handed it over.
NEEDS_MORE = (".edit", ".fields", ".lose", ".share", ".undo", ".erase", ".sheet", ".value", ".search_related")
PAGE = 10  # rows a list page: small enough that lists have a next one


@dataclass
class Outcome:
    """What was walked and found."""

    routes: int = 0
    accounts: int = 0
    rows: int = 0
    canaries: int = 0
    responses: int = 0
    figures: int = 0
    pairs: int = 0
    out_of_place: list = field(default_factory=list)
    not_found: list = field(default_factory=list)
    wrong_figures: list = field(default_factory=list)
    told_apart: list = field(default_factory=list)

    @property
    def faults(self):
        return [*self.out_of_place, *self.not_found, *self.wrong_figures, *self.told_apart]

    def __str__(self):
        return (
            f"{self.routes} GET routes, {self.accounts} accounts, {self.rows} rows, {self.canaries} canaries, "
            f"{self.responses} responses: {len(self.out_of_place)} canaries out of place, "
            f"{len(self.not_found)} not found where they belong; {self.figures} figures compared, "
            f"{len(self.wrong_figures)} wrong; {self.pairs} pairs of foreign and absent ids, "
            f"{len(self.told_apart)} told apart"
        )


def write_more_accounts(app):
    """The accounts beside the cast."""
    with app.app_context(), access.system_session("audit", door="command") as session:
        departments = {row.name: row.id for row in session.query(models.Department)}
        for username, (_, names) in MORE_ACCOUNTS.items():
            security.create_account(
                session,
                username=username,
                first_name="Someone",
                last_name=username,
                email=f"{username}@foyer.example",
                department_id=departments[(names or ("Management",))[0]],
                roles=ROLE_NAMES[username],
                password=security.DEMO_PASSWORD,
            )


class Audit:
    """One house, filled with canaries, and what its pages give away."""

    def __init__(self, app, database, *, rows=1, step=1, thin=1, papers=True):
        # `step`: every n-th word is searched for. `thin`: every n-th foreign row is opened, by turns on each route.
        self.app, self.database, self.step, self.thin = app, database, step, thin
        for fault in (*undeclared_tables(), *unguarded_routes(app)):
            raise AuditFailed(fault)
        write_more_accounts(app)
        self.world = World(app, rows, papers=papers)
        self.world.mark_search_entries(database)
        self.home = self.world.canaries.home
        if papers:
            self._check_every_column()
        self.outcome = Outcome(canaries=len(self.home), accounts=len(ACCOUNTS) + len(MORE_ACCOUNTS))
        self.rules = [
            rule for rule in app.url_map.iter_rules() if "GET" in rule.methods and rule.endpoint != "static"
        ]
        self.outcome.routes = len(self.rules)

    def _check_every_column(self):
        """Every written column of every scoped table holds canaries, or the audit would look past it."""
        held = {(table.removesuffix("'s history"), column) for table, _, column in self.home.values()}
        for model in ENTITIES.values():
            if model.__sight__ == "scoped":
                for column in written_columns(model.__table__):
                    if (model.__tablename__, column) not in held:
                        raise AuditFailed(f"{model.__tablename__}.{column} holds no canary")

    # ---- what is allowed

    def ask(self, statement):
        with self.database.raw() as connection:
            cursor = connection.cursor()
            cursor.execute(statement)
            return cursor.fetchall()

    def visible(self, account):
        """Table -> ids that the account may see, by plain SQL."""
        tables = [name for name, model in ENTITIES.items() if model.__sight__ == "scoped"]
        return {table: {key for (key,) in self.ask(_ids(account, table))} for table in tables}

    def _allowed(self, visible):
        """The canaries that may come back, by the rows they stand in; history is seen with its record."""
        allowed, hidden = set(), HIDDEN.get(self.account, ())
        for word, (table, key, column) in self.home.items():
            table = table.removesuffix("'s history")
            if key in visible[table] and (table, column) not in hidden:
                allowed.add(word)
        return allowed

    # ---- walking

    def run(self):
        for account in (*ACCOUNTS, *MORE_ACCOUNTS):
            self._walk(account, self.visible(account))
        self.outcome.rows = sum(
            self.ask(f"SELECT count(*) FROM {name}")[0][0]
            for name, model in ENTITIES.items()
            if model.__sight__ == "scoped"
        )
        return self.outcome

    def walk_one(self, account, path):
        """Only the routes that begin so, as one account."""
        self._enter(account, self.visible(account))
        for rule in self.rules:
            if rule.rule.startswith(path):
                self._walk_rule(rule)
        return self.outcome

    def _walk(self, account, visible):
        self._enter(account, visible)
        for rule in self.rules:
            self._walk_rule(rule)
        self._searches()
        self._figures()
        self._foreign_and_absent()
        self._report_unseen()

    def _enter(self, account, visible):
        self.account, self.client = account, Client(self.app)
        self.client.sign_in(account, security.DEMO_PASSWORD)
        self.visible_now, self.allowed_now, self.seen_now = visible, self._allowed(visible), set()

    def _walk_rule(self, rule):
        view = VIEWS.get(rule.endpoint.split(".")[0])
        if rule.arguments - {"pk", "file_id", "attachment_id", "name"}:
            raise AuditFailed(f"{rule.rule}: the audit does not know what to put into it")
        if rule.arguments and model_of(view) is None:  # what the door keeps of a person: the first rows there are
            for key in (1, 2, 3):
                self.open(rule.rule.replace("<int:pk>", str(key)))
        elif rule.arguments:
            self._records(rule, model_of(view))
        else:
            self._pages(rule, view)

    def open(self, url, *, asked=(), status=None):
        """Open a page as this account; whatever canary comes back must be allowed."""
        page = Page(self.client.browser.get(url), url)
        if status is not None and page.status != status:
            self.outcome.not_found.append(f"{self.account}: {url} answers {page.status}")
        self.outcome.responses += 1
        page.told = self._told(page)
        told = {*CANARY.findall(page.told)} - set(asked)
        for word in sorted(told - self.allowed_now):
            home = self.home.get(word, ("a row of nobody", None, None))
            self.outcome.out_of_place.append(f"{self.account} reads {word} of {home} on {url}")
        self.seen_now |= told
        return page

    def _told(self, page):
        headers = " ".join(unquote(value) for value in page.response.headers.values())
        if page.response.mimetype == "application/pdf":
            return headers + " ".join(pages_of(page.response.data))
        return headers + page.html

    def _pages(self, rule, view):
        """A route without an id: as it is, and in every way its kind is asked."""
        page = self.open(rule.rule)
        if rule.endpoint == "DuplicateView.merge":
            pairs = self.ask("SELECT entity, one_id, other_id FROM duplicate_pair ORDER BY id")
            for entity, one, other in pairs[:: self.thin]:
                self.open(f"{rule.rule}?entity={entity}&ids={one},{other}")
        if page.status != 200:
            return
        if rule.endpoint.endswith(".list") and hasattr(view, "model") and rule.rule not in BY_PERSON:
            self._list(rule.rule, view)
        elif rule.endpoint in ("ChangeView.index", "TrashView.index"):
            while url := page.link_with(rel="next"):
                page = self.open(url, status=200)
        elif rule.endpoint == "DuplicateView.index":
            for asked in ("contact", "company"):
                url = f"{rule.rule}?entity={asked}"
                while url:
                    page = self.open(url)
                    url = page.link_with(rel="next") if page.status == 200 else None
        elif rule.endpoint.endswith(".list") and rule.rule.startswith("/api/"):
            self._api_list(rule.rule, view.record_view.model.__tablename__)
        elif rule.endpoint.endswith(".board"):
            self.open(f"{rule.rule}?owner=me")
            for pipeline_id, kind in self.ask("SELECT id, kind FROM pipeline"):
                if f"/{kind}s/" in rule.rule:
                    more = "".join(f"&cards-{key}=500" for (key,) in self.ask("SELECT id FROM stage"))
                    self.open(f"{rule.rule}?pipeline={pipeline_id}{more}")
        elif rule.endpoint.startswith("ReportView."):
            for period, currency in ((YEAR, "USD"), (f"{YEAR}-02", "EUR")):
                if self.thin == 1 or "pdf" not in rule.rule:
                    self.open(f"{rule.rule}?period={period}&currency={currency}")

    def _list(self, path, view):
        """Every page of a list; on it stand the rows that are allowed, each once, and their number."""
        table, found, url = view.model.__tablename__, [], f"{path}?size={PAGE}&sort=-id"
        first = None
        while url:
            page = self.open(url, status=200)
            first = first or page
            found += self._rows_on(page, path)
            url = page.link_with(rel="next")
        if table in self.visible_now:
            expected = self.visible_now[table]
            self._compare(f"rows of {path}", sorted(found), sorted(expected))
            counted = re.search(r'class="list-count">([^<]+)<', first.html)
            self._compare(
                f"count of {path}", int(re.sub(r"\D", "", counted[1])) if counted else None, len(expected)
            )

    def _api_list(self, path, table):
        found, after = [], ""
        while after is not None:
            page = self.open(f"{path}?size={PAGE}&after={after}", status=200)
            found += [row["id"] for row in page.json["result"]]
            after = page.json["next"]
        self._compare(f"rows of {path}", sorted(found), sorted(self.visible_now[table]))
        self._compare(f"count of {path}", page.json["count"], len(self.visible_now[table]))

    def _rows_on(self, page, path):
        """The ids of the rows of a list page: the links of its table's leading cells."""
        lead = re.findall(r'<td class="lead[^"]*"[^>]*>(.*?)</td>', page.html, re.DOTALL)
        keys = [re.search(rf'href="{path}(\d+)"', cell) for cell in lead]
        return [int(key[1]) for key in keys if key]

    def _records(self, rule, model):
        """A route with an id: for every row there is, seen or foreign."""
        table = model.__tablename__
        for (key,) in self.ask(f"SELECT id FROM {table} ORDER BY id"):
            is_foreign = table in self.visible_now and key not in self.visible_now[table]
            turn = key + len(rule.rule) + len(self.account)
            if is_foreign and turn % self.thin:
                continue
            # What these show stands in lists and sheets, too: where time is short, not every one is opened.
            if (
                rule.endpoint.endswith((".as_of", "ChangeView.show", "ChangeView.undo"))
                and turn % self.thin**2
            ):
                continue
            url = rule.rule.replace("<int:pk>", str(key))
            if "<name>" in url:
                names = [column.name for column in model.__table__.c]
                if rule.endpoint.endswith(".search_related"):
                    names = VIEWS[rule.endpoint.split(".")[0]].related
                url = url.replace("<name>", names[turn % len(names)])
            if "<int:file_id>" in url:
                files = self.ask(f"SELECT id FROM job_file WHERE job_id = {int(key)} ORDER BY id LIMIT 1")
                url = url.replace("<int:file_id>", str(files[0][0] if files else 1))
            if "<int:attachment_id>" in url:
                files = self.ask(
                    f"SELECT id FROM attachment WHERE entity = '{table}' AND record_id = {int(key)} ORDER BY id LIMIT 1"
                )
                url = url.replace("<int:attachment_id>", str(files[0][0] if files else 1))
            page = self.open(url)
            if table not in self.visible_now:
                continue
            if key not in self.visible_now[table] and page.status not in (403, 404):
                self.outcome.out_of_place.append(f"{self.account}: {page.url} answers {page.status}")
            needs_more = rule.endpoint.endswith(NEEDS_MORE) or "Import" in rule.endpoint
            if key in self.visible_now[table] and page.status in (403, 404) and not needs_more:
                self.outcome.not_found.append(f"{self.account}: {page.url} answers {page.status}")

    # ---- searching

    def _searches(self):
        """Ask every list for words of rows, own and foreign: by its search box, its filters, and as a picker."""
        turn = count()
        for word, (table, key, column) in self.home.items():
            if next(turn) % self.step:
                continue
            if table == "search_entry":
                self._search(word, key)
            elif table in MAIN:
                self._filter(word, table, key, column)

    def _search(self, word, entry_id):
        ((table, key),) = self.ask(f"SELECT entity, record_id FROM search_entry WHERE id = {entry_id}")
        view = next(view for view in VIEWS.values() if getattr(view, "model", None) is ENTITIES[table])
        page = self.open(f"{view.route_base}/?q={word}", asked=[word])
        picked = self.open(f"{view.route_base}/pick?q={word}", asked=[word])
        is_seen = key in self.visible_now[table]
        if page.status == 200:
            found = self._rows_on(page, f"{view.route_base}/")
            self._compare(f"{word} searched on {view.route_base}", found, [key] * is_seen)
            found = [one["id"] for one in picked.json]
            self._compare(f"{word} picked on {view.route_base}", found, [key] * is_seen)
        elif is_seen:
            self.outcome.not_found.append(f"{self.account}: {page.url} answers {page.status}")
        if is_seen and page.status == 200:
            self.seen_now.add(word)

    def _filter(self, word, table, key, column):
        view = next(view for view in VIEWS.values() if getattr(view, "model", None) is ENTITIES[table])
        page = self.open(f"{view.route_base}/?{column}.has={word}", asked=[word])
        if page.status == 200:
            expected = [key] if key in self.visible_now[table] else []
            found = self._rows_on(page, f"{view.route_base}/")
            self._compare(f"{column}.has={word} on {view.route_base}", found, expected)

    # ---- figures

    def _figures(self):
        self._board("deal", "amount")
        self._board("ticket", None)
        self._campaign_counts()
        self._report()

    def _compare(self, what, shown, expected):
        self.outcome.figures += 1
        if shown != expected:
            self.outcome.wrong_figures.append(f"{self.account}: {what} says {shown}, not {expected}")

    def _board(self, table, amount):
        page = self.client.request("GET", f"/{table}s/board")
        if page.status != 200:
            return
        columns = re.findall(
            r'data-stage-id="(\d+)".*?data-count>(\d+)<.*?data-sums>([^<]*)<', page.html, re.DOTALL
        )
        shown = {int(key): (int(number), sums.strip()) for key, number, sums in columns}
        for (stage_id,) in self.ask(
            f"SELECT s.id FROM stage s JOIN pipeline p ON p.id = s.pipeline_id WHERE p.kind = '{table}'"
        ):
            cents = f"SUM(CAST(ROUND(t.{amount} * 100) AS BIGINT))" if amount else "NULL"
            currency = "t.currency" if amount else "t.stage_id"
            found = self.ask(
                f"SELECT {currency}, COUNT(*), {cents} FROM {table} t "
                f"WHERE t.stage_id = {stage_id} AND ({condition(self.account, table)}) GROUP BY {currency} ORDER BY 1"
            )
            number = sum(row[1] for row in found)
            sums = " · ".join(self._money(row[2], row[0]) for row in found if amount)
            self._compare(f"stage {stage_id} of {page.url}", shown.get(stage_id), (number, sums))

    def _money(self, cents, currency="EUR"):
        return format_currency(Decimal(int(cents)) / 100, currency, locale="en")

    def _campaign_counts(self):
        for key in self.visible_now["campaign"]:
            page = self.client.get(f"/campaigns/{key}")
            shown = [int(text) for text in re.findall(r'class="stat-value">(\d+)<', page.html)][:4]
            members = f"FROM campaign_member WHERE campaign_id = {key}"
            found = dict(self.ask(f"SELECT status, COUNT(*) {members} GROUP BY status"))
            numbers = [found.get(status, 0) for status in ("planned", "reached", "answered")]
            self._compare(f"members of {page.url}", shown, [sum(numbers), *numbers])

    def _report(self):
        """Won, lost and revenue of the year stand in the report, on the page and in the PDF, as plain SQL sums them."""
        page = self.open(f"/reports/sales?period={YEAR}&currency=EUR")
        if page.status != 200:
            return
        paper = self.open(f"/reports/sales.pdf?period={YEAR}&currency=EUR")
        texts = {"page": page.text, "paper": paper.told}
        deal, invoice = (condition(self.account, table) for table in ("deal", "invoice"))
        year = f"BETWEEN '{YEAR}-01-01' AND '{YEAR}-12-31'"
        of_outcome = "t.stage_id IN (SELECT id FROM stage WHERE outcome = 'won')"
        sums = {
            "won": f"SELECT SUM(CAST(ROUND(t.amount * 100) AS BIGINT)) FROM deal t WHERE ({deal}) AND {of_outcome} "
            f"AND t.currency = 'EUR' AND t.closed_on {year}",
            "revenue": f"SELECT SUM(CAST(ROUND(t.net * 100) AS BIGINT)) FROM invoice t WHERE ({invoice}) "
            f"AND t.currency = 'EUR' AND t.issued_on {year}",
        }
        for name, statement in sums.items():
            expected = self._money(self.ask(statement)[0][0] or 0)
            for where, text in texts.items():
                said = expected if expected in text else "something else"
                self._compare(f"{name} on the report's {where}", said, expected)
        owners = self.ask(
            "SELECT s.name, SUM(CAST(ROUND(t.net * 100) AS BIGINT)) FROM invoice t JOIN staff s ON s.id = t.owner_id "
            f"WHERE ({invoice}) AND t.currency = 'EUR' AND t.issued_on {year} GROUP BY s.name"
        )
        for name, cents in owners:
            row = re.search(rf"{re.escape(name)}.{{0,20}} {re.escape(self._money(cents))}", texts["page"])
            self._compare(f"revenue of {name}", bool(row), True)

    # ---- foreign and absent

    def _foreign_and_absent(self):
        """An id that is foreign and one that does not exist get the same answer, whatever is asked of it."""
        absent = 1_999_999_999
        self.client.csrf_token = None
        token = {"X-CSRFToken": self.client._token()}
        for turn, rule in enumerate(self.app.url_map.iter_rules(), start=len(self.account)):
            view = VIEWS.get(rule.endpoint.split(".")[0])
            if "pk" not in rule.arguments or turn % self.thin:
                continue
            model = model_of(view)
            foreign = self._foreign(model.__tablename__) if model is not None else None
            if foreign is None:
                continue
            for method in sorted(rule.methods - {"OPTIONS", "HEAD"}):
                answers = []
                for key in (foreign, absent):
                    url = re.sub(r"<int:\w+>", "1", rule.rule.replace("<int:pk>", str(key)))
                    body = {"json": {"version": 1}} if url.startswith("/api/") and method != "GET" else {}
                    headers = token if method != "GET" else {}
                    page = Page(self.client.browser.open(url, method=method, headers=headers, **body), url)
                    answers.append((page.status, page.location, self._normal(page.html, key)))
                    self.outcome.responses += 1
                self.outcome.pairs += 1
                if answers[0] != answers[1]:
                    self.outcome.told_apart.append(
                        f"{self.account}: {method} {rule.rule} tells {foreign} from none"
                    )

    def _foreign(self, table):
        if table not in self.visible_now:
            return None
        keys = {key for (key,) in self.ask(f"SELECT id FROM {table}")} - self.visible_now[table]
        return min(keys, default=None)

    def _normal(self, html, key):
        """The answer without what differs by nature: the id that was asked for, and the form's token."""
        html = re.sub(r'(csrf[-_]token" (?:value|content)=)"[^"]*"', r"\1", html)
        return re.sub(rf"(?<=/){key}\b", "ID", html)

    # ---- what was allowed, but not found

    def _report_unseen(self):
        for word in sorted(self.allowed_now - self.seen_now):
            table, key, column = self.home[word]
            if table == "search_entry" and self.step > 1:
                continue  # not every word was searched for
            if self._is_shown(table, column):
                self.outcome.not_found.append(f"{self.account} never sees {word} of {table} {key} ({column})")

    def _is_shown(self, table, column):
        return (table, column) not in NOT_SHOWN


# Written once and handed on by other ways than a page, or shown only while a job is running or has failed.
NOT_SHOWN = {
    ("job", "note"),
    ("job", "error"),
    ("outbox_message", "address"),
    ("outbox_message", "error"),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", choices=databases.ENGINES, default="sqlite")
    parser.add_argument("--rows", type=int, default=2, help="rows of every kind in every department")
    parser.add_argument("--step", type=int, default=1, help="search for every n-th word only")
    options = parser.parse_args()
    run = databases.start_run()
    started = time.monotonic()
    try:
        with databases.fresh_database(options.engine) as database, databases.app_on(database) as app:
            outcome = Audit(app, database, rows=options.rows, step=options.step).run()
    finally:
        if run:
            databases.end_run(run)
    print(f"{options.engine}: {outcome}; {time.monotonic() - started:.0f} s")
    for fault in outcome.faults[:100]:
        print("  ", fault)
    return 1 if outcome.faults else 0


if __name__ == "__main__":
    sys.exit(main())
