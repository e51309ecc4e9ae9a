"""By these it is known whether anything names an old record, so that deleting never looks through a table."""

from alembic import op

from service.history.words import part_of

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    op.drop_index("ix_leases_gone", "leases")
    op.create_index("ix_leases_gone", "leases", ["last_seen", "host", "mac", "ip"], **part_of("active = {no}"))
    op.create_index("ix_applies_plan", "applies", ["plan_id"])
    op.create_index("ix_plans_commit", "plans", ["commit"])
    op.create_index("ix_latches_of_host", "latches", ["host", "desired_digest"])
    op.create_index("ix_latches_apply", "latches", ["apply_id"])
    op.create_index("ix_latches_cleared", "latches", ["cleared_at"], **part_of("cleared_at IS NOT NULL"))
    op.create_index("ix_drills_host_state", "drills", ["host", "state", "id"])


def downgrade() -> None:
    """A migration cannot be reversed. The previous file is kept next to the new one."""
    raise NotImplementedError
