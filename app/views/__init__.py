"""What the browser sees. MENU is the site map: every view stands in it, in the order people read it."""

from functools import lru_cache
from typing import NamedTuple

from flask import current_app, g, request
from flask_babel import get_locale, gettext
from markupsafe import Markup

from app.extensions import N_
from app.views import assets, base, errors, marks, reading, templating, wire
from app.views.accounts import AccountView, ForgottenView, OwnAccountView
from app.views.activities import ActivityView
from app.views.api import CampaignApi, CompanyApi, ContactApi, DealApi, TicketApi
from app.views.api_keys import ApiKeyView
from app.views.approvals import ApprovalView
from app.views.campaigns import CampaignView
from app.views.changes import ChangeView, TrashView
from app.views.companies import CompanyView, ContactView
from app.views.custom_fields import CustomFieldView
from app.views.deals import DealView
from app.views.duplicates import DuplicateView
from app.views.group_mappings import GroupMappingView
from app.views.hand_overs import HandOverView
from app.views.home import HomeView
from app.views.imports import ImportView
from app.views.invoices import InvoiceView, PaymentView
from app.views.jobs import JobView
from app.views.members import DeputyView, MembershipView
from app.views.more import MoreView, ShortcutView
from app.views.notifications import NotificationView
from app.views.openid import OpenIdView
from app.views.palette import PaletteView
from app.views.reads import ReadView
from app.views.reports import ReportView
from app.views.roles import RoleView
from app.views.saved_views import SavedViewView
from app.views.second_factors import SecondFactorView, SecondStepView
from app.views.settings import (
    DepartmentView,
    PipelineView,
    ProductView,
    StaffView,
    StageView,
    TagView,
    TaxRateView,
)
from app.views.sign_in import SecurityApi, SignIn
from app.views.sign_ins import SignInsView
from app.views.styleguide import StyleguideView
from app.views.tickets import TicketView
from app.views.why import WhyView


class Entry(NamedTuple):
    """One line of the menu: shown to those who may do `verb` to the view's entity."""

    view: type
    label: str
    icon: str
    path: str
    verb: str = "see"
    key: str = ""  # g and this key go there
    yields: bool = False  # stands below, where the menu would be too long


MOST_ON_MENU = 8
MENU = [
    Entry(CompanyView, N_("Companies"), "building", "/companies/", key="c"),
    Entry(ContactView, N_("Contacts"), "users", "/contacts/", key="p"),
    Entry(DealView, N_("Deals"), "briefcase", "/deals/board", key="d"),
    Entry(ActivityView, N_("Activities"), "checkbox", "/activities/", key="a", yields=True),
    Entry(TicketView, N_("Tickets"), "headset", "/tickets/board", key="t"),
    Entry(CampaignView, N_("Campaigns"), "speakerphone", "/campaigns/", key="m"),
    Entry(InvoiceView, N_("Invoices"), "file-invoice", "/invoices/", key="i"),
    Entry(ReportView, N_("Reports"), "chart-bar", "/reports/sales", key="r"),
]
# What is needed less often, in the groups of the page “More”.
MORE = {
    N_("What is sold"): [
        Entry(ProductView, N_("Products"), "package", "/products/"),
        Entry(PaymentView, N_("Payments"), "cash", "/payments/"),
        Entry(TaxRateView, N_("Tax rates"), "percentage", "/tax-rates/", "edit"),
    ],
    N_("How work goes"): [
        Entry(PipelineView, N_("Pipelines"), "git-branch", "/pipelines/", "edit"),
        Entry(StageView, N_("Stages"), "columns", "/stages/", "edit"),
        Entry(TagView, N_("Tags"), "tag", "/tags/", "edit"),
        Entry(CustomFieldView, N_("Custom fields"), "clipboard-list", "/custom-fields/", "edit"),
    ],
    N_("People and rights"): [
        Entry(DepartmentView, N_("Departments"), "sitemap", "/departments/"),
        Entry(StaffView, N_("Staff"), "user-circle", "/staff/"),
        Entry(MembershipView, N_("Members"), "users", "/memberships/", "edit"),
        Entry(RoleView, N_("Roles"), "lock", "/roles/"),
        Entry(WhyView, N_("Who may see it"), "eye", "/why/", "edit"),
        Entry(SignInsView, N_("Sign-in"), "lock", "/sign-ins/"),
        Entry(GroupMappingView, N_("Group mappings"), "sitemap", "/group-mappings/"),
        Entry(ApprovalView, N_("Approvals"), "circle-check", "/approvals/"),
    ],
    N_("Records"): [
        Entry(DuplicateView, N_("Duplicates"), "copy", "/duplicates/"),
        Entry(JobView, N_("Jobs"), "clock", "/jobs/"),
        Entry(ChangeView, N_("Changes"), "history", "/changes/"),
        Entry(TrashView, N_("Trash"), "trash", "/trash/"),
        Entry(ReadView, N_("Reads and exports"), "eye", "/reads/"),
    ],
}
MENU_MORE = [entry for entries in MORE.values() for entry in entries]
# Reached from the mark and the bell in the corners, from one's own name, from a colleague's sheet, and by programs.
OFF_MENU = [
    *(HomeView, HandOverView, ImportView, DeputyView, OwnAccountView, AccountView, SecondFactorView, ApiKeyView),
    *(NotificationView, SavedViewView, PaletteView, MoreView, ShortcutView, StyleguideView),
]
# Open to whoever is not signed in yet.
DOORS = [SignIn, SecurityApi, ForgottenView, SecondStepView, OpenIdView]
APIS = [CompanyApi, ContactApi, DealApi, TicketApi, CampaignApi]


def install(app):
    """Register every view, the error pages, and what all templates share."""
    app.jinja_environment = templating.Templates  # before anybody asks for the environment
    assets.install(app)
    builder = base.install(app)
    templating.install(app)
    for view in [*(entry.view for entry in [*MENU, *MENU_MORE]), *OFF_MENU]:
        builder.add_view_no_menu(view)
    builder.sm.auth_view = builder.add_view_no_menu(SignIn)
    for door in (ForgottenView, SecondStepView, OpenIdView):
        builder.add_view_no_menu(door)
    for api in [*APIS, SecurityApi]:
        builder.add_api(api)
    errors.install(app)
    app.jinja_env.filters.update(reading.FILTERS | marks.FILTERS)
    app.jinja_env.globals.update(marks.MARKS)
    app.context_processor(_shared)
    app.after_request(wire.pack)
    app.after_request(wire.last_words)


def _shared():
    principal, lang = g.get("principal"), str(get_locale() or "en")
    shared = {"principal": principal, "csrf_token": wire.csrf_token, "lang": lang}
    if principal is None:
        return shared
    site_map = _site_map(*menus(principal), request.path.split("/", 2)[1], lang)
    unread = login.unread if (login := g.get("login")) else 0
    drawn = {"palette_box": _palette(lang), "site_map": site_map, "bar": _bar(principal, site_map, unread, lang)}
    return shared | drawn


SIGN_OUT = "\ue000"  # stands for the button that signs out: its form holds a token, which no other page may show


@lru_cache(maxsize=1024)
def _bar(principal, site_map, unread, lang):
    """The bar over a person's pages, drawn, in two halves: between them stands the button that signs out."""
    drawn = _component("top_bar")(principal, site_map, _quick(principal, lang), unread, SIGN_OUT)
    before, _, behind = str(drawn).rpartition(SIGN_OUT)
    return Markup(before), Markup(behind)


# What can be added from anywhere.
QUICK = (ContactView, CompanyView, DealView, ActivityView, TicketView)


@lru_cache(maxsize=1024)
def _quick(principal, _lang):
    """The menu of all that the principal may add by a short form, drawn; nothing where that is nothing."""
    entries = [
        (gettext(view.one), f"{view.route_base}/new?quick=1", view.icon)
        for view in QUICK
        if principal.may("add", view.model.__tablename__)
    ]
    return _component("quick_add")(entries) if entries else ""


@lru_cache(maxsize=16)
def _palette(_lang):
    """The palette, drawn: the same for all who read this language."""
    return _component("palette")()


def _component(name):
    """The macro of a component."""
    return getattr(current_app.jinja_env.get_template(f"components/{name}.html").module, name)


@lru_cache(maxsize=1024)
def menus(principal):
    """The entries that the principal may see: on the menu, and below it. No more than `MOST_ON_MENU` stand on it."""
    menu, more = (
        [one for one in entries if principal.may(one.verb, one.view.entity or one.view.model.__tablename__)]
        for entries in (MENU, MENU_MORE)
    )
    if more and len(menu) >= MOST_ON_MENU:
        below = [one for one in menu if one.yields]
        menu, more = [one for one in menu if not one.yields], [*below, *more]
    return tuple(menu), tuple(more)


def off_menu(principal):
    """What the principal may see below the menu, as (title, entries)."""
    _, more = menus(principal)
    groups = [(gettext("Work"), [one for one in more if one in MENU])]
    groups += [(gettext(title), [one for one in entries if one in more]) for title, entries in MORE.items()]
    return [(title, entries) for title, entries in groups if entries]


@lru_cache(maxsize=1024)
def _site_map(menu, more, section, _lang):
    """The site map drawn: the same for all who see these entries and read this language, in a section of the pages."""
    drawn = [
        {
            "label": gettext(entry.label),
            "icon": entry.icon,
            "href": entry.path,
            "active": entry.path.split("/")[1] == section,
            "shortcut": f"g {entry.key}" if entry.key else "",
        }
        for entry in menu
    ]
    is_below = section == "settings" or any(entry.path.split("/")[1] == section for entry in more)
    rest = {"label": gettext("More"), "icon": "dots", "href": "/settings/", "active": is_below}
    return _component("navigation")(drawn, rest if more else None)
