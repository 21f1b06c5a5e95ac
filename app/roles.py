"""Who may do what: one table. Read a role aloud: "sales works deals of its own department".

A grant is an entity, the verbs on it, how far they reach, and at most one named condition (`app/access.py` knows it).
`upgrade` writes these roles and their permissions into Flask-AppBuilder's tables; nothing else does.
"""

from typing import NamedTuple

# How far a grant reaches, from near to far.
OWN = "own"  # rows one looks after
DEPARTMENT = "department"  # rows of one's department
BELOW = "below"  # rows of one's department and of all below it
ALL = "all"  # every row

# The verbs there are for each entity: reading, writing, and its deeds.
SEE = ("see",)
WRITE = ("see", "add", "edit", "delete")
VERBS = {
    "company": WRITE,
    "contact": WRITE,
    "deal": (*WRITE, "win", "lose"),
    "activity": WRITE,
    "ticket": (*WRITE, "reply", "solve"),
    "campaign": WRITE,
    "invoice": (*WRITE, "issue", "pay"),
    "payment": SEE,  # recorded on its invoice, and seen with it
    "product": WRITE,
    "tax_rate": WRITE,
    "pipeline": WRITE,
    "stage": WRITE,
    "department": WRITE,
    "staff": WRITE,
    "number_series": ("see", "edit", "add"),
    "account": ("see", "edit"),  # sign-in names, passwords, roles
    "sales_report": SEE,
    "tag": WRITE,
    "custom_field": WRITE,
    "import_mapping": WRITE,
    "job": WRITE,  # work that outlasts a request: everyone his own
    "outbox_message": ("see", "add"),
    "change_set": ("see", "undo"),  # which ones, follows from the records they changed
}


class Grant(NamedTuple):
    entity: str
    verbs: tuple
    reach: str
    condition: str | None = None


def works(*entities, reach):
    """Everything that can be done with these entities."""
    return [Grant(entity, VERBS[entity], reach) for entity in entities]


def reads(*entities, reach, only=None):
    """Look, not touch; `only` names the condition under which."""
    return [Grant(entity, SEE, reach, only) for entity in entities]


def widened(grants):
    """The same grants for a head: what reached the own department reaches all below it too."""
    return [grant._replace(reach=BELOW) if grant.reach == DEPARTMENT else grant for grant in grants]


BUSINESS = ("company", "contact", "deal", "activity", "ticket", "campaign", "invoice", "payment")

EVERYONE = [
    *reads(
        "department", "staff", "pipeline", "stage", "product", "tax_rate", "tag", "custom_field", reach=ALL
    ),
    *reads("change_set", reach=ALL),
    *works("job", "outbox_message", reach=OWN),
]
# For whoever works on records of his own, not only reads.
HANDS_ON = [
    Grant("change_set", ("undo",), ALL),
    Grant("tag", ("add",), ALL),
    *works("import_mapping", reach=ALL),
]
# Heads arrange their people's fields and tags; which fields, says `rules/custom_fields.py`.
ARRANGES = works("tag", "custom_field", reach=ALL)

SALES = [
    *HANDS_ON,
    *works("company", "contact", "deal", "activity", reach=DEPARTMENT),
    *reads("invoice", "payment", "sales_report", reach=DEPARTMENT),
]
SUPPORT = [
    *HANDS_ON,
    *reads("company", "contact", reach=ALL),
    *works("ticket", "activity", reach=DEPARTMENT),
]
MARKETING = [
    *HANDS_ON,
    *reads("company", "contact", reach=ALL),
    *works("campaign", "activity", reach=DEPARTMENT),
]
FINANCE = [
    *HANDS_ON,
    *reads("company", reach=ALL, only="customer"),
    *reads("deal", reach=ALL, only="won"),
    *works("invoice", "number_series", reach=ALL),
    *works("activity", reach=DEPARTMENT),
    *works("product", "tax_rate", reach=ALL),
    *reads("payment", "sales_report", reach=ALL),
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
    "director": reads(*BUSINESS, "sales_report", reach=ALL),
    "reader": reads(*BUSINESS, reach=DEPARTMENT),
    "admin": works(
        "department",
        "staff",
        "account",
        "pipeline",
        "stage",
        "product",
        "tax_rate",
        "number_series",
        "tag",
        "custom_field",
        "import_mapping",
        "change_set",
        reach=ALL,
    ),
}


def grants_of(roles):
    """All grants of these roles together, and what everyone signed in may. An unknown role grants nothing."""
    return tuple(dict.fromkeys([*EVERYONE, *(grant for role in roles for grant in ROLES.get(role, ()))]))
