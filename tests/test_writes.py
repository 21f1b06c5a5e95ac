"""What nobody may write is stored through no door: `python -m tests.prove.writes` in small."""

from tests.prove import writes


def test_what_is_not_ones_to_write_is_stored_through_no_door():
    outcome = writes.prove("sqlite", writes.QUICK)
    assert outcome.faults == [] and outcome.stored == 0
    assert outcome.tried.total() > 70 and outcome.controls > 8
    assert {way for _, way, _ in outcome.tried} == set(writes.WAYS)
    assert {kind for _, _, kind in outcome.tried} == set(writes.KINDS)
