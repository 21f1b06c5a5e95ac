"""The boards: a move answers with the figures of the board it was made on, and leads back to it."""

import re
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.rules import world

JSON = {"Accept": "application/json"}


@pytest.fixture
def deal(as_system):
    """Of two deals in "New", the one that Ingrid Solberg owns: (id, id of the stage it goes to)."""
    with as_system() as session:
        others = world.deal(session, name="Not mine", amount="7.00")
        others.owner_id = None
        mine = world.deal(session, name="Mine", amount="100.00")
        return mine.id, mine.stage_id, world.stage(session, "Qualified").id


def move_url(page, deal_id):
    """Where the drag of this card goes, as the board says."""
    return (
        re.search(rf'data-move-url="(/deals/{deal_id}/move[^"]*)"', page.html).group(1).replace("&amp;", "&")
    )


@pytest.mark.parametrize(("board", "left_behind"), [("/deals/board", 1), ("/deals/board?owner=me", 0)])
def test_a_drag_answers_with_the_figures_of_its_board(client_for, deal, board, left_behind):
    deal_id, left, stage_id = deal
    north = client_for("rep.north")
    url = move_url(north.get(board), deal_id)
    wish = {"stage_id": stage_id, "version": 1}
    columns = north.post(url, wish, 200, headers=JSON).json["columns"]
    assert columns[str(left)]["count"] == left_behind
    assert columns[str(stage_id)]["count"] == 1
    assert "100" in columns[str(stage_id)]["sums"]


def test_a_move_by_form_leads_back_to_the_same_board(client_for, deal):
    deal_id, left, stage_id = deal
    north = client_for("rep.north")
    page = north.get(f"/deals/board?owner=me&cards-{left}=75")
    action = next(form.action for form in page.forms if form.action.startswith(f"/deals/{deal_id}/move"))
    back = north.post(action, {"stage_id": stage_id, "version": 1}).location
    asked = parse_qs(urlsplit(back).query)
    assert (asked["owner"], asked[f"cards-{left}"]) == (["me"], ["75"])
    assert asked["pipeline"]
    assert "Mine" in north.get(back)
