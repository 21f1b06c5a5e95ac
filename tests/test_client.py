"""The checking client itself: what it must complain of, and what it sends for a form."""

from html.parser import HTMLParser

import pytest
from flask import Flask, request

from tests.client import Client, QuickParser

CSP = "default-src 'none'; script-src 'self'"
GOOD = """<!doctype html><html><head><title>Deals</title></head><body><h1>Deals</h1>
<form action="/seen" method="post"><input type="hidden" name="csrf_token" value="t">
<label for="name">Name</label><input id="name" name="name" value="old">
<label>Kind <select name="kind"><option value="a">A<option value="b" selected>B</select></label>
<label><input type="checkbox" name="yes" checked></label>
<label><input type="checkbox" name="no"></label>
<textarea aria-label="Notes" name="notes">
two
lines</textarea><button name="deed" value="save">Save</button></form></body></html>"""


@pytest.fixture
def client_on():
    """`client_on(html)` is a client of an application whose every page is this."""

    def make(html, csp=CSP):
        app = Flask(__name__)

        @app.get("/")
        def page():
            return html, {"Content-Security-Policy": csp}

        @app.post("/seen")
        def seen():
            return dict(request.form.lists())

        return Client(app)

    return make


def test_a_good_page_passes_and_a_form_sends_what_it_holds(client_on):
    sent = client_on(GOOD).submit("/", status=200, name="new", notes=None).json
    assert sent == {"csrf_token": ["t"], "name": ["new"], "kind": ["b"], "yes": ["on"]}


def test_a_text_area_begins_after_its_first_line_end(client_on):
    assert client_on(GOOD).submit("/", status=200).json["notes"] == ["two\nlines"]


def test_a_field_that_is_not_there_cannot_be_filled_in(client_on):
    with pytest.raises(AssertionError, match="no field"):
        client_on(GOOD).submit("/", colour="red")


@pytest.mark.parametrize(
    "old, new, complaint",
    [
        ("<h1>Deals</h1>", "", "0 h1 elements"),
        ("</form>", "</form><h1>Again</h1>", "2 h1 elements"),
        ("<title>Deals</title>", "<title> </title>", "no title"),
        ("<h1>", '<h1 id="name">', "ids used twice"),
        ('<label for="name">', "<label>", "a field without a label"),
        ('value="t"', 'value=""', "without csrf_token"),
        ("<h1>", '<h1 style="color:red">', "a style attribute"),
        ("<h1>", "<style>h1 {}</style><h1>", "a style element"),
        ("<h1>", "<script>alert(1)</script><h1>", "inline script"),
        ("<h1>", '<h1 onclick="go()">', "onclick on h1"),
        ("<h1>", '<a href="javascript:go()">x</a><h1>', "a javascript: link"),
        ("<head>", '<head><meta name="user" content="rep.north">', "meta user"),
    ],
)
def test_a_bad_page_is_complained_of(old, new, complaint, client_on):
    with pytest.raises(AssertionError, match=complaint):
        client_on(GOOD.replace(old, new, 1)).get("/")


def test_a_page_without_a_strict_policy_is_complained_of(client_on):
    with pytest.raises(AssertionError, match="Content-Security-Policy"):
        client_on(GOOD, csp="default-src *").get("/")


def test_another_status_is_complained_of(client_on):
    with pytest.raises(AssertionError, match="404 instead of"):
        client_on(GOOD).get("/nowhere")


def test_an_open_application_context_is_complained_of(client_on):
    client = client_on(GOOD)
    with client.app.app_context(), pytest.raises(AssertionError, match="context is open"):
        client.get("/")


@pytest.mark.parametrize(
    "html",
    [
        GOOD,
        '<A HREF="/x?a=1&amp;b=2" hidden data-x="a > b / c=d">x &lt; y</A ><br/><path d="M0 0" /><p\n class="a\nb"\n>z',
        '<p class=\'one\' id=two title = "three" x=\'\'>a</p foo><p/ class="b"><p =a><p"b"></><a/b>',
        "<script>if (a < b) x('</p>')</script><style>p > a {}</style><textarea><b></textarea><title>a<b</title>",
        '<!-- <p> --><!doctype html><?x y?><p class="never closed',
        '<p a="1"b="2" c="&quot;&nosuch;&#33;" d="" a="again">&nbsp;1 < 2</p><svg><use href="#a"/></svg>',
    ],
)
def test_the_quick_parser_reads_what_the_librarys_reads(html):
    assert _read_by(QuickParser, html) == _read_by(HTMLParser, html)


def _read_by(parser, html):
    """What this parser makes of the page, piece by piece; no value and an empty one are the same to us."""
    heard = []

    class Listener(parser):
        def handle_starttag(self, tag, pairs):
            heard.append(("start", tag, [(name, value or "") for name, value in pairs]))

        def handle_startendtag(self, tag, pairs):
            heard.append(("empty", tag, [(name, value or "") for name, value in pairs]))

        def handle_endtag(self, tag):
            heard.append(("end", tag))

        def handle_data(self, data):
            heard.append(("data", data))

    listener = Listener()
    listener.feed(html)
    listener.close()
    return heard
