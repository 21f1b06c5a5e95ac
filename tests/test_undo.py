"""Undo: all as it was before, but for what was changed since, what is frozen, and what is not one's own."""

from contextlib import contextmanager
from decimal import Decimal

import pytest
from sqlalchemy import func, select

from app import search, undo
from app.models import (
    Activity,
    Campaign,
    CampaignMember,
    Change,
    ChangeSet,
    Company,
    Contact,
    Deal,
    Department,
    ExternalKey,
    SearchEntry,
    Tag,
    Tagging,
)
from app.rules import deals, invoices, merging
from tests import databases
from tests.databases import on_both_engines
from tests.prove import undo as random_work
from tests.prove import undo_by_name as by_name
from tests.prove.undo import state_of
from tests.rules import world


@pytest.fixture
def deed(as_system, as_person):
    """`with deed() as (session, done):` — one change set; afterwards `done["id"]` names it."""

    @contextmanager
    def begin(username=None):
        done = {}
        with as_person(username) if username else as_system() as session:
            yield session, done
            session.flush()
            done["id"] = session.info.get("change_set_id")

    return begin


@pytest.fixture
def state(as_system):
    """All business rows as they stand now."""

    def look():
        with as_system() as session:
            return state_of(session)

    return look


@pytest.fixture
def take_back(as_system, as_person):
    """`take_back(done)` undoes that change set, as the system or as a colleague."""

    def run(done, username=None):
        with as_person(username) if username else as_system() as session:
            return undo.undo(session, done["id"])

    return run


def listed(undone):
    """(entity, id) -> why it was left."""
    return {(one.entity, one.record_id): one.reason for one in undone.left}


# --------------------------------------------------------------------------------------------- as it was


@on_both_engines
def test_what_was_edited_is_as_before(deed, state, take_back):
    with deed() as (session, _):
        key = world.company(session).id
    before = state()
    with deed() as (session, done):
        row = session.get(Company, key)
        row.city, row.notes = "Wien", "moved"
        session.flush()
        row.city, row.kind = "Linz", "partner"
    undone = take_back(done)
    assert state() == before
    assert undone.restored == {("company", "edit"): 1}
    assert undone.left == []


@on_both_engines
def test_what_was_deleted_is_back_under_its_old_number_with_its_parts_and_stamps(deed, state, take_back):
    with deed("rep.north") as (session, _):
        deal = world.deal(session, customer=world.company(session), amount="5.00")
        deals.add_line(deal, description="Chair", quantity=2, unit_price=Decimal("10.05"))
        deals.add_line(deal, description="Table", quantity=Decimal("0.125"), unit_price=Decimal("99.9999"))
        session.flush()
        key = deal.id
    before = state()
    with deed() as (session, done):
        session.delete(session.get(Deal, key))
    assert ("deal", key) not in state()
    undone = take_back(done)
    assert state() == before
    assert undone.restored == {("deal", "delete"): 1, ("deal_line", "delete"): 2}


def test_a_row_that_came_back_has_a_version_that_nobody_has_seen(deed, take_back, as_system):
    with deed() as (session, _):
        row = world.company(session)
        row.city = "Wien"
        session.flush()
        key, version = row.id, row.version
    with deed() as (session, done):
        session.delete(session.get(Company, key))
    take_back(done)
    with as_system() as session:
        assert session.get(Company, key).version > version


@on_both_engines
def test_what_was_added_is_gone_with_all_that_came_with_it(deed, state, take_back, as_system):
    before = state()
    with deed() as (session, done):
        company = world.company(session)
        contact = world.contact(session, company_id=company.id)
        deal = world.deal(session, customer=company)
        deal.contact = contact
        deals.add_line(deal, product=world.product(session), quantity=2)
        session.add(Activity(subject="Call", deal_id=deal.id, department_id=deal.department_id))
        session.add(ExternalKey(source="old", entity="contact", their_id="7", record_id=contact.id))
        session.add(Tagging(tag=Tag(name="vip"), entity="company", record_id=company.id))
    undone = take_back(done)
    assert undone.left == []
    assert state() == before
    with as_system() as session:
        assert session.scalar(select(func.count(SearchEntry.id)).where(SearchEntry.entity == "contact")) == 0


@on_both_engines
def test_what_was_moved_goes_back_to_the_record_that_was_merged_away(deed, state, take_back, as_system):
    with deed() as (session, _):
        keeper, other = world.contact(session, "Mendel"), world.contact(session, "Mendl", city="Graz")
        deal = world.deal(session)
        deal.contact = other
        campaign = Campaign(name="Spring", currency="EUR", department_id=deal.department_id)
        campaign.members = [CampaignMember(contact=keeper), CampaignMember(contact=other)]
        session.add(campaign)
        session.add(ExternalKey(source="old", entity="contact", their_id="7", record_id=other.id))
        session.flush()
        keys = keeper.id, other.id, deal.id
    before = state()
    with deed() as (session, done):
        keeper, other = session.get(Contact, keys[0]), session.get(Contact, keys[1])
        session.get(Deal, keys[2]).contact_id = keeper.id
        keeper.city = other.city
        session.scalars(select(ExternalKey)).one().record_id = keeper.id
        session.delete(
            session.scalars(select(CampaignMember).where(CampaignMember.contact_id == other.id)).one()
        )
        session.flush()
        session.delete(other)
    take_back(done)
    assert state() == before
    with as_system() as session:
        assert session.scalars(select(Contact).where(search.matching(Contact, "mendl"))).one().id == keys[1]


@on_both_engines
def test_a_tree_that_was_deleted_comes_back_from_its_root(deed, state, take_back):
    with deed() as (session, _):
        root = Department(name="Z root")
        session.add(root)
        session.flush()
        leaf = Department(name="A leaf", parent_id=root.id)
        session.add(leaf)
        session.flush()
        root_id = root.id
    with deed() as (session, _):  # so that the child's number is lower than its parent's
        top = Department(name="Top")
        session.add(top)
        session.flush()
        session.get(Department, root_id).parent_id = top.id
    before = state()
    with deed() as (session, done):
        for name in ("A leaf", "Z root", "Top"):
            session.delete(session.scalars(select(Department).where(Department.name == name)).one())
            session.flush()
    undone = take_back(done)
    assert undone.left == []
    assert state() == before


@on_both_engines
def test_values_of_custom_fields_go_back_one_by_one(deed, state, take_back):
    with deed() as (session, _):
        key = world.company(session, custom={"size": 5, "since": "2020-01-01"}).id
    before = state()
    with deed() as (session, done):
        session.get(Company, key).custom = {"size": 6, "color": "red"}
    take_back(done)
    assert state() == before


@on_both_engines
def test_an_undo_can_be_undone_and_the_first_deed_then_undone_again(deed, state, take_back):
    with deed() as (session, _):
        key = world.company(session).id
    before = state()
    with deed() as (session, done):
        session.delete(session.get(Company, key))
    after = state()
    first = take_back(done)
    second = take_back({"id": first.change_set_id})
    assert state() == after
    take_back({"id": second.change_set_id})
    assert state() == before


def test_what_is_undone_already_is_not_undone_again(deed, take_back, as_system):
    with deed() as (session, done):
        world.company(session)
    take_back(done)
    again = take_back(done)
    assert (again.change_set_id, again.rows, again.left) == (None, 0, [])
    with as_system() as session:
        assert session.scalar(select(func.count(ChangeSet.id)).where(ChangeSet.undoes_id == done["id"])) == 1


def test_a_colleague_who_undoes_again_is_told_of_nothing(deed, take_back):
    with deed("rep.north") as (session, done):
        world.company(session)
    take_back(done, "rep.north")
    again = take_back(done, "rep.north")
    assert (again.change_set_id, again.rows, again.left) == (None, 0, [])


def test_an_undo_is_one_change_set_that_says_whose_and_what_it_undoes(deed, take_back, as_system):
    with deed("rep.north") as (session, done):
        world.company(session)
    undone = take_back(done, "rep.north")
    with as_system() as session:
        own = session.get(ChangeSet, undone.change_set_id)
        assert (own.by.name, own.door, own.undoes_id) == ("Ingrid Solberg", "undo", done["id"])
        actions = select(Change.entity, Change.action).where(Change.change_set_id == own.id)
        assert session.execute(actions).all() == [("company", "delete")]


# --------------------------------------------------------------------------------------------- touched since


@on_both_engines
def test_what_was_edited_since_is_listed_and_kept_and_the_rest_goes_back(deed, state, take_back):
    with deed() as (session, _):
        keys = [world.company(session, name=name).id for name in ("One", "Two", "Three")]
    before = state()
    with deed() as (session, done):
        for key in keys:
            session.get(Company, key).city = "Wien"
    with deed("rep.north") as (session, _):
        session.get(Company, keys[1]).notes = "asked for offers"
    between = state()
    undone = take_back(done)
    assert listed(undone) == {("company", keys[1]): undo.TOUCHED}
    assert undone.left[0].values == {"who": "Ingrid Solberg"}
    after = state()
    assert after["company", keys[1]] == between["company", keys[1]]
    assert {key: row for key, row in after.items() if key != ("company", keys[1])} == {
        key: row for key, row in before.items() if key != ("company", keys[1])
    }


def test_what_was_done_since_and_undone_stands_in_nobodys_way(deed, state, take_back):
    with deed() as (session, _):
        key = world.company(session).id
    before = state()
    with deed() as (session, first):
        session.get(Company, key).city = "Wien"
    with deed() as (session, second):
        session.get(Company, key).city = "Linz"
    take_back(second)
    assert take_back(first).left == []
    assert state() == before


@on_both_engines
def test_an_added_record_that_was_worked_on_since_stays_with_its_parts(deed, state, take_back):
    with deed() as (session, done):
        deal = world.deal(session)
        deals.add_line(deal, description="Chair", unit_price=Decimal(5))
        other = world.deal(session, "Other")
        deals.add_line(other, description="Chair", unit_price=Decimal(5))
        session.flush()
        key, line = deal.id, deal.lines[0].id
    with deed() as (session, _):
        session.add(Tagging(tag=Tag(name="vip"), entity="deal", record_id=key))
    undone = take_back(done)
    assert listed(undone) == {("deal", key): undo.TOUCHED, ("deal_line", line): undo.WITH_OTHERS}
    assert undone.restored == {("deal", "add"): 1, ("deal_line", "add"): 1}


def test_an_added_record_that_others_point_to_stays(deed, take_back):
    with deed() as (session, done):
        company = world.company(session)
        key = company.id
    with deed() as (session, _):
        world.contact(session, company_id=key)
    assert listed(take_back(done)) == {("company", key): undo.NEEDED}


def test_a_line_goes_back_only_with_the_sum_it_stands_in(deed, state, take_back):
    with deed() as (session, _):
        deal = world.deal(session)
        deals.add_line(deal, description="Chair", unit_price=Decimal(5))
        session.flush()
        key = deal.id
    with deed() as (session, done):
        line = deals.add_line(session.get(Deal, key), description="Table", unit_price=Decimal(7))
        session.flush()
        line_id = line.id
    with deed() as (session, _):
        deals.add_line(session.get(Deal, key), description="Lamp", unit_price=Decimal(9))
    before = state()
    undone = take_back(done)
    assert listed(undone) == {("deal", key): undo.TOUCHED, ("deal_line", line_id): undo.WITH_OTHERS}
    assert state() == before


def test_a_part_whose_whole_is_gone_since_is_listed(deed, state, take_back):
    with deed() as (session, _):
        company = world.company(session)
        contact = world.contact(session, company_id=company.id)
        keys = company.id, contact.id
    with deed() as (session, done):
        session.delete(session.get(Contact, keys[1]))
    with deed() as (session, _):
        session.delete(session.get(Company, keys[0]))
    before = state()
    undone = take_back(done)
    assert listed(undone) == {("contact", keys[1]): undo.NO_TARGET}
    assert undone.left[0].name == "Mendel"
    assert state() == before


@on_both_engines
def test_a_name_that_another_took_since_is_not_taken_from_it(deed, take_back):
    with deed() as (session, _):
        session.add(Department(name="Lab"))
    with deed() as (session, done):
        lab = session.scalars(select(Department).where(Department.name == "Lab")).one()
        session.delete(lab)
        key = lab.id
    with deed() as (session, _):
        session.add(Department(name="Lab"))
    assert listed(take_back(done)) == {("department", key): undo.TAKEN}


@on_both_engines
def test_a_name_that_changed_hands_within_the_set_changes_them_back(deed, state, take_back):
    with deed() as (session, _):
        session.add(Department(name="Lab"))
    before = state()
    with deed() as (session, done):
        session.delete(session.scalars(select(Department).where(Department.name == "Lab")).one())
        session.flush()
        session.add(Department(name="Lab"))
    assert take_back(done).left == []
    assert state() == before


def test_what_was_brought_back_and_worked_on_since_is_listed(deed, state, take_back):
    with deed() as (session, _):
        keys = [world.company(session, name=name).id for name in ("One", "Two")]
    with deed() as (session, done):
        for key in keys:
            session.delete(session.get(Company, key))
    with deed() as (session, _):
        undo.undo(session, done["id"])
    with deed() as (session, _):
        session.get(Company, keys[0]).notes = "asked for offers"
    between = state()
    undone = take_back(done)
    assert listed(undone) == {("company", keys[0]): undo.BACK}
    assert state() == between


# --------------------------------------------------------------------------------------------- frozen


@on_both_engines
def test_issued_invoices_payments_and_what_they_stand_on_are_listed_and_left(
    deed, state, take_back, as_system
):
    with deed() as (session, done):
        invoice = world.issued(session)
        invoices.record_payment(
            session, invoice, amount=Decimal(1), paid_on=world.TODAY, method="cash", today=world.TODAY
        )
        world.company(session, name="Beside it")
    before = state()
    undone = take_back(done)
    after = state()
    assert set(before) - set(after) == {key for key in before if before[key] not in after.values()}
    gone = {entity for entity, _ in set(before) - set(after)}
    assert gone == {"company"}
    reasons = {entity: reason for (entity, _), reason in listed(undone).items()}
    assert reasons["invoice"] == reasons["invoice_line"] == undo.ISSUED
    assert reasons["payment"] == undo.BOOKED
    assert reasons["deal"] == reasons["deal_line"] == undo.INVOICED
    assert reasons["company"] == reasons["product"] == reasons["tax_rate"] == undo.NEEDED


def test_a_deal_stays_as_it_was_billed_but_its_notes_go_back(deed, take_back, as_system):
    with deed() as (session, _):
        key = world.deal(session, customer=world.company(session), amount="100.00").id
    with deed() as (session, won):
        deals.win(session, session.get(Deal, key), by=None, today=world.TODAY)
    with deed() as (session, _):
        invoices.draft_from(session, session.get(Deal, key), by=None, today=world.TODAY)
    with deed() as (session, noted):
        session.get(Deal, key).notes = "call them"
    assert take_back(noted).left == []
    assert listed(take_back(won)) == {("deal", key): undo.INVOICED}


@on_both_engines
def test_an_invoice_from_before_does_not_stand_against_undoing_a_merge(deed, state, take_back, as_system):
    with deed() as (session, _):
        invoice, elsewhere = world.issued(session), world.company(session, name="Elsewhere")
        invoice.deal.company_id = elsewhere.id
        keys = invoice.company_id, elsewhere.id
    before = state()
    with as_system() as session:
        done = {"id": merging.merge(session, Company, keys[0], [keys[1]], {})}
    assert state() != before
    assert take_back(done).left == []
    assert state() == before


# --------------------------------------------------------------------------------------------- whose


@on_both_engines
def test_nobody_undoes_beyond_his_rights_and_hidden_rows_tell_nothing(deed, state, take_back):
    with deed() as (session, _):
        north = world.company(session, name="North's").id
        south = world.company(session, name="South's").id
        session.get(Company, south).department_id = world.department(session, "South").id
    with deed() as (session, done):
        session.get(Company, north).city = session.get(Company, south).city = "Wien"
    undone = take_back(done, "rep.north")
    assert undone.restored == {("company", "edit"): 1}
    assert undone.left == []
    now = state()
    assert "Wien" not in now["company", north]
    assert "Wien" in now["company", south]


def test_what_may_be_seen_but_not_written_is_listed(deed, take_back):
    with deed() as (session, done):
        key = world.company(session).id
    assert listed(take_back(done, "director")) == {("company", key): undo.NOT_YOURS}


@on_both_engines
def test_what_was_handed_over_is_not_taken_back_by_those_who_may_not_put_it_there(deed, take_back):
    with deed() as (session, _):
        keys = [world.company(session, name=name).id for name in ("One", "Two", "Three")]
        session.get(Company, keys[0]).department_id = world.department(session, "South").id
    with deed() as (session, done):
        for key in keys:
            session.get(Company, key).city = "Wien"
        session.get(Company, keys[0]).department_id = world.department(session).id
    undone = take_back(done, "rep.north")
    assert listed(undone) == {("company", keys[0]): undo.NOT_YOURS}
    assert undone.restored == {("company", "edit"): 2}


def test_who_deleted_a_record_with_its_story_brings_back_both(deed, state, take_back):
    with deed("rep.north") as (session, _):
        company = world.company(session)
        session.add(Activity(subject="Call", company_id=company.id, department_id=company.department_id))
        key = company.id
    before = state()
    with deed("rep.north") as (session, done):
        session.delete(session.scalars(select(Activity)).one())
        session.flush()
        session.delete(session.get(Company, key))
    undone = take_back(done, "rep.north")
    assert undone.left == []
    assert state() == before


@on_both_engines
def test_a_merge_goes_back_with_links_of_others_that_the_merger_never_saw(deed, state, take_back):
    with deed() as (session, _):
        keeper, other = world.contact(session, "Mendel"), world.contact(session, "Mendl")
        hidden = world.company(session)
        hidden.department_id = world.department(session, "Finance").id
        other.company_id = hidden.id
        deal = world.deal(session)
        deal.contact, deal.department_id = other, world.department(session, "South").id
        session.add(Tagging(tag=Tag(name="vip"), entity="contact", record_id=other.id))
        keys = keeper.id, other.id
    before = state()
    with as_merger(deed) as (session, done):
        done["id"] = merging.merge(session, Contact, keys[0], [keys[1]], {"last_name": "Mendl"})
    after = state()
    undone = take_back(done, "rep.north")
    assert undone.left == []
    assert state() == before
    take_back({"id": undone.change_set_id}, "rep.north")
    assert state() == after


@contextmanager
def as_merger(deed):
    """A deed that says itself what its change set is."""
    with deed("rep.north") as (session, _):
        done = {}
        yield session, done


# --------------------------------------------------------------------------------------------- by name, and at random


@pytest.mark.parametrize(
    "done, way",
    [
        *((one, "worked on since") for one in by_name.DEEDS),
        (by_name.bulk_edit_of_deals, "invoiced and paid since"),
        (by_name.merge_of_companies, "invoiced and paid since"),
        (by_name.import_with_updates, "at once"),
    ],
)
def test_every_deed_leaves_a_firm_as_it_was(done, way):
    """A part of `python -m tests.prove.undo_by_name`, in small."""
    assert by_name.trial("sqlite", done, way, by_name.QUICK, "quick").faults == []


@pytest.mark.parametrize("engine", databases.ENGINES)
def test_random_work_is_undone_without_a_trace(engine):
    """The small size of `python -m tests.prove.undo`."""
    outcome = random_work.prove(engine, random_work.QUICK[engine], seed="quick")
    assert outcome.faults == []
    assert outcome.rows > 20
