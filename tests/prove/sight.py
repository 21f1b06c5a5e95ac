"""Random questions under random rights: the session's answers and PostgreSQL's beside those of plain Python.

    python -m tests.prove.sight [--questions N] [--people N] [--seed N] [--way sqlite|postgresql|policies]

Random people hold random roles (the house's and composed ones: any reach, condition, hidden fields) in random
departments, stand in for each other, and are shared records. What each may see is worked out here anew, row by row,
from the plain rows of the tables that say so; nothing of `app/access.py` is asked. Three ways: SQLite, PostgreSQL, and
PostgreSQL's policies alone, the session's own conditions and its net taken off.
"""

import argparse
import os
import platform
import random
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta

import sqlalchemy
from sqlalchemy import event, exists, func, literal, select
from sqlalchemy.engine import Engine
from sqlalchemy.orm import aliased

from app import access, models, roles, security
from app.extensions import Session
from app.models import ENTITIES
from tests import databases
from tests.test_access import COLLECTIONS, KINDS_OF_ROWS, LINKS, MODELS, House, Oracle, _keys

WAYS = ("sqlite", "postgresql", "policies")
MAIN = ("company", "contact", "deal", "ticket", "campaign", "invoice", "activity")
PARENTS = {
    "deal_line": "deal",
    "ticket_message": "ticket",
    "campaign_member": "campaign",
    "invoice_line": "invoice",
    "payment": "invoice",
}
CONDITIONS = {"company": "customer", "deal": "won"}
SUBJECTS = ("company", "contact", "deal", "ticket")


@dataclass
class Outcome:
    """What was seen of one way."""

    way: str
    version: str = ""
    tried: int = 0
    refused: int = 0  # statements that name a hidden field, as they must be
    with_rows: int = 0
    people: int = 0
    grants: int = 0
    seconds: float = 0.0
    faults: list = field(default_factory=list)


def main():
    """Prove it at full size and print the table; returns 1 when an answer differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=10_000)
    parser.add_argument("--people", type=int, default=40)
    parser.add_argument("--seed", type=int, default=20260401)
    parser.add_argument("--way", choices=WAYS, action="append")
    args = parser.parse_args()
    run = databases.start_run()
    try:
        outcomes = [prove(way, args.questions, args.people, args.seed) for way in args.way or WAYS]
    finally:
        databases.end_run(run)
    print(table(outcomes, args.seed))
    return int(any(one.faults for one in outcomes))


def prove(way, questions, people, seed):
    """Ask that many random questions in one way."""
    engine = "sqlite" if way == "sqlite" else "postgresql"
    with (
        databases.fresh_database(engine, "house", is_behind_the_wall=True) as database,
        databases.app_on(database) as app,
    ):
        house = House(app, database)
        rights = Rights(house, people, seed)
        outcome = Outcome(way, people=people, grants=sum(len(one.grants) for one in rights.people))
        with house.system() as session:
            outcome.version = ".".join(map(str, session.connection().dialect.server_version_info[:2]))
        asker, began = Asker(house, rights, seed), time.monotonic()
        with policies_alone() if way == "policies" else everything():
            for number in range(questions):
                asker.ask(number, outcome, has_session_rules=way != "policies")
        outcome.seconds = time.monotonic() - began
    return outcome


@contextmanager
def policies_alone():
    """The session's own conditions and its net are off: what is kept back now, PostgreSQL keeps back."""
    rule, net = access._look_through_the_rule, access._refuse_what_nobody_covers
    event.remove(Session, "do_orm_execute", rule)
    event.remove(Engine, "before_cursor_execute", net)
    try:
        yield
    finally:
        event.listen(Session, "do_orm_execute", rule)
        event.listen(Engine, "before_cursor_execute", net)


@contextmanager
def everything():
    """Both walls, as in the house."""
    yield


def table(outcomes, seed):
    """The outcomes side by side."""
    rows = [
        ("version", lambda one: one.version),
        ("people", lambda one: one.people),
        ("grants held", lambda one: one.grants),
        ("tried", lambda one: one.tried),
        ("refused", lambda one: one.refused),
        ("with rows", lambda one: one.with_rows),
        ("failed", lambda one: len(one.faults)),
        ("seconds", lambda one: f"{one.seconds:.0f}"),
    ]
    lines = [f"{'':<14}" + "".join(f"{one.way:>14}" for one in outcomes)]
    lines += [f"{name:<14}" + "".join(f"{value(one)!s:>14}" for one in outcomes) for name, value in rows]
    lines.append(
        f"seed {seed}, Python {platform.python_version()}, SQLAlchemy {sqlalchemy.__version__}, {os.cpu_count()} cores"
    )
    lines += [f"{one.way}: {fault}" for one in outcomes for fault in one.faults[:10]]
    return "\n".join(lines)


# --------------------------------------------------------------------------------------------- random rights


@dataclass
class Person:
    """Somebody with what he holds, as plain rows say it: (grant, whose, department), shares, departments."""

    id: int
    persons: set
    departments: set
    grants: list
    principal: object = None


class Rights:
    """Random people, roles, memberships, deputies and shares; and in plain Python what they may see."""

    def __init__(self, house, how_many, seed):
        self.house, self.dice = house, random.Random(seed)
        with house.system() as session:
            self._write(session, how_many)
            session.commit()
        with house.system() as session:
            self.rows = {
                name: [dict(row) for row in session.execute(select(ENTITIES[name].__table__)).mappings()]
                for name in (
                    *MAIN,
                    *PARENTS,
                    "stage",
                    "share",
                    "membership",
                    "deputy",
                    "role",
                    "department",
                    "staff",
                )
            }
        self.by_id = {name: {row["id"]: row for row in rows} for name, rows in self.rows.items()}
        self.today = date.today()
        self.won = {row["id"] for row in self.rows["stage"] if row["outcome"] == "won"}
        self.bought = {row["company_id"] for row in self.rows["deal"] if row["stage_id"] in self.won}
        self.bought |= {row["company_id"] for row in self.rows["invoice"]}
        self.people = [self._person(key) for key in self.keys]
        with house.app.app_context():
            for person in self.people:
                person.principal = security.load_principal(person.id)

    def _write(self, session, how_many):
        dice, departments = self.dice, sorted(self.house.departments.values())
        names = []
        for number in range(max(4, how_many // 2)):
            name = f"random {number}"
            session.add(
                models.ComposedRole(name=name, grants=[self._grant() for _ in range(dice.randint(2, 6))])
            )
            names.append(name)
        names += [*roles.ROLES]
        self.keys = []
        for number in range(how_many):
            staff = security.create_account(
                session,
                username=f"random.{number}",
                first_name="R",
                last_name=str(number),
                email=f"random.{number}@foyer.example",
                department_id=dice.choice(departments),
                roles=[],
            )
            self.keys.append(staff.id)
        for key in self.keys:
            held = {
                (dice.choice(departments), dice.choice(names)) for _ in range(dice.choice([0, 1, 1, 2, 3]))
            }
            for department_id, role in sorted(held):
                session.add(models.Membership(owner_id=key, department_id=department_id, role=role))
        today, day = date.today(), timedelta(days=1)
        for _ in range(how_many // 3):
            owner, deputy = dice.sample(self.keys, 2)
            first, last = dice.choice(
                [(today - day, today + day), (today, today), (today - 3 * day, today - day)]
            )
            row = models.Deputy(owner_id=owner, deputy_id=deputy, starts_on=first, ends_on=last)
            row.department_id = dice.choice(departments)
            session.add(row)
        for _ in range(how_many):
            entity = dice.choice([name for name in MAIN if name != "activity"])
            table = ENTITIES[entity].__table__
            key = dice.choice(session.scalars(select(table.c.id).order_by(table.c.id)).all())
            to = (
                {"to_staff_id": dice.choice(self.keys)}
                if dice.random() < 0.6
                else {"to_department_id": dice.choice(departments)}
            )
            until = dice.choice([None, today, today + day, today - day])
            may = dice.choice(["see", "edit"])
            session.add(
                models.Share(entity=entity, record_id=key, may=may, until_on=until, reason="by chance", **to)
            )
        session.flush()

    def _grant(self):
        dice, entity = self.dice, self.dice.choice(MAIN)
        verbs = ["see", *dice.sample(["add", "edit", "delete", "export"], dice.randint(0, 3))]
        if dice.random() < 0.1:
            verbs.remove("see")
        fields = access.hideable(ENTITIES[entity])
        return {
            "entity": entity,
            "verbs": verbs,
            "reach": dice.choice([roles.OWN, roles.DEPARTMENT, roles.DEPARTMENT, roles.BELOW, roles.ALL]),
            "condition": CONDITIONS.get(entity) if dice.random() < 0.3 else None,
            "hidden": dice.sample(fields, dice.choice([0, 0, 1, 2])) if fields else [],
        }

    # ---- the rule, worked out anew

    def _under(self, department_id):
        found, more = set(), {department_id}
        while more:
            found |= more
            more = {row["id"] for row in self.rows["department"] if row["parent_id"] in more} - found
        return found

    def _person(self, key):
        persons = {key} | {
            row["owner_id"]
            for row in self.rows["deputy"]
            if row["deputy_id"] == key and row["starts_on"] <= self.today <= row["ends_on"]
        }
        composed = {row["name"]: row["grants"] for row in self.rows["role"]}
        own = self.by_id["staff"][key]["department_id"]
        person = Person(key, persons, {own}, [])
        for row in self.rows["membership"]:
            if row["owner_id"] not in persons:
                continue
            person.departments.add(row["department_id"])
            if row["role"] in roles.ROLES:
                said = [grant._asdict() for grant in roles.ROLES[row["role"]]]
            else:
                said = composed[row["role"]]
            for grant in said:
                if "see" in grant["verbs"]:
                    person.grants.append(self._resolved(grant, row["owner_id"], row["department_id"]))
        return person

    def _resolved(self, grant, owner_id, department_id):
        under = self._under(department_id)
        reach = {
            roles.OWN: lambda row: row["owner_id"] == owner_id,
            roles.DEPARTMENT: lambda row: row["department_id"] == department_id,
            roles.BELOW: lambda row: row["department_id"] in under,
            roles.ALL: lambda row: True,
        }[grant["reach"]]
        return {
            "entity": grant["entity"],
            "condition": grant.get("condition"),
            "hidden": set(grant.get("hidden") or ()),
            "reaches": reach,
            "reach": (grant["reach"], owner_id, department_id),
        }

    def _holds(self, condition, row):
        if condition == "customer":
            return row["kind"] == "customer" or row["id"] in self.bought
        return condition is None or row["stage_id"] in self.won

    def sees(self, person, entity, row):
        """Whether this person sees this row."""
        if entity in PARENTS:
            parent = PARENTS[entity]
            return self.sees(person, parent, self.by_id[parent][row[f"{parent}_id"]])
        within = any(
            grant["entity"] == entity and grant["reaches"](row) and self._holds(grant["condition"], row)
            for grant in person.grants
        ) or self._is_shared(person, entity, row["id"])
        if entity != "activity" or not within:
            return within
        return all(
            row[f"{one}_id"] is None or self.sees(person, one, self.by_id[one][row[f"{one}_id"]])
            for one in SUBJECTS
        )

    def _is_shared(self, person, entity, key):
        return any(
            share["entity"] == entity
            and share["record_id"] == key
            and (share["to_staff_id"] in person.persons or share["to_department_id"] in person.departments)
            and (share["until_on"] is None or share["until_on"] >= self.today)
            for share in self.rows["share"]
        )

    def hidden(self, person, entity):
        """The columns that no statement of this person may name: hidden somewhere, and open nowhere around it."""
        grants = [one for one in person.grants if one["entity"] == entity]
        found = set()
        for grant in grants:
            for name in grant["hidden"]:
                around = (one for one in grants if name not in one["hidden"] and one["condition"] is None)
                if not any(self._covers(one["reach"], grant["reach"]) for one in around):
                    found.add(name)
        return found

    def _covers(self, one, other):
        (reach, owner, department), (other_reach, other_owner, other_department) = one, other
        if reach == roles.ALL:
            return True
        if reach == roles.OWN:
            return other_reach == roles.OWN and owner == other_owner
        wide = {department} if reach == roles.DEPARTMENT else self._under(department)
        if other_reach == roles.DEPARTMENT:
            return other_department in wide
        return other_reach == roles.BELOW and self._under(other_department) <= wide

    def hidden_on(self, person, entity, row):
        """The columns that read as empty on this very row."""
        grants = [one for one in person.grants if one["entity"] == entity and one["condition"] is None]
        here = [one for one in grants if one["reaches"](row)]
        return {name for name in self.hidden(person, entity) if all(name in one["hidden"] for one in here)}


# --------------------------------------------------------------------------------------------- random questions


class Asker(Oracle):
    """Random questions for random people, each with the answer found in the rows that this person may see."""

    def __init__(self, house, rights, seed):
        super().__init__(house, seed)
        self.rights = rights

    def see_as(self, person):
        """From here on the answers are this person's."""
        if person.id not in self.known:
            self.known[person.id] = {
                model: [row for row in rows if self.rights.sees(person, model.__tablename__, row)]
                for model, rows in self.rows.items()
            }
        self.person, self.seen = person, self.known[person.id]

    def ask(self, number, outcome, *, has_session_rules):
        """One question; what differs is noted in the outcome."""
        person = self.dice.choice(self.rights.people)
        self.see_as(person)
        kind = self.dice.choice([None, None, *_MORE])
        outcome.tried += 1
        with self.house.session(person.principal) as session:
            if kind == "hidden":
                self._ask_for_hidden(session, number, outcome, has_session_rules)
                return
            if kind is None:
                found, expected, said = self._ask_as_ever(session)
            else:
                found, expected, said = getattr(self, f"_{kind}")(session)
        outcome.with_rows += bool(expected)
        if sorted(found, key=str) != sorted(expected, key=str):
            outcome.faults.append(
                f"question {number} ({said}) as {person.principal.username}: {len(found)} found, "
                f"{len(expected)} expected: {sorted(set(found) ^ set(expected), key=str)[:5]}"
            )

    def _ask_as_ever(self, session):
        kind, statement, expected = self.question()
        if kind in KINDS_OF_ROWS:
            return [tuple(row) for row in session.execute(statement)], expected, kind
        found = [
            (row.id, linked.id if (linked := getattr(row, kind)) is not None else None)
            for row in session.scalars(statement).unique()
        ]
        return found, expected, f"load of {kind}"

    def _hits(self, depth=2):
        model = self.dice.choice(MODELS)
        condition, holds = self.condition(model, depth)
        return model, condition, [row for row in self.seen[model] if holds(row)]

    def _alias(self, session):
        model = self.dice.choice(MODELS)
        one, other = aliased(model), aliased(model)
        found = session.execute(select(one.id, other.id).join(other, one.id == other.id))
        return (
            [tuple(row) for row in found],
            [(row["id"], row["id"]) for row in self.seen[model]],
            "two aliases",
        )

    def _cte(self, session):
        model, condition, hits = self._hits()
        inner = select(model.id.label("key")).where(condition).cte()
        return [tuple(row) for row in session.execute(select(inner.c.key))], _keys(hits), "CTE"

    def _window(self, session):
        model, condition, hits = self._hits()
        place = func.row_number().over(order_by=model.id)
        found = [tuple(row) for row in session.execute(select(model.id, place).where(condition))]
        keys = sorted(row["id"] for row in hits)
        return found, [(key, number) for number, key in enumerate(keys, 1)], "window"

    def _page(self, session):
        model, condition, hits = self._hits()
        skip, most = self.dice.randint(0, 3), self.dice.randint(1, 5)
        statement = select(model.id).where(condition).order_by(model.id.desc()).offset(skip).limit(most)
        keys = sorted((row["id"] for row in hits), reverse=True)[skip : skip + most]
        return [tuple(row) for row in session.execute(statement)], [(key,) for key in keys], "page"

    def _exists(self, session):
        model, _, target, column = (*self.dice.choice(COLLECTIONS),)
        inner = exists().where(getattr(target, column) == model.id)
        parents = {row[column] for row in self.seen[target]}
        found = session.scalars(select(model.id).where(inner)).all()
        return found, [row["id"] for row in self.seen[model] if row["id"] in parents], "EXISTS"

    def _sum(self, session):
        model, condition, hits = self._hits()
        found = session.execute(select(func.max(model.id), func.count(), func.sum(model.id)).where(condition))
        keys = [row["id"] for row in hits]
        return (
            [tuple(found.one())],
            [(max(keys, default=None), len(keys), sum(keys) if keys else None)],
            "sums",
        )

    def _scalar(self, session):
        model, name, target = self.dice.choice(LINKS)
        inner = select(target.id).where(target.id == getattr(model, f"{name}_id")).scalar_subquery()
        known = {row["id"] for row in self.seen[target]}
        expected = [
            (row["id"], key if (key := row[f"{name}_id"]) in known else None) for row in self.seen[model]
        ]
        return [tuple(row) for row in session.execute(select(model.id, inner))], expected, "scalar subquery"

    def _get(self, session):
        model = self.dice.choice(MODELS)
        keys = {row["id"] for row in self.dice.sample(self.rows[model], min(5, len(self.rows[model])))}
        found = [row.id for key in keys if (row := session.get(model, key)) is not None]
        return found, [row["id"] for row in self.seen[model] if row["id"] in keys], "get"

    def _lazy(self, session):
        model, name, target = self.dice.choice(LINKS)
        known = {row["id"] for row in self.seen[target]}
        found = [(row.id, getattr(getattr(row, name), "id", None)) for row in session.scalars(select(model))]
        expected = [
            (row["id"], key if (key := row[f"{name}_id"]) in known else None) for row in self.seen[model]
        ]
        return found, expected, "lazy load"

    def _collection(self, session):
        model, name, target, column = self.dice.choice(COLLECTIONS)
        found = [(row.id, part.id) for row in session.scalars(select(model)) for part in getattr(row, name)]
        parents = {row["id"] for row in self.seen[model]}
        expected = [(row[column], row["id"]) for row in self.seen[target] if row[column] in parents]
        return found, expected, "collection"

    def _literal(self, session):
        model, condition, hits = self._hits(depth=1)
        inner = select(model.id, literal(1).label("one")).where(condition).subquery()
        found = session.execute(select(inner.c.id, func.sum(inner.c.one)).group_by(inner.c.id))
        return [tuple(row) for row in found], [(row["id"], 1) for row in hits], "group of a subquery"

    def _values(self, session):
        """Whole rows: every column as it stands, hidden ones empty."""
        model = self.dice.choice([ENTITIES[name] for name in MAIN])
        names = [name for name in access.hideable(model) if name in model.__table__.c]
        found = [(row.id, *(getattr(row, name) for name in names)) for row in session.scalars(select(model))]
        expected = []
        for row in self.seen[model]:
            kept = self.rights.hidden_on(self.person, model.__tablename__, row)
            expected.append((row["id"], *(None if name in kept else row[name] for name in names)))
        return [repr(one) for one in found], [repr(one) for one in expected], "values"

    def _ask_for_hidden(self, session, number, outcome, has_session_rules):
        """A statement that names a hidden column is refused; policies are about rows, not columns."""
        hidden = [(name, field) for name in MAIN for field in sorted(self.rights.hidden(self.person, name))]
        if not hidden or not has_session_rules:
            return
        entity, name = self.dice.choice(hidden)
        model, column = ENTITIES[entity], getattr(ENTITIES[entity], name)
        ways = [
            select(column),
            select(model.id).where(column.is_(None)),
            select(model.id).order_by(column),
            select(func.count(column)),
            select(model).where(model.id.in_(select(model.id).where(column.is_not(None)))),
        ]
        try:
            session.execute(self.dice.choice(ways)).all()
        except access.Unsighted:
            outcome.refused += 1
        else:
            outcome.faults.append(
                f"question {number}: {entity}.{name} was told to {self.person.principal.username}"
            )


_MORE = (
    "alias cte window page exists sum scalar get lazy collection literal values values hidden hidden".split()
)

if __name__ == "__main__":
    sys.exit(main())
