"""Many rows at once: the same rights, ledger, search entries, versions and stamps as one by one."""

from decimal import Decimal

import pytest
from sqlalchemy import select

from app import access, bulk, search
from app.models import Change, Company, Contact, Deal, DealLine, SearchEntry, Staff, Tag, Tagging
from tests import factories
from tests.databases import on_both_engines

pytestmark = on_both_engines


def changes_of(session, entity, key):
    rows = session.scalars(
        select(Change).where(Change.entity == entity, Change.record_id == key).order_by(Change.id)
    )
    return [(row.action, row.values, row.department_id, row.owner_id) for row in rows]


def entry_of(session, row):
    this = (SearchEntry.entity == row.__tablename__, SearchEntry.record_id == row.id)
    return session.scalars(select(SearchEntry.text).where(*this)).one_or_none()


def values(session, **more):
    department = factories.department(session, "Sales")
    return {"last_name": "Ünal", "phone": "+49 30 1", "department_id": department.id, **more}


def test_what_is_added_in_bulk_is_told_like_what_is_added_alone(session):
    given = values(session)
    key = bulk.add(session, Contact, [given, {**given, "last_name": "Zwei"}])[0]
    alone = Contact(**given)
    session.add(alone)
    session.flush()
    many, one = changes_of(session, "contact", key), changes_of(session, "contact", alone.id)
    for change in (many[0][1], one[0][1]):
        change.pop("id"), change.pop("created_at")
    assert many == one
    row = session.get(Contact, key)
    assert (row.version, row.created_by_id) == (alone.version, alone.created_by_id) and row.created_at
    assert entry_of(session, row) == entry_of(session, alone) == "  unal  +49  30  1  49301"


def test_what_is_edited_in_bulk_is_told_like_what_is_edited_alone(session):
    one, other = (factories.make(session, "deal", name="Roof") for _ in range(2))
    session.commit()
    new = {"name": "Dach", "amount": Decimal("12.50"), "custom": {"size": 4}}
    assert bulk.edit(session, Deal, {one.id: new}) == [one.id]
    for name, value in new.items():
        setattr(other, name, value)
    session.flush()
    assert changes_of(session, "deal", one.id)[-1] == changes_of(session, "deal", other.id)[-1]
    assert changes_of(session, "deal", one.id)[-1][1]["custom.size"] == [None, 4]
    assert (one.version, one.name, one.amount) == (other.version, "Dach", Decimal("12.50"))
    assert entry_of(session, one) == entry_of(session, other) == "  dach"


def test_what_stays_the_same_is_no_change(session):
    deal = factories.make(session, "deal", name="Roof")
    session.commit()
    told, version = changes_of(session, "deal", deal.id), deal.version
    assert bulk.edit(session, Deal, {deal.id: {"name": "Roof"}, 10**6: {"name": "Gone"}}) == []
    assert (changes_of(session, "deal", deal.id), deal.version) == (told, version)


def test_deleting_takes_parts_tags_and_words_along(session):
    deal = factories.make(session, "deal")
    line = factories.make(session, "deal_line", deal=deal)
    tag = factories.make(session, "tag")
    session.add(Tagging(tag_id=tag.id, entity="deal", record_id=deal.id))
    session.commit()
    key, line_id = deal.id, line.id
    assert bulk.delete(session, Deal, [key, 10**6]) == [key]
    session.commit()
    assert session.get(Deal, key) is None and session.get(DealLine, line_id) is None
    assert session.scalars(select(Tagging)).all() == []
    assert search.entry_for and entry_of(session, Deal(id=key)) is None
    told = session.scalars(select(Change.entity).where(Change.action == "delete").order_by(Change.id)).all()
    assert told == ["deal_line", "deal", "tagging"]


def test_every_id_comes_back_in_the_order_of_its_row(session):
    rows = [values(session, last_name=f"No {number}") for number in range(2500)]
    ids = bulk.add(session, Contact, rows)
    named = dict(session.execute(select(Contact.id, Contact.last_name)).all())
    assert [named[key] for key in ids] == [row["last_name"] for row in rows]


class TestRights:
    @pytest.fixture
    def world(self, as_system):
        with as_system() as session:
            departments = {name: factories.department(session, name).id for name in ("North", "South")}
            companies = {
                name: factories.make(session, "company", department_id=key).id
                for name, key in departments.items()
            }
            return departments, companies

    def test_nobody_adds_to_a_foreign_department(self, world, as_person):
        departments, _ = world
        with pytest.raises(access.WriteRefused), as_person("rep.north") as session:
            bulk.add(session, Contact, [{"last_name": "A", "department_id": departments["South"]}])

    def test_nobody_links_to_what_he_does_not_see(self, world, as_person):
        departments, companies = world
        row = {"last_name": "A", "department_id": departments["North"], "company_id": companies["South"]}
        with pytest.raises(access.WriteRefused), as_person("rep.north") as session:
            bulk.add(session, Contact, [row])

    @pytest.mark.parametrize("deed", ["edit", "give away", "delete"])
    def test_nobody_touches_foreign_rows(self, world, as_person, deed):
        departments, companies = world
        with pytest.raises(access.WriteRefused), as_person("rep.north") as session:
            if deed == "edit":
                bulk.edit(session, Company, {companies["South"]: {"name": "Mine"}})
            elif deed == "give away":
                bulk.edit(session, Company, {companies["North"]: {"department_id": departments["South"]}})
            else:
                bulk.delete(session, Company, [companies["South"]])

    def test_ones_own_rows_are_edited_and_stamped(self, world, as_person):
        departments, companies = world
        with as_person("rep.north") as session:
            me = session.scalars(select(Staff.id).where(Staff.department_id == departments["North"])).first()
            assert bulk.edit(session, Company, {companies["North"]: {"owner_id": me}}) == [companies["North"]]
            assert bulk.add(session, Tag, [{"name": "Hot"}])
