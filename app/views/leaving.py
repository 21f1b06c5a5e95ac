"""What every export says before it goes: who takes what along, and under which code."""

from datetime import UTC, datetime

from flask import g, request

from app.extensions import db
from app.rules import leaving_the_house


class Departure:
    """One file that leaves the house: written down before its first row, counted while it goes."""

    def __init__(self, entity, words, *, kind="export", record_id=None, rows=0):
        self.trace = leaving_the_house.new_trace()
        self.mark = leaving_the_house.mark_of(self.trace)
        self._tally = leaving_the_house.Tally()
        db.session.rollback()  # what was only looked up; the ledger is written by a session of its own
        self._entry_id = leaving_the_house.write_down(
            g.principal,
            kind=kind,
            entity=entity,
            question=f"{words}\n{request.full_path.rstrip('?')}",
            at=datetime.now(UTC),
            trace=self.trace,
            record_id=record_id,
            rows=rows,
        )

    def counting(self, rows):
        return self._tally.of(rows)

    def over(self):
        """The last row is out, or nobody takes any more."""
        leaving_the_house.say_how_many(self._entry_id, self._tally.rows)
