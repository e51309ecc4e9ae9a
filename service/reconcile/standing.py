"""What the loop remembers of each host between rounds. Lost at a restart and rebuilt by the next round."""

from collections import deque
from dataclasses import dataclass, field

from service.model.observed import HostObserved
from service.model.plans import Plan
from service.reconcile.decide import Request
from service.resources.desired import Desired

CONTESTED_TIMES = 3
CONTESTED_WITHIN_S = 600.0


@dataclass
class Standing:
    """One host's last round. `heals_s` are the times at which drift was undone lately; `applied_by` is the apply that
    ended well since the host was looked at, `commit` what it was last compared with."""

    observed: HostObserved | None = None
    desired: Desired | None = None
    plan: Plan | None = None
    plan_id: str = ""
    request: Request | None = None
    failures: int = 0
    applied_by: str = ""
    commit: str = ""
    unsettled: bool = True
    heals_s: deque[float] = field(default_factory=lambda: deque(maxlen=CONTESTED_TIMES))

    def is_contested(self, now_s: float) -> bool:
        """Whether drift was undone so often lately that something must be fighting back."""
        full = len(self.heals_s) == CONTESTED_TIMES
        return full and now_s - self.heals_s[0] < CONTESTED_WITHIN_S
