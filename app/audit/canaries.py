"""The canaries: rows of every kind in every department, in whose every text stands a word that stands nowhere else."""

import re
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from hashlib import sha256
from io import BytesIO
from itertools import pairwise, product

from sqlalchemy import String

from app import access, blobs, models
from app.audit.people import MAIN, SHARED
from app.documents.invoice import draw, invoice_html
from app.models import ENTITIES

LETTERS = "bcdghkmnprstvwz"  # no ligatures in a PDF
CANARY = re.compile(f"zq[{LETTERS}]{{5}}")

# Texts that people do not write: names of tables, fixed words, hashes.
NOT_WRITTEN = {
    ("attachment", "entity"),
    ("attachment", "media_type"),
    ("attachment", "sha256"),
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
YEAR = 2026
OUTCOMES = {"deal": ("open", "won", "lost"), "ticket": ("open", "solved")}


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
    """Rows of every kind in every department, linked within and across; `names` are those of the departments."""

    def __init__(self, app, rows, names, *, papers=True):
        self.app, self.names, self.papers = app, names, papers
        self.canaries = Canaries()
        self.made = defaultdict(list)  # (table, department) -> ids
        with self._system("departments") as session:
            self.departments = {row.name: row.id for row in session.query(models.Department)}
            here = session.query(models.Staff).filter(models.Staff.left_on.is_(None))
            self.staff = {row.department_id: row.id for row in here.order_by(models.Staff.id)}
            self.someone = next(iter(self.staff.values()), None)
            self.stages = {kind: _stages(session, kind, outcomes) for kind, outcomes in OUTCOMES.items()}
            # A name that no product of the house has.
            product_ = models.Product(
                name=f"Chair of the audit {NOW:%Y%m%d}", currency="EUR", price=Decimal(1)
            )
            session.add(product_)
            session.flush()
            self.product_id = product_.id
        for number in range(rows):
            for name in names:
                self._customers(name, number)
            for name in names:
                self._work(name, number)
        self._files_and_keys()
        self._edit_everything()
        self._tags_and_pairs()
        if papers:
            self._shares()
        for name in names:
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
        return self.names[(self.names.index(name) + 1) % len(self.names)]

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
            invoice.issued_by_id = self.someone
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

    def _files_and_keys(self):
        """A file hangs on every record, in which there is a word, too; and most are known elsewhere by a key."""
        folder = blobs.folder_in(self.app.config["SETTINGS"].FOYER_HOME)
        for (table, name), keys in list(self.made.items()):
            if table not in MAIN:
                continue
            for key in keys:
                of_it, word = {"entity": table, "record_id": key}, self.canaries.word()
                kept = blobs.keep(folder, BytesIO(word.encode()), most=len(word))
                file = {"media_type": "text/plain", "size": kept.size, "sha256": kept.sha256}
                with self._system() as session:
                    file_id = self._add(session, name, self.canaries.row(models.Attachment, **of_it, **file))
                    if table != "activity":
                        self._add(session, name, self.canaries.row(models.ExternalKey, **of_it))
                self.canaries.belongs(word, "attachment", file_id, "its bytes")

    def _tags_and_pairs(self):
        """A tag on every record, and pairs within and across departments that look alike."""
        with self._system() as session:
            tag = models.Tag(name=f"Audit {NOW:%Y%m%d}")
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
            approval = self.canaries.row(
                models.Approval, entity="company", rows=20_000, state="granted", **own
            )
            approval.decided_at, approval.decided_by_id = NOW, self.someone
            self._add(session, name, entry, approval)
            other = next((key for key in self.staff.values() if key != own["owner_id"]), None)
            if other is not None:
                over = {"deputy_id": other, "starts_on": NOW.date(), "ends_on": NOW.date()}
                self._add(session, name, self.canaries.row(models.Deputy, **own, **over))

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
            cursor.execute(f"SELECT id, entity, record_id FROM search_entry WHERE entity IN ({tables})")
            made = {(table, key) for (table, _), keys in self.made.items() for key in keys}
            for key, entity, record_id in cursor.fetchall():
                if (entity, record_id) not in made:
                    continue
                word = self.canaries.word()
                cursor.execute(f"UPDATE search_entry SET text = text || ' {word}' WHERE id = {int(key)}")
                self.canaries.belongs(word, "search_entry", key, "text")
            if database.engine == "sqlite":
                cursor.execute("INSERT INTO search_fts(search_fts) VALUES ('rebuild')")


def _stages(session, kind, outcomes):
    """Outcome -> a stage of a pipeline of this kind; where the house has none, it gets one in the copy."""
    found = {}
    for row in session.query(models.Stage).join(models.Stage.pipeline).filter(models.Pipeline.kind == kind):
        found[row.outcome] = row.id
    if missing := [one for one in outcomes if one not in found]:
        pipeline = models.Pipeline(name=f"Audit {kind}", kind=kind, position=99)
        session.add(pipeline)
        session.flush()
        for outcome in missing:
            stage = models.Stage(
                pipeline_id=pipeline.id, name=f"Audit {outcome}", outcome=outcome, position=99
            )
            session.add(stage)
            session.flush()
            found[outcome] = stage.id
    return found
