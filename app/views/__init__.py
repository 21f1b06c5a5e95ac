"""What the browser sees. MENU is the site map: every view stands in it, in the order people read it."""

from typing import NamedTuple

from flask import current_app, g, request
from flask_babel import get_locale, gettext

from app.extensions import N_
from app.views import base, errors, marks, reading
from app.views.activities import ActivityView
from app.views.api import CampaignApi, CompanyApi, ContactApi, DealApi, TicketApi
from app.views.campaigns import CampaignView
from app.views.changes import ChangeView, TrashView
from app.views.companies import CompanyView, ContactView
from app.views.custom_fields import CustomFieldView
from app.views.deals import DealView
from app.views.duplicates import DuplicateView
from app.views.home import HomeView
from app.views.imports import ImportView
from app.views.invoices import InvoiceView, PaymentView
from app.views.jobs import JobView
from app.views.reports import ReportView
from app.views.settings import (
    DepartmentView,
    PipelineView,
    ProductView,
    RoleView,
    StaffView,
    StageView,
    TagView,
    TaxRateView,
)
from app.views.tickets import TicketView


class Entry(NamedTuple):
    """One line of the menu: shown to those who may do `verb` to the view's entity."""

    view: type
    label: str
    icon: str
    path: str
    verb: str = "see"


MENU = [
    Entry(CompanyView, N_("Companies"), "building", "/companies/"),
    Entry(ContactView, N_("Contacts"), "users", "/contacts/"),
    Entry(DealView, N_("Deals"), "briefcase", "/deals/board"),
    Entry(ActivityView, N_("Activities"), "checkbox", "/activities/"),
    Entry(TicketView, N_("Tickets"), "headset", "/tickets/board"),
    Entry(CampaignView, N_("Campaigns"), "speakerphone", "/campaigns/"),
    Entry(InvoiceView, N_("Invoices"), "file-invoice", "/invoices/"),
    Entry(ReportView, N_("Reports"), "chart-bar", "/reports/sales"),
]
MENU_MORE = [
    Entry(ProductView, N_("Products"), "package", "/products/"),
    Entry(PaymentView, N_("Payments"), "cash", "/payments/"),
    Entry(TagView, N_("Tags"), "tag", "/tags/", "edit"),
    Entry(TaxRateView, N_("Tax rates"), "percentage", "/tax-rates/", "edit"),
    Entry(PipelineView, N_("Pipelines"), "git-branch", "/pipelines/", "edit"),
    Entry(StageView, N_("Stages"), "columns", "/stages/", "edit"),
    Entry(DepartmentView, N_("Departments"), "sitemap", "/departments/"),
    Entry(StaffView, N_("Staff"), "user-circle", "/staff/"),
    Entry(RoleView, N_("Roles"), "lock", "/roles/"),
    Entry(CustomFieldView, N_("Custom fields"), "clipboard-list", "/custom-fields/", "edit"),
    Entry(DuplicateView, N_("Duplicates"), "copy", "/duplicates/"),
    Entry(JobView, N_("Jobs"), "clock", "/jobs/"),
    Entry(ChangeView, N_("Changes"), "history", "/changes/"),
    Entry(TrashView, N_("Trash"), "trash", "/trash/"),
]
# Reached from the mark in the corner, and by programs.
OFF_MENU = [HomeView, ImportView]
APIS = [CompanyApi, ContactApi, DealApi, TicketApi, CampaignApi]


def install(app):
    """Register every view, the error pages, and what all templates share."""
    builder = base.install(app)
    for view in [*(entry.view for entry in [*MENU, *MENU_MORE]), *OFF_MENU]:
        builder.add_view_no_menu(view)
    for api in APIS:
        builder.add_api(api)
    errors.install(app)
    app.jinja_env.filters.update(reading.FILTERS | marks.FILTERS)
    app.jinja_env.globals.update(marks.MARKS)
    app.context_processor(_shared)
    app.after_request(_headers)


def _shared():
    principal = g.get("principal")
    return {
        "principal": principal,
        "lang": str(get_locale() or "en"),
        "menu": _menu(MENU, principal),
        "menu_more": _menu(MENU_MORE, principal),
    }


def _menu(entries, principal):
    return [
        {
            "label": gettext(entry.label),
            "icon": entry.icon,
            "href": entry.path,
            "active": request.path.startswith(f"/{entry.path.split('/')[1]}/"),
        }
        for entry in entries
        if principal is not None
        and principal.may(entry.verb, entry.view.entity or entry.view.model.__tablename__)
    ]


CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)


def _headers(response):
    response.headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["X-Frame-Options"] = "DENY"
    if request.endpoint != "static":
        response.headers["Cache-Control"] = "no-store"
    elif current_app.debug is False:
        response.headers["Cache-Control"] = "public, max-age=3600"
    return response
