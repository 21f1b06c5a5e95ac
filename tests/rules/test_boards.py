"""Cards keep their order."""

import pytest
from sqlalchemy import select

from app.models import Deal, Pipeline, Stage
from app.rules import RuleBroken, boards
from tests.rules import world


def order(session, name="New"):
    session.flush()
    stage = world.stage(session, name)
    rows = session.scalars(select(Deal).where(Deal.stage_id == stage.id).order_by(Deal.position, Deal.id))
    return "".join(row.name for row in rows)


@pytest.fixture
def cards(session):
    return {name: world.deal(session, name) for name in "abcd"}


def test_a_new_card_comes_to_the_end(session, cards):
    assert order(session) == "abcd"


def test_a_card_is_put_before_another(session, cards):
    boards.place(session, cards["d"], cards["d"].stage, before=cards["b"])
    assert order(session) == "adbc"


def test_a_card_is_put_before_the_first(session, cards):
    boards.place(session, cards["d"], cards["d"].stage, before=cards["a"])
    assert order(session) == "dabc"


def test_a_card_is_put_after_another(session, cards):
    boards.place(session, cards["a"], cards["a"].stage, after=cards["c"])
    assert order(session) == "bcad"


def test_a_card_is_put_after_the_last(session, cards):
    boards.place(session, cards["a"], cards["a"].stage, after=cards["d"])
    assert order(session) == "bcda"


def test_without_a_neighbour_it_is_the_end(session, cards):
    boards.place(session, cards["b"], cards["b"].stage)
    assert order(session) == "acdb"


def test_a_neighbour_that_has_left_the_stage_counts_as_none(session, cards):
    boards.place(session, cards["b"], world.stage(session, "Qualified"))
    boards.place(session, cards["a"], cards["a"].stage, before=cards["b"])
    assert order(session) == "cda"


def test_one_move_is_one_change(session, cards):
    before = cards["a"].version
    boards.place(session, cards["a"], world.stage(session, "Qualified"))
    session.flush()
    assert cards["a"].version == before + 1


def test_the_order_holds_however_often_one_squeezes_in_between(session, cards):
    stage = cards["a"].stage
    for _ in range(40):
        boards.place(session, cards["c"], stage, after=cards["a"])
        session.flush()
        boards.place(session, cards["d"], stage, after=cards["a"])
        assert order(session) == "adcb"


def test_cards_that_share_a_position_can_be_told_apart(session, cards):
    for card in cards.values():
        card.position = 0.0
    session.flush()
    boards.place(session, cards["d"], cards["d"].stage, before=cards["c"])
    assert order(session) == "abdc"
    boards.place(session, cards["a"], cards["a"].stage, after=cards["b"])
    assert order(session) == "badc"


def test_a_deal_cannot_stand_among_tickets(session, cards):
    with pytest.raises(RuleBroken, match="cannot stand in"):
        boards.place(session, cards["a"], world.stage(session, "Waiting", "ticket"))


def test_new_cards_start_in_the_first_open_stage(session):
    assert str(boards.first_stage(session, "deal")) == "New"
    assert boards.first_stage(session, "ticket").pipeline.kind == "ticket"


def test_without_a_pipeline_one_is_told_so(session):
    for stage in session.scalars(select(Stage).join(Stage.pipeline).where(Pipeline.kind == "ticket")):
        stage.outcome = "solved"
    with pytest.raises(RuleBroken, match="no pipeline"):
        boards.first_stage(session, "ticket")
