"""The ledger of reads and exports: who took what along, how many rows of it, and whose a leaked file is."""

from hashlib import sha256

from flask import request
from flask_babel import gettext
from sqlalchemy import select
from sqlalchemy.orm import selectinload

from app import filters
from app.extensions import N_, db
from app.models import ReadEntry
from app.rules import RuleBroken
from app.rules.leaving_the_house import entries_of, find_trace, typed_trace
from app.views import history
from app.views.base import UPLOADS, PageView, allows, expose
from app.views.reading import moment, number

SHOWN = 50
LARGEST = 64 * 1024 * 1024  # bytes of a file that is looked through
COLORS = {"sealed": "violet", "export": "blue", "document": "grey", "why": "amber"}

UPLOADS["ReadView.find"] = LARGEST + 1024 * 1024


class ReadView(PageView):
    """One's own reads and exports; for heads those of their people, for directors and admins everybody's."""

    entity, model, route_base = "read_entry", ReadEntry, "/reads"

    @expose("/")
    @allows("see")
    def index(self):
        statement = select(ReadEntry).order_by(ReadEntry.id.desc())
        before = filters.natural(request.args.get("before", ""))
        kind = request.args.get("kind", "")
        if before is not None:
            statement = statement.where(ReadEntry.id < before)
        if kind in KINDS:
            statement = statement.where(ReadEntry.kind == kind)
        else:
            kind = ""
        return self._page(statement, kind=kind)

    @expose("/find", methods=["POST"])
    @allows("trace")
    def find(self):
        """Which file is this? By the code that somebody read in it, or by the file itself."""
        file, typed = request.files.get("file"), request.form.get("trace", "").strip()
        content = file.read(LARGEST + 1) if file is not None else b""
        if len(content) > LARGEST:
            raise RuleBroken(N_("This file is larger than %(most)s MB."), most=LARGEST // 1024**2)
        trace = find_trace(content) if content else typed_trace(typed)
        if content and trace is None:
            found = entries_of(db.session, digest=sha256(content).hexdigest())
        else:
            found = entries_of(db.session, trace=trace) if trace else []
        if found:
            said = gettext("This left the house like this:")
        elif trace:
            said = gettext("%(trace)s is not among the exports that you may see.", trace=trace)
        elif content:
            said = gettext("This file carries no trace, and is no paper of ours as it left the house.")
        else:
            said = gettext("Type the twelve letters of a trace, or choose the file.")
        return self._shown(found, said=said, is_found=bool(found))

    def _page(self, statement, **context):
        found = db.session.scalars(statement.limit(SHOWN + 1).options(selectinload(ReadEntry.owner))).all()
        entries = found[:SHOWN]
        next_href = None
        if len(found) > SHOWN:
            kind = f"kind={context['kind']}&" if context["kind"] else ""
            next_href = f"{self.route_base}/?{kind}before={entries[-1].id}"
        return self._shown(entries, next_href=next_href, **context)

    def _shown(self, entries, **context):
        return self.page(
            "reads/index.html",
            entries=[_told(one) for one in entries],
            kinds=[(key, gettext(words)) for key, words in KINDS.items()],
            **{"kind": "", "next_href": None, "said": None, "is_found": False, **context},
        )


KINDS = ReadEntry.__table__.c.kind.info["choices"]


def _told(entry):
    """An entry in words; which record was sealed, is not among them: whoever asked must not learn it here."""
    words, _, address = (entry.question or "").partition("\n")
    return {
        "at": moment(entry.at),
        "who": entry.owner.name if entry.owner else gettext("The system"),
        "kind": (gettext(KINDS[entry.kind]), COLORS[entry.kind]),
        "what": gettext(history.KINDS.get(entry.entity, entry.entity or "").replace("_", " ")),
        "words": words,
        "address": address,
        "rows": number(entry.rows),
        "trace": entry.trace,
    }
