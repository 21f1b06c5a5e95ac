"""The boards: a move answers with the figures of the board it was made on, and leads back to it."""

import re
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import event

from app.access import DOOR
from app.extensions import db
from app.models import Activity, Deal, Stage
from tests import factories
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


def test_a_move_says_what_was_done_and_is_taken_back(client_for, deal):
    deal_id, _left, stage_id = deal
    north = client_for("rep.north")
    url = move_url(north.get("/deals/board"), deal_id)
    said = north.post(url, {"stage_id": stage_id, "version": 1}, 200, headers=JSON).json["notes"]
    assert "“Mine” moved to “Qualified”." in said
    undo = re.search(r"/changes/\d+/undo", said).group(0)
    north.submit(undo, action=undo)
    assert re.search(r'<option value="\d+" selected>New', card_of(north.get("/deals/board"), deal_id))


def test_a_click_on_the_path_moves_a_ticket_too(client_for, as_system):
    with as_system() as session:
        ticket = factories.make(session, "ticket", subject="On its way").id
    agent = client_for("agent")
    stages = re.findall(r'name="stage_id" value="(\d+)"', agent.get(f"/tickets/{ticket}").html)
    page = agent.post(f"/tickets/{ticket}/stage", {"stage_id": stages[0], "version": 1}, follow=True)
    assert "“On its way” moved to" in page


def test_cards_say_when_the_next_activity_is_due_and_that_they_rot(client_for, as_system, deal):
    deal_id, left, _ = deal
    with as_system() as session:
        session.get(Stage, left).rots_after_days = 10
        today = datetime.now(UTC).date()
        north = factories.department(session, "North")
        task = {"kind": "task", "deal_id": deal_id, "department": north, "due_on": today - timedelta(days=2)}
        late = factories.make(session, "activity", subject="Call", **task)
        assert late.id
    north = client_for("rep.north")
    page = north.get("/deals/board")
    assert "An activity is overdue since" in card_of(page, deal_id) and "Untouched" not in page
    assert "No next activity" in page, "on the other card"
    with as_system() as session:
        long_ago = datetime.now(UTC) - timedelta(days=30)
        for table in (Deal, Activity):
            session.connection().execute(
                table.__table__.update().values(updated_at=long_ago, created_at=long_ago),
                execution_options={DOOR: True},
            )
    assert "Untouched for 30 days" in card_of(north.get("/deals/board"), deal_id)


def test_a_board_asks_no_more_than_eight_questions(client_for, app, deal):
    north, said = client_for("rep.north"), []
    north.get("/deals/board")
    with app.app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", lambda *asked: said.append(asked[2]))
    north.get("/deals/board")
    assert len([one for one in said if not one.startswith("BEGIN")]) <= 8, said


def card_of(page, deal_id):
    return page.html.split(f'data-id="{deal_id}"', 1)[1].split("</li>", 1)[0]
