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
    for name, default in (("old_secret", ""), ("suspended", ""), ("suspended_by", "")):
        op.add_column("receivers", sa.Column(name, sa.String(), nullable=False, server_default=default))
    for name in ("events", "branches"):
        op.add_column("receivers", sa.Column(name, sa.Text(), nullable=False, server_default="[]"))
    op.add_column("receivers", sa.Column("old_until", WIDE, nullable=True))
    op.drop_table("deliveries")  # it held nothing but the ids of the last ones
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("receiver", sa.String(), nullable=False),
        sa.Column("delivery", sa.String(), nullable=False),
        sa.Column("at", WIDE, nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("event", sa.String(), nullable=False),
        sa.Column("branch", sa.String(), nullable=False),
        sa.Column("commit", sa.String(), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("repeats", sa.Integer(), nullable=False),
        sa.Column("last_at", WIDE, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_deliveries_delivery", "deliveries", ["receiver", "delivery"], unique=True)
    op.create_index("ix_deliveries_receiver", "deliveries", ["receiver", "id"])
    op.create_index("ix_deliveries_outcome", "deliveries", ["outcome", "id"])
    op.create_index("ix_deliveries_both", "deliveries", ["receiver", "outcome", "id"])


def downgrade() -> None:
    """A migration cannot be reversed. The previous file is kept next to the new one."""
    raise NotImplementedError
