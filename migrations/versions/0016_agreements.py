"""Hosts that a commit is not about: the commit that they agree with is one row for all of them."""

import sqlalchemy as sa
from alembic import op

from service.history.words import part_of

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    op.create_table(
        "agreements",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("agreed_commit", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.add_column("hosts", sa.Column("agrees", sa.String(), nullable=False, server_default=sa.text("''")))
    op.create_index("ix_hosts_agrees", "hosts", ["agrees"], **part_of("agrees <> ''"))


def downgrade() -> None:
    """A migration cannot be reversed. The previous file is kept next to the new one."""
    raise NotImplementedError
