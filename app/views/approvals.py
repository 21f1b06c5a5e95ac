"""Approvals of large exports: asked for by whoever would take them along, granted or refused by a head, used once."""

from datetime import UTC, datetime
from types import SimpleNamespace

from flask import abort, current_app, flash, g, jsonify, redirect, request
from flask_babel import gettext
from itsdangerous import BadSignature, URLSafeSerializer
from sqlalchemy import select
from sqlalchemy.orm import selectinload
from sqlalchemy.orm.exc import StaleDataError

from app import access, filters, jobs, security
from app.extensions import N_, db
from app.models import Approval
from app.rules import RuleBroken, approvals
from app.views import history
from app.views.base import PageView, allows, expose, wants_json
from app.views.errors import sentence
from app.views.reading import moment, number

SHOWN = 50
GRANTED = N_("Your export of %(rows)s rows is granted.")
REFUSED = N_("Your export of %(rows)s rows is refused.")
COLORS = {"waiting": "amber", "granted": "green", "refused": "red", "used": "grey"}


def must_ask(view, statement):
    """The answer to an export that needs somebody's word first; None where it may go. A word that is there is used."""
    most, principal = current_app.config["SETTINGS"].EXPORT_APPROVAL_ROWS, g.principal
    if not approvals.needs_one(principal, most + 1, most):
        return None
    session = db.session()
    rows = approvals.rows_of(session, view.model, statement, most)
    if not approvals.needs_one(principal, rows, most):
        return None
    question, now = request.full_path.rstrip("?"), datetime.now(UTC)
    known = approvals.of_question(session, principal, question, now)
    if known is not None and known.state == "granted":
        key = known.id
        db.session.rollback()
        try:
            approvals.use(key)
        except StaleDataError:  # of two downloads at once, the other was faster
            abort(409)
        return None
    if wants_json():
        return jsonify(message=gettext("This export needs the approval of a head: %(rows)s rows.", rows=rows)), 403
    asked = {"entity": view.entity, "question": question, "rows": rows, "by": principal.id}
    return view.page(
        "approvals/ask.html", status=403, **_to_ask(asked), most=number(most), back=view.route_base + "/", known=known
    )


def _to_ask(asked, error=None, reason=""):
    whose = SimpleNamespace(department_id=g.principal.department_id, owner_id=asked["by"])
    waits_for = _names(approvals.deciders(whose))
    return {
        "sealed": _sealer().dumps(asked),
        "rows": number(asked["rows"]),
        "waits_for": waits_for,
        "error": error,
        "reason": reason,
    }


def _sealer():
    """What the form carries cannot be changed on the way: how many rows it is, is said by us."""
    return URLSafeSerializer(current_app.secret_key, salt="approval")


def _names(keys):
    with access.system_session("who approves", writes=False) as session:
        return [session.get(security.Staff, key).name for key in keys[:1]]


class ApprovalView(PageView):
    """What I asked for, and what waits for my word."""

    entity, model, route_base = "approval", Approval, "/approvals"

    @expose("/")
    @allows("see")
    def index(self, error=None, status=200):
        statement = select(Approval).order_by(Approval.id.desc())
        before = filters.natural(request.args.get("before", ""))
        if before is not None:
            statement = statement.where(Approval.id < before)
        links = (selectinload(Approval.owner), selectinload(Approval.decided_by))
        found = db.session.scalars(statement.limit(SHOWN + 1).options(*links)).all()
        following = f"{self.route_base}/?before={found[SHOWN - 1].id}" if len(found) > SHOWN else None
        told = [self._told(one) for one in found[:SHOWN]]
        return self.page("approvals/index.html", status=status, approvals=told, next_href=following, error=error)

    @expose("/ask", methods=["POST"])
    @allows("add")
    def ask(self):
        """Ask for the word of those above."""
        try:
            asked = _sealer().loads(request.form.get("asked", ""))
        except BadSignature:
            abort(400)
        if asked["by"] != g.principal.id:
            abort(400)
        session = db.session()
        known = approvals.of_question(session, g.principal, asked["question"], datetime.now(UTC))
        if known is not None:
            return redirect(f"{self.route_base}/")
        about = {name: asked[name] for name in ("entity", "question", "rows")}
        try:
            approval = approvals.ask(session, g.principal, reason=request.form.get("reason", ""), **about)
        except RuleBroken as error:
            db.session.rollback()
            more = _to_ask(asked, sentence(error), request.form.get("reason", ""))
            more |= {"most": None, "known": None, "back": f"{self.route_base}/"}
            return self.page("approvals/ask.html", status=422, **more)
        who = approvals.deciders(approval)
        text = gettext("%(name)s asks to export %(rows)s rows.", name=g.principal.name, rows=number(approval.rows))
        _tell(session, who[:1], text, approval.reason)
        db.session.commit()
        flash(gettext("Your question waits for an answer."), "success")
        return redirect(f"{self.route_base}/")

    @expose("/<int:pk>/grant", methods=["POST"])
    @allows("edit")
    def grant(self, pk):
        return self._decide(pk, grant=True)

    @expose("/<int:pk>/refuse", methods=["POST"])
    @allows("edit")
    def refuse(self, pk):
        return self._decide(pk, grant=False)

    def _decide(self, pk, *, grant):
        approval = db.session.get(Approval, pk) or abort(404)
        try:
            approvals.decide(
                approval, g.principal, grant=grant, answer=request.form.get("answer", ""), now=datetime.now(UTC)
            )
        except RuleBroken as error:
            db.session.rollback()
            return self.index(error=sentence(error), status=422)
        words = GRANTED if grant else REFUSED
        _tell(db.session(), [approval.owner_id], gettext(words, rows=number(approval.rows)), approval.answer or "")
        db.session.commit()
        flash(gettext("It is granted.") if grant else gettext("It is refused."), "success")
        return redirect(f"{self.route_base}/")

    def _told(self, one):
        is_waiting, principal = one.state == "waiting", g.principal
        may_decide = is_waiting and principal.may("edit", self.entity) and (
            one.owner_id != principal.id or principal.id in approvals.deciders(one)
        )
        is_open = one.owner_id == principal.id and approvals.is_open(one, datetime.now(UTC))
        return {
            "id": one.id,
            "who": one.owner.name,
            "at": moment(one.created_at),
            "what": gettext(history.KINDS.get(one.entity, one.entity)),
            "question": one.question,
            "rows": number(one.rows),
            "reason": one.reason,
            "state": (gettext(Approval.__table__.c.state.info["choices"][one.state]), COLORS[one.state]),
            "decided_by": one.decided_by.name if one.decided_by else None,
            "decided_at": moment(one.decided_at) if one.decided_at else None,
            "answer": one.answer,
            "decide": f"{self.route_base}/{one.id}" if may_decide else None,
            "download": one.question if is_open else None,
            "until": moment(one.decided_at + approvals.VALID) if is_open else None,
        }


def _tell(session, keys, subject, text):
    """A mail to these colleagues, where the house writes mails."""
    if not current_app.config["SETTINGS"].MAIL_HOST:
        return
    for key in keys:
        if address := security.address_of(key):
            jobs.send_later(session, "mail", address, {"subject": subject, "text": f"{subject}\n\n{text}"})
