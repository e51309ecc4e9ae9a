"""Events of changes: what differs, plans, applies, latches, drills."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from service.model.events.told import IN_WORDS, UNATTENDED, Happened, Part, Weight


@dataclass(frozen=True, kw_only=True)
class _OfDrift(Happened):
    part: ClassVar[Part] = "host"
    what: ClassVar[str]

    count: int
    items: Sequence[str]
    by: str
    """Who made it differ, or who ended that: git, host, both, or an apply's id."""

    @property
    def text(self) -> str:
        return f"{self.host}: {self.count} difference{'s' * (self.count > 1)} {self.what}: {self.items[0]}"

    @classmethod
    def part_of(cls, detail: Mapping[str, Any]) -> Part:
        by = detail.get("by")
        return "git" if by == "git" else "host" if by in (None, "host", "both") else "service"


class DriftFound(_OfDrift):
    """A host differs from what Git wants."""

    name = "drift.found"
    what = "found"

    @property
    def weighs(self) -> Weight:
        """Somebody changed the host by hand."""
        return "trouble" if self.by != "git" else "news"


class DriftResolved(_OfDrift):
    """It does not any more."""

    name = "drift.resolved"
    what = "resolved"


@dataclass(frozen=True, kw_only=True)
class PlanMade(Happened):
    """There is something to do, or something that is refused."""

    name: ClassVar[str] = "plan.made"
    part: ClassVar[Part] = "service"

    plan: str
    steps: int = field(metadata=IN_WORDS)
    refusals: int = field(metadata=IN_WORDS)
    refused: str = field(default="", metadata=IN_WORDS)

    @property
    def text(self) -> str:
        made = f"{self.host}: a plan of {self.steps} step{'s' * (self.steps != 1)}"
        if not self.refusals:
            return made
        reasons = f"{self.refusals} reason{'s' * (self.refusals != 1)}"
        return f"{made} is refused for {reasons}" + (f", the first: {self.refused}" if self.refused else "")

    @property
    def weighs(self) -> Weight:
        """It is refused."""
        return "trouble" if self.refusals > 0 else "news"


@dataclass(frozen=True, kw_only=True)
class ApplyRequested(Happened):
    """An apply waits for its turn. `by` requested it, passerelle where nobody did."""

    name: ClassVar[str] = "apply.requested"
    part: ClassVar[Part] = "person"

    apply: str
    plan: str
    by: str

    @property
    def text(self) -> str:
        return f"{self.host}: apply requested by {self.by}"

    @classmethod
    def part_of(cls, detail: Mapping[str, Any]) -> Part:
        return "service" if detail.get("by") == UNATTENDED else "person"


@dataclass(frozen=True, kw_only=True)
class ApplyStarted(Happened):
    """It began."""

    name: ClassVar[str] = "apply.started"
    part: ClassVar[Part] = "service"

    apply: str
    steps: int = field(metadata=IN_WORDS)

    @property
    def text(self) -> str:
        return f"{self.host}: apply of {self.steps} step{'s' * (self.steps != 1)} started"


@dataclass(frozen=True, kw_only=True)
class ApplyReached(Happened):
    """It has come so far. `reverts_at`: the host rolls back then unless the change is confirmed (RFC 3339), empty where
    nothing is armed."""

    name: ClassVar[str] = "apply.reached"
    part: ClassVar[Part] = "host"
    weight: ClassVar[Weight] = "silent"
    """The begin and the end have a line each."""

    apply: str
    moment: str
    reverts_at: str = ""

    @property
    def text(self) -> str:
        until = f", the host rolls back at {self.reverts_at} unless it is confirmed" if self.reverts_at else ""
        return f"{self.host}: apply {self.moment}{until}"


@dataclass(frozen=True, kw_only=True)
class ApplyStepped(Happened):
    """A step has a new state. `position` counts from 0, `done` of `steps` are over. Of many steps some are reported."""

    name: ClassVar[str] = "apply.step"
    part: ClassVar[Part] = "host"
    weight: ClassVar[Weight] = "silent"
    """The begin and the end of the apply have a line each."""

    apply: str
    position: int
    state: str
    done: int
    steps: int

    @property
    def text(self) -> str:
        return f"{self.host}: step {self.position + 1} of {self.steps} is {self.state}"


@dataclass(frozen=True, kw_only=True)
class ApplyFinished(Happened):
    """It ended; `phase` says how, `cause` in one fixed word why it did not succeed."""

    name: ClassVar[str] = "apply.finished"
    part: ClassVar[Part] = "host"

    apply: str
    phase: str
    cause: str
    error: str = field(metadata=IN_WORDS)

    @property
    def text(self) -> str:
        return f"{self.host}: apply {self.phase}" + (f": {self.error}" if self.error else "")

    @property
    def weighs(self) -> Weight:
        """It did not bring what was wanted."""
        return "trouble" if self.phase != "Succeeded" else "news"

    @classmethod
    def part_of(cls, detail: Mapping[str, Any]) -> Part:
        """The host's journal says how a transaction ended; what never came so far, the service does."""
        return "host" if detail.get("phase") in ("Succeeded", "RolledBack", "RollbackFailed") else "service"


@dataclass(frozen=True, kw_only=True)
class ApplyAgain(Happened):
    """What failed because the service was away is tried once more."""

    name: ClassVar[str] = "apply.again"
    part: ClassVar[Part] = "service"

    apply: str
    before: str

    @property
    def text(self) -> str:
        ended = f"{self.host}: {self.before} ended because passerelle was away"
        return f"{ended}. It is tried once more as {self.apply}"


@dataclass(frozen=True, kw_only=True)
class ApplyLatched(Happened):
    """What was rolled back is not tried again on its own."""

    name: ClassVar[str] = "apply.latched"
    part: ClassVar[Part] = "service"

    apply: str
    digest: str = field(metadata=IN_WORDS)

    @property
    def text(self) -> str:
        return f"{self.host}: {self.digest[:19]} was rolled back and is not tried again"

    weight = "trouble"


@dataclass(frozen=True, kw_only=True)
class LatchCleared(Happened):
    """It may be tried again: a person says so, or Git wants something else now (`by` is then git)."""

    name: ClassVar[str] = "latch.cleared"
    part: ClassVar[Part] = "person"

    by: str
    why: str = field(metadata=IN_WORDS)

    @property
    def text(self) -> str:
        if self.by == "git":
            return f"{self.host}: {self.why}. The earlier rollback no longer blocks applies"
        return f"{self.host}: {self.by} cleared the latch: {self.why}"

    @classmethod
    def part_of(cls, detail: Mapping[str, Any]) -> Part:
        return "git" if detail.get("by") == "git" else "person"


@dataclass(frozen=True, kw_only=True)
class DrillRequested(Happened):
    """A drill waits for its turn."""

    name: ClassVar[str] = "drill.requested"
    part: ClassVar[Part] = "person"

    drill: str
    by: str

    @property
    def text(self) -> str:
        return f"{self.host}: {self.by} requested a drill"


@dataclass(frozen=True, kw_only=True)
class DrillStarted(Happened):
    """It began."""

    name: ClassVar[str] = "drill.started"
    part: ClassVar[Part] = "service"

    drill: str

    @property
    def text(self) -> str:
        return f"{self.host}: drill started"


@dataclass(frozen=True, kw_only=True)
class DrillPassed(Happened):
    """The host can undo a change."""

    name: ClassVar[str] = "drill.passed"
    part: ClassVar[Part] = "host"

    drill: str

    @property
    def text(self) -> str:
        return f"{self.host}: the drill proved the automatic rollback"


@dataclass(frozen=True, kw_only=True)
class DrillFailed(Happened):
    """That is not proven."""

    name: ClassVar[str] = "drill.failed"
    part: ClassVar[Part] = "host"

    drill: str
    error: str = field(metadata=IN_WORDS)

    @property
    def text(self) -> str:
        return f"{self.host}: the drill failed: {self.error}"

    weight = "trouble"
