"""The scope audit of a firm: its scratch copy filled, walked as everybody, and said in one table."""

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import select

from app import access, models, roles, security
from app.audit.canaries import World
from app.audit.people import people_of
from app.audit.walk import Audit, AuditFailed

ROWS = 1  # of every kind in every department
MOST_DEPARTMENTS = 12  # those in which people hold roles come first
# What an address with a number is opened with at least, and how far an endless list is followed.
PAGES = 12


@dataclass
class Report:
    """What was walked, by person, and what was found."""

    outcome: object
    departments: list
    people: list  # (name, responses, faults)
    seconds: float
    thin: int
    faults: list = field(default_factory=list)

    def __str__(self):
        one = self.outcome
        width = max(len(name) for name, _, _ in self.people)
        lines = [
            f"{'who':<{width}} {'responses':>10} {'faults':>7}",
            *(f"{name:<{width}} {number:>10,} {faults:>7,}" for name, number, faults in self.people),
            "",
            f"{one.people} people, {one.routes} addresses, {len(self.departments)} departments; "
            f"{one.rows:,} planted rows with {one.canaries:,} canaries",
            f"{one.responses:,} responses: {len(one.out_of_place):,} canaries out of place, "
            f"{len(one.not_found):,} rows not found where they belong, {len(one.broken):,} pages failed",
            f"{one.figures:,} counts and sums compared with SQL, {len(one.wrong_figures):,} wrong",
            f"{one.mails:,} mails read",
            f"{one.pairs:,} pairs of a foreign and an absent number, {len(one.told_apart):,} told apart",
            f"{self.seconds:.0f} seconds",
        ]
        return "\n".join(lines)


def audit(app, scratch, *, responses, only="", most_departments=MOST_DEPARTMENTS, say):
    """Plant, walk, compare: about so many responses in all. `only`: those in whose name or roles these words stand."""
    started = time.monotonic()
    names = _departments(app)[:most_departments]
    say(f"Planting canaries in {len(names)} departments …")
    _write_one_of_each_role(app)
    world = World(app, ROWS, names)
    today = datetime.now(app.config["SETTINGS"].zone).date()
    with scratch.raw() as connection:
        cursor = connection.cursor()

        def ask(statement):
            cursor.execute(statement)
            return cursor.fetchall()

        walked = [person for person in people_of(ask, today) if only in person.name]
    if not walked:
        raise AuditFailed(f"Nobody is called, or holds a role called “{only}”.")
    thin = _thin(app, world, walked, responses)
    how = {"step": 40 * thin, "thin": thin, "own": max(1, thin // 3), "pages": PAGES}
    one = Audit(app, scratch, world, walked, **how)
    told = []
    for number, person in enumerate(walked, start=1):
        say(f"{number} of {len(walked)}: {person.name}")
        before, faults = one.outcome.responses, len(one.outcome.faults)
        one.walk_as(person)
        told.append((person.name, one.outcome.responses - before, len(one.outcome.faults) - faults))
    one.count_rows()
    return Report(one.outcome, names, told, time.monotonic() - started, thin, one.outcome.faults)


def _thin(app, world, walked, responses):
    """Of how many rows each is opened, to come to about so many responses."""
    rows = sum(len(keys) for keys in world.made.values())
    addresses = sum(
        1 for rule in app.url_map.iter_rules() if "pk" in rule.arguments and "GET" in rule.methods
    )
    tables = len({table for table, _ in world.made})
    all_of_them = len(walked) * addresses * rows / max(tables, 1)
    return max(1, round(all_of_them / max(responses, 1)))


def _departments(app):
    """The departments to plant in: those where somebody holds a role first, and as many kinds of place as there are."""
    with _system(app, writes=False) as session:
        held = set(session.scalars(select(models.Membership.department_id)))
        found = session.execute(
            select(models.Department.id, models.Department.name).order_by(models.Department.id)
        ).all()
    names = [name for key, name in found if key in held] + [name for key, name in found if key not in held]
    return names


def _write_one_of_each_role(app):
    """Somebody for each role that nobody holds yet, so that a role is audited before it is given to anybody."""
    with _system(app) as session:
        held = set(session.scalars(select(models.Membership.role)))
        department = session.scalar(
            select(models.Membership.department_id).order_by(models.Membership.id).limit(1)
        )
        department = department or session.scalar(
            select(models.Department.id).order_by(models.Department.id).limit(1)
        )
        own = session.scalars(select(models.ComposedRole.name).order_by(models.ComposedRole.name)).all()
        for number, role in enumerate(name for name in (*roles.ROLES, *own, None) if name not in held):
            security.create_account(
                session,
                username=f"scope.audit.{number}",
                first_name="Scope",
                last_name=f"Audit {number}",
                email=f"scope.audit.{number}@localhost",
                department_id=department,
                roles=[role] if role else [],
            )


@contextmanager
def _system(app, *, writes=True):
    with app.app_context(), access.system_session("scope audit", door="command", writes=writes) as session:
        yield session
