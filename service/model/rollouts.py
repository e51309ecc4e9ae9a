"""A revision that goes to many hosts: in which portions, how far it is, and what has become of each host.

Policy       `rollout:` of fleet.yaml
Rollout      one revision on its way, with how many of its hosts are where
Member       one of its hosts
Opening      what a revision would change, before any of it is begun
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

RolloutState = Literal["running", "waiting", "halted", "aborted", "done", "superseded"]
"""`waiting`: it is so large that a person has to approve it. `halted`: it continues once a person resumes it."""
MemberState = Literal["pending", "applying", "done", "failed", "aborted"]
Stand = Literal["pending", "aside", "applying", "done", "failed", "aborted"]
"""Where a host is. Pending hosts that are set aside are `aside`."""
OPEN: tuple[RolloutState, ...] = ("running", "waiting", "halted")


@dataclass(frozen=True, slots=True)
class Share:
    """A number of hosts, or a percentage of them."""

    number: int
    is_percent: bool = False

    def of(self, hosts: int) -> int:
        """How many that are of so many hosts, at least one."""
        return max(1, -(-hosts * self.number // 100)) if self.is_percent else self.number

    def __str__(self) -> str:
        return f"{self.number}%" if self.is_percent else str(self.number)

    @classmethod
    def parse(cls, text: str) -> "Share":
        """The value of its own text."""
        return cls(int(text.removesuffix("%")), text.endswith("%"))


ALL = Share(100, is_percent=True)


@dataclass(frozen=True, slots=True)
class Policy:
    """How a revision goes to the hosts. `waves` are how many hosts have been changed after each wave, in all; the rest
    follows after the last one. `soak_s` seconds pass between waves. After `max_failures` failed hosts it halts; 0:
    it never does. `max_unavailable` is how many may be in a change, or away after it, at once; None: any number.
    `last` are hosts that come after all others, each alone."""

    waves: tuple[Share, ...] = (ALL,)
    soak_s: float = 0
    max_failures: int = 0
    max_unavailable: Share | None = None
    last: tuple[str, ...] = ()

    def hosts_until(self, wave: int, hosts: int) -> int:
        """How many of so many hosts may have been begun in wave `wave`, which counts from 0, and those before it."""
        return hosts if wave >= len(self.waves) else min(hosts, self.waves[wave].of(hosts))


@dataclass(frozen=True, slots=True)
class Member:
    """One host of a rollout. `digest` is its desired state there. `needs` are hosts that come before it. `is_last`: it
    comes after all others, alone. `wave` is the one in which it was begun, counted from 1; 0 before. `aside` says why
    it is set aside: nothing can begin on it until a person acts."""

    host: str
    digest: str
    state: MemberState = "pending"
    needs: tuple[str, ...] = ()
    is_last: bool = False
    wave: int = 0
    begun_at: datetime | None = None
    ended_at: datetime | None = None
    error: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    aside: str = ""


@dataclass(frozen=True, slots=True)
class Opening:
    """What a revision changes. `stop` says in words why a person has to approve it first; empty: nobody has to.
    `is_plain`: fleet.yaml has no policy and no host depends on another one, so that there is nothing to keep track of
    where it does not stop."""

    commit: str
    policy: Policy
    members: tuple[Member, ...]
    stop: str = ""
    is_plain: bool = True


@dataclass(frozen=True, slots=True)
class Rollout:
    """One revision on its way. `wave` counts from 1. `hosts` are all of its hosts; the other numbers are those in each
    state, of which `away` of the begun ones cannot be reached. `set_aside` are the pending ones on which nothing can
    begin until a person acts, `out` are suspended or quarantined ones that do not have it. `held` are pending ones
    whose change was interrupted and is tried again. They keep their place, so that no other host is touched in their
    stead. It is free once the plan is refused, latched, or waits for an approval or a window. `by` and `why`
    say who halted, resumed, or aborted it last, or what did. `forgiven` failures do not count, since a person resumed
    it after them."""

    id: str
    commit: str
    state: RolloutState
    policy: Policy
    wave: int = 1
    by: str = ""
    why: str = ""
    forgiven: int = 0
    is_approved: bool = False
    number: int = 0
    created_at: datetime | None = None
    ended_at: datetime | None = None
    hosts: int = 0
    pending: int = 0
    applying: int = 0
    done: int = 0
    failed: int = 0
    aborted: int = 0
    away: int = 0
    waiting_others: int = 0
    last_applying: int = 0
    moved_at: datetime | None = None
    set_aside: tuple[str, ...] = ()
    out: frozenset[str] = frozenset()
    held: frozenset[str] = frozenset()

    @property
    def aside(self) -> int:
        """How many hosts are set aside."""
        return len(self.set_aside)

    @property
    def begun(self) -> int:
        """How many hosts have been begun."""
        return self.applying + self.done + self.failed

    @property
    def waves(self) -> int:
        """How many waves there are, with the rest after the last one that is written."""
        written = self.policy.waves
        return len(written) + (written[-1] != ALL if written else 1)
