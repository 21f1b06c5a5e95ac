"""Sharing as a rule: what goes with a merge and comes back with an undo, and who shares how much."""

from sqlalchemy import select

from app import bulk, undo
from app.models import ChangeSet, Company, Deal, Share, Staff
from app.rules import merging, sharing
from tests import factories
from tests.databases import on_both_engines


def shared(session, row, **more):
    terms = {"entity": row.__tablename__, "record_id": row.id, "reason": "a fair", **more}
    return factories.make(session, "share", **terms)


def ids(session):
    return {name: factories.department(session, name).id for name in ("North", "South", "Support", "Marketing")}


def shares(session):
    """Shares as (record, department, cause)."""
    found = session.execute(select(Share.record_id, Share.to_department_id, Share.cause).order_by(Share.id))
    return [tuple(row) for row in found]


@on_both_engines
def test_shares_go_with_a_merge_and_come_back_with_its_undo(session):
    of = ids(session)
    keep, other = (factories.make(session, "company", department_id=of["North"]) for _ in range(2))
    for name in ("South", "Marketing"):
        shared(session, other, to_department_id=of[name])
    shared(session, keep, to_department_id=of["South"])
    session.commit()
    before = shares(session)
    change_set_id = merging.merge(session, Company, keep.id, [other.id], {})
    session.commit()
    assert sorted(shares(session)) == sorted((keep.id, of[name], "given") for name in ("South", "Marketing"))
    undo.undo(session, change_set_id)
    session.commit()
    assert sorted(shares(session)) == sorted(before)


@on_both_engines
def test_shares_go_with_their_record_and_come_back_with_it(session):
    of = ids(session)
    row = factories.make(session, "company", department_id=of["North"])
    shared(session, row, to_department_id=of["South"])
    session.commit()
    before = shares(session)
    session.delete(row)
    session.commit()
    assert shares(session) == []
    last = session.scalars(select(ChangeSet.id).order_by(ChangeSet.id.desc())).first()
    undo.undo(session, last)
    session.commit()
    assert shares(session) == before


@on_both_engines
def test_work_opened_in_bulk_or_moved_by_a_merge_makes_the_customer_belong_to_both(as_system, as_person):
    with as_system() as session:
        of = ids(session)
        south = [factories.make(session, "company", department_id=of["South"]).id for _ in range(2)]
        north = factories.make(session, "company", department_id=of["North"]).id
        stage_id = factories.stage(session, "Qualified").id
        deals = [
            factories.make(session, "deal", department_id=of["North"], company_id=key, stage_id=stage_id).id
            for key in (north, north)
        ]
        assert shares(session) == [], "the system opens nothing"
    with as_person("head.sales") as session:
        bulk.edit(session, Deal, {deals[0]: {"company_id": south[0]}})
        assert shares(session) == [(south[0], of["North"], "work")]
        merging.merge(session, Company, south[1], [north], {})
        assert sorted(shares(session)) == sorted((key, of["North"], "work") for key in south)
        session.rollback()
    with as_person("head.sales") as session:
        values = {"name": "New", "currency": "EUR", "opened_on": factories.TODAY, "stage_id": stage_id}
        row = {**values, "department_id": of["North"], "company_id": south[0]}
        bulk.add(session, Deal, [row, row])
        assert shares(session) == [(south[0], of["North"], "work")]
        deal = session.get(Deal, deals[1])
        deal.company_id = south[1]
        session.flush()
        assert len(shares(session)) == 2
        deal.notes = "looked at"
        session.flush()
        assert len(shares(session)) == 2
        session.rollback()


def test_what_one_cannot_edit_one_does_not_share_to_be_edited(as_system, as_person):
    with as_system() as session:
        of = ids(session)
        key = factories.make(session, "company", department_id=of["North"]).id
        other = factories.make(session, "company", department_id=of["South"]).id
    with as_person("rep.north") as session:
        assert sharing.reasons_against(session, Company, [key, other], "edit") == {other: sharing.NOT_YOURS}
        agent = session.scalars(select(Staff).where(Staff.department_id == of["Support"])).first()
        terms = sharing.terms_of(agent, may="edit", until_on=None, reason="so", today=factories.TODAY)
        assert sharing.share_many(session, "company", [key], terms) == [key]
        assert sharing.share_many(session, "company", [key], {**terms, "may": "see"}) == []
        session.rollback()
