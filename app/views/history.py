"""The history of a record, told from the ledger: who changed what, when, through which door."""

from flask import g
from flask_babel import gettext
from sqlalchemy import select
from sqlalchemy.orm import selectinload

from app.extensions import N_
from app.models import ENTITIES, Change, ChangeSet
from app.past import CUSTOM, revived
from app.rules import custom_fields
from app.views import cells, custom_values
from app.views.reading import moment

SHOWN = 200

DOORS = {
    "page": N_("in the browser"),
    "api": N_("through the API"),
    "import": N_("by an import"),
    "bulk": N_("in many records at once"),
    "merge": N_("by a merge"),
    "undo": N_("by an undo"),
    "hand-over": N_("by a hand-over"),
    "command": N_("by a command"),
    "system": N_("by the system"),
    "sign-in": N_("at sign-in"),
}
# Columns of which a history says nothing: numbers and stamps.
UNTOLD = {"id", "position", "created_at", "created_by_id", "version"}


def entries(session, row, *, before=None, restores=(), action=None):
    """The last changes of this record and its parts, newest first, as the timeline component shows them.

    Returns them with the number that the next page is before; None where nothing is left. `restores` names the columns
    whose old values may be set back by a POST to `action`.
    """
    statement = _changes_of(row)
    if before is not None:
        statement = statement.where(Change.id < before)
    found = session.scalars(statement.limit(SHOWN + 1)).all()
    changes = found[:SHOWN]
    names = names_in(session, changes)
    following = changes[-1].id if len(found) > SHOWN else None
    told = []
    for change in changes:
        entry = _entry(change, row, names)
        if (change.entity, change.action) == (row.__tablename__, "edit"):
            for line in entry["changes"]:
                if line["name"] in restores:
                    hidden = {"change": change.id, "column": line["name"], "version": row.version}
                    line["deed"] = {"action": action, "hidden": hidden}
        told.append(entry)
    return told, following


def last_change(session, row):
    """(who, when) last changed this record; when in words."""
    change = session.scalars(_changes_of(row).limit(1)).first()
    if change is None:
        return None, ""
    return who(change.change_set), moment(change.change_set.at)


def who(change_set):
    """Who made it, by name."""
    return change_set.by.name if change_set.by else gettext("The system")


def door_of(change_set):
    """Through which door it came, in words."""
    return gettext(DOORS.get(change_set.door, change_set.door))


def what_was_done(change):
    """added, edited, deleted"""
    return gettext(Change.__table__.c.action.info["choices"][change.action])


def lines(change, names, row=None):
    """What a change did to each column: label, before and after in words. Of `row` it is told what is shown of it."""
    model = ENTITIES[change.entity]
    is_its_own = row is not None and change.entity == row.__tablename__
    hidden = g.principal.hidden_on(row) if is_its_own else g.principal.hidden(change.entity)
    is_part = change.entity != change.root_entity
    untold = UNTOLD | ({f"{change.root_entity}_id", "entity", "record_id"} if is_part else set())
    return [
        {
            "name": name,
            "label": _label(model, name, names),
            "before": _words(model, name, before, names),
            "after": _words(model, name, after, names),
        }
        for name, (before, after) in change.values.items()
        if name not in untold | hidden and _label(model, name, names) is not None
    ]


def names_in(session, changes):
    """(entity, id) -> name of every record that the changes link to and the reader may see; his custom fields."""
    names = {}
    for model in {ENTITIES[change.entity] for change in changes}:
        states = [
            {name: value for name, pair in change.values.items() for value in [pair[side]]}
            for change in changes
            if change.entity == model.__tablename__
            for side in (0, 1)
        ]
        names |= names_of_links(session, model, states)
    custom = {
        (change.entity, name.removeprefix(CUSTOM))
        for change in changes
        for name in change.values
        if name.startswith(CUSTOM)
    }
    for entity in sorted({entity for entity, _ in custom}):
        names |= _custom_names(session, entity, changes)
    return names


def _custom_names(session, entity, changes):
    """The custom fields of an entity that the reader sees, by their names, and what their links lead to."""
    fields = custom_fields.fields_for(session, entity)
    values = [
        {name.removeprefix(CUSTOM): pair[side] for name, pair in change.values.items()}
        for change in changes
        if change.entity == entity
        for side in (0, 1)
    ]
    known = {(CUSTOM, entity, one.name): one for one in fields}
    return known | custom_fields.names_of(session, fields, values)


def names_of_links(session, model, states):
    """(entity, id) -> name of every record that these states (column -> value) link to and the reader may see."""
    wanted = {}
    for column in model.__table__.c:
        target = cells.target_of(column)
        if target is not None:
            keys = {state.get(column.name) for state in states} - {None}
            wanted.setdefault(target, set()).update(keys)
    return {
        (target.__tablename__, row.id): str(row)
        for target, keys in wanted.items()
        if keys
        for row in session.scalars(select(target).where(target.id.in_(keys)))
    }


def _changes_of(row):
    links = selectinload(Change.change_set).selectinload(ChangeSet.by)
    this = (Change.root_entity == row.__tablename__, Change.root_id == row.id)
    return select(Change).where(*this).order_by(Change.id.desc()).options(links)


def _entry(change, row, names):
    change_set, what = change.change_set, what_was_done(change)
    is_part = change.entity != row.__tablename__
    title = f"{gettext(PARTS.get(change.entity, change.entity))} {what}" if is_part else what.capitalize()
    return {
        "at": moment(change_set.at),
        "at_iso": change_set.at.isoformat(),
        "who": f"{who(change_set)} · {door_of(change_set)}",
        "title": title,
        "href": f"/changes/{change_set.id}",
        "kind": "change",
        "body": change_set.why,
        "changes": lines(change, names, row),
    }


KINDS = {}  # entity -> what people call one such record; views fill it in as they are registered
PARTS = {
    "deal_line": N_("Line"),
    "ticket_message": N_("Message"),
    "campaign_member": N_("Member"),
    "invoice_line": N_("Line"),
    "payment": N_("Payment"),
    "document": N_("Document"),
    "external_key": N_("External key"),
    "tagging": N_("Tag"),
    "share": N_("Share"),
    "attachment": N_("File"),
}


def _label(model, name, names):
    """What people call the column; None for one that they never see."""
    if name.startswith(CUSTOM):
        one = names.get((CUSTOM, model.__tablename__, name.removeprefix(CUSTOM)))
        return one.label(custom_values.language()) if one else None
    column = model.__table__.c.get(name)
    return cells.label(column) if column is not None and column.info.get("label") else None


def _words(model, name, value, names):
    if value is None:
        return None
    if name.startswith(CUSTOM):
        one = names[CUSTOM, model.__tablename__, name.removeprefix(CUSTOM)]
        return custom_values.words(one, value, names)
    column = model.__table__.c[name]
    target = cells.target_of(column)
    if target is not None:
        return names.get((target.__tablename__, value), gettext("not visible"))
    return cells.words(cells.shown(column, revived(column, value)))
