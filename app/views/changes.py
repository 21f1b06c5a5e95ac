"""Change sets: what was changed together, before and after, and its undoing; and the trash."""

import csv
from datetime import UTC, datetime, time, timedelta
from io import StringIO
from urllib.parse import urlsplit

from flask import abort, current_app, flash, g, redirect, request
from flask_babel import force_locale, gettext, ngettext
from sqlalchemy import func, select
from sqlalchemy.orm import aliased, selectinload

from app import access, filters, jobs, ledger, past, undo
from app.exchange.formulas import disarmed
from app.extensions import N_, Session, db
from app.models import ENTITIES, Change, ChangeSet, Staff
from app.views import cells, history
from app.views.base import PageView, allows, expose, safe_target
from app.views.reading import day, moment

SETS_SHOWN, CHANGES_SHOWN, LEFT_SHOWN = 25, 50, 200
COUNTED = 100  # changes of a set that the list counts
AT_ONCE = 200  # rows that are taken back while one waits; more are a job

# What an undo does about that which was done.
TAKEN_BACK = {
    "delete": N_("brought back"),
    "edit": N_("with their old values again"),
    "add": N_("taken away"),
}


class ChangeView(PageView):
    """What was changed together: by whom, when, through which door, why; and how it is taken back."""

    entity, model, route_base = "change_set", ChangeSet, "/changes"

    @expose("/")
    @allows("see")
    def index(self):
        asked = _asked()
        statement = select(ChangeSet).where(*_conditions(asked)).order_by(ChangeSet.id.desc())
        if asked["before"]:
            statement = statement.where(ChangeSet.id < asked["before"])
        found = db.session.scalars(statement.limit(SETS_SHOWN + 1).options(selectinload(ChangeSet.by))).all()
        sets = found[:SETS_SHOWN]
        told = _summaries(sets)
        following = {key: value for key, value in asked.items() if value and key != "before"}
        if len(found) > SETS_SHOWN:
            following["before"] = sets[-1].id
        return self.page(
            "changes/index.html",
            columns=_heads(N_("What"), N_("Who"), N_("How"), N_("When"), N_("Why")),
            rows=[
                {
                    "href": f"{self.route_base}/{one.id}",
                    "cells": [
                        told[one.id],
                        history.who(one),
                        history.door_of(one),
                        {"kind": "date", "label": moment(one.at)},
                        one.why,
                    ],
                }
                for one in sets
            ],
            filters=_filter_fields(asked),
            words=asked["q"],
            next_args=following if "before" in following else None,
        )

    @expose("/<int:pk>")
    @allows("see")
    def show(self, pk):
        change_set = self.find(pk)
        only, after = request.args.get("entity", ""), _place(request.args.get("after", ""))
        statement = select(Change).where(Change.change_set_id == pk)
        if only:
            statement = statement.where(Change.entity == only[:40])
        if after:
            entity, record_id, change_id = after
            same = Change.entity == entity
            statement = statement.where(
                (Change.entity > entity)
                | (same & (Change.record_id > record_id))
                | (same & (Change.record_id == record_id) & (Change.id > change_id))
            )
        order = (Change.entity, Change.record_id, Change.id)
        found = db.session.scalars(statement.order_by(*order).limit(CHANGES_SHOWN + 1)).all()
        changes = found[:CHANGES_SHOWN]
        following = None
        if len(found) > CHANGES_SHOWN:
            last = changes[-1]
            following = {"after": f"{last.entity}.{last.record_id}.{last.id}"} | (
                {"entity": only} if only else {}
            )
        return self.page(
            "changes/show.html",
            change_set=change_set,
            who=history.who(change_set),
            door=history.door_of(change_set),
            counts=_counts(pk),
            only=only,
            groups=_groups(changes),
            next_args=following,
            undone_by=_undone_by(pk),
            may_undo=g.principal.may("undo", self.entity),
        )

    @expose("/<int:pk>/undo", methods=["GET", "POST"])
    @allows("undo")
    def undo(self, pk):
        """First a look at what would go back and what would stay, and why; then, by POST, the deed."""
        change_set, root = self.find(pk), _root(request.values.get("only", ""))
        counts = _counts(pk)
        is_job = root is None and undo.is_large(db.session, pk, AT_ONCE)
        if request.method == "POST":
            return self._take_back(change_set, root, is_job=is_job)
        tried = None if is_job else _tried(pk, root)
        return self.page(
            "changes/undo.html",
            change_set=change_set,
            who=history.who(change_set),
            door=history.door_of(change_set),
            counts=counts,
            rows=sum(number for _, _, _, number in counts),
            only=request.args.get("only", "") if root else "",
            tried=_restored(tried) if tried else None,
            left=_left(tried) if tried else [],
            left_count=len(tried.left) if tried else 0,
            columns=_heads(N_("Record"), N_("Kind"), N_("Why it stays")),
            undone_by=_undone_by(pk),
        )

    def _take_back(self, change_set, root, *, is_job):
        if is_job:
            is_trial = bool(request.form.get("try"))
            title = (
                gettext("What an undo would do: %(what)s", what=_name(change_set))
                if is_trial
                else _why(change_set)
            )
            params = {"change_set_id": change_set.id, "try": is_trial}
            job = jobs.start(db.session(), "undo", title, params)
            db.session.commit()
            return redirect(f"/jobs/{job.id}")
        undone = undo.undo(db.session(), change_set.id, why=_why(change_set), root=root)
        db.session.commit()
        if not undone.rows and not undone.left:
            flash(gettext("Nothing is left to take back."), "info")
        elif undone.rows:
            text = ngettext("%(num)d row was put back.", "%(num)d rows were put back.", undone.rows)
            flash(text, "success")
        if undone.left:
            flash(
                ngettext("%(num)d row stays as it is.", "%(num)d rows stay as they are.", len(undone.left)),
                "warning",
            )
            only = f"?only={root[0]}.{root[1]}" if root else ""
            return redirect(f"{self.route_base}/{change_set.id}/undo{only}")
        if back := request.form.get("next"):
            return redirect(_on_from(back))
        return redirect(f"{self.route_base}/{undone.change_set_id or change_set.id}")

    def find(self, pk):
        """The change set, or 404: one that is not to be seen answers like one that is not there."""
        change_set = db.session.get(ChangeSet, pk)
        if change_set is None:
            abort(404)
        return change_set


def _on_from(text):
    """Where the page is on which somebody pressed “Undo”, of which a script has only the whole address."""
    parts = urlsplit(text) if text.startswith(request.host_url) else None
    return safe_target(f"{parts.path}?{parts.query}" if parts else text)


class TrashView(PageView):
    """What was deleted and is still to be had back."""

    entity, route_base = "change_set", "/trash"

    @expose("/")
    @allows("see")
    def index(self):
        entity, before = request.args.get("entity", ""), filters.natural(request.args.get("before", ""))
        days = current_app.config["SETTINGS"].TRASH_DAYS
        kinds = {name for name in cells.PATHS if g.principal.may("see", name)}
        statement = _deleted({entity} & kinds if entity else kinds, days)
        if before:
            statement = statement.where(Change.id < before)
        found = db.session.scalars(statement.limit(SETS_SHOWN + 1)).all()
        changes = found[:SETS_SHOWN]
        names = _names_of_records(changes)
        erasable = access.gone_within(db.session(), "erase", changes)
        following = {"entity": entity} if entity else {}
        if len(found) > SETS_SHOWN:
            following["before"] = changes[-1].id
        return self.page(
            "changes/trash.html",
            columns=_heads(
                N_("Record"),
                N_("Kind"),
                N_("Deleted by"),
                N_("When"),
                N_("Why"),
                N_("Gone for good"),
                *([N_("Erase")] if erasable else []),
            ),
            rows=[
                {
                    "href": f"/changes/{one.change_set_id}/undo?only={one.entity}.{one.record_id}"
                    if g.principal.may("undo", self.entity)
                    else f"/changes/{one.change_set_id}",
                    "cells": [
                        names[one.entity, one.record_id]["label"],
                        _kind(one.entity),
                        history.who(one.change_set),
                        {"kind": "date", "label": moment(one.change_set.at)},
                        one.change_set.why or history.door_of(one.change_set),
                        {"kind": "date", "label": day((one.change_set.at + timedelta(days=days)).date())}
                        if days
                        else None,
                        *([_to_erase(one) if one.id in erasable else None] if erasable else []),
                    ],
                }
                for one in changes
            ],
            kinds=sorted((_kind(name), name) for name in kinds),
            entity=entity,
            days=days,
            next_args=following if "before" in following else None,
        )


def _to_erase(change):
    """The way to the page that asks once more."""
    href = f"{cells.PATHS[change.entity]}/{change.record_id}/erase"
    return {"kind": "link", "label": gettext("Erase now…"), "href": href}


def _deleted(kinds, days):
    """The deletions of records that are still gone and whose values are still kept, newest first."""
    later = aliased(Change)
    since = select(later.id).where(
        later.entity == Change.entity, later.record_id == Change.record_id, later.id > Change.id
    )
    statement = (
        select(Change)
        .join(Change.change_set)
        .where(
            Change.action == "delete", Change.entity == Change.root_entity, Change.entity.in_(sorted(kinds))
        )
        .where(~since.exists())
        .order_by(Change.id.desc())
        .options(selectinload(Change.change_set).selectinload(ChangeSet.by))
    )
    if days:
        statement = statement.where(ChangeSet.at >= datetime.now(UTC) - timedelta(days=days))
    return statement


# --------------------------------------------------------------------------------------------- what is asked


def _asked():
    """The filters of the list, each as it stands in the address, or None."""
    args = request.args
    try:
        chosen = datetime.strptime(args.get("on", ""), "%Y-%m-%d").date() if args.get("on") else None
    except ValueError:
        raise filters.BadQuery(
            N_("“%(value)s” is no value for the filter “%(name)s”."), value=args["on"][:60], name="on"
        ) from None
    by = g.principal.id if args.get("by") == "me" else filters.natural(args.get("by", ""))
    return {
        "by": by,
        "door": args.get("door") if args.get("door") in history.DOORS else None,
        "entity": args.get("entity") if args.get("entity") in ENTITIES else None,
        "on": chosen,
        "q": args.get("q", "").replace("\x00", "").strip()[:200],
        "before": filters.natural(args.get("before", "")),
    }


def _conditions(asked):
    found = []
    if asked["by"]:
        found.append(ChangeSet.by_id == asked["by"])
    if asked["door"]:
        found.append(ChangeSet.door == asked["door"])
    if asked["q"]:
        found.append(ChangeSet.why.icontains(asked["q"], autoescape=True))
    if asked["on"]:
        zone = current_app.config["SETTINGS"].zone
        first = datetime.combine(asked["on"], time.min, tzinfo=zone)
        last = datetime.combine(asked["on"] + timedelta(days=1), time.min, tzinfo=zone)
        found += [ChangeSet.at >= first.astimezone(UTC), ChangeSet.at < last.astimezone(UTC)]
    if asked["entity"]:
        of_kind = select(Change.id).where(
            Change.change_set_id == ChangeSet.id, Change.entity == asked["entity"]
        )
        found.append(of_kind.exists())
    return found


def _filter_fields(asked):
    people = select(Staff.id, Staff.name).order_by(Staff.name).limit(500)
    staff = [(str(key), name) for key, name in db.session.execute(people)]
    kinds = sorted((_kind(name), name) for name in cells.PATHS if g.principal.may("see", name))
    return [
        {"name": "by", "label": gettext("Who"), "kind": "select", "options": staff, "value": asked["by"]},
        {
            "name": "door",
            "label": gettext("How"),
            "kind": "select",
            "options": [(name, gettext(words)) for name, words in history.DOORS.items()],
            "value": asked["door"],
        },
        {
            "name": "entity",
            "label": gettext("Kind"),
            "kind": "select",
            "options": [(name, label) for label, name in kinds],
            "value": asked["entity"],
        },
        {"name": "on", "label": gettext("On"), "kind": "date", "value": asked["on"]},
    ]


def _place(text):
    """Where a page of changes goes on: entity, record, change."""
    entity, _, numbers = text.partition(".")
    record_id, _, change_id = numbers.partition(".")
    record_id, change_id = filters.natural(record_id), filters.natural(change_id)
    if not text:
        return None
    if entity not in ENTITIES or record_id is None or change_id is None:
        raise filters.BadQuery(N_("There is no such page."))
    return entity, record_id, change_id


def _root(text):
    """The one record that is to be taken back: “contact.12”; None for all of the set."""
    if not text:
        return None
    entity, _, key = text.partition(".")
    key = filters.natural(key)
    if entity not in ENTITIES or key is None:
        abort(404)
    return entity, key


# --------------------------------------------------------------------------------------------- what is told


def _heads(*labels):
    return [{"key": label, "label": gettext(label), "align": "start"} for label in labels]


def _kind(entity):
    """What people call a kind of record."""
    return gettext(history.KINDS.get(entity) or history.PARTS.get(entity) or entity)


def _summaries(sets):
    """change set -> its first change in words, and how many more there are."""
    keys = [one.id for one in sets]
    some = (
        select(Change.id)
        .where(Change.change_set_id == ChangeSet.id)
        .order_by(Change.entity, Change.record_id, Change.id)
        .correlate(ChangeSet)
    )
    number = select(func.count()).select_from(some.limit(COUNTED + 1).subquery()).scalar_subquery()
    first = some.limit(1).scalar_subquery()
    found = db.session.execute(select(ChangeSet.id, number, first).where(ChangeSet.id.in_(keys))).all()
    changes = {
        one.id: one
        for one in db.session.scalars(select(Change).where(Change.id.in_([change for _, _, change in found])))
    }
    names = _names_of_records(changes.values())
    told = {}
    for key, counted, change_id in found:
        title = _title(changes[change_id], names)
        if counted > COUNTED:
            title = gettext("%(what)s and more than %(number)s more", what=title, number=COUNTED)
        elif counted > 1:
            title = ngettext(
                "%(what)s and %(num)d more", "%(what)s and %(num)d more", counted - 1, what=title
            )
        told[key] = title
    return told


def _title(change, names):
    """“Contact “Ann Miller” deleted”."""
    return gettext(
        "%(kind)s “%(name)s” %(done)s",
        kind=_kind(change.entity),
        name=names[change.entity, change.record_id]["label"],
        done=history.what_was_done(change),
    )


def _names_of_records(changes):
    """(entity, id) -> what the changed row is called, and where it is to be seen."""
    return _named({(one.entity, one.record_id): one for one in changes})


def _named(wanted):
    """The same for {(entity, id): a change of it, or None}."""
    by_entity, names = {}, {}
    for entity, key in wanted:
        by_entity.setdefault(entity, set()).add(key)
    for entity, keys in by_entity.items():
        model = ENTITIES[entity]
        for row in db.session.scalars(select(model).where(model.id.in_(keys))):
            names[entity, row.id] = {"label": _label(row), "href": cells.path_of(row)}
    for key, change in wanted.items():
        if key not in names:
            label = _name_in(change) if change is not None else None
            names[key] = {"label": label or f"#{key[1]}", "href": None}
    return names


def _label(row):
    """What a row is called; what stands with a record has no name of its own."""
    return str(row) if type(row).__str__ is not object.__str__ and str(row) else f"#{row.id}"


def _name_in(change):
    """What the row was called, as far as the change says: one that added or deleted it tells all."""
    net = past.Net(ENTITIES[change.entity], change.record_id)
    net.take(change)
    if change.action == "edit" or "id" not in (net.before if change.action == "delete" else net.after):
        return None
    if change.action == "add":
        net.before = net.after
    return str(net.model(**net.values_before()[0]))


def _counts(pk):
    """(kind, entity, what was done, rows) of all changes of the set that may be seen."""
    counted = (
        select(Change.entity, Change.action, func.count(Change.record_id.distinct()))
        .where(Change.change_set_id == pk)
        .group_by(Change.entity, Change.action)
        .order_by(Change.entity, Change.action)
    )
    actions = Change.__table__.c.action.info["choices"]
    return [
        (_kind(entity), entity, gettext(actions[action]), number)
        for entity, action, number in db.session.execute(counted)
    ]


def _groups(changes):
    """The changes of a page by entity, as the timeline component shows them."""
    names, links = _names_of_records(changes), history.names_in(db.session, changes)
    groups = {}
    for change in changes:
        named = names[change.entity, change.record_id]
        path = cells.PATHS.get(change.root_entity)
        entry = {
            "title": f"{named['label']} · {history.what_was_done(change)}",
            "href": named["href"]
            or (f"{path}/{change.root_id}" if path and change.root_entity != change.entity else None),
            "icon": {"add": "plus", "delete": "trash"}.get(change.action, "pencil"),
            "changes": history.lines(change, links),
        }
        groups.setdefault(change.entity, {"title": _kind(change.entity), "entries": []})["entries"].append(
            entry
        )
    return list(groups.values())


def _undone_by(pk):
    """The change sets that have taken this one back, in words."""
    found = select(ChangeSet).where(ChangeSet.undoes_id == pk).order_by(ChangeSet.id.desc()).limit(5)
    return [
        {"href": f"/changes/{one.id}", "at": moment(one.at), "who": history.who(one)}
        for one in db.session.scalars(found.options(selectinload(ChangeSet.by)))
    ]


# --------------------------------------------------------------------------------------------- undoing


def _name(change_set):
    return change_set.why or gettext("Changes of %(at)s", at=moment(change_set.at))


def _why(change_set):
    """What the undo says of itself in the ledger."""
    return gettext("Undo of %(what)s", what=_name(change_set))[:300]


@jobs.kind("undo")
def take_back(run):
    """Undo a large change set, or only try it; what stays is kept as a file with the reasons."""
    session, is_trial = run.session, run.params.get("try")
    with session.begin_nested() as savepoint:
        why = None if is_trial else run.title
        undone = undo.undo(session, run.params["change_set_id"], why=why, progress=run.progress)
        if is_trial:
            savepoint.rollback()
    if undone.left:
        with force_locale(run.principal.language):
            run.keep("left", "what-stays.csv", "text/csv", _left_file(undone))
    if undone.change_set_id and not is_trial:
        session.info["change_set_id"] = undone.change_set_id  # it is what the job has changed
    return {
        "would" if is_trial else "restored": undone.rows,
        "left": len(undone.left),
        "done": undone.rows,
        "total": undone.rows + len(undone.left),
    }


def _left_file(undone):
    """What stays, as CSV: the kind of record, its number, its name where it is gone, and the reason."""
    text = StringIO()
    writer = csv.writer(text)
    writer.writerow([gettext("Kind"), gettext("No."), gettext("Record"), gettext("Why it stays")])
    for one in undone.left:
        reason = gettext(one.reason, **one.values)
        writer.writerow([_kind(one.entity), one.record_id, disarmed(one.name), reason])
    return text.getvalue().encode("utf-8-sig")


@jobs.daily
def empty_the_trash(settings, now):
    """What lay in the trash for too long loses its values."""
    if settings.TRASH_DAYS:
        with access.system_session("the trash was emptied") as session:
            ledger.forget_deleted(session, now - timedelta(days=settings.TRASH_DAYS))


def _tried(pk, root):
    """What an undo would do: it is done in a session of its own, looked at, and rolled back."""
    session = access.enter(Session(db), g.principal, door="undo", writes=True)
    try:
        return undo.undo(session, pk, root=root)
    finally:
        session.rollback()
        session.close()


def _restored(undone):
    """(kind, what is done with them, rows) of what goes back."""
    return [
        (_kind(entity), gettext(TAKEN_BACK[action]), number)
        for (entity, action), number in sorted(undone.restored.items())
    ]


def _left(undone):
    """The rows of a table: what stays, and why."""
    some = undone.left[:LEFT_SHOWN]
    names = _named({(one.entity, one.record_id): None for one in some})
    rows = []
    for one in some:
        named = names[one.entity, one.record_id]
        label = {"kind": "link", "label": one.name or named["label"], "href": named["href"]}
        rows.append(
            {"href": named["href"], "cells": [label, _kind(one.entity), gettext(one.reason, **one.values)]}
        )
    return rows
