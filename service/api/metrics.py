"""Numbers for Prometheus. What the database knows is read when requested; the rest is counted here as it happens.

    metrics = Metrics()
    metrics.told(event)              what history recorded: how applies end, by host
    metrics.reconciled(seconds)      one round of one host took so long
    metrics.fetched(at)              the Git source was asked, and answered
    metrics.ssh_failed("timeout")    a connection failed, by a fixed word
    metrics.failed("round")          a round, a look, a drill or a record ended in an error that nobody expected

No label ever holds a MAC, an address, or anything else that a host can make up without end. What is counted begins at 0
with the process: old records are deleted, so a count of them would fall, which Prometheus takes for a restart.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest

from service.api.metric_families import HEADS, UNREAD, Families, Numbers, Said, Shown, of_host
from service.api.metric_text import lines_of, text_of
from service.api.notice_numbers import ChannelNumbers, NoticeNumbers
from service.model.events import ApplyFinished, ApplyRequested, Happened, HostLeft, HostRenamed
from service.model.guests import PoolFill
from service.model.retention import Kept
from service.model.runs import HostStatus
from service.model.sources import SourceStanding

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SSH_REASONS = ("unreachable", "throttled", "timeout", "auth", "host-key", "garbled", "too-much", "other")
HINT_KINDS = ("network", "rules", "files", "units")
TASKS = ("round", "source", "drill", "record")
RESULTS = {
    "Succeeded": "ok", "Failed": "failed", "RolledBack": "rolled_back", "RollbackFailed": "rollback_failed",
    "Refused": "refused",
}  # fmt: skip
"""How an apply ended, by its last phase."""
_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
disable_created_metrics()  # type: ignore[no-untyped-call]  # when a process began is no number of ours


class Metrics:
    """What happens while the service runs, and the page of all numbers."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._rounds = Histogram(
            "passerelle_reconcile_duration_seconds", "One round of one host", registry=registry, buckets=_SECONDS
        )
        self._fetched = Gauge(
            "passerelle_git_last_fetch_timestamp_seconds", "When the Git source last answered", registry=registry
        )
        self._ssh = Counter("passerelle_ssh_errors", "Failed connections", ["reason"], registry=registry)
        self._troubles = Counter(
            "passerelle_failures",
            "Tasks that failed for a reason in the service itself",
            ["task"],
            registry=registry,
        )
        self._stop = Gauge(
            "passerelle_stop_file", "1 while the stop file is there, and no apply begins", registry=registry
        )
        self._suspensions = Gauge("passerelle_suspensions", "Suspensions in force", registry=registry)
        self._deleted = Counter(
            "passerelle_deleted_rows", "Old records that were deleted", ["table"], registry=registry
        )
        self._size = Gauge("passerelle_database_bytes", "Size of the database without free pages", registry=None)
        self._is_measured = False
        self._oldest = Gauge(
            "passerelle_oldest_record_timestamp_seconds", "The oldest record", ["table"], registry=registry
        )
        self._hints = Counter(
            "passerelle_hints", "Changes that hosts reported on their own", ["kind"], registry=registry
        )
        self._coalesced = Counter(
            "passerelle_hints_coalesced", "Those that caused no look: one was due already", registry=registry
        )
        self._notices = NoticeNumbers(registry)
        self._pools: dict[str, tuple[PoolFill, ...]] = {}
        self._applies: dict[tuple[str, str], int] = {}
        self._counting = threading.Lock()
        self._lines: dict[str, tuple[HostStatus, Said, list[str]]] = {}
        self._last: tuple[Numbers, list[HostStatus], frozenset[str], bytes] | None = None
        for task in TASKS:
            self._troubles.labels(task)
        for kind in HINT_KINDS:
            self._hints.labels(kind)
        for reason in SSH_REASONS:
            self._ssh.labels(reason)

    def told(self, event: Happened) -> None:
        """History recorded it. A host's counts begin at 0 with its first apply, so that the first end is an increase,
        and go with the host."""
        with self._counting:
            if isinstance(event, ApplyRequested | ApplyFinished):
                for result in RESULTS.values():
                    self._applies.setdefault((event.host, result), 0)
            if isinstance(event, ApplyFinished) and event.phase in RESULTS:
                self._applies[event.host, RESULTS[event.phase]] += 1
            if isinstance(event, HostLeft | HostRenamed):
                gone = event.old if isinstance(event, HostRenamed) else event.host
                for result in RESULTS.values():
                    self._applies.pop((gone, result), None)

    def reconciled(self, seconds: float) -> None:
        """One round of one host took so long."""
        self._rounds.observe(seconds)

    def fetched(self, at: datetime) -> None:
        """The Git source answered."""
        self._fetched.set(at.timestamp())

    def watched(self, stop: Callable[[], str]) -> Callable[[], str]:
        """Each page of numbers looks whether the stop file is there: `stop()` says so. Returns it."""
        self._stop.set_function(lambda: float(bool(stop())))
        return stop

    def suspended(self, number: int) -> None:
        """How many suspensions are in force."""
        self._suspensions.set(number)

    def kept(self, kept: Kept, deleted: Mapping[str, int]) -> None:
        """What the database holds, and what was deleted just now."""
        self._size.set(kept.size_bytes)
        if not self._is_measured:  # a process that never measures it shows no size, instead of 0
            self._is_measured = True
            self._registry.register(self._size)
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
        """A connection failed. `reason` is one of SSH_REASONS, anything else counts as other."""
        self._ssh.labels(reason if reason in SSH_REASONS else "other").inc()

    def hinted(self, kind: str) -> None:
        """A host reported that something of a kind changed. `kind` is one of HINT_KINDS."""
        self._hints.labels(kind).inc()

    def noticed(self, channel: str) -> ChannelNumbers:
        """The numbers of one way by which people are informed."""
        return self._notices.of(channel)

    def coalesced(self) -> None:
        """A hint caused no look."""
        self._coalesced.inc()

    def failed(self, task: str) -> None:
        """A task failed for a reason that is neither a host nor the source. `task` is one of TASKS."""
        self._troubles.labels(task).inc()

    def page(
        self,
        numbers: Numbers,
        *,
        visible: Callable[[str], bool] = lambda _host: True,
        at: datetime | None = None,
        held: Mapping[str, HostStatus] = MappingProxyType({}),
        source: SourceStanding = UNREAD,
        uncompared: frozenset[str] = frozenset(),
        sees_all: bool = True,
    ) -> bytes:
        """Everything in Prometheus' text form; the words are those of `Shown`."""
        with self._counting:
            applies = dict(self._applies)
        pools = [pool for of_host in list(self._pools.values()) for pool in of_host]
        now = Families(Shown(numbers, visible, at, held, source, uncompared, sees_all), pools, applies)
        counted = generate_latest(self._registry)
        return counted + text_of(now.collect()).encode() + self._text_of_hosts(now, numbers, uncompared)

    def _text_of_hosts(self, now: Families, numbers: Numbers, uncompared: frozenset[str]) -> bytes:
        """The lines of all hosts. Where nothing was written since the last page, they are those of that page."""
        last = self._last
        if last is None or last[0] is not numbers or last[1] != now.hosts or last[2] != uncompared:
            last = self._last = numbers, now.hosts, uncompared, self._of_hosts(now).encode()
        return last[3]

    def _of_hosts(self, now: Families) -> str:
        """The lines of each host alone. They are kept until anything they are made of is another."""
        kept, self._lines = self._lines, {}
        for one, said in now.said():
            made = kept.get(one.host)
            if made is None or (made[0] is not one and made[0] != one) or made[1] != said:
                made = one, said, [lines_of(family) for family in of_host(one, said)]
            self._lines[one.host] = made
        of_each = zip(*(lines for _, _, lines in self._lines.values()), strict=True)
        columns = list(of_each) or [()] * len(HEADS)
        return "".join(part for head, lines in zip(HEADS, columns, strict=True) for part in (head, *lines))
