"""The second factor: as a step of the sign-in, and on a page of one's own where it is set up and given up."""

import time

from flask import abort, current_app, flash, g, redirect, render_template, request, session, url_for
from flask_babel import gettext

from app import access, security, sessions, throttle
from app.identity import door, factors, security_keys
from app.identity.security_keys import Place
from app.views import base, sign_in
from app.views.base import PageView, allows, expose, safe_target
from app.views.reading import moment

STEP, ENROLMENT = "second factor", "enrolment"  # what a sign-in may wait for
SURE_FOR = 600  # seconds for which a password that was asked again counts
CHALLENGE_FOR = 300
NAME_LENGTH = 80


# --------------------------------------------------------------------------------------------- after the password


@sign_in.NEXT_STEPS.append
def next_step(user_id):
    """What a sign-in waits for after the password, if anything: the code, or first of all a second factor."""
    step = factors.next_step(user_id)
    page = {STEP: "SecondStepView.ask", ENROLMENT: "SecondStepView.enrol"}.get(step)
    return (step, url_for(page)) if page else None


class SecondStepView(PageView):
    """The step after the password. Its session opens nothing but this page until the step is done."""

    route_base = "/login"

    @expose("/second-factor", methods=["GET", "POST"])
    def ask(self):
        """A code of the app, one from paper, or a security key."""
        user_id = _waiting_for(STEP)
        if user_id is None:
            return redirect(url_for("SignIn.login"))
        if request.method == "GET":
            return self._ask_page(user_id)
        said, settings = request.form.get("code", "")[:100], current_app.config["SETTINGS"]
        credential = request.form.get("credential", "")
        kind = "recovery code" if factors.looks_like_a_recovery_code(said) and not credential else STEP
        try:
            if not _counted(kind, user_id, lambda: self._is_right(settings, user_id, said, credential)):
                words = (
                    gettext("This key was not accepted.")
                    if credential
                    else gettext("This code does not count.")
                )
                return self._ask_page(user_id, words, status=401)
        except throttle.TooMany as error:
            response = current_app.make_response(
                self._ask_page(user_id, sign_in.too_many(error.seconds), status=429)
            )
            response.headers["Retry-After"] = str(error.seconds)
            return response
        return sign_in.let_in(_target())

    @staticmethod
    def _is_right(settings, user_id, said, credential):
        if credential:
            challenge = _take_challenge("answer")
            return bool(challenge) and security_keys.is_answer_of(user_id, credential, challenge, _place())
        if factors.looks_like_a_recovery_code(said):
            return factors.use_code(settings, user_id, said)
        return factors.is_code_of(settings, user_id, said)

    def _ask_page(self, user_id, error=None, status=200):
        standing, options = factors.standing(user_id), None
        if standing.keys and _place().is_safe:
            options, challenge = security_keys.authentication(user_id, _place())
            _keep_challenge("answer", challenge)
        page = render_template(
            "auth/second_factor.html", standing=standing, options=options, error=error, next=_target()
        )
        return page, status

    @expose("/enrolment", methods=["GET", "POST"])
    def enrol(self):
        """Whoever has a role that asks for a second factor sets one up before he comes in."""
        user_id, settings = _waiting_for(ENROLMENT), current_app.config["SETTINGS"]
        if user_id is None:
            return redirect(url_for("SignIn.login"))
        if factors.standing(user_id).is_set_up:
            return sign_in.let_in(
                _target()
            )  # by this very session: all others were ended with the first right code
        shown = factors.enrolment(settings, user_id)
        if shown is None:
            factors.begin_app(settings, user_id)
            shown = factors.enrolment(settings, user_id)
        error, status = None, 200
        if request.method == "POST":
            try:
                codes = _first_code(settings, user_id, request.form.get("code", "")[:100])
            except throttle.TooMany as many:
                error, status = sign_in.too_many(many.seconds), 429
            else:
                if codes is not None:
                    return render_template("auth/first_codes.html", codes=codes, next=_target())
                error, status = gettext("This code does not count."), 422
        page = render_template("auth/enrolment.html", shown=shown, error=error, next=_target())
        return page, status


def _waiting_for(step):
    """Whose sign-in waits here for this step, or None."""
    return g.login.user_id if g.login is not None and g.login.waits_for == step else None


def _target():
    return safe_target(request.values.get("next"))


def _counted(kind, user_id, is_right):
    """Ask whether a guess is right, after counting it; raises `throttle.TooMany`."""
    where = (kind, user_id, request.remote_addr or "", base.device_cookie() or None)
    if (seconds := throttle.ask(*where)) is not None:
        raise throttle.TooMany(seconds)
    if not is_right():
        return False
    throttle.passed(*where)
    return True


def _first_code(settings, user_id, said):
    """The codes for paper if this is the app's first right code; every other session of the person ends."""
    found = []

    def is_right():
        found.append(factors.confirm_app(settings, user_id, said))
        return found[0] is not None

    if not _counted(STEP, user_id, is_right):
        return None
    _end_other_sessions(user_id)
    return found[0]


def _end_other_sessions(user_id):
    """One begun with the password alone must not live on beside the second factor."""
    with access.system_session("second factor", door="page") as database:
        database.info["on_behalf_of"] = user_id
        sessions.end(database, user_id, "second factor", but=g.login.id)


# --------------------------------------------------------------------------------------------- one's own page


class SecondFactorView(PageView):
    """Where everybody sets up his own second factor, once he has said his password again."""

    entity = "second_factor"
    route_base = "/second-factors"

    @expose("/", methods=["GET"])
    @allows("see")
    def index(self):
        return self._page()

    @expose("/password", methods=["POST"])
    @allows("edit")
    def password(self):
        """The password again, before anything here can be changed."""
        return ask_password(self._page, url_for("SecondFactorView.index"))

    @expose("/begin", methods=["POST"])
    @allows("edit")
    def begin(self):
        if not is_sure():
            return redirect(url_for("SecondFactorView.index"))
        factors.begin_app(current_app.config["SETTINGS"], g.principal.id)
        return redirect(url_for("SecondFactorView.index"))

    @expose("/confirm", methods=["POST"])
    @allows("edit")
    def confirm(self):
        """The first code of the app; then the codes for paper, shown once."""
        if not is_sure():
            return redirect(url_for("SecondFactorView.index"))
        settings = current_app.config["SETTINGS"]
        try:
            codes = _first_code(settings, g.principal.id, request.form.get("code", "")[:100])
        except throttle.TooMany as many:
            return self._page(sign_in.too_many(many.seconds), 429)
        if codes is None:
            return self._page(gettext("This code does not count."), 422)
        return self.page("second_factors/codes.html", codes=codes)

    @expose("/codes", methods=["POST"])
    @allows("edit")
    def codes(self):
        """New codes for paper; those from before count no more."""
        if not is_sure() or not factors.standing(g.principal.id).is_set_up:
            return redirect(url_for("SecondFactorView.index"))
        codes = factors.new_codes(current_app.config["SETTINGS"], g.principal.id)
        return self.page("second_factors/codes.html", codes=codes)

    @expose("/off", methods=["POST"])
    @allows("edit")
    def off(self):
        """Give it up, unless a role asks for it."""
        if not is_sure():
            return redirect(url_for("SecondFactorView.index"))
        with access.system_session("second factor", door="page") as database:
            database.info["on_behalf_of"] = g.principal.id
            if factors.is_required(database, g.principal.id):
                return self._page(gettext("One of your roles asks for a second factor."), 422)
            factors.give_up(database, g.principal.id)
            security.note(database, g.principal.id, "second factor off")
        flash(gettext("You sign in with your password alone."), "success")
        return redirect(url_for("SecondFactorView.index"))

    # ---- keys

    @expose("/keys", methods=["POST"])
    @allows("edit")
    def add_key(self):
        """Take the security key that the browser has just spoken with."""
        if not is_sure():
            return redirect(url_for("SecondFactorView.index"))
        name = _name_said()
        challenge, settings = _take_challenge("register"), current_app.config["SETTINGS"]
        credential = request.form.get("credential", "")
        if not name:
            return self._page(gettext("Give the key a name."), 422)
        is_good, codes = False, None
        if challenge:
            is_good, codes = security_keys.register(
                settings, g.principal.id, name, credential, challenge, _place()
            )
        if not is_good:
            return self._page(gettext("This key was not accepted."), 422)
        _end_other_sessions(g.principal.id)
        if codes is not None:
            return self.page("second_factors/codes.html", codes=codes)
        flash(gettext("“%(name)s” was added.", name=name), "success")
        return redirect(url_for("SecondFactorView.index"))

    @expose("/keys/<int:pk>/name", methods=["POST"])
    @allows("edit")
    def name_key(self, pk):
        name = _name_said()
        if not is_sure() or not name:
            return redirect(url_for("SecondFactorView.index"))
        if not security_keys.rename(g.principal.id, pk, name):
            abort(404)
        flash(gettext("The key is called “%(name)s” now.", name=name), "success")
        return redirect(url_for("SecondFactorView.index"))

    @expose("/keys/<int:pk>/remove", methods=["POST"])
    @allows("edit")
    def remove_key(self, pk):
        """Take a key away; the last one only where an app stands beside it, or no role asks for anything."""
        if not is_sure():
            return redirect(url_for("SecondFactorView.index"))
        with access.system_session("second factor", door="page") as database:
            database.info["on_behalf_of"] = g.principal.id
            standing = factors.standing_in(database, g.principal.id)
            is_last = not standing.has_app and len(standing.keys) == 1
            if is_last and factors.is_required(database, g.principal.id):
                return self._page(gettext("One of your roles asks for a second factor."), 422)
            if not security_keys.remove(database, g.principal.id, pk):
                abort(404)
        flash(gettext("The key opens nothing any more."), "success")
        return redirect(url_for("SecondFactorView.index"))

    def _page(self, error=None, status=200):
        settings, user_id = current_app.config["SETTINGS"], g.principal.id
        standing, options = factors.standing(user_id), None
        with access.system_session("second factor", door="page", writes=False) as database:
            is_required = factors.is_required(database, user_id)
        if is_sure() and _place().is_safe:
            options, challenge = security_keys.registration(settings, user_id, _place())
            _keep_challenge("register", challenge)
        keys = [
            {
                "id": key.id,
                "name": key.name,
                "since": moment(key.created_at),
                "used": moment(key.last_used_at) if key.last_used_at else None,
            }
            for key in standing.keys
        ]
        return self.page(
            "second_factors/index.html",
            status=status,
            standing=standing,
            keys=keys,
            is_required=is_required,
            is_sure=is_sure(),
            has_password=door.knows_password(user_id),
            shown=factors.enrolment(settings, user_id) if is_sure() else None,
            options=options,
            place=_place(),
            error=error,
        )


def _name_said():
    name = " ".join(request.form.get("name", "").split())[:NAME_LENGTH]
    return name if security.is_storable(name) else ""


# --------------------------------------------------------------------------------------------- asked again


def is_sure():
    """Whether this session has shown lately that its person is still the one who sits there."""
    sure = session.get("sure") or {}
    if sure.get("login") == g.login.id and 0 <= time.time() - sure.get("at", 0) < SURE_FOR:
        return True
    # From an OpenID provider, nobody has a password that we could ask for: a fresh sign-in does.
    is_fresh = time.time() - g.login.created_at.timestamp() < SURE_FOR
    return is_fresh and not door.knows_password(g.principal.id)


def ask_password(page, path):
    """Check the password that was said again; `page(error, status)` shows the page it was asked on."""
    settings, said = current_app.config["SETTINGS"], request.form.get("password", "")
    where = {"address": request.remote_addr or "", "device": base.device_cookie() or None}
    try:
        is_right = door.is_password_of(settings, g.principal.id, said, **where)
    except throttle.TooMany as many:
        return page(sign_in.too_many(many.seconds), 429)
    if not is_right:
        return page(gettext("This is not your password."), 422)
    session["sure"] = {"login": g.login.id, "at": int(time.time())}
    return redirect(path)


def _place():
    """Where the browser thinks it is: as set, or as it says itself."""
    return Place.of(current_app.config["SETTINGS"].PUBLIC_URL or request.host_url)


def _keep_challenge(what, challenge):
    session[what] = {"challenge": challenge, "login": g.login.id, "at": int(time.time())}


def _take_challenge(what):
    """The challenge that this session was given a moment ago; it is good for one answer."""
    kept = session.pop(what, None) or {}
    if kept.get("login") != g.login.id or not 0 <= time.time() - kept.get("at", 0) < CHALLENGE_FOR:
        return None
    return kept["challenge"]
