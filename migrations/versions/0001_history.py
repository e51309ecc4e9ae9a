"""The first schema: revisions, hosts, observations, drift, plans, applies, leases, bases, latches, events, access.

Times are integers, microseconds since 1970; JSON is text.
"""

import sqlalchemy as sa
from alembic import op

from service.history.words import WIDE, part_of

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    _revisions()
    _hosts()
    _observations()
    _drift()
    _plans()
    _applies()
    _apply_steps()
    _leases()
    _bases()
    _latches()
    _events()
    _tokens()
    _receivers()
    _deliveries()
    _idempotency_keys()


def downgrade() -> None:
    """A migration cannot be reversed. The previous file is kept next to the new one."""
    raise NotImplementedError


def _revisions() -> None:
    op.create_table(
        "revisions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("commit", sa.String(), nullable=False),
        sa.Column("author_name", sa.String(), nullable=False),
        sa.Column("author_email", sa.String(), nullable=False),
        sa.Column("committed_at", WIDE, nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("fetched_at", WIDE, nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("findings", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("commit"),
    )
    op.create_index("ix_revisions_fetched", "revisions", ["fetched_at", "id"], unique=False)


def _hosts() -> None:
    op.create_table(
        "hosts",
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("sync_mode", sa.String(), nullable=False),
        sa.Column("sync", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("health", sa.String(), nullable=False),
        sa.Column("reachability", sa.String(), nullable=False),
        sa.Column("phase", sa.String(), nullable=False),
        sa.Column("observed_at", WIDE, nullable=True),
        sa.Column("observed_commit", sa.String(), nullable=False),
        sa.Column("attempted_commit", sa.String(), nullable=False),
        sa.Column("applied_commit", sa.String(), nullable=False),
        sa.Column("desired_digest", sa.String(), nullable=False),
        sa.Column("applied_digest", sa.String(), nullable=False),
        sa.Column("plan_id", sa.String(), nullable=False),
        sa.Column("apply_id", sa.String(), nullable=False),
        sa.Column("console", sa.String(), nullable=False),
        sa.Column("drift_items", sa.Integer(), nullable=False),
        sa.Column("changed_at", WIDE, nullable=True),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("host"),
    )


def _observations() -> None:
    op.create_table(
        "observations",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("observed_at", WIDE, nullable=False),
        sa.Column("digests", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_observations_host", "observations", ["host", "id"], unique=False)


def _drift() -> None:
    op.create_table(
        "drift",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("open_key", sa.String(), nullable=True),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("resource", sa.String(), nullable=False),
        sa.Column("field", sa.String(), nullable=False),
        sa.Column("where", sa.String(), nullable=False),
        sa.Column("op", sa.String(), nullable=False),
        sa.Column("want", sa.Text(), nullable=False),
        sa.Column("have", sa.Text(), nullable=False),
        sa.Column("unknown", sa.String(), nullable=False),
        sa.Column("cause", sa.String(), nullable=False),
        sa.Column("moved", sa.String(), nullable=False),
        sa.Column("first_seen", WIDE, nullable=False),
        sa.Column("last_seen", WIDE, nullable=False),
        sa.Column("resolved_at", WIDE, nullable=True),
        sa.Column("resolved_by", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("open_key"),
    )
    op.create_index("ix_drift_host", "drift", ["host", "id"], unique=False)
    op.create_index("ix_drift_open", "drift", ["host", "id"], unique=False, **part_of("resolved_at IS NULL"))


def _plans() -> None:
    op.create_table(
        "plans",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("commit", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("desired_digest", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("created_at", WIDE, nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_plans_host", "plans", ["host", "id"], unique=False)


def _applies() -> None:
    op.create_table(
        "applies",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("plan_id", sa.String(), nullable=False),
        sa.Column("commit", sa.String(), nullable=False),
        sa.Column("plan_digest", sa.String(), nullable=False),
        sa.Column("desired_digest", sa.String(), nullable=False),
        sa.Column("trigger", sa.String(), nullable=False),
        sa.Column("requested_by", sa.String(), nullable=False),
        sa.Column("phase", sa.String(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("requested_at", WIDE, nullable=False),
        sa.Column("started_at", WIDE, nullable=True),
        sa.Column("ended_at", WIDE, nullable=True),
        sa.Column("cause", sa.String(), nullable=False),
        sa.Column("error", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_applies_host", "applies", ["host", "id"], unique=False)
    op.create_index("ix_applies_phase", "applies", ["phase"], unique=False)


def _apply_steps() -> None:
    op.create_table(
        "apply_steps",
        sa.Column("apply_id", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("fact", sa.String(), nullable=False),
        sa.Column("why", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("started_at", WIDE, nullable=True),
        sa.Column("ended_at", WIDE, nullable=True),
        sa.Column("error", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["apply_id"],
            ["applies.id"],
        ),
        sa.PrimaryKeyConstraint("apply_id", "position"),
    )


def _leases() -> None:
    op.create_table(
        "leases",
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("mac", sa.String(), nullable=False),
        sa.Column("ip", sa.String(), nullable=False),
        sa.Column("ip_order", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("first_seen", WIDE, nullable=False),
        sa.Column("last_seen", WIDE, nullable=False),
        sa.Column("expires_at", WIDE, nullable=True),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("host", "mac", "ip"),
    )
    op.create_index("ix_leases_mac", "leases", ["mac"], unique=False)
    op.create_index("ix_leases_order", "leases", ["ip_order", "host", "mac"], unique=False)


def _bases() -> None:
    op.create_table(
        "bases",
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("desired", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("commit", sa.String(), nullable=False),
        sa.Column("apply_id", sa.String(), nullable=False),
        sa.Column("at", WIDE, nullable=False),
        sa.PrimaryKeyConstraint("host"),
    )


def _latches() -> None:
    op.create_table(
        "latches",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("desired_digest", sa.String(), nullable=False),
        sa.Column("apply_id", sa.String(), nullable=False),
        sa.Column("since", WIDE, nullable=False),
        sa.Column("cleared_at", WIDE, nullable=True),
        sa.Column("cleared_by", sa.String(), nullable=False),
        sa.Column("clear_reason", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "ix_latches_open",
        "latches",
        ["host", "desired_digest"],
        unique=True,
        **part_of("cleared_at IS NULL"),
    )


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", WIDE, nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_events_host", "events", ["host", "id"], unique=False)


def _tokens() -> None:
    op.create_table(
        "tokens",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("pepper_id", sa.String(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("hosts", sa.Text(), nullable=False),
        sa.Column("created_at", WIDE, nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("expires_at", WIDE, nullable=False),
        sa.Column("last_used_at", WIDE, nullable=True),
        sa.Column("revoked_at", WIDE, nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )


def _receivers() -> None:
    op.create_table(
        "receivers",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("secret", sa.String(), nullable=False),
        sa.Column("created_at", WIDE, nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )


def _deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("receiver", sa.String(), nullable=False),
        sa.Column("delivery_id", sa.String(), nullable=False),
        sa.Column("at", WIDE, nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_deliveries_id", "deliveries", ["receiver", "delivery_id"], unique=True)


def _idempotency_keys() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("principal", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("request_digest", sa.String(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("location", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("at", WIDE, nullable=False),
        sa.PrimaryKeyConstraint("principal", "key"),
    )
