"""Accounts: one's own (password, sessions, what happened to it), and for those who hold them, everybody's."""

from datetime import UTC, datetime, timedelta

from flask import current_app, flash, g, redirect, render_template, request, url_for
from flask_babel import gettext, ngettext
from wtforms import BooleanField, Form, PasswordField, SelectField, TextAreaField
from wtforms.validators import InputRequired, Length

from app import access, jobs, security, sessions, throttle
from app.extensions import N_, db
from app.identity import preferences
from app.models import OutboxMessage, Staff
from app.rules import RuleBroken, passwords
from app.views import base, forms, sign_in
from app.views.base import PageView, allows, expose
from app.views.reading import moment

LATELY = 20  # events shown
METHODS = {
    "password": N_("with a password"),
    "ldap": N_("with the directory"),
    "oidc": N_("with another service"),
}
JUST_NOW = timedelta(minutes=2)  # "last seen" is written once a minute


class NewPassword(Form):
    """The new password, twice."""

    password = PasswordField(
        N_("New password"),
        [InputRequired(), forms.storable],
        description=N_(
            "At least 8 characters of any script; several words that nobody would put together are best."
        ),
        render_kw={"autocomplete": "new-password"},
    )
    again = PasswordField(
        N_("Once more"), [InputRequired(), forms.storable], render_kw={"autocomplete": "new-password"}
    )

    def validate(self):
        """Besides what each field says: the two are the same."""
        is_valid = super().validate()
        if is_valid and self.password.data != self.again.data:
            self.again.errors = [gettext("The two are not the same.")]
            return False
        return is_valid

    def refuse(self, broken):
        """Put a broken rule to the field it speaks of."""
        self.password.errors = [gettext(broken.message, **broken.values)]


class OwnNewPassword(NewPassword):
    """The same, and the present one first."""

    current = PasswordField(
        N_("Present password"),
        [InputRequired(), forms.storable],
        render_kw={"autocomplete": "current-password"},
    )


class Preferences(Form):
    """How one likes one's pages."""

    language = SelectField(
        N_("Language"),
        description=N_("Only languages that this house has words in are offered."),
    )
    theme = SelectField(
        N_("Appearance"),
        choices=[("auto", N_("As the system has it")), ("light", N_("Light")), ("dark", N_("Dark"))],
    )
    density = SelectField(
        N_("Lists"),
        choices=[("roomy", N_("Roomy")), ("dense", N_("Dense"))],
        description=N_("A list may be set otherwise for itself."),
    )
    has_shortcuts = BooleanField(
        N_("Shortcuts on the keyboard"),
        description=N_("Single letters such as j, k, x and e. The key ? shows them all."),
    )
    signature = TextAreaField(
        N_("Signature"),
        [Length(max=2000), forms.storable],
        description=N_("It stands below the replies that you write to customers."),
    )


class OwnAccountView(PageView):
    """Everybody's own account: the password, where one is signed in, and what happened lately."""

    entity = "own_account"
    route_base = "/account"

    @expose("/")
    @allows("see")
    def index(self):
        settings = _settings()
        with access.system_session("own account", door="page", writes=False) as database:
            mine = sessions.of(database, g.principal.id, settings)
            shown = [_shown(one, is_this=one.id == g.login.id) for one in mine]
            events = told(security.events_of(database, g.principal.id, LATELY))
        return self.page(
            "accounts/own.html",
            sessions=shown,
            events=events,
            idle=_length(settings.SESSION_IDLE_MINUTES),
            whole=_length(settings.SESSION_HOURS * 60),
            password_at=_moment(g.login.password_at),
            has_password=g.login.has_password,
        )

    @expose("/preferences", methods=["GET", "POST"])
    @allows("edit")
    def preferences(self):
        """Language, theme, density, shortcuts and signature: one's own, and told to nobody."""
        sent = request.form if request.method == "POST" else None
        form = Preferences(sent, obj=preferences.of(g.principal.id))
        form.language.choices = [(code, one["name"]) for code, one in current_app.config["LANGUAGES"].items()]
        for field in (form.theme, form.density):
            field.choices = [(value, gettext(words)) for value, words in field.choices]
        form = _prepared(form)
        if request.method == "GET":
            form.language.data = form.language.data or g.principal.language
            return self.page("accounts/preferences.html", form=form)
        if not form.validate():
            return self.page("accounts/preferences.html", status=422, form=form)
        said = {field.name: field.data for field in form}
        preferences.save(g.principal.id, **{**said, "signature": _plain_lines(form.signature.data)})
        flash(gettext("Your pages are as you like them."), "success")
        return redirect(url_for("OwnAccountView.preferences"))

    @expose("/sessions/<int:pk>/end", methods=["POST"])
    @allows("edit")
    def end_session(self, pk):
        """End one of one's own sessions; anybody else's is not there."""
        self._end(only=pk)
        return redirect(url_for("OwnAccountView.index"))

    @expose("/sessions/end-others", methods=["POST"])
    @allows("edit")
    def end_others(self):
        self._end(but=g.login.id)
        return redirect(url_for("OwnAccountView.index"))

    def _end(self, **which):
        with access.system_session("own account", door="page") as database:
            database.info["on_behalf_of"] = g.principal.id
            ended = sessions.end(database, g.principal.id, "by the person", **which)
        if ended:
            flash(gettext("Signed out there."), "success")
        else:
            flash(gettext("Nobody is signed in there any more."), "warning")

    @expose("/password", methods=["GET", "POST"])
    @allows("edit")
    def password(self):
        form = _prepared(OwnNewPassword(request.form))
        if request.method == "GET":
            return self._password_page(form)
        if not form.validate():
            return self._password_page(form, 422)
        known = {"address": request.remote_addr or "", "device": base.device_cookie()}
        try:
            is_own = security.is_own_password(g.principal.id, form.current.data, **known)
        except throttle.TooMany as error:
            form.current.errors = [sign_in.too_many(error.seconds)]
            response = current_app.make_response(self._password_page(form, 429))
            response.headers["Retry-After"] = str(error.seconds)
            return response
        if not is_own:
            form.current.errors = [gettext("This is not your present password.")]
            return self._password_page(form, 422)
        try:
            replace(g.principal.id, form.password.data, "password changed")
        except RuleBroken as broken:
            form.refuse(broken)
            return self._password_page(form, 422)
        response = sign_in.renew(g.login, url_for("OwnAccountView.index"))
        flash(gettext("Your password is replaced. Everywhere else you are signed out."), "success")
        return response

    def _password_page(self, form, status=200):
        why = None
        if sessions.must_change_password(g.login, _settings()):
            why = gettext("Set a new password of your own before you go on.")
        return self.page("accounts/password.html", status=status, form=form, why=why)


class AccountView(PageView):
    """Anybody's account, for those who hold the accounts: where it is signed in, and what happened to it."""

    entity = "account"
    model = Staff
    route_base = "/accounts"

    @expose("/<int:pk>")
    @allows("see")
    def show(self, pk):
        person = db.get_or_404(Staff, pk)
        events = told(security.events_of(db.session, pk, 100))
        shown = [_shown(one) for one in sessions.of(db.session, pk, _settings())]
        return self.page("accounts/show.html", person=person, sessions=shown, events=events)

    @expose("/<int:pk>/end-sessions", methods=["POST"])
    @allows("edit")
    def end_sessions(self, pk):
        """Sign somebody out everywhere."""
        person = db.get_or_404(Staff, pk)
        ended = sessions.end(db.session, pk, "by IT")
        db.session.commit()
        if ended:
            flash(gettext("“%(name)s” is signed out everywhere.", name=person), "success")
        else:
            flash(gettext("“%(name)s” was signed in nowhere.", name=person), "success")
        return redirect(f"/accounts/{pk}")

    @expose("/<int:pk>/ask-for-password", methods=["POST"])
    @allows("edit")
    def ask_for_password(self, pk):
        """Have somebody set a new password before he goes on."""
        person = db.get_or_404(Staff, pk)
        security.ask_to_change(db.session, pk)
        db.session.commit()
        flash(gettext("“%(name)s” sets a new password before going on.", name=person), "success")
        return redirect(f"/accounts/{pk}")


class ForgottenView(PageView):
    """For those who cannot come in: a link by mail, and with it a new password."""

    route_base = "/login"

    @expose("/forgotten", methods=["GET", "POST"])
    def forgotten(self):
        """Known and unknown names are answered alike, and take as long."""
        settings, is_sent = _settings(), False
        if request.method == "POST" and settings.MAIL_HOST:
            _send_link(request.form.get("username", "").strip())
            is_sent = True
        return render_template("auth/forgotten.html", has_mail=bool(settings.MAIL_HOST), is_sent=is_sent)

    @expose("/new-password", methods=["GET", "POST"])
    def new_password(self):
        token = request.values.get("token", "")
        form = _prepared(NewPassword(request.form))
        address = request.remote_addr or ""
        if (seconds := throttle.ask("link", None, address)) is not None:
            raise throttle.TooMany(seconds)
        with access.system_session("password link", door="sign-in", writes=False) as database:
            user = security.user_of_link(database, token)
            user_id = user.id if user is not None else None
        if user_id is None:
            return render_template("auth/new_password.html", form=None), 404
        throttle.passed("link", None, address)
        if request.method == "GET":
            return render_template("auth/new_password.html", form=form, token=token)
        try:
            if form.validate():
                replace(user_id, form.password.data, "password reset", token=token)
                base.begin_flask_session(None)
                flash(gettext("Your password is replaced. Sign in with it."), "success")
                return redirect(url_for("SignIn.login"))
        except RuleBroken as broken:
            form.refuse(broken)
        return render_template("auth/new_password.html", form=form, token=token), 422


def replace(user_id, password, deed, *, token=None):
    """Give one's own account a password that will do; raises RuleBroken. Its sessions end, all of them."""
    settings = _settings()
    with access.system_session("own password", door="page", writes=False) as database:
        user = database.get(security.User, user_id)
        names, former = (
            passwords.names_of(user),
            passwords.former_of(database, user, settings.PASSWORD_HISTORY),
        )
    passwords.check(password, person=names, company=settings.COMPANY_NAME, former=former)
    with access.system_session("own password", door="page") as database:
        database.info |= {"on_behalf_of": user_id, "password deed": deed}
        if token is not None and not security.use_link(database, token):
            raise RuleBroken(N_("This link has been used meanwhile."))
        security.set_password(database, user_id, password)


def told(events):
    """Events of an account, as people read them."""
    return [
        {"what": gettext(security.EVENTS[event.kind]), "how": _how(event, doer), "at": moment(event.at)}
        for event, doer in events
    ]


def _how(event, doer):
    details, parts = event.details, []
    if event.by_id != event.user_id:
        parts.append(gettext("by %(name)s", name=doer) if doer else gettext("by the system"))
    if details.get("given"):
        parts.append(gettext("given: %(roles)s", roles=", ".join(details["given"])))
    if details.get("taken"):
        parts.append(gettext("taken: %(roles)s", roles=", ".join(details["taken"])))
    if details.get("sessions"):
        parts.append(gettext("%(number)s in all", number=details["sessions"]))
    parts += [part for part in (event.device, event.address) if part]
    return " · ".join(parts)


def _shown(one, *, is_this=False):
    return {
        "id": one.id,
        "device": one.device or gettext("unknown program"),
        "is_token": one.kind == "token",
        "is_this": is_this,
        "how": gettext(METHODS[one.method]) if one.method in METHODS else one.method,
        "second_factor": one.second_factor_at is not None,
        "address": one.address,
        "since": moment(one.created_at),
        "seen": gettext("just now") if datetime.now(UTC) - one.seen_at < JUST_NOW else moment(one.seen_at),
    }


def _plain_lines(text):
    """A text with plain line ends; None for nothing."""
    return (text or "").replace("\r\n", "\n").strip() or None


def _prepared(form):
    for field in form:
        field.label.text = gettext(field.label.text)
        field.description = gettext(field.description) if field.description else ""
    return form


def _length(minutes):
    hours, rest = divmod(minutes, 60)
    if rest:
        return ngettext("%(num)s minute", "%(num)s minutes", minutes)
    return ngettext("%(num)s hour", "%(num)s hours", hours)


def _moment(at):
    return moment(at if at.tzinfo else at.replace(tzinfo=UTC)) if at is not None else None


def _settings():
    return current_app.config["SETTINGS"]


def _send_link(username):
    """Write the mail to whoever has this name; for a name that nobody has, write as much, and no mail."""
    address, username = request.remote_addr or "", username[:200]
    if not username or not security.is_storable(username):
        return
    with access.system_session("password link", door="sign-in", writes=False) as database:
        user = security.find_by_name(database, username)
        staff = database.get(Staff, user.id) if user is not None else None
        is_ours = staff is not None and user.password  # a directory's people have their passwords there
        to = (user.id, user.email, user.username, staff.department_id) if is_ours else None
    if throttle.ask("reset", to[0] if to else username, address, base.device_cookie()) is not None:
        return
    with access.system_session("password link", door="sign-in") as database:
        database.info["on_behalf_of"] = to[0] if to else None
        security.note(database, to[0] if to else None, "reset asked", address=address)
        if to:
            user_id, mail, name, department_id = to
            now = datetime.now(UTC)
            database.add(
                OutboxMessage(
                    channel=jobs.PASSWORD_LINK,
                    address=mail,
                    payload={"user_id": user_id, "username": name},
                    department_id=department_id,
                    owner_id=user_id,
                    created_at=now,
                    due_at=now,
                )
            )
