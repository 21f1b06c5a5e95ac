"""A served Foyer and a real Chromium: each desk is one browser of one colleague, watched over."""

from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect, sync_playwright

from tests import databases
from tests.browser.desk import PATIENCE, Desk
from tests.browser.house import CHROMIUM, CHROMIUM_ARGUMENTS, served

WIDE = {"width": 1760, "height": 1000}  # every column of a board side by side


@pytest.fixture(scope="session")
def chromium():
    """Debian's Chromium, without a screen."""
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    """`servers(engine)` is the address of a Foyer with the demo company in it, started once a module."""
    with ExitStack() as running:
        addresses = {}

        def address_of(engine):
            if engine not in addresses:
                home = tmp_path_factory.mktemp(f"foyer-{engine}")
                database = running.enter_context(databases.fresh_database(engine, "demo"))
                addresses[engine] = running.enter_context(served(database.url, home))
            return addresses[engine]

        yield address_of


@pytest.fixture
def javascript():
    """Whether the desks of this test run JavaScript; parametrised by the tests."""
    return True


@pytest.fixture(scope="module")
def keys():
    """The sessions of those who have signed in already, by server and name."""
    return {}


@pytest.fixture
def desk(chromium, servers, keys, engine, javascript):
    """`desk("rep.north")`: a browser in which this colleague has signed in; at the end, what it noticed is told."""
    desks = []

    def sit_down(username, *, anew=False, **options):
        options = {"java_script_enabled": javascript, "viewport": WIDE, **options}
        address = servers(engine)
        key = None if anew else keys.get((address, username))
        context = chromium.new_context(base_url=address, storage_state=key, **options)
        desks.append(Desk(context, urlsplit(address).netloc, username))
        if key is None:
            desks[-1].sign_in()
            if not anew:  # who signs out ends his session for whoever else sits on it
                keys[address, username] = context.storage_state()
        return desks[-1]

    yield sit_down
    complaints = [complaint for one in desks for complaint in one.complaints]
    for one in desks:
        one.context.close()
    assert not complaints, "\n".join(complaints)
