"""The ledger is asked by row, by set and for deletions: undo, the pages of change sets, the trash."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

DELETION = sa.text("action = 'delete'")


def upgrade():
    op.create_index("ix_change_record", "change", ["entity", "record_id", "id"])
    op.create_index("ix_change_of_set", "change", ["change_set_id", "entity", "record_id", "id"])
    op.create_index("ix_change_deletion", "change", ["id"], sqlite_where=DELETION, postgresql_where=DELETION)
    op.create_index("ix_change_set_at", "change_set", ["at", "id"])
    op.drop_index("ix_change_change_set_id", "change")


def downgrade():
    op.create_index("ix_change_change_set_id", "change", ["change_set_id"])
    op.drop_index("ix_change_set_at", "change_set")
    op.drop_index("ix_change_deletion", "change")
    op.drop_index("ix_change_of_set", "change")
    op.drop_index("ix_change_record", "change")
