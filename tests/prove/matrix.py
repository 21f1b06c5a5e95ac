"""The authorisation matrix: every role at every address, by every method, on every kind of row; none is left out.

    python -m tests.prove.matrix [--every N] [--only ROUTE]

The addresses come from the URL map, the roles from `app/roles.py`. What a route needs is what its `@allows` says;
where that does not tell what becomes of a row, the table `ENTRIES` says it, once. From that and from the grants alone
an oracle of its own (`Oracle`, which knows nothing of `app/access.py`) says what must be answered: allowed, refused,
or not found. Then it is asked for real, through the application, and afterwards it is looked whether anything was
stored: it must be where the deed was allowed, and must not be otherwise. What was stored is taken back each time.

People: a visitor, somebody without a role, one for each role of the house, one with a role that the firm composed
(whose verbs reach unlike far), one with roles in several departments. Rows: his own, a colleague's in his department,
one of the department below, one of another department, and one that is not there. A route without an entry fails it.
"""

import argparse
import platform
import re
import sqlite3
import sys
import time
from collections import Counter, defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from io import BytesIO
from types import SimpleNamespace

import sqlalchemy
from sqlalchemy import select

from app import access, blobs, models, roles, security
from app.audit.walk import OPEN_ROUTES, VIEWS
from app.models import ENTITIES
from app.rules import attachments
from tests import databases, factories
from tests.client import Client

KINDS = ("own", "own department", "below", "another department", "none")
HOME, BELOW, ELSEWHERE = "North", "Quay", "South"
PLACES = {"own": HOME, "own department": HOME, "below": BELOW, "another department": ELSEWHERE}
OTHER_PLACES = {place: home for place, home in PLACES.items() if place != "own"}
ABSENT = 1_999_999_999
ALLOWED, REFUSED, NOT_FOUND, NO_MATTER = "allowed", "refused", "not found", "does not apply"
EVERYTHING = "everything"  # the role of whoever fetches the forms that the others send

# A role of the firm's own whose verbs reach unlike far: what is granted here is not granted there.
DESK = {
    "company": {
        "below": "see",
        "department": "add delete merge export import",
        "own": "edit share bulk erase",
    },
    "contact": {"all": "see", "department": "add edit merge bulk share", "own": "delete export erase import"},
    "deal": {
        "all": "see",
        "below": "lose",
        "department": "add edit bulk import",
        "own": "win export delete erase",
    },
    "ticket": {
        "all": "see",
        "below": "edit",
        "department": "add solve bulk erase",
        "own": "reply delete share export",
    },
    "activity": {"department": "see add export bulk erase", "own": "edit delete"},
    "campaign": {"below": "see export", "department": "bulk delete add erase", "own": "edit share"},
    "invoice": {"all": "see", "below": "edit bulk", "department": "pay export add", "own": "issue delete"},
    "payment": {"department": "see", "own": "export"},
}
SEVERAL = (("sales", HOME), ("support", ELSEWHERE), ("marketing", BELOW))


# --------------------------------------------------------------------------------------------- the oracle


@dataclass(frozen=True)
class Row:
    """A row as the oracle knows it: whose it is, and what conditions ask of it."""

    id: int
    entity: str
    owner: str | None = None
    department: str | None = None
    state: str = ""
    word: str = ""
    more: dict = field(default_factory=dict, hash=False, compare=False)


# Departments and those below each, as the world has them.
UNDER = {"Sales": {"Sales", "North", "South", "Quay"}, "North": {"North", "Quay"}}
CONDITIONS = {"customer": lambda row: row.state == "customer", "won": lambda row: row.state == "won"}
PARTS = {"payment": "invoice"}


class Oracle:
    """What somebody with these roles may do, by the words of `app/roles.py`."""

    def __init__(self, username, held, composed):
        self.username, self.held = username, held
        self.grants = [(grant, HOME) for grant in roles.EVERYONE]
        for name, department in held:
            found = roles.ROLES[name] if name in roles.ROLES else composed[name]
            self.grants += [(grant, department) for grant in found]

    def may(self, verb, entity):
        return any(grant.entity == entity and verb in grant.verbs for grant, _ in self.grants)

    def reaches(self, verb, row):
        """Whether a grant of this verb reaches the row."""
        if row.entity in PARTS:
            whole = row.more["whole"]
            return self.may(verb, row.entity) and self.reaches("see", whole)
        return any(
            self._reach(grant, department, row) and self._holds(grant, row)
            for grant, department in self.grants
            if grant.entity == row.entity and verb in grant.verbs
        )

    def _reach(self, grant, department, row):
        if row.department is None and row.owner is None:
            return True
        return {
            "own": row.owner == self.username,
            "department": row.department == department,
            "below": row.department in UNDER.get(department, {department}),
            "all": True,
        }[grant.reach]

    def _holds(self, grant, row):
        return grant.condition is None or CONDITIONS[grant.condition](row)


# --------------------------------------------------------------------------------------------- the world

WORKED = ("company", "contact", "deal", "activity", "ticket", "campaign", "invoice")
SHARED = ("company", "contact", "deal", "ticket", "campaign")
STATES = {
    "company": ("customer", "prospect"),
    "deal": ("open", "won"),
    "ticket": ("open", "solved"),
    "invoice": ("draft", "issued"),
}
NAMES = {
    "contact": "last_name",
    "activity": "subject",
    "ticket": "subject",
    "invoice": "billed_to",
    "group_mapping": "group_name",
}
TODAY = date(2026, 3, 4)
NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)


class World:
    """The people, their rows, and the rows of everybody else."""

    def __init__(self, app, database):
        self.app, self.database = app, database
        self.files = blobs.folder_in(app.config["SETTINGS"].FOYER_HOME)
        self.rows = defaultdict(list)  # what the number in an address counts -> its rows
        self._words = (f"Zq{number:05d}" for number in range(100_000))
        self._tree()
        self._people()
        for place, department in OTHER_PLACES.items():
            self._rows_of(f"keeper {place}", department)
        for username in self.held:
            self._rows_of(username, HOME)
        self._small_tables()
        self._make_quick()
        self.clients = {name: Client(app) for name in (*self.held, EVERYTHING, None)}
        for name, client in self.clients.items():
            if name:
                client.sign_in(name, security.DEMO_PASSWORD)
        self._sessions()
        self.forms = {}
        self.tokens = {
            name: client._token() if name else client.get("/login/").csrf_token
            for name, client in self.clients.items()
        }
        self.cookies = {name: dict(client.browser._cookies) for name, client in self.clients.items()}
        self._keep()

    # ---- what forms send

    def form_of(self, row):
        """What the form of a record sends, changed in its name."""
        key = row.entity, row.id
        if key not in self.forms:
            base = self._base(row.entity)
            page = self.clients[EVERYTHING].get(f"{base}/{row.id}/edit")
            self.forms[key] = _sent(page.form(f"{base}/{row.id}/edit"))
        return self.forms[key] | {NAMES.get(row.entity, "name"): [self.word()]}

    def new_form(self, row):
        """What the form of a new record sends, for a place."""
        if row.entity not in self.forms:
            base = self._base(row.entity)
            self.forms[row.entity] = _sent(self.clients[EVERYTHING].get(f"{base}/new").form(f"{base}/new"))
        values = {name: said[0] for name, said in self.forms[row.entity].items()} | {
            NAMES.get(row.entity, "name"): self.word()
        }
        values |= {
            "percent": "4",
            "group_name": self.word(),
            "source": "ldap",
            "role": "sales",
            "is_another": "y",
        }
        if row.department is not None:
            values |= {"department_id": self.departments[row.department], "owner_id": self.person(row)}
        return values

    def _base(self, entity):
        view = next(
            one
            for one in VIEWS.values()
            if getattr(getattr(one, "model", None), "__tablename__", "") == entity and hasattr(one, "pick")
        )
        return view.route_base

    def say_password(self, who):
        """What is asked before anything that has to do with second factors is changed."""
        said = {"password": security.DEMO_PASSWORD, "csrf_token": self.tokens[who]}
        self.clients[who].browser.post("/second-factors/password", data=said)

    def called(self, row):
        """A record by its full name."""
        return row.more.get("called", row.word)

    def person(self, row, other="keeper"):
        """Who is meant by a place: oneself, or whoever is there (the keeper of its rows, or a guest without a role)."""
        place = row.more["place"] if row.more["place"] != "own" else "own department"
        return self.staff.get(row.owner) or self.staff[f"{other} {place}"]

    @contextmanager
    def system(self, why="the world", door="command"):
        with self.app.app_context(), access.system_session(why, door=door) as session:
            yield session

    def word(self):
        return next(self._words)

    def _tree(self):
        with self.system() as session:
            self.departments = {one.name: one.id for one in session.scalars(select(models.Department))}
            quay = models.Department(name=BELOW, parent_id=self.departments[HOME])
            session.add(quay)
            session.flush()
            self.departments[BELOW] = quay.id
            found = session.execute(
                select(models.Pipeline.kind, models.Stage.outcome, models.Stage.id)
                .join(models.Stage.pipeline)
                .order_by(models.Stage.position)
            )
            self.stages = defaultdict(list)
            for kind, outcome, key in found:
                self.stages[kind, outcome].append(key)

    def _people(self):
        """One for each role, all in one department; the firm's own role; several roles; none."""
        self.composed = {"desk": _grants_of(DESK)}
        everything = [
            roles.Grant(entity, verbs, roles.ALL)
            for entity, verbs in roles.VERBS.items()
            if entity != "own_account"
        ]
        tiny = [roles.Grant("company", ("see",), roles.DEPARTMENT)]
        self.held = {f"m.{name.replace(' ', '.')}": ((name, HOME),) for name in roles.ROLES}
        self.held |= {"m.desk": (("desk", HOME),), "m.several": SEVERAL, "m.nobody": ()}
        self.oracles = {name: Oracle(name, held, self.composed) for name, held in self.held.items()}
        with self.system() as session:
            made = (("desk", self.composed["desk"]), (EVERYTHING, everything), ("tiny", tiny), ("blank", []))
            for name, grants in made:
                session.add(models.ComposedRole(name=name, grants=[_plain(grant) for grant in grants]))
            session.flush()
            self.staff = {}
            people = {**self.held, EVERYTHING: ((EVERYTHING, HOME), ("admin", HOME))}
            homes = {
                f"{who} {place}": home for who in ("keeper", "guest") for place, home in OTHER_PLACES.items()
            }
            people |= {one: (("tiny", home),) if "keeper" in one else () for one, home in homes.items()}
            for username, held in people.items():
                home = homes.get(username, HOME)
                person = security.create_account(
                    session,
                    username=username,
                    first_name="M",
                    last_name=username,
                    email=f"{username.replace(' ', '.')}@foyer.example",
                    department_id=self.departments[home],
                    roles=[],
                )
                self.staff[username] = person.id
                for role, department in held:
                    place = {"owner_id": person.id, "department_id": self.departments[department]}
                    session.add(models.Membership(role=role, **place))
            outsider = factories.make(session, "staff", username="outsider")
            self.staff["outsider"] = outsider.id

    def _make_quick(self):
        """The password that everybody knows, hashed once."""
        with self.database.raw() as connection:
            (known,) = connection.execute("SELECT password FROM ab_user WHERE username = 'admin'").fetchone()
            connection.execute(
                "UPDATE ab_user SET password = ? WHERE username LIKE 'm.%' OR username = ?",
                (known, EVERYTHING),
            )

    # ---- rows

    def _rows_of(self, owner, department):
        whose = {"owner_id": self.staff[owner], "department_id": self.departments[department]}
        name = owner if owner in self.held else None
        known = {"owner": name or "somebody", "department": department}
        made, gone = [], []
        with self.system() as session:
            for entity in WORKED:
                for state in STATES.get(entity, ("",)):
                    word = self.word()
                    key = self._made(session, entity, state, whose, word).id
                    made.append(Row(key, entity, state=state, word=word, more={}, **known))
                    if state in ("", "customer", "open") and entity in (*SHARED, "activity"):
                        word = self.word()
                        key = self._made(session, entity, state, whose, word).id
                        gone.append(Row(key, entity, state=state, word=word, **known))
        with self.system("edited") as session:
            for row in made:
                if row.entity not in ("contact", "invoice"):
                    self._edited(session, row)
        contact = next(row for row in made if row.entity == "contact")
        with self.system("edited") as session:  # in a set of its own, to be undone
            self._edited(session, contact)
        with self.system("handed over", door="hand-over") as session:
            self._handed(session, contact)
        with self.system("deleted") as session:
            for row in gone:
                session.delete(session.get(ENTITIES[row.entity], row.id))
        with self.system() as session:
            for row in made:
                self._more(session, row)
                self.rows[row.entity].append(row)
            for entity in ("company", "contact"):
                self._pair(session, entity, whose, known)
            self._paid(session, made[-1], known)
            self._of_people(session, whose, known)
        for row in gone:
            self.rows[f"gone {row.entity}"].append(row)

    def _more(self, session, known):
        """What hangs on a row: a tag, a file, a share, lines, members."""
        entity, key, more = known.entity, known.id, known.more
        row = session.get(ENTITIES[entity], key)
        more["version"] = row.version
        if entity in ("company", "contact"):
            more["called"] = str(row)
        if entity == "deal":
            more["line"] = row.lines[0].id
        session.add(models.Tagging(tag_id=self._tag(session), entity=entity, record_id=key))
        if entity in attachments.TAKERS:
            kept = blobs.keep(self.files, BytesIO(b"text"), most=99)
            file = {"name": "a.txt", "media_type": "text/plain", "size": 4, "sha256": kept.sha256}
            more["paper"] = self._added(session, models.Attachment(entity=entity, record_id=key, **file))
        if entity in SHARED:
            to = {"to_staff_id": self.staff["outsider"], "reason": "known"}
            more["share"] = self._added(session, models.Share(entity=entity, record_id=key, **to))
        if entity == "campaign":
            contact = factories.make(session, "contact", department_id=self.departments["Finance"])
            member = models.CampaignMember(campaign_id=key, contact_id=contact.id)
            more["member"] = self._added(session, member)

    def _added(self, session, row):
        session.add(row)
        session.flush()
        return row.id

    def _made(self, session, entity, state, whose, word):
        values = {NAMES.get(entity, "name"): word, **whose}
        if entity == "company":
            values["kind"] = state
        elif entity == "deal":
            values |= {"stage_id": self.stages["deal", state][0], "amount": Decimal(10), "opened_on": TODAY}
            if state == "won":
                buyer = factories.make(session, "company", kind="customer", **whose)
                values |= {"closed_on": TODAY, "company_id": buyer.id}
        elif entity == "ticket":
            values |= {"stage_id": self.stages["ticket", state][0]}
            values |= {"solved_at": NOW} if state == "solved" else {}
        elif entity == "activity":
            values |= {"kind": "task"}
        elif entity == "contact":
            values["first_name"] = "Zoe"
        elif entity == "invoice":
            company = self._anchor(session)
            values |= {"company_id": company.id, "net": Decimal(10), "tax": Decimal(0), "gross": Decimal(10)}
        row = factories.make(session, entity, **values)
        if entity == "deal":
            line = factories.make(session, "deal_line", deal=row, unit_price=Decimal(10), quantity=1)
            row.amount = line.net = Decimal(10)
        if entity == "invoice":
            line = models.InvoiceLine(
                invoice_id=row.id, description="Thing", quantity=1, unit_price=10, net=10
            )
            session.add(line)
            session.flush()
            if state == "issued":
                row.number, row.issued_on, row.due_on = f"OLD-{row.id}", TODAY, TODAY
                row.seller_name, row.issued_by_id = "Foyer", whose["owner_id"]
        session.flush()
        return row

    def _anchor(self, session):
        found = session.scalar(select(models.Company).where(models.Company.name == "Anchor"))
        where = {"department_id": self.departments["Finance"]}
        return found or factories.make(session, "company", name="Anchor", kind="customer", **where)

    def _tag(self, session):
        found = session.scalar(select(models.Tag.id).where(models.Tag.name == "Known"))
        return found or factories.make(session, "tag", name="Known").id

    def _edited(self, session, known):
        """An edit that can be set back, and undone: its change and its change set."""
        columns = ENTITIES[known.entity].__table__.c
        column = next(name for name in ("notes", "body", "goal") if name in columns)
        setattr(session.get(ENTITIES[known.entity], known.id), column, "as it was edited")
        session.flush()
        known.more.update(_last_change(session, known.entity, known.id), column=column)

    def _handed(self, session, known):
        """A change set as a hand-over leaves it; afterwards the row is its owner's again."""
        row = session.get(ENTITIES[known.entity], known.id)
        owner, row.owner_id = row.owner_id, self.staff["outsider"]
        session.flush()
        row.owner_id = owner
        session.flush()
        known.more["handed"] = session.info["change_set_id"]

    def _pair(self, session, entity, whose, known):
        """Two of them that look alike, and two of which somebody said that they are not the same."""
        states = {"kind": "customer"} if entity == "company" else {}
        name = NAMES.get(entity, "name")
        for what, state in (("pair", "open"), ("dismissed", "dismissed")):
            one, other = (
                factories.make(session, entity, **{name: self.word()}, **whose, **states) for _ in "12"
            )
            pair = {"entity": entity, "one_id": one.id, "other_id": other.id, "state": state}
            key = self._added(session, models.DuplicatePair(score=90, found_at=NOW, **pair))
            more = {"pair": key, "ids": (one.id, other.id), "versions": (one.version, other.version)}
            row = Row(key, entity, state=states.get("kind", ""), more=more, **known)
            self.rows[f"{what} {entity}"].append(row)

    def _paid(self, session, whole, known):
        word = self.word()
        payment = models.Payment(invoice_id=whole.id, paid_on=TODAY, amount=1, reference=word)
        key = self._added(session, payment)
        self.rows["payment"].append(Row(key, "payment", word=word, more={"whole": whole}, **known))

    def _of_people(self, session, whose, known):
        """What tells of people: jobs, what was asked for, roles held, deputies, fields of departments."""
        more = {"title": "a file", "created_at": NOW, **whose}
        params = {
            "entity": "company",
            "name": "a.csv",
            "mapping": {"columns": {"name": "name"}},
            "known": False,
        }
        draft = models.Job(kind="import", state="draft", params=params, **more)
        done = models.Job(kind="import", state="done", params=params, result={"counts": {}}, **more)
        session.add_all([draft, done])
        session.flush()
        content = {"media_type": "text/csv", "sha256": "0", "size": 6, "content": b"name\nx\n"}
        session.add(models.JobFile(job_id=draft.id, name="a.csv", role="upload", **content))
        refused = models.JobFile(job_id=done.id, name="r.csv", role="refused", **content)
        session.add(refused)
        approval = models.Approval(entity="company", question="/companies/export", rows=9, **whose)
        deputy = models.Deputy(
            owner_id=whose["owner_id"],
            department_id=whose["department_id"],
            deputy_id=self.staff["outsider"],
            starts_on=date(2027, 1, 1),
            ends_on=date(2027, 1, 2),
        )
        session.add_all([approval, deputy])
        found = session.scalars(select(models.Membership).filter_by(role="tiny", **whose)).first()
        held = models.Membership(role="blank", **whose)  # gives those who are tried nothing
        if found is None:
            session.add(held)
        session.flush()
        keys = {
            "job draft": draft.id,
            "job done": done.id,
            "approval": approval.id,
            "deputy": deputy.id,
            "membership": (found or held).id,
        }
        file_id = refused.id
        for what, key in keys.items():
            more = {"file": file_id, "role": "tiny" if found else "blank"}
            self.rows[what].append(Row(key, what.split()[0], more=more, **known))

    def _small_tables(self):
        """Rows of the tables that nobody owns; one of each to which nothing else points."""
        with self.system() as session:
            product = factories.make(session, "product", name=self.word())
            pipeline = models.Pipeline(name=self.word(), kind="deal", position=9)
            session.add(pipeline)
            session.flush()
            stage = models.Stage(pipeline_id=pipeline.id, name=self.word(), position=9, outcome="open")
            second = models.Pipeline(name=self.word(), kind="deal", position=10)
            rate = models.TaxRate(name=self.word(), percent=Decimal(3))
            tag = models.Tag(name=self.word())
            role = models.ComposedRole(
                name=self.word(), grants=[_plain(roles.Grant("company", ("see",), "all"))]
            )
            department = models.Department(name=self.word())
            mapping = models.GroupMapping(source="ldap", group_name=self.word(), role="sales", position=1)
            session.add_all([stage, second, rate, tag, role, department, mapping])
            for number, place in enumerate((HOME, BELOW, ELSEWHERE)):
                said = {"name": f"fax_{number}", "labels": {"en": f"Fax {number}"}}
                one = models.CustomField(
                    entity="company", kind="text", department_ids=[self.departments[place]], **said
                )
                session.add(one)
                session.flush()
                row = Row(one.id, "custom_field", department=place, more={"version": one.version})
                self.rows["field"].append(row)
            found = (product, second, stage, rate, tag, role, department, mapping)
            contact = factories.make(session, "contact", department_id=self.departments[HOME])
            self.contact = contact.id
            session.flush()
            keys = [(row.__tablename__, row.id, row.version, str(row)) for row in found]
            person = session.get(models.Staff, self.staff["keeper below"])
            keys.append(("staff", person.id, person.version, person.name))
        for entity, key, version, word in keys:
            more = {"version": version}
            if entity != "role":
                column = {"group_mapping": "group_name", "staff": "job_title"}.get(entity, "name")
                more |= self._renamed(entity, key, column) | {"column": column}
            name = self._name(entity, key)
            self.rows[entity].append(Row(key, entity, word=name or word, more=more))
        with self.system() as session:
            self.known_tag = self._tag(session)

    def _renamed(self, entity, key, column):
        with self.system("renamed") as session:
            row = session.get(ENTITIES[entity], key)
            setattr(row, column, self.word())
            session.flush()
            return {**_last_change(session, entity, key), "version": row.version}

    def _name(self, entity, key):
        with self.system() as session:
            return str(session.get(ENTITIES[entity], key))

    def _sessions(self):
        """A second session, a key and an API key of everybody: one's own are at hand, anybody else's are not there."""
        with self.database.raw() as connection:
            for owner, key in self.staff.items():
                if owner not in (*self.held, EVERYTHING, "outsider"):
                    continue
                moment = "2036-01-01 00:00:00.000000"
                stamp = connection.execute(
                    "SELECT stamp FROM login_session WHERE user_id = ?", (key,)
                ).fetchone()
                session = connection.execute(
                    "INSERT INTO login_session (token_hash, user_id, kind, method, stamp, created_at, seen_at, address,"
                    " device) VALUES (?, ?, 'browser', 'password', ?, ?, ?, '', '')",
                    (f"hash {owner}", key, stamp[0] if stamp else "", moment, moment),
                ).lastrowid
                api = connection.execute(
                    "INSERT INTO api_key (user_id, name, prefix, key_hash, roles, per_minute, expires_on, created_at,"
                    " window, taken) VALUES (?, 'k', ?, 'h', '[]', 60, '2036-01-01', ?, 0, 0)",
                    (key, f"p{key}", moment),
                ).lastrowid
                security_key = connection.execute(
                    "INSERT INTO security_key (user_id, name, credential_id, public_key, sign_count, created_at)"
                    " VALUES (?, 'k', ?, 'p', 0, ?)",
                    (key, f"c{key}", moment),
                ).lastrowid
                # Seen only just: or each request would say anew that the session is in use.
                connection.execute("UPDATE login_session SET seen_at = ? WHERE user_id = ?", (moment, key))
                told = connection.execute(
                    "INSERT INTO notification (user_id, kind, at, entity, rows) VALUES (?, 'due', ?, 'activity', 1)",
                    (key, moment),
                ).lastrowid
                known = {"owner": owner, "department": ELSEWHERE if owner == "outsider" else HOME}
                view = connection.execute(
                    "INSERT INTO saved_view (user_id, entity, name, reach, query, is_pinned, created_at)"
                    " VALUES (?, 'staff', 'v', 'mine', '', 0, ?)",
                    (key, moment),
                ).lastrowid
                self.rows["saved view"].append(Row(view, "saved view", **known))
                self.rows["notification"].append(Row(told, "notification", **known))
                for what, number in (("session", session), ("api key", api), ("security key", security_key)):
                    self.rows[what].append(Row(number, what, **known))

    # ---- before and after

    def _keep(self):
        """The world as it stands, to be put back after each deed."""
        self._kept, self._live = sqlite3.connect(":memory:"), self._open()
        self._live.backup(self._kept)
        self._names = [name for name in sorted(ENTITIES) if name not in UNWATCHED]
        self._stood, self._sum = self._data_version(), None
        self._sum = self.checksum()

    def _open(self):
        return sqlite3.connect(self.database.url.removeprefix("sqlite:///"), isolation_level=None)

    def _data_version(self):
        return self._live.execute("PRAGMA data_version").fetchone()[0]

    def checksum(self):
        """What stands in all business tables, and of how people sign in."""
        tables = (
            *self._names,
            "ab_user",
            "account",
            "api_key",
            "security_key",
            "second_factor",
            "login_session",
        )
        return [
            self._live.execute(f'SELECT * FROM "{name}" ORDER BY 1').fetchall()
            for name in tables
            if name in self._there()
        ]

    def _there(self):
        if not hasattr(self, "_tables"):
            self._tables = {
                name for (name,) in self._live.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            }
        return self._tables

    def is_changed(self):
        """Whether the last request stored anything; if it did, it is taken back."""
        if self._data_version() == self._stood:
            return False
        found = self.checksum() != self._sum
        self._kept.backup(self._live)
        security._KNOWN.clear()
        self._stood = self._data_version()
        return found


def _last_change(session, entity, key):
    this = (models.Change.entity == entity, models.Change.record_id == key, models.Change.action == "edit")
    change = session.scalars(select(models.Change).where(*this).order_by(models.Change.id.desc())).first()
    return {"change": change.id, "set": change.change_set_id}


def _sent(form):
    found = {}
    for name, value in form.fields:
        if name != "csrf_token":
            found.setdefault(name, []).append(value)
    return found


# What being asked writes by itself.
UNWATCHED = {"read_entry"}


def _grants_of(said):
    return [
        roles.Grant(entity, tuple(verbs.split()), reach)
        for entity, reaches in said.items()
        for reach, verbs in reaches.items()
    ]


def _plain(grant):
    return {"entity": grant.entity, "verbs": list(grant.verbs), "reach": grant.reach}


# --------------------------------------------------------------------------------------------- what routes need


@dataclass(frozen=True)
class Entry:
    """What becomes of a row at an address, where the guard of the route alone does not tell."""

    sends: object = None  # (world, row, who) -> what goes into the request: data, json, query_string, headers
    rows: str | None = None  # what the number in the address counts; None: records of the guard's entity
    key: str | None = None  # … and which number of such a row; None: its own
    needs: tuple | None = None  # the verbs that must reach the row; None: the guard's
    doors: tuple = ()  # (verb, entity) that must be held at all, beyond the guard's
    states: tuple = ()  # in which the deed can be done; in others a rule stops it
    refused: tuple = (
        403,
    )  # how it is said that a row is seen but not his to do this to; None: nothing is stored
    absent: tuple = (404,)  # how it is said that there is no such row, or none that he sees
    done: tuple = (200, 201, 302)
    stores: bool | None = True  # whether an allowed request stores something; None: as it comes
    expects: object = None  # (oracle, row, kind) -> the expected answer, where none of this says it
    places: bool = False  # no number in the address: the row is a new one, of the kind of place in question
    listed: str | None = None  # no number: rows are shown; the verb that lets a row be among them


def _version(world, row, who):
    return {"data": {"version": row.more["version"]}}


def _form(world, row, who):
    """What the form of the record sends, as it stands."""
    return {"data": world.form_of(row)}


def _new(world, row, who):
    return {"data": world.new_form(row)}


def _bulk(deed, **values):
    def sends(world, row, who):
        name = NAMES.get(row.entity, "name")
        said = {
            "edit": {"deed": "edit", "set": [name], name: world.word()},
            "tag": {"deed": "tag", "tag_ids": world.rows["tag"][0].id},
            "share": {"to": f"staff-{world.staff['keeper below']}", "may": "see", "reason": "a reason"},
            "delete": {},
        }[deed]
        if deed == "edit" and row.entity == "invoice":
            said |= {"set": ["owner_id"], "owner_id": world.staff["outsider"]}
        return {"data": {"selection": f"ids:{row.id}", "confirm": "y", "expected": "1", **said}}

    return Entry(sends, rows="", refused=(422,), absent=(409,), **values)


def _stage(outcome):
    def sends(world, row, who):
        key = world.stages[row.entity, outcome][-1]
        return {"data": {"stage_id": key, "version": row.more["version"], "lost_reason": "too dear"}}

    return sends


def _says(**data):
    return lambda world, row, who: {"data": {**data, "version": row.more.get("version", "") if row else ""}}


def _surely(**data):
    """The same, after the password was said again."""

    def sends(world, row, who):
        if who is not None:
            world.say_password(who)
        return {"data": data}

    return sends


def _body(world, row, who):
    name = NAMES.get(row.entity, "name")
    return {"json": {name: world.word(), "version": row.more["version"]}}


def _one_name(world, row, who):
    return {"data": {NAMES.get(row.entity, "name"): world.word(), "version": row.more.get("version", "")}}


def _etag(world, row, who):
    return {"headers": {"If-Match": str(row.more["version"])}}


def _new_body(world, row, who):
    name, keys = NAMES.get(row.entity, "name"), ("owner_id", "department_id")
    whose = {key: int(value) for key, value in world.new_form(row).items() if key in keys}
    return {"json": {name: world.word(), **whose}}


def _merged(world, row, who):
    one, other = row.more["ids"]
    versions = dict(zip((f"version.{one}", f"version.{other}"), row.more["versions"], strict=True))
    return {"data": {"entity": row.entity, "ids": f"{one},{other}", "keep": one, **versions}}


def _to_merge(world, row, who):
    return {"query_string": {"entity": row.entity, "ids": ",".join(map(str, row.more["ids"]))}}


def _file(world, row, who):
    return {"data": {"entity": "contact", "file": (BytesIO(b"last_name\nx\n"), "a.csv")}}


def _password(world, row, who):
    return {
        "data": {
            "current": security.DEMO_PASSWORD,
            "password": "three calm otters",
            "again": "three calm otters",
        }
    }


def _drafted(oracle, row, kind):
    """An invoice is drafted where the deal is seen, won, and the invoice may be added to its department."""
    if not oracle.may("add", "invoice"):
        return REFUSED
    if kind == "none" or not oracle.reaches("see", row) or row.state != "won":
        return STOPPED
    buyer = Row(0, "company", owner=row.owner, department=row.department, state="customer")
    if not oracle.reaches("see", buyer):
        return STOPPED
    invoice = Row(0, "invoice", owner=row.owner, department=row.department)
    return ALLOWED if oracle.reaches("add", invoice) else REFUSED


def _asked_for(oracle, row, kind):
    """Whom one sees, one need not ask for; of whom one does not see, the sealed line lets one ask."""
    if not oracle.may("add", row.entity if row else "company"):
        return REFUSED
    return STOPPED if kind == "none" or oracle.reaches("see", row) else ALLOWED


def _why(oracle, row, kind):
    if not oracle.may("edit", "membership"):
        return REFUSED
    if kind == "none":
        return NOT_FOUND
    return ALLOWED if oracle.may("edit", "account") or oracle.reaches("see", row) else NOT_FOUND


def _arranged(verb):
    """Custom fields are there for those who arrange them: admins, and heads of the departments they are for."""

    def expects(oracle, row, kind):
        if not oracle.may(verb, "custom_field"):
            return REFUSED
        return ALLOWED if kind != "none" and oracle.reaches("edit", row) else NOT_FOUND

    return expects


def _gives(oracle, row):
    """Whether he may let somebody hold “tiny” there: he sees the companies of the department, without a condition."""
    if oracle.may("edit", "account") or row.more.get("role") == "blank":
        return True
    company = Row(0, "company", owner="nobody", department=row.department, state="prospect")
    return oracle.reaches("see", company)


def _ended(oracle, row, kind):
    if not oracle.may("delete", row.entity if row else "membership"):
        return REFUSED
    if kind == "none" or not oracle.reaches("see", row):
        return NOT_FOUND
    may = oracle.reaches("delete", row) and (row.entity == "deputy" or _gives(oracle, row))
    return ALLOWED if may else REFUSED


def _given(entity):
    """A role or a deputy is given within the departments that one arranges, and never more than one holds."""

    def expects(oracle, row, kind):
        if not oracle.may("add", entity):
            return REFUSED
        here = Row(0, entity, owner=row.owner, department=row.department)
        is_his = entity == "deputy" and kind == "own"  # who stands in for him gets what he holds himself
        return ALLOWED if oracle.reaches("add", here) and (is_his or _gives(oracle, row)) else STOPPED

    return expects


def _own(oracle, row, kind):
    return ALLOWED if kind == "own" else NOT_FOUND


def _only_own_session(oracle, row, kind):
    return ALLOWED if kind == "own" else STOPPED


def _approved(oracle, row, kind):
    """Nobody approves what he asked for himself: there are heads above, and each other, in this department."""
    if not oracle.may("edit", "approval"):
        return REFUSED
    if kind == "none" or not oracle.reaches("see", row):
        return NOT_FOUND
    if kind == "own":
        return STOPPED
    return ALLOWED if oracle.reaches("edit", row) else REFUSED


def _imports(oracle, row, kind):
    return ALLOWED if oracle.may("import", "contact") and _adds(oracle) else REFUSED


def _adds(oracle):
    return oracle.may("add", "contact") or oracle.may("edit", "contact")


def _bulk_page(oracle, row, kind):
    """The page of a deed is there for whoever may do it to any row; it counts those that he sees."""
    may = all(oracle.may(verb, row.entity) for verb in ("see", "bulk", "delete"))
    return ALLOWED if may else REFUSED


def _one_value(oracle, row, kind):
    """Whoever may edit the row changes one value of it, but of what changes by deeds, and where a look comes first."""
    entity = row.entity if row else None
    if kind == "none" or not oracle.reaches("see", row):
        return NOT_FOUND
    if not oracle.reaches("edit", row):
        return REFUSED
    if entity == "invoice":
        return STOPPED if row.state == "issued" else NOT_FOUND
    return NOT_FOUND if entity in ("staff", "department") else ALLOWED


def _never(oracle, row, kind):
    """Not done to rows of this kind, whoever asks."""
    return STOPPED


def _erased(oracle, row, kind):
    """What is gone cannot say whether he saw all that an activity spoke of: those are erased by who deleted them."""
    entity = row.entity if row else "company"
    if kind == "none" or not oracle.reaches("see", row) or not oracle.reaches("erase", row):
        return NOT_FOUND
    return NOT_FOUND if entity == "activity" else ALLOWED


STOPPED, SIGN_IN = "stopped by a rule", "asked to sign in"
# Whether it stores anything, and how it is answered, depends on what stands there already.
AS_IT_COMES = {"stores": None, "done": (200, 302, 422)}
OPEN = ("open", "prospect", "customer", "draft", "")

# Route (a star: of every view that has it), method -> entry.
ENTRIES = {
    # records: forms and what stands on a sheet
    ("*.new", "POST"): Entry(_new, places=True, refused=(422,), needs=("add",)),
    ("*.edit", "POST"): Entry(_form),
    ("*.delete", "POST"): Entry(_version),
    ("*.restore", "POST"): Entry(
        lambda world, row, who: {
            "data": {
                "change": row.more.get("change", ""),
                "column": row.more.get("column", ""),
                **_version(world, row, who)["data"],
            }
        }
    ),
    ("*.set_tag", "POST"): Entry(lambda world, row, who: {"data": {"tag": world.rows["tag"][0].word}}),
    ("*.take_tag_off", "POST"): Entry(_says()),
    ("*.value", "GET"): Entry(states=(*OPEN, "won", "solved"), expects=_one_value),
    ("*.value", "POST"): Entry(_one_name, expects=_one_value),
    ("*.stage", "POST"): Entry(_stage("solved"), needs=("edit", "solve"), states=("open", "solved")),
    ("*.attach", "POST"): Entry(
        lambda world, row, who: {"data": {"file": (BytesIO(b"other words"), "b.txt")}}
    ),
    ("*.download", "GET"): Entry(),
    ("*.search_related", "GET"): Entry(doors=(("see", "deal"),), refused=(404,)),
    ("*.take_file_off", "POST"): Entry(_says()),
    ("*.share", "POST"): Entry(
        lambda world, row, who: {
            "data": {"to": f"staff-{world.staff['keeper below']}", "may": "see", "reason": "a reason"}
        }
    ),
    ("*.end_share", "POST"): Entry(_says()),
    ("*.erase", "GET"): Entry(rows="gone", expects=_erased),
    ("*.erase", "POST"): Entry(_says(), rows="gone", expects=_erased),
    ("*.ask_for_it", "POST"): Entry(
        lambda world, row, who: {"data": {"meant_name": world.called(row), "sealed_reason": "a reason"}},
        rows="pick",
        expects=_asked_for,
        absent=(422,),
        stores=True,
    ),
    # records: lists
    ("*.list", "GET"): Entry(lambda world, row, who: {"query_string": {"size": 200}}, listed="see"),
    ("*.pick", "GET"): Entry(
        lambda world, row, who: {"query_string": {"q": row.word}}, rows="pick", listed="see"
    ),
    ("PaymentView.pick", "GET"): Entry(),  # no words of theirs are kept to be searched
    ("*.export", "GET"): Entry(
        lambda world, row, who: {"query_string": {"columns": "all", "ids": row.id}},
        rows="pick",
        listed="export",
    ),
    ("*.board", "GET"): Entry(
        lambda world, row, who: {
            "query_string": {
                f"cards-{key}": 500
                for one, keys in world.stages.items()
                for key in keys
                if one[0] == row.entity
            }
        },
        rows="pick",
        listed="see",
    ),
    ("*.bulk", "GET"): Entry(
        lambda world, row, who: {"query_string": {"deed": "delete", "id": row.id}},
        rows="pick",
        expects=_bulk_page,
    ),
    ("*.bulk_edit", "POST"): _bulk("edit", states=(*OPEN, "won", "solved")),
    ("*.bulk_tags", "POST"): _bulk("tag"),
    ("ProductView.bulk_tags", "POST"): _bulk("tag", expects=_never),
    ("*.bulk_share", "POST"): _bulk("share"),
    ("*.bulk_delete", "POST"): _bulk("delete"),
    ("InvoiceView.bulk_delete", "POST"): _bulk("delete", states=("draft",)),
    # deals, tickets, activities, campaigns
    ("DealView.add_line", "POST"): Entry(
        _says(description="a thing", quantity="1", unit_price="1"), states=("open",)
    ),
    ("DealView.remove_line", "POST"): Entry(_says(), states=("open",), absent=(404,)),
    ("DealView.move", "POST"): Entry(_stage("won"), needs=("edit", "win"), states=("open", "won")),
    ("DealView.stage", "POST"): Entry(_stage("won"), needs=("edit", "win"), states=("open", "won")),
    ("DealView.win", "POST"): Entry(_version, needs=("win", "edit"), states=("open",)),
    ("DealView.lose", "GET"): Entry(needs=("lose",)),
    ("DealView.lose", "POST"): Entry(_says(lost_reason="too dear"), needs=("lose", "edit"), states=("open",)),
    ("DealView.reopen", "POST"): Entry(_version, states=("won",)),
    ("TicketView.move", "POST"): Entry(_stage("solved"), needs=("edit", "solve"), states=("open", "solved")),
    ("TicketView.assign", "POST"): Entry(
        lambda world, row, who: {"data": {"owner_id": "", **_version(world, row, who)["data"]}}
    ),
    ("TicketView.reopen", "POST"): Entry(_version, needs=("solve", "edit"), states=("solved",)),
    ("TicketView.reply", "POST"): Entry(_says(kind="reply", body="an answer"), needs=("reply", "edit")),
    ("TicketView.solve", "POST"): Entry(_version, needs=("solve", "edit"), states=("open",)),
    ("ActivityView.done", "POST"): Entry(_says()),
    ("ActivityView.log", "POST"): Entry(_says(kind="note", body="a note")),
    ("CampaignView.add_member", "POST"): Entry(
        lambda world, row, who: {"data": {"contact_id": world.contact}}
    ),
    ("CampaignView.add_members", "POST"): Entry(
        lambda world, row, who: {"data": {"campaign_id": row.id, "selection": f"ids:{world.contact}"}},
        rows="pick",
    ),
    ("CampaignView.mark", "POST"): Entry(_says(status="reached")),
    # invoices
    ("InvoiceView.draft", "POST"): Entry(
        lambda world, row, who: {"data": {"deal_id": row.id}}, rows="deal", expects=_drafted, absent=(422,)
    ),
    ("InvoiceView.issue", "POST"): Entry(_version, needs=("issue", "edit"), states=("draft",)),
    ("InvoiceView.discard", "POST"): Entry(_version, states=("draft",)),
    ("InvoiceView.pay", "POST"): Entry(
        _says(amount="1", paid_on="2026-03-05", method="transfer"), needs=("pay", "edit"), states=("issued",)
    ),
    ("InvoiceView.pdf", "GET"): Entry(states=("issued",)),
    ("InvoiceView.fields", "GET"): Entry(states=("draft",)),
    ("InvoiceView.fields", "POST"): Entry(_version, states=("draft",), stores=None),
    # duplicates
    ("DuplicateView.dismiss", "POST"): Entry(
        lambda world, row, who: {"data": {"entity": row.entity}}, rows="pair", key="pair"
    ),
    ("DuplicateView.reopen", "POST"): Entry(
        lambda world, row, who: {"data": {"entity": row.entity}}, rows="dismissed", key="pair"
    ),
    ("DuplicateView.find", "POST"): Entry(_says(entity="contact")),
    ("DuplicateView.merge", "GET"): Entry(
        _to_merge, rows="pair", needs=(), doors=(("edit", None), ("delete", None)), refused=(404,)
    ),
    ("DuplicateView.merge", "POST"): Entry(
        _merged,
        rows="pair",
        needs=("merge", "edit", "delete"),
        doors=(("edit", None), ("delete", None)),
        refused=(422, 404),
    ),
    # the past
    ("ChangeView.show", "GET"): Entry(rows="contact", key="set", needs=()),
    ("ChangeView.undo", "GET"): Entry(rows="contact", key="set", needs=()),
    ("ChangeView.undo", "POST"): Entry(_says(), rows="contact", key="set", needs=("edit",), refused=None),
    ("HandOverView.sheet", "GET"): Entry(rows="contact", key="handed", needs=()),
    # work in the background
    ("JobView.list", "GET"): Entry(),
    ("JobView.beside", "GET"): Entry(rows="job draft"),
    ("SavedViewView.new", "GET"): Entry(lambda world, row, who: {"query_string": {"entity": "staff"}}),
    ("SavedViewView.new", "POST"): Entry(
        _says(entity="staff", name="v", query="", reach="mine"), stores=None, done=(302, 422)
    ),
    ("SavedViewView.change", "GET"): Entry(rows="saved view", expects=_own),
    ("SavedViewView.change", "POST"): Entry(
        _says(entity="staff", name="w", query="", reach="mine"),
        rows="saved view",
        expects=_own,
        stores=None,
        done=(302, 422),
    ),
    ("SavedViewView.delete", "POST"): Entry(_says(), rows="saved view", expects=_own, stores=None),
    ("JobView.show", "GET"): Entry(rows="job draft"),
    ("JobView.file", "GET"): Entry(rows="job done"),
    ("JobView.stop", "POST"): Entry(_says(), rows="job draft"),
    ("ImportView.index", "POST"): Entry(_file, expects=_imports),
    ("ImportView.columns", "GET"): Entry(rows="job draft"),
    ("ImportView.columns", "POST"): Entry(
        _says(header="name", field="name", mode="add"), rows="job draft", stores=None
    ),
    ("ImportView.plan", "GET"): Entry(rows="job draft", stores=None),
    ("ImportView.plan", "POST"): Entry(_says(), rows="job draft", stores=None),
    ("ImportView.start", "POST"): Entry(_says(), rows="job draft"),
    ("ImportView.discard", "POST"): Entry(_says(), rows="job draft"),
    ("ImportView.refused", "GET"): Entry(rows="job done"),
    # rights
    ("MembershipView.list", "GET"): Entry(),
    ("MembershipView.show", "GET"): Entry(rows="membership"),
    ("MembershipView.new", "POST"): Entry(
        lambda world, row, who: {
            "data": {
                "owner_id": world.person(row, "guest"),
                "department_id": world.departments[row.department],
                "role": "tiny",
            }
        },
        places=True,
        expects=_given("membership"),
        stores=False,
    ),
    ("MembershipView.end", "POST"): Entry(
        _says(), rows="membership", expects=_ended, refused=(403, 422), stores=False
    ),
    ("DeputyView.show", "GET"): Entry(rows="deputy"),
    ("DeputyView.new", "POST"): Entry(
        lambda world, row, who: {
            "data": {
                "owner_id": world.person(row),
                "deputy_id": world.staff["keeper own department" if row.owner in world.held else "m.nobody"],
                "starts_on": "2036-02-01",
                "ends_on": "2036-02-02",
            }
        },
        places=True,
        expects=_given("deputy"),
        stores=False,
    ),
    ("DeputyView.end", "POST"): Entry(
        _says(), rows="deputy", expects=_ended, refused=(403, 422), stores=False
    ),
    ("RoleView.list", "GET"): Entry(),
    ("RoleView.new", "POST"): Entry(
        lambda world, row, who: {"data": {"name": "another", "verbs-company": "see", "reach-company": "own"}},
        stores=False,
    ),
    ("RoleView.edit", "POST"): Entry(
        lambda world, row, who: {
            "data": {
                "name": row.word,
                "verbs-company": "see",
                "reach-company": "own",
                "version": row.more["version"],
            }
        },
        stores=False,
    ),
    ("RoleView.delete", "POST"): Entry(_version),
    ("WhyView.index", "GET"): Entry(
        lambda world, row, who: {"query_string": {"entity": "company", "id": row.id}},
        rows="company",
        expects=_why,
    ),
    ("CustomFieldView.list", "GET"): Entry(),
    ("CustomFieldView.new", "POST"): Entry(
        lambda world, row, who: {
            "data": {
                "entity": "company",
                "kind": "text",
                "label_en": "Telex",
                "target": "",
                "department_ids": world.departments[row.department],
            }
        },
        places=True,
        refused=(422,),
        needs=("add",),
    ),
    ("CustomFieldView.edit", "GET"): Entry(rows="field", expects=_arranged("edit")),
    ("CustomFieldView.edit", "POST"): Entry(
        lambda world, row, who: {
            "data": {
                "entity": "company",
                "kind": "text",
                "label_en": "Telex",
                "target": "",
                "is_active": "y",
                "department_ids": world.departments[row.department],
                "version": row.more["version"],
            }
        },
        rows="field",
        expects=_arranged("edit"),
    ),
    ("CustomFieldView.delete", "POST"): Entry(_version, rows="field", expects=_arranged("delete")),
    # accounts
    ("StaffView.new", "POST"): Entry(
        lambda world, row, who: {
            "data": {
                "name": "New One",
                "username": "new.one",
                "email": "new@foyer.example",
                "is_open": "y",
                "department_id": world.departments[HOME],
                "language": "en",
            }
        }
    ),
    ("StaffView.hand_over", "GET"): Entry(rows="staff"),
    ("StaffView.hand_over", "POST"): Entry(_says(), rows="staff", **AS_IT_COMES),
    ("AccountView.show", "GET"): Entry(rows="staff", needs=()),
    ("AccountView.end_sessions", "POST"): Entry(_says(), rows="staff", needs=(), stores=None),
    ("AccountView.ask_for_password", "POST"): Entry(_says(), rows="staff", needs=()),
    ("SignInsView.require", "POST"): Entry(_says(roles="sales")),
    ("SignInsView.reset", "POST"): Entry(_says(), rows="staff", needs=(), stores=None),
    ("SignInsView.end_key", "POST"): Entry(
        _says(),
        rows="api key",
        needs=(),
        expects=lambda oracle, row, kind: (
            REFUSED if not oracle.may("edit", "account") else NOT_FOUND if kind == "none" else ALLOWED
        ),
    ),
    ("OwnAccountView.end_session", "POST"): Entry(
        _says(), rows="session", expects=_only_own_session, done=(302,)
    ),
    ("OwnAccountView.end_others", "POST"): Entry(_says()),
    ("OwnAccountView.password", "POST"): Entry(_password),
    ("OwnAccountView.preferences", "POST"): Entry(
        _says(language="en", theme="dark", density="compact"), stores=None, done=(302, 422)
    ),
    ("NotificationView.open", "POST"): Entry(_says(), rows="notification", expects=_own, stores=None),
    ("NotificationView.read", "POST"): Entry(_says(), stores=None),
    ("SecondFactorView.add_key", "POST"): Entry(_says(), **AS_IT_COMES),
    ("SecondFactorView.begin", "POST"): Entry(_says(), **AS_IT_COMES),
    ("SecondFactorView.codes", "POST"): Entry(_says(), **AS_IT_COMES),
    ("SecondFactorView.confirm", "POST"): Entry(_says(code="1"), **AS_IT_COMES),
    ("SecondFactorView.off", "POST"): Entry(_says(), **AS_IT_COMES),
    ("SecondFactorView.password", "POST"): Entry(_says(password=security.DEMO_PASSWORD), stores=None),
    ("SecondFactorView.name_key", "POST"): Entry(_surely(name="mine"), rows="security key", expects=_own),
    ("SecondFactorView.remove_key", "POST"): Entry(_surely(), rows="security key", expects=_own),
    ("ApiKeyView.new", "POST"): Entry(_says(name="k"), **AS_IT_COMES),
    ("ApiKeyView.password", "POST"): Entry(_says(password=security.DEMO_PASSWORD), stores=None),
    ("ApiKeyView.end", "POST"): Entry(_says(), rows="api key", expects=_own),
    # what leaves the house
    ("ApprovalView.ask", "POST"): Entry(_says(asked=""), done=(400,), stores=False),
    ("ApprovalView.grant", "POST"): Entry(_says(), rows="approval", expects=_approved),
    ("ApprovalView.refuse", "POST"): Entry(_says(answer="no"), rows="approval", expects=_approved),
    ("ReadView.find", "POST"): Entry(_says(trace="x"), stores=False),
    # the API
    ("*Api.list", "GET"): Entry(lambda world, row, who: {"query_string": {"size": 200}}, listed="see"),
    ("*Api.post", "POST"): Entry(_new_body, places=True, refused=(422,), needs=("add",)),
    ("*Api.put", "PUT"): Entry(_body),
    ("*Api.put", "PATCH"): Entry(_body),
    ("*Api.delete", "DELETE"): Entry(_etag),
}


def entry_for(endpoint, method):
    """The entry of a route: its own, or that of its kind; None: there is none."""
    view, _, name = endpoint.partition(".")
    kinds = [endpoint, f"*Api.{name}"] if view.endswith("Api") else [endpoint, f"*.{name}"]
    return next((ENTRIES[one, method] for one in kinds if (one, method) in ENTRIES), None)


# --------------------------------------------------------------------------------------------- the cells

PAIRS = ("pair", "dismissed")
MUTATING = ("POST", "PUT", "PATCH", "DELETE")


@dataclass
class Outcome:
    """What was asked and answered; `faults` is everything that was not as expected."""

    routes: int = 0
    people: int = 0
    cells: int = 0
    requests: int = 0
    stored: int = 0
    expected: Counter = field(default_factory=Counter)
    by_kind: Counter = field(default_factory=Counter)
    by_person: dict = field(default_factory=lambda: defaultdict(Counter))
    seconds: float = 0.0
    faults: list = field(default_factory=list)


def routes_of(app):
    """(rule, method, verbs of its guard or None where it stands open) of every address."""
    found = []
    for rule in app.url_map.iter_rules():
        guard = getattr(app.view_functions[rule.endpoint], "verbs", None)
        found += [(rule, method, guard) for method in sorted(rule.methods - {"HEAD", "OPTIONS"})]
    return found


def missing_entries(app):
    """Routes of which the matrix does not know what is to be expected."""
    faults = []
    for rule, method, guard in routes_of(app):
        name = f"{method} {rule.rule} ({rule.endpoint})"
        if guard is None:
            if rule.endpoint not in OPEN_ROUTES:
                faults.append(f"{name} has no guard")
            continue
        entry = entry_for(rule.endpoint, method)
        if entry is None and method in MUTATING:
            faults.append(f"{name} has no entry")
        elif (
            entry is None
            and rule.arguments
            and (rule.arguments != {"pk"} or _entity_of(rule) not in WITH_ROWS)
        ):
            faults.append(f"{name} has no entry that says what its number counts")
    return faults


def _entity_of(rule):
    view = VIEWS[rule.endpoint.split(".")[0]]
    view = getattr(view, "record_view", view)
    model = getattr(view, "model", None)
    return view.entity or (model.__tablename__ if model is not None else None)


WITH_ROWS = (*WORKED, "payment", "product", "pipeline", "stage", "tax_rate", "tag", "role", "department")
WITH_ROWS += ("group_mapping", "custom_field", "staff")


class Matrix:
    """All cells, one after the other."""

    def __init__(self, app, database):
        self.app, self.world = app, World(app, database)
        self.outcome = Outcome(people=len(self.world.clients) - 1)

    def walk(self, every=1, only=""):
        """Ask at every address; of all cells every n-th is asked, the others are only counted."""
        self.every, self.turn = every, 0
        routes = [
            one for one in routes_of(self.app) if re.search(only, f"{one[1]} {one[0].endpoint} {one[0].rule}")
        ]
        self.outcome.routes = len(routes)
        for rule, method, guard in routes:
            if guard is None:
                continue  # open by intention: `missing_entries` has seen that they are
            for who in (None, *self.world.held):
                self._cells(rule, method, guard, who)
        return self.outcome

    def _cells(self, rule, method, guard, who):
        entry = entry_for(rule.endpoint, method) or Entry(stores=False)
        entity = _entity_of(rule)
        asked = SimpleNamespace(rule=rule, method=method, guard=guard, who=who, entry=entry, entity=entity)
        cells = list(self._kinds(asked))
        told = Counter(kind for kind, _ in cells)
        self._count(NO_MATTER, len([kind for kind in KINDS if not told[kind]]))
        if who is None:
            cells = cells[:1]
        shown = {}
        for kind, row in cells:
            self._count(None, 1, kind)
            self.turn += 1
            if self.turn % self.every:
                continue
            expected = self._expected(asked, kind, row)
            self.outcome.expected[expected] += 1
            if entry.listed and who is not None:
                self._listed(asked, kind, row, expected, shown)
            else:
                self._ask(asked, kind, row, expected)

    def _count(self, expected, number, kind=None):
        self.outcome.cells += number
        if expected:
            self.outcome.expected[expected] += number
        if kind:
            self.outcome.by_kind[kind] += number

    def _kinds(self, asked):
        """(kind, row) of each cell of a route for a person."""
        entry = asked.entry
        if entry.places:
            has_places = asked.entity in (*WORKED, "membership", "deputy", "custom_field")
            for kind, department in PLACES.items() if has_places else ():
                owner = asked.who if kind == "own" else "somebody"
                yield kind, Row(0, asked.entity, owner=owner, department=department, more={"place": kind})
            if not has_places:
                yield "another department", Row(0, asked.entity)
            return
        if "pk" not in asked.rule.arguments and entry.rows is None and not entry.listed:
            yield "none", None
            return
        for row in self._rows(asked):
            kind = _kind_of(row, asked.who)
            if kind is not None:
                yield kind, row
        if not entry.listed and entry.rows != "pick":
            yield "none", None

    def _rows(self, asked):
        what = asked.entry.rows
        if what in (None, "", "pick"):
            return self.world.rows[asked.entity]
        if what in PAIRS:
            return [*self.world.rows[f"{what} contact"], *self.world.rows[f"{what} company"]]
        return self.world.rows[f"gone {asked.entity}" if what == "gone" else what]

    # ---- what is expected

    def _expected(self, asked, kind, row):
        if asked.who is None:
            return SIGN_IN
        oracle, entry = self.world.oracles[asked.who], asked.entry
        entity = row.entity if row is not None and entry.rows in PAIRS else asked.entity
        guarded = all(verb is None or oracle.may(verb, entity) for verb in asked.guard)
        doors = all(oracle.may(verb, of or entity) for verb, of in entry.doors)
        if not guarded:
            return REFUSED
        if entry.expects:
            return entry.expects(oracle, row, kind)
        if not doors:
            return NOT_FOUND if 404 in entry.refused else REFUSED
        if row is None:
            return (
                NOT_FOUND
                if kind == "none" and ("pk" in asked.rule.arguments or entry.rows is not None)
                else ALLOWED
            )
        if entry.places:
            return ALLOWED if all(oracle.reaches(verb, row) for verb in entry.needs) else REFUSED
        if not oracle.reaches("see", row):
            return NOT_FOUND
        if entry.listed:
            return ALLOWED if oracle.reaches(entry.listed, row) else NOT_FOUND
        needs = entry.needs if entry.needs is not None else [verb for verb in asked.guard if verb]
        is_in_order = not entry.states or row.state in entry.states
        if not all(oracle.reaches(verb, row) for verb in needs):
            # The guard's own verb is asked for first, then the rule speaks, and what it writes is asked for last.
            is_let_in = all(oracle.reaches(verb, row) for verb in asked.guard if verb)
            return STOPPED if is_let_in and not is_in_order else REFUSED
        return ALLOWED if is_in_order else STOPPED

    # ---- what is answered

    def _ask(self, asked, kind, row, expected):
        entry, client = asked.entry, self.world.clients[asked.who]
        status, location, _ = self._request(asked, row)
        stored = self.world.is_changed()
        if stored:
            self.outcome.stored += 1
        if asked.method in MUTATING or stored:
            client.browser._cookies.clear()
            client.browser._cookies.update(self.world.cookies[asked.who])
        got = _read(entry, status, location, stored, asked.method in MUTATING)
        if not _agrees(entry, expected, got, status, stored):
            said = f"{status}{', stored' if stored else ''}: {got}"
            self._fault(asked, kind, row, expected, said)
        elif stored and expected != ALLOWED and expected is not SIGN_IN:
            self._fault(asked, kind, row, expected, f"{status}, but it was stored")

    def _listed(self, asked, kind, row, expected, shown):
        """Whether the row stands among those that a list shows; the list is asked for once."""
        key = row.id if asked.entry.rows == "pick" and not asked.rule.endpoint.endswith(".board") else None
        if key not in shown:
            status, _, text = self._request(asked, row)
            self.world.is_changed()
            shown[key] = status, text
        status, text = shown[key]
        if status == 403:
            got = REFUSED
        elif status != 200:
            got = f"an answer of {status}"
        else:
            got = ALLOWED if self._is_among(asked, row, text) else NOT_FOUND
        if got != expected:
            self._fault(asked, kind, row, expected, f"{status}: {got}")

    def _is_among(self, asked, row, text):
        if asked.rule.endpoint.endswith(".export"):
            return row.word in text
        if asked.rule.rule.startswith("/api/") or asked.rule.endpoint.endswith(".pick"):
            return re.search(rf'"id": ?{row.id}\b', text) is not None
        base = VIEWS[asked.rule.endpoint.split(".")[0]].route_base
        return re.search(rf'href="{base}/{row.id}[/"]', text) is not None

    def _request(self, asked, row):
        world, client = self.world, self.world.clients[asked.who]
        key = ABSENT
        if row is not None:
            key = row.more[asked.entry.key] if asked.entry.key else row.id
        values = {
            "pk": key,
            "file_id": 1,
            "line_pk": 1,
            "share_pk": 1,
            "member_pk": 1,
            "tag_pk": world.known_tag,
            "attachment_id": 1,
            "name": NAMES.get(asked.entity, "name"),
        }
        if asked.rule.endpoint.endswith(".search_related"):
            values["name"] = "deals"
        for name, part in (
            ("file_id", "file"),
            ("attachment_id", "paper"),
            ("line_pk", "line"),
            ("share_pk", "share"),
            ("member_pk", "member"),
        ):
            if row is not None and part in row.more:
                values[name] = row.more[part]
        path = re.sub(r"<(?:\w+:)?(\w+)>", lambda name: str(values[name[1]]), asked.rule.rule)
        like = row if row is not None else self._like(asked)
        said = asked.entry.sends(world, like, asked.who) if asked.entry.sends and like is not None else {}
        if (
            row is None
            and like is not None
            and asked.entry.rows is not None
            and "pk" not in asked.rule.arguments
        ):
            said = _of_none(said, like)
        if asked.method in MUTATING:
            said["headers"] = {**said.get("headers", {}), "X-CSRFToken": world.tokens[asked.who]}
        self.outcome.requests += 1
        response = client.browser.open(path, method=asked.method, **said)
        return (
            response.status_code,
            response.headers.get("Location", ""),
            response.data.decode("utf-8", "replace"),
        )

    def _like(self, asked):
        """For the row that is not there: what would be sent for one that is."""
        rows = self._rows(asked) if asked.entry.rows is not None or "pk" in asked.rule.arguments else ()
        return next(iter(rows), Row(0, asked.entity))

    def _fault(self, asked, kind, row, expected, got):
        state = f" ({row.state})" if row is not None and row.state else ""
        self.outcome.faults.append(
            f"{asked.who}: {asked.method} {asked.rule.rule} on {kind}{state}: {expected} expected, answered {got}"
        )


def _kind_of(row, who):
    if row.owner == who and who is not None:
        return "own"
    if row.owner not in (None, "somebody", "outsider"):
        return None  # somebody else's own one
    if row.department is None:
        return "another department"
    kind = next((kind for kind, place in PLACES.items() if place == row.department and kind != "own"), None)
    return kind or "another department"


def _of_none(said, like):
    """What is sent, with the number of a row that is not there."""
    swap = {str(like.id): str(ABSENT), f"ids:{like.id}": f"ids:{ABSENT}"}
    if "ids" in like.more:
        swap[",".join(map(str, like.more["ids"]))] = f"{ABSENT},{ABSENT - 1}"
    found = {}
    for part, values in said.items():
        found[part] = {name: swap.get(str(value), value) for name, value in values.items()}
    return found


def _read(entry, status, location, stored, is_mutating):
    if status == 401 or (status in (302, 303) and location.startswith("/login")):
        return SIGN_IN
    if status >= 500:
        return "a fault"
    if status in entry.done:
        return STOPPED if is_mutating and entry.stores and not stored else ALLOWED
    return {403: REFUSED, 404: NOT_FOUND}.get(status, STOPPED if status in (400, 409, 422) else f"{status}")


def _agrees(entry, expected, got, status, stored):
    if got == "a fault":
        return False
    if expected == REFUSED:
        return got == REFUSED or (entry.refused is None and not stored) or status in (entry.refused or ())
    if expected == NOT_FOUND:
        return status in entry.absent
    if expected == ALLOWED and entry.stores is False and stored:
        return False
    return got == expected


def table(outcome, version):
    """The outcome as one table that can be read in a report."""
    lines = [
        f"{outcome.routes} routes and methods × {outcome.people} people × {len(KINDS)} kinds of rows: "
        f"{outcome.cells:,} cells, {outcome.requests:,} requests, {len(outcome.faults)} unexpected",
        "expected: " + ", ".join(f"{number:,} {what}" for what, number in sorted(outcome.expected.items())),
        "cells by kind of row: " + ", ".join(f"{kind} {outcome.by_kind[kind]:,}" for kind in KINDS),
        f"stored and taken back: {outcome.stored:,}; {outcome.seconds:.0f} seconds",
        f"{version}, Python {platform.python_version()}, SQLAlchemy {sqlalchemy.__version__}",
        *outcome.faults[:200],
    ]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--every", type=int, default=1, help="ask in every n-th cell only")
    parser.add_argument("--only", default="", help="only routes whose method, endpoint or address hold this")
    args = parser.parse_args()
    folder = databases.start_run()
    try:
        outcome, version = prove(every=args.every, only=args.only)
    finally:
        databases.end_run(folder)
    print(table(outcome, version))
    return 1 if outcome.faults else 0


def prove(every=1, only=""):
    """Walk the matrix on a fresh database: what was found, and on which engine."""
    with databases.fresh_database("sqlite") as database, databases.app_on(database) as app:
        started = time.monotonic()
        missing = missing_entries(app)
        outcome = Matrix(app, database).walk(every, only)
        outcome.faults[:0] = missing
        outcome.seconds = time.monotonic() - started
    return outcome, f"SQLite {sqlite3.sqlite_version}"


if __name__ == "__main__":
    sys.exit(main())
