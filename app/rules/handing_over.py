"""Leavers: whoever goes hands over what he has in hand, by a rule, as one change set that can be taken back.

Who made what, and its history, stay. docs/decisions/0020-leavers.md says why a closed door need not wait for it.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from itertools import cycle

from sqlalchemy import select

from app import access, bulk, in_hand, ledger, security
from app.extensions import N_
from app.models import ENTITIES, Approval, Deputy, Job, Staff
from app.rules import RuleBroken

DOOR = "hand-over"
KINDS = (*in_hand.OPEN, *in_hand.CUSTOMERS)

PERSON, TURNS, HEAD = "person", "turns", "head"
RULES = {
    PERSON: N_("all to one person"),
    TURNS: N_("by turns, to those of each record's department who may edit it"),
    HEAD: N_("to the head of each record's department"),
}


@dataclass(frozen=True)
class Choice:
    """By which rule records go to whom."""

    rule: str
    person_id: int | None = None


@dataclass
class Plan:
    """Who gets what: `given[entity]` maps a record to its new owner; `left` counts those for whom nobody was found."""

    leaver_id: int
    boss_id: int | None
    given: dict = field(default_factory=dict)
    left: Counter = field(default_factory=Counter)  # entity -> records
    beside: dict = field(default_factory=dict)  # what is settled with it -> how many
    names: dict = field(default_factory=dict)  # new owner -> name

    @property
    def total(self):
        return sum(map(len, self.given.values()))

    def counts(self):
        """[(name, {entity: how many})] of the new owners, by name."""
        found = defaultdict(Counter)
        for entity, rows in self.given.items():
            for owner_id in rows.values():
                found[owner_id][entity] += 1
        return sorted(((self.names[key], counted) for key, counted in found.items()), key=lambda one: one[0])


def plan(session, leaver_id, choices, *, today):
    """What goes to whom. `choices` maps an entity to its Choice; "*" is the rule of all others but customers.

    The session is the system's. Raises RuleBroken for a choice that is none.
    """
    leaver = session.get(Staff, leaver_id)
    people = {key: one for key, one in security.everybody(session).items() if key != leaver_id}
    for choice in choices.values():
        if choice.rule not in RULES:
            raise RuleBroken(N_("Choose by which rule."), field="rule")
        if choice.rule == PERSON and choice.person_id not in people:
            raise RuleBroken(N_("Choose to whom; whoever goes cannot have it."), field="person_id")
    found = Plan(leaver_id, _boss(leaver, choices.get("*"), people))
    found.names = {key: one.name for key, one in people.items()}
    for entity in KINDS:
        choice = choices.get(entity) or (choices.get("*") if entity in in_hand.OPEN else None)
        if choice is None:
            continue
        table, condition = in_hand.of(entity, leaver_id, today)
        rows = session.connection().execute(
            select(table.c.id, table.c.department_id).where(condition).order_by(table.c.id)
        )
        rows = dict(map(tuple, rows))
        if rows:
            found.given[entity] = _given(session, ENTITIES[entity], rows, choice, people)
            found.left[entity] = len(rows) - len(found.given[entity])
    found.left = +found.left
    found.beside = {
        name: count
        for name, count in in_hand.work_of(session, leaver_id, today).items()
        if name not in in_hand.OPEN
    }
    return found


def _boss(leaver, choice, people):
    """To whom those report from now on who reported to the leaver: his own head, else whom his work goes to."""
    if leaver.reports_to_id in people:
        return leaver.reports_to_id
    return choice.person_id if choice is not None and choice.rule == PERSON else None


def _given(session, model, rows, choice, people):
    """Record -> new owner. Nobody gets what he may not edit."""
    table, writable = model.__table__, {}

    def may_edit(key):
        if key not in writable:
            condition = access.allowed(people[key], "edit", model, table.c)
            asked = select(table.c.id).where(table.c.id.in_(list(rows)), condition)
            writable[key] = set() if condition is access.NO_ROW else set(session.connection().scalars(asked))
        return writable[key]

    if choice.rule == PERSON:
        return {row: choice.person_id for row in rows if row in may_edit(choice.person_id)}
    found = {}
    for department_id in sorted(set(rows.values())):
        theirs = [row for row, place in rows.items() if place == department_id]
        if choice.rule == HEAD:
            near = _heads(people, department_id)
            found |= {
                row: key
                for row in theirs
                if (key := next((one for one in near if row in may_edit(one)), None))
            }
            continue
        colleagues = [key for key in sorted(people) if department_id in people[key].departments]
        colleagues = [key for key in colleagues if may_edit(key) & set(theirs)]
        turns = cycle(colleagues)
        for row in theirs:
            for key in (next(turns) for _ in colleagues):
                if row in may_edit(key):
                    found[row] = key
                    break
    return found


def _heads(people, department_id):
    """Those who arrange the members of a department, the nearest first."""
    reaches = {
        key: one.arranges("membership") for key, one in people.items() if not one.may("edit", "account")
    }
    near = [key for key, reach in reaches.items() if reach is not None and department_id in reach]
    return sorted(near, key=lambda key: (len(reaches[key]), key))


def in_the_name_of(principal):
    """The system, as somebody set it to work: it sees everything, and the ledger says who it was."""
    return replace(access.SYSTEM, id=principal.id, username=principal.username, name=principal.name)


def hand_over(session, chosen, *, today):
    """Do what was planned, close the account, and return the change set (None where nothing had to change hands).

    The session works `in_the_name_of` whoever chose. Raises RuleBroken where something would be left behind.
    """
    if chosen.left:
        raise RuleBroken(
            N_("For %(number)s records nobody is found who may edit them: choose otherwise."),
            number=chosen.left.total(),
        )
    leaver = session.get(Staff, chosen.leaver_id)
    key = None
    settled = in_hand.beside(leaver.id, today)
    ids = {
        name: session.connection().scalars(select(table.c.id).where(condition)).all()
        for name, (table, condition) in settled.items()
    }
    if chosen.total or ids["staff"] or ids["deputy"] or ids["approval"]:
        with ledger.new_change_set(session, door=DOOR, why=f"{leaver.name} (#{leaver.id})") as key:
            for entity, rows in chosen.given.items():
                bulk.edit(
                    session, ENTITIES[entity], {row: {"owner_id": owner} for row, owner in rows.items()}
                )
            bulk.edit(session, Staff, {row: {"reports_to_id": chosen.boss_id} for row in ids["staff"]})
            bulk.delete(session, Deputy, ids["deputy"])
            bulk.edit(session, Approval, {row: {"state": "refused"} for row in ids["approval"]})
    for job in session.scalars(select(Job).where(Job.id.in_(ids["job"]))):
        job.state, job.note = "stopped", "its owner has left"
    session.flush()
    security.set_active(session, leaver.id, False, today=today)
    return key
