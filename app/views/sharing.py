"""Sharing on the sheet of a record: with whom, by whom, why and until when; opened and ended by plain forms."""

from datetime import date

from flask import abort, flash, g, redirect, request
from flask_babel import gettext
from sqlalchemy import select

from app import access, filters
from app.extensions import N_, db
from app.models import Department, Share, Staff
from app.rules import RuleBroken, sharing
from app.views.base import allows, expose
from app.views.errors import sentence
from app.views.reading import day, today

SHARE_ROUTES = ("share", "end_share")


class ShareRoutes:
    """Sharing of one record; mixed into every `RecordView`, open where its verbs hold "share"."""

    def __init__(self):
        if self.entity not in sharing.SHAREABLE:
            self.exclude_route_methods = {*self.exclude_route_methods, *SHARE_ROUTES}
        super().__init__()

    def shares_box(self, row):
        """What the sheet shows of shares, from one SELECT; None where records are not shared."""
        if self.entity not in sharing.SHAREABLE:
            return None
        may_share = sharing.can_share(g.principal, row)
        shares = sharing.shares_of(db.session(), row, today=today())
        return {
            "shares": [_told(one) for one in shares],
            "action": f"{self.path(row)}/share" if may_share else None,
            "end": f"{self.path(row)}/shares" if may_share else None,
        }

    @expose("/<int:pk>/share", methods=["GET", "POST"])
    @allows("share")
    def share(self, pk):
        """Open the record to somebody: the form, and what it sends."""
        row = self.find(pk)
        if not sharing.can_share(g.principal, row):
            raise access.WriteRefused(self.entity, sharing.NOT_YOURS)
        if request.method == "GET":
            return self._share_page(row)
        try:
            terms = sent_terms()
            sharing.share(db.session(), row, **terms, today=today())
            db.session.commit()
        except RuleBroken as error:
            db.session.rollback()
            return self._share_page(row, error=error, status=422)
        flash(gettext("“%(name)s” is shared with %(whom)s.", name=row, whom=terms["to"]), "success")
        return redirect(self.path(row))

    @expose("/<int:pk>/shares/<int:share_pk>/end", methods=["POST"])
    @allows("share")
    def end_share(self, pk, share_pk):
        row = self.find(pk)
        if not sharing.end(db.session(), row, share_pk):
            abort(404)
        db.session.commit()
        flash(gettext("“%(name)s” is not shared like that any more.", name=row), "success")
        return redirect(self.path(row))

    def _share_page(self, row, *, error=None, status=200):
        return self.page(
            "records/share.html",
            status=status,
            row=row,
            said=said_terms(error),
            shares=[_told(one) for one in sharing.shares_of(db.session(), row, today=today())],
        )


def _told(one):
    """A share in words."""
    return {
        "id": one.id,
        "whom": one.person or one.department,
        "is_work": one.cause == "work",
        "may": gettext(Share.__table__.c.may.info["choices"][one.may]),
        "until": day(one.until_on) if one.until_on else None,
        "reason": one.reason,
        "by": one.by,
        "on": day(one.created_at),
    }


def sent_terms():
    """With whom, what for, until when and why, as the form says it; raises RuleBroken."""
    until = request.form.get("until_on", "").strip()
    try:
        until_on = date.fromisoformat(until) if until else None
    except ValueError:
        raise RuleBroken(N_("“%(text)s” is no date."), field="until_on", text=until[:20]) from None
    return {
        "to": _whom(request.form.get("to", "")),
        "may": request.form.get("may", "see"),
        "until_on": until_on,
        "reason": request.form.get("reason", ""),
    }


def _whom(text):
    """Whom a value of the form's list means: "staff-7", "department-3"; None for nobody there is."""
    kind, _, number = text.partition("-")
    model, key = {"staff": Staff, "department": Department}.get(kind), filters.natural(number)
    return db.session.get(model, key) if model is not None and key is not None else None


def said_terms(error=None):
    """What the form of a share needs: who may be chosen, and what was typed."""
    people = select(Staff).where(Staff.left_on.is_(None), Staff.id != g.principal.id).order_by(Staff.name, Staff.id)
    departments = select(Department).order_by(Department.name)
    return {
        "departments": [(f"department-{one.id}", one.name) for one in db.session.scalars(departments)],
        "people": [(f"staff-{one.id}", one.name) for one in db.session.scalars(people)],
        "mays": [(key, gettext(words)) for key, words in Share.__table__.c.may.info["choices"].items()],
        "typed": {name: request.form.get(name, "") for name in ("to", "may", "until_on", "reason")},
        "today": today().isoformat(),
        "errors": {error.field or "": sentence(error)} if error else {},
    }
