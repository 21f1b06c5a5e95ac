"""Activities: notes, calls, meetings, mails and tasks, on their own pages and on the sheets of what they are about."""

from datetime import UTC, datetime

from flask import abort, flash, g, redirect, request
from flask_babel import gettext
from werkzeug.datastructures import MultiDict

from app.extensions import N_, db
from app.models import Activity
from app.rules import RuleBroken
from app.views.base import allows, expose, safe_target
from app.views.records import RecordView
from app.views.timeline import may_log, say_who_was_not_told

SUBJECTS = Activity.__subjects__


class ActivityView(RecordView):
    """What was done and what is to do."""

    model = Activity
    route_base = "/activities"
    one, many, icon = N_("Activity"), N_("Activities"), "checkbox"
    list_columns = ("subject", "kind", "due_on", "done_at", "company_id", "owner_id")
    filter_columns = ("kind", "owner_id", "due_on", "department_id")
    quick_columns = ("kind", "subject", "due_on", "company_id", "contact_id")

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
        db.session.flush()
        say_who_was_not_told()
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
