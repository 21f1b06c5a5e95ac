"""Lists: any of an entity's rows, searched, filtered, ordered and paged, with all of it in the URL."""

from dataclasses import replace
from functools import cache, partial

from flask import current_app, g, redirect, request
from sqlalchemy import Integer, select
from sqlalchemy.orm import aliased

from app import filters
from app.exchange.importing.targets import TARGETS
from app.extensions import db
from app.models import Exact
from app.rules import asking, custom_fields
from app.views import cells, custom_values, filtering
from app.views.base import PageView, allows, expose
from app.views.reading import number, today

MOST_CUSTOM = 4  # custom fields that a list shows; the sheet shows all


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
        if added := filtering.step(self, query, request.args):
            return redirect(added)
        is_exact = request.args.get("count") == "exact"
        found = filters.fetch(db.session, self.model, query, *self._what(query), exactly=is_exact)
        cells_of = self._cells(found.rows)
        rows = [
            {"id": row.id, "href": f"{self.route_base}/{row.id}", "cells": shown}
            for row, shown in zip(found.rows, cells_of, strict=True)
        ]
        next_row = filters.cursor_after(found.rows[-1], query) if found.has_more else None
        return self.page(
            "records/list.html",
            query=query,
            columns=self._heads(query),
            rows=rows,
            total=found.total,
            count=self._count(query, found.total, is_exact),
            next_href=filtering.address(self, query, after=next_row) if next_row else None,
            near=bool(found.query.near) and bool(found.rows),  # which words: the index knows those of everybody
            panel=filtering.panel(self, query, request.args),
            panel_href=filtering.address(self, query, filters="open"),
            chips=filtering.chips(self, query),
            keep=[pair for pair in filters.parameters_of(query) if pair[0] not in ("q", "sort")],
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

    def _what(self, query):
        """The columns that the page shows or needs: nothing else is read."""
        names = dict.fromkeys(("id", query.column, *self.list_columns))
        columns = self.model.__table__.c
        if "currency" in columns and any(columns[name].info.get("money") for name in names):
            names["currency"] = None
        if self._custom_fields():
            names["custom"] = None
        inline = [one for name in self.list_columns for one in _names_inline(self.model, name)]
        return [*(getattr(self.model, name) for name in names), *inline]

    def _custom_fields(self):
        """The firm's own fields that the list shows, behind the columns of the house."""
        return custom_values.fields_for(self.entity)[:MOST_CUSTOM]

    def _cells(self, rows):
        """The cells of each row; the first opens the record, so it is never empty."""
        columns, links = self.model.__table__.c, self._links(rows)
        own = self._custom_fields()
        names = custom_fields.names_of(db.session(), own, [row.custom for row in rows]) if own else {}
        for row in rows:
            currency = getattr(row, "currency", None)
            drawn = [
                links[name](row)
                if name in links
                else cells.shown(columns[name], getattr(row, name), currency)
                for name in self.list_columns
            ]
            said = row.custom or {} if own else {}
            drawn += [custom_values.cell(one, said.get(one.name), names, currency) for one in own]
            drawn[0] = drawn[0] or f"#{row.id}"
            yield drawn

    def _links(self, rows):
        """Column -> what draws it: the linked record's name stands in the row, or is asked for all rows at once."""
        links, wanted = {}, {}
        for name in self.list_columns:
            target = cells.target_of(self.model.__table__.c[name])
            if target is not None and _names_inline(self.model, name):
                links[name] = partial(_link_inline, target, name)
            elif target is not None:
                wanted.setdefault(target, {})[name] = {getattr(row, name) for row in rows} - {None}
        for target, names in wanted.items():
            ids = set().union(*names.values())
            named = select(*cells.name_columns(target)).where(target.id.in_(ids))
            found = {
                row.id: cells.link_by_name(target, row._mapping)
                for row in (db.session.execute(named) if ids else ())
            }
            links |= {name: partial(_link_found, found, name) for name in names}
        return links

    def _count(self, query, total, is_exact):
        """How many there are in words, with the address that counts on where they were not counted to the end."""
        most = filters.most_counted(self.model, query)
        if total <= most or is_exact:
            return {"label": number(total), "href": None}
        return {"label": f"{number(most)}+", "href": filtering.address(self, query, count="exact")}

    def _heads(self, query):
        heads, sortable, first = [], self.sortable, replace(query, after=None)
        for name in self.list_columns:
            column = self.model.__table__.c[name]
            is_number = isinstance(column.type, Exact | Integer) and not column.foreign_keys
            head = {"key": name, "label": cells.label(column), "align": "end" if is_number else "start"}
            if name in sortable:
                is_now = query.column == name
                turned = f"-{name}" if query.sort == name else name
                head["sort_dir"] = ("desc" if query.is_downwards else "asc") if is_now else None
                head["sort_href"] = filtering.address(self, replace(first, sort=turned))
            heads.append(head)
        for one in self._custom_fields():
            is_number = one.kind in custom_fields.PLACES
            label = one.label(custom_values.language())
            heads.append({"key": one.key, "label": label, "align": "end" if is_number else "start"})
        return heads


def asker():
    """Who asks for a list, and when: the signed-in person, today."""
    settings = current_app.config["SETTINGS"]
    return asking.asker(db.session, today=today(), zone=settings.zone)


@cache
def _names_inline(model, name):
    """The names of the row of a small table that a column links to, as columns beside it: everybody reads those."""
    column = model.__table__.c[name]
    target = cells.target_of(column)
    if target is None or column.primary_key or target.__sight__ != "reference":
        return ()
    there = aliased(target)
    return tuple(
        select(getattr(there, one.key))
        .where(there.id == getattr(model, name))
        .scalar_subquery()
        .label(f"{name}__{one.key}")
        for one in cells.name_columns(target)
        if one.key != "id"
    )


def _link_inline(target, name, row):
    key = getattr(row, name)
    if key is None:
        return None
    named = {
        one.key: getattr(row, f"{name}__{one.key}") for one in cells.name_columns(target) if one.key != "id"
    }
    return cells.link_by_name(target, {"id": key, **named})


def _link_found(found, name, row):
    key = getattr(row, name)
    return None if key is None else found.get(key, cells.HIDDEN)
