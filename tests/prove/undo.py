"""Random work, undone: after each undo a hash over all business tables is what it was before.

    python -m tests.prove.undo [--engine sqlite|postgresql] [--seed N] [--sequences N] [--minutes N] [--quick]
    python -m tests.prove.undo --large 100000

A sequence does random deeds in a small house, each one change set: adding, editing, deleting, lines and stages of
deals, tags, bulk edits and deletions, reassignment, merging, importing; by the system or by a head of department. Then
either the last ones are undone one by one from the end, and after each every table must be as it was before that deed;
or rows of the first are worked on, and after its undo each of its rows must be as before, or be listed and stand as it
stood: those that were worked on always. Last, the undo is undone, and all must be as it was before it. The search
index is compared with one made anew.

`--large` adds that many contacts with companies and foreign ids in one change set, edits all of them in another, takes
both back and the last undo, too, and tells the processor's seconds and the most memory.
"""

import argparse
import hashlib
import json
import platform
import random
import resource
import sys
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal

import sqlalchemy
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm.exc import StaleDataError

from app import access, bulk, models, search, security, undo
from app.access import DOOR
from app.exchange import importing
from app.exchange.files import open_table
from app.models import ENTITIES
from app.past import nets
from app.rules import RuleBroken, boards, deals, invoices, merging, tickets
from tests import databases
from tests.rules import world

# What is no business of its own: the ledger, what is derived, numbers that are never given again, work and post.
APART = {"change", "change_set", "search_entry", "number_series", "job", "job_file", "outbox_message"}
STAMPS = {"version", "updated_at"}
TODAY, NOW = date(2026, 3, 4), datetime(2026, 3, 4, 12, tzinfo=UTC)
NAMES = ("Ann", "Bo", "Çelik", "Dörte", "Жуков", "Eve", "O'Neil", "Ng", "=SUM(1)", "Zoë")
CITIES = ("Graz", "Wien", "Linz", None, "København", "Łódź")


def state_of(session):
    """(entity, id) -> all values of every business row, past the rule of sight, but for the stamps of edits."""
    state = {}
    for name, model in sorted(ENTITIES.items()):
        if name in APART:
            continue
        columns = [one for one in model.__table__.c if one.name not in STAMPS]
        rows = session.connection().execute(select(*columns), execution_options={DOOR: True})
        for row in rows:
            state[name, row.id] = tuple(_plain(value) for value in row)
    return state


def _plain(value):
    return json.dumps(value, sort_keys=True) if isinstance(value, dict | list) else value


def hash_of(state):
    """One number for all of it."""
    return hashlib.sha256(repr(sorted(state.items())).encode()).hexdigest()


# --------------------------------------------------------------------------------------------- random deeds


class Deeds:
    """Things that people do, at random, in one session."""

    def __init__(self, session, chance):
        self.session, self.chance = session, chance
        self.here = {
            name: world.department(session, name).id for name in ("North", "South", "Sales", "Support")
        }

    def some(self):
        """One to five deeds; what the rules or the database refuse was not done."""
        for _ in range(self.chance.randint(1, 5)):
            self.one(self.chance.choice(DEEDS))

    def one(self, deed):
        try:
            with self.session.begin_nested():
                deed(self)
                self.session.flush()
        except (RuleBroken, IntegrityError, StaleDataError, access.WriteRefused):
            pass

    def any_of(self, model, most=1):
        """Some rows of this model, or none."""
        keys = self.session.scalars(select(model.id).order_by(model.id)).all()
        keys = self.chance.sample(keys, min(most, len(keys)))
        return self.session.scalars(select(model).where(model.id.in_(keys))).all()

    def whose(self, *departments):
        return {"department_id": self.here[self.chance.choice(departments or ("North", "South", "Sales"))]}

    def key_of(self, model):
        return next((row.id for row in self.any_of(model)), None)

    # ---- adding

    def add_company(self):
        name = f"{self.chance.choice(NAMES)} AG"
        self.session.add(models.Company(name=name, city=self.chance.choice(CITIES), **self.whose()))

    def add_contact(self):
        self.session.add(
            models.Contact(
                last_name=self.chance.choice(NAMES),
                company_id=self.key_of(models.Company),
                custom=self.chance.choice((None, {"size": 5}, {"size": 7, "color": "red"})),
                **self.whose(),
            )
        )

    def add_deal(self):
        deal = models.Deal(
            name=f"Deal {self.chance.randint(1, 99)}",
            currency="EUR",
            opened_on=TODAY,
            company_id=self.key_of(models.Company),
            contact_id=self.key_of(models.Contact),
            **self.whose(),
        )
        boards.place(self.session, deal, boards.first_stage(self.session, "deal"))
        self.session.add(deal)
        for number in range(self.chance.randint(0, 3)):
            deals.add_line(
                deal, description=f"Thing {number}", unit_price=Decimal("10.05"), quantity=number + 1
            )

    def add_activity(self):
        subject = self.chance.choice((models.Company, models.Contact, models.Deal))
        link = {f"{subject.__tablename__}_id": self.key_of(subject)}
        self.session.add(models.Activity(subject="Call", **link, **self.whose()))

    def add_ticket(self):
        ticket = models.Ticket(
            subject="Broken", contact_id=self.key_of(models.Contact), **self.whose("Support")
        )
        boards.place(self.session, ticket, boards.first_stage(self.session, "ticket"))
        self.session.add(ticket)
        tickets.reply(ticket, "Hello", by=None)

    def add_campaign(self):
        campaign = models.Campaign(name="Spring", currency="EUR", **self.whose())
        campaign.members = [
            models.CampaignMember(contact_id=contact.id, status=self.chance.choice(("planned", "reached")))
            for contact in self.any_of(models.Contact, 3)
        ]
        self.session.add(campaign)

    def tag(self):
        for tag in self.any_of(models.Tag) or [models.Tag(name=f"tag {self.chance.randint(1, 9)}")]:
            kind = self.chance.choice((models.Company, models.Contact, models.Deal))
            for row in self.any_of(kind):
                self.session.add(models.Tagging(tag=tag, entity=kind.__tablename__, record_id=row.id))

    def add_key(self):
        for row in self.any_of(models.Contact):
            theirs = str(self.chance.randint(1, 50))
            self.session.add(
                models.ExternalKey(source="old", entity="contact", their_id=theirs, record_id=row.id)
            )

    # ---- changing

    def edit(self):
        kind = self.chance.choice((models.Company, models.Contact, models.Deal, models.Activity))
        for row in self.any_of(kind, 2):
            for name in self.chance.sample(("city", "notes", "email", "freight", "body", "custom"), 3):
                if name in row.__table__.c:
                    setattr(row, name, self.value_for(name))

    def touch(self, entity, key):
        """Change something of this one row, if it has words of its own."""
        row = self.session.get(ENTITIES[entity], key)
        name = next((name for name in ("notes", "body", "description", "goal") if hasattr(row, name)), None)
        if name:
            setattr(row, name, f"worked on {self.chance.randint(1, 99)}")

    def value_for(self, name):
        if name == "custom":
            return self.chance.choice(
                (None, {"size": self.chance.randint(1, 5)}, {"color": "blue", "size": 7})
            )
        if name == "freight":
            return self.chance.choice((None, Decimal("7.50"), Decimal(3)))
        return self.chance.choice((None, "a", f"b@{self.chance.randint(1, 9)}", "Straße\nzwei"))

    def rename_department(self):
        for row in self.any_of(models.Department):
            row.name = (
                f"{row.name[:40]} {self.chance.randint(1, 9)}" if row.name not in self.here else row.name
            )

    def add_department(self):
        name = f"Team {self.chance.randint(1, 9)}"
        self.session.add(models.Department(name=name, parent_id=self.key_of(models.Department)))

    def lines(self):
        for deal in self.any_of(models.Deal):
            if deal.lines and self.chance.random() < 0.5:
                deals.remove_line(deal, self.chance.choice(deal.lines))
            elif deal.lines and self.chance.random() < 0.5:
                deals.edit_line(self.chance.choice(deal.lines), quantity=self.chance.randint(1, 9))
            else:
                deals.add_line(deal, description="More", unit_price=Decimal("0.99"))

    def move(self):
        for deal in self.any_of(models.Deal):
            stages = select(models.Stage).join(models.Stage.pipeline).where(models.Pipeline.kind == "deal")
            stage = self.chance.choice(self.session.scalars(stages.order_by(models.Stage.id)).all())
            deals.move(self.session, deal, stage, by=None, today=TODAY, reason="too dear")

    def draft(self):
        for deal in self.any_of(models.Deal):
            invoices.draft_from(self.session, deal, by=None, today=TODAY)

    def issue(self):
        for invoice in self.any_of(models.Invoice):
            invoices.issue(self.session, invoice, by=None, today=TODAY, seller=world.SELLER, payment_days=14)

    def delete(self):
        kinds = (models.Company, models.Contact, models.Deal, models.Activity, models.Ticket, models.Campaign)
        more = (models.Tagging, models.Tag, models.Department, models.Invoice)
        for row in self.any_of(self.chance.choice((*kinds, *kinds, *more))):
            if getattr(row, "name", None) not in self.here:
                self.session.delete(row)

    # ---- many at once

    def bulk_add(self):
        rows = [{"last_name": self.chance.choice(NAMES), **self.whose()} for _ in range(5)]
        bulk.add(self.session, models.Contact, rows)

    def bulk_edit(self):
        values = self.chance.choice(
            ({"city": self.chance.choice(CITIES)}, {"owner_id": self.key_of(models.Staff)}, self.whose())
        )
        kind = self.chance.choice((models.Company, models.Contact))
        bulk.edit(self.session, kind, {row.id: values for row in self.any_of(kind, 6)})

    def bulk_delete(self):
        kind = self.chance.choice((models.Contact, models.Activity, models.Deal))
        bulk.delete(self.session, kind, [row.id for row in self.any_of(kind, 3)])

    def reassign(self):
        heir = self.key_of(models.Staff)
        for kind in (models.Company, models.Contact, models.Deal, models.Activity):
            bulk.edit(self.session, kind, {row.id: {"owner_id": heir} for row in self.any_of(kind, 9)})


DEEDS = (
    *(Deeds.add_company, Deeds.add_contact, Deeds.add_deal, Deeds.add_activity, Deeds.add_ticket),
    *(Deeds.add_campaign, Deeds.tag, Deeds.add_key, Deeds.add_department, Deeds.rename_department),
    *(Deeds.edit, Deeds.edit, Deeds.lines, Deeds.lines, Deeds.move, Deeds.draft, Deeds.delete, Deeds.delete),
    *(Deeds.bulk_add, Deeds.bulk_edit, Deeds.bulk_delete, Deeds.reassign),
)


def merge(deeds):
    """Two contacts or companies become one; it makes a change set of its own."""
    kind = deeds.chance.choice(merging.MERGED)
    rows = deeds.any_of(kind, 2)
    if len(rows) < 2:
        return None
    values = {
        name: getattr(deeds.chance.choice(rows), name) for name in ("city", "phone", "custom", "owner_id")
    }
    try:
        with deeds.session.begin_nested():
            return merging.merge(deeds.session, kind, rows[0].id, [rows[1].id], values)
    except (RuleBroken, access.WriteRefused):
        return None


def bring_in(deeds):
    """A file of contacts with companies, of which some are known."""
    numbers = deeds.chance.sample(range(30), 6)
    lines = [
        f"{deeds.chance.choice(NAMES)},p{one}@x.example,Firm {one % 3},C{deeds.chance.randint(1, 3)}"
        for one in numbers
    ]
    text = "\n".join(["Last name,E-mail,Company,City", *lines])
    table = open_table(text.encode(), "people.csv")
    fields = importing.fields_for(deeds.session, "contact")
    mapping = importing.suggest("contact", table, fields).but(match=("email",), mode="both")
    house = importing.House(today=TODAY, now=NOW, currency="EUR")
    desk = importing.Desk(deeds.session, table, "contact", mapping, house)
    importing.bring_in(desk, skip_bad=True)


# --------------------------------------------------------------------------------------------- sequences


@dataclass
class Outcome:
    """What was tried on one engine, and what was not as it should be."""

    engine: str
    version: str = ""
    sequences: int = 0
    undone: Counter = field(default_factory=Counter)  # kind of change set -> undone
    rows: int = 0
    touched: int = 0
    left: int = 0
    seconds: float = 0.0
    faults: list = field(default_factory=list)


class House:
    """A house on one database in which sequences are done, one after the other."""

    def __init__(self, app, outcome, seed):
        self.app, self.outcome, self.chance = app, outcome, random.Random(seed)
        with self.session("system") as session:
            people = session.scalars(select(security.User.id).filter_by(username="head.sales"))
            self.head = security.load_principal(people.one())

    @contextmanager
    def session(self, who):
        with self.app.app_context():
            if who == "system":
                with access.system_session("prove", door="command") as session:
                    yield session
            else:
                with access.session_for(self.head, door="page") as session:
                    yield session

    def deed(self, who, *, plain=False):
        """One change set of random kind: (its kind, its id), or None when nothing came of it."""
        kind = "some" if plain else self.chance.choices(("some", "merge", "import"), (8, 3, 1))[0]
        who = "head.sales" if kind == "import" else who  # what comes in belongs to whom it comes from
        with self.session(who) as session:
            deeds = Deeds(session, self.chance)
            if kind == "merge":
                key = merge(deeds)
            else:
                bring_in(deeds) if kind == "import" else deeds.some()
                session.flush()
                key = session.info.get("change_set_id")
        return (kind, key) if key is not None and self.changes_of(key) else None

    def undo(self, key, who):
        with self.session(who) as session:
            undone = undo.undo(session, key)
        self.outcome.rows += undone.rows
        self.outcome.left += len(undone.left)
        return undone

    def state(self):
        with self.session("system") as session:
            return state_of(session)

    def changes_of(self, *keys):
        """(entity, id) of all rows whose net change by these sets is one."""
        table = models.Change.__table__
        columns = [
            table.c[name]
            for name in ("id", "entity", "record_id", "root_entity", "root_id", "action", "values")
        ]
        with self.session("system") as session:
            statement = select(*columns).where(table.c.change_set_id.in_(keys)).order_by(table.c.id)
            found = nets(session.connection().execute(statement, execution_options={DOOR: True}))
        return {key: net for key, net in found.items() if net.kind}

    def sequence(self):
        """One sequence, begun with what the one before left."""
        who = self.chance.choice(("system", "system", "head.sales"))
        for _ in range(2):
            self.deed("system", plain=True)
        if self.chance.random() < 0.5:
            self._back_from_the_end(who)
        else:
            self._with_work_in_between(who)
        self.check_search()
        self.outcome.sequences += 1

    def _back_from_the_end(self, who):
        stack = []
        for _ in range(self.chance.randint(1, 4)):
            before, done = self.state(), self.deed(who)
            if done:
                stack.append((before, done))
        for before, (kind, key) in reversed(stack):
            after = self.state()
            undone = self.undo(key, who)
            self.outcome.undone[kind] += 1
            self._expect(before, self.state(), f"{kind} {key} undone by {who}", undone)
            if undone.left:
                self._fault(f"{kind} {key}: nothing was done since, but left is {undone.left[:3]}")
            if undone.change_set_id and self.chance.random() < 0.3:
                again = self.undo(undone.change_set_id, who)
                self._expect(after, self.state(), f"the undo of {kind} {key} undone", again)
                self.undo(again.change_set_id, who)
                self._expect(before, self.state(), f"{kind} {key} undone again", again)

    def _with_work_in_between(self, who):
        before, done = self.state(), self.deed(who)
        if not done:
            return
        kind, key = done
        own, between = self.changes_of(key), []
        for _ in range(self.chance.randint(1, 3)):
            with self.session("system") as session:
                deeds = Deeds(session, self.chance)
                work_on = self.chance.choice(sorted(own))
                deeds.one(lambda deeds, row=work_on: deeds.touch(*row))
                deeds.one(
                    self.chance.choice(
                        (Deeds.edit, Deeds.lines, Deeds.tag, Deeds.issue, Deeds.add_activity, Deeds.delete)
                    )
                )
                session.flush()
                between.append(session.info.get("change_set_id"))
        since = self.changes_of(*filter(None, between))
        then = self.state()
        undone = self.undo(key, who)
        self.outcome.undone[kind] += 1
        after, left = self.state(), {(one.entity, one.record_id) for one in undone.left}
        touched = {row for row in own.keys() & since.keys() if not own[row].is_back_after(since[row])}
        self.outcome.touched += len(touched)
        if who == "system":
            for row in touched - left:
                self._fault(f"{kind} {key}: {row} was worked on since, but is not listed")
        for row in before.keys() | then.keys() | after.keys():
            now = after.get(row)
            if row not in own or row in touched:
                if now != then.get(row):
                    self._fault(
                        f"{kind} {key}: {row} was not its own to change, but was {then.get(row)} and is {now}"
                    )
            elif now != before.get(row):
                is_listed = row in left or own[row].root in left or who != "system"
                if not is_listed or now != then.get(row):
                    self._fault(f"{kind} {key}: {row} was {before.get(row)}, is {now}, and is not listed")
        if undone.change_set_id:
            again = self.undo(undone.change_set_id, who)
            self._expect(then, self.state(), f"the undo of {kind} {key} undone", again)

    def _expect(self, expected, found, what, undone):
        if hash_of(expected) != hash_of(found):
            different = [row for row in expected.keys() | found.keys() if expected.get(row) != found.get(row)]
            first = different[0]
            self._fault(
                f"{what}: {len(different)} rows differ, {first} was {expected.get(first)} and is {found.get(first)};"
                f" left {undone.left[:3]}"
            )

    def _fault(self, text):
        self.outcome.faults.append(f"sequence {self.outcome.sequences}: {text}")

    def check_search(self):
        with self.session("system") as session:
            entries = {
                (one.entity, one.record_id): (one.department_id, one.text)
                for one in session.scalars(select(models.SearchEntry))
            }
            for name, model in ENTITIES.items():
                if not model.__search__:
                    continue
                for row in session.scalars(select(model)):
                    wanted = search.entry_for(row)
                    if entries.pop((name, row.id), None) != (wanted["department_id"], wanted["text"]):
                        self._fault(f"{name} {row.id} is not found by its words")
            for entity, key in entries:
                self._fault(f"a search entry leads to {entity} {key}, which is not there")


PER_HOUSE = 40  # sequences; then the house is too full to be read quickly


def prove(engine, sequences, *, seed, minutes=None):
    """That many sequences on this engine, in as many fresh houses as they need; no new house after some minutes."""
    outcome = Outcome(engine, _version(engine))
    started = time.monotonic()
    for number in range(0, sequences, PER_HOUSE):
        if minutes and time.monotonic() - started > 60 * minutes:
            break
        with databases.fresh_database(engine) as database, databases.app_on(database) as app:
            house = House(app, outcome, f"{seed}-{number}")
            for _ in range(min(PER_HOUSE, sequences - number)):
                house.sequence()
    outcome.seconds = time.monotonic() - started
    return outcome


def _version(engine):
    with databases.fresh_database(engine) as database, database.raw() as connection:
        ask = "SELECT sqlite_version()" if engine == "sqlite" else "SHOW server_version"
        return f"{engine} {connection.execute(ask).fetchone()[0]}"


def table(outcomes, seed):
    """The outcomes as one table that can be read in a report."""
    lines = [
        ("", [one.version for one in outcomes]),
        ("sequences", [one.sequences for one in outcomes]),
        *(
            (f"undone: {kind}", [one.undone[kind] for one in outcomes])
            for kind in ("some", "merge", "import")
        ),
        ("rows put back", [one.rows for one in outcomes]),
        ("rows worked on in between", [one.touched for one in outcomes]),
        ("rows listed and left", [one.left for one in outcomes]),
        ("faults", [len(one.faults) for one in outcomes]),
        ("seconds", [f"{one.seconds:.0f}" for one in outcomes]),
    ]
    text = [f"{name:<28}" + "".join(f"{value!s:>22}" for value in values) for name, values in lines]
    text.append(f"seed {seed}, Python {platform.python_version()}, SQLAlchemy {sqlalchemy.__version__}")
    text += [f"  {one.engine}: {fault}" for one in outcomes for fault in one.faults[:20]]
    return "\n".join(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", choices=databases.ENGINES, help="only this one")
    parser.add_argument("--seed", default="20260304", help="chooses what is done")
    parser.add_argument("--sequences", type=int, default=2000, help="on each engine")
    parser.add_argument("--minutes", type=float, help="no new house after so many on each engine")
    parser.add_argument("--quick", action="store_true", help="the size that the tests run")
    parser.add_argument("--large", type=int, help="so many contacts added, edited and taken back, instead")
    args = parser.parse_args()
    folder = databases.start_run()
    try:
        if args.large:
            told = [large(one, args.large) for one in databases.ENGINES if args.engine in (None, one)]
            print("\n".join(line for lines, _ in told for line in lines))
            return 0 if all(fits for _, fits in told) else 1
        outcomes = [
            prove(
                engine, QUICK[engine] if args.quick else args.sequences, seed=args.seed, minutes=args.minutes
            )
            for engine in databases.ENGINES
            if args.engine in (None, engine)
        ]
    finally:
        databases.end_run(folder)
    print(table(outcomes, args.seed))
    return 1 if any(one.faults for one in outcomes) else 0


def large(engine, contacts):
    """One line for each step: what was done, rows, seconds of this process, megabytes at most; and whether all fits."""
    lines, clock = [], time.process_time()

    def step(what, rows):
        nonlocal clock
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        lines.append(f"{what:<32}{rows:>10} rows{time.process_time() - clock:>9.1f} s{most:>8} MB")
        clock = time.process_time()

    with databases.fresh_database(engine) as database, databases.app_on(database) as app, app.app_context():
        before, clock = _how_many(), time.process_time()
        with access.system_session("large", door="command") as session:
            here = {"department_id": world.department(session).id}
            firms = bulk.add(
                session, models.Company, ({"name": f"Firm {one}", **here} for one in range(contacts // 10))
            )
            people = (
                {"last_name": f"Nr {one}", "city": "Graz", "company_id": firms[one % len(firms)], **here}
                for one in range(contacts)
            )
            keys = bulk.add(session, models.Contact, people)
            foreign = (
                {"source": "old", "entity": "contact", "their_id": str(key), "record_id": key} for key in keys
            )
            bulk.add(session, models.ExternalKey, foreign)
            added = session.info["change_set_id"]
        step("added", 2 * contacts + len(firms))
        with access.system_session("large", door="command") as session:
            bulk.edit(session, models.Contact, {key: {"city": "Wien"} for key in keys})
            edited = session.info["change_set_id"]
        step("edited", contacts)
        full = _how_many()
        for what, key in (("edit undone", edited), ("adding undone", added)):
            with access.system_session("large", door="command") as session:
                undone = undo.undo(session, key)
            step(what, undone.rows)
        fits = _how_many() == before
        with access.system_session("large", door="command") as session:
            undone = undo.undo(session, undone.change_set_id)
        step("that undo undone", undone.rows)
        fits = fits and _how_many() == full
    lines.append(f"{engine}: {'all fits' if fits else 'ROWS ARE MISSING OR LEFT OVER'}")
    return lines, fits


def _how_many():
    with access.system_session("large", door="command", writes=False) as session:
        return {
            name: session.scalar(select(func.count()).select_from(model))
            for name, model in ENTITIES.items()
            if name not in APART or name == "search_entry"
        }


QUICK = {"sqlite": 5, "postgresql": 3}  # sequences that the tests run

if __name__ == "__main__":
    sys.exit(main())
