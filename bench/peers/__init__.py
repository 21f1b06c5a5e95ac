"""What a user would pick instead of Foyer, as stock as it comes: small apps over one contact table.

Each app is a file beside this one that runs in an environment of its own, never in Foyer's; `$PEER_DATABASE` leads it
to its table. This module knows how to install them, how to start them, and where their pages are.
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from bench import bulk, data, foyer, home
from bench.measure import Browser, Page, Server, form_fields

HERE = Path(__file__).parent
PAGE_ROWS = 25
DEEP = 10_000
NAME, PASSWORD = "admin", "admin"


@dataclass(frozen=True)
class Peer:
    """One peer: how it is called and run, and the paths of its pages over the contact table."""

    title: str
    environment: str  # which of the requirements files
    app: str  # module:name
    sign_in: str
    first: str
    deep: str
    by_name: str
    search: str
    record: str
    edit: str

    @property
    def python(self):
        return home.folder() / "peers" / self.environment / "bin" / "python"

    def server(self, engine, rows):
        """It under gunicorn with two workers, as its makers advise."""
        command = [
            self.python,
            "-m",
            "gunicorn",
            "-w",
            "2",
            "-b",
            "127.0.0.1:{port}",
            "--log-level",
            "warning",
        ]
        return Server(
            [*command, self.app],
            log=home.folder() / "peers" / f"{self.app.partition(':')[0]}.log",
            path=self.sign_in,
            folder=HERE,
            environment=_environment(engine, rows),
        )

    def enter(self, port):
        """A browser that has signed in."""
        browser = Browser(port)
        page = browser.get(self.sign_in)
        fields = form_fields(page.body, "username") | {"username": NAME, "password": PASSWORD}
        browser.post(self.sign_in, fields)
        return browser

    def lines(self, browser, rows):
        """Line -> what is asked again and again; the lines of Foyer that it has, too."""
        keys = range(rows // 40, rows, rows // 20)
        return {
            "first page": Page(browser, [self.first], "@"),
            "page 10,000": Page(browser, [self.deep.format(page=min(DEEP, rows // PAGE_ROWS // 2))], "@"),
            "sort by name": Page(browser, [self.by_name], "@"),
            "search": Page(browser, [self.search.format(words=foyer.RARE)], foyer.RARE),
            "search, frequent": Page(browser, [self.search.format(words=foyer.FREQUENT)], foyer.FREQUENT),
            "record": Page(browser, [self.record.format(id=key) for key in keys], "City"),
            "edit form": Page(browser, [self.edit.format(id=key) for key in keys], "City"),
            "save": foyer.Save(browser, [self.edit.format(id=key) for key in keys]),
        }


PEERS = (
    Peer(
        title="Flask-AppBuilder",
        environment="flask",
        app="flask_appbuilder_app:app",
        sign_in="/login/",
        first="/contactview/list/",
        deep="/contactview/list/?page_ContactView={page}",
        by_name="/contactview/list/?_oc_ContactView=name&_od_ContactView=asc",
        search="/contactview/list/?_flt_2_name={words}",
        record="/contactview/show/{id}",
        edit="/contactview/edit/{id}",
    ),
    Peer(
        title="Flask-Admin",
        environment="flask",
        app="flask_admin_app:app",
        sign_in="/login",
        first="/admin/contact/",
        deep="/admin/contact/?page={page}",
        by_name="/admin/contact/?sort=0",
        search="/admin/contact/?search={words}",
        record="/admin/contact/edit/?id={id}",
        edit="/admin/contact/edit/?id={id}",
    ),
    Peer(
        title="Django admin",
        environment="django",
        app="django_admin_app:application",
        sign_in="/admin/login/",
        first="/admin/auth/contact/",
        deep="/admin/auth/contact/?p={page}",
        by_name="/admin/auth/contact/?o=1",
        search="/admin/auth/contact/?q={words}",
        record="/admin/auth/contact/{id}/change/",
        edit="/admin/auth/contact/{id}/change/",
    ),
)


def database(rows):
    """The name of the database that the peers share."""
    return f"peers-{rows}"


def _environment(engine, rows):
    return {"PEER_DATABASE": home.database_url(engine, database(rows), driver="psycopg2")}


def ensure(engine, rows, say=home.announce):
    """Install what is missing, and fill the table, once; each app makes its own tables in one process."""
    for environment in ("flask", "django"):
        _ensure_environment(environment, say)
    made = home.folder() / f"{database(rows)}-{engine}.made"
    wanted = f"{data.EDITION} {data.SEED} {rows}"
    if made.exists() and made.read_text() == wanted:
        return
    made.unlink(missing_ok=True)
    say(f"Copying {rows:,} contacts for the peers on {engine} …")
    _fill(engine, rows)
    for peer in PEERS:
        module = peer.app.partition(":")[0]
        environment = {**os.environ, **_environment(engine, rows)}
        subprocess.run([peer.python, f"{module}.py"], cwd=HERE, env=environment, check=True)
    made.write_text(wanted)


def _ensure_environment(name, say):
    folder, requirements = home.folder() / "peers" / name, HERE / f"requirements-{name}.txt"
    installed = folder / "installed.txt"
    if installed.exists() and installed.read_text() == requirements.read_text():
        return
    say(f"Installing {requirements.name} …")
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
    pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--only-binary", ":all:", "-r", requirements], check=True)
    installed.write_text(requirements.read_text())


TABLE = """
CREATE TABLE contact (id {key}, name varchar(170) NOT NULL, email varchar(200), phone varchar(40),
    city varchar(80), company varchar(160), notes text, created_on timestamp)
"""
COLUMNS = ("id", "name", "email", "phone", "city", "company", "notes", "created_on")
ROWS = """
SELECT c.id, c.first_name || ' ' || c.last_name, c.email, c.phone, c.city, o.name, c.notes, c.created_at
FROM contact c LEFT JOIN company o ON o.id = c.company_id ORDER BY c.id
"""
# What a user would add: the columns by which people are found and sorted.
INDEXES = (
    "CREATE INDEX ix_contact_name ON contact (name)",
    "CREATE INDEX ix_contact_email ON contact (email)",
)


def _fill(engine, rows):
    """The same people that Foyer has, one row each, with the company's name in it."""
    home.make_empty(engine, database(rows))
    key = "integer PRIMARY KEY" if engine == "sqlite" else "serial PRIMARY KEY"
    with bulk.into(engine, database(rows)) as load:
        load.execute(TABLE.format(key=key))
        load.rows("contact", COLUMNS, home.read(engine, data.database(rows), ROWS))
        for statement in INDEXES:
            load.execute(statement)
        load.finish(["contact"])


def versions():
    """The peers' versions as installed, for the record."""
    found = {}
    for name in ("flask", "django"):
        for line in (HERE / f"requirements-{name}.txt").read_text().splitlines():
            if match := re.fullmatch(r"(flask-appbuilder|flask-admin|django|gunicorn)==(.+)", line):
                found[match[1]] = match[2]
    return found
