"""Every page of the demo, as every account: each link that is shown leads to a page that opens, and each is well made.

`tests/client.py` checks every page on the way: one h1, a title, labelled fields, ids used once, CSRF tokens, nothing
inline, the strict policy.
"""

import re
from collections import Counter, deque
from urllib.parse import urljoin, urlsplit

import pytest

from app.security import DEMO_USERNAMES
from tests.databases import with_demo

# How many addresses of one shape are opened: /deals/7 and /deals/8, or /deals/?sort=name and /deals/?q=desk.
EXAMPLES = 2
AT_LEAST = 25  # pages, even for those who may see little

PAPERS = {"application/pdf"}


@with_demo
@pytest.mark.parametrize("username", DEMO_USERNAMES)
def test_every_link_leads_to_a_page_that_opens(client_for, username):
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
