"""What the API says of a host."""

from datetime import datetime

from pydantic import Field

from service.api.schemas import Answer, Told
from service.model.attention import AttentionKind, AttentionStep
from service.model.axes import Health, Phase, Reachability, SyncState
from service.model.runs import SyncMode, SyncReason
from service.model.suspensions import Scope as SuspensionScope


class HostSuspension(Answer):
    """Why no apply begins on a host: who wanted that, and until when."""

    id: int
    scope: SuspensionScope
    by: str
    reason: str
    since: datetime
    until: datetime | None = Field(description="when it ends automatically; null: when somebody resumes")


class Attention(Told):
    """Why a host needs a person, and the next step."""

    kind: AttentionKind
    text: str = Field(description="in one sentence")
    step: AttentionStep = Field(
        description="release: end the quarantine; clear-latch: let the change be tried again; plan: read the plan and "
        "apply it; look: look at the host again; doctor: `passerelle doctor HOST`; forget: it left Git"
    )


class Host(Told):
    """The state of a host. Each axis is alone; `stale` says that nobody saw the host lately."""

    host: str
    address: str
    sync_mode: SyncMode
    sync: SyncState
    reason: SyncReason
    message: str = Field(description="the reason in words")
    health: Health
    reachability: Reachability
    phase: Phase
    observed_at: datetime | None
    tried_at: datetime | None = Field(
        description="start of the last look that has ended, successful or not; null: none since the service started"
    )
    stale: bool
    hints: list[str] = Field(
        description="changes that the host reports on its own now: network, rules, files, units; the others are polled"
    )
    before_restart: bool = Field(description="nobody has seen it since the service started")
    observed_commit: str = Field(
        description="the commit it was last compared with, or a later one that wants the same of it"
    )
    attempted_commit: str = Field(description="the commit for which the last apply started")
    applied_commit: str = Field(description="the commit whose apply was last confirmed")
    desired_digest: str
    applied_digest: str
    plan_id: str
    apply_id: str
    console: str = Field(description="where to log in if SSH fails")
    drift_items: int | None = Field(description="null: not compared with what Git wants now")
    quarantined: str = Field(description="the apply whose rollback failed: nothing is applied until it is released")
    suspension: HostSuspension | None = Field(description="no apply begins on the host; null: it is not suspended")
    proven_at: datetime | None = Field(description="when a drill last proved that the host can roll back")
    changed_at: datetime | None
    attention: Attention | None = Field(description="why it needs a person; null: it needs nobody")
