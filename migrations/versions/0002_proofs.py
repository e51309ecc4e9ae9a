"""Drills, what was probed around an apply, and hosts whose rollback failed."""

import sqlalchemy as sa
from alembic import op

from service.history.words import WIDE

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    op.create_table(
        "drills",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("requested_by", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("requested_at", WIDE, nullable=False),
        sa.Column("started_at", WIDE, nullable=True),
        sa.Column("ended_at", WIDE, nullable=True),
        sa.Column("error", sa.String(), nullable=False),
        sa.Column("proofs", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_drills_host", "drills", ["host", "id"], unique=False)
    op.add_column("hosts", sa.Column("quarantined", sa.String(), nullable=False, server_default=sa.text("''")))
    op.add_column("hosts", sa.Column("proven_at", WIDE, nullable=True))
    op.add_column("applies", sa.Column("probes", sa.Text(), nullable=False, server_default="[]"))


def downgrade() -> None:
    """A migration cannot be reversed. The previous file is kept next to the new one."""
    raise NotImplementedError
