"""The living page of styles: every component in every state, as the pages draw it. For admins; docs/ui.md says why."""

from datetime import date
from types import SimpleNamespace

from flask import abort, request
from flask_wtf import FlaskForm
from wtforms import (
    BooleanField,
    DateField,
    PasswordField,
    SelectField,
    SelectMultipleField,
    StringField,
    TextAreaField,
)
from wtforms.validators import InputRequired
from wtforms.widgets import CheckboxInput, ListWidget

from app.views.base import PageView, allows, expose

THEMES = ("auto", "light", "dark")


class StyleguideView(PageView):
    """All components on one page, light or dark as the address says; nothing on it is stored anywhere."""

    entity, route_base = "account", "/styleguide"

    @expose("")
    @allows("edit")
    def index(self):
        theme = request.args.get("theme", THEMES[0])
        if theme not in THEMES:
            abort(400)
        form, wrong = Sample(formdata=None), Sample(formdata=None, prefix="wrong-")
        form.picked.suggestions = ["Harbour & Sons (#1)", ("Quay Ltd (#2)", "Rotterdam")]
        form.kept.not_visible = True
        wrong.name.errors, wrong.day.errors = ["This is needed."], ["“31 Feb” is no date."]
        return self.page(
            "styleguide/index.html",
            theme=theme,
            themes=THEMES,
            form=form,
            wrong=wrong,
            said=SAID,
            day=date(2026, 3, 4),
        )


class Sample(FlaskForm):
    """One field of each kind."""

    name = StringField(
        "Name", [InputRequired()], description="As it stands in the letterhead.", default="Harbour & Sons"
    )
    secret = PasswordField("Password")
    kind = SelectField("Kind", choices=[("customer", "Customer"), ("supplier", "Supplier")])
    day = DateField("Due on", default=date(2026, 3, 4))
    picked = StringField("Company")
    kept = StringField("Contact")
    is_open = BooleanField("May sign in", default=True)
    roles = SelectMultipleField(
        "Roles",
        choices=[("rep", "Sales rep"), ("finance", "Finance")],
        default=["rep"],
        widget=ListWidget(prefix_label=False),
        option_widget=CheckboxInput(),
    )
    notes = TextAreaField("Notes", default="Prefers mail.")


# What components are given elsewhere by rules and views.
SAID = {
    "bulk": {
        "action": "/styleguide",
        "hidden": [],
        "which": [("ticked", "the rows that are ticked")],
        "deeds": [("edit", "Set fields")],
    },
    "counts": SimpleNamespace(
        total=12, departments=[("Sales North", 8, 8), ("Sales South", 4, 2)], beyond_rights=2
    ),
    "export": {
        "action": "/styleguide",
        "hidden": [],
        "formats": [("csv", "CSV, for every program")],
        "columns": [("shown", "The columns shown")],
        "links": [("names", "Names only, for reading")],
    },
    "share": {
        "errors": {"reason": "Say why: whoever reads it later needs the reason."},
        "typed": {"to": "", "may": "see", "until_on": "", "reason": ""},
        "departments": [("d1", "Sales South")],
        "people": [("p1", "Rosa Feld")],
        "mays": [("see", "See"), ("edit", "See and edit")],
        "today": "2026-03-04",
    },
    "sealed": {"line": {"department": "Sales South", "person": "Rosa Feld"}, "meant": {}},
    "picture": "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 1 1'/%3E",
}
