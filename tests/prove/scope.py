"""The scope audit on a house of its own: the cast, filled with canaries, and walked without leaving anything out.

    python -m tests.prove.scope [--engine sqlite|postgresql] [--rows N]

What is walked, and what may be seen by whom, stands in `app/audit`: it is the same that `run.py check --scope` does on
a copy of a firm's own database.
"""

import argparse
import sys
import time

from flask_appbuilder.models.sqla import Model

from app import access, models, security
from app.audit import canaries, people, walk
from app.audit.people import Person
from app.audit.walk import OPEN_ROUTES, VIEWS, AuditFailed, model_of, unguarded_routes
from tests import databases

__all__ = ["OPEN_ROUTES", "VIEWS", "AuditFailed", "model_of", "unguarded_routes"]

# Account -> its roles and the departments that these reach; None: every row.
ACCOUNTS = {
    "admin": (("admin",), ()),
    "director": (("director",), None),
    "head.sales": (("sales",), ("Sales", "North", "South")),
    "rep.north": (("sales",), ("North",)),
    "rep.south": (("sales",), ("South",)),
    "head.support": (("support",), ("Support",)),
    "agent": (("support",), ("Support",)),
    "marketer": (("marketing",), ("Marketing",)),
    "finance": (("finance",), ("Finance",)),
}
# Beside the cast: roles that none of the nine accounts holds, two roles at once, and none at all.
MORE_ACCOUNTS = {
    "reader.south": (("reader",), ("South",)),
    "both.south": (("sales", "marketing"), ("South",)),
    "nobody": ((), ()),
}
ROLE_NAMES = {"reader.south": ["reader"], "both.south": ["sales", "marketing"], "nobody": []}
DEPARTMENTS = ("Sales", "North", "South", "Support", "Marketing", "Finance")


def person_of(account, user_id=None):
    """Somebody of these accounts, as the audit knows him."""
    names, departments = {**ACCOUNTS, **MORE_ACCOUNTS}[account]
    him = f"SELECT id FROM ab_user WHERE username = '{account}'"
    joined = (
        f"SELECT department_id FROM membership WHERE owner_id IN ({him}) "
        f"UNION SELECT department_id FROM staff WHERE id IN ({him})"
    )
    person = Person(account, him=him, joined=joined, user_id=user_id)
    quoted = ", ".join(f"'{name}'" for name in departments or ()) or "''"
    reached = f"SELECT id FROM department WHERE name IN ({quoted})"
    for name in names:
        role = f"{people.HEAD}{name}" if account.startswith("head.") else name
        person.holds(role, reached, reached)
    return person


def condition(account, table):
    """Which rows of this table the account may see, as SQL over `t`."""
    return people.condition(person_of(account), table)


def undeclared_tables(metadata=Model.metadata):
    """Tables that do not say who sees their rows, or that the audit has no rows in."""
    return people.undeclared_tables(metadata)


def World(app, rows, *, papers=True):
    """The canaries of the cast's departments."""
    return canaries.World(app, rows, DEPARTMENTS, papers=papers)


def write_more_accounts(app):
    """The accounts beside the cast."""
    with app.app_context(), access.system_session("audit", door="command") as session:
        departments = {row.name: row.id for row in session.query(models.Department)}
        for username, (_, names) in MORE_ACCOUNTS.items():
            security.create_account(
                session,
                username=username,
                first_name="Someone",
                last_name=username,
                email=f"{username}@foyer.example",
                department_id=departments[(names or ("Management",))[0]],
                roles=ROLE_NAMES[username],
                password=security.DEMO_PASSWORD,
            )


class Audit(walk.Audit):
    """The walk through the house of the cast; `who`: these of its accounts, where not all walk."""

    def __init__(self, app, database, *, rows=1, papers=True, who=None, **how):
        for fault in (*undeclared_tables(), *unguarded_routes(app)):
            raise AuditFailed(fault)
        write_more_accounts(app)
        world = World(app, rows, papers=papers)
        with app.app_context(), access.system_session("audit", writes=False) as session:
            ids = {user.username: user.id for user in session.query(security.User)}
        self.by_name = {name: person_of(name, ids[name]) for name in (*ACCOUNTS, *MORE_ACCOUNTS)}
        walked = [self.by_name[name] for name in who or self.by_name]
        super().__init__(app, database, world, walked, **how)

    def walk_one(self, account, path):
        return super().walk_one(self.by_name[account], path)

    def visible(self, person):
        return super().visible(self.by_name[person] if isinstance(person, str) else person)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", choices=databases.ENGINES, default="sqlite")
    parser.add_argument("--rows", type=int, default=2, help="rows of every kind in every department")
    parser.add_argument("--step", type=int, default=1, help="search for every n-th word only")
    parser.add_argument("--thin", type=int, default=1, help="open every n-th foreign row only")
    options = parser.parse_args()
    run = databases.start_run()
    started = time.monotonic()
    try:
        with databases.fresh_database(options.engine) as database, databases.app_on(database) as app:
            how = {"rows": options.rows, "step": options.step, "thin": options.thin}
            outcome = Audit(app, database, **how).run()
    finally:
        if run:
            databases.end_run(run)
    print(f"{options.engine}: {outcome}; {time.monotonic() - started:.0f} s")
    for fault in outcome.faults[:100]:
        print("  ", fault)
    return 1 if outcome.faults else 0


if __name__ == "__main__":
    sys.exit(main())
