"""The start page: what is mine to do."""

from flask import g
from sqlalchemy import func, select
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
        is_mine = (model.owner_id == g.principal.id, model.stage.has(Stage.outcome == "open"))
        return self._first(model, is_mine, self._shown(model, due), model.stage, model.company)

    def _tasks(self):
        is_open = (Activity.kind == "task", Activity.done_at.is_(None), Activity.owner_id == g.principal.id)
        due = self._shown(Activity, Activity.due_on)
        return self._first(Activity, is_open if due is None else (*is_open, due <= today()), due)

    def _shown(self, model, column):
        """The column, unless it is hidden from the reader: then neither an order nor a choice tells of it."""
        return None if column.key in g.principal.hidden(model.__tablename__) else column

    def _first(self, model, conditions, due, *links):
        """The most urgent of them, and how many there are in all."""
        order = [model.id] if due is None else [due.is_(None), due, model.id]
        statement = select(model).where(*conditions).order_by(*order).limit(SHOWN)
        return {
            "rows": db.session.scalars(statement.options(*(selectinload(link) for link in links))).all(),
            "count": db.session.scalar(select(func.count(model.id)).where(*conditions)),
        }
