"""Published sites."""

import sqlalchemy as sa
from alembic import op

from service.history.words import WIDE

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    op.create_table(
        "sites",
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("names", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("weight", sa.String(), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("fix", sa.String(), nullable=False),
        sa.Column("seen", sa.Text(), nullable=False),
        sa.Column("since", WIDE, nullable=False),
        sa.PrimaryKeyConstraint("host", "site"),
    )
    op.create_index("ix_sites_state", "sites", ["state"])


def downgrade() -> None:
    """A migration cannot be reversed. The previous file is kept next to the new one."""
    raise NotImplementedError
