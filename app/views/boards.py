"""The board of deals or tickets: a column a stage, counts and sums by SQL, cards by page, moved by drag or form."""

from datetime import UTC, datetime
from urllib.parse import urlencode

from flask import abort, current_app, flash, g, jsonify, redirect, request
from flask_babel import gettext, ngettext
from sqlalchemy import case, func, select
from sqlalchemy.orm import selectinload

from app import filters
from app.extensions import N_, db
from app.filters import BadQuery
from app.models import Activity, Pipeline, Stage
from app.rules import RuleBroken
from app.views import cells
from app.views.base import allows, expose, wants_json
from app.views.errors import sentence
from app.views.past import flash_undoable
from app.views.reading import day, number, today

# When the next activity about a card is due, in words.
NEXT = {
    "none": N_("No next activity"),
    "late": N_("An activity is overdue since %(day)s"),
    "today": N_("An activity is due today"),
    "later": N_("Next activity on %(day)s"),
}
FIRST_CARDS, MORE_CARDS, MOST_CARDS = 25, 50, 1000


class BoardRoutes:
    """Adds `/board` and `/<pk>/move` to a RecordView over a model with a stage and a position."""

    @expose("/board")
    @allows("see")
    def board(self):
        pipelines = db.session.scalars(
            select(Pipeline).where(Pipeline.kind == self.entity).order_by(Pipeline.position, Pipeline.id)
        ).all()
        pipeline = self._chosen(pipelines)
        conditions = self._whose()
        columns = self._columns(pipeline, conditions)
        return self.page(
            "records/board.html",
            columns=columns,
            zones=[column for column in columns if column["outcome"] != "open"],
            pipelines=pipelines,
            pipeline=pipeline,
            is_mine=bool(conditions),
            may_add=g.principal.may("add", self.entity),
            may_move=g.principal.may("edit", self.entity),
        )

    @expose("/<int:pk>/move", methods=["POST"])
    @allows("edit")
    def move(self, pk):
        card = self.find(pk)
        version = request.form.get("version", "")
        if version != str(card.version):
            return self._moved_meanwhile(card)
        stage = self._stage(request.form.get("stage_id", ""))
        before, after = self._neighbour("before_id"), self._neighbour("after_id")
        left = card.stage_id
        try:
            self.move_card(card, stage, before=before, after=after)
            if left != stage.id:
                said = gettext("“%(card)s” moved to “%(stage)s”.", card=card, stage=stage)
                flash_undoable(said)
            db.session.commit()
        except RuleBroken as error:
            if error.field != "lost_reason":
                raise
            db.session.rollback()
            ask = f"{self.path(card)}/lose?stage_id={stage.id}"
            return (jsonify(message=sentence(error), ask=ask), 422) if wants_json() else redirect(ask)
        if wants_json():
            figures = self._figures([left, stage.id], self._whose())
            return jsonify(ok=True, version=card.version, columns=figures, notes=_notes())
        return redirect(f"{self.route_base}/board?{urlencode({**_asked(), 'pipeline': stage.pipeline_id})}")

    @expose("/<int:pk>/stage", methods=["POST"])
    @allows("edit")
    def stage(self, pk):
        """A click on the stage path of the sheet."""
        card = self.find(pk)
        self.check_version(card)
        stage = self._stage(request.form.get("stage_id", ""))
        self.move_card(card, stage, before=None, after=None)
        flash_undoable(gettext("“%(card)s” moved to “%(stage)s”.", card=card, stage=stage))
        db.session.commit()
        return redirect(self.path(card))

    def stage_path(self, row):
        """The stages of the row's pipeline, and how it stands to each; its own is loaded with them."""
        pipeline = select(Stage.pipeline_id).where(Stage.id == row.stage_id).scalar_subquery()
        stages = db.session.scalars(
            select(Stage).where(Stage.pipeline_id == pipeline).order_by(Stage.position, Stage.id)
        ).all()
        is_open, now = row.stage.outcome == "open", (row.stage.position, row.stage.id)
        shown = []
        for stage in stages:
            if stage.id == row.stage_id:
                state = "now" if is_open else "lost" if stage.outcome == "lost" else "won"
            elif stage.outcome != "open":
                continue
            else:
                state = "done" if (stage.position, stage.id) < now else "next"
            shown.append({"id": stage.id, "label": stage.name, "state": state})
        return shown

    def move_card(self, card, stage, *, before, after):
        """Let the rules of the entity move it; raises RuleBroken."""
        raise NotImplementedError

    def _whose(self):
        """The condition that leaves only the reader's own cards, where the board (or a move on it) asks for them."""
        return [self.model.owner_id == g.principal.id] if request.args.get("owner") == "me" else []

    def _card(self, row, stage, marks):
        """A card whose move carries along what the board was asked for, by drag and by form alike."""
        card = self.card(row)
        if stage.outcome == "open":
            card |= self._marks(row, stage, marks)
        if card["move_url"] and _asked():
            card["move_url"] += f"?{urlencode(_asked())}"
        return card

    def _moved_meanwhile(self, card):
        message = gettext(
            "“%(card)s” was changed in the meantime; it now stands in “%(stage)s”.",
            card=card,
            stage=card.stage,
        )
        if wants_json():
            return jsonify(message=message), 409
        flash(message, "warning")
        return self.sheet(card, status=409)

    def _chosen(self, pipelines):
        text = request.args.get("pipeline", "")
        if not text:
            return pipelines[0] if pipelines else None
        chosen = [pipeline for pipeline in pipelines if str(pipeline.id) == text]
        if not chosen:
            raise BadQuery(N_("There is no such pipeline."))
        return chosen[0]

    def _columns(self, pipeline, conditions):
        stages = (
            db.session.scalars(
                select(Stage).where(Stage.pipeline_id == pipeline.id).order_by(Stage.position, Stage.id)
            ).all()
            if pipeline
            else []
        )
        figures = self._figures([stage.id for stage in stages], conditions)
        limits = {stage.id: self._shown(stage) for stage in stages}
        cards = self._cards(limits, conditions)
        marks = self._last_and_next([row.id for row in cards])
        may_add, columns = g.principal.may("add", self.entity), []
        for stage in stages:
            count, limit = figures[stage.id]["count"], limits[stage.id]
            more = (
                self._more_href(stage, min(limit + MORE_CARDS, MOST_CARDS))
                if count > limit < MOST_CARDS
                else None
            )
            columns.append(
                {
                    "id": stage.id,
                    "label": stage.name,
                    "color": cells.COLORS.get(stage.outcome),
                    "outcome": stage.outcome,
                    "add_href": self._add_href(stage) if may_add and stage.outcome == "open" else None,
                    "count": count,
                    "sums": figures[stage.id]["sums"],
                    "cards": [self._card(row, stage, marks) for row in cards if row.stage_id == stage.id],
                    "next_href": more,
                    "more_label": gettext("Show more of %(count)s", count=number(count)),
                }
            )
        return columns

    def _add_href(self, stage):
        back = f"{self.route_base}/board?{urlencode({**_asked(), 'pipeline': stage.pipeline_id})}"
        return f"{self.route_base}/new?{urlencode({'quick': 1, 'stage_id': stage.id, 'next': back})}"

    def _last_and_next(self, ids):
        """Id -> (when something was last done about it, when the next thing is due), in one SELECT."""
        if not ids or not g.principal.may("see", "activity"):
            return None
        about, is_open = getattr(Activity, f"{self.entity}_id"), Activity.done_at.is_(None)
        found = (
            select(about, func.max(Activity.created_at), func.min(case((is_open, Activity.due_on))))
            .where(about.in_(ids))
            .group_by(about)
        )
        return {key: (last, due) for key, last, due in db.session.execute(found)}

    def _marks(self, row, stage, marks):
        """Whether a card has lain too long, and when its next activity is due."""
        if marks is None:
            return {}
        last, due = marks.get(row.id, (None, None))
        idle = (datetime.now(UTC) - max(row.updated_at, last or row.updated_at)).days
        is_rotten = stage.rots_after_days is not None and idle > stage.rots_after_days
        state = "none" if due is None else "late" if due < today() else "today" if due == today() else "later"
        words = gettext(NEXT[state], day=day(due) if due else "")
        rotten = (
            ngettext("Untouched for %(num)d day", "Untouched for %(num)d days", idle) if is_rotten else None
        )
        return {"next": {"state": state, "words": words}, "rotten": rotten, "idle": idle}

    def _shown(self, stage):
        text = request.args.get(f"cards-{stage.id}", "")
        if not text:
            return FIRST_CARDS
        shown = filters.natural(text, MOST_CARDS)
        if not shown:
            raise BadQuery(
                N_("A column shows 1 to %(most)s cards, not “%(value)s”."), most=MOST_CARDS, value=text[:20]
            )
        return shown

    def _more_href(self, stage, limit):
        return f"{self.route_base}/board?{urlencode({**request.args, f'cards-{stage.id}': limit})}"

    def _cards(self, limits, conditions):
        """The first cards of every column, in one SELECT."""
        model = self.model
        if not limits:
            return []
        order = (
            func.row_number()
            .over(partition_by=model.stage_id, order_by=(model.position, model.id))
            .label("place")
        )
        placed = (
            select(model.id, model.stage_id, order).where(model.stage_id.in_(limits), *conditions).subquery()
        )
        limit = case(limits, value=placed.c.stage_id)
        statement = select(model).join(placed, placed.c.id == model.id).where(placed.c.place <= limit)
        loads = [selectinload(model.company), selectinload(model.owner)]
        return db.session.scalars(statement.order_by(model.position, model.id).options(*loads)).all()

    def _figures(self, stage_ids, conditions=()):
        """Stage id -> how many cards stand in it and what they are worth, in one SELECT."""
        figures = {stage_id: {"count": 0, "sums": ""} for stage_id in stage_ids}
        for stage_id, count, sums in self.stage_figures(stage_ids, conditions):
            figures[stage_id]["count"] += count
            figures[stage_id]["sums"] = " · ".join(part for part in (figures[stage_id]["sums"], sums) if part)
        return figures

    def stage_figures(self, stage_ids, conditions):
        """(stage id, count, sums in words) for each stage, and for each currency where there are several."""
        model = self.model
        counted = select(model.stage_id, func.count(model.id)).where(
            model.stage_id.in_(stage_ids), *conditions
        )
        return [
            (stage_id, count, "") for stage_id, count in db.session.execute(counted.group_by(model.stage_id))
        ]

    def _stage(self, text):
        key = filters.natural(text)
        stage = db.session.get(Stage, key) if key is not None else None
        if stage is None:
            raise RuleBroken(N_("There is no such stage."))
        return stage

    def _neighbour(self, name):
        """The card that is to stand beside it; one that is gone or not visible says nothing."""
        text = request.form.get(name, "")
        if not text:
            return None
        key = filters.natural(text)
        if key is None:
            abort(400)
        return db.session.get(self.model, key)


def _notes():
    """What was said of the deed, as the page shows it: for the script that moved the card."""
    return str(current_app.jinja_env.get_template("components/flashes.html").module.flashes())


def _asked():
    """What the board was asked for: its pipeline, whose cards, and how many of each column."""
    return {
        name: value
        for name, value in request.args.items()
        if name in ("pipeline", "owner") or name.startswith("cards-")
    }
