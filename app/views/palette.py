"""The palette: one field that finds every record one may see, and whatever one may do or go to. Ctrl-K, or a page."""

from flask import g, request
from flask_babel import gettext
from sqlalchemy import select

from app import search, security
from app.extensions import db
from app.models import (
    Activity,
    Campaign,
    Change,
    ChangeSet,
    Company,
    Contact,
    Deal,
    Invoice,
    Product,
    Staff,
    Ticket,
)
from app.views import cells
from app.views.base import PageView, allows, expose, wants_fragment
from app.views.lists import ListView, view_of_list

# What is searched, in the order of the groups.
SEARCHED = (Company, Contact, Deal, Ticket, Activity, Invoice, Campaign, Product, Staff)
EACH = 5  # records of a kind that are shown
LOOKED_AT = 40  # of each kind, the newest of them
PLACES = 6
RECENT, LOOKED_BACK = 6, 40  # records shown to whoever has typed nothing yet, and changes they are taken from


class PaletteView(PageView):
    """Searches all that the reader may see, grouped, the best and newest first; misspelt names are found, too."""

    entity = "own_account"
    route_base = "/search"

    @expose("/")
    @allows("see")
    def index(self):
        words = request.args.get("q", "").strip()[: search.LONGEST]
        words = words if security.is_storable(words) else ""
        template = "search/results.html" if wants_fragment() else "search/index.html"
        records = self._records(words) if words else self._recent()
        return self.page(template, words=words, groups=[*records, *self._places(words)])

    def _models(self):
        return [model for model in SEARCHED if g.principal.may("see", model.__tablename__)]

    def _recent(self):
        """What the reader worked on last, the latest first."""
        models = {model.__tablename__: model for model in self._models()}
        changed = (
            select(Change.root_entity, Change.root_id)
            .join(Change.change_set)
            .where(ChangeSet.by_id == g.principal.id, Change.root_entity.in_(sorted(models)))
            .order_by(ChangeSet.id.desc(), Change.id.desc())
            .limit(LOOKED_BACK)
        )
        keys = list(dict.fromkeys(map(tuple, db.session.execute(changed))))[:RECENT]
        held = {}
        for entity in dict.fromkeys(entity for entity, _ in keys):
            ids, model = [key for kind, key in keys if kind == entity], models[entity]
            rows = db.session.scalars(select(model).where(model.id.in_(ids)))
            held |= {(entity, row.id): row for row in rows}
        rows = [
            {"label": str(held[key]), "href": href, "icon": view_of_list(key[0]).icon}
            for key in keys
            if key in held and (href := cells.path_of(held[key]))
        ]
        return [{"title": gettext("Recent"), "icon": "clock", "rows": rows}] if rows else []

    def _records(self, words):
        models = self._models()
        found = search.find(db.session(), words, models, limit=len(models) * LOOKED_AT, most=LOOKED_AT)
        groups = {model: [] for model in models}
        for _, row in found:
            if len(groups[type(row)]) < EACH and (href := cells.path_of(row)):
                groups[type(row)].append({"label": str(row), "href": href})
        shown = []
        # The kind with the best match first: whoever types a person's name wants the person.
        for model in dict.fromkeys(type(row) for _, row in found):
            view = view_of_list(model.__tablename__)
            if groups[model]:
                shown.append({"title": gettext(view.many), "icon": view.icon, "rows": groups[model]})
        return shown

    def _places(self, words):
        """What one may do and where one may go, as far as it is called like that."""
        asked = search.fold(words).split()
        rows = [
            one for one in places() if all(any(held.startswith(word) for held in one["words"]) for word in asked)
        ]
        return [{"title": gettext("Do and go"), "icon": "arrow-right", "rows": rows[:PLACES]}] if rows else []


def places():
    """Every deed and page that the palette offers this reader."""
    from app.views import QUICK, menus  # the site map imports this view

    menu, more = menus(g.principal)
    found = []
    for entry in (*menu, *more):
        view = view_of_list(entry.view.model.__tablename__) if issubclass(entry.view, ListView) else None
        if view is not None and view.may_add():
            one = gettext(view.one)
            is_quick = entry.view in QUICK
            href = f"{view.route_base}/new{'?quick=1' if is_quick else ''}"
            found.append(_place(gettext("New: %(what)s", what=one), href, "plus", is_form=is_quick))
    for entry in (*menu, *more):
        if entry.path.endswith("/board"):
            name = gettext(entry.label)
            found.append(_place(gettext("%(what)s: go to the board", what=name), entry.path, "layout-kanban"))
            found.append(
                _place(gettext("%(what)s: go to the list", what=name), entry.path.removesuffix("board"), entry.icon)
            )
        else:
            found.append(_place(gettext("Go to: %(what)s", what=gettext(entry.label)), entry.path, entry.icon))
    found.append(_place(gettext("Your preferences"), "/account/preferences", "settings"))
    found.append(_place(gettext("Saved views"), "/saved-views/", "bookmark"))
    found.append(_place(gettext("Shortcuts on the keyboard"), "/shortcuts/", "keyboard"))
    return found


def _place(label, href, icon, is_form=False):
    said = search.fold(label).replace(":", "").split()
    return {"label": label, "href": href, "icon": icon, "is_form": is_form, "words": said}
