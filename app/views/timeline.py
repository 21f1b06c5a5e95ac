"""The one timeline of a record: notes, calls, meetings, mails, tasks, files and changes, filtered by its address."""

from functools import cache

from flask import flash, g, request
from sqlalchemy import bindparam, null, select

from app import bell
from app.access import DOOR
from app.extensions import N_, db
from app.filters import BadQuery
from app.models import ENTITIES, Activity, Change, ChangeSet, Staff
from app.past import CUSTOM
from app.views import cells, custom_values, history
from app.views.reading import day, moment
from app.views.templating import gettext

KINDS = (
    ("note", N_("Note"), "note"),
    ("call", N_("Call"), "phone"),
    ("meeting", N_("Meeting"), "users"),
    ("mail", N_("Mail"), "mail"),
    ("task", N_("Task"), "checkbox"),
)
SHOWN = 50
CHANGES_SHOWN = 20  # beside all the rest; alone, they are shown as the history shows them
# What may be asked for: name in the address -> (words, icon).
FILTERS = {
    "": (N_("All"), None),
    "note": (N_("Notes"), "note"),
    "call": (N_("Calls"), "phone"),
    "meeting": (N_("Meetings"), "users"),
    "mail": (N_("Mails"), "mail"),
    "task": (N_("Tasks"), "checkbox"),
    "file": (N_("Files"), "paperclip"),
    "change": (N_("Changes"), "history"),
}


def of(row, path, files):
    """What the sheet shows of all that has happened; `files` is the box of its files, or None."""
    show, may_see = request.args.get("show", ""), g.principal.may("see", "activity")
    if show not in FILTERS:
        raise BadQuery(N_("A timeline has no “%(value)s”."), value=show[:20])
    told, following = [], None
    if may_see and show not in ("file", "change"):
        kind = show or None
        told, is_cut = _told_about(row, kind=kind)
        if is_cut:
            following = f"/activities/?{row.__tablename__}_id.is={row.id}{f'&kind.is={kind}' if kind else ''}"
    if files and show in ("", "file"):
        told += [(one["moment"], _of_file(one)) for one in files["files"]]
    if show == "":
        told += _changes(row)
    if show == "change":
        entries, before = history.entries(db.session, row)
        told = [(None, entry) for entry in entries]
        following = f"{path}/history?before={before}" if before else None
    else:
        told.sort(key=lambda one: one[0], reverse=True)
    return {
        "timeline": [entry for _, entry in told[:SHOWN]],
        "timeline_next": following,
        "timeline_filters": [
            {
                "label": gettext(words),
                "href": f"{path}?show={name}#story" if name else f"{path}#story",
                "is_on": name == show,
            }
            for name, (words, _icon) in FILTERS.items()
            if may_see or name in ("", "file", "change")
        ],
        "timeline_empty": None if show == "" else gettext("Nothing of this kind yet."),
        "compose": _composer(row) if may_see and may_log() and show not in ("file", "change") else None,
    }


def _of_file(file):
    return {
        "at": file["at"],
        "at_iso": file["moment"].isoformat(),
        "title": file["name"],
        "href": file["href"],
        "icon": "paperclip",
        "kind": "file",
    }


def _changes(row):
    """(when, entry) of the last changes of a record, in few words: each change set once.

    The row has come through the rule of sight, and what was done to it is seen with it.
    """
    this = {"entity": row.__tablename__, "key": row.id}
    found = db.session.connection().execute(_last_changes(), this, execution_options={DOOR: True}).all()
    sets = {}
    for one in found:
        sets.setdefault(one.change_set_id, []).append(one)
    told = []
    for changes in sets.values():
        if words := _in_few_words(row, changes):
            first = changes[0]
            entry = {
                "at": moment(first.at),
                "at_iso": first.at.isoformat(),
                "who": first.who or gettext("The system"),
                "title": words,
                "href": f"/changes/{first.change_set_id}",
                "kind": "change",
                "is_small": True,
            }
            told.append((first.at, entry))
    return told


@cache
def _last_changes():
    columns = (
        Change.entity,
        Change.record_id,
        Change.action,
        Change.values,
        Change.change_set_id,
        ChangeSet.at,
    )
    found = select(*columns, Staff.name.label("who")).join(ChangeSet, ChangeSet.id == Change.change_set_id)
    found = found.outerjoin(Staff, Staff.id == ChangeSet.by_id)
    about = (Change.root_entity == bindparam("entity"), Change.root_id == bindparam("key"))
    return found.where(*about).order_by(Change.id.desc()).limit(CHANGES_SHOWN)


def _in_few_words(row, changes):
    """What one change set did to the record: which fields, and what came and went with it; "" for nothing to tell."""
    parts, labels = {}, []
    for change in changes:
        if change.entity != row.__tablename__:
            if (change.entity, change.action) != (
                "attachment",
                "add",
            ):  # the file itself stands in the timeline
                parts[change.entity, change.action] = parts.get((change.entity, change.action), 0) + 1
        elif change.action == "edit":
            labels += [
                label for name in change.values if (label := _label(row, name)) and label not in labels
            ]
        else:
            what = history.what_was_done(change)
            return gettext(
                "%(kind)s %(done)s", kind=gettext(history.KINDS.get(change.entity, change.entity)), done=what
            )
    said = [gettext("%(fields)s changed", fields=", ".join(labels))] if labels else []
    for (entity, action), number in parts.items():
        what = Change.__table__.c.action.info["choices"][action]
        words = f"{gettext(history.PARTS.get(entity, entity))} {gettext(what)}"
        said.append(f"{words} (×{number})" if number > 1 else words)
    return ", ".join(said)


def _label(row, name):
    """What people call a column that changed; None for one that the reader is told nothing of."""
    entity = row.__tablename__
    if name in history.UNTOLD or name in g.principal.hidden_on(row):
        return None
    if name.startswith(CUSTOM):
        fields = {one.name: one for one in custom_values.fields_for(entity)}
        known = fields.get(name.removeprefix(CUSTOM))
        return known.label(custom_values.language()) if known else None
    column = ENTITIES[entity].__table__.c.get(name)
    return cells.label(column) if column is not None and column.info.get("label") else None


def _told_about(row, kind=None):
    """([(when, entry)] of the newest activities about a record, of one kind or of all; whether there are more)."""
    entity, key = row.__tablename__, {"key": row.id, "kind": kind} if kind else {"key": row.id}
    hidden = g.principal.hidden("activity")
    rows = db.session.execute(_about(entity, frozenset(hidden), kind is not None), key).all()
    return [(one.created_at, _of_activity(one)) for one in rows[:SHOWN]], len(rows) > SHOWN


@cache
def _about(entity, hidden, is_of_kind):
    """The SELECT of what the timeline of such a record tells, its key to be given. Kept, it runs sooner."""
    names = ("id", "kind", "subject", "body", "due_on", "done_at", "created_at")
    owner = select(Staff.name).where(Staff.id == Activity.owner_id).scalar_subquery()
    about = getattr(Activity, f"{entity}_id") == bindparam("key")
    order = (Activity.created_at.desc(), Activity.id.desc())
    columns = (null().label(name) if name in hidden else getattr(Activity, name) for name in names)
    told = select(*columns, owner.label("owner")).where(about).order_by(*order).limit(SHOWN + 1)
    return told.where(Activity.kind == bindparam("kind")) if is_of_kind else told


def say_who_was_not_told():
    """Tell the author whom he mentioned in vain: who may not see something is not told of it."""
    for name in bell.untold_in(db.session()):
        flash(gettext("%(name)s may not see this, and was not told.", name=name), "warning")


def may_log():
    """Whether the reader may write activities down: a subject alone would be half of what he typed."""
    return g.principal.may("add", "activity") and "body" not in g.principal.read_only("activity")


def _composer(row):
    """What the composer on a sheet needs."""
    return {
        "action": "/activities/log",
        "kinds": [(value, gettext(words), icon) for value, words, icon in KINDS],
        "hidden": {f"{row.__tablename__}_id": row.id, "next": request.path},
    }


def _of_activity(activity):
    badge, is_done = None, activity.done_at is not None
    if activity.kind == "task":
        badge = (gettext("done"), "green") if is_done else (gettext("open"), "amber")
    elif activity.due_on and not is_done:
        badge = (day(activity.due_on), "grey")
    may_do = activity.kind == "task" and not is_done and g.principal.may("edit", "activity")
    return {
        "at": moment(activity.created_at),
        "at_iso": activity.created_at.isoformat(),
        "who": activity.owner,
        "title": activity.subject,
        "href": f"/activities/{activity.id}",
        "body": activity.body,
        "kind": activity.kind,
        "badge": badge,
        "deed": {
            "action": f"/activities/{activity.id}/done",
            "label": gettext("Done"),
            "hidden": {"next": request.path},
        }
        if may_do
        else None,
    }
