"""Hidden and read-only fields at every door: each field of each entity is kept from somebody, who then tries them all.

    python -m tests.prove.fields [--engine sqlite|postgresql] [--quick]

Every field that a role may hide holds a value that stands nowhere else: in a record, in its history, in a deleted one.
For each field a role of the firm's own hides just that, and whoever holds it (and may do everything else) opens all
that tells of the entity: list, filters, sorts, searches, sheet, forms, history, past days, trash, changes, boards, bulk
work, duplicates, merging, exports, API, reports, and the sheets beside it. The value may come back nowhere, no door may
break, whoever names the field hears what he would hear of one that does not exist, and what he sends is not stored.
Then the same field is only read-only: it is shown, and no way of writing it stores anything.
"""

import argparse
import json
import platform
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import BytesIO
from zipfile import ZipFile

import sqlalchemy
from sqlalchemy import Date, Numeric, select

from app import access, models, security
from app.audit.papers import pages_of
from app.extensions import db
from app.models import ENTITIES
from tests import databases
from tests.client import Client

READER, ROLE, UNKNOWN = "rep.south", "short-sighted", "nonesuch"
PATHS = {
    "company": "companies",
    "contact": "contacts",
    "deal": "deals",
    "ticket": "tickets",
    "activity": "activities",
    "campaign": "campaigns",
    "product": "products",
    "staff": "staff",
}
IN_API = ("company", "contact", "deal", "ticket", "campaign")
WITH_BOARD = ("deal", "ticket")
IMPORTED = ("company", "contact", "deal", "ticket", "activity", "campaign", "product")
# Entity -> the columns of others that lead to it: filters reach its fields through them.
LED_TO = {
    "company": ("contacts", "company_id"),
    "contact": ("deals", "contact_id"),
    "deal": ("invoices", "deal_id"),
}
SOME = (("contact", "birth_date"), ("deal", "amount"), ("ticket", "priority"), ("company", "vat_id"))
AS_JSON = {"headers": {"Accept": "application/json"}}


@dataclass
class Outcome:
    """What was tried and seen; `faults` is everything that should not be."""

    engine: str
    version: str
    fields: int = 0
    opened: int = 0
    named: int = 0  # pairs of requests: one names the field, the other one that there is not
    writes: int = 0
    seconds: float = 0.0
    faults: list = field(default_factory=list)

    @property
    def tried(self):
        return self.opened + self.named + self.writes


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", choices=databases.ENGINES, help="only this one")
    parser.add_argument("--quick", action="store_true", help="the size that the tests run")
    args = parser.parse_args()
    folder = databases.start_run()
    try:
        outcomes = [
            prove(engine, SOME if args.quick else every_field())
            for engine in databases.ENGINES
            if args.engine in (None, engine)
        ]
    finally:
        databases.end_run(folder)
    print(table(outcomes))
    return 1 if any(outcome.faults for outcome in outcomes) else 0


def every_field():
    """(entity, column) of everything that a role may hide."""
    return tuple((entity, name) for entity in PATHS for name in access.hideable(ENTITIES[entity]))


def prove(engine, fields):
    """Keep each of these fields from somebody on a fresh database, and let him try every door."""
    with databases.fresh_database(engine) as database, databases.app_on(database) as app:
        outcome = Outcome(engine, _version(database))
        started = time.monotonic()
        house = House(app)
        for entity, name in fields:
            print(f"{engine}: {entity}.{name}", file=sys.stderr, flush=True)
            Walk(house, outcome, entity, name).all()
            outcome.fields += 1
        outcome.seconds = time.monotonic() - started
        return outcome


def table(outcomes):
    """The outcomes as one table that can be read in a report."""
    rows = [
        ("engine", lambda one: one.version),
        ("fields", lambda one: one.fields),
        ("opened", lambda one: one.opened),
        ("named", lambda one: one.named),
        ("written", lambda one: one.writes),
        ("tried", lambda one: one.tried),
        ("failed", lambda one: len(one.faults)),
        ("seconds", lambda one: f"{one.seconds:.1f}"),
    ]
    lines = [f"{name:<10}" + "".join(f"{value(one)!s:>22}" for one in outcomes) for name, value in rows]
    lines.append(f"Python {platform.python_version()}, SQLAlchemy {sqlalchemy.__version__}")
    lines.extend(f"{one.engine}: {fault}" for one in outcomes for fault in one.faults[:50])
    return "\n".join(lines)


def _version(database):
    with database.raw() as connection:
        asked = "SELECT sqlite_version()" if database.engine == "sqlite" else "SHOW server_version"
        cursor = connection.cursor()
        cursor.execute(asked)
        return f"{database.engine} {cursor.fetchone()[0].split()[0]}"


# --------------------------------------------------------------------------------------------- the house


class Value:
    """What a field holds: in the database, as it is typed, and every way in which it might come back."""

    def __init__(self, column, number):
        kind, choices = column.type, column.info.get("choices")
        if choices:
            self.stored = list(choices)[-1 - number % 2]
            self.typed, self.ways = self.stored, (self.stored, str(choices[self.stored]))
        elif isinstance(kind, Numeric) or hasattr(kind, "scale"):
            self.stored = Decimal(f"{87_654 - number}.{21 + number}")
            self.typed = f"{self.stored}"
            self.ways = (self.typed, f"{self.stored:,}", self.typed.replace(".", ","))
        elif isinstance(kind, Date):
            self.stored = date(1911, 3, 5) + timedelta(days=number)
            self.typed = self.stored.isoformat()
            self.ways = (
                self.typed,
                f"{self.stored:%b} {self.stored.day}, 1911",
                f"1911, {self.stored.month},",
            )
        else:
            self.stored = _text(column, number)
            self.typed = self.stored
            self.ways = (self.stored, self.stored.replace(" ", ""))

    def stands_in(self, text):
        text = text.casefold()
        return any(way.casefold() in text for way in self.ways)


def _text(column, number):
    # Each letter twice: no word is another one misspelt.
    letters = "".join("bcdghkmnpr"[int(digit)] * 2 for digit in f"{number:04}")
    if column.info.get("format") == "email":
        return f"zq{letters}@zqhost.example"
    if column.info.get("format") == "phone":
        return f"+49 30 77{number:04} 19"
    return f"zq{letters}"


class House:
    """One record of each kind with a value of its own in every field, edited once, and another that was deleted."""

    def __init__(self, app):
        self.app, self.number = app, 0
        self.ids, self.gone, self.values, self.sets = {}, {}, {}, {}
        with self.system() as session:
            people = dict(session.execute(select(security.User.username, security.User.id)).all())
            departments = dict(session.execute(select(models.Department.name, models.Department.id)).all())
            self.whose = {"department_id": departments["South"], "owner_id": people[READER]}
            self.reader_id, self.department_id = people[READER], departments["South"]
            stages = session.execute(
                select(models.Pipeline.kind, models.Stage.id)
                .join(models.Stage.pipeline)
                .where(models.Stage.outcome == "open")
            )
            self.stages = dict(stages.all())
            session.query(models.Membership).filter_by(owner_id=self.reader_id).delete()
        self._add_all()
        self._edit_all()
        self._delete_some()
        self._pairs()
        self._role([])
        with self.system() as session:
            held = {"owner_id": self.reader_id, "department_id": self.department_id, "role": ROLE}
            session.add(models.Membership(**held))
        self.client = Client(app)
        self.client.sign_in(READER, security.DEMO_PASSWORD)

    def system(self, why="the house"):
        return _System(self.app, why)

    def _new(self, entity):
        """Another value for every field of an entity that may be hidden: column -> Value."""
        values = {}
        for name in access.hideable(ENTITIES[entity]):
            self.number += 1
            values[name] = Value(ENTITIES[entity].__table__.c[name], self.number)
        return values

    def _row(self, entity, called, **links):
        model, values = ENTITIES[entity], self._new(entity)
        named = {
            "contact": {"last_name": called},
            "ticket": {"subject": called},
            "activity": {"subject": called},
        }
        row = model(
            **named.get(entity, {"name": called}),
            **{name: value.stored for name, value in values.items()},
            **links,
            **(self.whose if issubclass(model, models.Owned) else {}),
        )
        self.values.setdefault(entity, []).append(values)
        return row

    def _all(self, session, called):
        """One of each kind, linked to each other; returns {entity: row}."""
        rows = {"company": self._row("company", f"Firm {called}", kind="customer")}
        session.add(rows["company"])
        session.flush()
        company_id = rows["company"].id
        rows["contact"] = self._row("contact", f"Person {called}", company_id=company_id)
        session.add(rows["contact"])
        session.flush()
        both = {"company_id": company_id, "contact_id": rows["contact"].id}
        rows["deal"] = self._row(
            "deal",
            f"Deal {called}",
            stage_id=self.stages["deal"],
            currency="EUR",
            opened_on=date(2026, 1, 2),
            **both,
        )
        rows["ticket"] = self._row("ticket", f"Ticket {called}", stage_id=self.stages["ticket"], **both)
        rows["activity"] = self._row("activity", f"Task {called}", kind="task", **both)
        rows["campaign"] = self._row("campaign", f"Campaign {called}", currency="EUR")
        rows["product"] = self._row("product", f"Thing {called}", currency="EUR", price=Decimal(3))
        session.add_all(rows.values())
        session.flush()
        return rows

    def _add_all(self):
        with self.system() as session:
            rows = self._all(session, "kept")
            self.ids = {entity: row.id for entity, row in rows.items()}
            session.add(models.CampaignMember(campaign_id=rows["campaign"].id, contact_id=rows["contact"].id))
            # Its amount is a sum of lines, whose prices tell of it as well.
            amount = rows["deal"].amount
            session.add(
                models.DealLine(
                    deal_id=rows["deal"].id, description="Work", quantity=1, unit_price=amount, net=amount
                )
            )
            self.ids["staff"] = self.reader_id
            values = self._new("staff")
            self.values["staff"] = [values]
            for name, value in values.items():
                setattr(session.get(models.Staff, self.reader_id), name, value.stored)

    def _edit_all(self):
        """So that each field has a past: what it held before, and what it holds now."""
        for entity, key in self.ids.items():
            with self.system(f"edits {entity}") as session:
                values, row = self._new(entity), session.get(ENTITIES[entity], key)
                self.values[entity].append(values)
                for name, value in values.items():
                    setattr(row, name, value.stored)
                if entity == "deal":
                    for line in row.lines:
                        line.unit_price = line.net = row.amount
                session.flush()
                if values:
                    self.sets[entity] = session.info["change_set_id"]

    def _delete_some(self):
        with self.system() as session:
            rows = self._all(session, "gone")
            self.gone = {entity: row.id for entity, row in rows.items()}
        with self.system("clears away") as session:
            for entity in ("activity", "ticket", "deal", "contact", "company", "campaign", "product"):
                session.delete(session.get(ENTITIES[entity], self.gone[entity]))
                session.flush()

    def _pairs(self):
        """A twin of the contact and of the company, with all that a finder would say of them."""
        self.twins = {}
        reasons = {
            "contact": ("birth_date", "email", "phone", "city"),
            "company": ("vat_id", "phone", "street"),
        }
        with self.system() as session:
            twins = self._all(session, "twin")
            for entity, told in reasons.items():
                self.twins[entity] = twins[entity].id
                one, other = sorted((self.ids[entity], twins[entity].id))
                session.add(
                    models.DuplicatePair(
                        entity=entity,
                        one_id=one,
                        other_id=other,
                        score=97,
                        reasons=[{"what": what, "level": "same", "weight": 3.0} for what in told],
                        found_at=datetime.now(UTC),
                    )
                )

    def keep(self, entity, **kept):
        """Have the role keep these fields of this entity: `hidden=[…]`, `read_only=[…]`."""
        self._role([(entity, kept)])

    def _role(self, kept):
        kept = dict(kept)
        with self.system() as session:
            role = session.scalars(
                select(models.ComposedRole).where(models.ComposedRole.name == ROLE)
            ).first()
            if role is None:
                role = models.ComposedRole(name=ROLE, grants=[])
                session.add(role)
            role.grants = [
                {"entity": entity, "verbs": list(verbs), "reach": "all", **kept.get(entity, {})}
                for entity, verbs in _VERBS.items()
            ]

    def stored(self, entity, name):
        with self.system() as session:
            found = session.connection().execute(
                select(ENTITIES[entity].__table__.c[name]).where(
                    ENTITIES[entity].__table__.c.id == self.ids[entity]
                )
            )
            return found.scalar_one()

    def version(self, entity):
        with self.system() as session:
            return session.get(ENTITIES[entity], self.ids[entity]).version


_VERBS = {
    entity: verbs
    for entity, verbs in access.roles.VERBS.items()
    if entity not in ("account", "membership", "deputy", "role", "read_entry", "approval", "share")
} | {"account": ("see", "edit")}


class _System:
    """A system session, committed at the end."""

    def __init__(self, app, why):
        self.app, self.why = app, why

    def __enter__(self):
        self.context = self.app.app_context()
        self.context.push()
        self.inner = access.system_session(self.why, door="command")
        return self.inner.__enter__()

    def __exit__(self, *error):
        try:
            return self.inner.__exit__(*error)
        finally:
            db.session.remove()
            self.context.pop()


# --------------------------------------------------------------------------------------------- the walk


class Walk:
    """Every door of one entity, for somebody from whom one field of it is kept."""

    def __init__(self, house, outcome, entity, name):
        self.house, self.outcome, self.entity, self.name = house, outcome, entity, name
        self.client, self.key = house.client, house.ids[entity]
        self.base = f"/{PATHS[entity]}"
        self.column = ENTITIES[entity].__table__.c[name]
        self.values = [one[name] for one in house.values[entity]]
        house.number += 1
        self.other = Value(self.column, house.number)  # what he would write

    def all(self):
        self.house.keep(self.entity, hidden=[self.name])
        for address in self.addresses():
            self.open(address)
        self.ask()
        self.write(is_shown=False)
        self.house.keep(self.entity, read_only=[self.name])
        self.is_shown()
        self.write(is_shown=True)

    def fault(self, said):
        self.outcome.faults.append(f"{self.entity}.{self.name}: {said}")

    # ---- what may not come back

    def addresses(self):
        base, key, entity, now = self.base, self.key, self.entity, self.values[1]
        yield from (f"{base}/", f"{base}/?filters=open", f"{base}/?q=kept", f"{base}/{key}", f"{base}/new")
        yield from (f"{base}/{key}/edit", f"{base}/{key}/history", f"{base}/pick?q=kept")
        yield from (f"{base}/{key}/as-of?day=2099-01-01", f"{base}/{key}/as-of?day=2020-01-01")
        if entity != "staff":
            gone = f"{base}/{self.house.gone[entity]}"
            yield from (f"{gone}/as-of", f"{gone}/as-of?day=2020-01-01", f"{gone}/erase")
            for kind in ("csv", "xlsx", *(("vcf",) if entity == "contact" else ())):
                for columns in ("shown", "all"):
                    yield f"{base}/export?format={kind}&columns={columns}"
            yield f"{base}/bulk?deed=edit&which=all"
            yield f"{base}/bulk?deed=delete&which=all"
            yield f"{base}/bulk?deed=export&which=all"
        if entity in IN_API:
            yield from (f"/api/v1/{PATHS[entity]}/", f"/api/v1/{PATHS[entity]}/{key}")
        if entity in WITH_BOARD:
            yield f"{base}/board"
        if entity in self.house.twins:
            ids = f"{key},{self.house.twins[entity]}"
            yield from (f"/duplicates/?entity={entity}", f"/duplicates/merge?entity={entity}&ids={ids}")
        yield from ("/", "/trash/", "/changes/", f"/changes/{self.house.sets[entity]}", "/reports/sales")
        yield f"/changes/{self.house.sets[entity]}/undo"
        yield "/reports/sales.pdf?period=2026"
        for other, other_key in self.house.ids.items():  # the sheets beside it tell of it, too
            if other != entity:
                yield f"/{PATHS[other]}/{other_key}"
        # Nor is anything found by it.
        for text in {now.typed, now.typed.split("@")[0]}:
            yield f"{base}/?q={text.replace('+', '%2B')}"

    def open(self, address):
        self.outcome.opened += 1
        page = self.client.request("GET", address)
        if page.status >= 500:
            return self.fault(f"{address} answers {page.status}")
        if page.status not in (200, 403, 404):
            return self.fault(f"{address} answers {page.status}: {page.text[:200]}")
        text = _text_of(page)
        if (
            "?q=" in address
            and self.entity != "staff"
            and "kept" not in address
            and _named(self.entity) in text
        ):
            self.fault(f"{address} finds the record by what is hidden")
        text = text.replace(address.split("?q=")[-1], "") if "?q=" in address else text
        text = _without_the_question(text, self.values[1]) if "?q=" in address else text
        for value in self.values:
            if value.stands_in(text):
                self.fault(f"{address} shows {value.stored}")
        return None

    # ---- naming it

    def ask(self):
        base, value = self.base, self.values[1].typed
        self.alike(lambda name: ("GET", f"{base}/?sort={name}", {}))
        self.alike(lambda name: ("GET", f"{base}/?sort=-{name}", {}))
        for operator in ("is", "has", "min", "empty"):
            self.alike(lambda name, op=operator: ("GET", f"{base}/?{name}.{op}=1", {}))
        self.alike(lambda name: ("GET", f"{base}/?where={name} is 1", {}))
        self.alike(lambda name: ("GET", f"{base}/?filters=open&column={name}", {}))
        if self.entity != "staff":
            self.alike(lambda name: ("GET", f"{base}/export?columns={name}", {}))
            self.alike(lambda name: ("GET", f"{base}/export?format=xlsx&sort={name}", {}))
            self.alike(lambda name: ("GET", f"{base}/bulk?deed=delete&which=all&{name}.is=1", {}))
        if self.entity in LED_TO:
            path, link = LED_TO[self.entity]
            self.alike(lambda name: ("GET", f"/{path}/?{link}.{name}.is=1", {}))
        if self.entity in IN_API:
            api = f"/api/v1/{PATHS[self.entity]}/"
            self.alike(lambda name: ("GET", f"{api}?sort={name}", {}))
            self.alike(lambda name: ("GET", f"{api}?{name}.is=1", {}))
            self.alike(lambda name: ("POST", api, {"json": {name: value}}))
            version = self.house.version(self.entity)
            self.alike(
                lambda name: ("PATCH", f"{api}{self.key}", {"json": {name: value, "version": version}})
            )
        form = {"change": self._change(), "version": self.house.version(self.entity)}
        self.alike(lambda name: ("POST", f"{base}/{self.key}/restore", {"data": {**form, "column": name}}))
        if self.entity != "staff":
            chosen = {"selection": f"ids:{self.key}", "deed": "edit"}
            self.alike(
                lambda name: ("POST", f"{base}/bulk/edit", {"data": {**chosen, "set": name, name: value}})
            )

    def _change(self):
        with self.house.system() as session:
            this = (models.Change.entity == self.entity, models.Change.record_id == self.key)
            found = select(models.Change.id).where(*this, models.Change.action == "edit")
            return session.scalars(found.order_by(models.Change.id.desc())).first()

    def alike(self, request):
        """That a request naming the field is answered like one that names a field which does not exist."""
        self.outcome.named += 1
        said = []
        for name in (self.name, UNKNOWN):
            method, address, more = request(name)
            more = {**AS_JSON, **more}
            if method == "POST" and "data" in more:
                more["data"] = {"csrf_token": self.client._token(), **more["data"]}
            elif method != "GET":
                more["headers"] = {**more["headers"], "X-CSRFToken": self.client._token()}
            page = self.client.request(method, address, **more)
            said.append((page.status, _answer(page, name)))
        if said[0] != said[1]:
            this, none = (f"{status} {text[:160]!r}" for status, text in said)
            self.fault(f"{request('@')[:2]} answers {this}, of none {none}")
        if said[0][0] >= 500:
            self.fault(f"{request(self.name)[:2]} answers {said[0][0]}")

    # ---- writing it

    def write(self, *, is_shown):
        before, entity, base = self.house.stored(self.entity, self.name), self.entity, self.base
        for way, send in self._ways():
            self.outcome.writes += 1
            status = send()
            if status is not None and status >= 500:
                self.fault(f"{way} answers {status}")
            if self.house.stored(entity, self.name) != before:
                self.fault(f"{way} stores {'a read-only' if is_shown else 'a hidden'} value")
                return
        with self.house.system() as session:
            table_ = ENTITIES[entity].__table__
            this = select(table_.c.id).where(table_.c[self.name] == self.other.stored)
            if (
                self.other.stored not in [value.stored for value in self.values]
                and session.connection().execute(this).first()
            ):
                self.fault(f"a new record holds what {base}/new may not take")

    def _ways(self):
        yield "the form", self._by_form
        if self.entity != "staff":
            yield "a new record", self._by_new
            yield "bulk", self._by_bulk
        yield "restore", self._by_restore
        if self.entity in IN_API:
            yield "the API", self._by_api
            yield "the API, new", self._by_api_new
        if self.entity in IMPORTED:
            yield "an import", self._by_import

    def _by_form(self):
        page = self.client.request("GET", f"{self.base}/{self.key}/edit")
        if page.status != 200:
            return page.status if page.status >= 500 else None
        form = next(one for one in page.forms if one.method == "post" and "logout" not in one.action)
        if self.name in form.controls:
            self.fault("the form offers it")
        data = form.with_values({}) | {self.name: [self.other.typed]}
        page = self.client.request("POST", f"{self.base}/{self.key}/edit", data=data)
        if page.status not in (302, 403):
            self.fault(f"the form without it is answered {page.status}: {page.text[-300:]}")
        return page.status

    def _by_new(self):
        page = self.client.request("GET", f"{self.base}/new")
        if page.status != 200:
            return page.status
        form = next(one for one in page.forms if one.method == "post" and "logout" not in one.action)
        name = {"contact": "last_name", "ticket": "subject", "activity": "subject"}.get(self.entity, "name")
        self.house.number += 1
        data = form.with_values({name: f"Fresh {self.house.number}"}) | {self.name: [self.other.typed]}
        data["is_another"] = ["y"]
        return self.client.request("POST", f"{self.base}/new", data=data).status

    def _by_bulk(self):
        data = {"selection": f"ids:{self.key}", "deed": "edit", "set": self.name, self.name: self.other.typed}
        data |= {"confirm": "y", "expected": "1", "csrf_token": self.client._token()}
        return self.client.request("POST", f"{self.base}/bulk/edit", data=data).status

    def _by_restore(self):
        data = {"change": self._change(), "column": self.name, "version": self.house.version(self.entity)}
        data["csrf_token"] = self.client._token()
        return self.client.request("POST", f"{self.base}/{self.key}/restore", data=data).status

    def _by_api(self):
        body = {self.name: _plain(self.other), "version": self.house.version(self.entity)}
        page = self.client.api("PATCH", f"/api/v1/{PATHS[self.entity]}/{self.key}", None, json=body)
        if page.status != 422:
            self.fault(f"the API answers {page.status}")
        return page.status

    def _by_api_new(self):
        name = {"contact": "last_name", "ticket": "subject"}.get(self.entity, "name")
        body = {name: "Fresh by API", self.name: _plain(self.other)}
        return self.client.api("POST", f"/api/v1/{PATHS[self.entity]}/", None, json=body).status

    def _by_import(self):
        text = f"number,value\n{self.key},{self.other.typed}\n"
        file = (BytesIO(text.encode()), f"{self.entity}.csv")
        page = self.client.post("/imports/", {"entity": self.entity, "file": file}, None)
        if page.status not in (302, 303):
            return page.status
        address = page.location
        page = self.client.get(address)
        offered = [one for one in page.html.split('value="') if one.startswith(f'{self.name}"')]
        if offered:
            self.fault("an import offers it")
        data = {
            "csrf_token": self.client._token(),
            "header": ["number", "value"],
            "field": ["id", self.name],
            "match": "id",
            "mode": "update",
            "dates": "ymd",
            "decimal": ".",
            "do": "check",
        }
        page = self.client.request("POST", address, data=data)
        if page.status != 422:
            self.fault(f"an import that names it is answered {page.status}")
        return page.status

    # ---- read-only

    def is_shown(self):
        """What is only read-only stands on the sheet."""
        page = self.client.request("GET", f"{self.base}/{self.key}")
        self.outcome.opened += 1
        if not self.values[1].stands_in(_text_of(page)):
            self.fault(f"the sheet does not show what is only read-only ({page.status})")


def _answer(page, name):
    """What it says but for the name; JSON in one order."""
    if page.response.is_json:
        return json.dumps(json.loads(page.html.replace(name, "@")), sort_keys=True)
    return page.text.replace(name, "@") if page.is_html else "a file"


def _plain(value):
    return value.stored if isinstance(value.stored, str) else str(value.stored)


def _named(entity):
    """What the kept record is called."""
    word = {"company": "Firm", "contact": "Person", "deal": "Deal", "ticket": "Ticket", "activity": "Task"}
    return f"{word.get(entity) or {'campaign': 'Campaign', 'product': 'Thing'}[entity]} kept"


def _without_the_question(text, value):
    """A page repeats what was searched for."""
    for way in (*value.ways, value.typed.split("@")[0]):
        text = text.replace(way, "")
    return text


def _text_of(page):
    """All that an answer says, whatever its kind."""
    kind, body = page.response.mimetype, page.response.get_data()
    if kind == "application/pdf":
        return " ".join(pages_of(body))
    if kind.endswith("spreadsheetml.sheet"):
        with ZipFile(BytesIO(body)) as parts:
            return " ".join(parts.read(name).decode() for name in parts.namelist())
    return f"{page.text} {page.html}" if page.is_html else page.html


if __name__ == "__main__":
    sys.exit(main())
