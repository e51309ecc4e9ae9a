"""Indexes by which old rows are found, so that deleting them never looks at what stays."""

from alembic import op

from service.history.words import part_of

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    op.create_index("ix_drift_resolved", "drift", ["resolved_at"], **part_of("resolved_at IS NOT NULL"))
    op.create_index("ix_lease_intervals_until", "lease_intervals", ["until_at"], **part_of("until_at IS NOT NULL"))
    op.create_index("ix_observations_at", "observations", ["observed_at"])
    op.create_index("ix_leases_gone", "leases", ["last_seen"], **part_of("active = {no}"))


def downgrade() -> None:
    """A migration cannot be reversed. The previous file is kept next to the new one."""
    raise NotImplementedError
