"""Ways to sign in: directories with their mapping, second factors, API keys, accounts for emergencies."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade():
    op.create_table(
        "group_mapping",
        *_recorded(),
        sa.Column("source", sa.String(20), nullable=False),
        sa.Column("group_name", sa.String(300), nullable=False),
        sa.Column("role", sa.String(64)),
        sa.Column("department_id", sa.Integer, sa.ForeignKey("department.id")),
        sa.Column("position", sa.Integer, nullable=False),
        sa.UniqueConstraint("source", "group_name", "role", "department_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_group_mapping_department_id", "group_mapping", ["department_id"])
    op.create_table(
        "second_factor_rule",
        *_recorded(),
        sa.Column("role", sa.String(64), nullable=False),
        sa.UniqueConstraint("role"),
        sqlite_autoincrement=True,
    )
    _of_account(
        "external_account",
        sa.Column("source", sa.String(20), nullable=False),
        sa.Column("issuer", sa.String(300), nullable=False),
        sa.Column("subject", sa.String(300), nullable=False),
        sa.Column("department_id", sa.Integer, sa.ForeignKey("department.id", ondelete="SET NULL")),
        sa.Column("seen_at", sa.DateTime, nullable=False),
        sa.Column("shut_out_at", sa.DateTime),
        sa.UniqueConstraint("source", "issuer", "subject"),
    )
    op.create_table("break_glass", _user_key(), sa.Column("marked_at", sa.DateTime, nullable=False))
    op.create_table(
        "totp_device",
        _user_key(),
        sa.Column("secret", sa.String(300), nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("confirmed_at", sa.DateTime),
        sa.Column("last_step", sa.Integer, nullable=False),
    )
    _of_account(
        "recovery_code",
        sa.Column("code_hash", sa.String(64), nullable=False),
        sa.Column("used_at", sa.DateTime),
    )
    _of_account(
        "security_key",
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("credential_id", sa.String(1400), nullable=False),
        sa.Column("public_key", sa.Text, nullable=False),
        sa.Column("sign_count", sa.Integer, nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("last_used_at", sa.DateTime),
        sa.UniqueConstraint("credential_id"),
    )
    _of_account(
        "api_key",
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("prefix", sa.String(12), nullable=False),
        sa.Column("key_hash", sa.String(64), nullable=False),
        sa.Column("roles", sa.JSON, nullable=False),
        sa.Column("per_minute", sa.Integer, nullable=False),
        sa.Column("expires_on", sa.Date, nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("last_used_at", sa.DateTime),
        sa.Column("ended_at", sa.DateTime),
        sa.Column("window", sa.Integer, nullable=False),
        sa.Column("taken", sa.Integer, nullable=False),
        sa.UniqueConstraint("prefix"),
    )


def downgrade():
    for table in (
        "api_key security_key recovery_code totp_device break_glass "
        "external_account second_factor_rule group_mapping"
    ).split():
        op.drop_table(table)


def _recorded():
    return (
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("updated_at", sa.DateTime, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("created_by_id", sa.Integer, sa.ForeignKey("staff.id")),
    )


def _user_key():
    return sa.Column(
        "user_id", sa.Integer, sa.ForeignKey("ab_user.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )


def _of_account(name, *parts):
    op.create_table(
        name,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("user_id", sa.Integer, sa.ForeignKey("ab_user.id", ondelete="CASCADE"), nullable=False),
        *parts,
        sqlite_autoincrement=True,
    )
    op.create_index(f"ix_{name}_user_id", name, ["user_id"])
