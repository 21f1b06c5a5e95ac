"""Every page of the demo, as every account: each link that is shown leads to a page that opens, and each is well made.

`tests/client.py` checks every page on the way: one h1, a title, labelled fields, ids used once, CSRF tokens, nothing
inline, the strict policy.
"""

import re
from collections import Counter, deque
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import flask_appbuilder
import pytest
from jinja2 import TemplateNotFound
from wtforms import Form
from wtforms.fields.core import UnboundField

from app.security import DEMO_USERNAMES
from tests.databases import with_demo

# How many addresses of one shape are opened: /deals/7 and /deals/8, or /deals/?sort=name and /deals/?q=desk.
EXAMPLES = 2
AT_LEAST = 25  # pages, even for those who may see little

PAPERS = {"application/pdf"}
TEMPLATES = Path(__file__).resolve().parents[2] / "app" / "templates"
STOCK = Path(flask_appbuilder.__file__).parent / "templates"


@with_demo
@pytest.mark.parametrize("username", DEMO_USERNAMES)
def test_every_link_leads_to_a_page_that_opens(app, client_for, username):
    browser = client_for(username)
    seen, of_shape, waiting = {"/"}, Counter(), deque(["/"])
    while waiting:
        path = waiting.popleft()
        for link in _links(browser, path):
            shape = _shape(link)
            if link not in seen and of_shape[shape] < EXAMPLES:
                seen.add(link)
                of_shape[shape] += 1
                waiting.append(link)
    assert len(seen) >= AT_LEAST, sorted(seen)
    _is_all_ours(app)


def test_a_stock_template_cannot_be_rendered(app):
    """Whatever a view of Flask-AppBuilder's would draw: its templates are not among those that can be found."""
    for name in (
        "appbuilder/baselayout.html",
        "appbuilder/general/model/list.html",
        "appbuilder/general/widgets/form.html",
    ):
        assert (STOCK / name).is_file()
        with pytest.raises(TemplateNotFound):
            app.jinja_env.get_template(name)
    ours = {path.relative_to(TEMPLATES).as_posix() for path in TEMPLATES.rglob("*") if path.is_file()}
    assert set(app.jinja_env.list_templates()) == ours


def _is_all_ours(app):
    """What the pages were drawn from: templates of this house, and no form widget of Flask-AppBuilder."""
    drawn = {template.filename for template in app.jinja_env.cache.values()}
    assert drawn and all(Path(name).is_relative_to(TEMPLATES) for name in drawn), drawn
    forms = [form for form in _kinds_of(Form) if form.__module__.startswith("app.")]
    assert forms
    for form in forms:
        for unbound in vars(form).values():
            if isinstance(unbound, UnboundField):
                widget = unbound.kwargs.get("widget") or unbound.field_class.widget
                assert not type(widget).__module__.startswith("flask_appbuilder"), (form, widget)


def _kinds_of(kind):
    for one in kind.__subclasses__():
        yield one
        yield from _kinds_of(one)


def _links(browser, path):
    """The addresses of ours that this page leads to."""
    page = browser.get(path)
    if page.response.mimetype in PAPERS:
        return []
    assert page.is_whole, f"{path} is {page.response.mimetype}"
    targets = [urljoin(path, link).partition("#")[0] for link in page.links]
    return [one for one in targets if one.startswith("/") and not one.startswith("/static/")]


def _shape(link):
    """The path with its numbers left out."""
    return re.sub(r"\d+", "1", urlsplit(link).path)
