"""Records that were one all along: what they become, what moves with them, and what a merge refuses."""

import pytest
from sqlalchemy import func, select

from app import undo
from app.access import WriteRefused
from app.models import (
    Activity,
    CampaignMember,
    Change,
    ChangeSet,
    Company,
    Contact,
    CustomField,
    Deal,
    Document,
    Invoice,
    Product,
    SearchEntry,
    Tag,
    Tagging,
    Ticket,
)
from app.rules import RuleBroken, merging
from tests import factories
from tests.databases import on_both_engines
from tests.rules import world


def two_contacts(session, **more):
    return world.contact(session, "Mendel", first_name="Roland"), world.contact(session, "Mendl", **more)


def tagged(session, row, name):
    tag = session.scalars(select(Tag).where(Tag.name == name)).first() or factories.make(
        session, "tag", name=name
    )
    session.add(Tagging(tag_id=tag.id, entity=row.__tablename__, record_id=row.id))
    session.flush()


def tags_of(session, row):
    of_it = (Tagging.entity == row.__tablename__, Tagging.record_id == row.id)
    return sorted(session.scalars(select(Tag.name).join(Tagging, Tagging.tag_id == Tag.id).where(*of_it)))


def test_one_stays_with_the_chosen_values_and_the_other_goes(session):
    keep, other = two_contacts(session, email="mendel@example.com")
    merging.merge(
        session, Contact, keep.id, [other.id], {"email": "mendel@example.com", "custom": {"size": "L"}}
    )
    assert session.get(Contact, other.id) is None
    assert (keep.name, keep.email, keep.custom) == ("Roland Mendel", "mendel@example.com", {"size": "L"})
    words = session.scalars(select(SearchEntry.text).where(SearchEntry.entity == "contact")).all()
    assert len(words) == 1 and "mendel@example.com" in words[0]


def test_without_custom_fields_the_one_that_stays_has_none_of_them(session):
    keep, other = two_contacts(session)
    merging.merge(session, Contact, keep.id, [other.id], {"custom": {}})
    assert keep.custom is None


def test_every_link_of_a_contact_moves(session):
    keep, other = two_contacts(session)
    rows = [
        factories.make(session, "deal", contact=other),
        factories.make(session, "ticket", contact=other),
        factories.make(session, "activity", contact=other),
        factories.make(session, "campaign_member", contact=other),
    ]
    key = factories.make(session, "external_key", entity="contact", record_id=other.id)
    tagged(session, other, "vip")
    merging.merge(session, Contact, keep.id, [other.id], {})
    assert {row.contact_id for row in rows} == {keep.id}
    assert key.record_id == keep.id
    assert tags_of(session, keep) == ["vip"]


@on_both_engines
def test_every_link_of_a_company_moves(session):
    keep, other = world.company(session, "Ernst Handel"), world.company(session, "Ernst Handel GmbH")
    rows = [
        factories.make(session, "contact", company=other),
        factories.make(session, "deal", company=other),
        factories.make(session, "ticket", company=other),
        factories.make(session, "activity", company=other),
        factories.make(session, "invoice", company=other),
    ]
    product = factories.make(session, "product", supplier_id=other.id)
    merging.merge(session, Company, keep.id, [other.id], {})
    assert {row.company_id for row in rows} == {product.supplier_id} == {keep.id}


def test_no_foreign_key_of_the_schema_is_forgotten():
    assert {(model, column.name) for model, column in merging.links_to(Contact)} == {
        (model, "contact_id") for model in (Activity, CampaignMember, Deal, Ticket)
    }
    assert {(model, column.name) for model, column in merging.links_to(Company)} == {
        *((model, "company_id") for model in (Activity, Contact, Deal, Invoice, Ticket)),
        (Product, "supplier_id"),
    }


@on_both_engines
def test_a_campaign_keeps_one_membership_with_the_further_state(session):
    keep, other = two_contacts(session)
    third = world.contact(session, "Mändel")
    campaign = factories.make(session, "campaign")
    for contact, status in ((keep, "planned"), (other, "answered"), (third, "reached")):
        factories.make(session, "campaign_member", campaign=campaign, contact=contact, status=status)
    alone = factories.make(session, "campaign")
    for contact, status in ((other, "reached"), (third, "answered")):
        factories.make(session, "campaign_member", campaign=alone, contact=contact, status=status)
    merging.merge(session, Contact, keep.id, [other.id, third.id], {})
    members = session.execute(
        select(CampaignMember.campaign_id, CampaignMember.contact_id, CampaignMember.status)
    ).all()
    assert sorted(members) == sorted([(campaign.id, keep.id, "answered"), (alone.id, keep.id, "answered")])


def test_tags_are_united(session):
    keep, other = two_contacts(session)
    for row, name in ((keep, "vip"), (other, "vip"), (other, "fair")):
        tagged(session, row, name)
    merging.merge(session, Contact, keep.id, [other.id], {})
    assert tags_of(session, keep) == ["fair", "vip"]
    assert session.scalar(select(func.count(Tagging.id))) == 2


@on_both_engines
def test_custom_fields_that_link_to_the_record_follow_it(session):
    keep, other = two_contacts(session)
    session.add(CustomField(entity="deal", name="broker", kind="record", target="contact"))
    deal = factories.make(session, "deal", custom={"broker": other.id, "note": "x"})
    plain = factories.make(session, "deal", custom={"broker": keep.id})
    merging.merge(session, Contact, keep.id, [other.id], {})
    assert deal.custom == {"broker": keep.id, "note": "x"} and plain.custom == {"broker": keep.id}


def test_a_merge_is_one_change_set_with_its_reason(session):
    keep, other = two_contacts(session)
    factories.make(session, "deal", contact=other)
    key = merging.merge(session, Contact, keep.id, [other.id], {"first_name": "Rolf"})
    change_set = session.get(ChangeSet, key)
    assert change_set.door == "merge"
    assert change_set.why == f"Merged “Mendl” (#{other.id}) into “Roland Mendel” (#{keep.id})"
    changes = session.execute(select(Change.entity, Change.action).where(Change.change_set_id == key)).all()
    assert sorted(map(tuple, changes)) == [("contact", "delete"), ("contact", "edit"), ("deal", "edit")]


# --------------------------------------------------------------------------------------------- refusals


@on_both_engines
def test_a_company_with_issued_invoices_stays(session):
    billed = factories.issued(session).company
    other = world.company(session, "Ernst Handel")
    with pytest.raises(RuleBroken, match="Keep this one"):
        merging.merge(session, Company, other.id, [billed.id], {})
    assert merging.proposed_master(session, [other, billed]) == billed.id
    merging.merge(session, Company, billed.id, [other.id], {})
    assert session.get(Company, other.id) is None


def test_two_companies_with_issued_invoices_stay_two(session):
    one, other = factories.issued(session).company, factories.issued(session).company
    for keep, gone in ((one, other), (other, one)):
        with pytest.raises(RuleBroken, match="Issued papers"):
            merging.merge(session, Company, keep.id, [gone.id], {})


def test_a_record_with_a_kept_paper_stays(session):
    keep, other = two_contacts(session)
    factories.make(session, "document", entity="contact", record_id=other.id)
    with pytest.raises(RuleBroken, match="Issued papers"):
        merging.merge(session, Contact, keep.id, [other.id], {})
    assert session.scalar(select(func.count(Document.id))) == 1


@pytest.mark.parametrize(
    "others, message", [(lambda keep: [keep], "at least two"), (lambda keep: [4711], "not there any more")]
)
def test_what_cannot_be_merged_is_refused(session, others, message):
    keep = world.contact(session)
    with pytest.raises(RuleBroken, match=message):
        merging.merge(session, Contact, keep.id, others(keep.id), {})


def test_more_than_ten_at_a_time_are_refused(session):
    keep = world.contact(session)
    others = [world.contact(session, f"Mendel {number}").id for number in range(10)]
    with pytest.raises(RuleBroken, match="No more than 10"):
        merging.merge(session, Contact, keep.id, others, {})


def test_only_contacts_and_companies_are_merged(session):
    with pytest.raises(RuleBroken, match="Only contacts and companies"):
        merging.merge(session, Deal, 1, [2], {})


# --------------------------------------------------------------------------------------------- whose rows


@pytest.mark.parametrize("foreign", ["keep", "other"])
def test_who_may_not_write_both_does_not_merge_them(as_person, as_system, foreign):
    with as_system() as session:
        south = world.department(session, "South").id
        keep, other = two_contacts(session)
        (keep if foreign == "keep" else other).department_id = south
        ids = keep.id, other.id
    with pytest.raises(WriteRefused), as_person("rep.north") as session:
        merging.merge(session, Contact, ids[0], [ids[1]], {})
    with as_system() as session:
        assert session.scalar(select(func.count(Contact.id)).where(Contact.id.in_(ids))) == 2


@on_both_engines
def test_what_others_wrote_moves_too_and_stays_theirs(as_person, as_system):
    with as_system() as session:
        keep, other = two_contacts(session)
        ticket = factories.make(session, "ticket", contact=other)
        before = ticket.department_id, ticket.owner_id, ticket.subject
        ids = keep.id, other.id, ticket.id
    with as_person("rep.north") as session:
        assert session.get(Ticket, ids[2]) is None
        merging.merge(session, Contact, ids[0], [ids[1]], {})
        assert session.get(Ticket, ids[2]) is None
    with as_system() as session:
        ticket = session.get(Ticket, ids[2])
        assert ticket.contact_id == ids[0]
        assert (ticket.department_id, ticket.owner_id, ticket.subject) == before
        change = session.scalars(
            select(Change).where(Change.entity == "ticket", Change.action == "edit")
        ).one()
        assert change.values == {"contact_id": [ids[1], ids[0]]}
        assert change.change_set.by.name == "Ingrid Solberg"


def test_a_link_into_the_dark_may_be_taken_over(as_person, as_system):
    with as_system() as session:
        hidden = factories.make(session, "company", department_id=world.department(session, "South").id)
        keep, other = two_contacts(session, company_id=hidden.id)
        ids = keep.id, other.id, hidden.id
    with as_person("rep.north") as session:
        assert session.get(Company, ids[2]) is None
        merging.merge(session, Contact, ids[0], [ids[1]], {"company_id": ids[2]})
    with as_system() as session:
        assert session.get(Contact, ids[0]).company_id == ids[2]


def test_a_link_that_none_of_them_had_must_be_seen(as_person, as_system):
    with as_system() as session:
        hidden = factories.make(session, "company", department_id=world.department(session, "South").id)
        keep, other = two_contacts(session)
        ids = keep.id, other.id, hidden.id
    with pytest.raises(WriteRefused), as_person("rep.north") as session:
        merging.merge(session, Contact, ids[0], [ids[1]], {"company_id": ids[2]})


# --------------------------------------------------------------------------------------------- what is proposed


def test_filled_goes_before_empty_and_newer_before_older(session):
    one = world.contact(
        session, "Mendel", first_name="Roland", phone="+43 1 1", custom={"size": "L", "team": "a"}
    )
    other = world.contact(session, "Mendl", phone="+43 2 2", custom={"size": None, "team": "b"})
    one.job_title = "Buyer"
    session.flush()
    other.email = "m@example.com"
    session.flush()
    chosen = merging.proposed([one, other])
    assert chosen["last_name"] == chosen["phone"] == chosen["email"] == other.id
    assert chosen["first_name"] == chosen["job_title"] == one.id
    other.first_name = "R."
    session.flush()
    assert merging.proposed([one, other])["first_name"] == one.id
    assert merging.proposed_custom([one, other]) == {"size": one.id, "team": other.id}
    assert merging.proposed_master(session, [other, one]) == one.id


# --------------------------------------------------------------------------------------------- and back


def everything(session):
    """All business rows as they stand, by table and id; when they were touched last, and how often, apart."""
    apart = {"updated_at", "version"}
    return {
        (entity, row["id"]): {name: value for name, value in row.items() if name not in apart}
        for entity in ("campaign_member", "contact", "deal", "ticket", "activity", "tagging", "external_key")
        for row in session.connection().execute(select(factories.ENTITIES[entity].__table__)).mappings()
    }


@on_both_engines
def test_the_undo_of_a_merge_brings_everything_back_hidden_rows_too(as_person, as_system):
    with as_system() as session:
        keep, other = two_contacts(session, email="mendel@example.com", custom={"size": "L"})
        campaign = factories.make(session, "campaign")
        for contact, status in ((keep, "planned"), (other, "answered")):
            factories.make(session, "campaign_member", campaign=campaign, contact=contact, status=status)
        factories.make(session, "campaign_member", contact=other)
        for entity in ("deal", "ticket", "activity"):
            factories.make(session, entity, contact=other)
        factories.make(session, "external_key", entity="contact", record_id=other.id)
        for row, name in ((keep, "vip"), (other, "vip"), (other, "fair")):
            tagged(session, row, name)
        ids = keep.id, other.id
    with as_system() as session:
        before = everything(session)
    with as_person("rep.north") as session:
        values = {"email": "mendel@example.com", "custom": {"size": "L"}}
        key = merging.merge(session, Contact, ids[0], [ids[1]], values)
    with as_system() as session:
        assert everything(session) != before
    with as_person("rep.north") as session:
        assert undo.undo(session, key).left == []
    with as_system() as session:
        assert everything(session) == before
