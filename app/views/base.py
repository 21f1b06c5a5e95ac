"""Flask-AppBuilder, tamed: the only file that knows its habits. Every page and API of ours derives from here.

What we keep of it: the view registry with its blueprints, the accounts, roles and permissions tables, the sign-in back
ends, bearer tokens, and the plumbing of its REST views. What stood in the way of safety, speed or beauty is replaced
here: its list, form and show pages, its permission look-ups, its GET logout, its menus and templates.
"""

import functools
import hashlib
from datetime import datetime
from urllib.parse import urlsplit

from babel import Locale
from flask import (
    abort,
    current_app,
    g,
    has_request_context,
    jsonify,
    redirect,
    render_template,
    request,
    session,
    url_for,
)
from flask_appbuilder import AppBuilder, BaseView, expose
from flask_appbuilder.api import BaseApi
from flask_appbuilder.security.api import SecurityApi as TokenApi
from flask_appbuilder.security.sqla.manager import SecurityManager
from flask_babel import gettext
from flask_jwt_extended import get_current_user, verify_jwt_in_request
from sqlalchemy.orm import scoped_session
from werkzeug.datastructures import LanguageAccept
from werkzeug.http import parse_accept_header
from werkzeug.routing import IntegerConverter

from app import access, custom, filters, sessions, throttle
from app.extensions import Session, db, here
from app.identity import api_keys
from app.views import wire
from app.views.wire import SAFE_METHODS

__all__ = ["ApiView", "PageView", "TokenApi", "allows", "expose", "install"]

# Sign-in for programs carries no cookie, so nothing could be forged with it.
CSRF_FREE = ("SecurityApi.login", "SecurityApi.refresh")
# Where an answer goes that is no part of the page a script asked for: among the messages.
AS_A_NOTE = {"HX-Retarget": "#flashes", "HX-Reswap": "innerHTML"}
# What is open to somebody who must set a new password first.
ALLOWED_BEFORE = ("OwnAccountView.password", "SignIn.logout")
# Routes to which whoever is signed in may send more than forms hold: endpoint -> bytes, or a function of the settings.
UPLOADS = {}


# --------------------------------------------------------------------------------------------- accounts


def _system_session():
    return access.enter(Session(db), access.SYSTEM, door="sign-in", writes=True)


class Accounts(SecurityManager):
    """FAB's security manager over our accounts: a signed-in user is a `Principal`, never an ORM row."""

    _session = scoped_session(_system_session)

    @property
    def session(self):
        """A system session of its own: what FAB does for sign-in must not share the business session."""
        return self._session

    def register_views(self):
        """None of FAB's: sign-in, tokens, accounts and roles have pages of ours."""

    def load_user(self, pk):
        """Nobody: a user id in a signed cookie opens nothing, only a session in the database does."""
        return None

    def create_jwt_manager(self, app):
        """FAB's; a token that is broken, too old or nobody's is answered like a missing sign-in."""
        manager = super().create_jwt_manager(app)
        for loader in (
            manager.expired_token_loader,
            manager.invalid_token_loader,
            manager.unauthorized_loader,
            manager.user_lookup_error_loader,
        ):
            loader(_token_refused)
        manager.additional_claims_loader(lambda _pk: {"session": g.get("token", "")})
        return manager

    def load_user_jwt(self, _header, claims):
        """A token is a session in the database like a browser's; it ends with it."""
        g.token, settings = str(claims.get("session", "")), current_app.config["SETTINGS"]
        principal, g.login = sessions.find(g.token, "token", settings)
        is_his = principal is not None and claims["sub"] == principal.get_id() and g.login.waits_for is None
        return principal if is_his else None

    def auth_user_db(self, username, password):
        """Asked by nothing of ours: the token API and the form ask `security.authenticate`."""
        return None

    def auth_user_ldap(self, username, password):
        """Asked for by name at FAB's token API; the house keeps its accounts itself."""
        return None

    def is_item_public(self, permission_name, view_name):
        return False

    def has_access(self, permission_name, view_name):
        principal = g.get("principal")
        return principal is not None and principal.may(permission_name.removeprefix("can_"), view_name)


def _token_refused(*_details):
    return jsonify(message=gettext("This token does not count: sign in anew.")), 401


def safe_target(target):
    """A path of ours to go on to; anything else leads to the start page."""
    try:
        parts = urlsplit(target or "")
    except ValueError:
        return "/"
    is_ours = not parts.scheme and not parts.netloc and (target or "").startswith("/")
    return target if is_ours and not target.startswith(("//", "/\\")) and target.isprintable() else "/"


# --------------------------------------------------------------------------------------------- the builder


class RecordNumber(IntegerConverter):
    """`<int:pk>` in a route: no number that the database could not hold reaches a view."""

    regex = "[0-9]{1,10}"

    def __init__(self, url_map):
        super().__init__(url_map, max=filters.LARGEST_ID)


class Builder(AppBuilder):
    """FAB's registry without its stock pages: what is reachable is what `app/views` registers."""

    def _add_admin_views(self):
        self.sm.register_views()

    def _add_global_static(self):
        """Its jQuery and Bootstrap stay at home; ours are in static/vendor."""

    def _add_menu_permissions(self, update_perms=False):
        """The menu is ours (`views/__init__.py`) and shows what the principal may see."""

    def get_url_for_index(self):
        return "/"


def install(app):
    """Wire FAB, sign-in and CSRF into the app; call inside its context, before any view is added."""
    builder = Builder(security_manager_class=Accounts, update_perms=False)
    app.url_map.converters["int"] = RecordNumber
    wire.install(app)
    builder.init_app(app, db.session)
    _leave_out_flask_login(app)
    app.before_request(_who_asks)
    app.after_request(_used)
    app.teardown_appcontext(lambda _error: Accounts._session.remove())
    # FAB's choice writes a cookie for every visitor; ours comes from the profile.
    app.extensions["babel"].locale_selector = _language
    app.extensions["babel"].instance.locale_selector = _language
    return builder


def _leave_out_flask_login(app):
    """Who is signed in stands in `g`, and no cookie remembers anybody: each page would ask and look for both."""
    around, after = app.template_context_processors, app.after_request_funcs
    around[None] = [one for one in around[None] if not one.__module__.startswith("flask_login")]
    after[None] = [one for one in after[None] if not one.__module__.startswith("flask_login")]


def _who_asks():
    """Before every request: who it is, by bearer token or by cookie, and for whom the session works."""
    asked, kept = request._get_current_object(), here().g  # a proxy looks anew for each attribute
    kept.principal = kept.login = None
    if asked.endpoint == "static":
        return None
    settings = current_app.config["SETTINGS"]
    authorization = asked.headers.get("Authorization", "")
    if authorization.startswith(f"Bearer {api_keys.START}") and asked.endpoint not in CSRF_FREE:
        return _who_asks_by_key(authorization.removeprefix("Bearer "))
    if authorization.startswith("Bearer ") and asked.endpoint not in CSRF_FREE:
        asked.max_content_length = _most_to_send(asked, None)
        verify_jwt_in_request()
        kept.principal = get_current_user()
        _check_length(asked, kept.principal)
    else:
        token = asked.cookies.get(settings.cookie(SESSION_COOKIE), "")
        principal, kept.login = sessions.find(token, "browser", settings)
        if kept.login is not None and kept.login.waits_for is None:
            kept.principal = principal
        _check_length(asked, kept.principal)
        if asked.endpoint not in CSRF_FREE:
            _tie_to_the_session(token if kept.login is not None else None)
            wire.check_token(asked)
    if kept.principal is None:
        return None
    door, writes = "api" if asked.path.startswith("/api/") else "page", asked.method not in SAFE_METHODS
    own = access.enter(db.session(), kept.principal, door=door, writes=writes)
    custom.as_they_stand(own, kept.principal.custom_fields)
    return _first_things_first(asked, kept.login, settings)


def _who_asks_by_key(text):
    """A person's program with an API key: some of his roles, at the API alone, so many requests a minute."""
    today = datetime.now(current_app.config["SETTINGS"].zone).date()
    principal, key, account = api_keys.find(text, today=today)
    if principal is None:
        where = ("api key", account, request.remote_addr or "")
        if (seconds := throttle.wait(*where)) is not None:
            return _too_many_requests(seconds)
        throttle.failed(*where)
        return _token_refused()
    if not request.path.startswith("/api/"):
        return jsonify(message=gettext("A key opens the API alone.")), 403
    if (seconds := api_keys.take(key)) is not None:
        return _too_many_requests(seconds)
    _check_length(request, None)
    g.principal = principal
    writes = request.method not in SAFE_METHODS
    access.enter(db.session(), principal, door="api", why=f"API key “{key.name}”", writes=writes)
    return None


def _too_many_requests(seconds):
    response = jsonify(message=gettext("Too many requests. Try again in %(number)s seconds.", number=seconds))
    response.headers["Retry-After"] = str(seconds)
    return response, 429


def _check_length(asked, principal):
    asked.max_content_length = most = _most_to_send(asked, principal)
    if (asked.content_length or 0) > most:
        abort(413)  # here, because FAB's token API would make a fault of it


def _most_to_send(asked, principal):
    if principal is None or asked.endpoint not in UPLOADS:
        return current_app.config["MAX_CONTENT_LENGTH"]
    most = UPLOADS[asked.endpoint]
    return most(current_app.config["SETTINGS"]) if callable(most) else most


def _tie_to_the_session(token):
    """The CSRF token belongs to the session it was made in: one from before, or somebody else's, counts for nothing."""
    if session.get("of") != (_tie(token) if token else None):
        begin_flask_session(token)


def begin_flask_session(token):
    """Empty Flask's own session, CSRF token and all, and tie it to this session of ours, or to none."""
    session.clear()
    if token:
        session["of"] = _tie(token)


def _tie(token):
    return hashlib.sha256(f"tie {token}".encode()).hexdigest()[:16]


def _first_things_first(asked, login, settings):
    """Whoever must set a new password does so before anything else."""
    if not sessions.must_change_password(login, settings) or asked.endpoint in ALLOWED_BEFORE:
        return None
    if wants_json():
        return jsonify(message=gettext("Set a new password on the page first.")), 403
    return redirect(url_for("OwnAccountView.password"))


def _used(response):
    """After every request: write down, once it is answered, that its session is in use."""
    login = g.get("login")
    if login is not None and sessions.is_due(login):
        response.call_on_close(functools.partial(sessions.touch, current_app._get_current_object(), login))
    return response


# --------------------------------------------------------------------------------------------- cookies


SESSION_COOKIE, DEVICE_COOKIE = "foyer-session", "foyer-device"
A_YEAR = 365 * 24 * 3600


def session_cookie():
    """The id of the session that the browser says it has."""
    return request.cookies.get(current_app.config["SETTINGS"].cookie(SESSION_COOKIE), "")


def device_cookie():
    """What the browser keeps to be known again, signed in or not."""
    return request.cookies.get(current_app.config["SETTINGS"].cookie(DEVICE_COOKIE), "")


def set_session_cookie(response, token, device=None):
    """Give the browser this session, and a mark to be known by; an empty token takes the session away."""
    settings = current_app.config["SETTINGS"]
    same = {"path": "/", "httponly": True, "samesite": "Lax", "secure": settings.is_https}
    if token:
        response.set_cookie(settings.cookie(SESSION_COOKIE), token, **same)
    else:
        response.delete_cookie(settings.cookie(SESSION_COOKIE), **same)
    if device:
        response.set_cookie(settings.cookie(DEVICE_COOKIE), device, max_age=A_YEAR, **same)


def _language():
    """The language that the reader chose, else one that his browser asks for, else that of his record or the house."""
    context = here()
    spoken, principal = tuple(context.app.config["LANGUAGES"]), context.g.get("principal")
    if principal is not None and principal.chosen_language in spoken:
        return _locale(principal.chosen_language)
    asked = _best_of(spoken, request.headers.get("Accept-Language", "")) if has_request_context() else None
    usual = principal.language if principal is not None else None
    return next((_locale(one) for one in (asked, usual) if one in spoken), None)


_locale = functools.cache(Locale.parse)


@functools.lru_cache(maxsize=256)
def _best_of(spoken, accepted):
    """The one of these languages that a browser likes best, by its `Accept-Language`."""
    return parse_accept_header(accepted, LanguageAccept).best_match(spoken)


def wants_json():
    """Whether the answer goes to a program: the API, or a script of our pages."""
    return request.path.startswith("/api/") or request.accept_mimetypes.best == "application/json"


def wants_fragment():
    """Whether a script of our pages (htmx) asks for a part of a page, and swaps it in where it stands."""
    return request.headers.get("HX-Request") == "true" and request.headers.get("HX-Request-Type") == "partial"


# --------------------------------------------------------------------------------------------- views


def allows(verb, *others):
    """Guard a route: only for those whose roles grant these verbs on the view's entity; None asks just for a sign-in.

    The first is the deed itself, the others are what it is done to rows with: ("bulk", "delete").
    """

    def decorate(method):
        @functools.wraps(method)
        def guarded(self, *args, **kwargs):
            if g.principal is None:
                return _sign_in_first()
            if verb is not None:
                entity = self.entity_asked()
                if not all(g.principal.may(one, entity) for one in (verb, *others)):
                    abort(403)
            g.verbs = (verb, *others)
            return method(self, *args, **kwargs)

        guarded.verb, guarded.verbs = verb, (verb, *others)
        return guarded

    return decorate


def _sign_in_first():
    if wants_json():
        return jsonify(message=gettext("Sign in first.")), 401
    if wants_fragment():
        return render_template("errors/session_over.html"), 401, AS_A_NOTE
    target = request.full_path.rstrip("?") if request.method in SAFE_METHODS else None
    return redirect(url_for("SignIn.login", next=target if target != "/" else None))


class PageView(BaseView):
    """A view with pages of its own. `entity` is what its routes are guarded by; see `allows`."""

    entity = None
    default_view = None

    def entity_asked(self):
        """What the guard asks about: the view's entity, unless its pages are of several."""
        return self.entity

    def page(self, template, status=200, **context):
        return render_template(template, view=self, **context), status


class ApiView(BaseApi):
    """A REST resource; guarded like a page, open to the session cookie with CSRF and to bearer tokens."""

    entity = None
    version = "v1"
    csrf_exempt = False

    def entity_asked(self):
        return self.entity
