"""Tickets: who works on one, what is written, and when it is solved."""

from app.extensions import N_
from app.models import TicketMessage
from app.rules import RuleBroken, boards
from app.rules.boards import first_stage

__all__ = ["assign", "first_stage", "is_solved", "move", "note", "reopen", "reply", "solve"]


def is_solved(ticket):
    """Whether nothing is left to do."""
    return ticket.stage is not None and ticket.stage.outcome != "open"


def assign(ticket, to):
    """Give the ticket to a colleague (a Staff row), or to nobody (None)."""
    if to is not None and to.has_left:
        raise RuleBroken(
            N_("%(person)s has left and cannot take a ticket."), field="owner_id", person=str(to)
        )
    ticket.owner = to


def reply(ticket, body, *, by):
    """Write what the customer reads. `by` is the id of the author."""
    return _write(ticket, "reply", body, by)


def note(ticket, body, *, by):
    """Write what only colleagues read. `by` is the id of the author."""
    return _write(ticket, "note", body, by)


def _write(ticket, kind, body, by):
    body = (body or "").strip()
    if not body:
        raise RuleBroken(N_("There is nothing written yet."), field="body")
    message = TicketMessage(kind=kind, body=body, created_by_id=by)
    ticket.messages.append(message)
    return message


def solve(session, ticket, *, now):
    """Close an open ticket at this moment."""
    _check_open(ticket)
    _solve(session, ticket, boards.stage_for(session, ticket, "solved"), now)


def reopen(session, ticket):
    """Take a solved ticket up again, in the first open stage."""
    if not is_solved(ticket):
        raise RuleBroken(N_("“%(ticket)s” is open already."), ticket=str(ticket))
    boards.place(session, ticket, boards.stage_for(session, ticket, "open"))
    ticket.solved_at = None


def move(session, ticket, stage, *, now, before=None, after=None):
    """Put the ticket into a stage of a board, and do what that means: solve, reopen, or only go on."""
    if stage.id == ticket.stage_id or (stage.outcome == "open" and not is_solved(ticket)):
        boards.place(session, ticket, stage, before=before, after=after)
    elif stage.outcome == "open":
        boards.place(session, ticket, stage, before=before, after=after)
        ticket.solved_at = None
    else:
        _check_open(ticket)
        _solve(session, ticket, stage, now, before=before, after=after)


def _check_open(ticket):
    if is_solved(ticket):
        raise RuleBroken(
            N_("“%(ticket)s” is already %(stage)s."), ticket=str(ticket), stage=str(ticket.stage)
        )


def _solve(session, ticket, stage, now, **where):
    boards.place(session, ticket, stage, **where)
    ticket.solved_at = now
