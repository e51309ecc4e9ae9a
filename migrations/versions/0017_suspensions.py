"""Suspensions: hosts on which no apply begins for now."""

import sqlalchemy as sa
from alembic import op

from service.history.columns import UtcTime

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    op.create_table(
        "suspensions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("since", UtcTime(), nullable=False),
        sa.Column("until_at", UtcTime(), nullable=True),
        sa.Column("ended_at", UtcTime(), nullable=True),
        sa.Column("ended_by", sa.String(), nullable=False, server_default=sa.text("''")),
        sa.Column("held_digest", sa.String(), nullable=False, server_default=sa.text("''")),
        sa.PrimaryKeyConstraint("id"),
    )


def downgrade() -> None:
    """A migration cannot be reversed. The previous file is kept next to the new one."""
    raise NotImplementedError
