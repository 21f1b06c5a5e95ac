"""Leavers: what somebody has in hand is handed over by a rule before he goes, and a sheet says who took what."""

from itertools import groupby

from flask import Response, abort, current_app, flash, g, redirect, request
from flask_babel import get_locale, gettext
from sqlalchemy import select
from sqlalchemy.orm import selectinload

from app import access, filters, in_hand
from app.documents.hand_over import hand_over_pdf
from app.extensions import N_, db
from app.models import ENTITIES, Change, ChangeSet, Staff
from app.rules import RuleBroken, handing_over
from app.rules.handing_over import KINDS, PERSON, RULES, Choice
from app.views import words
from app.views.base import PageView, allows, expose
from app.views.errors import sentence
from app.views.leaving import Departure
from app.views.reading import moment, today

SHOWN = 100
STILL = {
    "staff": N_("People who report to him"),
    "deputy": N_("Deputies, his and for others"),
    "job": N_("Jobs that are not done"),
    "approval": N_("Approvals that he waits for"),
}


class HandOverView(PageView):
    """What was handed over, with its sheet."""

    entity, model = "change_set", ChangeSet
    route_base = "/hand-overs"

    @expose("/")
    @allows("see")
    def index(self):
        newest = select(ChangeSet).where(ChangeSet.door == handing_over.DOOR).order_by(ChangeSet.id.desc())
        found = db.session.scalars(newest.options(selectinload(ChangeSet.by)).limit(SHOWN)).all()
        return self.page(
            "rights/hand_overs.html",
            sets=[
                {
                    "name": one.why,
                    "at": moment(one.at),
                    "by": one.by.name if one.by else gettext("the system"),
                    "href": f"/changes/{one.id}",
                    "sheet": f"{self.route_base}/{one.id}/sheet",
                }
                for one in found
            ],
        )

    @expose("/<int:pk>/sheet")
    @allows("see")
    def sheet(self, pk):
        """The sheet as a paper, as far as its reader sees the records."""
        found = db.session.get(ChangeSet, pk) if pk <= filters.LARGEST_ID else None
        if found is None or found.door != handing_over.DOOR:
            abort(404)
        said = _said(found)
        if not said["owners"]:  # who sees none of the records reads no paper of them
            abort(404)
        rows = sum(len(records) for _, records in said["owners"])
        departure = Departure(
            self.entity,
            gettext("Hand-over: %(person)s", person=said["leaver"]),
            kind="document",
            record_id=pk,
            rows=rows,
        )
        house = current_app.config["SETTINGS"].COMPANY_NAME
        paper = hand_over_pdf(said, house=house, language=str(get_locale() or "en"), mark=departure.mark)
        name = f"hand-over-{pk}.pdf"
        return Response(
            paper,
            mimetype="application/pdf",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )


def _said(change_set):
    """What the reader may see of a hand-over: records by their new owner."""
    asked = select(Change.entity, Change.record_id, Change.values).where(
        Change.change_set_id == change_set.id
    )
    changes = [
        (entity, key, values["owner_id"][1])
        for entity, key, values in db.session.execute(asked)
        if "owner_id" in values
    ]
    records = []
    for entity in KINDS:
        new = {key: owner for one, key, owner in changes if one == entity}
        model = ENTITIES[entity]
        found = (
            select(model).where(model.id.in_(new)).options(selectinload(model.department)).order_by(model.id)
        )
        records += [(new[row.id], words.entity_name(entity), row) for row in db.session.scalars(found)]
    owners = {owner for owner, _, _ in records}
    names = dict(db.session.execute(select(Staff.id, Staff.name).where(Staff.id.in_(owners))).all())
    records.sort(key=lambda one: (names[one[0]], one[0]))
    return {
        "leaver": (change_set.why or "").rpartition(" (#")[0],
        "on": change_set.at.astimezone(current_app.config["SETTINGS"].zone).date(),
        "by": change_set.by.name if change_set.by is not None else gettext("the system"),
        "owners": [
            (
                names[owner],
                [
                    {"kind": kind, "name": str(row), "department": str(row.department), "id": row.id}
                    for _, kind, row in theirs
                ],
            )
            for owner, theirs in groupby(records, key=lambda one: one[0])
        ],
    }


class HandOverRoutes:
    """Handing over and leaving, from the sheet of a colleague; mixed into the view of staff."""

    @expose("/<int:pk>/hand-over", methods=["GET", "POST"])
    @allows("edit")
    def hand_over(self, pk):
        """Choose by which rule, look at who gets how much, then do it."""
        if not g.principal.may("edit", "account"):
            abort(403)
        leaver = self.find(pk)
        name = leaver.name
        if pk == g.principal.id:
            raise RuleBroken(N_("You cannot shut yourself out."))
        work = in_hand.work_of(db.session, pk, today())
        if request.method == "GET":
            return self._hand_over_page(pk, name, work)
        by, day, choices = handing_over.in_the_name_of(g.principal), today(), _choices()
        db.session.rollback()  # the rule works past the asker's sight, in a session of its own
        try:
            if not request.form.get("confirm"):
                with access.system_session("hand-over", writes=False) as session:
                    plan = handing_over.plan(session, pk, choices, today=day)
                return self._hand_over_page(pk, name, work, plan=plan)
            with access.session_for(by, door="page", why=None) as session:
                plan = handing_over.plan(session, pk, choices, today=day)
                if str(plan.total) != request.form.get("expected"):
                    raise RuleBroken(N_("His work has changed in the meantime: look at it again."))
                key = handing_over.hand_over(session, plan, today=day)
        except RuleBroken as error:
            return self._hand_over_page(pk, name, work, error=sentence(error), status=422)
        flash(
            gettext(
                "%(person)s has left; %(number)s records were handed over.", person=name, number=plan.total
            ),
            "success",
        )
        return redirect("/hand-overs/" if key else f"/staff/{pk}")

    def _hand_over_page(self, pk, name, work, *, plan=None, error=None, status=200):
        with access.system_session("hand-over", writes=False) as session:
            active = (
                select(Staff.id, Staff.name)
                .where(Staff.left_on.is_(None), Staff.id != pk)
                .order_by(Staff.name)
            )
            people = [tuple(one) for one in session.execute(active)]
        sent = request.form if request.method == "POST" else {"rule": PERSON, "customers": "1"}
        return self.page(
            "rights/hand_over.html",
            status=status,
            name=name,
            pk=pk,
            error=error,
            work=[
                (gettext(STILL[one]) if one in STILL else words.entity_name(one), count)
                for one, count in work.items()
            ],
            people=people,
            rules=[(rule, gettext(text)) for rule, text in RULES.items()],
            kinds=[(one, words.entity_name(one)) for one in in_hand.OPEN],
            sent=sent,
            hidden=[
                (one, value)
                for one, value in request.form.items()
                if one not in ("csrf_token", "confirm", "expected")
            ],
            plan=None if plan is None else _told(plan),
        )


def _choices():
    """What the form says: a rule for all, and others for some."""

    def read(rule, person):
        return Choice(rule, filters.natural(person or "") if rule == PERSON else None)

    chosen = {"*": read(request.form.get("rule", ""), request.form.get("person_id"))}
    for entity in in_hand.OPEN:
        if rule := request.form.get(f"rule-{entity}"):
            chosen[entity] = read(rule, request.form.get(f"person_id-{entity}"))
    if request.form.get("customers"):
        chosen |= dict.fromkeys(in_hand.CUSTOMERS, chosen["*"])
    return chosen


def _told(plan):
    columns = [entity for entity in KINDS if plan.given.get(entity)]
    return {
        "columns": [words.entity_name(entity) for entity in columns],
        "rows": [(name, [counted[entity] for entity in columns]) for name, counted in plan.counts()],
        "left": [(words.entity_name(entity), count) for entity, count in plan.left.items()],
        "beside": [(gettext(STILL[name]), count) for name, count in plan.beside.items()],
        "total": plan.total,
    }
