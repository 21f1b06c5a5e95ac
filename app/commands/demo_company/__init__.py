"""The demo company: a firm that furnishes offices, with half a year of work behind it.

Its words stand in the CSV files beside this one, its chances come from one seed, its days are counted from
today. What happens goes through the same rules as in the application.
"""

import csv
import re
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random

from sqlalchemy import select

from app.models import (
    Activity,
    Campaign,
    Company,
    Contact,
    Deal,
    Pipeline,
    Product,
    Stage,
    Tag,
    Tagging,
    TaxRate,
    Ticket,
)
from app.rules import boards, campaigns, deals, invoices, tickets
from app.search import fold

FOLDER = Path(__file__).parent
SEED = 1896

SELLER = invoices.Seller(
    name="Nordlicht Office Furnishing GmbH",
    address="Speicherstadt 12\n20457 Hamburg\nGermany",
    tax_id="DE 811 907 235",
    bank="Hanseatische Volksbank, IBAN DE89 3704 0044 0532 0130 00",
)

VAT_CODES = {
    "Denmark": "DK",
    "Sweden": "SE",
    "Germany": "DE",
    "Poland": "PL",
    "Czechia": "CZ",
    "Italy": "IT",
    "Spain": "ES",
    "France": "FR",
    "Portugal": "PT",
    "Greece": "EL",
    "Austria": "AT",
}

TAGS = {"Key account": "violet", "Newsletter": "blue", "At risk": "red"}

# How many deals stand where.
WON, LOST = 56, 22
OPEN = {"New": 17, "Qualified": 15, "Proposal": 14, "Negotiation": 11}
TICKETS = 45
LATEST_WON = 10  # of these, every second one is not invoiced yet, or only drafted
DRAFTS = 3


def write_company(session, staff, *, today, currency, payment_days):
    """Write everything but the accounts; `staff` is the cast by username. Takes a few seconds."""
    writer = _Writer(session, staff, today, currency)
    writer.write_products()
    writer.write_companies()
    writer.write_deals()
    writer.write_invoices(payment_days)
    writer.write_tickets()
    writer.write_campaigns()
    writer.write_activities()
    writer.write_tags()


class _Writer:
    """What the writing shares: the session, the dice, the day, and what was written so far."""

    def __init__(self, session, staff, today, currency):
        self.session, self.staff, self.today, self.currency = session, staff, today, currency
        self.dice = Random(SEED)
        self.departments = {person.department.name: person.department_id for person in staff.values()}
        self.words = _words()
        self.products, self.companies, self.deals, self.tickets = {}, [], [], []
        self.contacts = {}  # company -> its contacts

    def write_tags(self):
        """A few words on every few companies."""
        for (name, color), every in zip(TAGS.items(), (5, 7, 11), strict=True):
            tag = Tag(name=name, color=color)
            self.session.add(tag)
            self.session.flush()
            self.session.add_all(
                Tagging(tag_id=tag.id, entity="company", record_id=company.id) for company in self.companies[::every]
            )

    # ---------------------------------------------------------------- goods and people

    def write_products(self):
        rates = {rate.percent: rate for rate in self.session.scalars(select(TaxRate))}
        for row in _rows("products"):
            self.products[row["sku"]] = Product(
                **_picked(row, "sku", "name", "category", "unit"),
                price=Decimal(row["price"]),
                currency=self.currency,
                tax_rate=rates.get(Decimal(row["tax_percent"])),
            )
        self.session.add_all(self.products.values())

    def write_companies(self):
        owners = {"North": "rep.north", "South": "rep.south", "Sales": "head.sales"}
        names = {
            row["tongue"]: [row[part].split(", ") for part in ("first_names", "last_names")]
            for row in _rows("names")
        }
        by_name = {}
        for row in _rows("companies"):
            company = self._company(row, self.staff[owners[row["team"]]])
            by_name[company.name] = company
            self.companies.append(company)
            how_many = self.dice.choices((2, 3, 4, 5, 6), (1, 3, 4, 3, 1))[0]
            self.contacts[company] = self._contacts(company, row, names[row["tongue"]], how_many)
        self.session.add_all(self.companies)
        for contacts in self.contacts.values():
            self.session.add_all(contacts)
        suppliers = {row["sku"]: row["supplier"] for row in _rows("products") if row["supplier"]}
        for sku, name in suppliers.items():
            self.products[sku].supplier = by_name[name]
        self.session.flush()

    def _company(self, row, owner):
        return Company(
            **_picked(row, "name", "kind", "industry", "street", "postal_code", "city", "region", "country"),
            department_id=self.departments[row["team"]],
            owner_id=owner.id,
            created_by_id=owner.id,
            created_at=self._moment(self.today - timedelta(days=self.dice.randint(420, 700))),
            email=f"info@{row['domain']}",
            phone=self._phone(row["dialling"]),
            website=f"https://www.{row['domain']}",
            vat_id=self._vat_id(row["country"]),
        )

    def _contacts(self, company, row, names, how_many):
        contacts = []
        last_names = self.dice.sample(names[1], min(how_many, len(names[1])))
        for first_name, last_name in zip(
            self.dice.sample(names[0], len(last_names)), last_names, strict=True
        ):
            # Where transliteration would misread a name, the list says how it sounds: 葵=Aoi.
            (first_name, first_latin), (last_name, last_latin) = _spellings(first_name), _spellings(last_name)
            mailbox = ".".join(re.sub("[^a-z]", "", fold(part)) for part in (first_latin, last_latin))
            contacts.append(
                Contact(
                    first_name=first_name,
                    last_name=last_name,
                    job_title=self.dice.choice(self.words["job title"]),
                    company=company,
                    email=f"{mailbox}@{row['domain']}",
                    phone=self._phone(row["dialling"]),
                    mobile=self._phone(row["dialling"]) if self.dice.random() < 0.6 else None,
                    **_picked(row, "street", "postal_code", "city", "region", "country"),
                    department_id=company.department_id,
                    owner_id=company.owner_id,
                    created_by_id=company.owner_id,
                    created_at=company.created_at + timedelta(days=self.dice.randint(0, 300)),
                )
            )
        return contacts

    # ---------------------------------------------------------------- selling

    def write_deals(self):
        stages = self._stages("deal")
        plans = sorted(self._plans(), key=lambda plan: plan["opened_on"])
        projects = [(row["name"], row["articles"].split(", ")) for row in _rows("projects")]
        for plan in plans:
            deal = self._deal(plan, *self.dice.choice(projects))
            by = deal.owner_id
            if plan["stage"] == "Won":
                deals.win(self.session, deal, by=by, today=plan["closed_on"])
            elif plan["stage"] == "Lost":
                reason = self.dice.choice(self.words["lost reason"])
                deals.lose(self.session, deal, reason=reason, by=by, today=plan["closed_on"])
            elif plan["stage"] != "New":
                deals.move(self.session, deal, stages[plan["stage"]], by=by, today=self.today)
            self.deals.append(deal)

    def _plans(self):
        """Stage, days and customer of every deal: what was won belongs to customers, the rest to anyone."""
        buyers = [company for company in self.companies if company.kind == "customer"]
        anyone = [company for company in self.companies if company.kind in ("customer", "prospect")]
        for stage, how_many in {"Won": WON, "Lost": LOST, **OPEN}.items():
            for _ in range(how_many):
                plan = {"stage": stage, "company": self.dice.choice(buyers if stage == "Won" else anyone)}
                if stage in OPEN:
                    plan["opened_on"] = self._workday(-self.dice.randint(1, 95))
                    plan["expected_on"] = self._workday(self.dice.randint(-6, 110))
                else:
                    # More of it lately: the firm grows.
                    plan["closed_on"] = self._workday(-1 - int(390 * self.dice.random() ** 1.4))
                    plan["opened_on"] = _workday(
                        plan["closed_on"] - timedelta(days=self.dice.randint(12, 100))
                    )
                    plan["expected_on"] = _workday(
                        plan["closed_on"] + timedelta(days=self.dice.randint(-20, 25))
                    )
                yield plan

    def _deal(self, plan, name, articles):
        company = plan["company"]
        deal = Deal(
            name=name.format(city=company.city, year=plan["opened_on"].year),
            company=company,
            contact=self.dice.choice(self.contacts[company]),
            currency=self.currency,
            opened_on=plan["opened_on"],
            expected_on=plan["expected_on"],
            department_id=company.department_id,
            owner_id=company.owner_id,
            created_by_id=company.owner_id,
            created_at=self._moment(plan["opened_on"]),
        )
        boards.place(self.session, deal, boards.first_stage(self.session, "deal"))
        self.session.add(deal)
        if plan["stage"] in ("New", "Qualified") and self.dice.random() < 0.4:
            deal.amount = Decimal(self.dice.randint(4, 90) * 500)  # an estimate; no lines yet
            return deal
        # How large it is: a small office or a whole house.
        share = self.dice.random() ** 2
        for article in articles:
            sku, span = article.rsplit(" ", 1)
            least, most = (int(number) for number in span.split("-"))
            deals.add_line(
                deal,
                product=self.products[sku],
                quantity=round(least + (most - least) * share),
                discount=Decimal(self.dice.choice(("0", "0", "0", "0.03", "0.05", "0.1"))),
            )
        return deal

    def write_invoices(self, payment_days):
        finance = self.staff["finance"].id
        won = sorted(
            (deal for deal in self.deals if deal.stage.outcome == "won"), key=lambda deal: deal.closed_on
        )
        days = {deal: min(_workday(deal.closed_on + timedelta(days=2)), self.today) for deal in won}
        waiting = won[-LATEST_WON::2]
        for deal in sorted((deal for deal in won if deal not in waiting), key=days.get):
            invoice = invoices.draft_from(self.session, deal, by=finance, today=days[deal])
            invoices.issue(
                self.session,
                invoice,
                by=finance,
                today=days[deal],
                seller=SELLER,
                payment_days=payment_days,
            )
            self._pay(invoice)
        for deal in waiting[:DRAFTS]:
            invoices.draft_from(self.session, deal, by=finance, today=self.today)

    def _pay(self, invoice):
        """Most customers pay, some late, a few in part, some not yet."""
        age = (self.today - invoice.issued_on).days
        chance = self.dice.random()
        if age < 12 or (age < 45 and chance > 0.6) or chance > 0.94:
            return
        days = min(age, self.dice.randint(5, 38))
        is_part = chance > 0.88 or (age < 45 and chance > 0.5)
        invoices.record_payment(
            self.session,
            invoice,
            amount=(invoice.gross / 2).quantize(Decimal("0.01")) if is_part else invoice.gross,
            paid_on=invoice.issued_on + timedelta(days=days),
            method=self.dice.choices(("transfer", "card", "debit"), (8, 1, 1))[0],
            reference=invoice.number,
            today=self.today,
        )

    # ---------------------------------------------------------------- service and marketing

    def write_tickets(self):
        stages = self._stages("ticket")
        customers = [company for company in self.companies if company.kind == "customer"]
        texts = list(_rows("tickets"))
        ages = sorted((int(self.dice.triangular(0, 70, 8)) for _ in range(TICKETS)), reverse=True)
        for number, age in enumerate(ages):
            text = texts[number % len(texts)]
            company = self.dice.choice(customers)
            ticket = self._ticket(text, company, age, is_first=number < len(texts))
            if age > 0 and ticket.owner is not None:
                self._answer(ticket, text, age)
            if age > 20 or (age > 6 and self.dice.random() < 0.55):
                solved_on = ticket.created_at + timedelta(days=self.dice.randint(1, min(age, 9)), hours=2)
                tickets.solve(self.session, ticket, now=min(solved_on, self._now()))
            elif ticket.owner is not None:
                stage = stages[self.dice.choice(("In progress", "In progress", "Waiting"))]
                tickets.move(self.session, ticket, stage, now=self._now())
            self.tickets.append(ticket)

    def _ticket(self, text, company, age, *, is_first):
        opened = self._moment(self.today - timedelta(days=age))
        agent, head = self.staff["agent"], self.staff["head.support"]
        owner = self.dice.choices((agent, head, None), (6, 2, 0 if age > 20 else 2))[0]
        ticket = Ticket(
            subject=text["subject"] if is_first else f"{text['subject']} ({company.city})",
            body=text["request"],
            company=company,
            contact=self.dice.choice(self.contacts[company]),
            priority=self.dice.choices(("low", "normal", "high", "urgent"), (2, 6, 3, 1))[0],
            due_on=_workday(opened.date() + timedelta(days=self.dice.randint(2, 10))),
            department_id=self.departments["Support"],
            created_by_id=agent.id,
            created_at=opened,
        )
        boards.place(self.session, ticket, boards.first_stage(self.session, "ticket"))
        self.session.add(ticket)
        tickets.assign(ticket, owner)
        return ticket

    def _answer(self, ticket, text, age):
        written = ticket.created_at + timedelta(minutes=self.dice.randint(12, 400))
        if text["note"] and self.dice.random() < 0.7:
            tickets.note(ticket, text["note"], by=ticket.owner.id).created_at = min(written, self._now())
        reply = tickets.reply(ticket, text["reply"], by=ticket.owner.id)
        reply.created_at = min(written + timedelta(minutes=self.dice.randint(3, 90)), self._now())

    def write_campaigns(self):
        marketer = self.staff["marketer"]
        people = [contact for company in self.companies for contact in self.contacts[company]]
        for row in _rows("campaigns"):
            starts_on = self._workday(int(row["starts_in"]))
            campaign = Campaign(
                **_picked(row, "name", "kind", "goal"),
                starts_on=starts_on,
                ends_on=_workday(starts_on + timedelta(days=int(row["lasts"]) - 1)),
                budget=Decimal(row["budget"]),
                currency=self.currency,
                department_id=marketer.department_id,
                owner_id=marketer.id,
                created_by_id=marketer.id,
                created_at=self._moment(min(starts_on, self.today) - timedelta(days=20)),
            )
            self.session.add(campaign)
            self.session.flush()
            chosen = self.dice.sample(people, int(row["members"]))
            campaigns.add_members(self.session, campaign, [contact.id for contact in chosen])
            weights = {"done": (1, 6, 4), "running": (4, 4, 2), "planned": (1, 0, 0)}[row["state"]]
            for member in campaign.members:
                campaigns.mark(member, self.dice.choices(("planned", "reached", "answered"), weights)[0])

    # ---------------------------------------------------------------- what people do

    def write_activities(self):
        notes = list(_rows("notes"))
        for deal in self.deals:
            span = ((deal.closed_on or self.today) - deal.opened_on).days
            for note in self.dice.sample(notes, self.dice.choices((0, 1, 2, 3), (3, 4, 3, 1))[0]):
                day = deal.opened_on + timedelta(days=self.dice.randint(0, max(span, 0)))
                self._activity_about(deal, note, self._moment(day))
        for row in _rows("tasks"):
            self._task(self.staff[row["who"]], row["subject"])

    def _activity_about(self, deal, note, at):
        at = min(at, self._now())
        self.session.add(
            Activity(
                kind=note["kind"],
                subject=note["subject"],
                body=note["text"] or None,
                deal=deal,
                contact=deal.contact,
                company=deal.company,
                done_at=at if note["kind"] in ("call", "meeting", "mail") else None,
                due_on=at.date() if note["kind"] == "meeting" else None,
                department_id=deal.department_id,
                owner_id=deal.owner_id,
                created_by_id=deal.owner_id,
                created_at=at,
            )
        )

    def _task(self, person, subject):
        due_on = self._workday(self.dice.choice((-6, -2, 0, 0, 0, 1, 3, 7, 14)))
        created = self._moment(min(due_on, self.today) - timedelta(days=self.dice.randint(1, 12)))
        task = Activity(
            kind="task",
            subject=subject,
            due_on=due_on,
            done_at=created + timedelta(days=1) if self.dice.random() < 0.12 else None,
            department_id=person.department_id,
            owner_id=person.id,
            created_by_id=person.id,
            created_at=created,
        )
        own = [deal for deal in self.deals if deal.owner_id == person.id and deal.stage.outcome == "open"]
        open_tickets = [ticket for ticket in self.tickets if ticket.owner_id == person.id]
        if own:
            task.deal = self.dice.choice(own)
            task.company = task.deal.company
        elif open_tickets:
            task.ticket = self.dice.choice(open_tickets)
        self.session.add(task)

    # ---------------------------------------------------------------- days, numbers

    def _stages(self, kind):
        query = select(Stage).join(Stage.pipeline).where(Pipeline.kind == kind)
        return {stage.name: stage for stage in self.session.scalars(query)}

    def _workday(self, days):
        """The working day this many days from today; today itself stays today."""
        return self.today if days == 0 else _workday(self.today + timedelta(days=days))

    def _moment(self, day):
        """Some time in the working hours of that day, and never in the future."""
        hour, minute = self.dice.randint(8, 16), self.dice.randint(0, 59)
        return min(datetime.combine(day, time(hour, minute), tzinfo=UTC), self._now())

    def _now(self):
        return datetime.now(UTC).replace(microsecond=0)

    def _phone(self, dialling):
        area, first, last = (self.dice.randint(10**size, 10 ** (size + 1) - 1) for size in (1, 3, 2))
        return f"{dialling} {area} {first} {last}"

    def _vat_id(self, country):
        code = VAT_CODES.get(country)
        return f"{code}{self.dice.randint(100_000_000, 999_999_999)}" if code else None


def _rows(name):
    with (FOLDER / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file, delimiter=";")


def _words():
    words = {}
    for row in _rows("words"):
        words.setdefault(row["kind"], []).append(row["text"])
    return words


def _spellings(name):
    written, _, latin = name.partition("=")
    return written, latin or written


def _picked(row, *names):
    return {name: row[name] or None for name in names}


def _workday(day):
    """The day itself, or the Friday before a weekend."""
    return day - timedelta(days=max(0, day.weekday() - 4))
