"""Random work, undone: after each undo a hash over all business tables is what it was before.

    python -m tests.prove.undo [--engine sqlite|postgresql] [--seed N] [--sequences N] [--quick]

A sequence fills a house by random deeds, each one change set: adding, editing, deleting, bulk edits, reassignment,
merging, importing. Then one set is undone. Either nothing was done since, and every table must be as it was before the
set; or rows of it were changed in between, and these must be listed and stand as they were left, all others as before.
"""

import hashlib
import json

from sqlalchemy import select

from app.access import DOOR
from app.models import ENTITIES

# What is no business of its own: the ledger, what is derived, numbers that are never given again, work and post.
APART = {"change", "change_set", "search_entry", "number_series", "job", "job_file", "outbox_message"}
STAMPS = {"version", "updated_at"}


def state_of(session):
    """(entity, id) -> all values of every business row, past the rule of sight, but for the stamps of edits."""
    state = {}
    for name, model in sorted(ENTITIES.items()):
        if name in APART:
            continue
        columns = [one for one in model.__table__.c if one.name not in STAMPS]
        rows = session.connection().execute(select(*columns), execution_options={DOOR: True})
        for row in rows:
            state[name, row.id] = tuple(_plain(value) for value in row)
    return state


def _plain(value):
    return json.dumps(value, sort_keys=True) if isinstance(value, dict | list) else value


def hash_of(state):
    """One number for all of it."""
    return hashlib.sha256(repr(sorted(state.items())).encode()).hexdigest()
