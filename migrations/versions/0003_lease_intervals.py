"""Who had which address and name, from when until when; and when each host's lease file was last read.

What was known so far becomes one interval for each lease.
"""

import sqlalchemy as sa
from alembic import op

from service.history.words import WIDE, part_of

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

KEPT = ("host", "mac", "ip", "ip_order", "name")


def upgrade() -> None:
    """Forward."""
    op.create_table(
        "lease_intervals",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("mac", sa.String(), nullable=False),
        sa.Column("ip", sa.String(), nullable=False),
        sa.Column("ip_order", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("from_at", WIDE, nullable=False),
        sa.Column("until_at", WIDE, nullable=True),
        sa.Column("expires_at", WIDE, nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    intervals = "lease_intervals"
    op.create_index("ix_lease_intervals_order", intervals, ["ip_order", "host", "mac", "from_at"])
    op.create_index("ix_lease_intervals_host", intervals, ["host", "ip_order", "mac", "from_at"])
    op.create_index("ix_lease_intervals_mac", intervals, ["mac", "from_at"])
    op.create_index("ix_lease_intervals_name", intervals, ["name", "from_at"])
    op.create_index("ix_lease_intervals_from", intervals, ["from_at", "id"])
    open_ones = part_of("until_at IS NULL")
    op.create_index("ix_lease_intervals_open", intervals, ["host", "mac", "ip"], unique=True, **open_ones)
    op.create_table(
        "lease_looks",
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("at", WIDE, nullable=False),
        sa.PrimaryKeyConstraint("host"),
    )
    op.create_index("ix_leases_host", "leases", ["host", "ip_order", "mac"])
    op.create_index("ix_leases_name", "leases", ["name", "ip_order", "host", "mac"])
    op.create_index("ix_leases_active", "leases", ["ip_order", "host", "mac"], **part_of("active = {yes}"))
    kept = ", ".join(KEPT)
    op.execute(
        f"INSERT INTO lease_intervals ({kept}, from_at, until_at, expires_at) "  # noqa: S608 (constants)
        f"SELECT {kept}, first_seen, CASE WHEN active THEN NULL ELSE last_seen END, expires_at FROM leases"
    )
    op.execute("INSERT INTO lease_looks (host, at) SELECT host, max(last_seen) FROM leases GROUP BY host")


def downgrade() -> None:
    """A migration cannot be reversed. The previous file is kept next to the new one."""
    raise NotImplementedError
