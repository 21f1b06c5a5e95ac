"""Static files: under an address that says which version they are, so that a browser asks for each of them once.

The sheets of the house come as one file, put together from `static/css` and the vendored ones at start; so do the
scripts of `static/js`, but for those that only some pages need. What can be compressed is compressed once, when it is
first asked for.
"""

import gzip
import hashlib
import mimetypes
import re
from functools import cache, cached_property
from pathlib import Path, PurePosixPath

from flask import Response, abort, request, url_for

from app.extensions import here

STATIC = Path(__file__).parent.parent / "static"
SHEET = "foyer.css"
FOR_GOOD = "public, max-age=31536000, immutable"
_FIRST = ("vendor/fontsource-variable-inter-5.3.0/inter.css", "vendor/tabler-core-1.6.1/tabler.css", "css/house.css")
SCRIPT = "foyer.js"
_SCRIPTS = ("vendor/htmx-4.0.1/htmx.min.js", "vendor/github-hotkey-3.1.4/hotkey.js")
# Scripts that only some pages need: these name them.
_APART = ("js/board.js", "js/security-keys.js")
_COMPRESSED = ("text/", "application/json", "application/javascript", "image/svg+xml")


class File:
    """One file as it is sent."""

    def __init__(self, name, content):
        self.content = content
        self.media_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
        self.is_compressed = self.media_type.startswith(_COMPRESSED)

    @cached_property
    def packed(self):
        return gzip.compress(self.content, 9, mtime=0)


class Assets:
    """All static files, and the version that their addresses carry: a hash over every one of them."""

    def __init__(self, folder=STATIC):
        names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        self.files = {name: File(name, (folder / name).read_bytes()) for name in names}
        self.files[SHEET] = File(SHEET, self._one_sheet())
        self.files[SCRIPT] = File(SCRIPT, self._one_script())
        seen = hashlib.sha256()
        for name, file in self.files.items():
            seen.update(name.encode() + b"\0" + hashlib.sha256(file.content).digest())
        self.version = seen.hexdigest()[:12]

    def _one_sheet(self):
        """The vendored sheets, then the house's own, the general one first; addresses in them go on from here."""
        own = [name for name in self.files if name.startswith("css/") and name not in _FIRST]
        return b"\n".join(_from_here(name, self.files[name].content) for name in (*_FIRST, *own))

    def _one_script(self):
        """The vendored scripts as they are, then the house's own, each with its names to itself."""
        own = [name for name in self.files if name.startswith("js/") and name not in _APART]
        vendored = [self.files[name].content for name in _SCRIPTS]
        return b"\n".join([*vendored, *(_alone(self.files[name].content) for name in own)])

    @cache  # noqa: B019 - there is one of these as long as the app lives
    def address(self, name):
        return url_for("static", version=self.version, filename=name)

    def send(self, version, filename):
        """A file; one asked for under another version is an old page's, and not to be kept."""
        file = self.files.get(filename)
        if file is None:
            abort(404)
        packs = file.is_compressed and "gzip" in request.accept_encodings
        response = Response(file.packed if packs else file.content, mimetype=file.media_type)
        response.headers["Cache-Control"] = FOR_GOOD if version == self.version else "no-cache"
        if file.is_compressed:
            response.vary.add("Accept-Encoding")
        if packs:
            response.headers["Content-Encoding"] = "gzip"
        return response.make_conditional(request)


_ADDRESS = re.compile(rb"url\((?!['\"]?(?:data:|/|#))['\"]?([^'\")]+)['\"]?\)")


def _from_here(name, content):
    folder = PurePosixPath(name).parent.as_posix().encode()
    return _ADDRESS.sub(lambda found: b"url(" + folder + b"/" + found.group(1) + b")", content)


def _alone(content):
    return b"(() => {\n\"use strict\";\n" + content + b"})();"


def asset(name):
    """The address of a static file."""
    return here().app.extensions["assets"].address(name)


def install(app):
    """Serve the static files; the endpoint keeps Flask's name for it."""
    assets = app.extensions["assets"] = Assets()
    app.add_url_rule("/static/<version>/<path:filename>", "static", assets.send)
