"""What goes wrong, said calmly: a sentence on a page, or a `message` for programs; never the inside of a fault."""

import logging
import secrets
from urllib.parse import urlsplit

from flask import g, jsonify, make_response, render_template, request
from flask_babel import gettext
from flask_wtf.csrf import CSRFError
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm.exc import StaleDataError
from werkzeug.exceptions import HTTPException

from app.access import WriteRefused
from app.extensions import N_, db
from app.filters import BadQuery
from app.rules import RuleBroken
from app.throttle import TooMany
from app.views import kept
from app.views.base import AS_A_NOTE, wants_fragment, wants_json
from app.views.sign_in import too_many

log = logging.getLogger(__name__)

SENTENCES = {
    400: N_("This request cannot be understood."),
    403: N_("Your role does not include this."),
    404: N_("There is no such page or record, or it is not visible to you."),
    405: N_("This address does not take that kind of request."),
    409: N_("Somebody else changed this in the meantime."),
    413: N_("That is more than can be sent at once."),
    415: N_("This needs another kind of content."),
    422: N_("This cannot be done as it stands."),
    429: N_("Too many tries. Wait a little."),
    500: N_("Something went wrong on our side. Nothing was stored."),
    503: N_("Many people are writing just now. Nothing was stored: try again in a moment."),
}

STILL_NEEDED, THERE_ALREADY = N_("Other records still point to this one."), N_("This exists already.")
# By SQLSTATE on PostgreSQL, by the name of the extended result code on SQLite.
REFUSALS = {
    "23503": STILL_NEEDED,
    "SQLITE_CONSTRAINT_FOREIGNKEY": STILL_NEEDED,
    "23505": THERE_ALREADY,
    "SQLITE_CONSTRAINT_UNIQUE": THERE_ALREADY,
    "SQLITE_CONSTRAINT_PRIMARYKEY": THERE_ALREADY,
}

FROM_BEFORE = N_(
    "Somebody signed in or out in this browser since the page was opened, so nothing was stored. Go back: what you "
    "typed is still there. Copy it, open the page anew in another tab, and send it from there."
)

PAGES = (400, 403, 404, 409, 413, 422, 429, 500, 503)  # the others look like 400


def install(app):
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(CSRFError, _from_before)
    app.register_error_handler(RuleBroken, _rule_broken)
    app.register_error_handler(TooMany, _too_many)
    app.register_error_handler(BadQuery, lambda error: answer(400, gettext(error.message, **error.values)))
    app.register_error_handler(WriteRefused, lambda error: answer(403, gettext(error.reason)))
    app.register_error_handler(StaleDataError, lambda _error: answer(409))
    app.register_error_handler(IntegrityError, _integrity)
    app.register_error_handler(OperationalError, _busy)
    app.register_error_handler(Exception, _fault)


def answer(status, message=None, page=None, **more):
    """An error as the asker can read it. What the request had begun to write is taken back."""
    db.session.rollback()
    message = message or gettext(SENTENCES.get(status, SENTENCES[400]))
    if wants_json():
        return jsonify(message=message, **more), status
    if wants_fragment():
        return render_template("errors/note.html", message=message, **more), status, AS_A_NOTE
    page = page or (status if status in PAGES else 400)
    return render_template(f"errors/{page}.html", message=message, back=_came_from(), **more), status


def _came_from():
    """The page of ours from which a refused deed was sent; None for whoever only asked for a page."""
    sent = urlsplit(request.referrer or "")
    if request.method != "POST" or sent.netloc != request.host or sent.path.startswith("//"):
        return None
    return f"{sent.path}?{sent.query}" if sent.query else sent.path


def _http(error):
    if error.response is not None:
        return error.response
    return answer(error.code if error.code in SENTENCES else error.code or 500)


def _from_before(_error):
    """The page that was sent is from before somebody signed in or out in this browser, or its session has ended.

    What was typed is kept: it goes through the sign-in, or straight back to its form.
    """
    if typed := kept.of_request():
        db.session.rollback()
        return (kept.given_back(typed), 400) if g.get("principal") else (kept.sign_in_again(typed), 401)
    return answer(400, gettext(FROM_BEFORE), page="from_before")


def _rule_broken(error):
    return answer(422, sentence(error))


def _too_many(error):
    response = make_response(answer(429, too_many(error.seconds)))
    response.headers["Retry-After"] = str(error.seconds)
    return response


def sentence(error):
    """A broken rule in the reader's language."""
    return gettext(error.message, **error.values)


def _integrity(error):
    """A link that would hang loose, or something there may be only once; each engine says it in its own way."""
    log.info("refused by the database: %s", error.orig)
    told = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "sqlite_errorname", "")
    return answer(422, gettext(REFUSALS.get(told, SENTENCES[422])))


def _busy(error):
    """SQLite has one writer at a time, and who waited too long for his turn is told so."""
    return answer(503) if "database is locked" in str(error.orig) else _fault(error)


def _fault(error):
    error_id = secrets.token_hex(4)
    principal = g.get("principal")
    log.error("fault %s for %s", error_id, principal.username if principal else "a visitor", exc_info=error)
    return answer(500, error_id=error_id)
