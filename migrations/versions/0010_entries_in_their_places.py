"""On SQLite an entry's number is its place: its kind, then the id of its record. FTS5 goes along entries by number.

And the index of a department's entries holds their text: to look through them, the table need not be asked for each.
"""

from zlib import crc32

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade():
    if op.get_bind().dialect.name != "sqlite":
        return
    kinds = op.get_bind().execute(sa.text("SELECT DISTINCT entity FROM search_entry")).scalars().all()
    move = sa.text("UPDATE search_entry SET id = :first + record_id WHERE entity = :entity")
    for entity in kinds:
        first = (crc32(entity.encode()) & 0x3FFF_FFFF) << 32
        op.get_bind().execute(move, {"first": first, "entity": entity})
    op.execute("INSERT INTO search_fts(search_fts) VALUES ('rebuild')")
    op.drop_index("ix_search_entry_within", "search_entry")
    op.create_index("ix_search_entry_held", "search_entry", ["entity", "department_id", "record_id", "text"])
    op.execute("ANALYZE search_entry")


def downgrade():
    """The numbers stay: to an older Foyer one is as good as another."""
    if op.get_bind().dialect.name != "sqlite":
        return
    op.drop_index("ix_search_entry_held", "search_entry")
    op.create_index("ix_search_entry_within", "search_entry", ["entity", "department_id", "record_id"])
