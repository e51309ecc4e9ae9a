"""Events of hosts: their status, their problems, requests for them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from service.model.events.told import IN_WORDS, Happened, Part, Weight


@dataclass(frozen=True, kw_only=True)
class HostState(Happened):
    """An axis of a host's status changed. `was` has the axes that changed, as they were. `message` says why."""

    name: ClassVar[str] = "host.state"
    part: ClassVar[Part] = "service"

    sync: str
    reason: str
    health: str
    reachability: str
    phase: str
    message: str = field(default="", metadata=IN_WORDS)

    @property
    def text(self) -> str:
        said = f"{self.host} is {self.sync}" + (f" ({self.reason})" if self.reason else "")
        if "reachability" in self.was or self.is_away:
            said += f", {self.reachability}"
        if self.health == "Degraded":
            said += ", Degraded"
        return f"{said}: {self.message}" if self.weighs == "trouble" and self.message else said

    @property
    def is_away(self) -> bool:
        """Whether the service cannot log in there."""
        return self.reachability in ("Unreachable", "AuthFailed", "HostKeyChanged")

    @property
    def weighs(self) -> Weight:
        """Trouble where the host cannot be reached or is not well. An apply says itself how far it is."""
        if self.was.keys() == {"phase"}:
            return "silent"
        return "trouble" if self.is_away or self.health == "Degraded" else "news"

    @classmethod
    def part_of(cls, detail: Mapping[str, Any]) -> Part:
        return "git" if detail.get("reason") == "Orphaned" else "service"


class HostLeft(HostState):
    """The same, of a host that left Git."""

    @property
    def text(self) -> str:
        return f"{self.host} is no longer in Git; nothing on it is touched"

    @property
    def weighs(self) -> Weight:
        """What was wrong with it is nobody's matter now."""
        return "news"


@dataclass(frozen=True, kw_only=True)
class HostRenamed(Happened):
    """A host has another name now. Its history, leases and drill proof are kept."""

    name: ClassVar[str] = "host.renamed"
    part: ClassVar[Part] = "git"

    old: str

    @property
    def text(self) -> str:
        return f"{self.host} was {self.old} before: it keeps the history, leases and drill proof of {self.old}"


@dataclass(frozen=True, kw_only=True)
class HostWithoutPast(Happened):
    """A new host says `renamed_from` of a name that was never known."""

    name: ClassVar[str] = "host.without-past"
    part: ClassVar[Part] = "git"

    old: str

    @property
    def text(self) -> str:
        return f"{self.host} begins without a history: `renamed_from` names {self.old}, which is not known here"


@dataclass(frozen=True, kw_only=True)
class HostForgotten(Happened):
    """A person had the records of a host that left Git removed."""

    name: ClassVar[str] = "host.forgotten"
    part: ClassVar[Part] = "person"

    by: str
    why: str = field(default="", metadata=IN_WORDS)

    @property
    def text(self) -> str:
        return f"{self.by} removed all records of {self.host}" + (f": {self.why}" if self.why else "")


@dataclass(frozen=True, kw_only=True)
class HostQuarantined(Happened):
    """A rollback failed."""

    name: ClassVar[str] = "host.quarantined"
    part: ClassVar[Part] = "host"

    why: str = field(metadata=IN_WORDS)

    @property
    def text(self) -> str:
        return f"{self.host}: {self.why}"

    weight = "trouble"


@dataclass(frozen=True, kw_only=True)
class HostReleased(Happened):
    """It is no longer quarantined."""

    name: ClassVar[str] = "host.released"
    part: ClassVar[Part] = "host"

    @property
    def text(self) -> str:
        return f"{self.host}: the quarantine was lifted"


@dataclass(frozen=True, kw_only=True)
class HostRelease(Happened):
    """A person requested that. `error` is why it was not done."""

    name: ClassVar[str] = "host.release"
    part: ClassVar[Part] = "person"

    quarantined: str
    why: str = field(metadata=IN_WORDS)
    error: str = field(default="", metadata=IN_WORDS)

    @property
    def text(self) -> str:
        what = f"{self.host}: the quarantine of {self.quarantined}"
        return f"{what} could not be lifted: {self.error}" if self.error else f"{what} was lifted: {self.why}"


@dataclass(frozen=True, kw_only=True)
class ReconcileAsked(Happened):
    """Somebody wants a host looked at now."""

    name: ClassVar[str] = "host.reconcile-asked"
    part: ClassVar[Part] = "person"

    by: str

    @property
    def text(self) -> str:
        return f"{self.by} requested a look at {self.host}"


@dataclass(frozen=True, kw_only=True)
class NextBoot(Happened):
    """The next boot breaks the connection, whatever is applied."""

    name: ClassVar[str] = "host.next-boot"
    part: ClassVar[Part] = "host"

    fault: str = field(metadata=IN_WORDS)

    @property
    def text(self) -> str:
        return f"{self.host}: {self.fault}"

    weight = "trouble"


@dataclass(frozen=True, kw_only=True)
class LeftBehind(Happened):
    """Something left the spec and stays on the host."""

    name: ClassVar[str] = "host.left-behind"
    part: ClassVar[Part] = "host"

    what: str = field(metadata=IN_WORDS)
    hint: str = field(metadata=IN_WORDS)

    @property
    def text(self) -> str:
        return f"{self.host}: {self.what}. Fix: {self.hint}"


@dataclass(frozen=True, kw_only=True)
class RoundFailed(Happened):
    """An error that nobody expected."""

    name: ClassVar[str] = "round.failed"
    part: ClassVar[Part] = "service"

    why: str = field(metadata=IN_WORDS)

    @property
    def text(self) -> str:
        return f"{self.host}: the round failed: {self.why}"

    weight = "silent"
    """The log has the error itself, with its traceback and a count."""
