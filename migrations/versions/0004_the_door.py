"""What sign-in keeps: sessions, events of accounts, counted guesses, old passwords, links to replace one."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade():
    _table(
        "account",
        *_of_user(key=True),
        _at("password_at", null=True),
        sa.Column("must_change", sa.Boolean, nullable=False),
    )
    _table("old_password", _id(), *_of_user(), _text("password", 256), _at("at"))
    op.create_index("ix_old_password_user_id", "old_password", ["user_id"])
    _table(
        "login_session",
        _id(),
        _text("token_hash", 64),
        *_of_user(),
        _text("kind", 20),
        _text("method", 20),
        _text("waits_for", 20, null=True),
        _at("second_factor_at", null=True),
        _text("stamp", 64),
        _at("created_at"),
        _at("seen_at"),
        _text("address", 45),
        _text("device", 120),
        sa.UniqueConstraint("token_hash"),
    )
    op.create_index("ix_login_session_user_id", "login_session", ["user_id"])
    _table(
        "account_event",
        _id(),
        _at("at"),
        *_of_user(null=True),
        _text("kind", 40),
        *_of_user("by_id", null=True),
        _text("door", 20),
        _text("address", 45, null=True),
        _text("device", 120, null=True),
        sa.Column("details", sa.JSON, nullable=False),
    )
    op.create_index("ix_account_event_user", "account_event", ["user_id", "id"])
    op.create_index("ix_account_event_at", "account_event", ["at"])
    _table(
        "password_link",
        _id(),
        _text("token_hash", 64),
        *_of_user(),
        _at("ends_at"),
        sa.UniqueConstraint("token_hash"),
    )
    op.create_index("ix_password_link_user_id", "password_link", ["user_id"])
    _table("guess", _id(), _text("key", 100), _text("kind", 20), _at("at"))
    op.create_index("ix_guess_key", "guess", ["key", "at"])
    op.create_index("ix_guess_at", "guess", ["at"])
    _table(
        "known_place",
        *_of_user(key=True),
        sa.Column("place", sa.String(80), primary_key=True),
        _at("seen_at"),
    )


def downgrade():
    for table in (
        "known_place",
        "guess",
        "password_link",
        "account_event",
        "login_session",
        "old_password",
        "account",
    ):
        op.drop_table(table)


def _table(name, *parts):
    # No id is given twice: a button on an old page must never end somebody else's session.
    has_id = any(getattr(part, "name", None) == "id" for part in parts)
    op.create_table(name, *parts, **({"sqlite_autoincrement": True} if has_id else {}))


def _id():
    return sa.Column("id", sa.Integer, primary_key=True)


def _of_user(name="user_id", *, key=False, null=False):
    more = {"primary_key": True, "autoincrement": False} if key else {"nullable": null}
    return (sa.Column(name, sa.Integer, sa.ForeignKey("ab_user.id"), **more),)


def _text(name, length, null=False):
    return sa.Column(name, sa.String(length), nullable=null)


def _at(name, null=False):
    return sa.Column(name, sa.DateTime, nullable=null)
