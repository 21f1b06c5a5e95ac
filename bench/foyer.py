"""What is asked of Foyer: which pages, as whom, with which words. Every address of Foyer's stands in this file."""

import base64
import json
import sys
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from bench import data, home
from bench.measure import Browser, Page, Server, Wrong, form_fields
from config import BASE

SIGN_IN = "/login/"
LIST = "/contacts/"
PAGE_ROWS = 25  # on a page of the peers; Foyer is asked for as many where it is measured beside them
DEEP = 10_000

# Searched for: letters from within a family name that few have, and from one that many have.
RARE, FREQUENT = "chsenried", "ichweg"
RELATION = "company_id.country.is"
RARE_COUNTRY, FREQUENT_COUNTRY = "Iceland", "Germany"


def server(engine, rows):
    """Foyer as it is served: granian with as many workers as the settings say."""
    settings = data.settings(engine, rows)
    return Server(
        [sys.executable, "run.py", "serve"],
        log=settings.logs / "measured.log",
        path=SIGN_IN,
        folder=BASE,
        environment={
            "FOYER_HOME": str(settings.FOYER_HOME),
            "DATABASE_URL": settings.DATABASE_URL,
            "EXPORT_APPROVAL_ROWS": "0",  # what is measured is the export
        },
    )


def enter(port, username):
    """A browser that has signed in as this person."""
    browser = Browser(port)
    fields = form_fields(browser.get(SIGN_IN).body, "password")
    answer = browser.post(SIGN_IN, fields | {"username": username, "password": data.PASSWORD})
    if answer.location == SIGN_IN:
        raise Wrong(f"{username} is not let in")
    return browser


@dataclass
class Person:
    """One who is measured: his browser, and what he sees of the database."""

    engine: str
    rows: int
    username: str
    browser: Browser

    @property
    def seen(self):
        """The part of a WHERE that holds for the rows he sees."""
        if self.username == "director":
            return "1 = 1"
        tree = self._read("SELECT id, parent_id, name FROM department")
        below = {next(key for key, _, name in tree if name == data.PEOPLE[self.username][0])}
        while more := {key for key, parent, _ in tree if parent in below} - below:
            below |= more
        return f"department_id IN ({', '.join(map(str, sorted(below)))})"

    def contacts(self, most):
        """Ids of contacts, evenly from all that he sees."""
        keys = [key for (key,) in self._read(f"SELECT id FROM contact WHERE {self.seen} ORDER BY id")]
        return keys[:: max(1, len(keys) // most)][:most]

    def deep(self):
        """The address of page 10,000; of the middle of the list, for who sees less."""
        size = self._read(f"SELECT count(*) FROM contact WHERE {self.seen}")[0][0]
        before = min((DEEP - 1) * PAGE_ROWS, size // 2)
        name, key = self._read(
            f"SELECT last_name, id FROM contact WHERE {self.seen} ORDER BY last_name, id LIMIT 1 OFFSET {before - 1}"
        )[0]
        return _list(after=_cursor(name, key))

    def _read(self, statement):
        return list(home.read(self.engine, data.database(self.rows), statement))


def _cursor(name, key):
    return base64.urlsafe_b64encode(json.dumps([name, key]).encode()).decode().rstrip("=")


def lines(person):
    """Line -> what is asked again and again of this person."""
    page = person.browser
    records = [f"/contacts/{key}" for key in person.contacts(20)]
    asked = {
        "first page": Page(page, [_list()], "<table"),
        "first page of 50": Page(page, [LIST], "<table"),
        "page 10,000": Page(page, [person.deep()], "<table"),
        "sort by name": Page(page, [_list(sort="-last_name")], "<table"),
        "sort by city": Page(page, [_list(sort="city")], "<table"),
        "filter through a relation": Page(page, [_list(**{RELATION: FREQUENT_COUNTRY})], "<h1"),
        "filter, rare": Page(page, [_list(**{RELATION: RARE_COUNTRY})], "<h1"),
        "search": Page(page, [_list(q=RARE)], "<h1"),
        "search, frequent": Page(page, [_list(q=FREQUENT)], "<h1"),
        "picker": Page(page, [f"/contacts/pick?q={RARE}", f"/companies/pick?q={quote('mühlen')}"], "["),
        "record": Page(page, records, "<h1"),
    }
    if person.username != "director":  # he reads, and writes nothing
        asked["edit form"] = Page(page, [f"{path}/edit" for path in records], 'name="city"')
        asked["save"] = Save(page, [f"{path}/edit" for path in records])
    return asked


def _list(**asked):
    """The list with as many rows as the peers show."""
    return f"{LIST}?{urlencode({'size': PAGE_ROWS} | asked)}"


@dataclass
class Save:
    """An edit of one field, sent off as a browser does; only the sending is measured."""

    browser: Browser
    paths: list
    field: str = "city"

    def __call__(self, number):
        path = self.paths[number % len(self.paths)]
        fields = form_fields(self.browser.get(path).body, self.field)
        town = fields[self.field].partition(" / ")[0]
        return self.browser.post(path, fields | {self.field: f"{town} / {number}"}).milliseconds


EXPORT = "/contacts/export?format=csv"
