"""Numbers for Prometheus. What the database knows is read when asked for; the rest is counted here as it happens.

    metrics = Metrics()
    metrics.reconciled(seconds)      one round of one host took so long
    metrics.fetched(at)              the Git source was asked, and answered
    metrics.ssh_failed("timeout")    a connection came to nothing, by a fixed word
    metrics.failed("round")          a round, a look, a drill or a record ended in an error that nobody expected

No label ever holds a MAC, an address, or anything else that a host can make up without end.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from service import __version__
from service.model.guests import PoolFill
from service.model.retention import Kept
from service.model.runs import PHASES, HostStatus

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SSH_REASONS = ("unreachable", "throttled", "timeout", "auth", "host-key", "garbled", "too-much", "other")
TASKS = ("round", "source", "drill", "record")
_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_ENDS = {"Succeeded": "ok", "Failed": "failed", "RolledBack": "rolled_back", "RollbackFailed": "rollback_failed"}
_ENDS["Refused"] = "refused"


class Numbers(Protocol):
    """What is counted from the database: see `service.history.queries.Counts`."""

    @property
    def hosts(self) -> Sequence[HostStatus]: ...

    @property
    def drift(self) -> Mapping[tuple[str, str], int]: ...

    @property
    def applies(self) -> Mapping[str, int]: ...

    @property
    def leases(self) -> Mapping[str, int]: ...

    @property
    def succeeded_at(self) -> Mapping[str, datetime]: ...


class Metrics:
    """What happens while the service runs, and the page of all numbers."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._rounds = Histogram(
            "passerelle_reconcile_duration_seconds",
            "One round of one host",
            registry=self._registry,
            buckets=_SECONDS,
        )
        self._fetched = Gauge(
            "passerelle_git_last_fetch_timestamp_seconds",
            "When the Git source last answered",
            registry=self._registry,
        )
        self._ssh = Counter(
            "passerelle_ssh_errors", "Connections that came to nothing", ["reason"], registry=self._registry
        )
        self._troubles = Counter(
            "passerelle_failures",
            "What did not end well for a reason that is not a host's or the source's",
            ["task"],
            registry=self._registry,
        )
        for task in TASKS:
            self._troubles.labels(task)
        self._deleted = Counter(
            "passerelle_deleted_rows", "Old records that were deleted", ["table"], registry=self._registry
        )
        self._size = Gauge(
            "passerelle_database_bytes", "Size of the database without free pages", registry=self._registry
        )
        self._oldest = Gauge(
            "passerelle_oldest_record_timestamp_seconds", "The oldest record", ["table"], registry=self._registry
        )
        self._pools: dict[str, tuple[PoolFill, ...]] = {}
        for reason in SSH_REASONS:
            self._ssh.labels(reason)

    def reconciled(self, seconds: float) -> None:
        """One round of one host took so long."""
        self._rounds.observe(seconds)

    def fetched(self, at: datetime) -> None:
        """The Git source answered."""
        self._fetched.set(at.timestamp())

    def kept(self, kept: Kept, deleted: Mapping[str, int]) -> None:
        """What the database holds, and what was deleted just now."""
        self._size.set(kept.size_bytes)
        for table, at in kept.oldest.items():
            self._oldest.labels(table).set(at.timestamp())
        for table, count in deleted.items():
            self._deleted.labels(table).inc(count)

    def filled(self, host: str, pools: Sequence[PoolFill]) -> None:
        """How full a host's pools are; none for a host that is looked at no more."""
        if pools:
            self._pools[host] = tuple(pools)
        else:
            self._pools.pop(host, None)

    def ssh_failed(self, reason: str) -> None:
        """A connection came to nothing. `reason` is one of SSH_REASONS, anything else counts as other."""
        self._ssh.labels(reason if reason in SSH_REASONS else "other").inc()

    def failed(self, task: str) -> None:
        """Something did not end well and concerns neither a host nor the source. `task` is one of TASKS."""
        self._troubles.labels(task).inc()

    def page(
        self,
        numbers: Numbers,
        *,
        visible: Callable[[str], bool] = lambda _host: True,
        at: datetime | None = None,
        held: Mapping[str, HostStatus] = MappingProxyType({}),
    ) -> bytes:
        """Everything in Prometheus' text form, with the hosts that are `visible`; ages are those `at` a time. `held`
        are statuses that the database did not take: they stand in the place of those that it has."""
        now = CollectorRegistry()
        now.register(_FromNumbers(numbers, visible, at, held))
        now.register(_OfPools([one for host, pools in self._pools.items() if visible(host) for one in pools]))
        return generate_latest(self._registry) + generate_latest(now)


class _OfPools(Collector):
    def __init__(self, pools: Sequence[PoolFill]) -> None:
        self._pools = pools

    def collect(self) -> Iterator[GaugeMetricFamily]:
        counts: dict[tuple[str, str, str], int] = {}
        for pool in self._pools:
            for state, count in (("leased", pool.leased), ("reserved", pool.reserved), ("free", pool.free)):
                key = (pool.host, pool.interface, state)
                counts[key] = counts.get(key, 0) + count
        family = GaugeMetricFamily(
            "passerelle_pool_addresses", "Addresses of the ranges on a bridge", labels=["host", "bridge", "state"]
        )
        for key, count in counts.items():
            family.add_metric(list(key), count)
        yield family


class _FromNumbers(Collector):
    def __init__(
        self,
        numbers: Numbers,
        visible: Callable[[str], bool],
        at: datetime | None,
        held: Mapping[str, HostStatus],
    ) -> None:
        self._numbers = numbers
        known = {one.host: one for one in numbers.hosts} | dict(held)
        self._hosts = [one for name, one in sorted(known.items()) if visible(name)]
        self._now = at
        self._sees = visible

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        yield from self._of_hosts()
        yield from self._of_applies()
        build = GaugeMetricFamily("passerelle_build_info", "Which version runs", labels=["version"])
        build.add_metric([__version__], 1)
        yield build

    def _of_hosts(self) -> Iterator[GaugeMetricFamily]:
        state = GaugeMetricFamily(
            "passerelle_host_state", "1 for what each axis of a host is", labels=["host", "state"]
        )
        seen = GaugeMetricFamily(
            "passerelle_host_last_observed_timestamp_seconds", "When a host was last seen", labels=["host"]
        )
        for host in self._hosts:
            for axis in (host.sync, host.health, host.reachability):
                if axis != "Unknown":
                    state.add_metric([host.host, axis], 1)
            if "Unknown" in (host.sync, host.health, host.reachability):
                state.add_metric([host.host, "Unknown"], 1)
            if host.observed_at is not None:
                seen.add_metric([host.host], host.observed_at.timestamp())
        yield state
        yield seen
        yield from self._of_drills()
        drift = GaugeMetricFamily("passerelle_host_drift_items", "Differences that are open", labels=["host", "kind"])
        for (host_name, kind), count in self._numbers.drift.items():
            if self._sees(host_name):
                drift.add_metric([host_name, kind], count)
        yield drift
        leases = GaugeMetricFamily("passerelle_leases", "Leases in the hosts' lease files", labels=["host"])
        for host_name, count in self._numbers.leases.items():
            if self._sees(host_name):
                leases.add_metric([host_name], count)
        yield leases

    def _of_drills(self) -> Iterator[GaugeMetricFamily]:
        proven = GaugeMetricFamily(
            "passerelle_host_last_proven_rollback_timestamp_seconds",
            "When a drill last proved that a host can undo a change",
            labels=["host"],
        )
        age = GaugeMetricFamily("passerelle_host_proven_rollback_age_seconds", "How long ago that was", labels=["host"])
        quarantined = GaugeMetricFamily(
            "passerelle_host_quarantined", "1 for a host whose rollback failed", labels=["host"]
        )
        for host in self._hosts:
            quarantined.add_metric([host.host], 1 if host.quarantined else 0)
            if host.proven_at is not None:
                proven.add_metric([host.host], host.proven_at.timestamp())
                if self._now is not None:
                    age.add_metric([host.host], max(0.0, (self._now - host.proven_at).total_seconds()))
        yield proven
        yield age
        yield quarantined

    def _of_applies(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        success = GaugeMetricFamily(
            "passerelle_host_last_success_timestamp_seconds", "When an apply was last confirmed", labels=["host"]
        )
        for host_name, at in self._numbers.succeeded_at.items():
            if self._sees(host_name):
                success.add_metric([host_name], at.timestamp())
        yield success
        ended = CounterMetricFamily("passerelle_apply", "Applies by how they ended", labels=["result"])
        for phase, result in _ENDS.items():
            ended.add_metric([result], self._numbers.applies.get(phase, 0))
        yield ended
        under_way = GaugeMetricFamily("passerelle_applies_inflight", "Applies that have not ended")
        under_way.add_metric([], sum(self._numbers.applies.get(p, 0) for p in PHASES if p not in _ENDS))
        yield under_way
