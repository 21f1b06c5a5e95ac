"""Sharing as a rule: what goes with a merge and comes back with an undo, and who shares how much."""

from dataclasses import replace
from urllib.parse import parse_qsl

from sqlalchemy import select
from werkzeug.datastructures import MultiDict

from app import access, bulk, filters, undo
from app.models import ChangeSet, Company, Contact, Deal, Share, Staff
from app.rules import asking, merging, sharing
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


# --------------------------------------------------------------------------------------------- in lists


def listed(session, text, **more):
    """The ids on all pages of a list of contacts, as its address asks."""
    ids, after = [], None
    while True:
        args = MultiDict(parse_qsl(f"{text}&size=10"))
        query = filters.parse(Contact, args, asker=asking.asker(session, today=factories.TODAY), default_sort="id")
        found = filters.fetch(session, Contact, replace(query, after=after), Contact.id, Contact.last_name, **more)
        ids += [row.id for row in found.rows]
        if not found.has_more:
            return ids, found.total
        after = (getattr(found.rows[-1], query.column), found.rows[-1].id)


@on_both_engines
def test_what_is_shared_stands_in_its_place_in_every_list(as_system, as_person):
    with as_system() as session:
        of = ids(session)
        own = [
            factories.make(session, "contact", last_name=f"Vogel {number:02}", department_id=of["North"]).id
            for number in range(0, 30, 2)
        ]
        foreign = [
            factories.make(session, "contact", last_name=f"Vogel {number:02}", department_id=of["South"])
            for number in range(1, 30, 2)
        ]
        for row in foreign[:3]:
            shared(session, row, to_department_id=of["North"])
        third = foreign[1].id
        both = sorted([*own, *(row.id for row in foreign[:3])])
        names = {row.id: row.last_name for row in session.scalars(select(Contact))}
        shared(session, factories.make(session, "deal", department_id=of["North"]), to_department_id=of["Support"])
    by_name = sorted(both, key=names.get)
    with as_person("rep.north", writes=False) as session:
        assert access.reach(access.principal_of(session), Contact).departments == (of["North"],)
        assert listed(session, "sort=id") == (both, 18)
        assert listed(session, "sort=last_name") == (by_name, 18)
        assert listed(session, "sort=-last_name") == (by_name[::-1], 18)
        assert sorted(listed(session, "q=vogel")[0]) == both
        assert listed(session, "q=vogel+03&sort=last_name")[0] == [third]
        assert listed(session, "last_name.has=vogel&sort=last_name") == (by_name, 18)
        assert sorted(listed(session, "q=vogel&last_name.not=Vogel+00")[0]) == both[1:]
    with as_person("agent", writes=False) as session:
        args = {"asker": asking.asker(session, today=factories.TODAY), "default_sort": "id"}
        found = filters.fetch(session, Deal, filters.parse(Deal, MultiDict(), **args))
        assert len(found.rows) == 1, "no role of his reaches any deal"
        args = filters.parse(Deal, MultiDict({"q": found.rows[0].name}), **args)
        assert len(filters.fetch(session, Deal, args).rows) == 1
