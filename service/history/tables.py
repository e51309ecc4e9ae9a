"""The tables. Alembic's migrations build the same; a test compares the two.

Times are UtcTime (integers), JSON is JsonText. Free text was bounded and cleaned by whoever learned it; the store
bounds it once more.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import Index, Table, false, text
from sqlmodel import Field, SQLModel

from service.history.access_tables import (
    AuditHeadRow,
    AuditRow,
    DeliveryRow,
    IdempotencyRow,
    ReceiverRow,
    TokenRow,
    WebSessionRow,
)
from service.history.columns import Compressed, JsonText, UtcTime, WideNumber
from service.history.day_tables import HostDayRow, PoolDayRow
from service.history.lease_tables import LeaseIntervalRow, LeaseLookRow, LeaseRow
from service.history.notice_tables import NoticeRow
from service.history.pause_tables import SuspensionRow
from service.history.rollout_tables import RolloutHostRow, RolloutRow
from service.history.words import NEVER_AGAIN, part_index


class RevisionRow(SQLModel, table=True):
    __tablename__ = "revisions"
    __table_args__ = (
        Index("ix_revisions_fetched", "fetched_at", "id"),
        Index("ix_revisions_state", "state", "fetched_at", "id"),
    )

    id: int | None = Field(default=None, primary_key=True)
    commit: str = Field(unique=True)
    author_name: str
    author_email: str
    committed_at: datetime = Field(sa_type=UtcTime)
    subject: str
    fetched_at: datetime = Field(sa_type=UtcTime)
    state: str
    reason: str
    findings: Any = Field(sa_type=JsonText)


class RewriteRow(SQLModel, table=True):
    """A person accepts `commit` although it does not descend from `before`. The newest of one `before` counts."""

    __tablename__ = "rewrites"

    id: int | None = Field(default=None, primary_key=True)
    commit: str
    before: str
    by: str
    reason: str
    at: datetime = Field(sa_type=UtcTime)


class HostRow(SQLModel, table=True):
    """The small current-state table: one row a host. `generation` only ever grows."""

    __tablename__ = "hosts"
    __table_args__ = (part_index("ix_hosts_agrees", "agrees", where="agrees <> ''"),)

    host: str = Field(primary_key=True)
    address: str = ""
    sync_mode: str = "approve"
    sync: str = "Unknown"
    reason: str = ""
    message: str = ""
    health: str = "Unknown"
    reachability: str = "Unknown"
    phase: str = "Idle"
    observed_at: datetime | None = Field(default=None, sa_type=UtcTime)
    observed_commit: str = ""
    attempted_commit: str = ""
    applied_commit: str = ""
    desired_digest: str = ""
    applied_digest: str = ""
    plan_id: str = ""
    apply_id: str = ""
    console: str = ""
    drift_items: int = 0
    changed_at: datetime | None = Field(default=None, sa_type=UtcTime)
    generation: int = 0
    quarantined: str = Field(default="", sa_column_kwargs={"server_default": text("''")})
    proven_at: datetime | None = Field(default=None, sa_type=UtcTime)
    agrees: str = Field(default="", sa_column_kwargs={"server_default": text("''")})


class AgreementRow(SQLModel, table=True):
    """The commit that all hosts agree with whose `agrees` is this id: see `service/history/agreements.py`."""

    __tablename__ = "agreements"

    id: str = Field(primary_key=True)
    agreed_commit: str


class DriftRow(SQLModel, table=True):
    """`open_key` is the difference's identity while it is open and NULL afterwards: one open row for each."""

    __tablename__ = "drift"
    __table_args__ = (
        part_index("ix_drift_open", "host", "id", where="resolved_at IS NULL"),
        Index("ix_drift_host", "host", "id"),
        part_index("ix_drift_open_id", "id", where="resolved_at IS NULL"),
        part_index("ix_drift_open_kind", "host", "kind", where="resolved_at IS NULL"),
        part_index("ix_drift_past", "id", where="resolved_at IS NOT NULL"),
        part_index("ix_drift_resolved", "resolved_at", where="resolved_at IS NOT NULL"),
    )

    id: int | None = Field(default=None, primary_key=True)
    open_key: str | None = Field(default=None, unique=True)
    host: str
    kind: str
    resource: str
    field: str
    where: str
    op: str
    want: Any = Field(sa_type=JsonText)
    have: Any = Field(sa_type=JsonText)
    unknown: str
    cause: str
    moved: str
    first_seen: datetime = Field(sa_type=UtcTime)
    last_seen: datetime = Field(sa_type=UtcTime)
    resolved_at: datetime | None = Field(default=None, sa_type=UtcTime)
    resolved_by: str = ""


class PlanRow(SQLModel, table=True):
    __tablename__ = "plans"
    __table_args__ = (
        Index("ix_plans_host", "host", "id"),
        Index("ix_plans_digest", "host", "digest"),
        Index("ix_plans_commit", "commit"),
        part_index("ix_plans_current", "host", where="state = 'current'"),
    )

    id: str = Field(primary_key=True)
    host: str
    commit: str
    digest: str
    desired_digest: str
    state: str
    created_at: datetime = Field(sa_type=UtcTime)
    body: Any = Field(sa_type=JsonText)


class ApplyRow(SQLModel, table=True):
    __tablename__ = "applies"
    __table_args__ = (
        Index("ix_applies_host", "host", "id"),
        Index("ix_applies_phase", "phase", "id"),
        Index("ix_applies_host_phase", "host", "phase", "id"),
        Index("ix_applies_commit", "commit", "id"),
        Index("ix_applies_desired", "host", "desired_digest", "id"),
        Index("ix_applies_plan", "plan_id"),
        part_index("ix_applies_open", "id", where="ended_at IS NULL"),
    )

    id: str = Field(primary_key=True)
    host: str
    plan_id: str
    commit: str
    plan_digest: str
    desired_digest: str
    trigger: str
    requested_by: str
    phase: str
    generation: int = 0
    requested_at: datetime = Field(sa_type=UtcTime)
    started_at: datetime | None = Field(default=None, sa_type=UtcTime)
    ended_at: datetime | None = Field(default=None, sa_type=UtcTime)
    cause: str = ""
    error: str = ""
    probes: Any = Field(sa_type=JsonText, sa_column_kwargs={"server_default": "[]"})
    may_raise: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    waited: str = Field(default="", sa_column_kwargs={"server_default": text("''")})
    reverts_at: datetime | None = Field(default=None, sa_type=UtcTime)
    moments: Any = Field(sa_type=JsonText, sa_column_kwargs={"server_default": "[]"})


class StepRow(SQLModel, table=True):
    __tablename__ = "apply_steps"

    apply_id: str = Field(primary_key=True, foreign_key="applies.id")
    position: int = Field(primary_key=True)
    fact: str
    why: str
    state: str
    started_at: datetime | None = Field(default=None, sa_type=UtcTime)
    ended_at: datetime | None = Field(default=None, sa_type=UtcTime)
    error: str = ""


class DrillRow(SQLModel, table=True):
    __tablename__ = "drills"
    __table_args__ = (
        Index("ix_drills_host", "host", "id"),
        Index("ix_drills_host_state", "host", "state", "id"),
        part_index("ix_drills_open", "host", "id", where="ended_at IS NULL"),
    )

    id: str = Field(primary_key=True)
    host: str
    requested_by: str
    state: str
    generation: int = 0
    requested_at: datetime = Field(sa_type=UtcTime)
    started_at: datetime | None = Field(default=None, sa_type=UtcTime)
    ended_at: datetime | None = Field(default=None, sa_type=UtcTime)
    error: str = ""
    proofs: Any = Field(sa_type=JsonText)
    reboot: bool = Field(default=False, sa_column_kwargs={"server_default": false()})


class ReleaseRow(SQLModel, table=True):
    """A quarantine that a person wants lifted, until the next round has tried; the row goes with it."""

    __tablename__ = "releases"

    host: str = Field(primary_key=True)
    apply_id: str
    requested_by: str
    reason: str
    requested_at: datetime = Field(sa_type=UtcTime)


class SiteRow(SQLModel, table=True):
    """The small current-state table of published sites, written where anything of a site changed. `names` are all of
    its names, each with a blank before and after it. `since`: it has this state since then."""

    __tablename__ = "sites"
    __table_args__ = (Index("ix_sites_state", "state"),)

    host: str = Field(primary_key=True)
    site: str = Field(primary_key=True)
    names: str
    state: str
    weight: str
    message: str
    fix: str
    seen: Any = Field(sa_type=JsonText)
    since: datetime = Field(sa_type=UtcTime)


class SightingRow(SQLModel, table=True):
    """What a host sent at the last look that reported anything new: one row a host. When it was last seen so is in
    HostRow.observed_at, so that a look that finds nothing new writes nothing here."""

    __tablename__ = "sightings"

    host: str = Field(primary_key=True)
    at: datetime = Field(sa_type=UtcTime)
    form: str
    nonce: str
    watch: Any = Field(sa_type=JsonText)
    answer: bytes = Field(sa_type=Compressed)
    weighed: Any = Field(sa_type=JsonText)


class BaseRow(SQLModel, table=True):
    __tablename__ = "bases"

    host: str = Field(primary_key=True)
    desired: Any = Field(sa_type=JsonText)
    digest: str
    commit: str
    apply_id: str
    at: datetime = Field(sa_type=UtcTime)


class LatchRow(SQLModel, table=True):
    __tablename__ = "latches"
    __table_args__ = (
        part_index("ix_latches_open", "host", "desired_digest", unique=True, where="cleared_at IS NULL"),
        part_index("ix_latches_host", "host", "id", where="cleared_at IS NULL"),
        Index("ix_latches_of_host", "host", "desired_digest"),
        Index("ix_latches_apply", "apply_id"),
        part_index("ix_latches_cleared", "cleared_at", where="cleared_at IS NOT NULL"),
    )

    id: int | None = Field(default=None, primary_key=True)
    host: str
    desired_digest: str
    apply_id: str
    since: datetime = Field(sa_type=UtcTime)
    cleared_at: datetime | None = Field(default=None, sa_type=UtcTime)
    cleared_by: str = ""
    clear_reason: str = ""


class EventRow(SQLModel, table=True):
    """AUTOINCREMENT: an id is never used twice, so `after=` never skips or repeats."""

    __tablename__ = "events"
    __table_args__ = (
        Index("ix_events_host", "host", "id"),
        Index("ix_events_type", "type", "id"),
        Index("ix_events_host_type", "host", "type", "id"),
        {**NEVER_AGAIN},
    )

    id: int | None = Field(default=None, primary_key=True)
    at: datetime = Field(sa_type=UtcTime)
    type: str
    host: str
    text: str
    detail: Any = Field(sa_type=JsonText)


class TallyRow(SQLModel, table=True):
    """How many rows there are: see `tallying.py`. `day` counts from 1970-01-01 in UTC. It is 0, and a text is empty,
    where rows are not counted by it. The database writes them itself; none has 0 rows."""

    __tablename__ = "tallies"

    what: str = Field(primary_key=True)
    day: int = Field(primary_key=True, sa_type=WideNumber)
    host: str = Field(primary_key=True)
    kind: str = Field(primary_key=True)
    rows: int = Field(sa_type=WideNumber)


def _table(row: type[SQLModel]) -> Table:
    return SQLModel.metadata.tables[str(row.__tablename__)]


revisions = _table(RevisionRow)
rewrites = _table(RewriteRow)
hosts = _table(HostRow)
agreements = _table(AgreementRow)
drift = _table(DriftRow)
plans = _table(PlanRow)
applies = _table(ApplyRow)
steps = _table(StepRow)
drills = _table(DrillRow)
releases = _table(ReleaseRow)
leases = _table(LeaseRow)
lease_intervals = _table(LeaseIntervalRow)
lease_looks = _table(LeaseLookRow)
bases = _table(BaseRow)
sightings = _table(SightingRow)
sites = _table(SiteRow)
latches = _table(LatchRow)
host_days = _table(HostDayRow)
pool_days = _table(PoolDayRow)
suspensions = _table(SuspensionRow)
notices = _table(NoticeRow)
events = _table(EventRow)
tallies = _table(TallyRow)
rollouts = _table(RolloutRow)
rollout_hosts = _table(RolloutHostRow)
tokens = _table(TokenRow)
web_sessions = _table(WebSessionRow)
receivers = _table(ReceiverRow)
deliveries = _table(DeliveryRow)
idempotency_keys = _table(IdempotencyRow)
audit = _table(AuditRow)
audit_head = _table(AuditHeadRow)
