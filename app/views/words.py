"""The words for rights: entities, verbs, reaches and conditions as people read them."""

from flask_babel import gettext

from app import models, roles
from app.extensions import N_

ENTITIES = {
    "company": N_("Companies"),
    "contact": N_("Contacts"),
    "deal": N_("Deals"),
    "activity": N_("Activities"),
    "ticket": N_("Tickets"),
    "campaign": N_("Campaigns"),
    "invoice": N_("Invoices"),
    "payment": N_("Payments"),
    "sales_report": N_("Sales report"),
    "product": N_("Products"),
    "tax_rate": N_("Tax rates"),
    "pipeline": N_("Pipelines"),
    "stage": N_("Stages"),
    "tag": N_("Tags"),
    "custom_field": N_("Custom fields"),
    "number_series": N_("Number series"),
    "department": N_("Departments"),
    "staff": N_("Staff"),
    "account": N_("Accounts"),
    "membership": N_("Memberships"),
    "deputy": N_("Deputies"),
    "role": N_("Roles"),
    "share": N_("Shared records"),
    "group_mapping": N_("Group mappings"),
    "second_factor_rule": N_("Rules of second factors"),
    "own_account": N_("One's own account"),
    "second_factor": N_("One's own second factor"),
    "api_key": N_("One's own API keys"),
    "notification": N_("One's own notifications"),
    "import_mapping": N_("Mappings of imports"),
    "job": N_("Jobs"),
    "outbox_message": N_("Outgoing messages"),
    "change_set": N_("Changes"),
    "read_entry": N_("Ledger of reads"),
    "approval": N_("Approvals"),
}
VERBS = {
    "see": N_("see"),
    "add": N_("add"),
    "edit": N_("edit"),
    "delete": N_("delete"),
    "export": N_("export"),
    "import": N_("import"),
    "bulk": N_("change many"),
    "merge": N_("merge"),
    "share": N_("share"),
    "erase": N_("erase for good"),
    "win": N_("win"),
    "lose": N_("lose"),
    "reply": N_("reply"),
    "solve": N_("solve"),
    "issue": N_("issue"),
    "pay": N_("record payments"),
    "undo": N_("take back"),
    "trace": N_("trace a file"),
}
REACHES = {
    roles.OWN: N_("own rows"),
    roles.DEPARTMENT: N_("the department"),
    roles.BELOW: N_("the department and all below"),
    roles.ALL: N_("everything"),
}
CONDITIONS = {"customer": N_("only customers"), "won": N_("only won ones")}


def entity_name(entity):
    return gettext(ENTITIES.get(entity, entity))


def verb_name(verb):
    return gettext(VERBS.get(verb, verb))


def field_name(entity, name):
    """The human name of a column."""
    return gettext(models.ENTITIES[entity].__table__.c[name].info["label"])
