"""The start page: what is mine to do."""

from flask import g
from sqlalchemy import or_, select
from sqlalchemy.orm import selectinload

from app.extensions import db
from app.models import Activity, Deal, Stage, Ticket
from app.views.base import PageView, allows, expose
from app.views.reading import today

SHOWN = 12


class HomeView(PageView):
    """My open deals, my tickets, my due tasks."""

    route_base = ""

    @expose("/")
    @allows(None)
    def index(self):
        may = g.principal.may
        return self.page(
            "home/index.html",
            deals=self._open(Deal, Deal.expected_on) if may("see", "deal") else None,
            tickets=self._open(Ticket, Ticket.due_on) if may("see", "ticket") else None,
            tasks=self._tasks() if may("see", "activity") else None,
            today=today(),
        )

    def _open(self, model, due):
        statement = (
            select(model)
            .where(model.owner_id == g.principal.id, model.stage.has(Stage.outcome == "open"))
            .order_by(due.is_(None), due, model.id)
            .limit(SHOWN)
        )
        return db.session.scalars(
            statement.options(selectinload(model.stage), selectinload(model.company))
        ).all()

    def _tasks(self):
        is_due = or_(Activity.due_on.is_(None), Activity.due_on <= today())
        statement = (
            select(Activity)
            .where(
                Activity.kind == "task",
                Activity.done_at.is_(None),
                Activity.owner_id == g.principal.id,
                is_due,
            )
            .order_by(Activity.due_on.is_(None), Activity.due_on, Activity.id)
            .limit(SHOWN)
        )
        return db.session.scalars(statement).all()
