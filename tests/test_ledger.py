"""The ledger of changes: who, when, through which door, why, with before and after, in the same transaction."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import func, select

from app import access, ledger
from app.models import (
    ENTITIES,
    Activity,
    CampaignMember,
    Change,
    ChangeSet,
    Company,
    Contact,
    Deal,
    DealLine,
    ExternalKey,
    Product,
    Recorded,
    SearchEntry,
    Staff,
)
from app.rules import deals
from tests.databases import on_both_engines
from tests.rules import world


def changes_of(session, row):
    """The changes that stand in this record's history, in order."""
    about = (Change.root_entity == row.__tablename__, Change.root_id == row.id)
    return session.scalars(select(Change).where(*about).order_by(Change.id)).all()


def told(change):
    return change.entity, change.action, change.values


@on_both_engines
def test_a_new_row_is_recorded_with_all_it_holds(as_person):
    with as_person("rep.north") as session:
        row = Company(
            name="Blauer See", kind="customer", city="Mannheim", department_id=world.department(session).id
        )
        session.add(row)
        session.flush()
        (change,) = changes_of(session, row)
        assert (change.entity, change.action) == ("company", "add")
        assert change.values["name"] == [None, "Blauer See"]
        assert change.values["city"] == [None, "Mannheim"]
        assert "notes" not in change.values  # what is empty says nothing
        assert change.department_id == row.department_id


@on_both_engines
def test_an_edit_is_recorded_with_before_and_after_of_what_changed(session):
    row = world.company(session)
    row.city, row.kind = "Wien", "partner"
    session.flush()
    *_, change = changes_of(session, row)
    assert change.action == "edit"
    assert change.values == {"city": ["Graz", "Wien"], "kind": ["customer", "partner"]}


@on_both_engines
def test_a_deletion_is_recorded_with_all_that_is_lost(session):
    row = world.company(session)
    key = row.id
    session.delete(row)
    session.flush()
    about = (Change.root_entity == "company", Change.root_id == key)
    *_, change = session.scalars(select(Change).where(*about).order_by(Change.id))
    assert change.action == "delete"
    assert change.values["name"] == ["Ernst Handel", None]
    assert change.department_id == world.department(session).id


def test_what_did_not_change_is_not_recorded(session):
    row = world.company(session)
    number = len(changes_of(session, row))
    row.name = row.name
    session.flush()
    row.city = "Wien"
    row.city = "Graz"
    session.flush()
    assert len(changes_of(session, row)) == number


@on_both_engines
def test_one_transaction_is_one_change_set(as_person):
    with as_person("rep.north") as session:
        north = world.department(session).id
        company = Company(name="One", kind="customer", department_id=north)
        session.add(company)
        session.flush()
        session.add(Contact(last_name="Two", company_id=company.id, department_id=north))
        session.flush()
        company.city = "Three"
        session.flush()
        ours = Change.entity.in_(["company", "contact"])
        sets = session.scalars(select(Change.change_set_id).where(ours).distinct()).all()
        assert len(sets) == 1
        change_set = session.get(ChangeSet, sets[0])
        assert (change_set.by.name, change_set.door, change_set.why) == ("Ingrid Solberg", "page", None)
        assert datetime.now(UTC) - change_set.at < timedelta(minutes=1)
        session.commit()
        company.city = "Four"
        session.flush()
        assert session.scalar(select(func.count(Change.change_set_id.distinct())).where(ours)) == 2


def test_the_system_says_why(as_system):
    with as_system("prices of the new year") as session:
        row = world.product(session)
        session.flush()
        change_set = changes_of(session, row)[0].change_set
        assert (change_set.by, change_set.door, change_set.why) == (None, "command", "prices of the new year")


@on_both_engines
def test_what_is_rolled_back_leaves_no_trace(app, as_system):
    with app.app_context(), pytest.raises(ZeroDivisionError), access.system_session("fails") as session:
        world.company(session)
        session.flush()
        1 / 0  # noqa: B018
    with as_system() as session:
        assert session.scalar(select(func.count(ChangeSet.id)).where(ChangeSet.why == "fails")) == 0
        assert session.scalar(select(func.count(Change.id)).where(Change.entity == "company")) == 0
        assert session.scalar(select(func.count(SearchEntry.id)).where(SearchEntry.entity == "company")) == 0


@on_both_engines
def test_a_savepoint_that_fails_takes_its_changes_with_it_and_no_others(session):
    kept = world.company(session, name="Kept")
    with pytest.raises(ZeroDivisionError), session.begin_nested():
        world.company(session, name="Lost")
        1 / 0  # noqa: B018
    after = world.company(session, name="After")
    session.flush()
    names = [
        change.values["name"][1]
        for change in session.scalars(select(Change).where(Change.entity == "company"))
    ]
    assert sorted(names) == ["After", "Kept"]
    for row in (kept, after):
        assert changes_of(session, row)[0].change_set is not None


@on_both_engines
def test_parts_stand_in_the_history_of_their_record(session):
    deal = world.deal(session)
    line = deals.add_line(deal, product=world.product(session), quantity=2)
    session.flush()
    deals.remove_line(deal, line)
    session.flush()
    parts = [
        (change.entity, change.action) for change in changes_of(session, deal) if change.entity != "deal"
    ]
    assert parts == [("deal_line", "add"), ("deal_line", "delete")]
    assert {change.department_id for change in changes_of(session, deal)} == {deal.department_id}


@on_both_engines
def test_a_line_is_taken_out_by_those_who_work_the_deal_and_no_other(as_system, as_person):
    with as_system() as session:
        deal = world.deal(session)
        deals.add_line(deal, product=world.product(session), quantity=2)
        session.flush()
        key = deal.id
    with pytest.raises(access.WriteRefused), as_person("director") as session:
        deal = session.get(Deal, key)
        deals.remove_line(deal, deal.lines[0])
        session.flush()
    with as_person("rep.north") as session:
        deal = session.get(Deal, key)
        deals.remove_line(deal, deal.lines[0])
        session.flush()
        assert changes_of(session, deal)[-1].entity == "deal_line"
        assert session.scalars(select(DealLine.id)).all() == []


def test_external_keys_stand_in_the_history_of_their_record(session):
    company = world.company(session)
    session.add(ExternalKey(source="northwind", entity="company", their_id="ALFKI", record_id=company.id))
    session.flush()
    *_, change = changes_of(session, company)
    assert change.entity == "external_key"
    assert change.values["their_id"] == [None, "ALFKI"]


@on_both_engines
def test_numbers_and_days_come_back_as_they_were(session):
    deal = world.deal(session, amount="1234.50", expected_on=date(2026, 5, 6))
    deal.amount, deal.expected_on = Decimal("0.10"), None
    session.flush()
    *_, change = changes_of(session, deal)
    assert change.values["amount"] == ["1234.50", "0.10"]
    assert change.values["expected_on"] == ["2026-05-06", None]


def test_the_ledger_does_not_write_of_itself(session):
    world.company(session)
    session.flush()
    assert set(session.scalars(select(Change.entity))).isdisjoint({"change", "change_set", "search_entry"})


@on_both_engines
def test_rows_are_stamped_and_their_version_goes_up(as_person):
    with as_person("rep.north") as session:
        row = Company(name="Stamped", kind="customer", department_id=world.department(session).id)
        session.add(row)
        session.flush()
        assert row.version == 1
        assert row.created_by.name == "Ingrid Solberg"
        created = row.created_at
        row.city = "Wien"
        session.flush()
        assert row.version == 2
        assert row.created_at == created
        assert row.updated_at >= created


@pytest.mark.parametrize("name", sorted(ENTITIES))
def test_whatever_people_edit_is_stamped_and_versioned(name):
    model = ENTITIES[name]
    if issubclass(model, Recorded):
        assert model.__mapper__.version_id_col is not None
        assert {"created_at", "updated_at", "created_by_id", "version"} <= set(model.__table__.c.keys())


def test_every_edited_table_knows_its_root(session):
    """A part's root is its parent, a record's the record itself."""
    deal = world.deal(session)
    line = DealLine(deal_id=deal.id, description="x", net=Decimal(0))
    session.add(line)
    session.flush()
    assert ledger.root_of(line) == ("deal", deal.id)
    assert ledger.root_of(deal) == ("deal", deal.id)
    assert ledger.root_of(CampaignMember(campaign_id=7)) == ("campaign", 7)
    assert ledger.root_of(Activity(id=3)) == ("activity", 3)


@on_both_engines
def test_a_colleagues_move_is_recorded_and_his_rows_stay(session):
    person = session.scalars(select(Staff).where(Staff.name == "Ingrid Solberg")).one()
    company = world.company(session)
    person.department_id = world.department(session, "South").id
    session.flush()
    *_, change = changes_of(session, person)
    assert list(change.values) == ["department_id"]
    assert company.department_id == world.department(session).id


@on_both_engines
def test_the_id_of_a_deleted_row_is_not_given_again(as_system):
    """Else the history of the deleted row would be the past of the next, for other eyes."""
    with as_system() as session:
        row = world.company(session, name="Secret")
        session.commit()
        key = row.id
        session.delete(row)
        session.commit()
        assert world.company(session, name="Next").id != key


@on_both_engines
def test_the_index_of_words_keeps_up(session):
    row = world.company(session, name="Müller & Söhne")
    found = select(SearchEntry.text).where(SearchEntry.entity == "company", SearchEntry.record_id == row.id)
    assert session.scalar(found).startswith("  muller  &  sohne")
    row.name = "Жуков"
    session.flush()
    assert session.scalar(found).startswith("  zhukov")
    session.delete(row)
    session.flush()
    assert session.scalar(found) is None


def test_a_deal_moved_to_another_department_is_recorded_with_where_it_went(session):
    deal = world.deal(session)
    deal.department_id = world.department(session, "South").id
    session.flush()
    *_, change = changes_of(session, deal)
    assert change.values["department_id"] == [
        world.department(session).id,
        world.department(session, "South").id,
    ]
    assert session.scalar(select(func.count(Product.id))) == 0
    assert session.get(Deal, deal.id).version == 2
