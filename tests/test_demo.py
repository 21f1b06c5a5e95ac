"""The demo company: enough of every kind, like a real firm's, and only for a database without accounts."""

from collections import Counter
from datetime import UTC, datetime

import pytest
from sqlalchemy import func, select

from app import security
from app.commands import CommandError, demo
from app.commands.demo import CAST, load_if_empty
from app.models import (
    Activity,
    Campaign,
    CampaignMember,
    ChangeSet,
    Company,
    Contact,
    Deal,
    DealLine,
    Department,
    Invoice,
    Staff,
    Stage,
    Ticket,
    TicketMessage,
)
from app.rules import invoices
from tests import factories
from tests.databases import on_both_engines, with_demo, without_accounts


def how_many(session, model, *conditions):
    return session.scalar(select(func.count()).select_from(model).where(*conditions))


def today():
    return datetime.now(UTC).date()


# --------------------------------------------------------------------------------------------- its accounts


@pytest.mark.parametrize("public", ({"HOST": "0.0.0.0"}, {"PUBLIC_URL": "https://crm.example.com"}))
def test_a_password_that_everybody_knows_is_given_where_nobody_else_comes_in(database, public):
    with pytest.raises(CommandError, match="password that everybody knows"):
        demo.run(None, database.settings(**public))


@with_demo
@pytest.mark.parametrize("username", CAST)
def test_everyone_of_the_cast_signs_in(username, client_for):
    assert client_for(username).get("/").user == username


@with_demo
def test_a_wrong_password_does_not_sign_in(anonymous):
    page = anonymous.get("/login/")
    attempt = {"username": "rep.north", "password": "Demo", "csrf_token": page.csrf_token}
    anonymous.post("/login/", attempt, status=(200, 401, 403, 422))
    assert anonymous.get("/", status=(302, 303)).location.startswith("/login/")


@on_both_engines
@with_demo
def test_the_cast_stands_in_its_departments(session):
    placed = {staff.name: staff.department.name for staff in session.scalars(select(Staff))}
    wanted = {f"{first} {last}": department for first, last, department, *_ in CAST.values()}
    assert placed == wanted
    parents = dict(session.execute(select(Department.name, Department.parent_id)).all())
    sales = session.scalar(select(Department.id).where(Department.name == "Sales"))
    assert (parents["North"], parents["South"], parents["Sales"]) == (sales, sales, None)
    assert set(CAST) == set(security.DEMO_USERNAMES)


# --------------------------------------------------------------------------------------------- what it holds


@on_both_engines
@with_demo
def test_there_is_enough_of_everything(session):
    assert how_many(session, Company) >= 60 and how_many(session, Contact) >= 200
    assert how_many(session, Deal) >= 100 and how_many(session, DealLine) >= 200
    assert how_many(session, Ticket) >= 30 and how_many(session, TicketMessage) >= 30
    assert how_many(session, Campaign) >= 4 and how_many(session, CampaignMember) >= 100
    assert how_many(session, Activity) >= 100
    kinds = set(session.scalars(select(Company.kind)))
    assert kinds == {"customer", "prospect", "supplier", "partner"}


@with_demo
def test_every_stage_and_many_months_hold_deals(session):
    by_stage = Counter(session.scalars(select(Stage.name).join(Deal, Deal.stage_id == Stage.id)))
    assert set(by_stage) == {"New", "Qualified", "Proposal", "Negotiation", "Won", "Lost"}
    won = session.scalars(select(Deal.closed_on).join(Deal.stage).where(Stage.outcome == "won")).all()
    assert len({(day.year, day.month) for day in won}) >= 6
    assert max(won) <= today() and not [
        deal for deal in session.scalars(select(Deal)) if deal.opened_on > today()
    ]
    lost = session.scalars(select(Deal).join(Deal.stage).where(Stage.outcome == "lost"))
    assert all(deal.lost_reason for deal in lost)
    assert {deal.department.name for deal in session.scalars(select(Deal))} == {"North", "South"}


@with_demo
def test_invoices_stand_in_every_state_and_without_a_gap(session):
    rows = session.scalars(select(Invoice).order_by(Invoice.number)).all()
    states = Counter(invoices.state(row, today()) for row in rows)
    assert set(states) >= {"draft", "paid", "overdue"} and states["open"] + states["partly paid"] >= 1, states
    by_year = {}
    for row in rows:
        if row.is_issued:
            by_year.setdefault(row.issued_on.year, []).append(int(row.number.rsplit("-", 1)[1]))
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in by_year.values())
    assert {line.tax_percent for row in rows for line in row.lines} >= {19, 7}


@with_demo
def test_people_have_something_to_do_today(session):
    tasks = session.scalars(select(Activity).where(Activity.kind == "task", Activity.done_at.is_(None))).all()
    assert [task for task in tasks if task.due_on == today()]
    assert [task for task in tasks if task.due_on < today()]
    assert [task for task in tasks if task.due_on > today()]


@with_demo
def test_nothing_lies_in_the_future_but_what_is_planned(session):
    now = datetime.now(UTC)
    for model in (Company, Contact, Deal, Ticket, TicketMessage, Activity):
        assert how_many(session, model, model.created_at > now) == 0, model
    assert how_many(session, Ticket, Ticket.solved_at > now) == 0


@with_demo
def test_names_are_of_many_scripts_and_every_mailbox_is_ascii(session):
    names = " ".join(session.scalars(select(Contact.last_name)))
    for letter in ("ü", "Ш", "佐", "김", "ن", "Π"):
        assert letter in names or letter in " ".join(session.scalars(select(Contact.first_name))), letter
    emails = session.scalars(select(Contact.email)).all()
    assert all(email.isascii() and email.endswith(".example") for email in emails)
    assert not [email for email in emails if email.startswith(".") or ".@" in email]


# --------------------------------------------------------------------------------------------- when it is loaded


@with_demo
def test_it_is_one_change_set_and_not_loaded_twice(app, as_system):
    with as_system() as session:
        assert how_many(session, ChangeSet, ChangeSet.why == "demo company") == 1
    assert load_if_empty(app, say=print) is False


@without_accounts
def test_a_database_with_other_accounts_is_left_alone(app, as_system, database):
    with as_system() as session:
        factories.make(session, "staff", username="owner", password="a real password")
        before = how_many(session, Company)
    assert load_if_empty(app, say=print) is False
    with pytest.raises(CommandError, match="accounts of its own"):
        demo.run(None, database.settings())
    with as_system() as session:
        assert how_many(session, Company) == before


@with_demo
def test_loading_it_again_by_hand_says_so(database, capsys):
    assert demo.run(None, database.settings()) is None
    assert "loaded already" in capsys.readouterr().out
