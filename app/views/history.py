"""The history of a record, told from the ledger: who changed what, when, through which door."""

from decimal import Decimal

from flask_babel import gettext
from sqlalchemy import select
from sqlalchemy.orm import selectinload

from app.extensions import N_
from app.models import ENTITIES, Change, ChangeSet
from app.views import cells
from app.views.reading import moment

SHOWN = 200

DOORS = {
    "page": N_("in the browser"),
    "api": N_("through the API"),
    "import": N_("by an import"),
    "command": N_("by a command"),
    "system": N_("by the system"),
    "sign-in": N_("at sign-in"),
}


def entries(session, row, *, before=None):
    """The last changes of this record and its parts, newest first, as the timeline component shows them.

    Returns them with the number that the next page is before; None where nothing is left.
    """
    statement = _changes_of(row)
    if before is not None:
        statement = statement.where(Change.id < before)
    found = session.scalars(statement.limit(SHOWN + 1)).all()
    changes = found[:SHOWN]
    names = _names_of_links(session, changes)
    following = changes[-1].id if len(found) > SHOWN else None
    return [_entry(change, row, names) for change in changes], following


def last_change(session, row):
    """(who, when) last changed this record; when in words."""
    change = session.scalars(_changes_of(row).limit(1)).first()
    if change is None:
        return None, ""
    by = change.change_set.by
    return (by.name if by else gettext("The system")), moment(change.change_set.at)


def _changes_of(row):
    links = selectinload(Change.change_set).selectinload(ChangeSet.by)
    this = (Change.root_entity == row.__tablename__, Change.root_id == row.id)
    return select(Change).where(*this).order_by(Change.id.desc()).options(links)


def _entry(change, row, names):
    change_set, model = change.change_set, ENTITIES[change.entity]
    is_part = change.entity != row.__tablename__
    what = gettext(dict(ENTITIES["change"].__table__.c.action.info["choices"])[change.action])
    title = f"{gettext(PARTS.get(change.entity, change.entity))} {what}" if is_part else what.capitalize()
    untold = ("id", "position", "created_at", "created_by_id", f"{row.__tablename__}_id")
    lines = [
        {
            "label": cells.label(model.__table__.c[name]),
            "before": _words(model, name, before, names),
            "after": _words(model, name, after, names),
        }
        for name, (before, after) in change.values.items()
        if name in model.__table__.c and name not in untold
    ]
    door = gettext(DOORS.get(change_set.door, change_set.door))
    return {
        "at": moment(change_set.at),
        "at_iso": change_set.at.isoformat(),
        "who": f"{change_set.by.name if change_set.by else gettext('The system')} · {door}",
        "title": title,
        "kind": "change",
        "body": change_set.why,
        "changes": lines,
    }


PARTS = {
    "deal_line": N_("Line"),
    "ticket_message": N_("Message"),
    "campaign_member": N_("Member"),
    "invoice_line": N_("Line"),
    "payment": N_("Payment"),
    "document": N_("Document"),
    "external_key": N_("External key"),
}


def _names_of_links(session, changes):
    """(entity, id) -> name, for every record that the changes link to and the reader may see."""
    wanted = {}
    for change in changes:
        for name, pair in change.values.items():
            column = ENTITIES[change.entity].__table__.c.get(name)
            if column is not None and (target := cells.target_of(column)) is not None:
                wanted.setdefault(target, set()).update(key for key in pair if key is not None)
    return {
        (target.__tablename__, row.id): str(row)
        for target, keys in wanted.items()
        for row in session.scalars(select(target).where(target.id.in_(keys)))
    }


def _words(model, name, value, names):
    column = model.__table__.c[name]
    target = cells.target_of(column)
    if value is None:
        return None
    if target is not None:
        return names.get((target.__tablename__, value), gettext("not visible"))
    return cells.words(cells.shown(column, _revived(column, value)))


def _revived(column, value):
    """A value as the ledger keeps it, in its own kind again."""
    if isinstance(value, str):
        kind = column.type.python_type if not hasattr(column.type, "impl") else column.type.impl.python_type
        if hasattr(kind, "fromisoformat"):
            return kind.fromisoformat(value)
        if column.info.get("money") or hasattr(column.type, "scale"):
            return Decimal(value)
    return value
