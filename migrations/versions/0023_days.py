"""What each day was like: the days on which a host was looked at, how full its pools were, and counts by day."""

import sqlalchemy as sa
from alembic import op

from service.history.tallying import DAY_US, Counter
from service.history.words import ROOMS, WIDE

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

COUNTERS = (
    Counter("host_days", "host_days", at="day"),
    Counter("pool_days", "pool_days", at="day"),
    Counter("found drift", "drift", at="first_seen", host="host"),
    Counter(
        "cleared drift", "drift", at="resolved_at", host="host", where="{row}.resolved_at IS NOT NULL",
    ),
    Counter("ended applies", "applies", at="ended_at", host="host", kind="phase", where="{row}.ended_at IS NOT NULL"),
    Counter(
        "waited applies", "applies", at="ended_at", host="host", kind="waited",
        where="{row}.ended_at IS NOT NULL AND {row}.waited <> ''",
    ),
)  # fmt: skip
LOOKED = "'drift.found', 'drift.resolved', 'lease.seen'"
"""Events that nobody writes without a look at the host: those of the past say on which days there was one."""
REACHED = """type = 'host.state' AND (
    detail LIKE '%"reachability":"Reachable"%"was":%'
    OR (detail LIKE '%"reachability":"Reachable"%' AND detail NOT LIKE '%"was":%'))"""
"""A state is also written of a host that cannot be reached. The detail is JSON by the order of its keys, and `was` is
the last of them: it has what was so before."""


def upgrade() -> None:
    """Forward."""
    op.add_column("applies", sa.Column("waited", sa.String(), nullable=False, server_default=""))
    op.create_table(
        "host_days",
        sa.Column("day", WIDE, nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("day", "host"),
    )
    op.create_index("ix_host_days_host", "host_days", ["host", "day"])
    op.create_table(
        "pool_days",
        sa.Column("day", WIDE, nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("interface", sa.String(), nullable=False),
        sa.Column("start", sa.String(), nullable=False),
        sa.Column("end", sa.String(), nullable=False),
        *(sa.Column(name, WIDE, nullable=False) for name in ("size", "leased", "reserved")),
        sa.PrimaryKeyConstraint("day", "host", "interface", "start"),
    )
    op.create_index("ix_pool_days_host", "pool_days", ["host", "day"])
    words = ROOMS[op.get_bind().dialect.name]
    for one in COUNTERS[2:]:
        op.execute(f"INSERT INTO tallies {one.counted()}")
    for one in COUNTERS:
        for statement in words.counting(one):
            op.execute(statement)
    op.execute(
        f"INSERT INTO host_days SELECT DISTINCT at / {DAY_US} * {DAY_US}, host FROM events"  # noqa: S608 (ours)
        f" WHERE (type IN ({LOOKED}) OR {REACHED}) AND host IN (SELECT host FROM hosts)"
    )


def downgrade() -> None:
    """A migration cannot be reversed. The previous file is kept next to the new one."""
    raise NotImplementedError
