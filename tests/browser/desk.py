"""One colleague at one browser: the gestures that the browser tests are written in, and a watch over every page."""

import re
from collections import Counter
from urllib.parse import urlsplit

from playwright.sync_api import expect

from app.security import DEMO_PASSWORD

PATIENCE = 120_000  # milliseconds; the machine may be busy with other tests
# What Chromium says in its console of each answer that is an error; some are what a test is about.
REFUSED = re.compile(r"Failed to load resource: the server responded with a status of (\d+)")


def is_move(answer):
    """Whether this is the server's answer to a card that was moved."""
    return urlsplit(answer.url).path.endswith("/move")


class Desk:
    """A browser in which one colleague works."""

    def __init__(self, context, host, username):
        self.context, self.host, self.username = context, host, username
        self._noticed, self._refused, self._expected = [], [], Counter()
        context.set_default_timeout(PATIENCE)
        self.page = context.new_page()
        self._watch(self.page)

    # ---- going about

    def sign_in(self, password=DEMO_PASSWORD):
        """Through the door, as people do."""
        self.open("/login/")
        self.fill("User name", self.username)
        self.fill("Password", password)
        self.press("Sign in")
        expect(self.page.locator('meta[name="user"]')).to_have_attribute("content", self.username)

    def open(self, path, status=200):
        """Type an address."""
        self._expect(status)
        answer = self.page.goto(path)
        assert answer.status == status, f"{path} answered {answer.status}"
        return self

    def follow(self, name, within=None):
        """Click a link."""
        (within or self.main).get_by_role("link", name=name, exact=True).first.click()

    def press(self, name, within=None, status=200):
        """Press a button that sends a form, and wait for the page that answers it."""
        button = (within or self.page.locator("main")).get_by_role("button", name=name, exact=True).first
        button.wait_for()  # the page that a link led to may still be on its way, and is no answer to the button
        self.page.wait_for_load_state()  # nor is what its scripts do at start
        self._expect(status)
        with self.page.expect_navigation() as arrival:
            button.click()
        assert arrival.value.status == status, f"“{name}” was answered {arrival.value.status}: {self.said}"

    def field(self, label, within=None):
        """What one fills in under this label; a star behind it says only that it is needed."""
        return (within or self.main).get_by_label(re.compile(rf"^{re.escape(label)}\*?$")).first

    def fill(self, label, value, within=None):
        self.field(label, within).fill(value)

    @property
    def sheet(self):
        """Where the form stands that was opened last: in a dialog above the page, or on the page itself."""
        expect(self.page.locator("dialog[open] form, main .form-page").first).to_be_visible()
        dialog = self.page.locator("dialog[open]").last
        return dialog if dialog.count() else self.main

    def add(self, name):
        """Send the short form of a new record, and go to the record of this name."""
        sheet = self.sheet
        if sheet == self.main or not self.page.locator("dialog[open]").count():
            self.press("Add", within=sheet)
            return
        sheet.get_by_role("button", name="Add", exact=True).click()
        expect(self.page.locator("dialog[open]")).to_have_count(0)
        self.page.locator("#flashes").get_by_role("link", name=name).click()
        expect(self.h1).to_contain_text(name)

    def choose(self, label, words, within=None):
        self.field(label, within).select_option(label=words)

    def unfold(self, name, within=None):
        """Open a panel that hides behind a summary; returns the panel."""
        fold = (
            (within or self.main)
            .locator("details")
            .filter(has=self.page.locator("summary", has_text=name))
            .first
        )
        fold.locator("summary").first.click()
        expect(fold).to_have_attribute("open", "")
        return fold

    def download(self, path):
        """What lies at this address, as the signed-in browser gets it: (headers, bytes)."""
        answer = self.context.request.get(path)
        assert answer.status == 200, f"{path} answered {answer.status}"
        return answer.headers, answer.body()

    # ---- seeing

    @property
    def main(self):
        return self.page.locator("main")

    @property
    def h1(self):
        return self.page.get_by_role("heading", level=1)

    @property
    def path(self):
        return urlsplit(self.page.url).path

    @property
    def said(self):
        """What the last deed answered."""
        return " ".join(self.page.locator("#flashes").inner_text().split())

    def sees(self, text):
        """Wait until the page shows this text."""
        expect(self.main.get_by_text(text).first).to_be_visible()

    def value_of(self, label, within=None):
        """What stands in a field; a picker shows it beside the field in which one types."""
        shown = "one => (one.closest('.ts-wrapper')?.previousElementSibling ?? one).value"
        return self.field(label, within).evaluate(shown)

    def problem_of(self, label):
        """The message at a field, as it is told to screen readers too."""
        field = self.field(label)
        assert field.get_attribute("aria-invalid") == "true"
        message = field.get_attribute("aria-describedby").split()[-1]
        return self.page.locator(f"#{message}").inner_text().strip()

    def fact(self, label):
        """A value of the sheet."""
        fact = self.page.locator(".fact").filter(
            has=self.page.locator("dt", has_text=re.compile(f"^{label}$"))
        )
        change = fact.locator("dd .value-edit")
        words = " ".join(fact.locator("dd").inner_text().split())
        return words.removesuffix(" ".join(change.inner_text().split())).strip() if change.count() else words

    # ---- the board

    def card(self, title):
        return self.page.locator("[data-card]").filter(has_text=title)

    def column(self, name):
        """The column of this stage."""
        heading = self.page.locator(".board-head h2", has_text=re.compile(rf"^\s*{name}\s+\d+\s*$"))
        return self.page.locator("[data-column]").filter(has=heading)

    def count_of(self, column):
        return int(self.column(column).locator("[data-count]").inner_text())

    def drag(self, title, column, status=200):
        """Take a card with the mouse and drop it on a column; waits for the server's answer."""
        card, cards = self.card(title), self.column(column).locator("[data-cards]")
        cards.scroll_into_view_if_needed()
        card.scroll_into_view_if_needed()
        self._expect(status)
        with self.page.expect_response(is_move) as answer:
            card.drag_to(cards, source_position={"x": 20, "y": 12}, target_position={"x": 60, "y": 12})
        assert answer.value.status == status, f"the move was answered {answer.value.status}"

    def move_by_form(self, title, column, status=200):
        """Choose a stage in the panel of a card and send it, as one does without JavaScript."""
        panel = self.unfold("Move", within=self.card(title))
        self.choose("Stage", column, within=panel)
        self.press("Move", within=panel, status=status)

    # ---- the watch

    @property
    def complaints(self):
        """What went wrong that no test asked for: each refusal that is expected is forgiven once."""
        unexpected = list((Counter(self._refused) - self._expected).elements())
        return [*self._noticed, *(self._line(f"an answer of {status}") for status in unexpected)]

    def forget(self):
        """What was noticed until now, which is no complaint any more."""
        noticed, self._noticed = self._noticed, []
        return noticed

    def expects(self, status):
        """An answer of this kind comes next, and is what the test is about."""
        self._expect(status)

    def _expect(self, status):
        if status >= 400:
            self._expected[str(status)] += 1

    def _watch(self, page):
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self._complain(f"page error: {error}"))
        page.on("requestfailed", self._failed)
        page.on("request", self._asked)

    def _complain(self, text):
        self._noticed.append(self._line(text))

    def _line(self, text):
        return f"{self.username} at {self.page.url}: {text}"

    def _heard(self, message):
        refused = REFUSED.match(message.text)
        if refused:
            self._refused.append(refused.group(1))
        elif message.type in ("error", "warning"):
            self._complain(f"console: {message.text}")

    def _failed(self, request):
        # A page that is left takes back what it has not got yet.
        if request.failure != "net::ERR_ABORTED":
            self._complain(f"failed: {request.url}: {request.failure}")

    def _asked(self, request):
        address = urlsplit(request.url)
        if address.scheme != "data" and address.netloc != self.host:
            self._complain(f"asked another host: {request.url}")
