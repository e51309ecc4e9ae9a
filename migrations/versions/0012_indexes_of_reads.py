"""An index for every read, so that none looks at rows that it does not return, and none sorts what is there."""

from alembic import op

from service.history.words import part_of

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

WHOLE = (
    ("ix_revisions_state", "revisions", "state fetched_at id"),
    ("ix_plans_digest", "plans", "host digest"),
    ("ix_applies_phase", "applies", "phase id"),
    ("ix_applies_host_phase", "applies", "host phase id"),
    ("ix_applies_commit", "applies", "commit id"),
    ("ix_applies_desired", "applies", "host desired_digest id"),
    ("ix_leases_mac", "leases", "mac ip_order host"),
    ("ix_lease_intervals_of_host", "lease_intervals", "host from_at id"),
    ("ix_lease_intervals_ip", "lease_intervals", "ip_order from_at id"),
    ("ix_events_type", "events", "type id"),
    ("ix_events_host_type", "events", "host type id"),
)
PARTS = (
    ("ix_drift_open_id", "drift", "id", "resolved_at IS NULL"),
    ("ix_drift_open_kind", "drift", "host kind", "resolved_at IS NULL"),
    ("ix_drift_past", "drift", "id", "resolved_at IS NOT NULL"),
    ("ix_plans_current", "plans", "host", "state = 'current'"),
    ("ix_applies_open", "applies", "id", "ended_at IS NULL"),
    ("ix_drills_open", "drills", "host id", "ended_at IS NULL"),
    ("ix_latches_host", "latches", "host id", "cleared_at IS NULL"),
    ("ix_leases_held", "leases", "host", "active = {yes}"),
)


def upgrade() -> None:
    """Forward."""
    op.drop_index("ix_applies_phase", "applies")
    op.drop_index("ix_leases_mac", "leases")
    for name, table, columns in WHOLE:
        op.create_index(name, table, columns.split())
    for name, table, columns, where in PARTS:
        op.create_index(name, table, columns.split(), **part_of(where))


def downgrade() -> None:
    """A migration cannot be reversed. The previous file is kept next to the new one."""
    raise NotImplementedError
