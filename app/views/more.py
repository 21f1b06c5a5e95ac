"""What stands off the menu: the page of all the rest, and the page of shortcuts."""

from flask import g
from flask_babel import gettext

from app.extensions import N_
from app.views.base import PageView, allows, expose

# Keys and what they do, in groups; the first of a pair is written as it is pressed.
SHORTCUTS = [
    (
        N_("Anywhere"),
        [
            ("Ctrl K", N_("Search, do, go")),
            ("/", N_("Search, do, go")),
            ("?", N_("This page")),
            ("z", N_("Take back what was just done")),
            ("c", N_("Add one more of what is shown")),
            ("Ctrl Enter", N_("Send what one is typing")),
            ("Esc", N_("Leave without saving")),
        ],
    ),
    (
        N_("In a list"),
        [
            ("j", N_("The next row")),
            ("k", N_("The row before")),
            ("Enter", N_("Open the row")),
            ("x", N_("Select the row")),
            ("f", N_("Filter")),
            ("e", N_("Change a value of the row; Tab goes on to the next")),
        ],
    ),
    (
        N_("At a record"),
        [
            ("e", N_("Edit it")),
            ("j", N_("The next one of the list one came from")),
            ("k", N_("The one before")),
        ],
    ),
]


class MoreView(PageView):
    """What is needed less often than the menu, in groups."""

    entity = "own_account"
    route_base = "/settings"

    @expose("/")
    @allows("see")
    def index(self):
        from app.views import off_menu  # the site map imports this view

        return self.page("more/index.html", groups=off_menu(g.principal))


class ShortcutView(PageView):
    """Which keys do what."""

    entity = "own_account"
    route_base = "/shortcuts"

    @expose("/")
    @allows("see")
    def index(self):
        from app.views import menus

        going = [(f"g {one.key}", gettext("Go to: %(what)s", what=gettext(one.label))) for one in menus(g.principal)[0]]
        groups = [(gettext(title), [(keys, gettext(what)) for keys, what in rows]) for title, rows in SHORTCUTS]
        return self.page("more/shortcuts.html", groups=[*groups, (gettext("Going about"), going)])
