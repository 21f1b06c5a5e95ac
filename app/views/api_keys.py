"""One's own API keys: made with a name, some of one's roles and a last day; shown once."""

from datetime import timedelta

from flask import abort, current_app, flash, g, redirect, request, url_for
from flask_babel import gettext, lazy_gettext
from wtforms import DateField, Form, IntegerField, SelectMultipleField, StringField
from wtforms.validators import InputRequired, Length, NumberRange, ValidationError
from wtforms.widgets import CheckboxInput, ListWidget

from app import access
from app.identity import api_keys, door
from app.views import forms
from app.views.base import PageView, allows, expose
from app.views.reading import moment, today
from app.views.second_factors import ask_password, is_sure

USUAL_DAYS = 90


class KeyForm(Form):
    """What a key may, and until when."""

    name = StringField(
        lazy_gettext("Name"),
        [InputRequired(), Length(max=80), forms.storable],
        description=lazy_gettext("What it is for; the history of records names it."),
    )
    roles = SelectMultipleField(
        lazy_gettext("Roles"),
        widget=ListWidget(prefix_label=False),
        option_widget=CheckboxInput(),
        description=lazy_gettext("It may what these roles of yours may, and no more."),
    )
    expires_on = DateField(lazy_gettext("Last day"), [InputRequired()])
    per_minute = IntegerField(lazy_gettext("Requests a minute"), [InputRequired()])

    def __init__(self, formdata, *, held, settings, today):
        super().__init__(
            formdata,
            data={
                "expires_on": today + timedelta(days=min(USUAL_DAYS, settings.API_KEY_DAYS)),
                "roles": held,
                "per_minute": settings.API_KEY_REQUESTS,
            },
        )
        self.roles.choices = [(role, role) for role in held]
        self._latest, self._today = today + timedelta(days=settings.API_KEY_DAYS), today
        self.per_minute.validators = [InputRequired(), NumberRange(1, settings.API_KEY_REQUESTS)]

    def validate_roles(self, field):
        if not field.data:
            raise ValidationError(gettext("Tick at least one."))

    def validate_expires_on(self, field):
        if not self._today <= field.data <= self._latest:
            words = gettext("From today to %(day)s.", day=self._latest.isoformat())
            raise ValidationError(words)


class ApiKeyView(PageView):
    """Everybody's own keys. With a key itself nobody gets here: it opens the API alone."""

    entity = "api_key"
    route_base = "/api-keys"

    @expose("/")
    @allows("see")
    def index(self):
        return self._page()

    @expose("/password", methods=["POST"])
    @allows("add")
    def password(self):
        """The password again, before a key can be made."""
        return ask_password(lambda error, status: self._page(error, status), url_for("ApiKeyView.index"))

    @expose("/new", methods=["GET", "POST"])
    @allows("add")
    def new(self):
        if not is_sure():
            return redirect(url_for("ApiKeyView.index"))
        form = KeyForm(
            request.form if request.method == "POST" else None,
            held=sorted(g.principal.roles),
            settings=current_app.config["SETTINGS"],
            today=today(),
        )
        if request.method == "GET":
            return self.page("api_keys/new.html", form=form)
        with access.system_session("api key", door="page", writes=False) as database:
            is_full = api_keys.living(database, g.principal.id, today=today()) >= api_keys.MOST
        if not form.validate() or is_full:
            if is_full:
                form.form_errors.append(gettext("You have as many keys as one person may: end some first."))
            return self.page("api_keys/new.html", status=422, form=form)
        _, text = api_keys.make(
            g.principal.id,
            name=form.name.data.strip(),
            roles=form.roles.data,
            per_minute=form.per_minute.data,
            expires_on=form.expires_on.data,
        )
        return self.page("api_keys/made.html", name=form.name.data, text=text)

    @expose("/<int:pk>/end", methods=["POST"])
    @allows("delete")
    def end(self, pk):
        """End one of one's own keys; anybody else's is not there."""
        with access.system_session("api key", door="page") as database:
            database.info["on_behalf_of"] = g.principal.id
            name = api_keys.end(database, pk, user_id=g.principal.id)
        if name is None:
            abort(404)
        flash(gettext("“%(name)s” opens nothing any more.", name=name), "success")
        return redirect(url_for("ApiKeyView.index"))

    def _page(self, error=None, status=200):
        with access.system_session("api key", door="page", writes=False) as database:
            keys = [shown(key, owner) for key, owner in api_keys.of(database, g.principal.id)]
        return self.page(
            "api_keys/list.html",
            status=status,
            keys=keys,
            error=error,
            is_sure=is_sure(),
            has_password=door.knows_password(g.principal.id),
        )


def shown(key, owner):
    """A key as the pages show it."""
    if key.ended_at is not None:
        state = ("grey", gettext("ended"))
    elif key.expires_on < today():
        state = ("amber", gettext("expired"))
    else:
        state = ("green", gettext("open"))
    return {
        "id": key.id,
        "name": key.name,
        "owner": owner,
        "prefix": f"{api_keys.START}{key.prefix}_…",
        "roles": ", ".join(key.roles),
        "state": state,
        "is_open": state[0] == "green",
        "expires_on": key.expires_on.isoformat(),
        "used": moment(key.last_used_at) if key.last_used_at else None,
        "made": moment(key.created_at),
    }
