"""On SQLite an entry's number is its place: its kind, then the id of its record. FTS5 goes along entries by number."""

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


def downgrade():
    """Nothing: to an older Foyer one number is as good as another."""
