"""How a list looks: which columns, how dense, and the views of it that were saved; all of it in the list's address."""

from dataclasses import dataclass, replace
from functools import cache
from urllib.parse import parse_qsl, urlencode, urlsplit

from flask import abort, flash, g, redirect, request
from flask_babel import gettext
from sqlalchemy import JSON, LargeBinary, Text
from werkzeug.datastructures import MultiDict

from app import access, filters
from app.extensions import N_, db, here
from app.identity import preferences, saved_views
from app.views import cells, custom_values, filtering, templating
from app.views.base import allows, expose

SHOW, DENSITY, VIEW, COLUMN, PANEL = "show", "density", "view", "col", "look"
ALL = "all"  # of the views: the list as nobody has set it up
MOST_COLUMNS = 20


@dataclass(frozen=True)
class Look:
    """What an address says of the list's look; None: as usual."""

    show: tuple | None = None
    density: str | None = None
    view: str | None = None

    @property
    def parameters(self):
        """As the pairs of an address, without the view: what a view keeps beside its query."""
        said = [(SHOW, ",".join(self.show))] if self.show else []
        return [*said, (DENSITY, self.density)] if self.density else said


class LookRoutes:
    """What a `ListView` offers of its look: columns, density, saved views, and the rows beside one of its rows."""

    # ---- columns and density

    def look(self):
        """The look that the address asks for; raises BadQuery for a column that there is not. Read once a request."""
        kept = here().g  # a page asks for it twenty times
        if "look" not in kept:
            kept.look = self._look_of(request.args)
        return kept.look

    def _look_of(self, args):
        names = tuple(dict.fromkeys(one for one in args.get(SHOW, "").split(",") if one))
        if names and (not set(names) <= set(self.offered_columns()) or len(names) > MOST_COLUMNS):
            raise filters.BadQuery(N_("There is no such column."))
        density = args.get(DENSITY) or None
        if density is not None and density not in preferences.DENSITIES:
            raise filters.BadQuery(N_("“%(value)s” is not offered."), value=density[:40])
        view = args.get(VIEW) or None
        if view is not None and view != ALL and filters.natural(view) is None:
            raise filters.BadQuery(N_("There is no such view."))
        return Look(names or None, density, view)

    def shown_columns(self):
        """The columns of the list that its reader may be shown: those he asks for, or the usual ones."""
        asked = self.look().show
        if asked is None:
            return access.shown(g.principal, self.entity, self.list_columns)
        return tuple(name for name in asked if name in self.model.__table__.c) or ("id",)

    def shown_custom(self, most):
        """The firm's own fields that the list shows, behind the columns of the house."""
        fields, asked = custom_values.fields_for(self.entity), self.look().show
        return fields[:most] if asked is None else [one for one in fields if one.key in asked]

    def offered_columns(self):
        """Name -> words of all that this list can show its reader."""
        offered = {
            name: cells.label(self.model.__table__.c[name])
            for name in access.shown(g.principal, self.entity, _tellable(self.model))
        }
        return offered | {one.key: one.label(custom_values.language()) for one in custom_values.fields_for(self.entity)}

    def is_dense(self):
        return (self.look().density or g.principal.density) == "dense"

    def look_chosen(self, query):
        """The address that a filled-in panel of columns leads to, or None where none was sent."""
        if request.args.get(PANEL) != "set":
            return None
        offered = self.offered_columns()
        chosen = tuple(name for name in offered if name in request.args.getlist(COLUMN))
        usual = access.shown(g.principal, self.entity, self.list_columns)
        usual = {*usual, *(one.key for one in custom_values.fields_for(self.entity)[:4])}
        g.look = replace(self._look_of(request.args), show=None if not chosen or set(chosen) == usual else chosen)
        if g.look.density == g.principal.density:
            g.look = replace(g.look, density=None)
        return filtering.address(self, query)

    def look_panel(self, query):
        """What the panel of columns shows, or None while it is shut."""
        if request.args.get(PANEL) != "open":
            return None
        now = {*self.shown_columns(), *(one.key for one in self.shown_custom(4))}
        keep = [*filters.parameters_of(query), (PANEL, "set")]
        keep += [(VIEW, self.look().view)] if self.look().view else []
        return {
            "action": f"{self.route_base}/",
            "keep": keep,
            "columns": [(name, words, name in now) for name, words in self.offered_columns().items()],
            "densities": [("roomy", gettext("Roomy")), ("dense", gettext("Dense"))],
            "density": "dense" if self.is_dense() else "roomy",
            "shut": filtering.address(self, query),
        }

    # ---- saved views

    def begins_with(self):
        """The address of the view with which this reader's list begins, where he opens it without asking anything."""
        key = g.principal.default_views.get(self.entity)
        if key is None or request.args:
            return None
        chosen = next((one for one in saved_views.seen(g.principal, self.entity) if one.id == key), None)
        return self.view_address(chosen) if chosen else None

    def view_address(self, view):
        """The address of a saved view."""
        return f"{self.route_base}/?{view.query}{'&' if view.query else ''}{VIEW}={view.id}"

    def views_shown(self, query):
        """The tabs above the list: all, the views that are pinned, the rest; and the ways to keep what stands now."""
        if not g.principal.may("edit", "own_account"):
            return None
        views, now = saved_views.seen(g.principal, self.entity), self.look().view
        is_plain = not query.asks_something and query.sort == self.default_sort and not self.look().parameters
        if is_plain and not views:
            return {"tabs": [], "more": [], "save": None, "edit": None}
        said = filters.encoded([*filters.parameters_of(query), *self.look().parameters])
        current = next((one for one in views if str(one.id) == now), None)
        has_default = self.entity in g.principal.default_views
        tabs = [
            {
                "label": templating.said(N_("All")),
                "href": f"{self.route_base}/{f'?{VIEW}={ALL}' if has_default else ''}",
                "is_current": current is None and is_plain,
            }
        ]
        is_as_saved = current is not None and canonical(self, current.query) == canonical(self, said)
        for one in views:
            if one.is_pinned or one is current:
                label = one.name if one is not current or is_as_saved else gettext("%(name)s, changed", name=one.name)
                tabs.append({"label": label, "href": self.view_address(one), "is_current": one is current})
        more = [(one.name, self.view_address(one)) for one in views if not one.is_pinned and one is not current]
        is_mine = current is not None and current.user_id == g.principal.id
        new = f"/saved-views/new?{filters.encoded([('entity', self.entity), ('query', said)])}"
        return {
            "tabs": tabs if views else [],
            "more": more,
            "save": None if is_plain or is_as_saved else new,
            "edit": f"/saved-views/{current.id}?{filters.encoded([('query', said)])}" if is_mine else None,
        }

    # ---- the rows beside one

    @expose("/<int:pk>/beside")
    @allows("see")
    def beside(self, pk):
        """On to the next record of the list that one came from, or back to the one before."""
        row, text = db.session.get(self.model, pk), request.args.get("list", "")
        if row is None:
            abort(404)
        asked = MultiDict(parse_qsl(text, keep_blank_values=True))
        query, is_back = self.query_from(asked), request.args.get("step") == "back"
        found = filters.beside(db.session, self.model, query, row, backwards=is_back)
        if found is None:
            first, last = gettext("This is the first one of the list."), gettext("This is the last one of the list.")
            flash(first if is_back else last, "info")
        return redirect(f"{self.route_base}/{found or pk}?{urlencode({'list': text})}")

    def beside_hrefs(self, row):
        """Where the records beside this one are, and the list itself; None for who did not come from one."""
        text = self._list_come_from()
        if text is None:
            return None
        said = urlencode({"list": text})
        here = f"{self.route_base}/{row.id}"
        return {
            "here": f"{here}?{said}",
            "list": f"{self.route_base}/?{text}" if text else f"{self.route_base}/",
            "back": f"{here}/beside?{said}&step=back",
            "on": f"{here}/beside?{said}&step=on",
        }

    def _list_come_from(self):
        """The query of the list that one came from: the page's own address says it, or the page before this one."""
        text, before = request.args.get("list"), _split(request.referrer or "")
        if text is None and before.netloc == request.host:
            if before.path == f"{self.route_base}/":
                text = before.query
            elif before.path.startswith(f"{self.route_base}/"):
                text = dict(parse_qsl(before.query)).get("list")
        return None if text is None else canonical(self, text, otherwise=None)


def canonical(view, text, otherwise=""):
    """The address of a list as its filters, order and look in plainest form; `otherwise` where it makes no sense."""
    args = MultiDict(parse_qsl(text, keep_blank_values=True))
    try:
        query = view.query_from(args)
        look = view._look_of(args)
    except filters.BadQuery:
        return otherwise
    said = [pair for pair in filters.parameters_of(query) if pair != ("sort", view.default_sort)]
    return urlencode([*said, *look.parameters])


def _split(address):
    try:
        return urlsplit(address)
    except ValueError:
        return urlsplit("")


@cache
def _tellable(model):
    """The columns of a model that fit into the cell of a list."""
    return tuple(
        column.name
        for column in model.__table__.c
        if column.info.get("label")
        and not column.info.get("hidden")
        and column.name not in ("version", "position", "content")
        and not isinstance(column.type, Text | JSON | LargeBinary)
    )
