"""What the loop remembers of a host's sites between rounds, and when each is due.

Nothing of it outlives a restart: what was seen is a row, and the checks run again.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from service.model.sites.records import SiteRecord, preflight_in, probes_in
from service.model.sites.seen import Answer, Preflight, Probes
from service.model.sites.states import UPSTREAM_STATUSES
from service.model.sites.wanted import SiteWanted
from service.spec.host import HostSpec

CHECK_FIRST_S = 30.0
CHECK_UNKNOWN_S = 5.0
"""The first repetition of a check that nobody could make, such as one whose name server did not answer in time."""
CHECK_MOST_S = 1800.0
PROBE_WELL_S = 300.0
PROBE_SOON_S = 30.0
PROBE_AGAIN_S = 15.0
"""A site that did not answer once is looked at again after so long before its state changes."""
ORDER_S = 180.0
"""So long after a permit the guest is looked at often: an order takes some seconds."""
ORDER_LOOK_S = 5.0


@dataclass
class SiteStanding:
    """`sites` are those of `spec`. `is_known`: the history has no others. `checked` are the last checks of each site by
    name, `probed` what was seen of it. `unsent` are sites whose result the guest does not have yet. `missed` did not
    answer once. `held` is what the guest says of each certificate. Times are those of the monotonic clock."""

    is_known: bool = False
    spec: HostSpec | None = None
    sites: tuple[SiteWanted, ...] = ()
    records: tuple[SiteRecord, ...] = ()
    checked: dict[str, Preflight] = field(default_factory=dict)
    probed: dict[str, Probes] = field(default_factory=dict)
    unsent: set[str] = field(default_factory=set)
    missed: set[str] = field(default_factory=set)
    held: dict[str, str] = field(default_factory=dict)
    _tries: dict[str, int] = field(default_factory=dict)
    _check_at_s: dict[str, float] = field(default_factory=dict)
    _probe_at_s: dict[str, float] = field(default_factory=dict)
    _order_until_s: float = 0.0

    def follow(self, sites: tuple[SiteWanted, ...]) -> None:
        """These are wanted now: of those that are new or another, nothing is known."""
        before = {one.name: one for one in self.sites}
        now = {one.name: one for one in sites}
        for name in {name for name in (*before, *now) if before.get(name) != now.get(name)}:
            self.forget(name)
        self.sites = sites

    def recall(self, records: Iterable[SiteRecord]) -> None:
        """What was seen of these before the start."""
        names = {one.name for one in self.sites}
        for one in records:
            probes, preflight = probes_in(one), preflight_in(one)
            if probes is not None and one.site in names:
                self.probed[one.site] = probes
            if preflight is not None and one.site in names:
                self.checked[one.site] = preflight

    def forget(self, name: str) -> None:
        """Nothing is known of this site."""
        for kept in (self.checked, self.probed, self.held, self._tries, self._check_at_s, self._probe_at_s):
            kept.pop(name, None)
        self.unsent.discard(name)
        self.missed.discard(name)

    def anew(self) -> None:
        """A person wants all of it looked at now."""
        for due in (self._tries, self._check_at_s, self._probe_at_s):
            due.clear()

    def has_certificate(self, name: str, serial: str) -> None:
        """The guest says so. With another one than before the site is looked at now."""
        if self.held.get(name) != serial:
            self.held[name] = serial
            self._probe_at_s.pop(name, None)

    def checks_due(self, waiting: Iterable[str], now_s: float, most: int) -> list[str]:
        """Which sites that wait for a permit are checked now. One that stopped waiting starts again next time."""
        names = list(waiting)
        for name in set(self._check_at_s) - set(names):
            self._check_at_s.pop(name)
            self._tries.pop(name, None)
        due = [name for name in names if self._check_at_s.get(name, 0.0) <= now_s]
        return sorted(due, key=lambda name: self._check_at_s.get(name, 0.0))[:most]

    def check(self, name: str, found: Preflight, now_s: float) -> None:
        """The checks of a site ran; they run again later and later."""
        tries = self._tries.get(name, 0)
        self._tries[name] = tries + 1
        says_something = found.is_passed or any(check.is_known for check in found.failed)
        first_s = CHECK_FIRST_S if says_something else CHECK_UNKNOWN_S
        self._check_at_s[name] = now_s + min(CHECK_MOST_S, first_s * 2.0 ** min(tries, 16))
        self.checked[name] = found
        if says_something:
            self.unsent.add(name)

    def sent(self, names: Iterable[str], now_s: float) -> None:
        """The guest has these results."""
        for name in names:
            self.unsent.discard(name)
            if self.checked[name].is_passed:
                self._order_until_s = now_s + ORDER_S

    def probes_due(self, names: Iterable[str], now_s: float, most: int) -> list[str]:
        """Which sites are looked at now, the longest due first."""
        due = [name for name in names if self._probe_at_s.get(name, 0.0) <= now_s]
        return sorted(due, key=lambda name: self._probe_at_s.get(name, 0.0))[:most]

    def probe(self, name: str, found: Probes, now_s: float) -> None:
        """A site was looked at. What was well and is not now has to be seen twice."""
        before, is_well = self.probed.get(name), _is_well(found)
        if not is_well and name not in self.missed and (before is None or _is_well(before)):
            self.missed.add(name)
            self._probe_at_s[name] = now_s + PROBE_AGAIN_S
            return
        self.missed.discard(name)
        self.probed[name] = found
        self._probe_at_s[name] = now_s + (PROBE_WELL_S if is_well else PROBE_SOON_S)

    def next_s(self, is_ordering: bool, now_s: float) -> float | None:
        """Seconds until something is due; None: nothing is."""
        due = [*self._check_at_s.values(), *self._probe_at_s.values()]
        if is_ordering and now_s < self._order_until_s:
            due.append(now_s + ORDER_LOOK_S)
        return max(0.0, min(due) - now_s) if due else None

    @property
    def attention(self) -> str:
        """What a person should know, for the host's status: the first site with trouble, and how many more."""
        troubles = [one for one in self.records if one.weight == "trouble"]
        if not troubles:
            return ""
        more = f" ({len(troubles) - 1} more)" if len(troubles) > 1 else ""
        return f"needs attention: {troubles[0].site}: {troubles[0].message}{more}"


def _is_well(found: Probes) -> bool:
    answers: Sequence[Answer] = (*found.outside, *((found.inside,) if found.inside is not None else ()))
    return all(one.is_reached and one.status not in UPSTREAM_STATUSES for one in answers)
