"""Requests survive a restart: who may raise, whether a drill reboots, quarantines to be lifted."""

import sqlalchemy as sa
from alembic import op

from service.history.words import WIDE

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    op.add_column("applies", sa.Column("may_raise", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("drills", sa.Column("reboot", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_table(
        "releases",
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("apply_id", sa.String(), nullable=False),
        sa.Column("requested_by", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("requested_at", WIDE, nullable=False),
        sa.PrimaryKeyConstraint("host"),
    )


def downgrade() -> None:
    """A migration cannot be reversed. The previous file is kept next to the new one."""
    raise NotImplementedError
