"""What stands with a record by its entity and number goes with it: tags and the ids of other systems."""

from sqlalchemy import select

from app import bulk
from app.models import Change, Contact, ExternalKey, Tagging
from tests import factories
from tests.databases import on_both_engines

pytestmark = on_both_engines


def contact_with_tag_and_key(session):
    row = factories.make(session, "contact")
    factories.make(session, "tagging", tag=factories.make(session, "tag"), entity="contact", record_id=row.id)
    factories.make(session, "external_key", entity="contact", record_id=row.id, source="x", their_id=str(row.id))
    session.commit()
    return row


def told(session, key):
    this = (Change.root_entity == "contact", Change.root_id == key, Change.action == "delete")
    return sorted(
        (row.entity, sorted(row.values)) for row in session.scalars(select(Change).where(*this))
    )


def test_a_record_takes_its_tags_and_foreign_ids_along_and_the_ledger_tells(session):
    alone, in_bulk, other = (contact_with_tag_and_key(session) for _ in range(3))
    keys = alone.id, in_bulk.id
    session.delete(alone)
    session.commit()
    bulk.delete(session, Contact, [in_bulk.id])
    session.commit()
    assert told(session, keys[0]) == told(session, keys[1])
    assert [entity for entity, _ in told(session, keys[0])] == ["contact", "external_key", "tagging"]
    assert session.scalars(select(Tagging.record_id)).all() == [other.id]
    assert session.scalars(select(ExternalKey.record_id)).all() == [other.id]


def test_whoever_may_delete_the_record_need_not_ask_for_its_foreign_ids(as_system, as_person):
    with as_system() as session:
        row = factories.make(session, "contact", department_id=factories.department(session, "North").id)
        factories.make(session, "external_key", entity="contact", record_id=row.id, source="x", their_id="1")
        key = row.id
    with as_person("rep.north") as session:
        session.delete(session.get(Contact, key))
    with as_system() as session:
        assert session.scalars(select(ExternalKey)).all() == []
        assert [entity for entity, _ in told(session, key)] == ["contact", "external_key"]
