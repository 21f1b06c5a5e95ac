"""The door: who one is, shown by a name and a password (or what else there is), becomes a session; and out again."""

import secrets
from urllib.parse import urlencode

from flask import abort, current_app, g, jsonify, redirect, render_template, request, url_for
from flask_babel import gettext, ngettext
from flask_jwt_extended import create_access_token, create_refresh_token

from app import access, sessions, throttle
from app.identity import door
from app.views import base, kept
from app.views.base import PageView, expose, safe_target

# What a sign-in may still wait for, after the password: functions of (user id) that return None, or the name of it and
# the path of its page. That page calls `let_in` when it is content.
NEXT_STEPS = []


class SignIn(PageView):
    """A name and a password in, a POST out."""

    route_base = ""

    @expose("/login/", methods=["GET", "POST"])
    def login(self):
        target = safe_target(request.values.get("next"))
        if g.principal is not None:
            return redirect(target)
        if request.method == "GET":
            return render_template("auth/login.html", next=target, username="")
        username, password = request.form.get("username", "").strip(), request.form.get("password", "")
        typed = kept.unpacked(request.form.get("kept"))
        shown = {"next": target, "username": username, "kept": kept.packed(typed)}
        page = "auth/again.html" if typed else "auth/login.html"
        try:
            user_id = check(username, password)
        except throttle.TooMany as error:
            return too_many_page(error.seconds, page, **shown)
        if user_id is None:
            error = gettext("This name and password do not belong together.")
            return render_template(page, error=error, **shown), 401
        response = welcome(user_id, door.method_of(user_id), target)
        return _with_what_was_typed(response, typed, next_step(user_id)) if typed else response

    @expose("/logout/", methods=["POST"])
    def logout(self):
        if g.login is not None:
            with access.system_session("sign-out", door="sign-in") as database:
                database.info["on_behalf_of"] = g.login.user_id
                sessions.end(database, g.login.user_id, "signed out", only=g.login.id)
        base.begin_flask_session(None)
        response = redirect(url_for("SignIn.login"))
        base.set_session_cookie(response, "")
        return response


class SecurityApi(base.TokenApi):
    """Sign-in for programs: name and password for a bearer token, which is a session like any other."""

    @expose("/login", methods=["POST"])
    def login(self):
        body = request.get_json(silent=True)
        if not isinstance(body, dict):
            abort(400)
        username, password = body.get("username"), body.get("password")
        if not (isinstance(username, str) and isinstance(password, str)):
            abort(400)
        user_id = check(username.strip(), password)  # `TooMany` is answered 429, see `views/errors.py`
        if user_id is None or next_step(user_id) is not None:
            return jsonify(message=gettext("This name and password do not belong together.")), 401
        g.token = sessions.begin(user_id, kind="token", method=door.method_of(user_id), **who_knocks())
        told = {"access_token": create_access_token(identity=str(user_id), fresh=True)}
        if body.get("refresh"):
            told["refresh_token"] = create_refresh_token(identity=str(user_id))
        return jsonify(told)


def check(username, password):
    """The id of the account that this name and password open, or None; raises `throttle.TooMany`."""
    if not (username and password):
        return None
    settings = current_app.config["SETTINGS"]
    return door.first_step(
        settings, username, password, address=request.remote_addr or "", device=base.device_cookie() or None
    )


def next_step(user_id):
    """What this person's sign-in still waits for after the password: (its name, the path of its page), or None."""
    return next((step for ask in NEXT_STEPS if (step := ask(user_id)) is not None), None)


def welcome(user_id, method, target):
    """Whoever has shown that he is this person goes on: in, or to what his sign-in still waits for."""
    step = next_step(user_id)
    waits_for, place = step if step is not None else (None, target)
    if step is not None and target != "/":
        place = f"{place}?{urlencode({'next': target})}"
    device = base.device_cookie() or secrets.token_urlsafe(16)
    knocking = {**who_knocks(), "place": device}
    token = sessions.begin(
        user_id,
        kind="browser",
        method=method,
        waits_for=waits_for,
        replacing=base.session_cookie() if g.login is not None else None,
        **knocking,
    )
    return _into(token, device, place)


def let_in(target):
    """What this browser's sign-in waited for is done: in, under a new id. Returns the response."""
    device = base.device_cookie() or secrets.token_urlsafe(16)
    token = sessions.finish(base.session_cookie(), **{**who_knocks(), "place": device})
    return _into(token, device, target)


def who_knocks():
    """Where the request comes from, as sessions and the throttle want to know it."""
    return {
        "address": request.remote_addr or "",
        "device": sessions.in_words(request.headers.get("User-Agent", "")),
        "place": base.device_cookie() or None,
    }


def _with_what_was_typed(response, typed, step):
    """The same sign-in, answered with what its person had typed when the session before it ended."""
    response.status_code = 200
    del response.headers["Location"]
    response.set_data(kept.given_back(typed, step=step[1] if step else None))
    return response


def _into(token, device, place):
    base.begin_flask_session(token)  # nothing of the visitor before stays, and the next page has its own CSRF token
    response = redirect(place)
    base.set_session_cookie(response, token, device)
    return response


def too_many_page(seconds, template, **context):
    """The page again with how long to wait, as 429."""
    response = current_app.make_response((render_template(template, error=too_many(seconds), **context), 429))
    response.headers["Retry-After"] = str(seconds)
    return response


def too_many(seconds):
    """How long to wait, in words."""
    if seconds < 60:
        return ngettext(
            "There were many attempts. Try again in %(num)s second.",
            "There were many attempts. Try again in %(num)s seconds.",
            seconds,
        )
    return ngettext(
        "There were many attempts. Try again in %(num)s minute.",
        "There were many attempts. Try again in %(num)s minutes.",
        -(-seconds // 60),
    )


def renew(login, target):
    """One's own sessions have just ended with one's own deed: this browser goes on, in a session of its own."""
    device = base.device_cookie() or secrets.token_urlsafe(16)
    token = sessions.begin(
        login.user_id,
        kind="browser",
        method=login.method,
        second_factor=login.second_factor_at is not None,
        is_renewal=True,
        **{**who_knocks(), "place": device},
    )
    return _into(token, device, target)
