"""Export of any list: the rows that it shows, however many, as a file that comes while it is written."""

from dataclasses import replace
from functools import lru_cache
from urllib.parse import urlencode

from flask import Response, current_app, g, request, stream_with_context
from flask_babel import get_locale, gettext

from app import access, filters
from app.exchange import exporting
from app.extensions import N_, db
from app.models import Contact
from app.views import approvals, filtering, leaving, templating
from app.views.base import allows, expose
from app.views.reading import today

FORMATS = {
    "csv": (N_("CSV, for every program"), "text/csv; charset=utf-8"),
    "xlsx": (N_("Excel (XLSX)"), "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    "vcf": (N_("vCards, for phones and mail programs"), "text/vcard; charset=utf-8"),
}
COLUMNS = {"shown": N_("The columns shown"), "all": N_("All columns")}
LINKS = {"numbers": N_("With numbers, to be imported again"), "names": N_("Names only, for reading")}
MOST_CHOSEN = 1000


class ExportRoutes:
    """The export of a list, as filtered, searched and sorted; mixed into every list with pages of its records."""

    @expose("/export")
    @allows("export")
    def export(self):
        """`columns` is shown, all, or names between commas; `ids`, given once or more, picks rows."""
        kind = self._asked("format", FORMATS, "csv")
        if kind == "vcf" and self.model is not Contact:
            raise filters.BadQuery(N_("Only contacts are exported as vCards."))
        manner = exporting.Manner(
            zone=current_app.config["SETTINGS"].zone,
            language=str(get_locale() or "en"),
            say=gettext,
            is_for_import=self._asked("links", LINKS, "numbers") == "numbers",
        )
        statement, names = self._exported(), self._column_names()
        if answer := approvals.must_ask(self, statement):
            return answer
        departure = leaving.Departure(self.entity, self._question())
        columns = exporting.columns_for(db.session(), self.model, names, manner)
        if kind == "vcf":
            body = departure.counting(exporting.as_cards(db.session(), statement, manner, departure.mark))
        else:
            found = exporting.rows(db.session(), self.model, statement, columns, manner)
            found = departure.counting(found)
            if kind == "csv":
                body = exporting.as_csv(columns, found, manner, departure.mark)
            else:
                body = exporting.as_workbook(columns, found, gettext(self.many), manner, departure.mark)
        name = f"{self.route_base.strip('/')}-{today().isoformat()}-{departure.trace}.{kind}"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        # With its context, the request keeps its session, and with it the person for whom it reads, to the last row.
        body = stream_with_context(_letting_go(db.session(), body, departure))
        return Response(body, content_type=FORMATS[kind][1], headers=headers)

    def _exported(self):
        """The SELECT of all rows that the list goes through, in its order."""
        query = filters.verified(db.session(), self.model, replace(self.query_from(request.args), after=None))
        statement = filters.page(self.model, query).limit(None)
        statement = statement.where(access.lies_within(g.principal, "export", self.model))
        ids = request.args.getlist("ids")
        if not ids:
            return statement
        keys = [filters.natural(text) for text in ids[:MOST_CHOSEN]]
        if None in keys or len(ids) > MOST_CHOSEN:
            raise filters.BadQuery(N_("This selection cannot be exported."))
        return statement.where(self.model.id.in_(keys))

    def _question(self):
        """What is exported, in words."""
        if ids := request.args.getlist("ids"):
            return gettext("%(number)s chosen", number=len(ids))
        return filtering.in_words(self, self.query_from(request.args))

    def _column_names(self):
        asked = request.args.get("columns", "shown")
        known = exporting.all_names(db.session(), self.model)
        if asked == "shown":
            own = [one.key for one in self._custom_fields()]
            return [name for name in (*self.shown_columns(), *own) if name in known]
        if asked == "all":
            return known
        names = [name.strip() for name in asked.split(",") if name.strip()]
        if not set(names) <= set(known):
            raise filters.BadQuery(N_("There is no such column."))
        return names

    def _asked(self, name, offered, otherwise):
        asked = request.args.get(name, otherwise)
        if asked not in offered:
            raise filters.BadQuery(N_("“%(value)s” is not offered."), value=asked[:40])
        return asked

    def export_menu(self, hidden=None):
        """What the list page needs to offer its export, drawn; None where there is nothing to export."""
        if not g.principal.may("export", self.entity):
            return None
        if hidden is None:
            hidden = [*filters.parameters_of(self.query_from(request.args)), *self.look().parameters]
        is_of_contacts = self.model is Contact
        return _menu(f"{self.route_base}/export", tuple(hidden), is_of_contacts, str(get_locale() or "en"))


@lru_cache(maxsize=1024)
def _menu(action, hidden, is_of_contacts, _language):
    """Drawn once for all who may export such a list."""
    kinds = {key: words for key, (words, _) in FORMATS.items() if key != "vcf" or is_of_contacts}
    menu = {
        "action": action,
        "hidden": hidden,
        "formats": [(key, templating.said(words)) for key, words in kinds.items()],
        "columns": [(key, templating.said(words)) for key, words in COLUMNS.items()],
        "links": [(key, templating.said(words)) for key, words in LINKS.items()],
    }
    component = current_app.jinja_env.get_template("components/export_menu.html")
    return component.module.export_menu(menu)


def _letting_go(session, body, departure):
    """The body, after which the session gives its connection back: the request's own end has passed by then.

    Then the ledger of reads hears how many rows went out, also where the reader hung up in between.
    """
    session.rollback()
    session.info["reads all"] = True
    try:
        yield from body
    finally:
        session.info.pop("reads all", None)
        session.close()
        departure.over()


def with_args(path, args):
    """An address with these parameters."""
    return f"{path}?{urlencode(args)}" if args else path
