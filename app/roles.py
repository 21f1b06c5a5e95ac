"""Who may do what: one table. Read a role aloud: "sales works deals of its own department".

A grant is an entity, the verbs on it, how far they reach, at most one named condition (`app/access.py` knows it), and
the fields that it keeps hidden or lets nobody write. These roles are the house's; IT composes more of the same parts in
the admin pages (table `role`), and gives a person one or several of them, each in a department (table `membership`).
`upgrade` writes the names of these roles and their permissions into Flask-AppBuilder's tables; nothing else does.
"""

from typing import NamedTuple

# How far a grant reaches, from near to far.
OWN = "own"  # rows one looks after
DEPARTMENT = "department"  # rows of one's department
BELOW = "below"  # rows of one's department and of all below it
ALL = "all"  # every row

# The verbs there are for each entity: reading, writing, what is done with many rows at once, and its deeds.
SEE = ("see",)
WRITE = ("see", "add", "edit", "delete")
MANY = ("export", "import", "bulk")
WORK = (*WRITE, *MANY)
VERBS = {
    "company": (*WORK, "merge", "share", "erase"),
    "contact": (*WORK, "merge", "share", "erase"),
    "deal": (*WORK, "share", "erase", "win", "lose"),
    "activity": (*WORK, "erase"),
    "ticket": (*WORK, "share", "erase", "reply", "solve"),
    "campaign": (*WORK, "share", "erase"),
    "invoice": (*WORK, "issue", "pay"),
    "payment": ("see", "export"),  # recorded on its invoice, and seen with it
    "product": WORK,
    "tax_rate": (*WRITE, "export"),
    "pipeline": (*WRITE, "export"),
    "stage": (*WRITE, "export"),
    "department": (*WRITE, "export"),
    "staff": (*WRITE, "export"),
    "number_series": ("see", "edit", "add", "export"),
    "account": ("see", "edit"),  # sign-in names, passwords, sessions
    "own_account": ("see", "edit"),  # one's own password, sessions, and what else one signs in with
    "group_mapping": (*WRITE, "export"),
    "second_factor_rule": WRITE,
    "second_factor": ("see", "edit"),  # everyone his own
    "api_key": ("see", "add", "delete"),  # everyone his own
    "notification": ("see", "edit"),  # everyone his own: to read, and to mark as read
    "membership": ("see", "add", "edit", "delete"),  # which role a person holds in which department
    "deputy": ("see", "add", "edit", "delete"),
    "role": WRITE,  # those that the firm composes
    "share": ("see",),  # given and taken with the verb of the record it is about
    "sales_report": ("see", "export"),
    "tag": (*WRITE, "export"),
    "custom_field": (*WRITE, "export"),
    "import_mapping": WRITE,
    "job": WRITE,  # work that outlasts a request: everyone his own
    "outbox_message": ("see", "add"),
    "change_set": ("see", "undo"),  # which ones, follows from the records they changed
    "read_entry": ("see", "trace"),  # the ledger of what was opened and taken out; whose a leaked file is
    "approval": ("see", "add", "edit"),  # of exports above a set size
}


class Grant(NamedTuple):
    """One line of a role. A field that is hidden cannot be written either."""

    entity: str
    verbs: tuple
    reach: str
    condition: str | None = None
    hidden: tuple = ()
    read_only: tuple = ()


def works(*entities, reach, but=()):
    """Everything that can be done with these entities, but for some verbs."""
    return [
        Grant(entity, tuple(verb for verb in VERBS[entity] if verb not in but), reach) for entity in entities
    ]


def reads(*entities, reach, only=None, hidden=()):
    """Look, not touch; `only` names the condition under which."""
    return [Grant(entity, SEE, reach, only, hidden) for entity in entities]


def reads_out(*entities, reach, only=None, hidden=()):
    """Look, and take a file of it along."""
    return [Grant(entity, ("see", "export"), reach, only, hidden) for entity in entities]


def widened(grants):
    """The same grants for a head: what reached the own department reaches all below it, and may be erased for good."""
    return [
        grant._replace(
            reach=BELOW,
            verbs=tuple(verb for verb in VERBS[grant.entity] if verb in grant.verbs or _is_for_heads(verb, grant)),
        )
        if grant.reach == DEPARTMENT
        else grant
        for grant in grants
    ]


def _is_for_heads(verb, grant):
    return verb == "erase" and "delete" in grant.verbs


BUSINESS = ("company", "contact", "deal", "activity", "ticket", "campaign", "invoice", "payment")

EVERYONE = [
    *reads_out(
        "department", "staff", "pipeline", "stage", "product", "tax_rate", "tag", "custom_field", reach=ALL
    ),
    *reads("change_set", "role", reach=ALL),
    *reads("membership", "deputy", "read_entry", reach=OWN),
    Grant("approval", ("see", "add"), OWN),
    *works("job", "outbox_message", "own_account", "second_factor", "api_key", "notification", reach=OWN),
]
# For whoever works on records of his own, not only reads.
HANDS_ON = [
    Grant("change_set", ("undo",), ALL),
    Grant("tag", ("add",), ALL),
    *works("import_mapping", reach=ALL),
]
# Heads arrange their people's fields, tags, membership and deputies, and approve what leaves the house in bulk. Which
# fields, says `rules/custom_fields.py`; which memberships, `rules/members.py`: never more than they hold themselves.
ARRANGES = [
    *works("tag", reach=ALL),
    *works("custom_field", "membership", "deputy", reach=BELOW),
    Grant("approval", ("see", "edit"), BELOW),
    *works("read_entry", reach=BELOW),
]

SALES = [
    *HANDS_ON,
    *works("company", "contact", "deal", "activity", reach=DEPARTMENT, but=("erase",)),
    *reads_out("invoice", "payment", "sales_report", reach=DEPARTMENT),
]
SUPPORT = [
    *HANDS_ON,
    *reads("company", reach=ALL),
    *reads("contact", reach=ALL, hidden=("birth_date",)),
    *works("ticket", "activity", reach=DEPARTMENT, but=("erase",)),
]
MARKETING = [
    *HANDS_ON,
    *reads_out("company", "contact", reach=ALL),
    *works("campaign", "activity", reach=DEPARTMENT, but=("erase",)),
]
FINANCE = [
    *HANDS_ON,
    *reads_out("company", reach=ALL, only="customer", hidden=("notes",)),
    *reads_out("deal", reach=ALL, only="won", hidden=("notes",)),
    *works("invoice", "number_series", reach=ALL),
    *works("activity", reach=DEPARTMENT, but=("erase",)),
    *works("product", "tax_rate", reach=ALL),
    *reads_out("payment", "sales_report", reach=ALL),
]

ROLES = {
    "sales": SALES,
    "support": SUPPORT,
    "marketing": MARKETING,
    "finance": FINANCE,
    "head of sales": [*widened(SALES), *ARRANGES],
    "head of support": [*widened(SUPPORT), *ARRANGES],
    "head of marketing": [*widened(MARKETING), *ARRANGES],
    "head of finance": [*widened(FINANCE), *ARRANGES],
    "director": [
        *reads_out(*BUSINESS, "sales_report", reach=ALL),
        *reads("membership", "deputy", reach=ALL),
        *works("read_entry", reach=ALL),
        Grant("approval", ("see", "edit"), ALL),
    ],
    "reader": reads(*BUSINESS, reach=DEPARTMENT),
    "admin": [
        *works(
            "department",
            "staff",
            "account",
            "group_mapping",
            "second_factor_rule",
            "pipeline",
            "stage",
            "product",
            "tax_rate",
            "number_series",
            "tag",
            "custom_field",
            "import_mapping",
            "change_set",
            "membership",
            "deputy",
            "role",
            reach=ALL,
        ),
        *works("read_entry", reach=ALL),
        *reads("approval", reach=ALL),
    ],
}


# What a deed writes beside its record: who may do it, may that, however a firm has composed his role.
WITH_DEEDS = {("invoice", "issue"): Grant("number_series", ("see", "edit", "add"), ALL)}


def grants_of(role, composed=None):
    """The grants of one role, the house's or the firm's own (`composed`: name -> grants). Unknown grants nothing."""
    grants = tuple(ROLES.get(role) or (composed or {}).get(role, ()))
    return grants + tuple(
        more
        for (entity, verb), more in WITH_DEEDS.items()
        if any(one.entity == entity and verb in one.verbs for one in grants)
        and not any(one.entity == more.entity and set(more.verbs) <= set(one.verbs) for one in grants)
    )
