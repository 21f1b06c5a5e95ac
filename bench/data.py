"""A firm of any size, the same every time: contacts, companies, deals, activities, and what Foyer knows of them.

    python -m bench.data build|upgrade ENGINE ROWS

Every row has its change in the ledger and, where it can be searched for, its entry in the index, as if people had
typed it all in. The rows go in by bulk SQL past the application, their columns and defaults are those of its models.
`ensure` builds what is not there yet, in a process of its own; what was built for an older schema it upgrades, as an
operator would.
"""

import json
import random
import subprocess
import sys
import time
from array import array
from bisect import bisect
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import accumulate, islice

from sqlalchemy import select

from app import search
from app.models import (
    SEARCH_WORDS,
    Activity,
    Change,
    ChangeSet,
    Company,
    Contact,
    Deal,
    Department,
    SearchEntry,
    Stage,
)
from bench import bulk, home, words
from config import BASE, load_settings

SEED = 20260101
EDITION = 1  # raise it when this file makes other rows than before

FULL, SMALL = 1_000_000, 10_000  # contacts
BATCH = 20_000
SET_OF = 250  # rows that came in together, and share a change set
GOLDEN = 0.6180339887498949  # its multiples spread evenly over any share, without a pattern

# Department below Sales -> its part of all rows in thousandths. "North" and what lies below it is the head's.
OFFICES = {
    "North": {"Flensburg": 1, "Kiel": 9, "Bremen": 15, "Rostock": 25},
    "South": {"München": 120, "Augsburg": 40, "Passau": 20, "Konstanz": 10},
    "West": {"Köln": 110, "Aachen": 30, "Trier": 20, "Bonn": 40},
    "East": {"Berlin": 130, "Leipzig": 60, "Dresden": 50, "Görlitz": 10},
    "Overseas": {"London": 110, "New York": 80, "Singapore": 50, "Toronto": 70},
}
MOST_COLLEAGUES = 200

# Who is measured: username -> department, role.
PEOPLE = {
    "director": ("Management", "director"),
    "head": ("North", "head of sales"),
    "rep": ("Flensburg", "sales"),
}
PASSWORD = "a password for measuring"


@dataclass(frozen=True)
class Sizes:
    """How many rows of each kind there are for so many contacts."""

    contacts: int

    @property
    def companies(self):
        return self.contacts // 10

    @property
    def colleagues(self):
        return min(MOST_COLLEAGUES, self.contacts // 50)

    @property
    def deals(self):
        return self.contacts // 5

    @property
    def activities(self):
        return self.contacts


def database(rows):
    """The name of the database with so many contacts."""
    return f"foyer-{rows}"


def settings(engine, rows, **more):
    """Settings that lead to it, as an operator would set them."""
    return load_settings(
        DATABASE_URL=home.database_url(engine, database(rows)), FOYER_HOME=home.instance(engine, rows), **more
    )


def ensure(engine, rows, say=home.announce):
    """Build the database with so many contacts unless it is there and still right; upgrade it where that will do."""
    stamp, wanted = home.instance(engine, rows) / "built.json", _stamp(rows)
    found = json.loads(stamp.read_text()) if stamp.exists() else {}
    if found == wanted:
        return
    is_older = found | {"schema": wanted["schema"]} == wanted
    deed = "upgrade" if is_older else "build"
    say(f"{'Upgrading' if is_older else 'Building'} {rows:,} contacts and what belongs to them on {engine} …")
    if not is_older:
        stamp.unlink(missing_ok=True)
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "bench.data", deed, engine, str(rows)], cwd=BASE, check=True)
    stamp.write_text(json.dumps(wanted))
    say(f"… done in {time.monotonic() - began:.0f} s.")


def _stamp(rows):
    """What the rows depend on: how they are made, and every line of the schema."""
    migrations = sorted((BASE / "migrations" / "versions").glob("*.py"))
    schema = sha256(b"".join(path.read_bytes() for path in migrations)).hexdigest()
    return {"edition": EDITION, "seed": SEED, "schema": schema, **asdict(Sizes(rows))}


def bring_up(engine, rows):
    """Bring a database of an older schema up to date."""
    from app import create_app
    from app.commands.upgrade import upgrade

    upgrade(create_app(settings(engine, rows)), say=_silent)


def build(engine, rows):
    """Make the database anew: tables by the application's own upgrade, people by it too, the rest in bulk."""
    from app import access, create_app
    from app.commands.upgrade import upgrade
    from app.extensions import db

    home.make_empty(engine, database(rows))
    app = create_app(settings(engine, rows))
    upgrade(app, say=_silent)
    with app.app_context():
        with access.system_session("measuring", door="command") as session:
            firm = _firm(session, Sizes(rows))
        db.engine.dispose()
    with bulk.into(engine, database(rows)) as load:
        aside = load.set_aside(TABLES)
        _write(load, firm, Sizes(rows))
        for statement in aside:
            load.execute(statement)
        if engine == "sqlite":
            load.execute("INSERT INTO search_fts(search_fts) VALUES ('rebuild')")
            load.execute("INSERT INTO search_fts(search_fts) VALUES ('optimize')")  # as after a night
        load.finish(TABLES)


# --------------------------------------------------------------------------------------------- the firm


@dataclass(frozen=True)
class Firm:
    """What stands before the first customer: offices with their staff, and the stages of a deal."""

    offices: list  # (department id, [staff ids])
    shares: list  # of the offices, added up to 1
    stages: list  # (stage id, outcome)

    def office(self, place):
        """The office of the row at this place (0 to 1) among all."""
        return bisect(self.shares, place % 1.0, hi=len(self.shares) - 1)


def _firm(session, sizes):
    departments = {row.name: row for row in session.scalars(select(Department))}

    def department(name, parent):
        row = departments[name] = Department(name=name, parent_id=departments[parent].id)
        session.add(row)
        session.flush()

    shares = {}
    for region, offices in OFFICES.items():
        department(region, "Sales")
        for office, thousandths in offices.items():
            department(office, region)
            shares[office] = thousandths
    staff = {name: [] for name in shares}
    for name, office, roles, password in _colleagues(list(shares), sizes.colleagues):
        one = _account(session, name, departments[office].id, roles, password)
        staff.setdefault(office, []).append(one.id)
    total = sum(shares.values())
    stages = select(Stage.id, Stage.outcome).where(Stage.pipeline.has(kind="deal")).order_by(Stage.id)
    return Firm(
        offices=[(departments[name].id, staff[name]) for name in shares],
        shares=[part / total for part in accumulate(shares.values())],
        stages=[tuple(one) for one in session.execute(stages)],
    )


def _colleagues(offices, others):
    """(username, department, roles, password) of those who are measured, then of the others, office by office."""
    for username, (department, role) in PEOPLE.items():
        yield username, department, [role], PASSWORD
    for number in range(others):
        yield f"colleague{number}", offices[number % len(offices)], ["sales"], None


def _account(session, username, department_id, roles, password):
    from app import security

    chance = random.Random(f"{SEED} {username}")
    return security.create_account(
        session,
        username=username,
        first_name=chance.choice(words.FIRST_NAMES),
        last_name=chance.choice(words.LAST_NAMES),
        email=f"{username}@foyer.example",
        department_id=department_id,
        roles=roles,
        password=password,
        job_title="Account Manager",
    )


# --------------------------------------------------------------------------------------------- the rows


class _Customers:
    """Makes the rows of all four kinds, in the order in which they refer to each other."""

    def __init__(self, firm, sizes):
        self.firm, self.sizes = firm, sizes
        self.chance = random.Random(SEED)
        self.surnames = [front + end for front in words.SURNAME_FRONTS for end in words.SURNAME_ENDS]
        self.chance.shuffle(self.surnames)
        self.city = _Weighted(words.CITIES)
        self.job = _Weighted(words.JOB_TITLES)
        self.industry = _Weighted(words.INDUSTRIES)
        # What later rows ask of earlier ones, by id; 0 is nobody.
        self.company_office, self.company_city, self.company_name = array("b", [0]), [None], [None]
        self.contact_office, self.contact_company = array("b", [0]), array("i", [0])
        self.deal_contact = array("i", [0])

    def companies(self):
        some, firm = self.chance.random, self.firm
        for key in range(1, self.sizes.companies + 1):
            office = firm.office((key - 1) * GOLDEN)
            city, region, country, dial, _ = self.city.pick(some())
            name = self._company_name(key)
            slug = search.fold(name).replace(" ", "-").replace(".", "")
            self.company_office.append(office)
            self.company_city.append((city, region, country, dial))
            self.company_name.append((name, slug))
            yield {
                "id": key,
                "name": name,
                "kind": ("customer", "customer", "prospect", "prospect", "supplier", "partner")[
                    int(some() * 6)
                ],
                "industry": self.industry.pick(some())[0],
                "email": f"office@{slug}.example",
                "phone": f"{dial} {int(some() * 9_000_000) + 1_000_000}",
                "website": f"https://www.{slug}.example",
                "vat_id": f"{search.fold(country)[:2].upper()}{int(some() * 900_000_000) + 100_000_000}",
                **self._address(city, region, country),
                **self._owned(office, key / self.sizes.companies),
            }

    def contacts(self):
        some, firm, companies = self.chance.random, self.firm, self.sizes.companies
        for key in range(1, self.sizes.contacts + 1):
            company = int(some() * companies) + 1 if some() < 0.85 else 0
            if company and some() < 0.97:
                office = self.company_office[company]
            else:
                office = firm.office((key - 1) * GOLDEN)
            first, last = self._person()
            place = self.company_city[company] if company and some() < 0.9 else self.city.pick(some())[:4]
            city, region, country, dial = place
            domain = self.company_name[company][1] if company else "mail"
            self.contact_office.append(office)
            self.contact_company.append(company)
            yield {
                "id": key,
                "first_name": first,
                "last_name": last,
                "job_title": self.job.pick(some())[0] if company else None,
                "company_id": company or None,
                "email": f"{search.fold(first)}.{search.fold(last)}{key}@{domain}.example"
                if some() < 0.93
                else None,
                "phone": f"{dial} {int(some() * 9_000_000) + 1_000_000}" if some() < 0.9 else None,
                "mobile": f"+49 17{int(some() * 10)} {int(some() * 9_000_000) + 1_000_000}"
                if some() < 0.4
                else None,
                **self._address(city, region, country),
                **self._owned(office, key / self.sizes.contacts),
            }

    def deals(self):
        some, stages = self.chance.random, self.firm.stages
        for key in range(1, self.sizes.deals + 1):
            contact = int(some() * self.sizes.contacts) + 1
            company = self.contact_company[contact]
            self.deal_contact.append(contact)
            owned = self._owned(self.contact_office[contact], key / self.sizes.deals)
            opened = owned["created_at"][:10]
            # Two of three are over; of the open ones the early stages hold most.
            over = some() < 0.67
            among = [one for one in stages if (one[1] != "open") == over]
            stage, outcome = among[int(some() ** 1.5 * len(among))]
            subject = words.DEAL_SUBJECTS[int(some() * len(words.DEAL_SUBJECTS))].replace("-", " ")
            yield {
                "id": key,
                "name": f"{subject} {self.company_name[company][0] if company else key}",
                "company_id": company or None,
                "contact_id": contact,
                "stage_id": stage,
                "amount": f"{int(some() ** 3 * 20_000_000) / 100 + 100:.2f}",
                "currency": "EUR",
                "opened_on": opened,
                "expected_on": _day_after(opened, 20 + int(some() * 200)),
                "closed_on": _day_after(opened, 10 + int(some() * 180)) if over else None,
                "lost_reason": words.LOST_REASONS[int(some() * 4)] if outcome == "lost" else None,
                "position": float(key),
                **owned,
            }

    def activities(self):
        some, deals, contacts = self.chance.random, self.sizes.deals, self.sizes.contacts
        for key in range(1, self.sizes.activities + 1):
            deal = int(some() * deals) + 1 if some() < 0.3 else 0
            contact = self.deal_contact[deal] if deal else int(some() * contacts) + 1
            owned = self._owned(self.contact_office[contact], key / self.sizes.activities)
            kind = ("note", "note", "call", "call", "mail", "mail", "meeting", "task")[int(some() * 8)]
            done = kind != "task" or some() < 0.9
            yield {
                "id": key,
                "kind": kind,
                "subject": words.ACTIVITY_SUBJECTS[int(some() * len(words.ACTIVITY_SUBJECTS))],
                "body": " ".join(
                    words.ACTIVITY_SENTENCES[int(some() * len(words.ACTIVITY_SENTENCES))]
                    for _ in range(int(some() * 4))
                )
                or None,
                "due_on": _day_after(owned["created_at"][:10], 1 + int(some() * 60))
                if kind == "task"
                else None,
                "done_at": owned["created_at"] if done else None,
                "company_id": self.contact_company[contact] or None,
                "contact_id": contact,
                "deal_id": deal or None,
                **owned,
            }

    def _company_name(self, key):
        some = self.chance.random
        word = words.COMPANY_WORDS[int(some() * len(words.COMPANY_WORDS))]
        form = words.LEGAL_FORMS[int(some() ** 2 * len(words.LEGAL_FORMS))]
        if some() < 0.4:
            return f"{self.surnames[int(some() ** 2 * len(self.surnames))]} {word} {key} {form}"
        return f"{word}{words.COMPANY_TRADES[int(some() * len(words.COMPANY_TRADES))]} {key} {form}"

    def _person(self):
        some = self.chance.random
        first = words.FIRST_NAMES[int(some() ** 2 * len(words.FIRST_NAMES))]
        tail = some() < 0.5
        last = self.surnames if tail else words.LAST_NAMES
        return first, last[int(some() ** (3 if tail else 2) * len(last))].replace("-", " ")

    def _address(self, city, region, country):
        some = self.chance.random
        return {
            "street": f"{words.STREETS[int(some() ** 1.5 * len(words.STREETS))]} {int(some() * 120) + 1}",
            "postal_code": f"{int(some() * 90_000) + 10_000}",
            "city": city,
            "region": region,
            "country": country,
        }

    def _owned(self, office, progress):
        """Whose the row is and when it came in: the ids of a kind follow the years."""
        some = self.chance.random
        department, staff = self.firm.offices[office]
        person = staff[int(some() * len(staff))]
        at = str(FIRST_DAY + timedelta(seconds=int(progress * YEARS * 31_536_000)))
        return {
            "department_id": department,
            "owner_id": person,
            "created_at": f"{at}.000000",
            "updated_at": f"{at}.000000",
            "created_by_id": person,
            "version": 1,
        }


FIRST_DAY, YEARS = datetime(2019, 1, 1, 8, 0, 0), 7


class _Weighted:
    """Things that carry their weight as their last value, picked by a number from 0 to 1."""

    def __init__(self, things):
        self.things = things
        self.until = list(accumulate(thing[-1] for thing in things))

    def pick(self, place):
        return self.things[bisect(self.until, place * self.until[-1])]


def _day_after(day, days):
    return str(datetime.fromisoformat(day).date() + timedelta(days=days))


def kinds(firm, sizes):
    """(model, rows) in the order in which the rows refer to each other; each is read to its end before the next."""
    customers = _Customers(firm, sizes)
    yield Company, customers.companies()
    yield Contact, customers.contacts()
    yield Deal, customers.deals()
    yield Activity, customers.activities()


# --------------------------------------------------------------------------------------------- writing

TABLES = [one.__tablename__ for one in (Company, Contact, Deal, Activity, ChangeSet, Change, SearchEntry)]
LEDGER_OMITS = {"version", "updated_at"}
SET_COLUMNS = ("id", "at", "by_id", "door")
CHANGE_COLUMNS = (
    "change_set_id",
    "entity",
    "record_id",
    "root_entity",
    "root_id",
    "department_id",
    "owner_id",
    "action",
    "values",
)


def _write(load, firm, sizes):
    """All rows with their changes and search entries."""
    next_set, known = load.last_id(ChangeSet.__tablename__) + 1, set()
    for model, rows in kinds(firm, sizes):
        defaults = _defaults(model)
        while batch := [defaults | row for row in islice(rows, BATCH)]:
            load.rows(model.__tablename__, tuple(batch[0]), (tuple(row.values()) for row in batch))
            first_rows = batch[::SET_OF]
            sets = (
                (next_set + place, row["created_at"], row["created_by_id"], "page")
                for place, row in enumerate(first_rows)
            )
            load.rows(ChangeSet.__tablename__, SET_COLUMNS, sets)
            changes = (_change(model, row, next_set + place // SET_OF) for place, row in enumerate(batch))
            load.rows(Change.__tablename__, CHANGE_COLUMNS, changes)
            entries = search.numbered([search.entry_of(model, row) for row in batch], load.dialect)
            load.rows(SearchEntry.__tablename__, tuple(entries[0]), (tuple(one.values()) for one in entries))
            next_set += len(first_rows)
            known.update(word for one in entries for word in one["text"].split() if word.isalpha())
    known.difference_update(
        word for (word,) in load.execute(f"SELECT word FROM {SEARCH_WORDS.name}").fetchall()
    )
    load.rows(SEARCH_WORDS.name, ("variant", "word"), _spellings(known))


def _spellings(words):
    """What the index learns of its words, without asking the database for each whether it knows it."""
    return [
        (one, word)
        for word in sorted(words)
        if search._SPELT.fullmatch(word)
        for one in search.spellings(word)
    ]


def _defaults(model):
    """The plain defaults of a model's columns: the bulk SQL passes by the application, which would fill them in."""
    columns = (
        column for column in model.__table__.c if column.default is not None and column.default.is_scalar
    )
    return {column.name: column.default.arg for column in columns}


def _change(model, row, change_set_id):
    entity, key = model.__tablename__, row["id"]
    values = {
        name: [None, value] for name, value in row.items() if value is not None and name not in LEDGER_OMITS
    }
    for name in ("created_at", "done_at"):
        if name in values:
            values[name] = [None, f"{row[name][:19]}+00:00".replace(" ", "T")]
    whose = row["department_id"], row["owner_id"]
    return (change_set_id, entity, key, entity, key, *whose, "add", json.dumps(values))


def _silent(_line):
    pass


if __name__ == "__main__":
    {"build": build, "upgrade": bring_up}[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
