"""A preview of rights says what then happens, and no head gives more than he holds: the proof in small."""

from tests.prove import rights

QUICK = rights.QUICK


def test_a_preview_says_what_then_happens_and_no_head_gives_more_than_he_holds():
    """Both engines, 200 changes and three heads: `python -m tests.prove.rights`."""
    outcome = rights.prove("sqlite", QUICK, seed=8)  # moves a department and a person
    assert outcome.faults == []
    assert outcome.changes.total() == QUICK.changes and outcome.moved > 0
    assert outcome.doings.total() and outcome.stopped.total()
