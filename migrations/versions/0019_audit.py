"""Who did what: entries in a chain, and the last of them."""

import sqlalchemy as sa
from alembic import op

from service.history.tallying import Counter
from service.history.words import ROOMS, WIDE

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    texts = ("by", "token", "how", "client", "request_id", "action", "host", "outcome")
    op.create_table(
        "audit",
        sa.Column("id", WIDE, autoincrement=False, nullable=False),
        sa.Column("at", WIDE, nullable=False),
        *(sa.Column(name, sa.String(), nullable=False) for name in texts),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("previous", sa.String(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    for name in ("by", "action", "host", "request_id"):
        op.create_index(f"ix_audit_{name}", "audit", [name, "id"])
    op.create_table(
        "audit_head",
        sa.Column("id", WIDE, autoincrement=False, nullable=False),
        sa.Column("number", WIDE, nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    for statement in ROOMS[op.get_bind().dialect.name].counting(Counter("audit", "audit", at="at")):
        op.execute(statement)


def downgrade() -> None:
    """A migration cannot be reversed. The previous file is kept next to the new one."""
    raise NotImplementedError
