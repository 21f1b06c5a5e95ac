"""Some pages, as axe and a phone see them; `python -m tests.prove.faces` looks at all of them."""

from tests.prove import faces


def test_pages_are_readable_for_everybody_and_ask_nothing_of_outside(chromium, servers):
    outcome = faces.walk(chromium, servers("sqlite"), faces.QUICK)
    assert not outcome.failed, faces.table(outcome, faces.QUICK, "en")
    assert outcome.faces > len(outcome.pages) >= faces.QUICK.pages
