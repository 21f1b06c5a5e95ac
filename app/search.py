"""The index of words and its one question. Every searchable record has one entry, kept up in the same transaction."""

from anyascii import anyascii
from sqlalchemy import and_, delete, event, insert, select
from sqlalchemy.orm import aliased

from app.access import DOOR, deleted_in
from app.extensions import Session
from app.models import SearchEntry

LONGEST = 200  # letters of a search that are looked for; SQLite takes no pattern or condition of any length


def fold(text):
    """Lower case, no diacritics, Latin letters, single spaces: "Müller  ГмбХ" -> "muller gmbkh"."""
    return " ".join(anyascii(str(text)).casefold().split())


def matching(model, text):
    """The condition that a row of `model` holds every word of `text` somewhere in its searchable columns."""
    entry = aliased(SearchEntry)
    words = [entry.text.contains(word, autoescape=True) for word in fold(text)[:LONGEST].split()]
    return model.id.in_(
        select(entry.record_id).where(entry.entity == model.__tablename__, and_(True, *words))
    )


def entry_for(row):
    """The values of the row's entry, or None when its table is not searchable."""
    columns = type(row).__search__
    if not columns:
        return None
    return {
        "entity": row.__tablename__,
        "record_id": row.id,
        "department_id": getattr(row, "department_id", None),
        "text": fold(" ".join(str(value) for column in columns if (value := getattr(row, column)))),
    }


@event.listens_for(Session, "after_flush")
def _keep_up(session, context):
    gone = [row for row in deleted_in(context) if getattr(row, "__search__", ())]
    changed = [row for row in (*session.new, *session.dirty) if getattr(row, "__search__", ()) and row not in gone]
    if not changed and not gone:
        return
    connection, options = session.connection(), {DOOR: True}
    table = SearchEntry.__table__
    by_entity = {}
    for row in (*changed, *gone):
        if row not in session.new:
            by_entity.setdefault(row.__tablename__, []).append(row.id)
    for entity, keys in by_entity.items():
        connection.execute(
            delete(table).where(table.c.entity == entity, table.c.record_id.in_(keys)),
            execution_options=options,
        )
    if changed:
        connection.execute(insert(table), [entry_for(row) for row in changed], execution_options=options)
