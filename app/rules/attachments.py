"""Files on records: put there, taken off, and kept as long as something can still lead to them."""

from sqlalchemy import bindparam, select

from app import blobs, bulk, ledger
from app.access import DOOR
from app.extensions import N_
from app.models import ENTITIES, Attachment, Change, Owned
from app.rules import RuleBroken, values

LONGEST_NAME = Attachment.__table__.c.name.type.length
# Whose records take files: those that belong to a department.
TAKERS = tuple(name for name, model in ENTITIES.items() if issubclass(model, Owned))


def attach(session, row, *, name, stream, folder, most, most_files):
    """Hang a file on a record; the bytes are kept first, then the row. Raises RuleBroken for what may not be attached.

    The same file under the same name is there already: it is returned, and nothing is written.
    """
    if row.__tablename__ not in TAKERS:
        raise RuleBroken(N_("Records of this kind take no files."))
    name = tidy_name(name)
    if not name:
        raise RuleBroken(N_("Choose a file."), field="file")
    there = of(session, row)
    if len(there) >= most_files:
        raise RuleBroken(
            N_("%(most)s files hang on this already: that is the most."), field="file", most=most_files
        )
    try:
        kept = blobs.keep(folder, stream, most=most)
    except blobs.TooLarge:
        raise RuleBroken(
            N_("“%(name)s” is larger than %(most)s MB."), field="file", name=name, most=most // (1024 * 1024)
        ) from None
    if not kept.size:
        raise RuleBroken(N_("“%(name)s” is empty."), field="file", name=name)
    for one in there:
        if (one.sha256, one.name) == (kept.sha256, name):
            return one
    file = Attachment(
        entity=row.__tablename__,
        record_id=row.id,
        name=name,
        media_type=blobs.media_type_of(kept.head),
        size=kept.size,
        sha256=kept.sha256,
    )
    session.add(file)
    session.flush()
    return file


def tidy_name(name):
    """A file's name without folders and without what no name may hold."""
    name = values.one_line((name or "").replace("\\", "/").rsplit("/", 1)[-1]).strip()
    name = "".join(letter for letter in name if letter.isprintable())
    if len(name) <= LONGEST_NAME:
        return name
    stem, dot, ending = name.rpartition(".")
    ending = f"{dot}{ending}" if dot and len(ending) <= 10 else ""
    return (stem if ending else name)[: LONGEST_NAME - len(ending)] + ending


def of(session, row):
    """The files on a record that the session holds, the newest first; who sees the record sees them."""
    this = {"entity": row.__tablename__, "key": row.id}
    return session.connection().execute(_ON_RECORD, this, execution_options={DOOR: True}).all()


_FILE = Attachment.__table__.c
_ON_RECORD = (
    select(_FILE.id, _FILE.name, _FILE.media_type, _FILE.size, _FILE.sha256, _FILE.created_at)
    .where(_FILE.entity == bindparam("entity"), _FILE.record_id == bindparam("key"))
    .order_by(_FILE.id.desc())
)


def on(session, row, key):
    """The file with this id on this very record, or None: a file of another record is none of it."""
    this = (Attachment.id == key, Attachment.entity == row.__tablename__, Attachment.record_id == row.id)
    return session.scalars(select(Attachment).where(*this)).first()


def take_off(session, file):
    """Take a file off its record. The bytes stay as long as this can be taken back."""
    bulk.delete(session, Attachment, [file.id])


def needed(session):
    """The hashes of all files that a row names, or a change that can be taken back; in a system session."""
    held = set(session.scalars(select(Attachment.sha256).distinct()))
    table = Change.__table__
    told = select(table.c["values"]).where(table.c.entity == "attachment")
    for said in session.connection().scalars(told, execution_options={DOOR: True}):
        held.update(one for one in (said or {}).get("sha256", ()) if one)
    return held


def forget_taken_off(session, before):
    """What the ledger holds of files that were taken off before this moment goes: no undo brings them back."""
    return ledger.forget_parts(session, "attachment", before)
