"""The start page: what it counts as due is what its link shows, and "Add a task" opens a task."""

from datetime import UTC, datetime, timedelta

from app.views.reading import today
from tests.factories import make
from tests.rules import world


def test_the_due_tasks_are_those_that_the_link_shows(client_for, as_system):
    with as_system() as session:
        mine = {
            "kind": "task",
            "owner_id": world.colleague(session).id,
            "department_id": world.department(session).id,
            "done_at": None,
        }
        make(session, "activity", **mine | {"subject": "Late call", "due_on": today() - timedelta(days=1)})
        make(session, "activity", **mine | {"subject": "Call of today", "due_on": today()})
        make(session, "activity", **mine | {"subject": "Some day", "due_on": None})
        make(session, "activity", **mine | {"subject": "Next week", "due_on": today() + timedelta(days=7)})
        done = {"subject": "Done one", "due_on": today(), "done_at": datetime.now(UTC)}
        make(session, "activity", **mine | done)
    north = client_for("rep.north")
    home = north.get("/")
    shown = north.get(next(link for link in home.links if link.startswith("/activities/?")))
    for page in (home, shown):
        assert "Late call" in page
        assert "Call of today" in page
        for other in ("Some day", "Next week", "Done one"):
            assert other not in page


def test_add_a_task_opens_a_task(client_for):
    north = client_for("rep.north")
    href = next(link for link in north.get("/").links if link.startswith("/activities/new?kind="))
    assert dict(north.get(href).form("/activities/new").fields)["kind"] == "task"
    form = north.get("/activities/new?kind=nonsense").form("/activities/new")
    assert dict(form.fields)["kind"] == "note"
