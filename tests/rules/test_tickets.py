"""A ticket on its way."""

from datetime import UTC, datetime

import pytest

from app.models import Staff, Ticket
from app.rules import RuleBroken, tickets
from tests.rules import world

NOW = datetime(2026, 3, 4, 9, 30, tzinfo=UTC)


def test_a_ticket_is_given_to_a_colleague_and_back():
    ticket, agent = Ticket(subject="Broken bottles"), Staff(name="Jonas Weber")
    tickets.assign(ticket, agent)
    assert ticket.owner is agent
    tickets.assign(ticket, None)
    assert ticket.owner is None


def test_who_has_left_gets_no_ticket():
    with pytest.raises(RuleBroken, match="Jonas Weber has left"):
        tickets.assign(Ticket(), Staff(name="Jonas Weber", left_on=NOW.date()))


def test_replies_and_notes_are_told_apart():
    ticket = Ticket()
    tickets.reply(ticket, " We send new ones. ", by=3)
    tickets.note(ticket, "The third time this month", by=3)
    assert [(message.kind, message.body) for message in ticket.messages] == [
        ("reply", "We send new ones."),
        ("note", "The third time this month"),
    ]


@pytest.mark.parametrize("write", [tickets.reply, tickets.note])
@pytest.mark.parametrize("body", [None, "", " \n"])
def test_nothing_is_not_written(write, body):
    with pytest.raises(RuleBroken) as refusal:
        write(Ticket(), body, by=3)
    assert refusal.value.field == "body"


def test_a_message_carries_its_author(as_person, as_system):
    with as_system() as session:
        key = world.ticket(session).id
    with as_person("agent") as session:
        author = world.colleague(session, "Jonas Weber").id
        message = tickets.reply(session.get(Ticket, key), "Hello", by=author)
        session.flush()
        assert message.created_by_id == author


def test_an_open_ticket_is_solved(session):
    ticket = world.ticket(session)
    tickets.solve(session, ticket, now=NOW)
    assert (ticket.stage.outcome, ticket.solved_at) == ("solved", NOW)


def test_a_solved_ticket_cannot_be_solved_again(session):
    with pytest.raises(RuleBroken, match="already Solved"):
        tickets.solve(session, world.ticket(session, at="Solved"), now=NOW)


def test_a_solved_ticket_is_reopened(session):
    ticket = world.ticket(session)
    tickets.solve(session, ticket, now=NOW)
    tickets.reopen(session, ticket)
    assert (str(ticket.stage), ticket.solved_at) == ("New", None)


def test_an_open_ticket_cannot_be_reopened(session):
    with pytest.raises(RuleBroken, match="open already"):
        tickets.reopen(session, world.ticket(session))


def test_moving_a_card_does_what_the_stage_means(session):
    ticket = world.ticket(session)
    tickets.move(session, ticket, world.stage(session, "Waiting", "ticket"), now=NOW)
    assert ticket.solved_at is None
    tickets.move(session, ticket, world.stage(session, "Solved", "ticket"), now=NOW)
    assert ticket.solved_at == NOW
    tickets.move(session, ticket, world.stage(session, "In progress", "ticket"), now=NOW)
    assert (str(ticket.stage), ticket.solved_at) == ("In progress", None)


def test_a_solved_card_may_change_its_place_among_the_solved(session):
    first, second = world.ticket(session, "a", at="Solved"), world.ticket(session, "b", at="Solved")
    tickets.move(session, second, second.stage, now=NOW, before=first)
    assert second.position < first.position
