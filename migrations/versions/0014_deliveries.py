"""Two secrets of a receiver, what it obeys, its suspension; what a delivery said, and how often it came."""

import sqlalchemy as sa
from alembic import op

from service.history.words import WIDE

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    for name in ("old_secret", "suspended", "suspended_by"):
        op.add_column("receivers", sa.Column(name, sa.String(), nullable=False, server_default=sa.text("''")))
    for name in ("events", "branches"):
        op.add_column("receivers", sa.Column(name, sa.Text(), nullable=False, server_default="[]"))
    op.add_column("receivers", sa.Column("old_until", WIDE, nullable=True))
    op.drop_index("ix_deliveries_id", "deliveries")
    # the table stays: its rows are counted by triggers
    op.execute("ALTER TABLE deliveries RENAME COLUMN delivery_id TO delivery")
    for name in ("event", "branch", "commit", "message"):
        op.add_column("deliveries", sa.Column(name, sa.String(), nullable=False, server_default=sa.text("''")))
    op.add_column("deliveries", sa.Column("repeats", sa.Integer(), nullable=False, server_default=sa.text("0")))
    op.add_column("deliveries", sa.Column("last_at", WIDE, nullable=False, server_default=sa.text("0")))
    op.execute("UPDATE deliveries SET last_at = at")
    op.create_index("ix_deliveries_delivery", "deliveries", ["receiver", "delivery"], unique=True)
    op.create_index("ix_deliveries_receiver", "deliveries", ["receiver", "id"])
    op.create_index("ix_deliveries_outcome", "deliveries", ["outcome", "id"])
    op.create_index("ix_deliveries_both", "deliveries", ["receiver", "outcome", "id"])


def downgrade() -> None:
    """A migration cannot be reversed. The previous file is kept next to the new one."""
    raise NotImplementedError
