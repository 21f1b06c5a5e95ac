"""Lists: any of an entity's rows, searched, filtered, ordered and paged, with all of it in the URL."""

from functools import cache, lru_cache
from operator import attrgetter

from flask import current_app, g, redirect, request
from sqlalchemy import Integer, select
from sqlalchemy.orm import aliased

from app import access, filters
from app.exchange.importing.targets import TARGETS
from app.extensions import db, here
from app.models import Exact
from app.rules import asking, custom_fields
from app.views import cells, custom_values, filtering
from app.views.base import PageView, allows, expose
from app.views.looks import LookRoutes
from app.views.reading import number, today

MOST_CUSTOM = 4  # custom fields that a list shows; the sheet shows all


_LISTS = {}


def view_of_list(entity):
    """The registered list of this kind of record, or None."""
    return _LISTS.get(entity)


class ListView(LookRoutes, PageView):
    """The list of one entity, from its model; `RecordView` adds what can be done with one row."""

    model = None
    one = many = ""  # what people call it: "Contact", "Contacts"
    icon = "file"
    list_columns = ()
    filter_columns = ()
    default_sort = "-id"

    def __init__(self):
        super().__init__()
        _LISTS[self.entity or self.model.__tablename__] = self

    @expose("/")
    @allows("see")
    def list(self):
        if begins := self.begins_with():
            return redirect(begins)
        query = self.query_from(request.args)
        if added := filtering.step(self, query, request.args) or self.look_chosen(query):
            return redirect(added)
        is_exact = request.args.get("count") == "exact"
        found = filters.fetch(db.session(), self.model, query, *self._what(query), exactly=is_exact)
        cells_of = self._cells(found.rows)
        own = self._own_departments()
        rows = [
            {
                "id": row.id,
                "href": f"{self.route_base}/{row.id}",
                "cells": shown,
                "is_shared": own is not None and row.department_id not in own,
            }
            for row, shown in zip(found.rows, cells_of, strict=True)
        ]
        address, editable = filtering.addresses(self, query), self.columns_edited()
        heads = self._heads(query, address)
        for head in heads:
            head["edits"] = head["key"] in editable
        next_row = filters.cursor_after(found.rows[-1], query) if found.has_more else None
        return self.page(
            "records/list.html",
            query=query,
            columns=heads,
            rows=rows,
            total=found.total,
            count=self._count(query, found.total, is_exact, address),
            next_href=address(after=next_row) if next_row else None,
            near=bool(found.query.near)
            and bool(found.rows),  # which words: the index knows those of everybody
            panel=filtering.panel(self, query, request.args),
            panel_href=address(filters="open"),
            chips=filtering.chips(self, query),
            keep=[
                *(pair for pair in filters.parameters_of(query) if pair[0] not in ("q", "sort")),
                *filtering.look_kept(self),
            ],
            look_panel=self.look_panel(query),
            look_href=address(look="open"),
            views=self.views_shown(query),
            is_dense=self.is_dense(),
            editable=bool(editable),
            may_add=self.may_add(),
            sealed=self.sealed_on_list(query, found),
            **self.list_context(),
        )

    # ---- what subclasses say

    def list_actions(self):
        """Buttons above the list, beside "add": dicts with label, href and icon."""
        return []

    def import_href(self):
        """Where a file of such rows is brought; None where the reader may bring none."""
        may = self.entity in TARGETS and may_import(g.principal, self.entity)
        return f"/imports/?entity={self.entity}" if may else None

    def list_context(self):
        """What else the list page needs."""
        return {}

    def sealed_on_list(self, query, found):
        """What is told of records beyond the reader's reach (`views/sealed.py`); of most kinds, nothing."""
        return None

    def columns_edited(self):
        """The columns whose values the reader may change in the list itself."""
        return frozenset()

    def may_add(self):
        """Whether the list offers to add a row."""
        return g.principal.may("add", self.entity)

    # ---- the parts of the page

    def query_from(self, args):
        """What these parameters ask for; those of the request are read once."""
        kept = here().g
        if args is not request.args:
            return filters.parse(self.model, args, asker=asker(), default_sort=self.default_sort)
        if "query" not in kept:
            kept.query = filters.parse(self.model, args, asker=asker(), default_sort=self.default_sort)
        return kept.query

    def sortable(self):
        """The columns by which its reader may order the list."""
        return filters.sorts_of(self.model, g.principal)

    def _what(self, query):
        """The columns that the page shows or needs: nothing else is read."""
        more = [("custom", self._custom_fields()), ("department_id", self._own_departments() is not None)]
        needed = tuple(name for name, is_needed in more if is_needed)
        return _columns_read(self.model, query.column, self.shown_columns(), needed)

    def _own_departments(self):
        """Where rows lie that the reader sees by a role, when some others are shared with him: these get a mark."""
        reach = access.reach(g.principal, self.model)
        return reach.departments if reach.shared is not None else None

    def _custom_fields(self):
        """The firm's own fields that the list shows, behind the columns of the house."""
        return self.shown_custom(MOST_CUSTOM)

    def _cells(self, rows):
        """The cells of each row; the first opens the record, so it is never empty."""
        tellers = _tellers(self.model, self.shown_columns(), g.principal)
        own = self._custom_fields()
        names = custom_fields.names_of(db.session(), own, [row.custom for row in rows]) if own else {}
        is_dear = bool(rows) and "currency" in rows[0]._fields
        for row in rows:
            currency = row.currency if is_dear else None
            drawn = [tell(row) for tell in tellers]
            said = row.custom or {} if own else {}
            drawn += [custom_values.cell(one, said.get(one.name), names, currency) for one in own]
            drawn[0] = drawn[0] or f"#{row.id}"
            yield drawn

    def _count(self, query, total, is_exact, address):
        """How many there are in words, with the address that counts on where they were not counted to the end."""
        most = query.size if total is None else filters.most_counted(self.model, query)
        if is_exact or (total is not None and total <= most):
            return {"label": number(total), "href": None}
        return {"label": f"{number(most)}+", "href": address(count="exact")}

    def _heads(self, query, address):
        heads, sortable = [], self.sortable()
        for name in self.shown_columns():
            column = self.model.__table__.c[name]
            is_number = isinstance(column.type, Exact | Integer) and not column.foreign_keys
            head = {"key": name, "label": cells.label(column), "align": "end" if is_number else "start"}
            if name in sortable:
                is_now = query.column == name
                turned = f"-{name}" if query.sort == name else name
                head["sort_dir"] = ("desc" if query.is_downwards else "asc") if is_now else None
                head["sort_href"] = address(turned)
            heads.append(head)
        for one in self._custom_fields():
            is_number = one.kind in custom_fields.PLACES
            label = one.label(custom_values.language())
            heads.append({"key": one.key, "label": label, "align": "end" if is_number else "start"})
        return heads


def may_import(principal, entity):
    """Whether he may bring a file of such records: to import is to add or to edit, many at once."""
    return principal.may("import", entity) and (principal.may("add", entity) or principal.may("edit", entity))


def asker():
    """Who asks for a list, and when: the signed-in person, today."""
    settings = current_app.config["SETTINGS"]
    return asking.asker(db.session(), today=today(), zone=settings.zone)


@lru_cache(maxsize=1024)
def _columns_read(model, sorted_by, shown, needed):
    """What is read of a row to show these columns, with others that are needed."""
    names = dict.fromkeys(("id", sorted_by, *shown))
    columns = model.__table__.c
    if "currency" in columns and any(columns[name].info.get("money") for name in names):
        names["currency"] = None
    names |= dict.fromkeys(needed)
    inline = [one for name in shown for one in _names_inline(model, name)]
    return (*(getattr(model, name) for name in names), *inline)


@cache
def _names_inline(model, name):
    """The names of the record that a column links to, as columns beside it: what is not seen has none."""
    column = model.__table__.c[name]
    target = cells.target_of(column)
    if target is None or column.primary_key:
        return ()
    there = aliased(target)
    return tuple(
        select(getattr(there, one.key))
        .where(there.id == getattr(model, name))
        .scalar_subquery()
        .label(f"{name}__{one.key}")
        for one in cells.name_columns(target)
    )


@lru_cache(maxsize=1024)
def _tellers(model, names, principal):
    """The functions from a row to the cells of these columns, as this person reads them."""
    return [_teller(model, name, principal) for name in names]


def _several(*names):
    """`attrgetter`, which of one name gives no sequence."""
    values_of = attrgetter(*names)
    return values_of if len(names) > 1 else lambda row: (values_of(row),)


def _teller(model, name, principal):
    column, value_of = model.__table__.c[name], attrgetter(name)
    if _names_inline(model, name):
        keys = [one.key for one in cells.name_columns(cells.target_of(column))]
        values_of = _several(*(f"{name}__{key}" for key in keys))
        tell = cells.linker(cells.target_of(column), keys, principal)
        return lambda row: None if value_of(row) is None else tell(values_of(row))
    if cells.is_plain(column):
        return value_of
    tell = cells.teller(column)
    if column.info.get("money") and "currency" in model.__table__.c:
        return lambda row: tell(value_of(row), row.currency)
    return lambda row: tell(value_of(row))
