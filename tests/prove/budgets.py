"""What a page weighs and how soon it stands: the budgets of the face, measured in a browser over a real connection.

    python -m tests.prove.budgets [--rounds N]

The demo company is served with a list of more than fifty contacts, and a Chromium with an empty cache signs in. Counted
are the bytes as they come over the wire (compressed, headers included, as the browser itself reports them) and the
requests: of the first page, then of later pages, of which nothing but their HTML may be asked for. Then each page is
loaded a number of times, and the browser tells when the largest thing stood (LCP) and how much moved (CLS); shown are
the median and the worst. Last, every static file is asked for: it must carry a version, be kept for good, and come
compressed.
"""

import argparse
import gzip
import platform
import re
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median
from urllib.parse import urlsplit

from playwright.sync_api import sync_playwright

from app.security import DEMO_PASSWORD
from app.views.assets import FOR_GOOD
from tests import databases
from tests.browser.house import CHROMIUM, CHROMIUM_ARGUMENTS, served

FIRST_BYTES, FIRST_REQUESTS, LIST_BYTES = 160_000, 10, 15_000
LCP, CLS = 600, 0  # milliseconds; of the page that moved
PERSON, FIRST, LIST = "director", "/", "/contacts/?size=50"
LATER = (
    "/companies/",
    "/companies/1",
    "/deals/board",
    "/deals/1",
    "/tickets/1",
    "/invoices/",
    "/reports/sales",
)
# What the browser notices of a page, from its first byte on.
NOTICE = """
  window.seen = {lcp: 0, cls: 0};
  new PerformanceObserver((list) => { for (const one of list.getEntries()) window.seen.lcp = one.startTime; })
    .observe({type: "largest-contentful-paint", buffered: true});
  new PerformanceObserver((list) => {
    for (const one of list.getEntries()) if (!one.hadRecentInput) window.seen.cls += one.value;
  }).observe({type: "layout-shift", buffered: true});
"""


@dataclass
class Load:
    """One page as it came: the addresses that were asked for, and the bytes of each answer."""

    path: str
    bytes: dict = field(default_factory=dict)

    @property
    def total(self):
        return sum(self.bytes.values())

    @property
    def beside(self):
        """What was asked for beside the page itself."""
        return [one for one in self.bytes if urlsplit(one).path != urlsplit(self.path).path]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="how often each page is loaded for its times")
    args = parser.parse_args()
    folder = databases.start_run()
    try:
        with ExitStack() as running:
            database = running.enter_context(databases.fresh_database("sqlite", "demo"))
            home = running.enter_context(tempfile.TemporaryDirectory())
            address = running.enter_context(served(database.url, home))
            playwright = running.enter_context(sync_playwright())
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS)
            rows = measured(browser, address, args.rounds)
            version = browser.version
    finally:
        databases.end_run(folder)
    print(table(rows))
    print(f"Chromium {version}; Python {platform.python_version()}; {args.rounds} rounds")
    return 0 if all(is_kept for *_, is_kept in rows) else 1


def measured(browser, address, rounds):
    """The rows of the table: (what, seen, promised, whether it is kept)."""
    context = browser.new_context(base_url=address, viewport={"width": 1280, "height": 900})
    context.add_init_script(NOTICE)
    page = context.new_page()
    door = _loaded(page, "/login/")
    rows = [
        ("the first page of all, bytes", door.total, FIRST_BYTES, door.total <= FIRST_BYTES),
        ("… requests", len(door.bytes), FIRST_REQUESTS, len(door.bytes) <= FIRST_REQUESTS),
    ]
    token = _sign_in(page)
    fresh = browser.new_context(
        base_url=address, storage_state=token, viewport={"width": 1280, "height": 900}
    )
    first = _loaded(fresh.new_page(), FIRST)
    fresh.close()
    rows += [
        ("the first page signed in, bytes", first.total, FIRST_BYTES, first.total <= FIRST_BYTES),
        ("… requests", len(first.bytes), FIRST_REQUESTS, len(first.bytes) <= FIRST_REQUESTS),
    ]
    _loaded(page, FIRST)
    once = {}  # what only some pages need, such as the letters of another alphabet, comes once
    for path in (LIST, *LATER):
        load = _loaded(page, path)
        once |= {one: load.bytes[one] for one in load.beside}
        again = _loaded(page, path)
        rows.append((f"{path} later, requests beside it", len(again.beside), 0, not again.beside))
        if path == LIST:
            shown = page.locator("tbody tr").count()
            is_kept = again.total <= LIST_BYTES and shown == 50
            rows.append((f"a list of {shown} rows, bytes", again.total, LIST_BYTES, is_kept))
    # No promise is made of these: they belong to neither the first page nor to one that was there before.
    rows.append((f"files that some pages ask for once ({len(once)}), bytes", sum(once.values()), "–", True))
    for path in (FIRST, LIST, *LATER):
        seen = [_times(page, path) for _ in range(rounds)]
        lcp, cls = [one["lcp"] for one in seen], max(one["cls"] for one in seen)
        rows.append((f"{path} LCP, ms (worst {max(lcp):.0f})", round(median(lcp)), LCP, median(lcp) < LCP))
        rows.append((f"{path} CLS", round(cls, 4), CLS, cls == CLS))
    rows.append(_static(page, [*door.bytes, *first.bytes]))
    context.close()
    return rows


def _loaded(page, path):
    """Open a page and note what comes, in bytes on the wire."""
    load, wire = Load(path), page.context.new_cdp_session(page)
    wire.send("Network.enable")
    addresses = {}
    wire.on("Network.responseReceived", lambda said: _note(said, addresses))
    wire.on("Network.loadingFinished", lambda said: _weigh(said, addresses, load))
    page.goto(path, wait_until="networkidle")
    wire.detach()
    return load


def _note(said, addresses):
    answer = said["response"]
    if (
        not answer["url"].startswith("data:")
        and not answer.get("fromDiskCache")
        and not answer.get("fromPrefetchCache")
    ):
        addresses[said["requestId"]] = answer["url"]


def _weigh(said, addresses, load):
    if said["requestId"] in addresses and said["encodedDataLength"] > 0:
        load.bytes[addresses[said["requestId"]]] = int(said["encodedDataLength"])


def _sign_in(page):
    page.fill("#username", PERSON)
    page.fill("#password", DEMO_PASSWORD)
    page.locator("main form").first.evaluate("form => form.requestSubmit()")
    page.wait_for_selector('meta[name="user"]', state="attached")
    return page.context.storage_state()


def _times(page, path):
    page.goto(path, wait_until="networkidle")
    page.wait_for_function("window.seen.lcp > 0")
    page.mouse.move(600, 400)
    return page.evaluate("() => window.seen")


def _static(page, addresses):
    """Every static file that was asked for: a version in its address, kept for good, compressed where that helps."""
    wrong, asked = [], {urlsplit(one).path for one in addresses if urlsplit(one).path.startswith("/static/")}
    for path in sorted(asked):
        answer = page.request.get(path, headers={"Accept-Encoding": "gzip"})
        is_text = re.search(r"\.(css|js|svg|json|webmanifest)$", path)
        packed = answer.headers.get("content-encoding") == "gzip" or len(gzip.compress(answer.body())) > len(
            answer.body()
        )
        is_kept = re.match(r"/static/[0-9a-f]{12}/", path) and answer.headers["cache-control"] == FOR_GOOD
        if not is_kept or (is_text and not packed):
            wrong.append(path)
    return (
        f"static files ({len(asked)}) without version, immutable or compressed",
        len(wrong),
        0,
        not wrong and bool(asked),
    )


def table(rows):
    """What was measured against what is promised."""
    width = max(len(what) for what, *_ in rows)
    lines = [f"{'':<{width}}  {'measured':>9}  {'promised':>9}"]
    for what, seen, promised, is_kept in rows:
        lines.append(f"{what:<{width}}  {seen:>9}  {promised:>9}  {'kept' if is_kept else 'BROKEN'}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
