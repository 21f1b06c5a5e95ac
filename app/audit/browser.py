"""A browser without a screen that signs in as whoever it is told, and reads whatever comes back."""

import html
import io
import re
import zipfile
from functools import cached_property
from urllib.parse import unquote

from app import sessions
from app.audit.papers import pages_of

WORKBOOK = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


class Answer:
    """A response, read to its end."""

    def __init__(self, response, url):
        self.response, self.url = response, url
        self.status, self.location = response.status_code, response.headers.get("Location")

    @cached_property
    def html(self):
        return self.response.get_data(as_text=True)

    @property
    def json(self):
        return self.response.get_json()

    @cached_property
    def text(self):
        """What people read, in single spaces."""
        return " ".join(html.unescape(re.sub(r"<[^>]*>", "", self.html)).split())

    @cached_property
    def told(self):
        """All that is told: headers, and the text of whatever kind of file it is."""
        headers = " ".join(unquote(value) for value in self.response.headers.values())
        kind = self.response.mimetype
        if kind == "application/pdf":
            return headers + " ".join(pages_of(self.response.data))
        if kind == WORKBOOK:
            with zipfile.ZipFile(io.BytesIO(self.response.data)) as parts:
                return headers + " ".join(parts.read(name).decode("utf-8") for name in parts.namelist())
        return headers + self.html

    def link_with(self, rel):
        """The target of the first link of this kind, such as "next", or None."""
        for tag in re.findall(r"<a\b[^>]*>", self.html):
            said = dict(re.findall(r'([\w-]+)="([^"]*)"', tag))
            if rel in said.get("rel", "").split():
                return html.unescape(said["href"])
        return None


class Browser:
    """One browser of one person. The session is begun at the database: the audit knows nobody's password."""

    def __init__(self, app, user_id):
        self.client = app.test_client()
        settings = app.config["SETTINGS"]
        self.base = "https://localhost" if settings.is_https else "http://localhost"
        with app.app_context():
            how = {"kind": "browser", "method": "password", "address": "", "device": "scope audit"}
            token = sessions.begin(user_id, second_factor=True, **how)
        self.client.set_cookie(
            settings.cookie("foyer-session"), token, secure=settings.is_https, domain="localhost"
        )
        self._token = None

    def open(self, url, method="GET", **more):
        """Any request, answered to its end, as browsers read it."""
        return Answer(self.client.open(url, method=method, base_url=self.base, buffered=True, **more), url)

    @property
    def token(self):
        """What a form of this session carries."""
        if self._token is None:
            found = re.search(r'name="csrf_token" value="([^"]+)"', self.open("/").html)
            self._token = found[1] if found else ""
        return self._token
