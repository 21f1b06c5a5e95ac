"""How people like their pages, and lists as they set them up."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade():
    op.create_table(
        "preference",
        sa.Column(
            "user_id",
            sa.Integer,
            sa.ForeignKey("ab_user.id", ondelete="CASCADE"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("language", sa.String(10)),
        sa.Column("theme", sa.String(10), nullable=False),
        sa.Column("density", sa.String(10), nullable=False),
        sa.Column("has_shortcuts", sa.Boolean, nullable=False),
        sa.Column("signature", sa.Text),
        sa.Column("default_views", sa.JSON, nullable=False),
    )
    op.create_table(
        "saved_view",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("user_id", sa.Integer, sa.ForeignKey("ab_user.id", ondelete="CASCADE"), nullable=False),
        sa.Column("entity", sa.String(40), nullable=False),
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("reach", sa.String(20), nullable=False),
        sa.Column("department_id", sa.Integer, sa.ForeignKey("department.id", ondelete="CASCADE")),
        sa.Column("query", sa.Text, nullable=False),
        sa.Column("is_pinned", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sqlite_autoincrement=True,
    )
    for name in ("user_id", "entity", "department_id"):
        op.create_index(f"ix_saved_view_{name}", "saved_view", [name])


def downgrade():
    op.drop_table("saved_view")
    op.drop_table("preference")
