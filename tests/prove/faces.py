"""Every page and dialog, light and dark, wide and on a phone: readable for everybody, and nothing from outside.

    python -m tests.prove.faces [--language en|de|fr] [--as USERNAME …] [--quick]
    python -m tests.prove.faces --pictures FOLDER [--language en|de|fr]

The demo company is served, and a Chromium walks it as several colleagues, from link to link, one address of each
shape; with it the doors, the pages of errors and forms with a mistake. Each page is looked at light and dark, at
1280 and 360 pixels: axe (WCAG 2.0, 2.1 and 2.2, A and AA) must find nothing, and on a phone nothing may be wider than
the screen. Each panel that unfolds and each dialog is then opened and looked at in the same four ways, once for all the
pages that have it. All the while violations of the content policy, complaints in the console and requests to
another host are counted. Whoever interrupts it gets the table of what was seen until then.

With `--pictures` nothing is judged: the twelve main pages are photographed, light and dark, wide and on a phone, to be
looked at one by one; those in the README are taken so.
"""

import argparse
import platform
import re
import sys
import tempfile
import time
from collections import deque
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import parse_qsl, urljoin, urlsplit

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import sync_playwright

from app.security import DEMO_PASSWORD, DEMO_USERNAMES
from tests import databases
from tests.browser.house import CHROMIUM, CHROMIUM_ARGUMENTS, served
from tests.browser.test_phone import TOO_WIDE

THEMES, WIDTHS = ("light", "dark"), (1280, 360)
RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")
# Beside what links lead to: the doors, and the pages of errors.
DOORS = ("/login/", "/login/forgotten", "/login/new-password?token=old", "/nothing/here")
STYLES = "/styleguide"  # every component in every state, for the admin
ERRORS = ("/contacts/999999", "/companies/?sort=nothing", "/companies/?page=abc")
# Of one path, how many ways to ask it (a filter, a sort, a panel) are looked at.
ASKED = 3
# Forms that are sent empty, so that their mistakes are looked at too.
NOT_SENT = re.compile(r"/(?:imports|bulk|undo|erase|hand-over)\b")

# The main pages: (name, who looks at it, address, what is typed into the palette above it).
MAIN = (
    ("home", "rep.north", "/", None),
    ("list", "rep.north", "/contacts/", None),
    ("palette", "rep.north", "/contacts/", "hans"),
    ("company", "rep.north", "/companies/1", None),
    ("board", "rep.north", "/deals/board", None),
    ("deal", "rep.north", "/deals/109", None),
    ("tickets", "agent", "/tickets/board", None),
    ("ticket", "agent", "/tickets/37", None),
    ("invoice", "finance", "/invoices/48", None),
    ("report", "head.sales", "/reports/sales", None),
    ("import", "rep.north", "/imports/", None),
    ("preferences", "rep.north", "/account/preferences", None),
)


@dataclass(frozen=True)
class Size:
    """Who walks, and how many pages at most each."""

    who: tuple = DEMO_USERNAMES
    pages: int = 1000
    faces: tuple = tuple((theme, width) for theme in THEMES for width in WIDTHS)


# The quick size looks at some pages in two ways that between them have both themes and both widths.
FULL, QUICK = Size(), Size(who=("rep.north",), pages=3, faces=(("light", 1280), ("dark", 360)))


@dataclass
class Outcome:
    """What was seen; all but the numbers of what was looked at should be empty."""

    pages: list = field(default_factory=list)
    opened: list = field(default_factory=list)  # panels and dialogs
    faces: int = 0
    axe: str = ""
    chromium: str = ""
    violations: list = field(default_factory=list)
    too_wide: list = field(default_factory=list)
    policy: list = field(default_factory=list)
    console: list = field(default_factory=list)
    foreign: list = field(default_factory=list)
    refused: list = field(default_factory=list)
    seconds: float = 0.0

    @property
    def failed(self):
        return sum(
            len(one)
            for one in (self.violations, self.too_wide, self.policy, self.console, self.foreign, self.refused)
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--language", default="en", choices=("en", "de", "fr"), help="in which pages are walked"
    )
    parser.add_argument("--quick", action="store_true", help="the size that the tests run")
    parser.add_argument("--as", dest="who", nargs="+", choices=DEMO_USERNAMES, help="these colleagues only")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="photograph the main pages into it")
    args = parser.parse_args()
    if args.pictures:
        return photograph(args.pictures, args.language)
    size = QUICK if args.quick else FULL
    size = replace(size, who=tuple(args.who)) if args.who else size
    outcome, is_whole = Outcome(), True
    folder = databases.start_run()
    try:
        with _served_and_seen() as (address, browser):
            walk(browser, address, size, args.language, outcome)
    except KeyboardInterrupt:
        is_whole = False
    finally:
        databases.end_run(folder)
    print(table(outcome, size, args.language))
    if not is_whole:
        print("Interrupted: not everything was walked.")
    return 1 if outcome.failed or not is_whole else 0


def photograph(folder, language="en"):
    """A picture of each main page, as the window shows it, light and dark and in both widths."""
    folder.mkdir(parents=True, exist_ok=True)
    run = databases.start_run()
    try:
        with _served_and_seen() as (address, browser):
            for username in dict.fromkeys(who for _, who, *_ in MAIN):
                page = _signed_in(_new_page(browser, address, language), username)
                for name, who, link, typed in MAIN:
                    if who == username:
                        _photograph(page, folder / name, link, typed)
                page.context.close()
    finally:
        databases.end_run(run)
    print(f"{len(list(folder.glob('*.png')))} pictures are in {folder}")
    return 0


def _photograph(page, path, link, typed):
    for theme, width in FULL.faces:
        page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        page.set_viewport_size(_window(width))
        answer = page.goto(link, wait_until="networkidle")
        assert answer.ok, f"{link}: {answer.status}"
        if typed:
            page.keyboard.press("Control+k")
            with page.expect_response(lambda one: f"q={typed}" in one.url):
                page.fill("#palette input", typed)
            page.wait_for_function("document.querySelectorAll('#found .found-title').length > 1")
        page.screenshot(path=f"{path}-{theme}-{width}.png")


def _window(width):
    return {"width": width, "height": 900 if width > 500 else 740}


@contextmanager
def _served_and_seen():
    """A Foyer with the demo company in it, and a Chromium to look at it."""
    with ExitStack() as running:
        database = running.enter_context(databases.fresh_database("sqlite", "demo"))
        home = running.enter_context(tempfile.TemporaryDirectory())
        address = running.enter_context(served(database.url, home))
        playwright = running.enter_context(sync_playwright())
        yield address, playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS)


def walk(browser, address, size, language="en", outcome=None):
    """Look at everything that these colleagues reach, each shape of address once; `outcome` is filled on the way."""
    outcome, started, seen = outcome or Outcome(), time.monotonic(), Seen()
    outcome.chromium = browser.version
    try:
        for username in (None, *size.who):
            _walk_as(username, browser, address, size, outcome, seen, language)
    finally:
        outcome.seconds = time.monotonic() - started
    return outcome


@dataclass
class Seen:
    """What has been looked at already, by whoever it was."""

    shapes: set = field(default_factory=set)
    asked: dict = field(default_factory=dict)
    opened: set = field(default_factory=set)

    def is_new(self, link):
        """Whether an address of this shape is still to be looked at."""
        parts = urlsplit(link)
        path = re.sub(r"\d+", "1", parts.path)
        shape = (path, tuple(sorted({re.sub(r"\d+", "1", name) for name, _ in parse_qsl(parts.query)})))
        if shape in self.shapes or (shape[1] and self.asked.get(path, 0) >= ASKED):
            return False
        self.shapes.add(shape)
        self.asked[path] = self.asked.get(path, 0) + bool(shape[1])
        return True


def _walk_as(username, browser, address, size, outcome, seen, language):
    page = _new_page(browser, address, language)
    _watch(page, urlsplit(address).netloc, outcome)
    if username is None:
        waiting = deque(DOORS)
    else:
        _signed_in(page, username)
        waiting = deque(["/", *ERRORS, *([STYLES] if username == "admin" else [])])
        seen.shapes.discard(("/", ()))  # home differs from role to role
    looked = 0
    while waiting and looked < size.pages:
        link = waiting.popleft()
        if not seen.is_new(link):
            continue
        for where in _visit(page, link, size, outcome, seen):
            target = urljoin(link, where).partition("#")[0]
            parts = urlsplit(target)
            if not parts.netloc and target.startswith("/") and not target.startswith("/static/"):
                waiting.append(target)
        looked += 1
    page.context.close()


def _new_page(browser, address, language):
    return browser.new_context(base_url=address, locale=language, viewport=_window(WIDTHS[0])).new_page()


def _signed_in(page, username):
    page.goto("/login/")
    page.fill("#username", username)
    page.fill("#password", DEMO_PASSWORD)
    page.click("main button[type=submit], main .btn-primary")
    page.wait_for_selector('meta[name="user"]', state="attached")
    return page


def _visit(page, link, size, outcome, seen):
    """Look at one page in every way; returns where it leads."""
    if _is_file(page, link):
        return []
    answer = page.goto(link)
    if answer.status >= 500:
        outcome.refused.append(f"{link}: {answer.status}")
    outcome.pages.append(link)
    _look(page, link, size, outcome)
    links = page.eval_on_selector_all("a[href]", "all => all.map(one => one.getAttribute('href'))")
    _unfold(page, link, size, outcome, seen)
    if page.locator("main form[method=post] [required]").count() and not NOT_SENT.search(link):
        _send_empty(page, link, size, outcome)
    return links


def _is_file(page, link):
    """What is downloaded is no page."""
    return "/export" in link or page.request.head(link).headers.get("content-type", "").split(";")[0] not in (
        "text/html",
        "",
    )


def _send_empty(page, link, size, outcome):
    """Send the first form that needs something without it: what comes back shows the mistakes."""
    page.set_viewport_size(_window(WIDTHS[0]))
    page.goto(link)
    form = page.locator("main form[method=post]", has=page.locator("[required]")).first
    form.evaluate(
        """form => {
          form.noValidate = true;
          for (const one of form.querySelectorAll("input[required], textarea[required]")) one.value = "";
        }"""
    )
    with page.expect_navigation() as answer:
        form.evaluate("form => form.submit()")
    if answer.value.status == 422:
        outcome.pages.append(f"{link}, sent empty")
        _look(page, f"{link}, sent empty", size, outcome)


# What opens: (where it stands among its kind, what it is known by on other pages).
FOLDS = r"""() => [...document.querySelectorAll("details:not([open])")].map((one, at) => {
  one.dataset.at = at;
  const words = one.querySelector("summary").textContent.trim();
  return [at, `${one.className} ${words.replace(/[“„«][^”“»]*[”“»]|\d+/g, "")}`];
})"""
DIALOGS = """() => [...document.querySelectorAll("dialog")].map((one, at) => {
  one.dataset.at = at;
  return [at, `dialog ${one.id} ${one.className}`];
})"""
OPENED = (
    ("details", FOLDS, "one => { one.open = true; }", "one => { one.open = false; }"),
    ("dialog", DIALOGS, "one => one.open || one.showModal()", "one => one.close()"),
)


def _unfold(page, link, size, outcome, seen):
    """Open each panel and dialog of the page that was not seen elsewhere, one by one."""
    for kind, listed, opens, closes in OPENED:
        for at, name in page.evaluate(listed):
            if name in seen.opened:
                continue
            seen.opened.add(name)
            outcome.opened.append(f"{link}: {name}")
            where = f'{kind}[data-at="{at}"]'
            one = page.locator(where)
            one.evaluate(opens)
            _look(page, f"{link}, opened {name!r}", size, outcome, within=where)
            one.evaluate(closes)


def _look(page, name, size, outcome, within="html"):
    """Look at a page in every way, or at what has opened above it: the page below has been looked at by itself."""
    for theme, width in size.faces:
        page.set_viewport_size(_window(width))
        page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        found = _violations(page, within)
        outcome.axe = found["testEngine"]["version"]
        outcome.faces += 1
        print(
            f"\r{outcome.faces} faces, {len(outcome.violations)} violations, {name[:60]:<60}",
            end="",
            file=sys.stderr,
        )
        for violation in found["violations"]:
            nodes = "; ".join(f"{one['target'][-1]} ({one['html'][:90]})" for one in violation["nodes"][:3])
            many = len(violation["nodes"])
            outcome.violations.append(f"{name}, {theme}, {width}: {violation['id']} × {many}: {nodes}")
            print(f"\n{outcome.violations[-1]}", file=sys.stderr)
        if width < 500 and (wide := page.evaluate(TOO_WIDE)):
            outcome.too_wide.append(f"{name}, {theme}: {wide[:3]}")


def _violations(page, within):
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    options = {"runOnly": list(RULES), "resultTypes": ["violations"], "preload": False}
    return page.evaluate(
        "([where, options]) => axe.run(document.querySelector(where), options)", [within, options]
    )


def _watch(page, host, outcome):
    def heard(message):
        if "Content Security Policy" in message.text or "Content-Security-Policy" in message.text:
            outcome.policy.append(f"{page.url}: {message.text}")
        elif message.type in ("error", "warning") and not message.text.startswith("Failed to load resource"):
            outcome.console.append(f"{page.url}: {message.text}")

    def asked(request):
        address = urlsplit(request.url)
        if address.scheme != "data" and address.netloc != host:
            outcome.foreign.append(f"{page.url}: {request.url}")

    page.on("console", heard)
    page.on("pageerror", lambda error: outcome.console.append(f"{page.url}: {error}"))
    page.on("request", asked)
    page.on("dialog", lambda dialog: dialog.accept())


def table(outcome, size, language):
    """The outcome as one table that can be read in a report, and what is wrong below it."""
    rows = [
        ("colleagues", len(size.who)),
        ("pages", len(outcome.pages)),
        ("panels and dialogs", len(outcome.opened)),
        ("themes × widths", " ".join(f"{theme}/{width}" for theme, width in size.faces)),
        ("faces looked at", outcome.faces),
        ("axe violations", len(outcome.violations)),
        ("wider than a phone", len(outcome.too_wide)),
        ("CSP violations", len(outcome.policy)),
        ("console errors", len(outcome.console)),
        ("foreign requests", len(outcome.foreign)),
        ("answers of 5xx", len(outcome.refused)),
        ("seconds", f"{outcome.seconds:.0f}"),
    ]
    width = max(len(name) for name, _ in rows)
    lines = [f"{name:<{width}}  {value}" for name, value in rows]
    lines.append(
        f"language {language}; axe {outcome.axe} ({', '.join(RULES)}); Chromium {outcome.chromium}; "
        f"Python {platform.python_version()}"
    )
    for name in ("violations", "too_wide", "policy", "console", "foreign", "refused"):
        lines += [f"  {name}: {one}" for one in getattr(outcome, name)]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
