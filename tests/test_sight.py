"""Random questions under random rights get the answers of plain Python; `python -m tests.prove.sight` asks 10,000."""

import pytest

from tests.prove import sight


@pytest.mark.parametrize("way", sight.WAYS)
def test_random_rights_see_what_plain_python_finds(way):
    outcome = sight.prove(way, questions=50, people=12, seed=4)
    assert outcome.faults == []
    assert outcome.tried == 50 and outcome.with_rows > 12
