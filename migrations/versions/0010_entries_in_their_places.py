"""On SQLite an entry's number is its place: its kind, the id of its record, and the end of its department's.

FTS5 goes along entries by their numbers, and reads their texts as they are: no longer a mark of the department before
each. The index of a department's entries holds their text: to look through them, the table need not be asked for each.
"""

from zlib import crc32

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

FTS = (
    "CREATE VIRTUAL TABLE search_fts USING fts5(text, content='{content}', content_rowid='id',"
    " tokenize='trigram', detail='none')"
)
# What FTS5 read before: behind three letters that stood for the department.
MARKED = (
    "CASE WHEN department_id IS NULL THEN ''"
    " ELSE char(57344, 57344 + (department_id >> 12), 57344 + (department_id & 4095)) END || text"
)


def upgrade():
    if op.get_bind().dialect.name != "sqlite":
        return
    op.execute("DROP TABLE search_fts")
    op.execute("DROP VIEW search_text")
    op.drop_index("ix_search_entry_within", "search_entry")
    kinds = op.get_bind().execute(sa.text("SELECT DISTINCT entity FROM search_entry")).scalars().all()
    move = sa.text(
        "UPDATE search_entry SET id = (:kind + record_id) * 64 + (coalesce(department_id, 0) & 63)"
        " WHERE entity = :entity"
    )
    op.execute("UPDATE search_entry SET id = -id")  # out of each other's way
    for entity in kinds:
        op.get_bind().execute(move, {"kind": (crc32(entity.encode()) & 0xF_FFFF) << 31, "entity": entity})
    op.create_index("ix_search_entry_held", "search_entry", ["entity", "department_id", "record_id", "text"])
    op.execute(FTS.format(content="search_entry"))
    op.execute("INSERT INTO search_fts(search_fts) VALUES ('rebuild')")
    op.execute("ANALYZE search_entry")


def downgrade():
    """The numbers stay: to an older Foyer one is as good as another."""
    if op.get_bind().dialect.name != "sqlite":
        return
    op.execute("DROP TABLE search_fts")
    op.drop_index("ix_search_entry_held", "search_entry")
    op.create_index("ix_search_entry_within", "search_entry", ["entity", "department_id", "record_id"])
    op.execute(f"CREATE VIEW search_text AS SELECT id, {MARKED} AS text FROM search_entry")
    op.execute(FTS.format(content="search_text"))
    op.execute("INSERT INTO search_fts(search_fts) VALUES ('rebuild')")
