"""A preview of rights says what then happens, and no head gives more than he holds: the proof in small."""

from tests import databases
from tests.prove import rights

QUICK = rights.QUICK


@databases.on_both_engines
def test_a_preview_says_what_then_happens_and_no_head_gives_more_than_he_holds(engine):
    outcome = rights.prove(engine, QUICK, seed=7)
    assert outcome.faults == []
    assert outcome.changes.total() == QUICK.changes and outcome.moved
    assert outcome.doings.total() and outcome.stopped.total()
