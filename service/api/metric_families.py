"""Numbers for Prometheus that are read when somebody asks: from the database's counts, and from what is remembered.

Names follow Prometheus' conventions ("Metric and label naming"): base units, `_total` for what only grows, one label
for each axis.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Protocol, get_args

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service import __version__
from service.model.guests import PoolFill
from service.model.runs import HostStatus
from service.model.sites.records import SiteRecord
from service.model.sources import SourceStanding, SourceState

SOURCE_STATES: tuple[SourceState, ...] = get_args(SourceState)
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


@dataclass(frozen=True, slots=True)
class Shown:
    """What a page is made of. Only hosts that are in Git and `visible` are shown, ages are those `at` a time. `held`
    are statuses that the database did not store. They replace those in the database. Of hosts that were not compared
    with what Git wants now (`uncompared`) neither differences nor pools are known.
    """

    numbers: Numbers
    visible: Callable[[str], bool] = lambda _host: True
    at: datetime | None = None
    held: Mapping[str, HostStatus] = field(default_factory=lambda: MappingProxyType({}))
    source: SourceStanding = UNREAD
    uncompared: frozenset[str] = frozenset()


class Families(Collector):
    """Everything that is read at the moment."""

    def __init__(self, shown: Shown, pools: Sequence[PoolFill], applies: Mapping[tuple[str, str], int]) -> None:
        """`applies` are those that have ended since the start, by host and result."""
        self._numbers = shown.numbers
        self._at = shown.at
        self._source = shown.source
        known = {one.host: one for one in shown.numbers.hosts} | dict(shown.held)
        orphans = {name for name, one in known.items() if one.reason == "Orphaned"}
        self._sees: Callable[[str], bool] = lambda host: host not in orphans and shown.visible(host)
        self._hosts = [one for name, one in sorted(known.items()) if self._sees(name)]
        self._uncompared = shown.uncompared
        self._pools = [pool for pool in pools if self._sees(pool.host) and pool.host not in shown.uncompared]
        self._applies = {key: count for key, count in applies.items() if self._sees(key[0])}

    def collect(self) -> Iterator[Metric]:
        """Every family once."""
        yield from self._of_source()
        yield from self._of_hosts()
        yield from self._of_rollbacks()
        yield from self._of_applies()
        yield from self._of_guests()
        yield from of_sites([one for one in self._numbers.sites if self._sees(one.host)])
        yield _gauge("build_info", "Which version runs", ["version"], [((__version__,), 1)])

    def _of_source(self) -> Iterator[Metric]:
        states = [((state,), int(self._source.state == state)) for state in SOURCE_STATES]
        yield _gauge("source_state", "1 for the state that the repository is in, 0 for the others", ["state"], states)
        refused = int(self._source.state == "refused")
        yield _gauge("source_refused", "1 while the newest commit is rejected", [], [((), refused)])

    def _of_hosts(self) -> Iterator[Metric]:
        states = [((one.host, *(getattr(one, axis) for axis in AXES)), 1) for one in self._hosts]
        yield _gauge("host_state", "1 for the host's current state", ["host", *AXES], states)
        seen = [((one.host,), one.observed_at.timestamp()) for one in self._hosts if one.observed_at is not None]
        yield _gauge("host_last_observed_timestamp_seconds", "When a host was last seen", ["host"], seen)
        compared = [((one.host,), int(one.host not in self._uncompared)) for one in self._hosts]
        about = "1 for a host that was compared with the revision in force; of the others no difference is known"
        yield _gauge("host_compared", about, ["host"], compared)
        differing = self._numbers.drift.items()
        drift = [(key, count) for key, count in differing if self._sees(key[0]) and key[0] not in self._uncompared]
        yield _gauge("host_drift_items", "Differences that are open", ["host", "kind"], drift)
        waiting = [((one.host,), int(one.phase == "WaitingForApproval")) for one in self._hosts]
        yield _gauge("host_waiting_for_approval", "1 for a host whose plan waits for an approval", ["host"], waiting)

    def _of_rollbacks(self) -> Iterator[Metric]:
        latched = [((one.host,), self._numbers.latched.get(one.host, 0)) for one in self._hosts]
        about = "Desired states that were rolled back and that passerelle does not try again"
        yield _gauge("host_latched", about, ["host"], latched)
        quarantined = [((one.host,), int(bool(one.quarantined))) for one in self._hosts]
        yield _gauge("host_quarantined", "1 for a host whose rollback failed", ["host"], quarantined)
        proven = [(one.host, one.proven_at) for one in self._hosts if one.proven_at is not None]
        yield _gauge(
            "host_last_proven_rollback_timestamp_seconds",
            "When a drill last proved that a host can roll back",
            ["host"],
            [((host,), at.timestamp()) for host, at in proven],
        )
        now = self._at
        ages = [((host,), max(0.0, (now - at).total_seconds())) for host, at in proven] if now is not None else []
        yield _gauge("host_proven_rollback_age_seconds", "How long ago that was", ["host"], ages)

    def _of_applies(self) -> Iterator[Metric]:
        success = [((host,), at.timestamp()) for host, at in self._numbers.succeeded_at.items() if self._sees(host)]
        yield _gauge("host_last_success_timestamp_seconds", "When an apply was last confirmed", ["host"], success)
        ended = CounterMetricFamily(
            "passerelle_apply", "Applies that ended since the service started, by result", labels=["host", "result"]
        )
        for key, count in sorted(self._applies.items()):
            ended.add_metric(list(key), count)
        yield ended
        begun = sum(count for host, count in self._numbers.under_way.items() if self._sees(host))
        yield _gauge("applies_inflight", "Applies that have not ended", [], [((), begun)])

    def _of_guests(self) -> Iterator[Metric]:
        leases = [((host,), count) for host, count in self._numbers.leases.items() if self._sees(host)]
        yield _gauge("leases", "Leases in the hosts' lease files", ["host"], leases)
        counts: dict[tuple[str, ...], float] = {}
        for pool in self._pools:
            for state, count in (("leased", pool.leased), ("reserved", pool.reserved), ("free", pool.free)):
                key = (pool.host, pool.interface, state)
                counts[key] = counts.get(key, 0) + count
        yield _gauge(
            "pool_addresses", "Addresses of the ranges on a bridge", ["host", "bridge", "state"], counts.items()
        )


def of_sites(sites: Sequence[SiteRecord]) -> Iterator[Metric]:
    """Published sites, by host and name: both are Git's words."""
    labels = ["host", "site"]
    states = [((one.host, one.site, one.state), 1) for one in sites]
    yield _gauge("site_state", "1 for the state that a site is in", [*labels, "state"], states)
    trouble = [((one.host, one.site), int(one.weight == "trouble")) for one in sites]
    yield _gauge("site_trouble", "1 for a site about which a person has to do something", labels, trouble)
    ends = [((one.host, one.site), at) for one in sites if (at := _seconds(one, "certificate", "not_after"))]
    yield _gauge("site_certificate_expiry_timestamp_seconds", "When the certificate of a site ends", labels, ends)
    windows = [((one.host, one.site), at) for one in sites if (at := _seconds(one, "window", "start"))]
    yield _gauge("site_renewal_window_start_timestamp_seconds", "From when a site is renewed", labels, windows)
    failed = [((one.host, one.site), _number(one.seen.get("failed_since_issue"))) for one in sites]
    yield _gauge("site_failed_orders", "Orders that failed since the last certificate was issued", labels, failed)
    yield _gauge("site_reachable", "1 for a site that answers", [*labels, "from"], _reached(sites))


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


def _gauge(
    name: str, about: str, labels: Sequence[str], values: Iterable[tuple[tuple[str, ...], float]]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"passerelle_{name}", about, labels=labels)
    for key, value in values:
        family.add_metric(list(key), value)
    return family
