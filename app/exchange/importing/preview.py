"""A plan as it is shown: plain rows of JSON, so that it can be kept with a job and leafed through."""

from collections import Counter

from app.exchange.importing import plan
from app.exchange.importing.cells import normal
from app.exchange.importing.lookups import New
from app.ledger import plain

SHOWN = 20_000  # rows that are kept to be looked at; all are counted


def preview(desk, progress=lambda done, total: None):
    """{"counts", "warned", "made", "rows"} of a plan; rows that change nothing are counted only."""
    counts, made, rows, warned = Counter(), set(), [], 0
    for item in plan(desk, progress):
        counts[item.action] += 1
        warned += bool(item.warnings)
        made.update(normal(value.name) for value in item.values.values() if isinstance(value, New))
        if len(rows) < SHOWN and item.action not in ("unchanged", "skipped"):
            rows.append(_row(item))
    return {"counts": dict(counts), "warned": warned, "made": len(made), "rows": rows}


def _row(item):
    return {
        "row": item.record.number,
        "action": item.action,
        "id": item.id,
        "name": item.name,
        "changes": [[name, _shown(before), _shown(after)] for name, (before, after) in item.changes.items()]
        if not item.reasons
        else [],
        "reasons": [[one.column, one.message, one.values] for one in item.reasons],
        "warnings": [[one.message, one.values] for one in item.warnings],
    }


def _shown(value):
    return {"new": value.name} if isinstance(value, New) else plain(value)
