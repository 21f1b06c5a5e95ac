"""Tags: words that people stick on records. Who may edit a record may set its tags and take them off."""

from sqlalchemy import and_, bindparam, select

from app import bulk, search
from app.access import DOOR
from app.custom import TAKERS
from app.extensions import N_
from app.models import ENTITIES, Tag, Tagging
from app.rules import RuleBroken, values

LONGEST = Tag.__table__.c.name.type.length
_TAG, _TAGGING = Tag.__table__, Tagging.__table__
_AROUND = (
    select(_TAG.c.id, _TAG.c.name, _TAG.c.color, _TAGGING.c.id.label("tagging_id"))
    .select_from(_TAG)
    .outerjoin(
        _TAGGING,
        and_(
            _TAGGING.c.tag_id == _TAG.c.id,
            _TAGGING.c.entity == bindparam("entity"),
            _TAGGING.c.record_id == bindparam("record_id"),
        ),
    )
    .order_by(_TAG.c.name)
)
# Whose records take tags: those that belong to a department.
TAGGED = tuple(entity for entity in TAKERS if ENTITIES[entity].__sight__ == "scoped")


def around(session, row):
    """Every tag (id, name, color), by name, and whether it is on this record: one SELECT for all that is shown.

    The row has come through the rule of sight, and its tags are seen with it.
    """
    this = {"entity": row.__tablename__, "record_id": row.id}
    found = session.connection().execute(_AROUND, this, execution_options={DOOR: True})
    return [(tag, tag.tagging_id is not None) for tag in found]


def named(session, text, *, may_create):
    """The tag that people mean by a typed name; a new one where there is none and the asker `may_create` some."""
    text = values.one_line(text or "").strip()
    if not text:
        raise RuleBroken(N_("Say which tag."), field="tag")
    values.check_storable(text)
    if len(text) > LONGEST:
        raise RuleBroken(N_("A tag has at most %(most)s letters."), field="tag", most=LONGEST)
    known = session.scalars(select(Tag).order_by(Tag.id)).all()
    for tag in known:
        if tag.name == text:
            return tag
    for tag in known:
        if search.fold(tag.name) == search.fold(text):
            return tag
    if not may_create:
        raise RuleBroken(N_("There is no tag “%(name)s”."), field="tag", name=text)
    tag = Tag(name=text)
    session.add(tag)
    session.flush()
    return tag


def set_on(session, row, tag):
    """Stick a tag on one record; returns whether it was not there yet."""
    if row.__tablename__ not in TAGGED:
        raise RuleBroken(N_("Records of this kind take no tags."))
    if tag.id in held(session, row.__tablename__, [row.id]).get(row.id, ()):
        return False
    session.add(Tagging(tag_id=tag.id, entity=row.__tablename__, record_id=row.id))
    session.flush()
    return True


def take_off(session, row, tag_id):
    """Take a tag off one record; returns whether it was there."""
    this = (Tagging.entity == row.__tablename__, Tagging.record_id == row.id, Tagging.tag_id == tag_id)
    tagging = session.scalars(select(Tagging).where(*this)).first()
    if tagging is None:
        return False
    bulk.delete(session, Tagging, [tagging.id])
    return True


def held(session, entity, ids):
    """id -> {tag id: tagging id}. The ids have come through the rule of sight, and tags are seen with their record."""
    table, found = Tagging.__table__, {}
    asked = select(table.c.record_id, table.c.tag_id, table.c.id).where(
        table.c.entity == entity, table.c.record_id.in_(ids)
    )
    for record_id, tag_id, key in session.connection().execute(asked, execution_options={DOOR: True}):
        found.setdefault(record_id, {})[tag_id] = key
    return found


def set_on_many(session, entity, ids, tag_ids):
    """Stick these tags on these records; returns the ids of those that lacked one."""
    there = held(session, entity, ids)
    new = [
        {"tag_id": tag_id, "entity": entity, "record_id": key}
        for key in ids
        for tag_id in tag_ids
        if tag_id not in there.get(key, ())
    ]
    bulk.add(session, Tagging, new)
    return list(dict.fromkeys(row["record_id"] for row in new))


def take_off_many(session, entity, ids, tag_ids):
    """Take these tags off these records; returns the ids of those that had one."""
    there = held(session, entity, ids)
    gone = [(key, there[key][tag_id]) for key in there for tag_id in tag_ids if tag_id in there[key]]
    bulk.delete(session, Tagging, [tagging_id for _, tagging_id in gone])
    return list(dict.fromkeys(key for key, _ in gone))
