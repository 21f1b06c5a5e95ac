"""Who holds which role where, deputies, shares, roles of the firm's own; the ledger of reads and its approvals.

Roles that stood with the accounts become memberships in the department of each person.
"""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade():
    op.create_table(
        "role",
        *_recorded(),
        sa.Column("name", sa.String(60), nullable=False),
        sa.Column("description", sa.String(300)),
        sa.Column("grants", sa.JSON(), nullable=False),
        sa.UniqueConstraint("name"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "membership",
        *_recorded(),
        _link("owner_id", "staff"),
        _link("department_id", "department"),
        sa.Column("role", sa.String(60), nullable=False),
        sa.Column("source", sa.String(20), nullable=False),
        sa.UniqueConstraint("owner_id", "department_id", "role", "source"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "deputy",
        *_recorded(),
        _link("owner_id", "staff"),
        _link("department_id", "department"),
        _link("deputy_id", "staff"),
        sa.Column("starts_on", sa.Date(), nullable=False),
        sa.Column("ends_on", sa.Date(), nullable=False),
        sa.Column("reason", sa.String(300)),
        sa.CheckConstraint("starts_on <= ends_on", name="in_order"),
        sa.CheckConstraint("owner_id <> deputy_id", name="of_another"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "share",
        *_recorded(),
        sa.Column("entity", sa.String(40), nullable=False),
        sa.Column("record_id", sa.Integer(), nullable=False),
        _link("to_staff_id", "staff", nullable=True),
        _link("to_department_id", "department", nullable=True),
        sa.Column("may", sa.String(20), nullable=False),
        sa.Column("until_on", sa.Date()),
        sa.Column("reason", sa.String(300), nullable=False),
        sa.Column("cause", sa.String(20), nullable=False),
        sa.CheckConstraint("(to_staff_id IS NULL) <> (to_department_id IS NULL)", name="with_one"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "read_entry",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("at", sa.DateTime(), nullable=False),
        _link("owner_id", "staff", nullable=True),
        _link("department_id", "department", nullable=True),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("entity", sa.String(40)),
        sa.Column("record_id", sa.Integer()),
        sa.Column("question", sa.Text()),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("trace", sa.String(20)),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "approval",
        *_recorded(),
        _link("owner_id", "staff"),
        _link("department_id", "department"),
        sa.Column("entity", sa.String(40), nullable=False),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(300)),
        sa.Column("state", sa.String(20), nullable=False),
        _link("decided_by_id", "staff", nullable=True),
        sa.Column("decided_at", sa.DateTime()),
        sa.Column("answer", sa.String(300)),
        sqlite_autoincrement=True,
    )
    for table, columns in LINKS.items():
        for column in columns:
            op.create_index(f"ix_{table}_{column}", table, [column])
    for name, (table, columns) in INDEXES.items():
        op.create_index(name, table, columns)
    op.create_table(
        "rights_version",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("number", sa.Integer(), nullable=False),
    )
    op.execute("INSERT INTO rights_version (id, number) VALUES (1, 1)")
    _bring_roles_along()


def downgrade():
    for table in ("rights_version", "approval", "read_entry", "share", "deputy", "membership", "role"):
        op.drop_table(table)


LINKS = {
    "membership": ("owner_id", "department_id"),
    "deputy": ("owner_id", "department_id", "deputy_id"),
    "share": ("to_staff_id", "to_department_id"),
    "read_entry": ("owner_id", "department_id"),
    "approval": ("owner_id", "department_id", "decided_by_id"),
}
INDEXES = {
    "ix_share_record": ("share", ["entity", "record_id"]),
    "ix_share_staff": ("share", ["to_staff_id", "entity", "record_id"]),
    "ix_share_department": ("share", ["to_department_id", "entity", "record_id"]),
    "ix_read_entry_at": ("read_entry", ["at", "id"]),
    "ix_read_entry_trace": ("read_entry", ["trace"]),
}


def _recorded():
    return (
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("updated_at", sa.DateTime(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_by_id", sa.Integer(), sa.ForeignKey("staff.id")),
    )


def _link(name, target, nullable=False):
    return sa.Column(name, sa.Integer(), sa.ForeignKey(f"{target}.id"), nullable=nullable)


def _bring_roles_along():
    connection = op.get_bind()
    now = datetime.now(UTC).replace(tzinfo=None)
    connection.execute(
        sa.text(
            "INSERT INTO membership "
            "(created_at, updated_at, version, owner_id, department_id, role, source) "
            "SELECT :now, :now, 1, staff.id, staff.department_id, ab_role.name, 'local' "
            "FROM ab_user_role JOIN ab_role ON ab_role.id = ab_user_role.role_id "
            "JOIN staff ON staff.id = ab_user_role.user_id ORDER BY staff.id, ab_role.name"
        ).bindparams(sa.bindparam("now", now, sa.DateTime()))
    )
    connection.execute(sa.text("DELETE FROM ab_user_role"))
