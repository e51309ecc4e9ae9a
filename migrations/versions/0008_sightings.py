"""What a host sent at the last look outlives the process."""

import sqlalchemy as sa
from alembic import op

from service.history.words import WIDE

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    op.create_table(
        "sightings",
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("at", WIDE, nullable=False),
        sa.Column("form", sa.String(), nullable=False),
        sa.Column("nonce", sa.String(), nullable=False),
        sa.Column("watch", sa.Text(), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=False),
        sa.Column("weighed", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("host"),
    )


def downgrade() -> None:
    """A migration cannot be reversed. The previous file is kept next to the new one."""
    raise NotImplementedError
