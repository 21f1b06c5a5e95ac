"""Files on records, the bell, and the days after which a card of a stage rots."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade():
    op.create_table(
        "attachment",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("updated_at", sa.DateTime(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_by_id", sa.Integer(), sa.ForeignKey("staff.id")),
        sa.Column("entity", sa.String(40), nullable=False),
        sa.Column("record_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("media_type", sa.String(100), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_attachment_record", "attachment", ["entity", "record_id"])
    op.create_index("ix_attachment_sha256", "attachment", ["sha256"])
    op.create_table(
        "notification",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("user_id", sa.Integer(), sa.ForeignKey("ab_user.id", ondelete="CASCADE"), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("by_id", sa.Integer(), sa.ForeignKey("ab_user.id", ondelete="SET NULL")),
        sa.Column("entity", sa.String(40), nullable=False),
        sa.Column("record_id", sa.Integer()),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("change_set_id", sa.Integer()),
        sa.Column("read_at", sa.DateTime()),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_notification_user_id", "notification", ["user_id"])
    op.create_index("ix_notification_unread", "notification", ["user_id", "read_at"])
    op.create_index("ix_notification_record", "notification", ["entity", "record_id"])
    op.add_column("stage", sa.Column("rots_after_days", sa.Integer()))


def downgrade():
    op.drop_column("stage", "rots_after_days")
    op.drop_table("notification")
    op.drop_table("attachment")
