"""One round of one host, as far as it has come: every stage reads what the stages before it found out."""

from dataclasses import dataclass, field, replace
from typing import Any

from service.model.axes import Phase
from service.model.observed import HostObserved
from service.model.plans import Plan
from service.model.runs import HostStatus
from service.reconcile.decide import Decision, Request
from service.reconcile.quarantine import Held
from service.reconcile.standing import Looked, Standing
from service.reconcile.watching import Wanted
from service.resources.desired import Desired
from service.spec.host import HostSpec

SITE_S = 2.0
"""Nothing about a site makes rounds follow each other faster."""


@dataclass(frozen=True, slots=True)
class Stop:
    """A round ends here. `why` in words; the next one is due in `after_s` seconds. Not `is_well`: what it began has
    failed."""

    why: str
    after_s: float
    is_well: bool = True


@dataclass
class Turn:
    """What is wanted, what is known from the rounds before, and `status`, what will be shown of the host. The stage
    that looks sets `observed`. The one that checks whether the host is free sets `held`, the one that plans `looked`
    and `plan`. The one that decides sets `request` (the waiting one) and `decision`,
    or `back`, a request to go back to an earlier state. Reading one of them earlier is an
    error in the order. `soon_s` is when a site is due, or an apply may begin again. `glance` is what
    was seen by a round that might have been quiet and was not.
    """

    spec: HostSpec
    wanted: Wanted
    standing: Standing
    status: HostStatus
    desired: Desired
    observed: HostObserved = field(init=False)
    held: Held = field(init=False)
    looked: Looked = field(init=False)
    plan: Plan = field(init=False)
    request: Request | None = field(init=False)
    decision: Decision = field(init=False)
    soon_s: float | None = None
    back: Request | None = None
    glance: HostObserved | None = None

    def __post_init__(self) -> None:
        if self.glance is not None:
            self.observed = self.glance
            self.show(address=self.glance.path.server if self.glance.path else self.status.address)

    def again_within(self, seconds: float | None) -> None:
        """Something is due in so many seconds, whatever else is; None: nothing."""
        if seconds is not None:
            self.soon_s = seconds if self.soon_s is None else min(self.soon_s, seconds)

    @property
    def addresses(self) -> list[str]:
        """Where the host may be."""
        return known_addresses(self.spec, self.status)

    def sooner(self, stop: Stop) -> Stop:
        """The same end, with the next round when something is due."""
        return stop if self.soon_s is None else replace(stop, after_s=min(stop.after_s, max(SITE_S, self.soon_s)))

    def hold(self, why: str) -> None:
        """What was decided is not done now: the host waits for others, or for a person."""
        what, _, _ = why.partition(":")  # the rest may be the words of a person
        phase: Phase = "WaitingForApproval" if what.endswith(" waits for an approval") else "Pending"
        self.decision = replace(self.decision, action="wait", phase=phase, message=why)
        self.show(phase=phase, message=why, health="Degraded")

    def show(self, **values: Any) -> None:
        """Change what will be shown of the host."""
        self.status = replace(self.status, **values)


def known_addresses(spec: HostSpec, status: HostStatus) -> list[str]:
    """Where the host may be: where the spec says, and where it was last."""
    return list(dict.fromkeys(a for a in (spec.connection.address, status.address) if a))
