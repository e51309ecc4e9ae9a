"""Sessions of people in the browser: each belongs to the token that somebody signed in with."""

import sqlalchemy as sa
from alembic import op

from service.history.columns import UtcTime
from service.history.tallying import Counter
from service.history.words import ROOMS

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

TABLE = "web_sessions"


def upgrade() -> None:
    """Forward."""
    op.create_table(
        TABLE,
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("token_id", sa.String(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("used_at", UtcTime(), nullable=False),
        sa.Column("ends_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_web_sessions_token", TABLE, ["token_id", "ends_at"])
    op.create_index("ix_web_sessions_ends", TABLE, ["ends_at", "id"])
    for statement in ROOMS[op.get_bind().dialect.name].counting(Counter(TABLE, TABLE, at="created_at")):
        op.execute(statement)


def downgrade() -> None:
    """A migration cannot be reversed. The previous file is kept next to the new one."""
    raise NotImplementedError
