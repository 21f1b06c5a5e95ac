"""The bell: mentions, assignments and due tasks, told with the change and to those who may see it."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from app import bell
from app.models import Activity, Notification, Staff
from app.security import User
from app.views.notifications import tell_of_due_tasks
from tests import databases, factories


@pytest.fixture
def deal_id(as_system):
    with as_system() as session:
        department = factories.department(session, "North")
        return factories.make(session, "deal", name="Big one", department=department).id


def id_of(session, username):
    return session.scalars(select(User.id).where(User.username == username)).one()


def name_of(as_system, username):
    with as_system() as session:
        return session.get(Staff, id_of(session, username)).name


def told(as_system):
    with as_system() as session:
        named = select(User.username, Notification.kind, Notification.entity, Notification.record_id)
        found = session.execute(named.join(User, User.id == Notification.user_id).order_by(Notification.id))
        return [tuple(one) for one in found]


def write(client, deal_id, body, **more):
    return client.submit(f"/deals/{deal_id}", action="/activities/log", body=body, follow=True, **more)


@databases.on_both_engines
def test_a_mention_rings_once_and_opens_what_it_is_about(client_for, as_system, deal_id):
    head = name_of(as_system, "head.sales")
    write(client_for("rep.north"), deal_id, f"Please look, @{head}\nand again @{head}.")
    with as_system() as session:
        key = session.scalars(select(Activity.id).where(Activity.deal_id == deal_id)).one()
    assert told(as_system) == [("head.sales", "mention", "activity", key)]
    client = client_for("head.sales")
    assert "Notifications: 1 new" in client.get(f"/deals/{deal_id}")
    page = client.get("/notifications/")
    assert "mentioned you" in page and "Please look" in page
    form = next(form for form in page.forms if form.action.endswith("/open"))
    opened = client.submit(page, action=form.action, follow=True)
    assert opened.url == f"/activities/{key}"
    assert "new" not in opened.text.split("Notifications", 1)[1][:10]


@databases.on_both_engines
def test_who_may_not_see_it_is_not_told_and_the_author_hears_that(client_for, as_system, deal_id):
    stranger = name_of(as_system, "rep.south")
    page = write(client_for("rep.north"), deal_id, f"What do you think, @{stranger}?")
    assert told(as_system) == []
    assert f"{stranger} may not see this, and was not told." in page


def test_an_assignment_rings_for_the_new_owner_alone(client_for, as_system, deal_id):
    with as_system() as session:
        owner = id_of(session, "rep.north")
    client = client_for("head.sales")
    client.submit(f"/deals/{deal_id}/edit", action=f"/deals/{deal_id}/edit", owner_id=str(owner))
    assert told(as_system) == [("rep.north", "assigned", "deal", deal_id)]
    client.submit(f"/deals/{deal_id}/edit", action=f"/deals/{deal_id}/edit", notes="no news for him")
    assert len(told(as_system)) == 1


def test_taking_something_oneself_rings_for_nobody(client_for, as_system, deal_id):
    with as_system() as session:
        me = id_of(session, "head.sales")
    client_for("head.sales").submit(
        f"/deals/{deal_id}/edit", action=f"/deals/{deal_id}/edit", owner_id=str(me)
    )
    assert told(as_system) == []


@databases.on_both_engines
def test_a_due_task_rings_once_and_falls_silent_when_done(client_for, as_system, app, deal_id):
    with as_system() as session:
        owner, now = id_of(session, "rep.north"), datetime.now(UTC)
        mine = {"kind": "task", "owner_id": owner, "deal_id": deal_id}
        mine["department"] = factories.department(session, "North")
        key = factories.make(session, "activity", subject="Call back", due_on=now.date(), **mine).id
        factories.make(session, "activity", subject="Later", due_on=now.date() + timedelta(days=3), **mine)
    with app.app_context():
        tell_of_due_tasks(app.config["SETTINGS"], now)
        tell_of_due_tasks(app.config["SETTINGS"], now)
    assert told(as_system) == [("rep.north", "due", "activity", key)]
    client = client_for("rep.north")
    assert "Notifications: 1 new" in client.get("/deals/")
    client.submit(f"/activities/{key}", action=f"/activities/{key}/done")
    assert "Notifications: 1 new" not in client.get("/deals/")


def test_nobody_opens_or_reads_what_another_was_told(client_for, as_system, deal_id):
    write(client_for("rep.north"), deal_id, f"@{name_of(as_system, 'head.sales')} see")
    with as_system() as session:
        key = session.scalars(select(Notification.id)).one()
    other = client_for("rep.south")
    assert "mentioned you" not in other.get("/notifications/")
    other.post(f"/notifications/{key}/open", status=404)
    other.post("/notifications/read")
    assert "Notifications: 1 new" in client_for("head.sales").get("/")


def test_all_is_marked_as_read_at_once(client_for, as_system, deal_id):
    client = client_for("rep.north")
    for number in range(2):
        write(client, deal_id, f"{number} @{name_of(as_system, 'head.sales')}")
    head = client_for("head.sales")
    assert "Notifications: 2 new" in head.get("/notifications/")
    head.submit("/notifications/", action="/notifications/read")
    assert "2 new" not in head.get("/notifications/")


def test_what_is_deleted_rings_no_more(client_for, as_system, deal_id):
    client = client_for("rep.north")
    write(client, deal_id, f"@{name_of(as_system, 'head.sales')} see")
    with as_system() as session:
        key = session.scalars(select(Activity.id).where(Activity.deal_id == deal_id)).one()
    client.submit(f"/activities/{key}", action=f"/activities/{key}/delete")
    assert told(as_system) == []


@pytest.mark.parametrize(
    "text, found",
    [
        ("@Ann Lee!", [1]),
        ("@ann lee", [1]),
        ("@Ann Leeds", [2]),
        ("mail@Ann Lee", []),
        ("Ann Lee", []),
        ("@Ann", []),
    ],
)
def test_a_mention_is_the_whole_name_behind_an_at(text, found):
    assert bell.mentioned(text, [(1, "Ann Lee"), (2, "Ann Leeds")]) == found
