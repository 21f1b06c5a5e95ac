"""A browser without a screen that checks every page it opens, and fills in forms as people do."""

import re
from dataclasses import dataclass, field
from functools import cached_property, partial
from html import unescape
from html.parser import HTMLParser

from flask import has_app_context

# Fields that need no label: they are not seen, or say themselves what they do.
UNLABELLED = {"hidden", "submit", "button", "reset", "image"}
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
REDIRECT = (302, 303)

# How tags of ours are written: attributes without a value, or with one in double quotes.
_START = re.compile(r"""<([a-zA-Z][\w-]*)((?:\s+[a-zA-Z][^\s"'<>/=`]*(?:="[^"]*")?)*)\s*(/?)>""", re.ASCII)
_ATTRIBUTE = re.compile(r'([^\s"=]+)(?:="([^"]*)")?', re.ASCII)
_END = re.compile(r"</([a-zA-Z][\w-]*)\s*>", re.ASCII)
_TEXT_ONLY = {
    "iframe",
    "noembed",
    "noframes",
    "noscript",
    "plaintext",
    "script",
    "style",
    "textarea",
    "title",
    "xmp",
}


@dataclass
class Form:
    """A form as it stands on the page: where it goes, and what it would send untouched."""

    action: str
    method: str
    fields: list = field(default_factory=list)  # (name, value)
    controls: list = field(default_factory=list)  # the names of all that can be filled in

    def with_values(self, values):
        """What is sent when these fields are filled in so; a value of None unticks, a list sends several."""
        unknown = set(values) - set(self.controls)
        assert not unknown, f"the form for {self.action} has no field {sorted(unknown)}, but {self.controls}"
        data = {}
        for name, value in self.fields:
            if name not in values:
                data.setdefault(name, []).append(value)
        for name, value in values.items():
            if value is not None:
                data[name] = [str(one) for one in value] if isinstance(value, list | tuple) else [str(value)]
        return data


class Page:
    """A response, read once: its text, headings, links and forms."""

    def __init__(self, response, url):
        self.response, self.url = response, url
        self.status = response.status_code
        self.location = response.headers.get("Location")

    def __repr__(self):
        return f"<Page {self.url} {self.status}>"

    def __contains__(self, text):
        return text in self.text or text in self.html

    @cached_property
    def html(self):
        """The response as it came."""
        return self.response.get_data(as_text=True)

    @property
    def json(self):
        return self.response.get_json()

    @property
    def is_html(self):
        return self.response.mimetype == "text/html"

    @property
    def is_whole(self):
        """A page, not a fragment of one."""
        return self.is_html and "<html" in self.html

    @cached_property
    def _parsed(self):
        reader = _Reader()
        reader.feed(self.html)
        reader.close()
        return reader

    @property
    def text(self):
        """What people read, in single spaces."""
        return " ".join("".join(self._parsed.text).split())

    @property
    def title(self):
        return self._parsed.title.strip()

    @property
    def h1(self):
        return " ".join(self._parsed.headings[0].split()) if self._parsed.headings else None

    @property
    def user(self):
        """Who is signed in, as the page says."""
        return self._parsed.metas.get("user")

    @property
    def links(self):
        """The targets of all links on the page."""
        return [link["href"] for link in self._parsed.links if "href" in link]

    def link_with(self, **attributes):
        """The target of the first link that carries these attributes, such as rel="next", or None."""
        for link in self._parsed.links:
            if all(value in (link.get(name) or "").split() for name, value in attributes.items()):
                return link.get("href")
        return None

    @property
    def forms(self):
        return self._parsed.forms

    def form(self, action=None):
        """The form that goes to `action`, or the only one that posts and is not the sign-out."""
        posting = [form for form in self.forms if form.method == "post"]
        if action is None:
            found = [form for form in posting if "logout" not in form.action]
        else:
            found = [
                form for form in self.forms if form.action.split("?")[0] == action or form.action == action
            ]
        assert len(found) == 1, f"{self.url}: {len(found)} forms for {action or 'posting'}: {self.forms}"
        return found[0]

    @property
    def csrf_token(self):
        for form in self.forms:
            for name, value in form.fields:
                if name == "csrf_token":
                    return value
        return None

    def faults(self, user):
        """Everything that a page of ours must not be."""
        parsed, faults = self._parsed, list(self._parsed.faults)
        if len(parsed.headings) != 1:
            faults.append(f"{len(parsed.headings)} h1 elements: {parsed.headings}")
        if not self.title:
            faults.append("no title")
        doubled = sorted({name for name in parsed.ids if parsed.ids.count(name) > 1})
        if doubled:
            faults.append(f"ids used twice: {doubled}")
        for control in parsed.controls:
            if not control["labelled"] and control["id"] not in parsed.labels:
                faults.append(f"a field without a label: {control['shown']}")
        for form in parsed.forms:
            if form.method == "post" and not dict(form.fields).get("csrf_token"):
                faults.append(f"a form that posts to {form.action} without csrf_token")
        if self.user != user:
            faults.append(f"meta user is {self.user!r}, not {user!r}")
        if "default-src 'none'" not in self.response.headers.get("Content-Security-Policy", ""):
            faults.append("no strict Content-Security-Policy")
        return faults


class Client:
    """One browser. `get` and `post` expect a status and check what comes back; `submit` fills in a form."""

    def __init__(self, app):
        self.app = app
        self.browser = app.test_client()
        # Every answer is read to its end, as browsers do: one that streams lets go of its session only then.
        self.browser.open = partial(self.browser.open, buffered=True)
        self.username = None
        self.csrf_token = None

    def sign_in(self, username, password):
        """Sign in through the form at /login/, as a person does."""
        page = self.get("/login/")
        self.post("/login/", {"username": username, "password": password, "csrf_token": page.csrf_token})
        self.username, self.csrf_token = username, None
        assert self.get("/shortcuts/").user == username  # of all pages the one that costs least

    def get(self, url, status=200, follow=False, **more):
        """Open a page."""
        page = self.request("GET", url, status if not follow else None, **more)
        while follow and page.status in REDIRECT:
            page = self.request("GET", page.location, None)
        if follow:
            assert page.status == status, _unexpected(page, status)
        return page

    def post(self, url, data=None, status=REDIRECT, follow=False, **more):
        """Send a form, with the CSRF token of the last page opened; `follow` opens the page it leads to."""
        data = dict(data or {})
        if "csrf_token" not in data:
            data["csrf_token"] = self._token()
        page = self.request("POST", url, status, data=data, **more)
        return self.get(page.location, follow=True) if follow and page.status in REDIRECT else page

    def submit(self, page, action=None, status=REDIRECT, follow=False, **values):
        """Fill in a form of this page (or of that at this URL) and send it, with the rest as it was."""
        page = self.get(page) if isinstance(page, str) else page
        form = page.form(action)
        data = form.with_values(values)
        target = form.action or page.url
        if form.method == "get":
            return self.get(target, query_string=data)
        return self.post(target, data, status=status, follow=follow)

    def look_and_save(self, page, action, **values):
        """Fill in a form that says first what it would do, and save what was looked at."""
        return self.submit(self.submit(page, action, status=200, **values), action)

    def api(self, method, url, status=200, **more):
        """A call of the JSON interface with the session's cookie; writing calls carry the CSRF token."""
        headers = dict(more.pop("headers", {}))
        if method != "GET":
            headers.setdefault("X-CSRFToken", self._token())
        return self.request(method, url, status, headers=headers, **more)

    def request(self, method, url, status=None, **more):
        """Any request; `status` is one number, several, or None for any. Every whole page is checked."""
        assert not has_app_context(), "an application context is open: this request would reuse its session"
        page = Page(self.browser.open(url, method=method, **more), url)
        wanted = (status,) if isinstance(status, int) else status
        assert wanted is None or page.status in wanted, _unexpected(page, wanted)
        if page.is_whole and page.location is None:
            faults = page.faults(self.username)
            assert not faults, f"{method} {url}: " + "; ".join(faults)
            self.csrf_token = page.csrf_token or self.csrf_token
        return page

    def _token(self):
        if self.csrf_token is None:
            self.get("/", follow=True)
        return self.csrf_token


def _unexpected(page, wanted):
    told = page.text if page.is_html else page.html
    return f"{page.url} answered {page.status} instead of {wanted}, going to {page.location}: {told[:400]}"


class QuickParser(HTMLParser):
    """The library's parser, with a short way for tags written as ours are; whatever else there is goes its long way.

    A quarter of a test of pages went into it: it reads a tag several times over, and counts lines nobody asks for.
    """

    def parse_starttag(self, i):
        tag = _START.match(self.rawdata, i)
        if not tag or tag[1].lower() in _TEXT_ONLY:
            return super().parse_starttag(i)
        pairs = [
            (name.lower(), unescape(value) if "&" in value else value)
            for name, value in _ATTRIBUTE.findall(tag[2])
        ]
        self.lasttag = tag[1].lower()
        (self.handle_startendtag if tag[3] else self.handle_starttag)(self.lasttag, pairs)
        return tag.end()

    def parse_endtag(self, i):
        tag = _END.match(self.rawdata, i) if self.cdata_elem is None else None
        if not tag:
            return super().parse_endtag(i)
        self.handle_endtag(tag[1].lower())
        return tag.end()

    def updatepos(self, i, j):
        return j


class _Reader(QuickParser):
    """Collects from a page what tests and checks ask for."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.text, self.headings, self.ids, self.faults = [], [], [], []
        self.links, self.forms, self.controls, self.labels, self.metas = [], [], [], set(), {}
        self.title = ""
        self._open = []
        self._form = self._select = self._textarea = None

    def handle_starttag(self, tag, pairs):
        attributes = {name: value or "" for name, value in pairs}
        self._check(tag, attributes)
        if "id" in attributes:
            self.ids.append(attributes["id"])
        if tag not in VOID:
            self._open.append(tag)
        if tag == "h1":
            self.headings.append("")
        elif tag in ("a", "link"):
            self.links.append(attributes)
        elif tag == "meta":
            self.metas[attributes.get("name")] = attributes.get("content")
        elif tag == "label" and "for" in attributes:
            self.labels.add(attributes["for"])
        elif tag == "form":
            self._form = Form(attributes.get("action", ""), attributes.get("method", "get").lower())
            self.forms.append(self._form)
        elif tag in ("input", "select", "textarea", "button"):
            self._control(tag, attributes)
        elif tag == "option" and self._select is not None:
            self._select["options"].append((attributes.get("value"), "selected" in attributes))

    def handle_startendtag(self, tag, pairs):
        self.handle_starttag(tag, pairs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        if tag in self._open:
            while self._open.pop() != tag:
                pass
        if tag == "form":
            self._form = None
        elif tag == "select" and self._select is not None:
            self._end_select()
        elif tag == "textarea" and self._textarea is not None:
            self._add(
                self._textarea["name"], self._textarea["value"].removeprefix("\n"), self._textarea["form"]
            )
            self._textarea = None

    def handle_data(self, data):
        inside = self._open[-1] if self._open else ""
        if inside == "title" and "svg" not in self._open:
            self.title += data
        elif inside == "script":
            if data.strip():
                self.faults.append(f"inline script: {data.strip()[:60]}")
        elif inside not in ("style", "template"):
            self.text.append(data)
        if "h1" in self._open:
            self.headings[-1] += data
        if self._textarea is not None:
            self._textarea["value"] += data

    def _check(self, tag, attributes):
        if tag == "style":
            self.faults.append("a style element")
        if not attributes:
            return
        if "style" in attributes:
            self.faults.append(f"a style attribute on {tag}: {attributes['style'][:60]}")
        self.faults.extend(f"{name} on {tag}" for name in attributes if name.startswith("on"))
        if attributes.get("href", "").strip().lower().startswith("javascript:"):
            self.faults.append("a javascript: link")

    def _control(self, tag, attributes):
        kind = attributes.get("type", "submit" if tag == "button" else "text").lower()
        name, form = attributes.get("name"), self._form
        if "form" in attributes:  # stands outside the form it belongs to
            form = None
        if tag != "button" and kind not in UNLABELLED:
            self.controls.append(
                {
                    "id": attributes.get("id"),
                    "labelled": "label" in self._open
                    or bool(attributes.get("aria-label") or attributes.get("aria-labelledby")),
                    "shown": f"<{tag} name={name!r} id={attributes.get('id')!r}>",
                }
            )
        if tag == "select":
            self._select = {"name": name, "options": [], "form": form, "several": "multiple" in attributes}
        elif tag == "textarea":
            self._textarea = {"name": name, "value": "", "form": form}
        elif tag == "input" and kind not in ("submit", "button", "reset", "image", "file"):
            is_sent = kind not in ("checkbox", "radio") or "checked" in attributes
            self._add(
                name, attributes.get("value", "on" if kind == "checkbox" else ""), form, is_sent=is_sent
            )
        elif name:
            self._add(name, attributes.get("value", ""), form, is_sent=False)

    def _end_select(self):
        select, self._select = self._select, None
        chosen = [value for value, is_selected in select["options"] if is_selected]
        if not chosen and not select["several"]:
            chosen = [value for value, _ in select["options"][:1]]
        if not chosen:
            self._add(select["name"], "", select["form"], is_sent=False)
        for value in chosen:
            self._add(select["name"], value or "", select["form"])

    @staticmethod
    def _add(name, value, form, *, is_sent=True):
        if form is None or not name:
            return
        form.controls.append(name)
        if is_sent:
            form.fields.append((name, value))
