"""Tickets: list, board, and the conversation with replies, notes and the deeds assign, solve and reopen."""

from datetime import UTC, datetime

from flask import abort, flash, g, redirect, request
from flask_babel import gettext
from sqlalchemy import or_, select
from sqlalchemy.orm import selectinload

from app import access, filters
from app.extensions import N_, db
from app.identity import preferences
from app.models import Staff, Stage, Ticket, TicketMessage
from app.rules import RuleBroken, boards, tickets
from app.security import is_storable
from app.views import cells, timeline
from app.views.base import allows, expose
from app.views.boards import BoardRoutes
from app.views.reading import day, moment, today
from app.views.records import RecordView


class TicketView(BoardRoutes, RecordView):
    """Customers' requests."""

    model = Ticket
    route_base = "/tickets"
    one, many, icon = N_("Ticket"), N_("Tickets"), "headset"
    list_columns = ("subject", "company_id", "priority", "stage_id", "due_on", "owner_id")
    filter_columns = ("stage_id", "priority", "owner_id", "department_id", "due_on")
    quick_columns = ("subject", "company_id", "contact_id", "priority", "stage_id")
    told_elsewhere = ("body",)

    # ---- the record

    def defaults(self):
        return super().defaults() | {"stage_id": boards.first_stage(db.session, "ticket").id}

    def before_save(self, row, form):
        if row.id is None:
            boards.place(db.session, row, db.session.get(Stage, row.stage_id))
        elif form.stage_id.data != form.stage_id.object_data:
            stage = db.session.get(Stage, form.stage_id.data)
            row.stage_id = form.stage_id.object_data
            self.move_card(row, stage, before=None, after=None)

    def list_actions(self):
        return [{"label": gettext("Board"), "href": "/tickets/board", "icon": "layout-kanban"}]

    def around(self, row):
        is_solved, stages = tickets.is_solved(row), self.stage_path(row)
        messages = db.session.scalars(
            select(TicketMessage)
            .where(TicketMessage.ticket_id == row.id)
            .order_by(TicketMessage.created_at.desc(), TicketMessage.id.desc())
            .options(selectinload(TicketMessage.created_by))
        ).all()
        session = db.session()
        may_edit, may_solve = (access.reaches_row(session, verb, row) for verb in ("edit", "solve"))
        colleagues = (
            select(Staff).where(or_(Staff.left_on.is_(None), Staff.id == row.owner_id)).order_by(Staff.name)
        )
        return {
            "template": "tickets/sheet.html",
            "state": (row.stage.name, cells.COLORS.get(row.stage.outcome)),
            "stages": stages,
            "may_go_on": may_edit and not is_solved,
            "messages": [_entry(message) for message in messages],
            "may_reply": access.reaches_row(session, "reply", row),
            "may_solve": may_solve and not is_solved,
            "may_reopen": may_solve and is_solved,
            "may_assign": may_edit,
            "colleagues": db.session.scalars(colleagues).all() if may_edit else [],
            "has_story": True,
        }

    # ---- the board

    def move_card(self, card, stage, *, before, after):
        if stage.outcome == "solved":
            if not g.principal.may("solve", "ticket"):
                abort(403)
            access.ask_for_deed(db.session(), ("solve",), card)
        tickets.move(db.session, card, stage, now=datetime.now(UTC), before=before, after=after)

    def card(self, row):
        is_open = row.solved_at is None
        words = row.__table__.c.priority.info["choices"].get(row.priority, "")
        return {
            "id": row.id,
            "version": row.version,
            "title": row.subject,
            "href": self.path(row),
            "move_url": f"{self.path(row)}/move" if g.principal.may("edit", "ticket") else None,
            "company": cells.cell(row, "company_id") if row.company_id else None,
            "badge": (gettext(words), cells.COLORS.get(row.priority)) if words and row.priority != "normal" else None,
            "owner": row.owner.name if row.owner else None,
            "initials": row.owner.initials if row.owner else None,
            "due": day(row.due_on) if row.due_on and is_open else None,
            "is_late": is_open and row.due_on is not None and row.due_on < today(),
        }

    # ---- deeds

    @expose("/<int:pk>/reply", methods=["POST"])
    @allows("reply")
    def reply(self, pk):
        """A reply or an internal note; what was typed stays on the page when it cannot be stored."""
        ticket = self.find(pk)
        kind, body = request.form.get("kind", "reply"), request.form.get("body", "")
        write = {"reply": tickets.reply, "note": tickets.note}.get(kind)
        if write is None:
            abort(400)
        try:
            if not is_storable(body):
                raise RuleBroken(N_("This holds a character that cannot be stored."))
            write(ticket, _signed(body) if kind == "reply" else body, by=g.principal.id)
            db.session.flush()
            timeline.say_who_was_not_told()
            db.session.commit()
        except RuleBroken as error:
            db.session.rollback()
            message = gettext(error.message, **error.values)
            return self.sheet(ticket, status=422, typed=body, chosen=kind, reply_error=message)
        return redirect(self.path(ticket))

    @expose("/<int:pk>/assign", methods=["POST"])
    @allows("edit")
    def assign(self, pk):
        ticket = self.find(pk)
        self.check_version(ticket)
        text = request.form.get("owner_id", "")
        key = filters.natural(text)
        if text and key is None:
            abort(400)
        colleague = db.session.get(Staff, key) if text else None
        if text and colleague is None:
            raise RuleBroken(N_("There is no such colleague."), field="owner_id")
        tickets.assign(ticket, colleague)
        db.session.commit()
        flash(
            gettext("“%(ticket)s” is with %(who)s.", ticket=ticket, who=colleague or gettext("nobody")),
            "success",
        )
        return redirect(self.path(ticket))

    @expose("/<int:pk>/solve", methods=["POST"])
    @allows("solve")
    def solve(self, pk):
        ticket = self.find(pk)
        self.check_version(ticket)
        tickets.solve(db.session, ticket, now=datetime.now(UTC))
        db.session.commit()
        flash(gettext("“%(ticket)s” is solved.", ticket=ticket), "success")
        return redirect(self.path(ticket))

    @expose("/<int:pk>/reopen", methods=["POST"])
    @allows("solve")
    def reopen(self, pk):
        ticket = self.find(pk)
        self.check_version(ticket)
        tickets.reopen(db.session, ticket)
        db.session.commit()
        flash(gettext("“%(ticket)s” is open again.", ticket=ticket), "success")
        return redirect(self.path(ticket))


def _entry(message):
    is_note = message.kind == "note"
    return {
        "at": moment(message.created_at),
        "at_iso": message.created_at.isoformat(),
        "who": None,
        "title": message.created_by.name if message.created_by else gettext("The system"),
        "badge": (gettext("internal"), "amber") if is_note else None,
        "body": message.body,
        "kind": "internal" if is_note else "reply",
    }


def _signed(body):
    """A reply with its author's signature below, unless he has written that himself."""
    signature = preferences.of(g.principal.id).signature
    if not signature or not body.strip() or signature in body.replace("\r\n", "\n"):
        return body
    return f"{body.rstrip()}\n\n{signature}"
