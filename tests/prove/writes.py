"""Writes that are nobody's right: whatever is tried through whatever door, nothing of it is stored.

    python -m tests.prove.writes [--engine sqlite|postgresql] [--quick] [--every N]

Three people work in one department with a role of the firm's own: one sees and writes that department's rows, one
sees everything and writes only these, one writes but what he looks after himself; each has a hidden field and a
read-only one in every entity. For each entity and each way of writing (form, deeds on one record, board, bulk, API,
import, merge) they try to write a foreign row, to link to one that they do not see, to move a row out of their reach,
and to set what is not theirs to set: stamps, positions, what follows from deeds, hidden and read-only fields, versions
that are none. A checksum over every business table is taken after each try. Tries that must be stored show that the
ways work at all.
"""

import argparse
import platform
import sys
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from hashlib import sha256
from itertools import product

import sqlalchemy
from sqlalchemy import select

from app import access, models, security
from app.exchange import files, importing
from app.exchange.importing import House as ImportHouse
from app.exchange.importing import Mapping
from app.exchange.reading import Refused
from app.models import ENTITIES
from app.rules import RuleBroken
from tests import databases
from tests.client import Client
from tests.prove.fields import IN_API, PATHS

WAYS = ("form", "inline", "board", "bulk", "API", "import", "merge")
KINDS = ("foreign row", "foreign link", "moving out", "unlisted column")
WORKED = ("company", "contact", "deal", "ticket", "activity", "campaign")
BOARDS, MERGED = ("deal", "ticket"), ("company", "contact")
DEPARTMENTS = ("North", "South", "Support", "Marketing")
HOME = "North"
# Account -> (role, what it sees, what it writes).
PEOPLE = {
    "rep.north": ("near", "department", "department"),
    "agent": ("wide", "all", "department"),
    "marketer": ("own", "own", "own"),
}
CALLED = {"contact": "last_name", "ticket": "subject", "activity": "subject"}
LINKS = {
    "contact": {"company_id": "company"},
    "deal": {"company_id": "company", "contact_id": "contact"},
    "ticket": {"company_id": "company", "contact_id": "contact"},
    "activity": {"company_id": "company", "contact_id": "contact", "deal_id": "deal", "ticket_id": "ticket"},
}
# Of each entity: a field that is hidden from all three, and one that is read-only.
KEPT = {
    "company": ("vat_id", "industry"),
    "contact": ("birth_date", "job_title"),
    "deal": ("freight", "notes"),
    "ticket": ("due_on", "priority"),
    "activity": ("due_on", "body"),
    "campaign": ("budget", "goal"),
}
STAMPED = ("id", "created_at", "created_by_id", "updated_at", "custom", "__class__")
BY_DEEDS = {
    "deal": ("position", "closed_on", "lost_reason"),
    "ticket": ("position", "solved_at"),
    "activity": ("done_at",),
}
TYPED = {
    "birth_date": "1980-01-02",
    "due_on": "2031-01-02",
    "freight": "12.50",
    "budget": "12.50",
    "priority": "urgent",
}
TYPED |= {"id": "999", "created_by_id": "1", "position": "7", "closed_on": "2031-01-02", "custom": "{}"}
TYPED |= {
    "created_at": "2001-01-01",
    "updated_at": "2001-01-01",
    "solved_at": "2001-01-01",
    "done_at": "2001-01-01",
}
# Written without anybody's deed: files that are brought, what was read, and the like.
UNWATCHED = {"job", "job_file", "outbox_message", "read_entry", "import_mapping"}


@dataclass(frozen=True)
class Size:
    """Who tries, with how many foreign rows of each department; of all tries every n-th is made."""

    people: tuple
    foreign: int = 1
    entities: tuple = WORKED
    every: int = 1


FULL, QUICK = Size(tuple(PEOPLE)), Size(("rep.north",), entities=("contact", "deal"), every=6)


@dataclass
class Outcome:
    """What was tried, by entity, way and kind; `faults` is everything that should not be."""

    engine: str
    version: str
    tried: Counter = field(default_factory=Counter)
    answers: Counter = field(default_factory=Counter)
    stored: int = 0
    controls: int = 0
    seconds: float = 0.0
    faults: list = field(default_factory=list)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", choices=databases.ENGINES, help="only this one")
    parser.add_argument("--quick", action="store_true", help="the size that the tests run")
    parser.add_argument("--every", type=int, default=1, help="make every n-th try only")
    args = parser.parse_args()
    folder = databases.start_run()
    try:
        outcomes = [
            prove(engine, QUICK if args.quick else replace(FULL, every=args.every))
            for engine in databases.ENGINES
            if args.engine in (None, engine)
        ]
    finally:
        databases.end_run(folder)
    print(table(outcomes))
    return 1 if any(outcome.faults for outcome in outcomes) else 0


def prove(engine, size):
    """Let them try on a fresh database of this engine."""
    with databases.fresh_database(engine) as database, databases.app_on(database) as app:
        outcome = Outcome(engine, _version(database))
        started = time.monotonic()
        world = World(app, database, size.foreign)
        for username in size.people:
            Trier(world, outcome, username, size).all()
        outcome.seconds = time.monotonic() - started
        return outcome


def table(outcomes):
    """The outcomes as one table that can be read in a report."""
    lines = []
    for one in outcomes:
        lines.append(
            f"{one.version}: {one.tried.total():,} tries, {one.stored} stored, {len(one.faults)} faults"
        )
        lines.append(f"{'':<10}" + "".join(f"{way:>9}" for way in WAYS) + f"{'all':>9}")
        for entity in WORKED:
            counts = [sum(one.tried[entity, way, kind] for kind in KINDS) for way in WAYS]
            lines.append(f"{entity:<10}" + "".join(f"{n or '–':>9}" for n in (*counts, sum(counts))))
        for kind in KINDS:
            counts = [sum(one.tried[entity, way, kind] for entity in WORKED) for way in WAYS]
            lines.append(f"{kind:<16}"[:16] + "".join(f"{n or '–':>9}" for n in (*counts, sum(counts)))[6:])
        said = ", ".join(f"{status} × {number}" for status, number in sorted(one.answers.items(), key=str))
        lines.append(f"answers: {said}")
        lines.append(f"stored as they should be: {one.controls}; {one.seconds:.1f} seconds")
    lines.append(f"Python {platform.python_version()}, SQLAlchemy {sqlalchemy.__version__}")
    lines.extend(f"{one.engine}: {fault}" for one in outcomes for fault in one.faults[:50])
    return "\n".join(lines)


def _version(database):
    with database.raw() as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT sqlite_version()" if database.engine == "sqlite" else "SHOW server_version")
        return f"{database.engine} {cursor.fetchone()[0].split()[0]}"


# --------------------------------------------------------------------------------------------- the world


class World:
    """Rows of every entity in four departments, the people with their roles, and the checksum."""

    def __init__(self, app, database, foreign):
        self.app, self.database = app, database
        self.rows = {}  # (entity, department) -> ids
        with self.system() as session:
            self.departments = dict(
                session.execute(select(models.Department.name, models.Department.id)).all()
            )
            self.people = dict(session.execute(select(security.User.username, security.User.id)).all())
            stages = select(models.Pipeline.kind, models.Stage.id, models.Stage.outcome)
            found = session.execute(stages.join(models.Stage.pipeline)).all()
            self.stages = {kind: [key for one, key, _ in found if one == kind] for kind in ("deal", "ticket")}
            self.first = {kind: keys[0] for kind, keys in self.stages.items()}
            session.add_all(models.Tag(name=name) for name in ("Tried", *PEOPLE))
            session.flush()
            for name in DEPARTMENTS:
                for number in range(foreign + (2 if name == HOME else 0)):
                    self._add(session, name, number)
            self._move_in(session)
        self._roles()
        self._watch()

    @contextmanager
    def system(self, why="the world"):
        with self.app.app_context(), access.system_session(why, door="command") as session:
            yield session

    def _add(self, session, department, number):
        owner = {
            "North": "head.sales",
            "South": "rep.south",
            "Support": "head.support",
            "Marketing": "director",
        }
        whose = {"department_id": self.departments[department], "owner_id": self.people[owner[department]]}
        keys, called = {}, f"{department} {number}"
        for entity in WORKED:
            links = {column: keys[target] for column, target in LINKS.get(entity, {}).items()}
            more = {
                "deal": {"stage_id": self.first["deal"], "currency": "EUR", "opened_on": date(2026, 1, 2)},
                "ticket": {"stage_id": self.first["ticket"]},
                "activity": {"kind": "task"},
                "campaign": {"currency": "EUR"},
                "company": {"kind": "customer"},
            }
            if entity == "deal":
                more["deal"] |= {"amount": Decimal(100 + number)}
            row = ENTITIES[entity](
                **{CALLED.get(entity, "name"): f"{entity} {called}"}, **whose, **links, **more.get(entity, {})
            )
            session.add(row)
            session.flush()
            keys[entity] = row.id
            self.rows.setdefault((entity, department), []).append(row.id)
        session.add(models.CampaignMember(campaign_id=keys["campaign"], contact_id=keys["contact"]))
        session.flush()

    def _move_in(self, session):
        """One more of each at home that came from elsewhere: its past holds another department."""
        self.moved = {}
        for entity in WORKED:
            row = session.get(ENTITIES[entity], self.rows[entity, HOME][0])
            row.department_id = self.departments["South"]
            session.flush()
        for entity in WORKED:
            row = session.get(ENTITIES[entity], self.rows[entity, HOME][0])
            row.department_id = self.departments[HOME]
            session.flush()
            this = (models.Change.entity == entity, models.Change.record_id == row.id)
            changes = session.scalars(
                select(models.Change).where(*this).order_by(models.Change.id.desc())
            ).all()
            self.moved[entity] = next(one.id for one in changes if "department_id" in one.values)

    def _roles(self):
        verbs = access.roles.VERBS
        with self.system() as session:
            for username, (name, sees, writes) in PEOPLE.items():
                grants = []
                for entity in WORKED:
                    hidden, read_only = KEPT[entity]
                    kept = {"hidden": [hidden], "read_only": [read_only]}
                    grants.append({"entity": entity, "verbs": ["see", "export"], "reach": sees, **kept})
                    grants.append({"entity": entity, "verbs": list(verbs[entity]), "reach": writes, **kept})
                for entity in ("department", "staff", "pipeline", "stage", "product", "tax_rate", "tag"):
                    grants.append({"entity": entity, "verbs": ["see"], "reach": "all"})
                for entity in ("job", "import_mapping", "change_set"):
                    grants.append({"entity": entity, "verbs": list(verbs[entity]), "reach": "all"})
                session.add(models.ComposedRole(name=name, grants=grants))
                person = self.people[username]
                session.query(models.Membership).filter_by(owner_id=person).delete()
                home = self.departments[HOME]
                session.add(models.Membership(owner_id=person, department_id=home, role=name))

    def mine(self, entity, username):
        """A row at home that this person may write: for who reaches his own alone, one that he looks after."""
        if PEOPLE[username][2] != "own":
            return self.rows[entity, HOME][0]
        with self.system() as session:
            row = session.get(ENTITIES[entity], self.rows[entity, HOME][1])
            row.owner_id = self.people[username]
        return self.rows[entity, HOME][1]

    def foreign(self, entity, username):
        """Rows beyond what this person writes."""
        keys = [key for name in DEPARTMENTS if name != HOME for key in self.rows[entity, name]]
        if PEOPLE[username][2] == "own":
            keys += self.rows[entity, HOME][2:] + self.rows[entity, HOME][:1]
        return keys

    def version(self, entity, key):
        with self.system() as session:
            return session.get(ENTITIES[entity], key).version

    def called(self, entity, key):
        with self.system() as session:
            return str(session.get(ENTITIES[entity], key))

    # ---- the checksum

    def _watch(self):
        names = sorted(set(ENTITIES) - UNWATCHED - {"change", "change_set"})
        if self.database.engine == "sqlite":
            self.statements = [f'SELECT * FROM "{name}" ORDER BY id' for name in names]
        else:
            parts = [
                f"SELECT '{name}', md5(coalesce(string_agg(t::text, '|' ORDER BY id), '')) FROM \"{name}\" t"
                for name in names
            ]
            self.statements = [" UNION ALL ".join(parts)]
        for name in ("change", "change_set"):  # only ever added to
            self.statements.append(f"SELECT count(*), max(id) FROM {name}")

    def checksum(self):
        """What stands in all business tables, as one number."""
        digest = sha256()
        with self.database.raw() as connection:
            cursor = connection.cursor()
            for statement in self.statements:
                cursor.execute(statement)
                digest.update(repr(cursor.fetchall()).encode())
        return digest.hexdigest()


# --------------------------------------------------------------------------------------------- the tries


class Trier:
    """One person, who tries all that is not his right."""

    def __init__(self, world, outcome, username, size):
        self.world, self.outcome, self.username, self.size = world, outcome, username, size
        self.client = Client(world.app)
        self.client.sign_in(username, security.DEMO_PASSWORD)
        self.stands, self.number = world.checksum(), 0

    def all(self):
        for entity in self.size.entities:
            self.entity, self.base = entity, f"/{PATHS[entity]}"
            self.key, self.beyond = (
                self.world.mine(entity, self.username),
                self.world.foreign(entity, self.username),
            )
            self.stands = self.world.checksum()
            for way, kind in product(WAYS, KINDS):
                make = getattr(self, f"_{way.lower()}_{kind.replace(' ', '_')}", None)
                for said, send in make() if make else ():
                    self.number += 1
                    if self.number % self.size.every == 0:
                        self.attempt(way, kind, said, send)
            for way, send in self.controls():
                self.control(way, send)

    def attempt(self, way, kind, said, send):
        status = send()
        self.outcome.tried[self.entity, way, kind] += 1
        self.outcome.answers[status] += 1
        where = f"{self.username}, {self.entity}, {way}, {kind}: {said}"
        if isinstance(status, int) and status >= 500:
            self.outcome.faults.append(f"{where} is answered {status}")
        now = self.world.checksum()
        if now != self.stands:
            self.outcome.stored += 1
            self.outcome.faults.append(f"{where} was stored ({status})")
            self.stands = now

    def control(self, way, send):
        """A try that is right: it must be stored, or the others prove nothing."""
        status, now = send(), self.world.checksum()
        if now == self.stands:
            self.outcome.faults.append(
                f"{self.username}, {self.entity}, {way}: what is right was not stored ({status})"
            )
        else:
            self.outcome.controls += 1
        self.stands = now

    # ---- sending

    def post(self, path, data):
        data = {"csrf_token": self.client._token(), **data}
        return self.client.request("POST", path, data=data).status

    def call(self, method, path, body=None, **more):
        more = {"json": body, **more} if body is not None else more
        return self.client.api(method, path, None, **more).status

    def filled(self, path):
        """The form at an address as it stands; what a browser would send."""
        page = self.client.request("GET", path)
        forms = [form for form in page.forms if form.method == "post" and "logout" not in form.action]
        return forms[0].with_values({}) if page.status == 200 and forms else {}

    def edited(self, key, **values):
        """The edit form of one's own row, with other values in it."""
        return self.filled(f"{self.base}/{self.key}/edit") | {
            "version": str(self.world.version(self.entity, key)),
            **values,
        }

    def other_department(self):
        return [
            str(self.world.departments[name]) for name in (*DEPARTMENTS[1:], "Finance", "Management", "Sales")
        ]

    def unseen(self):
        """(column, id) of links to rows that this person does not see."""
        if PEOPLE[self.username][1] == "all":
            return []
        return [
            (column, key)
            for column, target in LINKS.get(self.entity, {}).items()
            for key in self.world.foreign(target, self.username)
        ]

    def unlisted(self):
        """(column, value as typed) of what is not his to set."""
        names = (*STAMPED, *BY_DEEDS.get(self.entity, ()), *KEPT[self.entity])
        return [(name, TYPED.get(name, "zq tried")) for name in names]

    def whose_is_not_his(self):
        """Values that put a row out of his reach."""
        ways = [{"department_id": key} for key in self.other_department()]
        if PEOPLE[self.username][2] == "own":
            others = [str(self.world.people[name]) for name in ("rep.south", "director", "head.sales")]
            ways = [{"owner_id": key} for key in (*others, "")] + [
                {"department_id": key, "owner_id": others[0]} for key in self.other_department()
            ]
        return ways

    @property
    def name(self):
        return CALLED.get(self.entity, "name")

    # ---- the form

    def _form_foreign_row(self):
        for key in self.beyond:
            data = self.edited(key, **{self.name: "Tried"})
            yield f"edit {key}", lambda key=key, data=data: self.post(f"{self.base}/{key}/edit", data)
            version = self.world.version(self.entity, key)
            yield (
                f"delete {key}",
                lambda key=key, v=version: self.post(f"{self.base}/{key}/delete", {"version": v}),
            )

    def _form_foreign_link(self):
        new = self.filled(f"{self.base}/new") | {self.name: "Tried", "is_another": "y"}
        for column, key in self.unseen():
            for text in (f"#{key}", self.world.called(LINKS[self.entity][column], key) + f" (#{key})"):
                data = self.edited(self.key, **{column: text})
                yield f"{column} {text}", lambda data=data: self.post(f"{self.base}/{self.key}/edit", data)
            yield (
                f"new, {column} {key}",
                lambda c=column, k=key: self.post(f"{self.base}/new", new | {c: f"#{k}"}),
            )

    def _form_moving_out(self):
        new = self.filled(f"{self.base}/new") | {self.name: "Tried", "is_another": "y"}
        for values in self.whose_is_not_his():
            data = self.edited(self.key, **values)
            yield f"edit {values}", lambda data=data: self.post(f"{self.base}/{self.key}/edit", data)
            yield f"new {values}", lambda values=values: self.post(f"{self.base}/new", new | values)

    def _form_unlisted_column(self):
        for name, value in self.unlisted():
            data = self.edited(self.key, **{name: value})
            yield f"{name}", lambda data=data: self.post(f"{self.base}/{self.key}/edit", data)
        for version in ("", "0", "-1", "999", "x", "1.0"):
            data = self.edited(self.key, **{self.name: "Tried"}) | {"version": version}
            yield f"version {version}", lambda data=data: self.post(f"{self.base}/{self.key}/edit", data)
            yield (
                f"delete {version}",
                lambda v=version: self.post(f"{self.base}/{self.key}/delete", {"version": v}),
            )

    # ---- deeds on one record, and its values one by one

    def value(self, key, name, text):
        """One value of a record, sent from where it stands."""
        sent = {name: text, "version": self.world.version(self.entity, key)}
        return self.post(f"{self.base}/{key}/values/{name}", sent)

    def _inline_foreign_row(self):
        deeds = {
            "deal": ("win", "lose", "reopen", "stage", "lines"),
            "ticket": ("reply", "assign", "solve", "reopen"),
            "activity": ("done",),
            "campaign": ("members",),
        }.get(self.entity, ())
        for key in self.beyond:
            data = {"version": self.world.version(self.entity, key), "tag": "Tried", "lost_reason": "price"}
            data |= {
                "stage_id": self.world.stages.get(self.entity, ["1"])[-1],
                "description": "x",
                "unit_price": "1",
            }
            data |= {
                "body": "x",
                "owner_id": "1",
                "contact_id": self.world.rows["contact", HOME][0],
                "reason": "x",
            }
            data |= {"change": self.world.moved[self.entity], "column": self.name}
            data |= {"to_staff_id": self.world.people["director"], "may": "edit"}
            for deed in (*deeds, "restore", "share", *(("tags",) if self.entity != "activity" else ())):
                path = f"{self.base}/{key}/{deed}"
                yield f"{deed} {key}", lambda path=path, data=data: self.post(path, data)
            yield f"value {key}", lambda key=key: self.value(key, self.name, "Tried")

    def _inline_foreign_link(self):
        for column, key in self.unseen():
            yield f"value {column} {key}", lambda c=column, k=key: self.value(self.key, c, f"#{k}")
        if self.entity == "activity":
            for column, key in self.unseen():
                data = {"body": "Tried", "kind": "note", column: key}
                yield f"log {column} {key}", lambda data=data: self.post("/activities/log", data)
        if self.entity == "campaign" and PEOPLE[self.username][1] != "all":
            for key in self.world.foreign("contact", self.username):
                path = f"{self.base}/{self.key}/members"
                yield f"member {key}", lambda path=path, key=key: self.post(path, {"contact_id": key})
                many = {"campaign_id": self.key, "selection": f"ids:{key}"}
                yield f"members {key}", lambda many=many: self.post(f"{self.base}/add-members", many)

    def _inline_moving_out(self):
        data = {"change": self.world.moved[self.entity], "version": self.world.version(self.entity, self.key)}
        for column in ("department_id", "owner_id"):
            sent = {**data, "column": column}
            yield f"restore {column}", lambda sent=sent: self.post(f"{self.base}/{self.key}/restore", sent)
        alone = [values for values in self.whose_is_not_his() if len(values) == 1]
        for column, text in (pair for values in alone for pair in values.items()):
            yield f"value {column} {text}", lambda c=column, text=text: self.value(self.key, c, text)
        if self.entity == "ticket" and PEOPLE[self.username][2] == "own":
            for name in ("rep.south", "director"):
                sent = {"version": data["version"], "owner_id": self.world.people[name]}
                yield f"assign {name}", lambda sent=sent: self.post(f"{self.base}/{self.key}/assign", sent)

    def _inline_unlisted_column(self):
        data = {"change": self.world.moved[self.entity], "version": self.world.version(self.entity, self.key)}
        for name, _ in (*self.unlisted(), ("version", "")):
            sent = {**data, "column": name}
            yield f"restore {name}", lambda sent=sent: self.post(f"{self.base}/{self.key}/restore", sent)
        for name, text in self.unlisted():
            yield f"value {name}", lambda name=name, text=text: self.value(self.key, name, text)

    # ---- the board

    def _board_foreign_row(self):
        for key in self.beyond if self.entity in BOARDS else ():
            for stage in self.world.stages[self.entity][:3]:
                data = {
                    "version": self.world.version(self.entity, key),
                    "stage_id": stage,
                    "lost_reason": "x",
                }
                yield f"move {key}", lambda key=key, data=data: self.post(f"{self.base}/{key}/move", data)

    def _board_foreign_link(self):
        for stage in (
            self.world.stages["ticket" if self.entity == "deal" else "deal"] if self.entity in BOARDS else ()
        ):
            data = {"version": self.world.version(self.entity, self.key), "stage_id": stage}
            yield f"stage {stage}", lambda data=data: self.post(f"{self.base}/{self.key}/move", data)

    def _board_unlisted_column(self):
        for name, value in self.unlisted() if self.entity in BOARDS else ():
            data = {"version": "999", "stage_id": self.world.stages[self.entity][1], name: value}
            yield f"{name}", lambda data=data: self.post(f"{self.base}/{self.key}/move", data)

    # ---- bulk

    def bulk(self, keys, **values):
        data = {"selection": "ids:" + "-".join(map(str, keys)), "deed": "edit", "set": list(values), **values}
        return {**data, "confirm": "y", "expected": str(len(keys))}

    def _bulk_foreign_row(self):
        for key in self.beyond:
            for keys, leave in (([key], {}), ([key], {"leave": "y"})):
                for expected in ("0", "1"):
                    data = self.bulk(keys, **{self.name: "Tried"}) | leave | {"expected": expected}
                    yield f"edit {key}", lambda data=data: self.post(f"{self.base}/bulk/edit", data)
                    yield f"delete {key}", lambda data=data: self.post(f"{self.base}/bulk/delete", data)
            tag = {**self.bulk([key]), "deed": "tag", "tag_ids": 1, "expected": "1"}
            yield f"tag {key}", lambda tag=tag: self.post(f"{self.base}/bulk/tags", tag)

    def _bulk_foreign_link(self):
        for column, key in self.unseen():
            for leave in ({}, {"leave": "y"}):
                data = self.bulk([self.key], **{column: f"#{key}"}) | leave
                yield f"{column} {key}", lambda data=data: self.post(f"{self.base}/bulk/edit", data)

    def _bulk_moving_out(self):
        for values, deed in product(self.whose_is_not_his(), ("edit", "assign")):
            values = {name: value for name, value in values.items() if value} or {"owner_id": ""}
            data = self.bulk([self.key], **values) | {"deed": deed, "leave": "y"}
            yield f"{deed} {values}", lambda data=data: self.post(f"{self.base}/bulk/edit", data)

    def _bulk_unlisted_column(self):
        for name, value in (*self.unlisted(), ("version", "9"), ("stage_id", "2")):
            data = self.bulk([self.key], **{name: value})
            yield f"{name}", lambda data=data: self.post(f"{self.base}/bulk/edit", data)

    # ---- the API

    @property
    def api(self):
        return f"/api/v1/{PATHS[self.entity]}/"

    def _api_foreign_row(self):
        for key in self.beyond if self.entity in IN_API else ():
            version = self.world.version(self.entity, key)
            for method in ("PATCH", "PUT"):
                body = {self.name: "Tried", "version": version}
                yield f"{method} {key}", lambda m=method, k=key, b=body: self.call(m, f"{self.api}{k}", b)
            at = {"headers": {"If-Match": f'"{version}"'}}
            yield f"DELETE {key}", lambda k=key, at=at: self.call("DELETE", f"{self.api}{k}", **at)

    def _api_foreign_link(self):
        for column, key in self.unseen() if self.entity in IN_API else ():
            body = {column: key, "version": self.world.version(self.entity, self.key)}
            yield f"{column} {key}", lambda b=body: self.call("PATCH", f"{self.api}{self.key}", b)
            body = {self.name: "Tried", column: key}
            yield f"new, {column} {key}", lambda b=body: self.call("POST", self.api, b)

    def _api_moving_out(self):
        for values in self.whose_is_not_his() if self.entity in IN_API else ():
            values = {name: int(value) if value else None for name, value in values.items()}
            body = {**values, "version": self.world.version(self.entity, self.key)}
            yield f"{values}", lambda b=body: self.call("PATCH", f"{self.api}{self.key}", b)
            body = {self.name: "Tried", **values}
            yield f"new {values}", lambda b=body: self.call("POST", self.api, b)

    def _api_unlisted_column(self):
        for name, value in self.unlisted() if self.entity in IN_API else ():
            body = {self.name: "Tried", name: value, "version": self.world.version(self.entity, self.key)}
            yield f"{name}", lambda b=body: self.call("PATCH", f"{self.api}{self.key}", b)
            body = {self.name: "Tried", name: value}
            yield f"new {name}", lambda b=body: self.call("POST", self.api, b)
        for version in (None, 0, -1, 999, "x", [1], {}, True) if self.entity in IN_API else ():
            body = {self.name: "Tried", "version": version}
            yield f"version {version}", lambda b=body: self.call("PATCH", f"{self.api}{self.key}", b)

    # ---- imports

    def brought(self, headers, row, columns, *, match=("id",), mode="both", missing=None):
        """Bring one row as a file; what the wizard, the command and the job do with it."""
        text = ",".join(headers) + "\n" + ",".join(f'"{cell}"' for cell in row) + "\n"
        with self.world.app.app_context():
            principal = security.load_principal(self.world.people[self.username])
            mapping = Mapping(columns=columns, match=match, mode=mode, dates="ymd", missing=missing or {})
            house = ImportHouse.of(self.world.app.config["SETTINGS"], datetime.now(UTC))
            try:
                with access.session_for(principal, door="import", why="tried") as session:
                    opened = files.open_table(text.encode(), "tried.csv")
                    desk = importing.Desk(session, opened, self.entity, mapping, house)
                    outcome = importing.bring_in(desk)
                    return "imported" if outcome.is_stored else "rows refused"
            except (RuleBroken, Refused, access.WriteRefused) as refused:
                return type(refused).__name__

    def row(self, **values):
        return list(values), list(values.values()), {name: name for name in values}

    def _import_foreign_row(self):
        for key, mode in product(self.beyond, ("both", "update")):
            sent = self.row(id=key, **{self.name: "Tried"})
            yield f"{mode} {key}", lambda sent=sent, mode=mode: self.brought(*sent, mode=mode)

    def _import_foreign_link(self):
        for column, key in self.unseen():
            for text in (f"#{key}", self.world.called(LINKS[self.entity][column], key)):
                sent = self.row(id=self.key, **{column: text})
                yield f"{column} {text}", lambda sent=sent: self.brought(*sent)
            sent = self.row(**{self.name: "Tried", column: f"#{key}"})
            yield f"new, {column} {key}", lambda sent=sent: self.brought(*sent, match=(self.name,))

    def _import_moving_out(self):
        for name in (*DEPARTMENTS[1:], "Finance", "Management", "Sales"):
            more = {"owner_id": "rep.south"} if PEOPLE[self.username][2] == "own" else {}
            sent = self.row(id=self.key, department_id=name, **more)
            yield f"{name}", lambda sent=sent: self.brought(*sent)
            sent = self.row(**{self.name: "Tried", "department_id": name}, **more)
            yield f"new {name}", lambda sent=sent: self.brought(*sent, match=(self.name,))

    def _import_unlisted_column(self):
        for name, value in (*self.unlisted(), ("version", "9"), ("nonesuch", "x")):
            if name not in (
                "id",
                "closed_on",
                "lost_reason",
                "done_at",
            ):  # these may be brought, by their rules
                sent = self.row(id=self.key, **{name: value})
                yield f"{name}", lambda sent=sent: self.brought(*sent)

    # ---- merging

    def merged(self, ids, keep, **more):
        versions = {f"version.{key}": self.world.version(self.entity, key) for key in ids}
        data = {"entity": self.entity, "ids": ",".join(map(str, ids)), "keep": keep, **versions, **more}
        return lambda: self.post("/duplicates/merge", data)

    def _merge_foreign_row(self):
        for key in self.beyond if self.entity in MERGED else ():
            for keep in (key, self.key):
                yield f"{key}, {keep} stays", self.merged((self.key, key), keep)
        if self.entity in MERGED and len(self.beyond) > 1:
            yield "two of others", self.merged(self.beyond[:2], self.beyond[0])

    def _merge_foreign_link(self):
        for key in self.beyond if self.entity == "contact" else ():
            yield f"company of {key}", self.merged((self.key, key), self.key, **{"field.company_id": key})

    def _merge_moving_out(self):
        for key in self.beyond if self.entity in MERGED else ():
            more = {"field.department_id": key, "field.owner_id": key}
            yield f"department of {key}", self.merged((self.key, key), self.key, **more)

    def _merge_unlisted_column(self):
        other = self.world.rows[self.entity, HOME][-1] if self.entity in MERGED else None
        for name, value in self.unlisted() if other else ():
            more = {name: value, f"field.{name}": other, f"version.{other}": "999"}
            yield f"{name}", self.merged((self.key, other), self.key, **more)

    # ---- what is right

    def controls(self):
        """(way, a try that must be stored), the merge last."""
        key, entity = self.key, self.entity
        yield (
            "form",
            lambda: self.post(f"{self.base}/{key}/edit", self.edited(key, **{self.name: "Right by form"})),
        )
        yield (
            "bulk",
            lambda: self.post(f"{self.base}/bulk/edit", self.bulk([key], **{self.name: "Right in bulk"})),
        )
        sent = self.row(id=key, **{self.name: "Right by import"})
        yield "import", lambda: self.brought(*sent)
        if entity in IN_API:
            body = {self.name: "Right by API"}
            yield (
                "API",
                lambda: self.call(
                    "PATCH", f"{self.api}{key}", body | {"version": self.world.version(entity, key)}
                ),
            )
        if entity in BOARDS:
            # Each into another stage than the one before him, so that the card does move.
            moved = {"stage_id": self.world.stages[entity][1 + list(PEOPLE).index(self.username) % 2]}
            yield (
                "board",
                lambda: self.post(
                    f"{self.base}/{key}/move", moved | {"version": self.world.version(entity, key)}
                ),
            )
        yield "inline", lambda: self.value(key, self.name, f"Right in place {self.username}")
        if entity != "activity":
            yield "inline", lambda: self.post(f"{self.base}/{key}/tags", {"tag": self.username})


if __name__ == "__main__":
    sys.exit(main())
