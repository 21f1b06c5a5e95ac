"""What was typed when the session had ended: it comes back after signing in again, and is stored nowhere meanwhile.

It travels in the pages themselves, so it is nobody's but the browser's. Only what a page of ours has sent is kept:
another site could otherwise have its own words sent by whoever signs in.
"""

import json
import re
from urllib.parse import urlsplit

from flask import render_template, request

from app.views.base import safe_target, wants_fragment, wants_json

MOST = 200_000  # letters
# What is not carried through a page: secrets, and what holds for one session only.
SECRET = re.compile(r"password|secret|code|credential|csrf_token|^kept$|^refill$")
SECRET_PLACES = ("/login", "/logout", "/account", "/accounts", "/api")
FORMS = ("/new", "/edit")


def of_request():
    """{"path", "fields": [[name, value]]} of a form that was sent in vain, or None where nothing may be kept."""
    if request.method != "POST" or wants_json() or wants_fragment() or not _is_from_here():
        return None
    if request.path.startswith(SECRET_PLACES):
        return None
    fields = [[name, value] for name, value in request.form.items(multi=True) if not SECRET.search(name)]
    if not fields or sum(len(value) for _, value in fields) > MOST:
        return None
    return {"path": request.full_path.rstrip("?"), "fields": fields}


def _is_from_here():
    said = request.headers.get("Origin") or request.headers.get("Referer") or ""
    try:
        return urlsplit(said).netloc == request.host
    except ValueError:
        return False


def packed(kept):
    """As the sign-in form carries it."""
    return json.dumps(kept) if kept else ""


def unpacked(text):
    """What a sign-in form has carried, or None: whatever it is not."""
    if not text or len(text) > 2 * MOST:
        return None
    try:
        kept = json.loads(text)
        path, fields = kept["path"], [(name, value) for name, value in kept["fields"]]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    is_text = isinstance(path, str) and all(isinstance(one, str) for pair in fields for one in pair)
    if not is_text or safe_target(path) != path:
        return None
    return {"path": path, "fields": [pair for pair in fields if not SECRET.search(pair[0])]}


def sign_in_again(kept, *, error=None, username=""):
    """The page that asks who it is, with what was typed in it."""
    return render_template("auth/again.html", kept=packed(kept), error=error, username=username)


def given_back(kept, *, step=None):
    """The page that brings what was typed back to its form, or, where it was no form of a record, sends it again.

    `step` is the path of what the sign-in still waits for.
    """
    is_form = urlsplit(kept["path"]).path.endswith(FORMS)
    words = [value for name, value in kept["fields"] if name != "next" and re.search(r"[^\W\d]{2}", value)]
    return render_template(
        "auth/kept.html", **kept, is_form=is_form, said=[] if is_form else words, step=step
    )
