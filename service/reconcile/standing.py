"""What the loop remembers of each host between rounds.

What a restart may not lose is rows (service/reconcile/recall.py reads them again); what is of the moment begins again:
`failures`, `unsettled`, `applying`, `trouble`, `unrecorded`, `lost`, `sites`, `stamp`, `shown`, `removed`.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from service.kinds.guests_seen import in_words
from service.kinds.shared_leases import lost_leases
from service.model.guests import NameFinding
from service.model.observed import HostObserved, Lease, Watch
from service.model.plans import Plan
from service.model.runs import HostStatus, Stamp
from service.model.states import Json
from service.plan.make import Permission
from service.reconcile.site_standing import SiteStanding
from service.resources.desired import Desired
from service.spec.host import HostSpec

CONTESTED_TIMES = 5
CONTESTED_WITHIN_S = 300.0

Key = tuple[str, str, str, str]
"""A difference's identity: see `Difference.key`."""

Kept = tuple[Watch, Mapping[str, str], Json]


class Looked(NamedTuple):
    """All that a plan is made of."""

    desired: Desired
    base: Json
    observed: HostObserved
    commit: str
    permission: Permission

    def is_as(self, other: "Looked") -> bool:
        """Whether nothing that a plan is made of is another. The time is not, nor is what guests say of certificates,
        which has a time of its own each minute. Quick: equal parts of two looks are mostly the same objects.
        """
        seen = self.observed
        then = replace(other.observed, observed_at=seen.observed_at, guest_status=seen.guest_status)
        return self.desired is other.desired and self._replace(desired=other.desired) == other._replace(observed=then)


@dataclass
class Standing:
    """One host's last round. `heals_s` says when each difference was rolled back lately. `applied_by` is the apply
    that ended well since the host was looked at. `commit` is what it was last compared with, or a later one that wants
    the same. `unsettled`: an apply's end is not known here yet, the host's journal has to be read. `disputed` are
    names that two guests want, `lost` leases that another guest with the same client-id took. `spec` is what
    `desired` was made of, `looked` what `plan` was made of. `applying` is an apply that was begun and whose end is
    not recorded yet, `trouble` why the last round failed, `unrecorded` a status that the database did not take.
    `kept` is what the history has of what the host sent: watch, digests, what it said of changes. `stamp` is what the
    history held after a round that left nothing to do, `shown` its status (service/reconcile/quiet.py). `sites` is
    about what is published. `removed` is how much of the firewall the plan removes, after what that was computed
    from."""

    observed: HostObserved | None = None
    spec: HostSpec | None = None
    desired: Desired | None = None
    plan: Plan | None = None
    looked: Looked | None = None
    kept: Kept | None = None
    stamp: Stamp | None = None
    shown: HostStatus | None = None
    plan_id: str = ""
    failures: int = 0
    applied_by: str = ""
    commit: str = ""
    unsettled: bool = True
    disputed: tuple[NameFinding, ...] = ()
    lost: tuple[Lease, ...] = ()
    applying: str = ""
    trouble: str = ""
    unrecorded: HostStatus | None = None
    sites: SiteStanding = field(default_factory=SiteStanding)
    removed: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    heals_s: dict[Key, deque[float]] = field(default_factory=dict)

    def look(self, looked: Looked, spec: HostSpec, plan: Plan, plan_id: str, kept: Kept | None) -> None:
        """The host was looked at and compared, and the history has it."""
        self.lost = lost_leases(self.lost, self.observed, looked.observed)
        self.looked, self.spec, self.plan, self.plan_id = looked, spec, plan, plan_id
        self.desired, self.observed, self.commit, self.kept = looked.desired, looked.observed, looked.commit, kept
        self.applied_by = ""

    def agree(self, spec: HostSpec, desired: Desired, commit: str) -> None:
        """This commit wants the same of the host, as another object."""
        if self.looked is not None:
            self.looked = self.looked._replace(desired=desired)
        self.spec, self.desired, self.commit = spec, desired, commit

    def dispute(self, found: tuple[NameFinding, ...]) -> list[NameFinding]:
        """The names that two guests want now; those that are new."""
        before, self.disputed = self.disputed, found
        return [one for one in found if one not in before]

    def begin(self, apply_id: str = "") -> None:
        """Something is begun on the host, and its end has to be found out should nobody see it."""
        self.unsettled, self.applying = True, apply_id

    def end(self, open_apply: str = "") -> None:
        """What was begun has ended and is recorded, but for this apply."""
        self.unsettled, self.applying = bool(open_apply), open_apply

    def end_round(self, *, is_well: bool) -> None:
        """A round has ended. If what it began failed, the next try waits longer."""
        self.failures, self.trouble = 0 if is_well else self.failures + 1, ""

    def fail(self, why: str) -> None:
        """A round failed."""
        self.failures, self.trouble = self.failures + 1, why

    def void(self) -> None:
        """The plan does not hold any more, whatever it was made of."""
        self.plan, self.plan_id, self.looked, self.stamp = None, "", None, None

    def desired_of(self, spec: HostSpec) -> Desired | None:
        """What the last look made of this very spec."""
        return self.desired if self.spec is spec else None

    def is_of(self, spec: HostSpec) -> bool:
        """Whether the plan is one of this spec."""
        return self.plan is not None and self.spec == spec

    def still(self, looked: Looked) -> Plan | None:
        """The last plan, where it had nothing to do and nothing has changed since."""
        idle = self.plan is not None and self.plan.is_empty and not self.plan.drifts
        return self.plan if idle and self.looked is not None and self.looked.is_as(looked) else None

    def worth_knowing(self, plan: Plan) -> str:
        """What a person should know of a host about which nothing more urgent is reported."""
        return "; ".join(plan.at_boot) or in_words(self.disputed)

    def heals(self, plan: Plan, now_s: float) -> None:
        """What the host did on its own is rolled back now."""
        for key in moved_by_host(plan):
            self.heals_s.setdefault(key, deque(maxlen=CONTESTED_TIMES)).append(now_s)

    def is_contested(self, plan: Plan, now_s: float) -> bool:
        """Whether one and the same difference was rolled back so often lately that something must be fighting back."""
        return any(
            len(times) == CONTESTED_TIMES and now_s - times[0] < CONTESTED_WITHIN_S
            for key in moved_by_host(plan)
            if (times := self.heals_s.get(key))
        )


def moved_by_host(plan: Plan) -> list[Key]:
    """The differences that the host made."""
    return [drift.difference.key for drift in plan.drifts if drift.moved == "host"]
