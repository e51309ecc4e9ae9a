"""The labels of the hosts of a rollout: a suspension by label sets some of them aside."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    op.add_column("rollout_hosts", sa.Column("labels", sa.Text(), nullable=False, server_default="{}"))


def downgrade() -> None:
    """A migration cannot be reversed. The previous file is kept next to the new one."""
    raise NotImplementedError
