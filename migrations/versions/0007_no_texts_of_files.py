"""Plans have the lines of files that change, and no whole texts any more."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    if op.get_bind().dialect.name != "sqlite":
        return  # no other database is as old as these rows
    op.execute(
        "UPDATE plans SET body = json_set(body, '$.files', json('[]')) WHERE json_type(body, '$.files') = 'object'"
    )


def downgrade() -> None:
    """A migration cannot be reversed. The previous file is kept next to the new one."""
    raise NotImplementedError
