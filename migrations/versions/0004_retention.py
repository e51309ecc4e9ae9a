"""Indexes by which old rows are found, so that deleting them never looks at what stays."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    op.create_index("ix_drift_resolved", "drift", ["resolved_at"], sqlite_where=sa.text("resolved_at IS NOT NULL"))
    op.create_index(
        "ix_lease_intervals_until", "lease_intervals", ["until_at"], sqlite_where=sa.text("until_at IS NOT NULL")
    )
    op.create_index("ix_observations_at", "observations", ["observed_at"])
    op.create_index("ix_leases_gone", "leases", ["last_seen"], sqlite_where=sa.text("active = 0"))


def downgrade() -> None:
    """A migration cannot be reversed. The previous file is kept next to the new one."""
    raise NotImplementedError
