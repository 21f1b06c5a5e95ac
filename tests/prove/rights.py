"""A preview of rights says what then happens; and no head gives, takes or keeps more than he holds himself.

    python -m tests.prove.rights [--engine sqlite|postgresql] [--seed N] [--quick]

*Preview*: random changes of roles, memberships, deputies and departments, by the rules and as the admin makes them.
Each is looked at before it is made: the rows that everybody is said to gain and lose. Then it is made, and everybody
looks for himself, in a session of his own: for each person and entity the ids must be those that were said, and the
counts too.

*Heads*: random doings of a head, through the rules and past them (rows put straight into his session). After each,
everything that anybody holds, (verb, row) and (field, row), must be what he or the head held at the beginning, or what
both together did: see `_limits`.
"""

import argparse
import platform
import random
import sys
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import lru_cache

import sqlalchemy
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from app import access, roles, security
from app.models import ENTITIES, ComposedRole, Department, Deputy, Membership, Share, Staff
from app.rules import RuleBroken, composing, members, rights
from tests import databases
from tests.prove import scope

TODAY = date.today()
HEADS = ("head.sales", "head.support", "head.desk")


@dataclass(frozen=True)
class Size:
    """How many changes are looked at, and how many doings of each head."""

    changes: int = 200
    doings: int = 150
    heads: tuple = HEADS


FULL, QUICK = Size(), Size(changes=2, doings=6, heads=("head.desk",))


@dataclass
class Outcome:
    """What was tried and seen; `faults` is everything that should not be."""

    engine: str
    changes: Counter = field(default_factory=Counter)
    refused: int = 0
    compared: int = 0  # sets of ids
    moved: int = 0  # rows gained and lost in all
    doings: Counter = field(default_factory=Counter)
    stopped: Counter = field(default_factory=Counter)
    looked: int = 0  # rights that were looked at after doings
    seconds: float = 0.0
    faults: list = field(default_factory=list)


class House:
    """Rows of all departments, people of many kinds, and roles of the firm's own."""

    def __init__(self, app, dice):
        self.app, self.dice = app, dice
        scope.write_more_accounts(app)
        world = scope.World(app, rows=1, papers=False)
        with self.session(access.SYSTEM, keep=True) as session:
            self.departments = dict(session.execute(select(Department.name, Department.id)).all())
            for name, grants in ROLES.items():
                session.add(ComposedRole(name=name, grants=grants))
            self._account(session, "head.desk", "South", ["desk head"])
            self._account(session, "trainee", "North", [])
            people = dict(session.execute(select(security.User.username, security.User.id)).all())
            for entity, key, to in (
                ("deal", world.made["deal", "Support"][0], {"to_staff_id": people["rep.north"]}),
                (
                    "company",
                    world.made["company", "South"][0],
                    {"to_staff_id": people["rep.north"], "may": "edit"},
                ),
                (
                    "ticket",
                    world.made["ticket", "Support"][0],
                    {"to_department_id": self.departments["North"]},
                ),
            ):
                session.add(Share(entity=entity, record_id=key, reason="so that they see it", **to))
        self.people = people

    def _account(self, session, username, department, names):
        security.create_account(
            session,
            username=username,
            first_name="Some",
            last_name=username,
            email=f"{username}@foyer.example",
            department_id=self.departments[department],
            roles=names,
        )

    @contextmanager
    def session(self, principal, *, keep=False):
        with self.app.app_context(), access.session_for(principal, door="page", writes=True) as session:
            yield session
            if not keep:
                session.rollback()

    def person(self, key):
        with self.app.app_context():
            return security.load_principal(key)

    def everybody(self):
        with self.session(access.SYSTEM) as session:
            return security.everybody(session)


def _grant(entity, *verbs, reach="department", **more):
    return {"entity": entity, "verbs": ["see", *verbs], "reach": reach, **more}


ROLES = {
    "desk": [_grant("deal", "edit"), _grant("company", reach="all", hidden=["notes"])],
    "desk head": [
        _grant("deal", "edit", reach="below", hidden=["notes"]),
        _grant("company", reach="below"),
        _grant("contact", "edit", reach="below", read_only=["phone"]),
        _grant("membership", "add", "edit", "delete", reach="below"),
        _grant("deputy", "add", "edit", "delete", reach="below"),
    ],
    "blind desk": [_grant("deal", "edit", hidden=["notes"]), _grant("contact", "edit", read_only=["phone"])],
    "own deals": [_grant("deal", "add", "edit", reach="own")],
    "won deals": [_grant("deal", reach="department", condition="won")],
    "all tickets": [_grant("ticket", reach="all")],
    "nothing": [],
}


# --------------------------------------------------------------------------------------------- preview = reality


def changes_of(house, session):
    """A random change that somebody could plan now: (its kind, what makes it in a session)."""
    dice = house.dice
    people = session.scalars(select(Staff.id).order_by(Staff.id)).all()
    places = session.scalars(select(Department.id).order_by(Department.id)).all()
    names = members.names_of_roles(session)
    held = session.scalars(select(Membership.id).order_by(Membership.id)).all()
    deputies = session.scalars(select(Deputy.id).order_by(Deputy.id)).all()
    own = session.scalars(select(ComposedRole.id).order_by(ComposedRole.id)).all()
    admin = house.person(house.people["admin"])
    person, other, place, above = (
        dice.choice(people),
        dice.choice(people),
        dice.choice(places),
        dice.choice(places),
    )
    role, day = dice.choice(names), dice.randint(-2, 2)
    ended, dismissed, composed = dice.choice(held), dice.choice(deputies or [None]), dice.choice([None, *own])
    grants, new_name, is_renamed = (
        list(_random_grants(dice)),
        f"role {dice.random():.6f}",
        dice.random() < 0.3,
    )

    def join(session):
        owner, department = session.get(Staff, person), session.get(Department, place)
        members.add(session, by=admin, owner=owner, department=department, role=role)

    def leave(session):
        members.end(session, session.get(Membership, ended), by=admin)

    def appoint(session):
        starts_on = TODAY + timedelta(days=day)
        members.appoint(
            session,
            by=admin,
            owner=session.get(Staff, person),
            deputy=session.get(Staff, other),
            starts_on=starts_on,
            ends_on=starts_on + timedelta(days=1),
            reason=None,
            today=TODAY,
        )

    def dismiss(session):
        if dismissed is None:
            raise RuleBroken("nobody stands in")
        members.dismiss(session, session.get(Deputy, dismissed), by=admin)

    def compose(session):
        row = ComposedRole() if composed is None else session.get(ComposedRole, composed)
        name = new_name if composed is None or is_renamed else row.name
        composing.save(session, row, name=name, description=None, grants=grants)

    def move(session):
        session.get(Staff, person).department_id = place
        session.flush()

    def hang(session):
        upper = above
        while upper is not None:
            if upper == place:
                raise RuleBroken("a loop")
            upper = session.get(Department, upper).parent_id
        session.get(Department, place).parent_id = above
        session.flush()

    kinds = {"join": join, "leave": leave, "appoint": appoint, "dismiss": dismiss}
    kinds |= {"compose": compose, "move": move, "hang": hang}
    kind = dice.choice(["join", "join", "leave", "appoint", "dismiss", "compose", "compose", "move", "hang"])
    return kind, kinds[kind]


def _random_grants(dice):
    entities = dice.sample(("company", "contact", "deal", "ticket", "activity", "invoice", "campaign"), 3)
    for entity in entities:
        verbs = ["see", *(["edit"] if dice.random() < 0.6 else [])]
        reach = dice.choice(composing.REACHES)
        conditions = composing.conditions_of(entity)
        condition = dice.choice(conditions) if conditions and dice.random() < 0.4 else None
        fields = [
            one for one in composing.fields_of(entity) if not composing._is_amount(ENTITIES[entity], one)
        ]
        hidden = tuple(dice.sample(fields, 1)) if fields and dice.random() < 0.3 else ()
        yield roles.Grant(entity, tuple(verbs), reach, condition, hidden)


@lru_cache(maxsize=1000)
def _question(person, verb, model):
    """What the guard asks of these rights: made once for rights that are the same, asked anew after each change."""
    return access.allowed(person, verb, model, model.__table__.c)


def _answer(session, person, verb, model):
    condition = _question(person, verb, model)
    if condition is access.NO_ROW:
        return set()
    return set(session.connection().scalars(select(model.__table__.c.id).where(condition)))


def real_rows(house, person):
    """(verb, entity) -> ids: seen as the person finds them in a session of his own, edited as the guard is asked."""
    found, entities = {}, (*rights.ROWS, *rights.OF_RIGHTS)
    with house.session(person) as session:
        for entity in entities:
            found["see", entity] = set(session.scalars(select(ENTITIES[entity].id)))
    with house.session(access.SYSTEM) as session:
        for entity in entities:
            found["edit", entity] = _answer(session, person, "edit", ENTITIES[entity])
            if (
                ENTITIES[entity].__sight__ == "reference"
            ):  # a matter of the verb: the session itself shows them to all
                found["see", entity] = _answer(session, person, "see", ENTITIES[entity])
    return found


def compare_previews(house, size, outcome):
    """Look at so many changes, make each, and look again."""
    before = {key: real_rows(house, person) for key, person in house.everybody().items()}
    while outcome.changes.total() < size.changes:
        with house.session(access.SYSTEM) as session:
            kind, change = changes_of(house, session)
            try:
                one, other = rights.around(session, change)
            except (RuleBroken, IntegrityError):
                outcome.refused += 1
                continue
            told = {one.person_id: one for one in rights.differences(session, one, other)}
            said = _said(session, one, other)
        with house.session(house.person(house.people["admin"]), keep=True) as session:
            change(session)
        outcome.changes[kind] += 1
        after = {key: real_rows(house, person) for key, person in house.everybody().items()}
        _compare(outcome, house.people["admin"], kind, before, after, said, told)
        before = after


def _said(session, before, after):
    """(person, verb, entity) -> (ids gained, ids lost), by the principals and conditions of the preview."""
    said = {}
    for key in {**before.people, **after.people}:
        one, other = before.people[key], after.people[key]
        for verb in rights.COUNTED:
            for entity in rights.OF_RIGHTS:
                said[key, verb, entity] = rights.gained_and_lost(before, after, key, verb, entity)
            for entity in rights.ROWS:
                if (
                    one == other
                ):  # the same conditions: nothing is said to change, and it is looked whether that is so
                    said[key, verb, entity] = set(), set()
                    continue
                table = ENTITIES[entity].__table__
                said[key, verb, entity] = tuple(
                    set(session.connection().scalars(select(table.c.id).where(condition)))
                    if (condition := rights.only_of(now, then, verb, ENTITIES[entity])) is not access.NO_ROW
                    else set()
                    for now, then in ((other, one), (one, other))
                )
    return said


def _compare(outcome, admin, kind, before, after, said, told):
    """What everybody really gained and lost, against what was said: ids and numbers."""
    for (key, verb, entity), (gained, lost) in said.items():
        had, has = before[key][verb, entity], after[key][verb, entity]
        if entity in rights.OF_RIGHTS:  # what the change itself has added and taken is nobody's gain or loss
            admins = [who["edit", entity] for who in (before[admin], after[admin])]
            had, has = had & admins[1], has & admins[0]
        outcome.compared += 1
        outcome.moved += len(has ^ had)
        if gained != has - had or lost != had - has:
            outcome.faults.append(
                f"{kind}: {key} {verb} {entity}: said {gained, lost}, was {has - had, had - has}"
            )
        lines = {line.entity: line for line in told[key].lines} if key in told else {}
        line = lines.get(entity, rights.Line(entity))
        if (line.gained.get(verb, 0), line.lost.get(verb, 0)) != (len(has - had), len(had - has)):
            outcome.faults.append(
                f"{kind}: {key} {verb} {entity}: the page says {line}, was {has - had, had - has}"
            )


# --------------------------------------------------------------------------------------------- heads


def held_rights(session, person):
    """(verb, entity, row) and ("open " field, entity, row) of all that a person may."""
    found = set()
    for entity in rights.ROWS:
        model = ENTITIES[entity]
        for verb in roles.VERBS[entity]:
            if person.may(verb, entity):
                found.update((verb, entity, key) for key in rights.ids_of(session, person, verb, model))
        if not composing.fields_of(entity):
            continue
        keys = {key for verb, one, key in found if verb == "see" and one == entity}
        for row in session.scalars(select(model).where(model.id.in_(keys))):
            shut = person.hidden_on(row)
            found.update(
                (f"open {name}", entity, row.id) for name in composing.fields_of(entity) if name not in shut
            )
            if ("edit", entity, row.id) in found:
                shut = person.read_only_on(row)
                writable = (name for name in composing.fields_of(entity) if name not in shut)
                found.update((f"write {name}", entity, row.id) for name in writable)
    for verb, entity in person._verbs:
        if entity not in rights.OF_RIGHTS:
            found.add((verb, entity, None))
    return found


def doing_of(dice, head, homes, places, names, held, deputies):
    """Something that a head might do, rightly or wrongly: (its kind, what does it in his session)."""
    people = sorted(homes)
    if dice.random() < 0.6 and any(given for _, given in head.gives):  # something that he may well do
        near = [(key, role) for key, given in head.gives for role in given]
        place, role = dice.choice(near)
        people = [one for one in people if homes[one] in dict(head.gives)]
    else:
        place, role = dice.choice(places), dice.choice(names)
    person, other, by_rule = dice.choice(people), dice.choice(people), dice.random() < 0.5
    one, another = dice.choice(held), dice.choice(deputies or [None])
    what = dice.choice(["role", "department_id", "owner_id"])
    days = (TODAY + timedelta(days=dice.randint(-1, 0)), TODAY + timedelta(days=dice.randint(0, 3)))

    def add(session):
        if by_rule:
            owner, department = session.get(Staff, person), session.get(Department, place)
            members.add(session, by=head, owner=owner, department=department, role=role)
        else:
            session.add(Membership(owner_id=person, department_id=place, role=role))

    def end(session):
        row = session.get(Membership, one)
        if row is None:
            raise access.WriteRefused("membership")
        members.end(session, row, by=head) if by_rule else session.delete(row)

    def edit(session):
        row = session.get(Membership, one)
        if row is None:
            raise access.WriteRefused("membership")
        setattr(row, what, {"role": role, "department_id": place, "owner_id": person}[what])

    def appoint(session):
        owner, deputy = session.get(Staff, person), session.get(Staff, other)
        if by_rule:
            members.appoint(
                session,
                by=head,
                owner=owner,
                deputy=deputy,
                starts_on=days[0],
                ends_on=days[1],
                reason="",
                today=TODAY,
            )
        else:
            place_ = dice.choice([owner.department_id, place]) if owner else place
            days_ = {"starts_on": days[0], "ends_on": days[1]}
            session.add(Deputy(owner_id=person, deputy_id=other, department_id=place_, **days_))

    def redo(session):
        row = session.get(Deputy, another) if another else None
        if row is None:
            raise access.WriteRefused("deputy")
        setattr(row, dice.choice(["owner_id", "deputy_id"]), person)

    def move(session):
        session.get(Staff, person).department_id = place

    def compose(session):
        row = session.scalars(select(ComposedRole)).first()
        row.grants = [_grant("deal", "edit", reach="all")]

    kinds = {
        "add": add,
        "end": end,
        "edit": edit,
        "appoint": appoint,
        "redo": redo,
        "move": move,
        "compose": compose,
    }
    often = [*["add"] * 6, *["edit"] * 2, *["appoint"] * 3]
    kind = dice.choice([*often, "end", "redo", "move", "compose"])
    return f"{kind}{' by rule' if by_rule else ''}", kinds[kind]


def watch_heads(house, size, outcome):
    """Let each head do what he likes, and look at what it brings to whom."""
    for username in size.heads:
        key = house.people.get(username) or _id_of(house, username)
        with house.session(access.SYSTEM) as session:
            known = security.everybody(session)
            limits = _limits(session, known, known[key])
        for _ in range(size.doings):
            with house.session(access.SYSTEM) as session:
                lists = [
                    session.scalars(select(column).order_by(column)).all()
                    for column in (Department.id, Membership.id, Deputy.id)
                ]
                homes = dict(session.execute(select(Staff.id, Staff.department_id)).all())
                names = members.names_of_roles(session)
            head = house.person(key)
            kind, doing = doing_of(house.dice, head, homes, lists[0], names, lists[1], lists[2])
            try:
                with house.session(head, keep=True) as session:
                    doing(session)
            except (RuleBroken, access.WriteRefused, IntegrityError):
                outcome.stopped[kind] += 1
                continue
            outcome.doings[kind] += 1
            with house.session(access.SYSTEM) as session:
                for one, person in security.everybody(session).items():
                    if person == known.get(one):
                        continue
                    known[one] = person
                    has = held_rights(session, person)
                    outcome.looked += len(has)
                    if more := has - limits[one]:
                        outcome.faults.append(
                            f"{username}: {kind}: {person.username} won {sorted(more, key=str)[:5]}"
                        )


def _limits(session, people, head):
    """Person -> what a head's doings may bring him to: what the two of them held, each and together, at the beginning.

    Together, because a row may ask for two rights (an activity is for those who also see what it speaks of), of which
    one is the head's to give and the other was the person's all along. What is shared with a department is shared with
    whomever its head takes in.
    """
    his = held_rights(session, head)
    return {
        key: his | held_rights(session, person) | held_rights(session, _together(session, person, head))
        for key, person in people.items()
    }


def _together(session, person, head):
    """Somebody who holds what these two hold."""
    persons = tuple(dict.fromkeys(person.persons + head.persons))
    departments = person.departments | head.departments | (head.arranges("membership") or set())
    return replace(
        person,
        grants=tuple(dict.fromkeys(person.grants + head.grants)),
        persons=persons,
        departments=departments,
        below=person.below | head.below,
        shared=security._shared(session, persons, departments, person.today),
    )


def _id_of(house, username):
    with house.session(access.SYSTEM) as session:
        return session.scalar(select(security.User.id).where(security.User.username == username))


# --------------------------------------------------------------------------------------------- the proof


def prove(engine, size, seed):
    """Both proofs on a fresh database of this engine."""
    outcome, started = Outcome(engine), time.monotonic()
    for part in (compare_previews, watch_heads):
        with databases.fresh_database(engine) as database, databases.app_on(database) as app:
            house = House(app, random.Random(seed))
            part(house, size, outcome)
    outcome.seconds = time.monotonic() - started
    return outcome


def table(outcomes, size, seed):
    """The figures, as a table."""
    lines = [f"seed {seed}; Python {platform.python_version()}, SQLAlchemy {sqlalchemy.__version__}"]
    for one in outcomes:
        lines += [
            f"{one.engine}: {one.changes.total()} changes looked at and made {dict(one.changes)}, "
            f"{one.refused} refused by the rules; {one.compared} sets of ids compared, {one.moved} rows moved",
            f"   heads: {one.doings.total()} doings went through {dict(one.doings)}, "
            f"{one.stopped.total()} were stopped {dict(one.stopped)}; {one.looked} rights looked at",
            f"   {len(one.faults)} differences; {one.seconds:.0f} s",
            *(f"   {fault}" for fault in one.faults[:20]),
        ]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", choices=databases.ENGINES, help="only this one")
    parser.add_argument("--seed", type=int, default=20261122)
    parser.add_argument("--quick", action="store_true", help="the size that the tests run")
    args = parser.parse_args()
    size, folder = QUICK if args.quick else FULL, databases.start_run()
    try:
        engines = [engine for engine in databases.ENGINES if args.engine in (None, engine)]
        outcomes = [prove(engine, size, args.seed) for engine in engines]
    finally:
        databases.end_run(folder)
    print(table(outcomes, size, args.seed))
    return 1 if any(one.faults for one in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
