"""Requests that no page of ours sends: every one is answered calmly, none with 500, and a refusal stores nothing.

Each test is one kind of malformed request, sent to every address that could take it, as the colleague who works
there and as somebody else in turn.
"""

import base64
import hashlib
import io
import json
import os
import re
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import count, cycle
from urllib.parse import quote

import pytest

from app import security
from app.views import APIS, MENU, MENU_MORE
from tests import databases
from tests.client import Client

# Who works where, and so gets further in than anybody else.
WORKERS = {
    "company": "rep.north",
    "contact": "rep.north",
    "deal": "rep.north",
    "activity": "rep.north",
    "ticket": "agent",
    "campaign": "marketer",
    "invoice": "finance",
    "payment": "finance",
    "product": "finance",
    "tax_rate": "finance",
    "sales_report": "head.sales",
}
# Requests of one kind to one address by one colleague. More for a thorough run: FOYER_MALFORMED=1000.
EACH = int(os.environ.get("FOYER_MALFORMED", "1"))
OFTEN = 4 if EACH == 1 else 1  # at each how many routes somebody tries whom they are not for
# Each how many routes are asked: on SQLite half of them, on PostgreSQL a seventh, others with each kind.
APART = {"sqlite": 2, "postgresql": 7} if EACH == 1 else {"sqlite": 1, "postgresql": 1}
OTHERS = ("director", "head.sales", "rep.south", "head.support", "finance", "admin", None)

VIEWS = [entry.view for entry in (*MENU, *MENU_MORE) if getattr(entry.view, "model", None) is not None]
MODELS = {view.__name__: view.model for view in VIEWS} | {api.__name__: api.record_view.model for api in APIS}

BAD_NUMBERS = (
    "abc",
    "-1",
    "1e999",
    "Infinity",
    "NaN",
    "-0",
    "1e-999999",
    "0e-99999",
    "9" * 400,
    "1_0",
    "٣",
    "0x10",
)
BAD_DATES = ("0000-00-00", "9999-99-99", "9999-12-31", "0001-01-01", "2026-02-30", "2026-W01-1", "tomorrow")
BAD_MOMENTS = ("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-01-01T25:00")
BAD_TEXTS = ("\x00", "x" * 70_000, "\ud800", "%s%n{0}", "🦊" * 300, "\u202e\u0000", "' OR 1=1 --", "é" * 161)
BAD_VALUES = (
    *BAD_NUMBERS,
    *BAD_DATES,
    *BAD_MOMENTS,
    *BAD_TEXTS,
    "",
    " ",
    ",",
    "1,,2",
    "#",
    "#99999999999",
    "me,me",
)

WRITING = ("POST", "PUT", "PATCH", "DELETE")

# What a deed's form sends when it is in order.
FILLED = {
    "version": "1",
    "stage_id": "1",
    "lost_reason": "too dear",
    "owner_id": "1",
    "body": "some words",
    "kind": "note",
    "description": "a thing",
    "quantity": "1",
    "unit_price": "1",
    "discount": "0",
    "tax_rate_id": "",
    "product": "",
    "amount": "1",
    "paid_on": "2026-01-02",
    "method": "transfer",
    "reference": "thanks",
    "campaign_id": "1",
    "contact_id": "1",
    "deal_id": "1",
    "status": "reached",
    "before_id": "",
    "after_id": "",
    "next": "/",
    "username": "somebody",
    "password": "something",
}


# What being asked changes by itself: counted guesses, sessions and their log.
DOOR = {"ab_user", "account_event", "guess", "known_place", "login_session", "password_link"}
DOOR |= {"read_entry"}  # what was opened or taken out is written down, by GET too


@dataclass(frozen=True)
class Target:
    """One address with one method, as a real id fills it."""

    endpoint: str
    method: str
    path: str
    rule: str
    entity: str | None
    model: type | None

    @property
    def is_api(self):
        return self.path.startswith("/api/")

    @property
    def is_listing(self):
        return self.endpoint.endswith((".list", ".pick", ".board"))

    @property
    def is_form(self):
        return self.endpoint.endswith((".new", ".edit")) and self.method == "POST"

    def request(self, path=None, query=None, **more):
        return {"path": path or self.path, "method": self.method, "query_string": query, **more}


class House:
    """The demo company on one engine, its browsers, and everything that can be asked of it."""

    def __init__(self, app, database):
        self.app, self.database = app, database
        self.clients = {name: Client(app) for name in {*WORKERS.values(), *OTHERS, "admin"}}
        for name, client in self.clients.items():
            if name:
                client.sign_in(name, security.DEMO_PASSWORD)
        self.ids = self._ids()
        self.targets = self._targets()

    def _ids(self):
        """Entity -> ids that its worker may work on, newest first; read off the lists themselves."""
        found = {}
        for view in VIEWS:
            entity = view.model.__tablename__
            status = (200, 400, 403)  # not every list is for admins, nor ordered by ids
            page = self.client(entity).get(f"{view.route_base}/?size=200&sort=-id", status=status)
            keys = [re.fullmatch(rf"{view.route_base}/(\d+)", link) for link in page.links]
            found[entity] = sorted({int(key[1]) for key in keys if key}, reverse=True)
            # Of jobs, the trash and the like there may be none: then it is somebody else's, or nobody's.
            assert found[entity] or entity not in WORKERS, f"the demo holds no {entity}"
            found[entity] = found[entity] or [1]
        return found

    def client(self, entity):
        return self.clients[WORKERS.get(entity, "admin")]

    def _targets(self):
        targets = []
        for rule in self.app.url_map.iter_rules():
            if rule.endpoint == "static":
                continue
            model = MODELS.get(rule.endpoint.split(".")[0])
            entity = model.__tablename__ if model else "sales_report" if "Report" in rule.endpoint else None
            values = {name: 1 for name in rule.arguments}
            if "pk" in values:
                values["pk"] = self.ids.get(entity, [1])[0]
            path = re.sub(r"<(?:int:)?(\w+)>", lambda name, values=values: str(values[name[1]]), rule.rule)
            for method in sorted(rule.methods - {"HEAD", "OPTIONS"}):
                targets.append(Target(rule.endpoint, method, path, rule.rule, entity, model))
        return targets

    def filled(self, target, turn):
        """The same target with another id, so that what one request changed spoils little for the next."""
        if "<int:pk>" not in target.rule:
            return target
        keys = self.ids.get(target.entity, [1])
        path = re.sub("<int:pk>", str(keys[turn % len(keys)]), target.rule)
        path = re.sub(r"<int:\w+>", "1", path)
        return Target(target.endpoint, target.method, path, target.rule, target.entity, target.model)

    def row_hash(self):
        """One hash over every row of every table; left out is what sign-in counts and writes down."""
        with self.database.raw() as connection:
            cursor = connection.cursor()
            if self.database.engine == "sqlite":
                cursor.execute(
                    "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
                )
            else:
                cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            digest = hashlib.sha256()
            for (table,) in sorted(cursor.fetchall()):
                if table not in DOOR:
                    cursor.execute(f"SELECT * FROM {table} ORDER BY 1")
                    digest.update(repr(cursor.fetchall()).encode("utf-8", "replace"))
        return digest.hexdigest()


@contextmanager
def _house(engine):
    with databases.fresh_database(engine, "demo") as database, databases.app_on(database) as app:
        yield House(app, database)


@pytest.fixture(scope="module")
def sqlite_house():
    with _house("sqlite") as house:
        yield house


@pytest.fixture(scope="module")
def postgresql_house():
    with _house("postgresql") as house:
        yield house


@pytest.fixture
def house(request, engine):
    return request.getfixturevalue(f"{engine}_house")


# --------------------------------------------------------------------------------------------- the kinds

KINDS, CASES = {}, []  # CASES: (engine, name)
ONE = databases.ENGINES[:1]


def kind(name, applies=lambda target: True, csrf=True, engines=databases.ENGINES):
    """Register a kind of malformed request: for a target, the requests that are malformed in this way.

    What is refused before any value of it comes near the database is sent to one engine only.
    """

    def register(make):
        KINDS[name] = (make, applies, csrf)
        CASES.extend((engine, name) for engine in engines)
        return make

    return register


def _gets(target):
    return target.method == "GET"


def _listings(target):
    return target.method == "GET" and target.is_listing


def _writes(target):
    return target.method != "GET"


def _form_posts(target):
    return target.method == "POST" and not target.is_api


def _json_writes(target):
    return target.is_api and target.method in ("POST", "PUT", "PATCH")


def _has_id(target):
    return "<int:pk>" in target.rule


def _cursor(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@kind("a page size that is none", _listings, engines=ONE)
def _sizes(target):
    for text in ("abc", "0", "-1", "1e3", "201", "9" * 30, "0000000050" + "9" * 30, "٣", "25.0", "\x00", " "):
        yield target.request(query={"size": text})


@kind("a page cursor that is none", _listings)
def _cursors(target):
    for text in (
        "abc",
        "%%%",
        "é",
        "9" * 5000,
        _cursor("text"),
        _cursor([1]),
        _cursor({}),
        "bnVsbA",
        "W10",
        "=",
    ):
        yield target.request(query={"after": text})


@kind("a page cursor of wrong values", _listings)
def _wrong_cursors(target):
    columns = (
        ("id", "name", *(column.name for column in target.model.__table__.c)) if target.model else ("id",)
    )
    values = (
        True,
        False,
        1e308,
        float("nan"),
        float("inf"),
        "\x00",
        "\ud800",
        "x" * 9000,
        -1,
        2**70,
        None,
        "1e999",
    )
    for sort, value in zip(cycle(columns), values, strict=False):
        for key in (5, True, -1, 2**31, 2**70, None, 0.5):
            yield target.request(query={"sort": sort, "after": _cursor([value, key])})
    for column in columns:
        yield target.request(query={"sort": f"-{column}", "after": _cursor(["zzz", 5])})
        yield target.request(query={"sort": column, "after": _cursor([True, 5])})


@kind("a page cursor nested beyond reason", _listings, engines=ONE)
def _deep_cursor(target):
    deep = base64.urlsafe_b64encode(b"[" * 50_000).decode()
    yield target.request(query={"after": deep})
    yield target.request(query={"after": base64.urlsafe_b64encode(b'{"a":' * 50_000).decode()})


@kind("an order that does not exist", _listings, engines=ONE)
def _orders(target):
    for text in (
        "nothing",
        "-",
        "--id",
        "__class__",
        "metadata",
        "department",
        "id;drop",
        "content",
        "\x00",
        "é" * 999,
    ):
        yield target.request(query={"sort": text})


@kind("a filter on no column", _listings, engines=ONE)
def _no_columns(target):
    for name in (
        "nothing.is",
        "__class__.is",
        ".is",
        "is.",
        ".",
        "..",
        "metadata.has",
        "id.is.is",
        "é.is",
        "\x00.is",
    ):
        yield target.request(query={name: "1"})


@kind("a filter with no operator of ours", _listings, engines=ONE)
def _no_operators(target):
    for name in ("id.like", "id.", "id.IS", "id.has", "id.__eq__", "id.is ", "version.in", "id.\x00"):
        yield target.request(query={name: "1"})


@kind("a filter value of the wrong kind", _listings)
def _wrong_values(target):
    if target.model is None:
        return
    values = cycle([value for value in BAD_VALUES if value != "\ud800"])
    for column in target.model.__table__.c:
        for operator in ("is", "not", "has", "min", "max", "empty"):
            yield target.request(query={f"{column.name}.{operator}": next(values)})
            yield target.request(query={f"{column.name}.{operator}": next(values)})


MANY_IDS = ",".join(str(number) for number in range(70_000))


@kind("more filters and values than anybody asks for", _listings)
def _too_many(target):
    if target.model is None:
        return
    yield target.request(query="&".join(["id.is=1"] * 2000))
    yield target.request(query={"id.is": MANY_IDS})
    yield target.request(query={"created_at.empty": "0" * 70_000})


@kind("a NUL in the address", _gets)
def _nul(target):
    yield target.request(query="q=%00&q=a%00b&id.is=%00&next=%00&period=%00&currency=%00&pipeline=%00")
    yield target.request(path=target.path + "%00")
    yield target.request(query="%00=%00")


@kind("bytes that are no UTF-8", _gets, engines=ONE)
def _no_utf8(target):
    yield target.request(query="q=%ff%fe&sort=%ff&after=%ff&%ff=%ff&name.has=%c3%28&period=%ff&members=%ff")
    yield target.request(path=target.path + "%ff%fe")
    yield target.request(query="q=%ff%fe")


@kind("half of a surrogate pair", _gets)
def _surrogates(target):
    yield target.request(query="q=%ED%A0%80&name.has=%ED%A0%80&next=%ED%A0%80&period=%ED%A0%80")
    yield target.request(query="q=%ED%A0%80")
    yield target.request(path=target.path + "%ED%A0%80")


@kind("a search that is no search", _listings)
def _searches(target):
    for text in (
        "%",
        "_",
        "\\",
        "'",
        '"',
        "a" * 70_000,
        "🦊" * 200,
        "*",
        "OR",
        "NEAR(",
        "^",
        "\t\n",
        "ﷺ" * 200,
        "%%%_\\",
    ):
        yield target.request(query={"q": text})


@kind("the same parameter twice", _gets, engines=ONE)
def _twice(target):
    yield target.request(
        query="size=25&size=abc&sort=id&sort=zzz&after=&after=zzz&q=a&q=b&period=2026&period=x"
    )
    yield target.request(query="id.is=1&id.is=2&id.is=abc&pipeline=1&pipeline=x&members=1&members=x")


@kind("values that the page's own parameters do not take", _gets)
def _parameters(target):
    for text in (
        "abc",
        "-1",
        "0",
        "9" * 5000,
        "0000000001" + "9" * 40,
        "2026-13",
        "9999",
        "0000",
        "9999-Q4",
        "9999-12",
    ):
        names = ("period", "currency", "pipeline", "owner", "members", "status", "kind")
        yield from (target.request(query={name: text}) for name in names)
        yield target.request(query={f"cards-{number}": text for number in range(1, 12)})


@kind(
    "a place to go on to that is none", lambda target: target.endpoint in ("SignIn.login", "CompanyView.new")
)
def _targets(target):
    for text in (
        "http://[",
        "//[",
        "http://[::1",
        "//evil.example",
        "/\\evil.example",
        "javascript:1",
        "\r\nX: y",
        "/\x00",
    ):
        yield target.request(query={"next": text})


@kind(
    "a form filled in by the address with what does not fit", lambda target: target.endpoint.endswith(".new")
)
def _prefills(target):
    columns = [column.name for column in target.model.__table__.c] if target.model else list(FILLED)
    for text in ("5", "99999999", "0", "abc", "9" * 5000, "٣"):
        yield target.request(query={name: text for name in columns})


@kind("an id that cannot be", _has_id)
def _ids(target):
    for text in (
        "0",
        "-1",
        "2147483647",
        "2147483648",
        "9223372036854775808",
        "9" * 5000,
        "abc",
        "1.5",
        "٣",
        "%00",
        "1e3",
    ):
        yield target.request(path=target.rule.replace("<int:pk>", text).replace("<int:", "").replace(">", ""))
    for text in ("0", "-1", "2147483648", "9" * 5000, "abc"):
        yield target.request(path=re.sub(r"<int:\w+_pk>", text, target.rule).replace("<int:pk>", "1"))


@kind("a path with tricks in it", engines=ONE)
def _paths(target):
    path = target.path.rstrip("/")
    for trick in (
        "//",
        "/..",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/.",
        ";a=b",
        "%2f",
        "%5c",
        "/\\",
        "/%0d%0aX:y",
        "/" * 200,
    ):
        yield target.request(path=path + trick)
    yield target.request(path="/" + path)


@kind("a method that the address does not take", engines=ONE)
def _methods(target):
    for method in ("GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW", "get"):
        if method != target.method:
            yield {**target.request(), "method": method}


@kind("headers beyond sense", _gets, engines=ONE)
def _headers(target):
    yield target.request(
        headers={"Accept": "*/*;q=abc,,;;/", "Accept-Language": "xx-*;q=9,\x7f", "Range": "bytes=-9-"}
    )
    yield target.request(headers={"Accept": "x" * 20_000, "If-None-Match": '"', "If-Modified-Since": "never"})
    yield target.request(headers={"Host": "evil.example:99999", "X-Forwarded-Host": "evil.example"})
    yield target.request(headers={"Host": "[::1"})
    yield target.request(headers={"Content-Type": "application/json", "X-Requested-With": "\x01"})


@kind("a bearer token that is none", engines=ONE)
def _tokens(target):
    unsigned = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJzdWIiOiIxIiwidHlwZSI6ImFjY2VzcyJ9."
    for text in (
        "Bearer ",
        "Bearer x",
        "Bearer a.b.c",
        "Bearer a b",
        "Bearer " + "x" * 9000,
        f"Bearer {unsigned}",
    ):
        yield target.request(headers={"Authorization": text})
    for text in ("Basic !!!", "Bearer", "Digest x", "é"):
        yield target.request(headers={"Authorization": text})


@kind("a CSRF token that is missing or wrong", _writes, csrf=False, engines=ONE)
def _csrf(target):
    for text in ("", "x", "x" * 9000, "\x00", "IjEi.aaaaaa.bbbbbb", "é"):
        yield target.request(data={**FILLED, "csrf_token": text})
        yield target.request(json={}, headers={"X-CSRFToken": quote(text)})
    yield target.request(data=FILLED)


@kind("a form that is no form", _writes, engines=ONE)
def _broken_bodies(target):
    for media_type in (
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "multipart/form-data; boundary=x",
    ):
        for body in (
            b"",
            b"&&&==%%%",
            b"--x",
            b"--x\r\nContent-Disposition: form-data\r\n\r\n",
            b"\xff\xfe\x00",
            b"%ff=%fe",
        ):
            yield target.request(data=body, headers={"Content-Type": media_type})
    yield target.request(data=b"x", headers={"Content-Type": "multipart/form-data; boundary=" + "x" * 999})
    yield target.request(
        data=b"a=1", headers={"Content-Type": "application/x-www-form-urlencoded; charset=nonsense"}
    )


@kind("a content type of another kind", _writes, engines=ONE)
def _content_types(target):
    for media_type in (
        "text/xml",
        "application/json",
        "image/png",
        "",
        "nonsense",
        "application/json; charset=utf-7",
    ):
        yield target.request(data=b"<a/>", headers={"Content-Type": media_type})


@kind("a form with nothing in it", _writes, engines=ONE)
def _empty_forms(target):
    yield target.request(data={})


@cache
def _quoted(text):
    return quote(text, errors="surrogatepass")


@kind("a form whose every field holds nonsense", _form_posts)
def _nonsense(target):
    names = {*FILLED, *(column.name for column in target.model.__table__.c)} if target.model else FILLED
    for text in BAD_VALUES:
        body = "&".join(f"{name}={_quoted(text)}" for name in sorted(names))
        yield target.request(data=body, headers={"Content-Type": "application/x-www-form-urlencoded"})


@kind("a deed with one field of nonsense", lambda target: _form_posts(target) and not target.is_form)
def _one_field(target):
    values = cycle(BAD_VALUES)
    for name in FILLED:
        for _ in range(4):
            pairs = {**FILLED, name: next(values)}
            body = "&".join(f"{key}={_quoted(text)}" for key, text in pairs.items())
            yield target.request(data=body, headers={"Content-Type": "application/x-www-form-urlencoded"})


@kind("the same field twice", _form_posts, engines=ONE)
def _doubled_fields(target):
    names = {*FILLED, *(column.name for column in target.model.__table__.c)} if target.model else FILLED
    yield target.request(data={name: ["1", "2", ""] for name in names})


@kind("a file where words belong", _form_posts, engines=ONE)
def _files(target):
    yield target.request(data={name: (io.BytesIO(b"\x00\xff"), "x.bin") for name in FILLED})
    yield target.request(data={**FILLED, "evil": (io.BytesIO(b"x"), "../../\x00etc/passwd")})


@kind("a version that is none", _writes)
def _versions(target):
    for text in ("0", "-1", "abc", "9" * 5000, "\x00", "1.0", '"', "W/", "*"):
        yield target.request(data={**FILLED, "version": text})
        if target.is_api:
            yield target.request(json={"version": text})
            if text.isprintable():
                yield target.request(json={}, headers={"If-Match": text})
    if target.is_api:
        for value in (None, [], {}, True, 1.5, 2**70, -1):
            yield target.request(json={"version": value})


@kind(
    "more than can be sent at once",
    lambda target: target.method == "POST" and target.endpoint in LARGE,
    engines=ONE,
)
def _too_much(target):
    yield target.request(data={f"field{number}": "x" for number in range(3000)})
    yield target.request(data={**FILLED, "notes": "x" * 3_000_000, "body": "x" * 3_000_000})
    yield target.request(data={"file": (io.BytesIO(b"x" * 17_000_000), "x.bin")})
    yield target.request(json={"name": "x" * 17_000_000})


LARGE = ("CompanyView.new", "TicketView.reply", "CompanyApi.post", "SignIn.login", "SecurityApi.login")


@kind("JSON that is broken", _json_writes, engines=ONE)
def _broken_json(target):
    for body in (
        b"",
        b"{",
        b'{"a":',
        b"\xff\xfe",
        b"{'a': 1}",
        b'{"a":1}x',
        "{}".encode("utf-16"),
        b"\x00",
        b'{"a":"\\ud8"}',
    ):
        yield target.request(data=body, content_type="application/json")


@kind("JSON that is no object", _json_writes, engines=ONE)
def _no_objects(target):
    for value in ([], [{}], "text", 1, None, True, [[[]]], 1e308):
        yield target.request(json=value)


@kind("JSON nested beyond reason", _json_writes, engines=ONE)
def _deep_json(target):
    yield target.request(
        data=b'{"name":' + b"[" * 50_000 + b"]" * 50_000 + b"}", content_type="application/json"
    )
    yield target.request(data=b"[" * 50_000, content_type="application/json")
    yield target.request(data=b'{"a":' * 50_000, content_type="application/json")


@kind("JSON values of the wrong kind", _json_writes)
def _wrong_json(target):
    values = cycle(
        (
            [],
            {},
            True,
            False,
            None,
            1.5,
            -1,
            2**31,
            2**70,
            "",
            "\x00",
            "\ud800",
            "x" * 70_000,
            1e300,
            [1],
            {"id": 1},
        )
    )
    names = [column.name for column in target.model.__table__.c] if target.model else list(FILLED)
    for name in names:
        for _ in range(4):
            yield target.request(
                json={"version": 1, "name": "x", "last_name": "x", "subject": "x", name: next(values)}
            )


@kind("JSON numbers that are none", _json_writes)
def _json_numbers(target):
    names = [column.name for column in target.model.__table__.c] if target.model else list(FILLED)
    for text in (
        "NaN",
        "Infinity",
        "-Infinity",
        "1e999",
        "-1e999",
        "1e-999",
        "9" * 5000,
        "9" * 400,
        "0.1" + "0" * 400 + "1",
    ):
        body = "{" + ",".join(f'"{name}": {text}' for name in names if name != "version") + ', "version": 1}'
        yield target.request(data=body, content_type="application/json")


@kind("JSON fields that do not exist or are not for writing", _json_writes)
def _unknown_fields(target):
    for name in (
        "nothing",
        "",
        "__class__",
        "id",
        "created_by_id",
        "created_at",
        "position",
        "department",
        "csrf_token",
    ):
        yield target.request(json={"version": 1, name: 1})
    yield target.request(
        data=b'{"name": "a", "name": "b", "version": 1, "version": 2}', content_type="application/json"
    )


@kind("a sign-in of nonsense", lambda target: target.endpoint in ("SignIn.login", "SecurityApi.login"))
def _sign_ins(target):
    for text in ("\x00", "\ud800", "x" * 70_000, "' OR 1=1 --", "🦊", " "):
        if target.is_api:
            for provider in ("db", "ldap", "oauth", "\x00"):
                yield target.request(
                    json={"username": text, "password": text, "provider": provider, "refresh": True}
                )
        elif target.method == "POST":
            body = f"username={quote(text, errors='surrogatepass')}&password={quote(text, errors='surrogatepass')}"
            yield target.request(data=body, headers={"Content-Type": "application/x-www-form-urlencoded"})
    if target.is_api:
        for value in (1, None, [], {}, True):
            yield target.request(json={"username": value, "password": value, "provider": value})


# --------------------------------------------------------------------------------------------- the test


def test_there_are_enough_kinds_of_nonsense():
    assert len(KINDS) >= 25


@pytest.mark.parametrize("engine, name", CASES, indirect=["engine"])
def test_nonsense_is_answered_calmly_and_stores_nothing(house, engine, name):
    make, applies, needs_csrf = KINDS[name]
    others, turns, apart = cycle(OTHERS), count(), APART[engine]
    answers, faults, before = {}, [], house.row_hash()
    asked = [target for target in house.targets if applies(target)]
    for target in asked[list(KINDS).index(name) % min(apart, len(asked)) :: apart]:
        turn = next(turns)
        own = house.client(target.entity)
        beside = [] if turn % OFTEN else [house.clients[next(others)]]
        for client in (own, *beside):
            for request in _some(list(make(house.filled(target, turn))), turn):
                status = _send(client, request, needs_csrf)
                answers[status] = answers.get(status, 0) + 1
                if status >= 500:
                    faults.append(f"{status} for {client.username}: {_told(request)}")
                if status < 400 and (request["method"] in WRITING or "pdf" in request["path"]):
                    before = house.row_hash()  # it was not malformed enough, and did what it says
    print(f"{name}: {sum(answers.values())} requests, answered {dict(sorted(answers.items()))}")
    assert answers
    assert not faults, f"{len(faults)} faults:\n" + "\n".join(faults[:40])
    assert house.row_hash() == before, "a refused request has stored something"


def _some(requests, turn):
    """A few of them, others at each turn: every variant is sent somewhere, not everywhere."""
    start = turn * EACH % (len(requests) or 1)
    return (requests[start:] + requests[:start])[:EACH]


def _send(client, request, needs_csrf):
    request = {key: value for key, value in request.items() if value is not None}
    if needs_csrf and request["method"] not in ("GET", "HEAD", "OPTIONS", "TRACE"):
        if client.csrf_token is None:
            client.get("/login/" if client.username is None else "/")
        request["headers"] = {"X-CSRFToken": client.csrf_token, **request.get("headers", {})}
    path = request.pop("path")
    return client.browser.open(path, **request).status_code


def _told(request):
    return " ".join(f"{key}={str(value)[:200]!r}" for key, value in request.items() if value is not None)
