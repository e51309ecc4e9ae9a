"""Numbers for Prometheus that are read when somebody asks: from the database's counts, and from what is remembered.

Names follow Prometheus' conventions ("Metric and label naming"): base units, `_total` for what only grows, one label
for each axis.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple, Protocol, get_args

from service import __version__
from service.api.metric_text import Family, Row, head_of
from service.model.guests import PoolFill
from service.model.rollouts import RolloutState, Stand
from service.model.runs import HostStatus
from service.model.sites.records import SiteRecord
from service.model.sources import SourceStanding, SourceState

SOURCE_STATES: tuple[SourceState, ...] = get_args(SourceState)
ROLLOUT_STATES: tuple[RolloutState, ...] = get_args(RolloutState)
STANDS: tuple[Stand, ...] = get_args(Stand)
UNREAD = SourceStanding()
AXES = ("sync", "reason", "health", "reachability", "phase")


class Numbers(Protocol):
    """What is counted from the database: see `service.history.queries.Counts`."""

    @property
    def hosts(self) -> Sequence[HostStatus]: ...

    @property
    def drift(self) -> Mapping[tuple[str, str], int]: ...

    @property
    def under_way(self) -> Mapping[str, int]: ...

    @property
    def latched(self) -> Mapping[str, int]: ...

    @property
    def leases(self) -> Mapping[str, int]: ...

    @property
    def succeeded_at(self) -> Mapping[str, datetime]: ...

    @property
    def sites(self) -> Sequence[SiteRecord]: ...

    @property
    def rollout(self) -> str: ...

    @property
    def rollout_hosts(self) -> Mapping[str, Stand]: ...


class Said(NamedTuple):
    """What is reported of one host besides its status."""

    is_compared: bool
    latched: int
    succeeded_at: datetime | None
    leases: int | None


@dataclass(frozen=True, slots=True)
class Shown:
    """What a page is made of. Only hosts that are in Git and `visible` are shown, ages are those `at` a time. `held`
    are statuses that the database did not store. They replace those in the database. Of hosts that were not compared
    with what Git wants now (`uncompared`) neither differences nor pools are known. Rollouts concern every host: only
    who `sees_all` gets their numbers.
    """

    numbers: Numbers
    visible: Callable[[str], bool] = lambda _host: True
    at: datetime | None = None
    held: Mapping[str, HostStatus] = field(default_factory=lambda: MappingProxyType({}))
    source: SourceStanding = UNREAD
    uncompared: frozenset[str] = frozenset()
    sees_all: bool = True


def gauge(name: str, about: str, labels: Sequence[str], rows: Iterable[Row]) -> Family:
    """One of ours that may fall."""
    return Family(f"passerelle_{name}", about, labels, rows)


def of_host(one: HostStatus, said: Said) -> Iterator[Family]:
    """What is reported of one host alone: the same families for each, in this order."""
    label, labels = (one.host,), ["host"]

    def at(when: datetime | None) -> list[Row]:
        return [] if when is None else [(label, when.timestamp())]

    state = (one.host, *(getattr(one, axis) for axis in AXES))
    yield gauge("host_state", "1 for the host's current state", ["host", *AXES], [(state, 1)])
    yield gauge("host_last_observed_timestamp_seconds", "When a host was last seen", labels, at(one.observed_at))
    about = "1 for a host that was compared with the revision in force; of the others no difference is known"
    yield gauge("host_compared", about, labels, [(label, int(said.is_compared))])
    is_waiting = int(one.phase == "WaitingForApproval")
    about = "1 for a host whose plan waits for an approval"
    yield gauge("host_waiting_for_approval", about, labels, [(label, is_waiting)])
    about = "Desired states that were rolled back and that passerelle does not try again"
    yield gauge("host_latched", about, labels, [(label, said.latched)])
    about = "1 for a host whose rollback failed"
    yield gauge("host_quarantined", about, labels, [(label, int(bool(one.quarantined)))])
    about = "When a drill last proved that a host can roll back"
    yield gauge("host_last_proven_rollback_timestamp_seconds", about, labels, at(one.proven_at))
    about = "When an apply was last confirmed"
    yield gauge("host_last_success_timestamp_seconds", about, labels, at(said.succeeded_at))
    leases: list[Row] = [] if said.leases is None else [(label, said.leases)]
    yield gauge("leases", "Leases in the hosts' lease files", labels, leases)


HEADS = tuple(head_of(family) for family in of_host(HostStatus(""), Said(False, 0, None, None)))
"""The lines before those of the hosts, for each family of `of_host`."""


class Families:
    """Everything that is read at the moment, but for what is reported of each host alone (`of_host`)."""

    def __init__(self, shown: Shown, pools: Sequence[PoolFill], applies: Mapping[tuple[str, str], int]) -> None:
        """`applies` are those that have ended since the start, by host and result."""
        self._numbers = shown.numbers
        self._source = shown.source
        self._shown = shown
        known = {one.host: one for one in shown.numbers.hosts} | dict(shown.held)
        self._seen = {
            name: one.reason != "Orphaned" and shown.visible(name) for name, one in known.items()
        }  # fmt: skip
        self.hosts = [known[name] for name in sorted(known) if self._seen[name]]
        self._uncompared = shown.uncompared
        self._pools = [pool for pool in pools if self._sees(pool.host) and pool.host not in shown.uncompared]
        self._applies = {key: count for key, count in applies.items() if self._sees(key[0])}

    def collect(self) -> Iterator[Family]:
        """Every family once."""
        yield from self._of_source()
        yield from self._of_drift()
        yield from self._of_ages()
        yield from self._of_applies()
        if self._shown.sees_all:
            yield from self._of_rollout()
        yield from self._of_guests()
        yield from of_sites([one for one in self._numbers.sites if self._sees(one.host)])
        yield gauge("build_info", "Which version runs", ["version"], [((__version__,), 1)])

    def said(self) -> Iterator[tuple[HostStatus, Said]]:
        """What the lines of each host alone are made of, by name."""
        numbers, uncompared = self._numbers, self._uncompared
        latched, succeeded_at, leases = numbers.latched, numbers.succeeded_at, numbers.leases
        for one in self.hosts:
            host = one.host
            yield one, Said(host not in uncompared, latched.get(host, 0), succeeded_at.get(host), leases.get(host))

    def _sees(self, host: str) -> bool:
        found = self._seen.get(host)
        if found is None:
            found = self._seen[host] = self._shown.visible(host)
        return found

    def _of_source(self) -> Iterator[Family]:
        states = [((state,), int(self._source.state == state)) for state in SOURCE_STATES]
        yield gauge("source_state", "1 for the state that the repository is in, 0 for the others", ["state"], states)
        refused = int(self._source.state == "refused")
        yield gauge("source_refused", "1 while the newest commit is rejected", [], [((), refused)])

    def _of_drift(self) -> Iterator[Family]:
        differing = self._numbers.drift.items()
        drift = [(key, count) for key, count in differing if self._sees(key[0]) and key[0] not in self._uncompared]
        yield gauge("host_drift_items", "Differences that are open", ["host", "kind"], drift)

    def _of_ages(self) -> Iterator[Family]:
        now = self._shown.at
        proven = [(one.host, one.proven_at) for one in self.hosts if one.proven_at is not None]
        ages = [((host,), max(0.0, (now - at).total_seconds())) for host, at in proven] if now is not None else []
        yield gauge("host_proven_rollback_age_seconds", "How long ago that was", ["host"], ages)

    def _of_applies(self) -> Iterator[Family]:
        about = "Applies that ended since the service started, by result"
        yield Family("passerelle_apply_total", about, ["host", "result"], sorted(self._applies.items()), "counter")
        begun = sum(count for host, count in self._numbers.under_way.items() if self._sees(host))
        yield gauge("applies_inflight", "Applies that have not ended", [], [((), begun)])

    def _of_rollout(self) -> Iterator[Family]:
        states = [((state,), int(self._numbers.rollout == state)) for state in ROLLOUT_STATES]
        yield gauge("rollout_state", "1 for the state of the newest rollout, 0 for the others", ["state"], states)
        stands = [stand for host, stand in self._numbers.rollout_hosts.items() if self._sees(host)]
        counts = [((stand,), stands.count(stand)) for stand in STANDS]
        yield gauge("rollout_hosts", "Hosts of the newest rollout, by where they are", ["state"], counts)

    def _of_guests(self) -> Iterator[Family]:
        counts: dict[tuple[str, ...], float] = {}
        for pool in self._pools:
            for state, count in (("leased", pool.leased), ("reserved", pool.reserved), ("free", pool.free)):
                key = (pool.host, pool.interface, state)
                counts[key] = counts.get(key, 0) + count
        yield gauge(
            "pool_addresses", "Addresses of the ranges on a bridge", ["host", "bridge", "state"], counts.items()
        )


def of_sites(sites: Sequence[SiteRecord]) -> Iterator[Family]:
    """Published sites, by host and name: both are Git's words."""
    labels = ["host", "site"]
    states = [((one.host, one.site, one.state), 1) for one in sites]
    yield gauge("site_state", "1 for the state that a site is in", [*labels, "state"], states)
    trouble = [((one.host, one.site), int(one.weight == "trouble")) for one in sites]
    yield gauge("site_trouble", "1 for a site about which a person has to do something", labels, trouble)
    ends = [((one.host, one.site), at) for one in sites if (at := _seconds(one, "certificate", "not_after"))]
    yield gauge("site_certificate_expiry_timestamp_seconds", "When the certificate of a site ends", labels, ends)
    windows = [((one.host, one.site), at) for one in sites if (at := _seconds(one, "window", "start"))]
    yield gauge("site_renewal_window_start_timestamp_seconds", "From when a site is renewed", labels, windows)
    failed = [((one.host, one.site), _number(one.seen.get("failed_since_issue"))) for one in sites]
    yield gauge("site_failed_orders", "Orders that failed since the last certificate was issued", labels, failed)
    yield gauge("site_reachable", "1 for a site that answers", [*labels, "from"], _reached(sites))


def _reached(sites: Sequence[SiteRecord]) -> Iterator[tuple[tuple[str, ...], float]]:
    for one in sites:
        inside, outside = one.seen.get("inside"), one.seen.get("outside")
        if isinstance(inside, dict):
            yield (one.host, one.site, "host"), int(bool(inside.get("status")))
        if isinstance(outside, list) and outside:
            yield (
                (one.host, one.site, "outside"),
                int(all(isinstance(each, dict) and each.get("status") for each in outside)),
            )


def _seconds(one: SiteRecord, part: str, name: str) -> float:
    value = one.part(part).get(name)
    return datetime.fromisoformat(value).timestamp() if isinstance(value, str) else 0.0


def _number(value: object) -> float:
    return float(value) if isinstance(value, int) else 0.0
