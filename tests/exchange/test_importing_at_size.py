"""A trial of `tests/prove/imports.py` in small: an import whose process is killed leaves nothing half done."""

import random

from tests import databases
from tests.prove import imports


def test_a_killed_import_leaves_nothing_and_comes_to_its_end_when_it_is_taken_up(tmp_path):
    size, path = imports.Size(rows=400, kills=1), tmp_path / "people.csv"
    path.write_bytes(imports.people(size.rows, 7))
    outcome = imports.Outcome("sqlite", "", rows=size.rows, imported=0.5)
    with databases.fresh_database("sqlite") as database:
        imports.kill(database, path, size, random.Random(7), outcome)
    assert outcome.faults == []
    assert (outcome.killed, outcome.resumed) == (1, 1)
