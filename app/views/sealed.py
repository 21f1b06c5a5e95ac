"""The sealed line in lists, forms and API of customers: that one exists beyond the reader's reach, and whom to ask."""

from datetime import UTC, datetime

from flask import current_app, flash, g, redirect, request
from flask_babel import gettext
from sqlalchemy import select

from app import access, jobs, security, throttle
from app.extensions import N_, db
from app.rules import RuleBroken, leaving_the_house, sealed, values
from app.views import base
from app.views.base import allows, expose
from app.views.reading import today

LONGEST_REASON = 300
KINDS = ("mail", "vat", "name")
TELLING = ("name", "first_name", "last_name", "email", "vat_id")  # the columns that say who it is


class SealedRoutes:
    """For a `RecordView` of customers: asks beyond the reader's reach, by exact identity only."""

    # ---- where one searches and enters

    def sealed_on_list(self, query, found):
        """For a search that found nothing: what is told of whom the words mean; None for nothing."""
        if (found.rows and not found.query.near) or query.tree is not None or query.after is not None:
            return None
        return look(self.model, sealed.meant_by(self.model, query.words))

    def sealed_on_form(self, form, reason):
        """For a new record, before anything is written; a stated reason lets it pass, and stands in the ledger."""
        reason = values.one_line(reason).strip()[:LONGEST_REASON]
        if reason and security.is_storable(reason):
            db.session.info["why"] = gettext("Added knowingly: %(reason)s", reason=reason)[:300]
            return None
        typed = {name: form[name].data for name in TELLING if name in form}
        told = look(self.model, sealed.meant_by_values(self.model, typed))
        return told if told and told["line"] else None  # whom nobody asked about may be added

    # ---- asking for it

    @expose("/ask", methods=["POST"])
    @allows("add")
    def ask_for_it(self):
        """Send whom it belongs to a task, with the reason; the answer is the same whatever came of it before."""
        meant = {kind: request.form.get(f"meant_{kind}", "")[:320] for kind in KINDS}
        meant = _normal(self.model, meant)
        reason = values.one_line(request.form.get("sealed_reason", "")).strip()[:LONGEST_REASON]
        if not reason:
            raise RuleBroken(N_("Say why: whoever reads it later needs the reason."))
        values.check_storable(reason)
        told = look(self.model, meant)
        if told is None or told["line"] is None:
            raise RuleBroken(N_("There is nothing to ask for."))
        subject = gettext("%(person)s asks to see this customer", person=g.principal.name)
        _send(self.model, told["sealed"], subject, reason)
        if told["line"]["person"]:
            flash(gettext("%(person)s was asked.", person=told["line"]["person"]), "success")
        else:
            flash(gettext("The department was asked."), "success")
        return redirect(f"{self.route_base}/")


def _normal(model, meant):
    """What a form sent is compared as what was typed is."""
    read = {"mail": sealed.mail_of, "vat": sealed.vat_of, "name": lambda text: sealed.name_of(model, text)}
    found = {kind: read[kind](text) for kind, text in meant.items() if security.is_storable(text)}
    return {kind: text for kind, text in found.items() if text}


def look(model, meant):
    """{"line": department and person, or None; "wait": seconds, "meant", "sealed"}; None where nothing is to be told.

    Each look is counted, whatever it finds, in a transaction of its own: what the request has read so far is let go.
    """
    is_off = current_app.config["SETTINGS"].SEALED_LINE == "off"
    if is_off or not meant or not sealed.is_asked(g.principal, model):
        return None
    db.session.rollback()
    seconds = throttle.ask("sealed", g.principal.id, request.remote_addr or "", base.device_cookie())
    if seconds is not None:
        return {"line": None, "wait": -(-seconds // 60), "meant": meant, "sealed": None}
    about = _told(g.principal, model, meant)
    if about is None:
        return None
    line = {"department": about.department, "person": about.person}
    return {"line": line, "wait": None, "meant": meant, "sealed": about}


def for_rows(principal, settings):
    """The same for the rows of a file, before its import: a function of (model, values) that tells the line or None.

    So many rows in a while, and no more: a file of addresses would ask the house for all its customers.
    """
    if settings.SEALED_LINE == "off":
        return None
    said = {"is_over": False}

    def look_outside(model, given):
        if said["is_over"] or not sealed.is_asked(principal, model):
            return None
        meant = sealed.meant_by_values(model, given)
        if not meant:
            return None
        said["is_over"] = throttle.ask("sealed row", principal.id, "") is not None
        about = None if said["is_over"] else _told(principal, model, meant)
        return {"department": about.department, "person": about.person} if about else None

    return look_outside


def _told(principal, model, meant):
    """Of whom the asker is told, and that in the ledger; None for nobody, or for one whom he sees himself."""
    with access.system_session("sealed line", door="page", writes=False) as session:
        found = sealed.those_meant(session, model, meant)
        if not found or _seen(principal, model, found):
            return None
        about = sealed.line_about(session, model, found[0])
    leaving_the_house.write_down(
        principal,
        kind="sealed",
        entity=model.__tablename__,
        question=", ".join(meant.values()),
        at=datetime.now(UTC),
        record_id=about.record_id,
        rows=1,
    )
    return about


def _seen(principal, model, keys):
    """Those of the records that the reader sees himself."""
    with access.session_for(principal, door="page", writes=False) as session:
        return set(session.scalars(select(model.id).where(model.id.in_(keys))))


def _send(model, about, subject, reason):
    """The task, and a mail where the house writes mails; written by the system, as the asker may not see the record."""
    settings = current_app.config["SETTINGS"]
    with access.system_session(subject, door="page") as session:
        task = sealed.ask_for(session, model, about, subject=subject, reason=reason, today=today())
        address = security.address_of(about.person_id) if about.person_id and settings.MAIL_HOST else None
        if address:
            text = gettext("%(subject)s: %(reason)s. It is among your tasks.", subject=subject, reason=reason)
            payload = {"subject": subject, "text": text}
            whose = {"department_id": task.department_id, "owner_id": about.person_id}
            jobs.send_later(session, "mail", address, payload, **whose)
