"""Rows are counted where they come and go, so that nobody who asks for a number counts them."""

import sqlalchemy as sa
from alembic import op

from service.history.tallying import Counter
from service.history.words import ROOMS, WIDE

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

FINISHED = "'Succeeded', 'Failed', 'RolledBack', 'RollbackFailed', 'Refused'"
COUNTERS = (
    Counter("events", "events", at="at"),
    Counter("drift", "drift", at="first_seen"),
    Counter("plans", "plans", at="created_at"),
    Counter("applies", "applies", at="requested_at"),
    Counter("apply_steps", "apply_steps", reads=("apply_id",)),
    Counter("drills", "drills", at="requested_at"),
    Counter("latches", "latches", at="since"),
    Counter("revisions", "revisions", at="fetched_at"),
    Counter("leases", "leases", at="first_seen"),
    Counter("lease_intervals", "lease_intervals", at="from_at"),
    Counter("deliveries", "deliveries", at="at"),
    Counter("idempotency_keys", "idempotency_keys", at="at"),
    Counter("open drift", "drift", host="host", kind="kind", where="{row}.resolved_at IS NULL", reads=("resolved_at",)),
    Counter("held latches", "latches", host="host", where="{row}.cleared_at IS NULL", reads=("cleared_at",)),
    Counter("held leases", "leases", host="host", where="{row}.active", reads=("active",)),
    Counter(
        "open applies", "applies", host="host",
        where="{row}.ended_at IS NULL AND {row}.phase NOT IN (" + FINISHED + ")", reads=("ended_at", "phase"),
    ),
)  # fmt: skip


def upgrade() -> None:
    """Forward."""
    op.create_table(
        "tallies",
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("day", WIDE, nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("rows", WIDE, nullable=False),
        sa.PrimaryKeyConstraint("what", "day", "host", "kind"),
    )
    words = ROOMS[op.get_bind().dialect.name]
    for one in COUNTERS:
        op.execute(f"INSERT INTO tallies {one.counted()}")
        for statement in words.counting(one):
            op.execute(statement)


def downgrade() -> None:
    """A migration cannot be reversed. The previous file is kept next to the new one."""
    raise NotImplementedError
