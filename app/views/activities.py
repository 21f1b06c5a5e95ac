"""Activities: notes, calls, meetings, mails and tasks, on their own pages and on the sheets of what they are about."""

from datetime import UTC, datetime
from functools import cache

from flask import abort, flash, g, redirect, request
from flask_babel import gettext
from sqlalchemy import bindparam, null, select
from werkzeug.datastructures import MultiDict

from app.extensions import N_, db
from app.models import Activity, Staff
from app.rules import RuleBroken
from app.views.base import allows, expose, safe_target
from app.views.reading import day, moment
from app.views.records import RecordView

SUBJECTS = Activity.__subjects__
KINDS = (
    ("note", N_("Note"), "note"),
    ("call", N_("Call"), "phone"),
    ("meeting", N_("Meeting"), "users"),
    ("mail", N_("Mail"), "mail"),
    ("task", N_("Task"), "checkbox"),
)
SHOWN = 50


class ActivityView(RecordView):
    """What was done and what is to do."""

    model = Activity
    route_base = "/activities"
    one, many, icon = N_("Activity"), N_("Activities"), "checkbox"
    list_columns = ("subject", "kind", "due_on", "done_at", "company_id", "owner_id")
    filter_columns = ("kind", "owner_id", "due_on", "department_id")

    @expose("/log", methods=["POST"])
    @allows("add")
    def log(self):
        """What the composer on a sheet sends: the first line is the subject, the rest the text."""
        if not may_log():
            abort(403)
        text = request.form.get("body", "").strip()
        subject, _, body = text.partition("\n")
        if len(subject) > 200:
            subject, body = subject[:197] + "…", text
        sent = MultiDict(request.form)
        sent["subject"], sent["body"] = subject, body.strip()
        for name in SUBJECTS:
            if request.form.get(f"{name}_id"):
                sent[f"{name}_id"] = f"#{request.form[f'{name}_id']}"
        row = self.model(**self.defaults())
        for name in ("owner_id", "department_id"):
            sent.setdefault(name, str(getattr(row, name)))
        form = self.form(row, formdata=sent)
        if not form.validate():
            return self._form_page(form, status=422, action=f"{self.route_base}/new")
        form.apply(row)
        db.session.add(row)
        db.session.commit()
        return redirect(safe_target(request.form.get("next")))

    @expose("/<int:pk>/done", methods=["POST"])
    @allows("edit")
    def done(self, pk):
        row = self.find(pk)
        if row.is_done:
            raise RuleBroken(N_("“%(activity)s” is done already."), activity=row)
        row.done_at = datetime.now(UTC)
        db.session.commit()
        flash(gettext("“%(name)s” is done.", name=row), "success")
        return redirect(safe_target(request.form.get("next")) if request.form.get("next") else self.path(row))

    def around(self, row):
        may_do = not row.is_done and row.kind == "task" and g.principal.may("edit", self.entity)
        return {
            "deeds": [{"action": f"{self.path(row)}/done", "label": gettext("Done"), "icon": "check"}]
            if may_do
            else []
        }


def timeline(row):
    """The activities about this record, newest first, and the composer below which they stand."""
    entity = row.__tablename__
    if not g.principal.may("see", "activity"):
        return {"timeline": None}
    hidden = g.principal.hidden("activity")
    rows = db.session.execute(_about(entity, frozenset(hidden)), {"key": row.id}).all()
    return {
        "timeline": [_entry(one) for one in rows[:SHOWN]],
        "timeline_next": f"/activities/?{entity}_id.is={row.id}" if len(rows) > SHOWN else None,
        "compose": _composer(row) if may_log() else None,
    }


@cache
def _about(entity, hidden):
    """The SELECT of what the timeline of such a record tells, its key to be given. Kept, it runs sooner."""
    told = ("id", "kind", "subject", "body", "due_on", "done_at", "created_at")
    owner = select(Staff.name).where(Staff.id == Activity.owner_id).scalar_subquery()
    about = getattr(Activity, f"{entity}_id") == bindparam("key")
    order = (Activity.created_at.desc(), Activity.id.desc())
    columns = (null().label(name) if name in hidden else getattr(Activity, name) for name in told)
    return select(*columns, owner.label("owner")).where(about).order_by(*order).limit(SHOWN + 1)


def may_log():
    """Whether the reader may write activities down: a subject alone would be half of what he typed."""
    return g.principal.may("add", "activity") and "body" not in g.principal.read_only("activity")


def _composer(row):
    return {
        "action": "/activities/log",
        "kinds": [(value, gettext(words), icon) for value, words, icon in KINDS],
        "hidden": {f"{row.__tablename__}_id": row.id, "next": request.path},
    }


def _entry(activity):
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
