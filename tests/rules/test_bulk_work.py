"""Bulk work: what it does to many is what an edit does to one; what must stay, stays and is told."""

from datetime import date
from decimal import Decimal

import pytest
from sqlalchemy import select

from app import bulk, custom
from app.models import (
    Activity,
    Campaign,
    Change,
    Company,
    Contact,
    Deal,
    Invoice,
    Product,
    SearchEntry,
    Ticket,
)
from app.rules import RuleBroken, bulk_work
from app.rules.bulk_work import Deed
from tests import factories
from tests.databases import on_both_engines
from tests.rules import world


def contacts(session, how_many=3, **values):
    return [factories.make(session, "contact", last_name=f"No {n}", **values) for n in range(how_many)]


def told(session, entity, key):
    this = (Change.entity == entity, Change.record_id == key)
    rows = session.scalars(select(Change).where(*this).order_by(Change.id))
    return [(row.action, row.values, row.department_id, row.owner_id) for row in rows]


def entry(session, entity, key):
    this = (SearchEntry.entity == entity, SearchEntry.record_id == key)
    return session.execute(select(SearchEntry.text, SearchEntry.department_id).where(*this)).all()


def add_field(session, **more):
    values = {"entity": "contact", "name": "size", "kind": "number", "labels": {"en": "Size"}, **more}
    row = factories.make(session, "custom_field", **values)
    custom.forget(session)
    return row


@on_both_engines
def test_fields_are_set_as_an_edit_of_each_would_set_them(session):
    add_field(session)
    one, other, same = contacts(session, city="Graz", custom={"kept": "yes"})
    same.city, same.custom = "Wien", {"kept": "yes", "size": 4}
    session.commit()
    deed = Deed("edit", {"city": "Wien", "custom.size": 4})
    outcome = bulk_work.carry_out(session, Contact, [one.id, same.id], deed)
    other.city, other.custom = "Wien", {"kept": "yes", "size": 4}
    session.flush()
    assert (outcome.changed, outcome.unchanged, outcome.refusals) == (1, 1, 0)
    assert told(session, "contact", one.id)[-1] == told(session, "contact", other.id)[-1]
    assert one.custom == {"kept": "yes", "size": 4} and one.version == other.version
    assert entry(session, "contact", one.id)[0].text.replace("no 0", "no 1") != ""
    assert "wien" in entry(session, "contact", one.id)[0].text
    assert entry(session, "contact", other.id)[0].department_id == entry(session, "contact", one.id)[0][1]


@on_both_engines
def test_records_go_to_another_department_with_their_words(session):
    rows, south = contacts(session), factories.department(session, "South").id
    session.commit()
    bulk_work.carry_out(session, Contact, [row.id for row in rows], Deed("edit", {"department_id": south}))
    assert {row.department_id for row in rows} == {south}
    assert {entry(session, "contact", row.id)[0].department_id for row in rows} == {south}


@on_both_engines
def test_what_is_deleted_in_bulk_is_told_like_what_is_deleted_alone(session):
    rows, tag = contacts(session, 2), factories.make(session, "tag")
    for row in rows:
        factories.make(session, "tagging", tag=tag, entity="contact", record_id=row.id)
    session.commit()
    alone, many = (row.id for row in rows)
    session.delete(rows[0])
    outcome = bulk_work.carry_out(session, Contact, [many], Deed("delete"))
    assert outcome.changed == 1
    for one in (alone, many):
        assert session.get(Contact, one) is None and entry(session, "contact", one) == []
    gone = [told(session, "contact", key)[-1] for key in (alone, many)]
    for _, values, _, _ in gone:
        for name in ("id", "last_name", "created_at"):
            values.pop(name)
    assert gone[0] == gone[1]


@on_both_engines
def test_what_others_point_to_is_not_deleted(session):
    company, free = factories.make(session, "company"), factories.make(session, "company")
    member = factories.make(session, "contact", company=company)
    campaign = factories.make(session, "campaign")
    factories.make(session, "campaign_member", campaign=campaign, contact=member)
    session.commit()
    ids = [company.id, free.id]
    with pytest.raises(bulk_work.SomeRefused):
        bulk_work.carry_out(session, Company, ids, Deed("delete"))
    said = bulk_work.preview(session, Company, [Company.id.in_(ids)], Deed("delete"))
    assert (said.total, said.changed) == (2, 1)
    assert said.refused == [(company.id, str(company), bulk_work.STILL["contact"])]
    outcome = bulk_work.carry_out(session, Company, ids, Deed("delete"), leave_refused=True)
    assert (outcome.changed, dict(outcome.reasons)) == (1, {bulk_work.STILL["contact"]: 1})
    refused = bulk_work.preview(session, Contact, [Contact.id == member.id], Deed("delete")).refused
    assert [reason for *_, reason in refused] == [bulk_work.STILL["campaign_member"]]
    # A campaign's members are its parts and go with it.
    assert bulk_work.carry_out(session, Campaign, [campaign.id], Deed("delete")).changed == 1


def test_a_hidden_record_that_points_is_not_told_of(as_system, as_person):
    with as_system() as session:
        north, south = (factories.department(session, name).id for name in ("North", "South"))
        company = factories.make(session, "company", department_id=north)
        factories.make(session, "contact", company=company, department_id=south)
        key = company.id
    with as_person("rep.north", writes=False) as session:
        said = bulk_work.preview(session, Company, [Company.id == key], Deed("delete"))
        assert [reason for *_, reason in said.refused] == [bulk_work.HIDDEN_STILL]


@on_both_engines
def test_issued_invoices_stay_and_drafts_go(session):
    issued, draft = (
        world.issued(session),
        world.draft(session, name="Second", customer=world.company(session)),
    )
    session.commit()
    ids, colleague = [issued.id, draft.id], world.colleague(session, "Sofía Herrera").id
    given = bulk_work.carry_out(
        session, Invoice, ids, Deed("edit", {"owner_id": colleague}), leave_refused=True
    )
    assert (given.changed, dict(given.reasons)) == (1, {bulk_work.ISSUED: 1})
    gone = bulk_work.carry_out(session, Invoice, ids, Deed("delete"), leave_refused=True)
    assert (gone.changed, dict(gone.reasons)) == (1, {bulk_work.ISSUED: 1})
    with pytest.raises(RuleBroken, match="not set in bulk"):
        bulk_work.carry_out(session, Invoice, ids, Deed("edit", {"billed_to": "Me"}))


def test_deals_keep_what_was_billed_summed_up_or_closed(session):
    billed = world.issued(session).deal
    summed = world.won_deal(session, name="Summed", customer=billed.company)
    plain = world.deal(session, "Plain", amount="5")
    session.commit()
    ids = [billed.id, summed.id, plain.id]

    def refused(**values):
        outcome = bulk_work.preview(session, Deal, [Deal.id.in_(ids)], Deed("edit", values))
        return {key: reason for key, _, reason in outcome.refused}

    assert refused(amount=Decimal(7)) == {
        billed.id: bulk_work.BILLED,
        summed.id: bulk_work.FROM_LINES,
    }
    closed = {billed.id: bulk_work.CLOSED_BEFORE, summed.id: bulk_work.CLOSED_BEFORE}
    assert refused(opened_on=date(2030, 1, 1)) == closed
    assert refused(expected_on=date(2030, 1, 1)) == {}
    with pytest.raises(RuleBroken):
        bulk_work.check(session, Deal, Deed("edit", {"stage_id": plain.stage_id}))


def test_campaigns_do_not_end_before_they_start(session):
    row = factories.make(session, "campaign", starts_on=date(2026, 3, 4))
    said = bulk_work.preview(
        session, Campaign, [Campaign.id == row.id], Deed("edit", {"ends_on": date(2026, 3, 1)})
    )
    assert [reason for *_, reason in said.refused] == [bulk_work.ENDS_BEFORE]


@pytest.mark.parametrize(
    "model, values",
    [
        (Contact, {}),
        (Contact, {"last_name": None}),
        (Contact, {"version": 7}),
        (Contact, {"nonsense": 1}),
        (Contact, {"custom.unknown": 1}),
        (Contact, {"custom.size": None}),
        (Ticket, {"stage_id": 1}),
        (Activity, {"done_at": None}),
    ],
)
def test_what_cannot_be_set_is_refused_for_all(session, model, values):
    add_field(session, is_required=True)
    with pytest.raises(RuleBroken):
        bulk_work.check(session, model, Deed("edit", values))


def test_who_has_left_gets_no_work(session):
    gone = factories.make(session, "staff", left_on=date(2026, 1, 1))
    with pytest.raises(RuleBroken, match="has left"):
        bulk_work.check(session, Contact, Deed("edit", {"owner_id": gone.id}))


@on_both_engines
def test_a_preview_counts_by_department_and_shows_what_changes(as_system, as_person):
    with as_system() as session:
        for name, how_many in (("North", 3), ("South", 2)):
            contacts(session, how_many, city="Graz", department_id=factories.department(session, name).id)
    deed = Deed("edit", {"city": "Wien"})
    with as_system() as session:
        said = bulk_work.preview(session, Contact, [Contact.city == "Graz"], deed)
        assert said.departments == [("North", 3, 3), ("South", 2, 2)] and said.total == 5
        assert said.samples[0][1:] == ("No 0", [("city", "Graz", "Wien")])
    with as_person("agent", writes=False) as session:  # who reads every contact, and edits none
        said = bulk_work.preview(session, Contact, [Contact.city == "Graz"], deed)
        assert said.departments == [("North", 3, 0), ("South", 2, 0)]
        assert (said.beyond_rights, said.changed, dict(said.reasons)) == (5, 0, {bulk_work.NOT_YOURS: 5})


def test_what_one_may_see_but_not_edit_is_left_and_the_rest_done(as_system, as_person):
    with as_system() as session:
        campaigns = [
            factories.make(session, "campaign", department_id=factories.department(session, name).id).id
            for name in ("Marketing", "Sales")
        ]
        products = [factories.make(session, "product").id]
    with as_person("marketer") as session:
        deed = Deed("edit", {"goal": "More"})
        assert bulk_work.carry_out(session, Campaign, campaigns[:1], deed).changed == 1
        outcome = bulk_work.carry_out(
            session, Product, products, Deed("edit", {"category": "x"}), leave_refused=True
        )
        assert dict(outcome.reasons) == {bulk_work.NOT_YOURS: 1}


@on_both_engines
def test_activities_are_changed_in_bulk_by_who_sees_what_they_speak_of(as_system, as_person):
    with as_system() as session:
        north, finance = (factories.department(session, name).id for name in ("North", "Finance"))
        seen = factories.make(session, "company", department_id=north).id
        hidden = factories.make(session, "deal", department_id=finance).id
        keys = [
            factories.make(session, "activity", department_id=north, **subject).id
            for subject in ({"company_id": seen}, {"deal_id": hidden}, {})
        ]
    deed = Deed("edit", {"body": "done by all"})
    with as_person("rep.north") as session:
        said = bulk_work.preview(session, Activity, [Activity.id.in_(keys)], deed)
        assert said.departments == [("North", 2, 2)]
        outcome = bulk_work.carry_out(session, Activity, keys, deed, leave_refused=True)
        assert (outcome.changed, dict(outcome.reasons)) == (2, {bulk_work.NOT_YOURS: 1})
    with as_system() as session:
        assert [session.get(Activity, key).body for key in keys] == ["done by all", None, "done by all"]


@on_both_engines
def test_more_than_a_chunk_is_done_in_one_change_set(session):
    department = factories.department(session, "Sales").id
    rows = [{"last_name": f"No {n}", "department_id": department} for n in range(1203)]
    keys = bulk.add(session, Contact, rows)
    session.commit()
    steps = []
    outcome = bulk_work.carry_out(
        session, Contact, keys, Deed("edit", {"country": "Austria"}), step=steps.append
    )
    assert outcome.changed == 1203 and steps == [500, 1000, 1203]
    sets = select(Change.change_set_id).where(Change.action == "edit").distinct()
    assert len(session.scalars(sets).all()) == 1
    assert list(bulk_work.ids_of(session, Contact, [Contact.country == "Austria"])) == keys


def test_a_deed_waits_as_json_for_its_job():
    deed = Deed("edit", {"amount": Decimal("1.50"), "opened_on": date(2026, 3, 4), "custom.x": [1]}, (3,))
    assert Deed.from_json(Deal, deed.as_json()) == deed
