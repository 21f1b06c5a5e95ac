"""The bell: what the reader was told, newest first; opened and marked as read by plain forms."""

from datetime import UTC, datetime

from flask import abort, flash, g, redirect, request
from flask_babel import gettext
from sqlalchemy import select

from app import access, bell, filters, jobs
from app.extensions import N_, db
from app.models import ENTITIES
from app.views import cells, words
from app.views.base import PageView, allows, expose
from app.views.reading import moment

SHOWN = 50
SENTENCES = {
    bell.MENTION: N_("%(who)s mentioned you"),
    bell.ASSIGNED: N_("%(who)s gave this to you"),
    bell.DUE: N_("This task is due"),
}
ICONS = {bell.MENTION: "at", bell.ASSIGNED: "user-check", bell.DUE: "calendar-due"}


class NotificationView(PageView):
    """Mentions, assignments and due tasks of whoever reads."""

    route_base = "/notifications"
    entity = "notification"
    one, many, icon = N_("Notification"), N_("Notifications"), "bell"

    @expose("/")
    @allows("see")
    def index(self):
        before = request.args.get("before")
        if before is not None and (before := filters.natural(before)) is None:
            abort(400)
        told = bell.newest(db.session(), most=SHOWN + 1, before=before)
        shown = told[:SHOWN]
        names = _names(shown)
        return self.page(
            "notifications/index.html",
            entries=[_entry(one, names) for one in shown],
            has_unread=g.login.unread > 0 if g.login else False,
            next_href=f"/notifications/?before={shown[-1].id}" if len(told) > SHOWN else None,
        )

    @expose("/<int:pk>/open", methods=["POST"])
    @allows("edit")
    def open(self, pk):
        """Mark as read, and go to what it is about."""
        told = bell.find(db.session(), pk)
        if told is None:
            abort(404)
        place = _place(told, _names([told]))
        bell.mark_read(db.session(), pk)
        db.session.commit()
        if place is None:
            flash(gettext("What this was about is not there any more, or not visible to you."), "info")
        return redirect(place or "/notifications/")

    @expose("/read", methods=["POST"])
    @allows("edit")
    def read(self):
        """Mark everything as read."""
        bell.mark_read(db.session())
        db.session.commit()
        return redirect("/notifications/")


def _names(told):
    """(entity, id) -> what it is called, of what the reader sees: one SELECT a kind."""
    wanted, names = {}, {}
    for one in told:
        if one.record_id is not None and one.entity in ENTITIES:
            wanted.setdefault(one.entity, set()).add(one.record_id)
    for entity, keys in wanted.items():
        if g.principal.may("see", entity):
            target = ENTITIES[entity]
            found = db.session.execute(select(*cells.name_columns(target)).where(target.id.in_(keys)))
            names |= {(entity, row.id): cells.name_of(row._mapping) for row in found}
    return names


def _place(told, names):
    """Where it leads: to the record, where it is seen; of several, to the list of them."""
    if told.record_id is None:
        return f"/changes/{told.change_set_id}" if told.change_set_id else None
    is_seen = (told.entity, told.record_id) in names and told.entity in cells.PATHS
    return f"{cells.PATHS[told.entity]}/{told.record_id}" if is_seen else None


def _entry(told, names):
    name = names.get((told.entity, told.record_id))
    if told.record_id is None:
        name = f"{told.rows} × {words.entity_name(told.entity)}"
    return {
        "said": gettext(SENTENCES[told.kind], who=told.by or gettext("The system")),
        "name": name,
        "icon": ICONS[told.kind],
        "at": moment(told.at),
        "at_iso": told.at.isoformat(),
        "is_new": told.read_at is None,
        "action": f"/notifications/{told.id}/open",
    }


@jobs.daily
def tell_of_due_tasks(settings, now):
    """In the morning everybody is told of his tasks that are due; what was told long ago goes."""
    with access.system_session("tasks are due") as session:
        bell.forget_old(session, datetime.now(UTC))
        bell.tell_of_due_tasks(session, now.date())
