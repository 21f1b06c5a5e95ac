"""Customers: companies and the people in them."""

from functools import cache
from urllib.parse import urlencode

from flask import abort, g, request
from flask_babel import gettext
from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import selectinload

from app import search
from app.extensions import N_, db
from app.models import Company, Contact, Deal, Invoice, Ticket
from app.security import is_storable
from app.views import cells
from app.views.base import allows, expose
from app.views.duplicates import WarnsOfDuplicates
from app.views.reading import day, money
from app.views.records import RecordView
from app.views.sealed import SealedRoutes

BOX_ROWS = 8
FEW = 4  # among more one searches


def box(title, model, condition, *, add=None, meta=None, end=None, order=None, loads=(), words=""):
    """A short list of records that belong to another; None where the reader has no business with them.

    With `words`, those of them that hold the words: what the list page finds under the same filter.
    """
    entity = model.__tablename__
    if not g.principal.may("see", entity):
        return None
    link, key = condition.left.key, condition.right.value
    first = _first_of(model, link, order, tuple(loads))
    if words:
        first = first.where(search.matching_for(db.session(), model, words))
    rows = db.session.scalars(first, {"key": key}).all()
    count = (
        len(rows)
        if len(rows) <= BOX_ROWS or words
        else db.session.scalar(select(func.count(model.id)).where(condition))
    )
    path = cells.PATHS[entity]
    return {
        "search": {"href": f"{path}/", "filter": f"{link}.is", "key": key} if count > FEW else None,
        "title": gettext(title),
        "rows": [
            {
                "title": str(row),
                "href": cells.path_of(row),
                "meta": meta(row) if meta else None,
                "end": end(row) if end else None,
                "badge": _stage_badge(row),
            }
            for row in rows[:BOX_ROWS]
        ],
        "count": count,
        "add_href": f"{path}/new?{urlencode(add)}" if add and g.principal.may("add", entity) else None,
        "all_href": f"{path}/?{link}.is={key}" if len(rows) > BOX_ROWS and not words else None,
    }


@cache
def _first_of(model, link, order, loads):
    """The SELECT of the rows of a box; it takes the key of the record that they belong to. Kept, it runs sooner."""
    of_it = select(model).where(getattr(model, link) == bindparam("key"))
    of_it = of_it.order_by(order if order is not None else model.id.desc()).limit(BOX_ROWS + 1)
    return of_it.options(*(selectinload(load) for load in loads))


def _stage_badge(row):
    if not hasattr(row, "stage"):
        return None
    return (row.stage.name, cells.COLORS.get(row.stage.outcome, "grey")) if row.stage else None


def boxes_of(row, names, words=""):
    """The related lists of a company or contact."""
    link = f"{row.__tablename__}_id"
    add = {link: row.id}
    known = {
        "contacts": lambda: box(
            N_("Contacts"),
            Contact,
            Contact.company_id == row.id,
            add=add,
            meta=lambda one: one.job_title,
            words=words,
        ),
        "deals": lambda: box(
            N_("Deals"),
            Deal,
            getattr(Deal, link) == row.id,
            add=add,
            end=lambda one: money(one.amount, one.currency) if one.amount is not None else None,
            loads=[Deal.stage],
            words=words,
        ),
        "tickets": lambda: box(
            N_("Tickets"), Ticket, getattr(Ticket, link) == row.id, add=add, loads=[Ticket.stage], words=words
        ),
        "invoices": lambda: box(
            N_("Invoices"),
            Invoice,
            getattr(Invoice, link) == row.id,
            meta=lambda one: day(one.issued_on) if one.issued_on else gettext("Draft"),
            end=lambda one: money(one.gross, one.currency),
            words=words,
        ),
    }
    found = ((name, known[name]()) for name in names)
    here = f"{cells.PATHS[row.__tablename__]}/{row.id}"
    return [box | {"name": name, "here": f"{here}/related/{name}"} for name, box in found if box is not None]


class RelatedRoutes:
    """For a `RecordView` with related lists: each of them searched in place."""

    related = ()

    @expose("/<int:pk>/related/<name>")
    @allows("see")
    def search_related(self, pk, name):
        """The rows of one related list that hold the words, as a part of the sheet."""
        row, words = self.find(pk), request.args.get("q", "").strip()[:200]
        if name not in self.related or not is_storable(words):
            abort(404)
        found = boxes_of(row, (name,), words)
        return self.page("records/related.html", box=found[0]) if found else abort(404)


class CompanyView(RelatedRoutes, SealedRoutes, WarnsOfDuplicates, RecordView):
    """Organisations one does business with."""

    model = Company
    route_base = "/companies"
    one, many, icon = N_("Company"), N_("Companies"), "building"
    list_columns = ("name", "kind", "city", "country", "phone", "owner_id")
    filter_columns = ("kind", "country", "city", "department_id", "owner_id")
    related = ("contacts", "deals", "tickets", "invoices")
    quick_columns = ("name", "kind", "email", "phone", "city")
    default_sort = "name"

    def around(self, row):
        return {
            "boxes": boxes_of(row, self.related),
            "has_story": True,
        }


class ContactView(RelatedRoutes, SealedRoutes, WarnsOfDuplicates, RecordView):
    """People one talks to."""

    model = Contact
    route_base = "/contacts"
    one, many, icon = N_("Contact"), N_("Contacts"), "users"
    list_columns = ("last_name", "first_name", "company_id", "email", "phone", "city")
    filter_columns = ("company_id", "city", "country", "department_id", "owner_id")
    related = ("deals", "tickets")
    quick_columns = ("first_name", "last_name", "company_id", "email", "phone")
    default_sort = "last_name"

    def around(self, row):
        return {
            "boxes": boxes_of(row, self.related),
            "subtitle": row.job_title,
            "has_story": True,
        }
