"""Rollouts: a revision on its way to its hosts, and what has become of each."""

import sqlalchemy as sa
from alembic import op

from service.history.words import WIDE

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    op.create_table(
        "rollouts",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("commit", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("policy", sa.Text(), nullable=False),
        sa.Column("wave", sa.Integer(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("why", sa.String(), nullable=False),
        sa.Column("forgiven", sa.Integer(), nullable=False),
        sa.Column("is_approved", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("created_at", WIDE, nullable=False),
        sa.Column("ended_at", WIDE, nullable=True),
        sa.Column("moved_at", WIDE, nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_rollouts_number", "rollouts", ["number"], unique=True)
    op.create_index("ix_rollouts_state", "rollouts", ["state", "number"])
    op.create_index("ix_rollouts_commit", "rollouts", ["commit", "number"])
    op.create_table(
        "rollout_hosts",
        sa.Column("rollout_id", sa.String(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("needs", sa.Text(), nullable=False),
        sa.Column("is_last", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("wave", sa.Integer(), nullable=False),
        sa.Column("begun_at", WIDE, nullable=True),
        sa.Column("ended_at", WIDE, nullable=True),
        sa.Column("error", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["rollout_id"], ["rollouts.id"]),
        sa.PrimaryKeyConstraint("rollout_id", "host"),
    )
    op.create_index("ix_rollout_hosts_host", "rollout_hosts", ["host", "rollout_id"])


def downgrade() -> None:
    """A migration cannot be reversed. The previous file is kept next to the new one."""
    raise NotImplementedError
