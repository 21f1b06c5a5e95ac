"""The entries of a department in the order of their records, for words that many of them hold."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade():
    op.create_index("ix_search_entry_within", "search_entry", ["entity", "department_id", "record_id"])
    op.drop_index("ix_search_entry_department", "search_entry")
    if op.get_bind().dialect.name == "sqlite":
        op.execute("ANALYZE search_entry")  # or it might prefer the new index to that of the records


def downgrade():
    op.create_index("ix_search_entry_department", "search_entry", ["entity", "department_id", "id"])
    op.drop_index("ix_search_entry_within", "search_entry")
