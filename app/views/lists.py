"""Lists: any of an entity's rows, searched, filtered, ordered and paged, with all of it in the URL."""

from urllib.parse import urlencode

from flask import current_app, g, request
from flask_babel import gettext
from sqlalchemy import Boolean, Date, Integer, select
from sqlalchemy.orm import selectinload

from app import filters
from app.exchange.importing.targets import TARGETS
from app.extensions import db
from app.models import Exact, Moment, Staff
from app.rules import asking
from app.views import cells
from app.views.base import PageView, allows, expose
from app.views.reading import today


class ListView(PageView):
    """The list of one entity, from its model; `RecordView` adds what can be done with one row."""

    model = None
    one = many = ""  # what people call it: "Contact", "Contacts"
    icon = "file"
    list_columns = ()
    filter_columns = ()
    default_sort = "-id"

    @expose("/")
    @allows("see")
    def list(self):
        query = self.query_from(request.args)
        found = db.session.scalars(filters.page(self.model, query).options(*self._loads())).all()
        total = db.session.scalar(filters.count(self.model, query))
        rows, has_more = found[: query.size], len(found) > query.size
        return self.page(
            "records/list.html",
            query=query,
            columns=self._heads(query),
            rows=[{"href": self.path(row), "cells": self._cells(row)} for row in rows],
            total=total,
            next_href=self._href(after=filters.cursor_after(rows[-1], query)) if has_more else None,
            filters=self._filter_fields(query),
            chips=self._chips(query),
            keep={"sort": query.sort} if query.sort != self.default_sort else {},
            may_add=self.may_add(),
            **self.list_context(),
        )

    # ---- what subclasses say

    def list_actions(self):
        """Buttons above the list, beside "add": dicts with label, href and icon."""
        return []

    def import_href(self):
        """Where a file of such rows is brought; None where the reader may bring none."""
        may = g.principal.may("add", self.entity) or g.principal.may("edit", self.entity)
        return f"/imports/?entity={self.entity}" if may and self.entity in TARGETS else None

    def list_context(self):
        """What else the list page needs."""
        return {}

    def may_add(self):
        """Whether the list offers to add a row."""
        return g.principal.may("add", self.entity)

    # ---- the parts of the page

    def query_from(self, args):
        return filters.parse(self.model, args, asker=asker(), default_sort=self.default_sort)

    @property
    def sortable(self):
        return filters.sorts_of(self.model)

    def _cells(self, row):
        """The cells of a row in the list; the first opens the record, so it is never empty."""
        first, *others = (cells.cell(row, name) for name in self.list_columns)
        return [first or str(row), *others]

    def _loads(self):
        """The links that the list shows, each fetched in one SELECT for the whole page."""
        columns = self.model.__table__.c
        linked = [name for name in self.list_columns if name in columns and columns[name].foreign_keys]
        return [selectinload(getattr(self.model, cells.relation_name(name))) for name in linked]

    def _heads(self, query):
        heads = []
        for name in self.list_columns:
            column = self.model.__table__.c[name]
            is_number = isinstance(column.type, Exact | Integer) and not column.foreign_keys
            head = {"key": name, "label": cells.label(column), "align": "end" if is_number else "start"}
            if name in self.sortable:
                is_now = query.sort.removeprefix("-") == name
                head["sort_dir"] = ("desc" if query.sort.startswith("-") else "asc") if is_now else None
                head["sort_href"] = self._href(sort=f"-{name}" if query.sort == name else name, after=None)
            heads.append(head)
        return heads

    def _href(self, **changes):
        """This list's address with some parameters changed; None takes one out."""
        args = {key: value for key, value in request.args.items() if value}
        args = {key: value for key, value in (args | changes).items() if value is not None}
        return f"{self.route_base}/?{urlencode(args)}" if args else f"{self.route_base}/"

    def _filter_fields(self, query):
        given = dict(filters.parameters_of(query))
        fields = []
        for name in self.filter_columns:
            column = self.model.__table__.c[name]
            for operator, kind, options in _filter_kinds(self.model, column):
                parameter = f"{name}.{operator}"
                title = cells.label(column)
                if operator in ("min", "max"):
                    title = f"{title} {gettext(filters.OPERATORS[operator])}"
                fields.append(
                    {
                        "name": parameter,
                        "label": title,
                        "kind": kind,
                        "options": options,
                        "value": given.get(parameter),
                    }
                )
        return fields

    def _chips(self, query):
        parts = filters.parts_of(query.tree)
        chips = [{"label": filters.write(one), "href": self._href(where=None)} for one in parts]
        if query.words:
            chips.append({"label": f"“{query.words}”", "href": self._href(q=None, after=None)})
        return chips


def asker():
    """Who asks for a list, and when: the signed-in person, today."""
    settings = current_app.config["SETTINGS"]
    return asking.asker(db.session, today=today(), zone=settings.zone)


def _filter_kinds(model, column):
    """(operator, kind of input, options) that this column's type suggests."""
    if column.foreign_keys:
        target = cells.target_of(column)
        rows = db.session.scalars(select(target).order_by(target.name).limit(200))
        mine = [("me", gettext("me"))] if target is Staff else []
        return [("is", "select", [*mine, *((one.id, str(one)) for one in rows)])]
    if "choices" in column.info:
        return [
            ("is", "select", [(value, gettext(words)) for value, words in column.info["choices"].items()])
        ]
    if isinstance(column.type, Boolean):
        return [("is", "select", [("1", gettext("yes")), ("0", gettext("no"))])]
    if isinstance(column.type, Date | Moment):
        return [("min", "date", ()), ("max", "date", ())]
    if isinstance(column.type, Exact | Integer):
        return [("min", "number", ()), ("max", "number", ())]
    return [("has", "text", ())]
