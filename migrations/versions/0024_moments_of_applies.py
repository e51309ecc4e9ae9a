"""What an apply came to and when, and when its host rolls back on its own: an apply can be followed."""

import sqlalchemy as sa
from alembic import op

from service.history.words import WIDE

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    op.add_column("applies", sa.Column("reverts_at", WIDE, nullable=True))
    op.add_column("applies", sa.Column("moments", sa.Text(), nullable=False, server_default="[]"))


def downgrade() -> None:
    """A migration cannot be reversed. The previous file is kept next to the new one."""
    raise NotImplementedError
