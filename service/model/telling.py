"""What a host says of an apply: while it runs, how it ended, and what its own journal knows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from service.model.axes import Phase
from service.model.runs import MomentName, ProbeRecord, StepState

Ending = Literal["confirmed", "rolled_back", "rollback_failed", "conflict", "refused", "unconfirmed"]


@dataclass(frozen=True, slots=True)
class StepTold:
    """The host says how far a step is: its position in the plan, its state, how long it took, and why it failed."""

    position: int
    state: StepState
    error: str = ""
    took_s: float = 0.0


@dataclass(frozen=True, slots=True)
class PhaseTold:
    """The apply as a whole has a new phase."""

    phase: Phase


@dataclass(frozen=True, slots=True)
class ReachedTold:
    """The apply has come so far. `left_s`: the host rolls back in so many seconds unless the change is confirmed; None
    where that is as it was."""

    moment: MomentName
    left_s: float | None = None


@dataclass(frozen=True, slots=True)
class MissedTold:
    """The deadline passed while this service tried to confirm: its absence no longer explains it. `throttled`: all
    that it met was an sshd that refuses its address for failed logins before, which says nothing about the change."""

    cause: Literal["missed", "throttled"] = "missed"


@dataclass(frozen=True, slots=True)
class ProbesTold:
    """All probes of the apply so far."""

    probes: tuple[ProbeRecord, ...]


@dataclass(frozen=True, slots=True)
class GuestWorkTold:
    """What the host does with a guest before or after the switch, as in `making the container`."""

    guest: str
    doing: str


Told: TypeAlias = StepTold | PhaseTold | ReachedTold | MissedTold | ProbesTold | GuestWorkTold


@dataclass(frozen=True, slots=True)
class Ended:
    """How an apply ended. `cause` is a fixed word (conflict, fenced, check, deadline…), `error` a sentence.

    `unconfirmed`: nobody knows yet; the host decides on its own and its journal says later.
    """

    ending: Ending
    cause: str = ""
    error: str = ""
    steps: tuple[StepTold, ...] = ()
    is_verified: bool | None = None
    """Of a rollback: whether the host compared itself with the snapshot and found it the same; None: not yet."""


@dataclass(frozen=True, slots=True)
class Fence:
    """What a host knows of its controllers: the newest generation, whose it was, and a transaction still armed."""

    generation: int = 0
    controller: str = ""
    armed: str = ""
    quarantined: str = ""
    journals: Mapping[str, Ended] = field(default_factory=dict)
