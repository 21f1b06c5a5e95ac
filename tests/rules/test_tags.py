"""Tags: stuck on records, taken off, found again by however they are typed."""

import pytest
from sqlalchemy import select

from app import access
from app.models import Change, Contact, Tag, Tagging
from app.rules import RuleBroken, tags
from tests import factories
from tests.databases import on_both_engines


def on(session, row):
    return [tag.name for tag, is_on in tags.around(session, row) if is_on]


@on_both_engines
def test_a_tag_is_set_once_and_taken_off(session):
    row, tag = factories.make(session, "contact"), factories.make(session, "tag", name="Fair")
    factories.make(session, "tag", name="Autumn")
    assert tags.set_on(session, row, tag) and not tags.set_on(session, row, tag)
    assert on(session, row) == ["Fair"]
    assert [tag.name for tag, _ in tags.around(session, row)] == ["Autumn", "Fair"]
    assert tags.take_off(session, row, tag.id) and not tags.take_off(session, row, tag.id)
    assert on(session, row) == []
    told = session.scalars(select(Change.action).where(Change.entity == "tagging").order_by(Change.id)).all()
    assert told == ["add", "delete"]


def test_a_typed_name_finds_the_tag_that_is_meant(session):
    tag = factories.make(session, "tag", name="Größe L")
    assert tags.named(session, " grosse l ", may_create=False) is tag
    new = tags.named(session, "New", may_create=True)
    assert session.scalars(select(Tag.name).order_by(Tag.id)).all() == ["Größe L", "New"] and new.id


@pytest.mark.parametrize("text", ["", "  ", "unknown", "x" * 61, "a\0"])
def test_no_tag_comes_of_what_is_none(session, text):
    with pytest.raises(RuleBroken):
        tags.named(session, text, may_create=False)


def test_settings_take_no_tags(session):
    with pytest.raises(RuleBroken):
        tags.set_on(session, factories.make(session, "tax_rate"), factories.make(session, "tag"))


@on_both_engines
def test_many_records_are_tagged_and_untagged_at_once(session):
    rows = [factories.make(session, "contact").id for _ in range(3)]
    one, other = (factories.make(session, "tag").id for _ in range(2))
    assert tags.set_on_many(session, "contact", rows[:1], [one]) == rows[:1]
    assert tags.set_on_many(session, "contact", rows, [one, other]) == rows
    assert tags.set_on_many(session, "contact", rows, [one, other]) == []
    assert {key: set(found) for key, found in tags.held(session, "contact", rows).items()} == {
        key: {one, other} for key in rows
    }
    assert tags.take_off_many(session, "contact", rows[1:], [one]) == rows[1:]
    assert session.scalars(select(Tagging.record_id).where(Tagging.tag_id == one)).all() == rows[:1]


def test_only_who_may_edit_a_record_tags_it(as_system, as_person):
    with as_system() as session:
        key = factories.make(session, "contact", department_id=factories.department(session, "North").id).id
        tag_id = factories.make(session, "tag").id
    with as_person("rep.north") as session:
        assert tags.set_on(session, session.get(Contact, key), session.get(Tag, tag_id))
    with pytest.raises(access.WriteRefused), as_person("agent") as session:
        tags.take_off(session, session.get(Contact, key), tag_id)
    with pytest.raises(access.WriteRefused), as_person("agent") as session:
        tags.set_on_many(session, "contact", [key], [factories_second_tag(session, tag_id)])


def factories_second_tag(session, other):
    tag = Tag(name=f"not {other}")
    session.add(tag)
    session.flush()
    return tag.id
