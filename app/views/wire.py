"""What comes and goes: requests, forms, cookies and answers. Flask's and Werkzeug's own, where a page asks a handful of
things of them by a shorter way than theirs; what is rare or wrong is still left to them to find and to say.
"""

import gzip
import hmac
import json
from functools import cache, lru_cache
from time import monotonic
from urllib.parse import unquote_to_bytes

from flask import Request, Response, current_app, g, request, session
from flask.json.provider import DefaultJSONProvider
from flask.json.tag import TaggedJSONSerializer
from flask.sessions import SecureCookieSessionInterface
from flask_wtf.csrf import generate_csrf, same_origin
from itsdangerous import BadData, TimestampSigner, URLSafeTimedSerializer
from itsdangerous.signer import HMACAlgorithm
from werkzeug.datastructures import ImmutableMultiDict
from werkzeug.formparser import FormDataParser
from werkzeug.local import LocalProxy
from werkzeug.sansio.http import parse_cookie
from werkzeug.urls import iri_to_uri
from werkzeug.utils import cached_property

from app.extensions import csrf

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
TWO_YEARS = 2 * 365 * 24 * 3600  # seconds


def install(app):
    """Have the app hear and answer so; call once `csrf` can be wired into it."""
    app.json = Json(app)
    app.request_class, app.response_class = Asked, Answer
    app.session_interface = Cookies()
    csrf.init_app(app)
    app.config["WTF_CSRF_CHECK_DEFAULT"] = False  # `check_token` does, once it is known how the caller signed in
    app.jinja_env.globals["csrf_token"] = csrf_token


def _attribute(proxy, name):
    """An attribute of what stands behind Flask's `g`, `request`, `session` and `current_app`, by half as many calls."""
    return getattr(proxy._get_current_object(), name)


LocalProxy.__getattr__ = _attribute


# --------------------------------------------------------------------------------------------- what comes


class Json(DefaultJSONProvider):
    """JSON in and out; what is nested too deep, or holds half of a surrogate pair, is broken JSON like any other."""

    def loads(self, text, **options):
        try:
            value = super().loads(text, **options)
            self.dumps(value, ensure_ascii=False).encode()
        except RecursionError:
            raise ValueError("nested too deep") from None
        return value


class Forms(FormDataParser):
    """What a browser sends, taken apart as Werkzeug does; of the twenty fields of a form, few hold what was encoded."""

    def _parse_urlencoded(self, stream, mimetype, content_length, options):
        pairs = []
        for part in stream.read().decode().split("&"):
            if part:
                name, _, value = part.partition("=")
                pairs.append(
                    (
                        _decoded(name) if "%" in name or "+" in name else name,
                        _decoded(value) if "%" in value or "+" in value else value,
                    )
                )
        return stream, self.cls(pairs), self.cls()


def _decoded(text):
    """What is no UTF-8 stays as it was sent."""
    text = text.replace("+", " ")
    return unquote_to_bytes(text).decode(errors="werkzeug.url_quote") if "%" in text else text


class Sent(ImmutableMultiDict):
    """What was sent; most of what a page looks for is not there, and need not be missed with an exception."""

    def get(self, key, default=None, type=None):
        return super().get(key, default, type) if key in self else default


class Asked(Request):
    """A request to us."""

    form_data_parser_class, parameter_storage_class = Forms, Sent

    @cached_property
    def cookies(self):
        """Werkzeug's, which puts the names of all headers into words to find this one."""
        return parse_cookie(self.environ.get("HTTP_COOKIE", ""), cls=self.dict_storage_class)


# --------------------------------------------------------------------------------------------- what goes

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)

# What a page of the house never needs of the device. Signing in with a key (WebAuthn) stays allowed.
PERMISSIONS_POLICY = ", ".join(
    f"{what}=()"
    for what in (
        *("accelerometer", "autoplay", "browsing-topics", "camera", "display-capture", "encrypted-media"),
        *("fullscreen", "geolocation", "gyroscope", "hid", "magnetometer", "microphone", "midi", "payment"),
        *("picture-in-picture", "screen-wake-lock", "serial", "usb", "xr-spatial-tracking"),
    )
)

# What every answer says.
HEADERS = [
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "same-origin"),
    ("X-Frame-Options", "DENY"),
    ("Permissions-Policy", PERMISSIONS_POLICY),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
]


class Answer(Response):
    """An answer of ours: it says what all of them say."""

    def get_wsgi_response(self, environ):
        content, status, headers = super().get_wsgi_response(environ)
        return content, status, headers + [one for one in HEADERS if one not in headers]

    def get_wsgi_headers(self, environ):
        """Werkzeug's, which makes a copy of them first; an answer goes out once."""
        status, headers = self.status_code, self.headers
        if status < 200 or status in (204, 304):  # what has no content, and may not say that it had
            return super().get_wsgi_headers(environ)
        said = {name.lower() for name, _ in headers}
        if "location" in said:
            headers["Location"] = _as_uri(headers["Location"])
        if "content-length" not in said and self.is_sequence:
            headers.add("Content-Length", str(sum(map(len, self.iter_encoded()))))
        return headers

    def varies_by(self, name):
        """Say that it is another for other values of this header; Werkzeug takes apart what is said already."""
        said = self.headers.get("Vary")
        if said is None:
            self.headers.add("Vary", name)
        elif name not in said.split(", "):
            self.headers["Vary"] = f"{said}, {name}"


_as_uri = lru_cache(maxsize=1024)(iri_to_uri)


def last_words(response):
    """After every request: what an answer says of itself."""
    response.headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
    if current_app.config["SETTINGS"].is_https:
        response.headers["Strict-Transport-Security"] = f"max-age={TWO_YEARS}"
    if request.endpoint != "static":
        response.headers["Cache-Control"] = "no-store"
    return response


LEAST_PACKED = 1000


def pack(response):
    """Compress a page on its way out, if its reader can unpack it; files and streams go as they are.

    A page that another site has the browser ask for carries no session (SameSite), so its size tells no secret of ours.
    """
    wanted = (
        "gzip" in request.accept_encodings
        and response.mimetype in ("text/html", "application/json")
        and not response.direct_passthrough
        and not response.is_streamed
        and "Content-Encoding" not in response.headers
    )
    if wanted and len(body := response.get_data()) >= LEAST_PACKED:
        response.set_data(gzip.compress(body, 4))
        response.headers["Content-Encoding"] = "gzip"
        response.varies_by("Accept-Encoding")
    return response


# --------------------------------------------------------------------------------------------- what is kept by browsers


class Texts(TaggedJSONSerializer):
    """Flask's own session as JSON. It holds texts, and messages as pairs of texts: only what else might stand there
    is looked through for what JSON cannot tell.
    """

    encode = json.JSONEncoder(separators=(",", ":")).encode

    def dumps(self, value):
        held = (text for held in value.values() for text in (_texts_of(held) if type(held) is list else (held,)))
        return self.encode(value) if all(type(text) is str for text in held) else super().dumps(value)


def _texts_of(messages):
    return (text for message in messages for text in (message if type(message) in (list, tuple) else (message,)))


class _Hmac(HMACAlgorithm):
    """itsdangerous' way to sign, in one call."""

    def get_signature(self, key, value):
        return hmac.digest(key, value, "sha1")


class _Signer(TimestampSigner):
    """itsdangerous', which derives the same key anew for each signature."""

    def __init__(self, *args, **options):
        super().__init__(*args, algorithm=_Hmac(), **options)
        self.derive_key = cache(super().derive_key)


class Seal(URLSafeTimedSerializer):
    """itsdangerous', which makes a signer anew for each text."""

    default_signer = _Signer

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.make_signer = cache(super().make_signer)


class Cookies(SecureCookieSessionInterface):
    """Flask's own session in its signed cookie; one that comes with page after page is not taken apart each time."""

    serializer = Texts()
    GOOD_FOR, MOST = 60, 4096  # seconds, sessions

    def __init__(self):
        self._signing, self._opened = {}, {}

    def get_signing_serializer(self, app):
        """Flask's, made once for each key; of older keys (`SECRET_KEY_FALLBACKS`) Foyer has none."""
        key = app.secret_key
        if key not in self._signing:
            how = {"key_derivation": self.key_derivation, "digest_method": self.digest_method}
            self._signing[key] = Seal(key, salt=self.salt, serializer=self.serializer, signer_kwargs=how)
        return self._signing[key]

    def open_session(self, app, request):
        """What a genuine cookie holds; how old it may be is asked again after a minute."""
        cookie, now = (app.secret_key, request.cookies.get(self.get_cookie_name(app), "")), monotonic()
        read_at, held = self._opened.get(cookie, (-self.GOOD_FOR, None))
        if now - read_at < self.GOOD_FOR:
            return self.session_class(held)
        found = super().open_session(app, request)
        if found and all(type(value) is str for value in found.values()):  # what nobody can change in place
            if len(self._opened) >= self.MOST:
                self._opened.clear()
            self._opened[cookie] = (now, dict(found))
        return found

    def save_session(self, app, session, response):
        """Flask's, which takes apart what the answer varies by, twice."""
        if not session or session.permanent:
            return super().save_session(app, session, response)
        if session.accessed or session.modified:
            response.varies_by("Cookie")
        if session.modified:
            response.set_cookie(
                self.get_cookie_name(app),
                self.get_signing_serializer(app).dumps(dict(session)),
                path=self.get_cookie_path(app),
                domain=self.get_cookie_domain(app),
                secure=self.get_cookie_secure(app),
                httponly=self.get_cookie_httponly(app),
                samesite=self.get_cookie_samesite(app),
                partitioned=self.get_cookie_partitioned(app),
            )


# --------------------------------------------------------------------------------------------- what a form proves


def csrf_token():
    """The token for the forms of this page: signed once a minute for a session, not for each page."""
    kept = session.get("csrf_token")
    return _signed(current_app.secret_key, kept, monotonic() // 60) if kept else generate_csrf()


@lru_cache(maxsize=4096)
def _signed(secret, kept, _minute):
    """As Flask-WTF signs it."""
    return URLSafeTimedSerializer(secret, salt="wtf-csrf-token").dumps(kept)


def check_token(asked):
    """A form holds the token of this session; what is wrong with another is for Flask-WTF to find and to say."""
    if asked.method in SAFE_METHODS:
        return
    sent, kept = asked.form.get("csrf_token"), session.get("csrf_token")
    is_ours = sent and kept and len(sent) < LONGEST_TOKEN and _unsigned(current_app.secret_key, sent) == kept
    if is_ours and (not asked.is_secure or same_origin(asked.referrer or "", f"https://{asked.host}/")):
        g.csrf_valid = True
    else:
        csrf.protect()


LONGEST_TOKEN = 500  # characters; longer ones are not worth remembering


@lru_cache(maxsize=4096)
def _unsigned(secret, token):
    """What a token that we have signed says, or None; how old it is does not count."""
    try:
        return URLSafeTimedSerializer(secret, salt="wtf-csrf-token").loads(token)
    except BadData:
        return None
