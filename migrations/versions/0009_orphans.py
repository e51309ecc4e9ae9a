"""A host that left Git holds no leases, has no plan and no last applied state any more."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

ORPHANS = "(SELECT host FROM hosts WHERE reason = 'Orphaned')"


def upgrade() -> None:
    """Forward."""
    op.execute(f"DELETE FROM bases WHERE host IN {ORPHANS}")  # noqa: S608 (constants)
    op.execute(f"UPDATE leases SET active = 0 WHERE host IN {ORPHANS}")  # noqa: S608
    op.execute(
        "UPDATE lease_intervals SET until_at = coalesce((SELECT changed_at FROM hosts WHERE hosts.host ="
        f" lease_intervals.host), from_at) WHERE until_at IS NULL AND host IN {ORPHANS}"  # noqa: S608
    )
    op.execute(
        "UPDATE drift SET open_key = NULL, resolved_by = 'git', resolved_at = coalesce((SELECT changed_at FROM hosts"
        f" WHERE hosts.host = drift.host), last_seen) WHERE resolved_at IS NULL AND host IN {ORPHANS}"  # noqa: S608
    )
    op.execute(f"UPDATE plans SET state = 'superseded' WHERE state = 'current' AND host IN {ORPHANS}")  # noqa: S608
    op.execute(
        "UPDATE hosts SET health = 'Unknown', reachability = 'Unknown', plan_id = '', applied_digest = '',"
        " drift_items = 0 WHERE reason = 'Orphaned'"
    )


def downgrade() -> None:
    """There is no way back in place: the file from before is kept beside the new one."""
    raise NotImplementedError
