"""Leavers: nobody goes while work waits for him; what he has in hand goes to others by a rule, and can come back."""

from datetime import date, timedelta

import pytest
from sqlalchemy import select

from app import access, in_hand, security, undo
from app.models import Change, ChangeSet, Company, Deal, Deputy, Staff, Ticket
from app.rules import RuleBroken, handing_over
from app.rules.handing_over import HEAD, PERSON, TURNS, Choice
from tests import databases
from tests.factories import department, make

TODAY = date.today()


@pytest.fixture
def firm(as_system):
    """Open and closed work of rep.north; usernames -> ids."""
    with as_system() as session:
        ids = dict(session.execute(select(security.User.username, security.User.id)).all())
        north = {"department_id": department(session, "North").id, "owner_id": ids["rep.north"]}
        company = make(session, "company", name="Ernst Handel", **north)
        for number in range(4):
            make(session, "deal", name=f"Open {number}", company=company, **north)
        stage = session.scalar(select(access.models.Stage).where(access.models.Stage.outcome == "won"))
        make(session, "deal", name="Won", company=company, stage=stage, **north)
        make(session, "activity", kind="task", subject="Call", company=company, done_at=None, **north)
        session.add(
            Deputy(
                owner_id=ids["rep.south"],
                deputy_id=ids["rep.north"],
                department_id=department(session, "South").id,
                starts_on=TODAY,
                ends_on=TODAY + timedelta(days=3),
            )
        )
        security.create_account(
            session,
            username="second",
            first_name="Second",
            last_name="North",
            email="second@foyer.example",
            department_id=north["department_id"],
            roles=["sales"],
        )
        session.flush()
        return ids | {"second": session.scalar(select(security.User.id).filter_by(username="second"))}


def _hand_over(app, firm, choices):
    with app.app_context():
        by = handing_over.in_the_name_of(security.load_principal(firm["admin"]))
        with access.session_for(by, door="page") as session:
            plan = handing_over.plan(session, firm["rep.north"], choices, today=TODAY)
            return plan, handing_over.hand_over(session, plan, today=TODAY)


@databases.on_both_engines
def test_whoever_has_work_in_hand_cannot_go_but_his_door_can_be_closed(app, as_system, firm):
    with as_system() as session, pytest.raises(in_hand.StillInHand) as refused:
        security.set_active(session, firm["rep.north"], False, today=TODAY)
    assert refused.value.work == {"deal": 4, "activity": 1, "deputy": 1}
    with as_system() as session:
        security.set_active(session, firm["rep.north"], False, today=TODAY, at_once=True)
    with as_system() as session:
        assert not session.get(security.User, firm["rep.north"]).active
        assert session.get(Staff, firm["rep.north"]).left_on is None, "not before his work is handed over"


@databases.on_both_engines
def test_all_goes_to_one_person_as_one_set_and_comes_back(app, as_system, firm):
    everything = dict.fromkeys(("*", *in_hand.CUSTOMERS), Choice(PERSON, firm["second"]))
    plan, key = _hand_over(app, firm, everything)
    assert plan.counts() == [("Second North", {"deal": 4, "activity": 1, "company": 1})]
    with as_system() as session:
        leaver = session.get(Staff, firm["rep.north"])
        assert leaver.left_on == TODAY and not session.get(security.User, firm["rep.north"]).active
        owners = dict(session.execute(select(Deal.name, Deal.owner_id)).all())
        assert owners.pop("Won") == firm["rep.north"], "what is closed keeps its name"
        assert set(owners.values()) == {firm["second"]}
        assert session.scalars(select(Deputy)).all() == []
        assert session.get(ChangeSet, key).by_id == firm["admin"]
        changed = select(Change.entity).where(Change.change_set_id == key)
        assert sorted(session.scalars(changed)) == ["activity", "company", *["deal"] * 4, "deputy"]
    with app.app_context():
        head = security.load_principal(firm["head.sales"])
        with access.session_for(head, door="undo") as session:
            undo.undo(session, key)
    with as_system() as session:
        owners = set(session.scalars(select(Deal.owner_id)))
        assert owners == {firm["rep.north"]}
        assert session.scalar(select(Company.owner_id)) == firm["rep.north"]


def test_by_turns_each_of_the_department_gets_his_part(app, as_system, firm):
    with as_system() as session:
        security.set_roles(
            session, firm["rep.south"], ["sales"], department_id=department(session, "North").id
        )
    plan, _ = _hand_over(app, firm, {"*": Choice(TURNS), "activity": Choice(HEAD)})
    given = list(plan.given["deal"].values())
    assert sorted(given.count(firm[name]) for name in ("second", "rep.south")) == [2, 2]
    assert set(plan.given["activity"].values()) == {firm["head.sales"]}


def test_nobody_gets_what_he_may_not_edit(app, as_system, firm):
    with pytest.raises(RuleBroken, match="5 records"):
        _hand_over(app, firm, {"*": Choice(PERSON, firm["agent"])})
    with as_system() as session:
        assert session.get(security.User, firm["rep.north"]).active
        assert session.scalars(select(Ticket)).all() == []
    with pytest.raises(RuleBroken, match="cannot have it"):
        _hand_over(app, firm, {"*": Choice(PERSON, firm["rep.north"])})


def test_an_admin_hands_over_on_the_pages_and_the_head_reads_the_sheet(app, client_for, firm):
    admin, path = client_for("admin"), f"/staff/{firm['rep.north']}"
    refused = admin.submit(f"{path}/edit", f"{path}/edit", status=422, is_open=None)
    assert "still has work in hand" in refused
    assert f"{path}/hand-over" in admin.get(path).links
    form = admin.get(f"{path}/hand-over")
    assert "Deals: 4" in form and "Open 1" not in form
    forms = [one for one in form.forms if one.action == f"{path}/hand-over"]
    preview = admin.post(f"{path}/hand-over", forms[0].with_values({"person_id": firm["second"]}), status=200)
    assert "Second North" in preview
    confirm = next(one for one in preview.forms if "confirm" in dict(one.fields))
    admin.post(f"{path}/hand-over", confirm.with_values({}))
    assert "left" in admin.get(path).text.lower()
    head = client_for("head.sales")
    page = head.get("/hand-overs/")
    sheet = next(link for link in page.links if link.endswith("/sheet"))
    assert head.get(sheet).response.mimetype == "application/pdf"
    client_for("rep.south").get(sheet, status=404)
    assert "Hand-over" in head.get("/reads/")


def test_the_command_says_what_is_still_in_hand(app, as_system, firm):
    from argparse import Namespace

    from app.commands import CommandError, user

    told = {"username": "rep.north", "hand_over": None, "at_once": False}
    with as_system() as session, pytest.raises(CommandError, match="4 deal"):
        user.deactivate(session, Namespace(**told), today=TODAY)
    with as_system() as session:
        user.deactivate(session, Namespace(**told | {"hand_over": "second"}), today=TODAY)
    with as_system() as session:
        assert session.get(Staff, firm["rep.north"]).left_on == TODAY
