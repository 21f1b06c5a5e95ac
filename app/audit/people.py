"""Who may see what, in plain SQL: the requirement a second time, without a line of `app/access.py`."""

import json
from dataclasses import dataclass, field

from app.models import ENTITIES, INDEX_TABLES, PRIVATE_TABLES, SECURITY_TABLES

MAIN = ("company", "contact", "deal", "ticket", "campaign", "invoice", "activity")
# Role -> table -> which of its rows, in SQL over the table `t`. {own}: rows of the departments it reaches.
SEES = {
    "sales": dict.fromkeys(("company", "contact", "deal", "invoice", "activity"), "{own}"),
    "support": {"company": "1 = 1", "contact": "1 = 1", "ticket": "{own}", "activity": "{own}"},
    "marketing": {"company": "1 = 1", "contact": "1 = 1", "campaign": "{own}", "activity": "{own}"},
    "finance": {
        "company": "(t.kind = 'customer' OR t.id IN (SELECT company_id FROM invoice) OR t.id IN (SELECT d.company_id"
        " FROM deal d JOIN stage s ON s.id = d.stage_id WHERE s.outcome = 'won'))",
        "deal": "t.stage_id IN (SELECT id FROM stage WHERE outcome = 'won')",
        "invoice": "1 = 1",
        "activity": "{own}",
        "number_series": "1 = 1",
    },
    "reader": dict.fromkeys(MAIN, "{own}"),
    "director": dict.fromkeys(MAIN, "1 = 1"),
    "admin": dict.fromkeys(("number_series", "group_mapping", "second_factor_rule"), "1 = 1"),
}
# What their holders may see, but not take along as a file.
NOT_TAKEN = {"support": ("company", "contact"), "reader": MAIN}
# The named conditions, as a role of the firm's own may hold them.
ONLY = {
    ("company", "customer"): SEES["finance"]["company"],
    ("deal", "won"): SEES["finance"]["deal"],
}
# Role -> (table, column) that it keeps from its holders.
HIDDEN = {
    "finance": {("company", "notes"), ("deal", "notes")},
    "support": {("contact", "birth_date")},
}
HEAD = "head of "  # such a role sees what the role behind these words does, in all departments below
PARTS = {
    "deal_line": "deal",
    "ticket_message": "ticket",
    "campaign_member": "campaign",
    "invoice_line": "invoice",
    "payment": "invoice",
    "job_file": "job",
}
EVERYBODYS = (
    "department",
    "staff",
    "pipeline",
    "stage",
    "product",
    "tax_rate",
    "tag",
    "custom_field",
    "role",
)
ADMINS = ("group_mapping", "second_factor_rule")
THEIR_OWN = ("job", "outbox_message")  # each sees those he began, heads too
# What tells of people's rights and reading: each his own, heads that of their part of the tree, these two all of it.
OF_PEOPLE = ("membership", "deputy", "read_entry", "approval")
OVERSEERS = ("admin", "director")
SHARED = ("company", "contact", "deal", "ticket", "campaign")
NOBODY = "NULL"


@dataclass
class Person:
    """Somebody who is walked: who he is, and what he holds, as SQL.

    `him` and `persons` are lists of account ids (himself; and those he stands in for), `joined` those of the
    departments in which he holds roles. `ways` maps a table to (condition, hidden columns) of each grant.
    """

    name: str
    him: str
    persons: str = ""
    joined: str = NOBODY
    ways: dict = field(default_factory=dict)
    takes: dict = field(default_factory=dict)  # table -> conditions of the grants by which he exports
    told: str = ""
    user_id: int | None = None

    def __post_init__(self):
        self.persons = self.persons or self.him

    def holds(self, role, departments, below, owner=None):
        """He holds a role of the house in departments; `below`: those and all under them. Both are SQL."""
        plain = role.removeprefix(HEAD)
        reached = below if role.startswith(HEAD) else departments
        hidden = HIDDEN.get(plain, set())
        for table, condition in SEES.get(plain, {}).items():
            condition = condition.format(own=f"t.department_id IN ({reached})")
            self._way(table, condition, {name for one, name in hidden if one == table})
            if table not in NOT_TAKEN.get(plain, ()):
                self.takes.setdefault(table, []).append(condition)
        if role in OVERSEERS:
            self._tells("1 = 1")
        elif role.startswith(HEAD):
            self._tells(f"t.department_id IN ({below})")

    def holds_grants(self, grants, departments, below, owner=None):
        """He holds a role of the firm's own, as its row says it."""
        reaches = {
            "own": f"t.owner_id IN ({owner or self.him})",
            "department": f"t.department_id IN ({departments})",
            "below": f"t.department_id IN ({below})",
            "all": "1 = 1",
        }
        for grant in grants:
            table, condition = grant["entity"], reaches[grant["reach"]]
            if grant.get("condition"):
                condition = f"({condition}) AND {ONLY[table, grant['condition']]}"
            if table == "invoice" and "issue" in grant["verbs"]:  # who issues gives the numbers
                self._way("number_series", "1 = 1", set())
            if "see" in grant["verbs"]:
                self._way(table, condition, set(grant.get("hidden") or ()))
            if "export" in grant["verbs"]:
                self.takes.setdefault(table, []).append(condition)

    def _way(self, table, condition, hidden):
        self.ways.setdefault(table, []).append((condition, frozenset(hidden)))

    def _tells(self, condition):
        self.told = f"{self.told} OR {condition}" if self.told else condition

    @property
    def hidden(self):
        """(table, column) that some grant of his hides."""
        return {(table, name) for table, ways in self.ways.items() for _, names in ways for name in names}


def condition(person, table):
    """Which rows of this table the person may see, as SQL over `t`."""
    if table in EVERYBODYS:
        return "1 = 1"
    if table in THEIR_OWN:
        return f"t.owner_id IN ({person.him})"
    if table == "duplicate_pair":
        return " OR ".join(
            f"(t.entity = '{one}' AND t.one_id IN ({_ids(person, one)}) AND t.other_id IN ({_ids(person, one)}))"
            for one in MAIN
        )
    if table in PARTS:
        parent = PARTS[table]
        return f"t.{parent}_id IN ({_ids(person, parent)})"
    if table in OF_PEOPLE:
        ways = [f"t.owner_id IN ({person.him})", *([person.told] if person.told else [])]
        return " OR ".join([*ways, *(one for one, _ in person.ways.get(table, ()))])
    if table in ("document", "external_key", "search_entry", "tagging", "share", "attachment"):
        return _of_record(person, "entity", "record_id")
    if table == "change":
        return _of_record(person, "root_entity", "root_id")
    if table == "change_set":
        return f"t.id IN (SELECT change_set_id FROM change t WHERE {condition(person, 'change')})"
    ways = [one for one, _ in person.ways.get(table, ())]
    if table in SHARED:
        ways.append(_shared_with(person, table))
    found = " OR ".join(f"({way})" for way in ways) or "1 = 0"
    if table == "activity":
        for subject in ("company", "contact", "deal", "ticket"):
            found = f"({found}) AND (t.{subject}_id IS NULL OR t.{subject}_id IN ({_ids(person, subject)}))"
    return found


def taken(person, table):
    """Which of the rows that he sees the person may take along as a file."""
    return " OR ".join(f"({one})" for one in person.takes.get(table, ())) or "1 = 0"


def left_open(person, table, column):
    """Which rows of a table show this column to the person, where some grant of his hides it."""
    ways = [one for one, hidden in person.ways.get(table, ()) if column not in hidden]
    return " OR ".join(f"({way})" for way in ways) or "1 = 0"


def _shared_with(person, table):
    """What is shared with him or with a department in which he holds a role, and until when it is."""
    return (
        f"t.id IN (SELECT s.record_id FROM share s WHERE s.entity = '{table}' "
        f"AND (s.until_on IS NULL OR s.until_on >= CURRENT_DATE) AND (s.to_staff_id IN ({person.persons}) "
        f"OR s.to_department_id IN ({person.joined})))"
    )


def _ids(person, table):
    return f"SELECT t.id FROM {table} t WHERE {condition(person, table)}"


def _of_record(person, entity, key):
    tables = (*MAIN, *EVERYBODYS, *ADMINS, *PARTS, *OF_PEOPLE, "number_series")
    return " OR ".join(f"(t.{entity} = '{table}' AND t.{key} IN ({_ids(person, table)}))" for table in tables)


def undeclared_tables(metadata):
    """Tables that do not say who sees their rows, or of which nothing stands above."""
    known = (*MAIN, *PARTS, *THEIR_OWN, *OF_PEOPLE, "document", "external_key", "search_entry", "change")
    known += ("change_set", "tagging", "attachment", "duplicate_pair", "share")
    faults = []
    for table in metadata.tables.values():
        sight = getattr(ENTITIES.get(table.name), "__sight__", None)
        if table.name in SECURITY_TABLES | INDEX_TABLES | PRIVATE_TABLES:
            continue
        if sight not in ("scoped", "reference"):
            faults.append(f"{table.name} declares no sight")
        if sight == "scoped" and table.name not in known:
            faults.append(f"{table.name} is scoped, but the audit knows no rule for it")
        if sight == "reference" and table.name not in (
            *EVERYBODYS,
            *ADMINS,
            "number_series",
            "import_mapping",
        ):
            faults.append(f"{table.name} is everybody's, but the requirement does not say so")
    return faults


# --------------------------------------------------------------------------------------------- the people of a house


def people_of(ask, today):
    """One person for each way in which rights are held in this house: those who hold the same are walked as one.

    `ask(statement)` is plain SQL on the scratch copy; `today` the firm's day, as the database writes it.
    """
    tree, composed = _tree(ask), {name: grants for name, grants in ask("SELECT name, grants FROM role")}
    held = {}
    for owner, role, department in ask("SELECT owner_id, role, department_id FROM membership ORDER BY id"):
        held.setdefault(owner, set()).add((role, department))
    stands_in = {}
    for owner, deputy in ask(
        f"SELECT owner_id, deputy_id FROM deputy WHERE starts_on <= '{today}' AND ends_on >= '{today}'"
    ):
        stands_in.setdefault(deputy, set()).add(owner)
    accounts = ask(
        "SELECT u.id, u.username, s.department_id FROM ab_user u JOIN staff s ON s.id = u.id "
        "WHERE u.active ORDER BY u.id"
    )
    shared = {key for (key,) in ask("SELECT DISTINCT to_staff_id FROM share WHERE to_staff_id IS NOT NULL")}
    found = {}
    for user_id, username, department in accounts:
        acts_for = frozenset(stands_in.get(user_id, ()))
        key = frozenset(held.get(user_id, ())), department, acts_for, user_id if user_id in shared else None
        if key not in found:
            found[key] = _person(user_id, username, department, held, acts_for, tree, composed)
    return list(found.values())


def _person(user_id, username, department, held, acts_for, tree, composed):
    persons = [user_id, *sorted(acts_for)]
    joined = {department, *(key for one in persons for _, key in held.get(one, ()))}
    person = Person(
        f"{username} ({', '.join(sorted(role for role, _ in held.get(user_id, ()))) or 'no role'})",
        him=str(user_id),
        persons=", ".join(map(str, persons)),
        joined=_list(joined),
        user_id=user_id,
    )
    for owner in persons:
        for role, key in sorted(held.get(owner, ()), key=str):
            where = {"departments": _list({key}), "below": _list(_under(tree, key)), "owner": str(owner)}
            grants = composed.get(role)
            if grants is None:
                person.holds(role, **where)
            else:
                person.holds_grants(json.loads(grants) if isinstance(grants, str) else grants, **where)
    return person


def _list(keys):
    return ", ".join(str(key) for key in sorted(key for key in keys if key is not None)) or NOBODY


def _tree(ask):
    children = {}
    for key, parent in ask("SELECT id, parent_id FROM department"):
        children.setdefault(parent, []).append(key)
    return children


def _under(tree, department):
    found, waiting = set(), [department]
    while waiting:
        key = waiting.pop()
        if key not in found:
            found.add(key)
            waiting.extend(tree.get(key, ()))
    return found
