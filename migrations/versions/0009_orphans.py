"""A host that left Git holds no leases, has no plan and no last applied state any more."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    if op.get_bind().dialect.name != "sqlite":
        return  # no other database is as old as these rows
    op.execute("DELETE FROM bases WHERE host IN (SELECT host FROM hosts WHERE reason = 'Orphaned')")
    op.execute("UPDATE leases SET active = 0 WHERE host IN (SELECT host FROM hosts WHERE reason = 'Orphaned')")
    op.execute(
        "UPDATE lease_intervals SET until_at = max(from_at, coalesce((SELECT changed_at FROM hosts"
        " WHERE hosts.host = lease_intervals.host), from_at))"
        " WHERE until_at IS NULL AND host IN (SELECT host FROM hosts WHERE reason = 'Orphaned')"
    )
    op.execute(
        "UPDATE drift SET open_key = NULL, resolved_by = 'git', resolved_at = max(last_seen, coalesce((SELECT"
        " changed_at FROM hosts WHERE hosts.host = drift.host), last_seen))"
        " WHERE resolved_at IS NULL AND host IN (SELECT host FROM hosts WHERE reason = 'Orphaned')"
    )
    op.execute(
        "UPDATE plans SET state = 'superseded'"
        " WHERE state = 'current' AND host IN (SELECT host FROM hosts WHERE reason = 'Orphaned')"
    )
    op.execute(
        "UPDATE hosts SET health = 'Unknown', reachability = 'Unknown', plan_id = '', applied_digest = '',"
        " drift_items = 0 WHERE reason = 'Orphaned'"
    )


def downgrade() -> None:
    """A migration cannot be reversed. The previous file is kept next to the new one."""
    raise NotImplementedError
