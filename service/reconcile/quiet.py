"""Rounds in which nothing changed: the host is looked at, and nothing is parsed, compared, planned or written for it.

    await quiet.shown(spec, wanted, standing)            the status that holds, where nothing has changed on our side
    await quiet.look(spec, standing, shown)              the host, by the question of the last round
    await quiet.holds(spec, standing, observed)          whether it is as before; the time is noted, and one write for
                                                         all hosts follows within `TOGETHER_S`
    await quiet.begin(host)                              before an ordinary round
    await quiet.end(spec, standing, status)              after it

An ordinary round follows if anything is not as before: the commit, the spec, a request, a latch, the host's answer, or
whether new logins succeed. A lease that ran out is a change, too.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime

from service.clock import Clock
from service.errors import StoreError
from service.kinds.web.section import KEY as SITES
from service.model.observed import HostObserved, Watch
from service.model.runs import HostStatus, Stamp
from service.model.states import Seen
from service.plan.make import Permission
from service.reconcile import status as statuses
from service.reconcile.ports import Hosts, Memory, Record
from service.reconcile.standing import Standing
from service.reconcile.turn import known_addresses
from service.reconcile.watching import Wanted
from service.spec.host import HostSpec

TOGETHER_S = 5.0
"""Times of observation are written together. A crash loses at most those of so many seconds."""


class Quiet:
    """One instance for the fleet. `permission(host, wanted)` is what a plan of the host may do."""

    def __init__(
        self, record: Record, memory: Memory, hosts: Hosts, clock: Clock,
        permission: Callable[[str, Wanted], Permission],
    ) -> None:  # fmt: skip
        self._record = record
        self._memory = memory
        self._hosts = hosts
        self._clock = clock
        self._permission = permission
        self._seen: dict[str, HostStatus] = {}
        self._agreed: dict[str, str] = {}
        self._written_s = -TOGETHER_S

    async def shown(self, spec: HostSpec, wanted: Wanted, standing: Standing) -> HostStatus | None:
        """The status after the last round, if that left nothing to do and nothing has changed since in Git, in the
        history, or about logins. One read; none where the last round left something. StoreError."""
        looked = standing.looked
        if standing.stamp is None or looked is None or standing.spec is not spec or self._hosts.doubt(spec.name):
            return None
        if (standing.commit, looked.permission) != (wanted.commit, self._permission(spec.name, wanted)):
            return None
        is_same = await asyncio.to_thread(self._memory.stamp, spec.name) == standing.stamp
        if is_same and standing.shown is not None and standing.shown.observed_commit != standing.commit:
            standing.shown = statuses.agreed(standing.shown, standing.commit)
        return standing.shown if is_same else None

    async def look(self, spec: HostSpec, standing: Standing, shown: HostStatus) -> HostObserved:
        """Put the question of the last round to the host. HostError."""
        watch = standing.kept[0] if standing.kept is not None else Watch()
        return await self._hosts.observe(spec, watch, known_addresses(spec, shown))

    async def begin(self, host: str) -> None:
        """An ordinary round begins. From now on what it records is shown, not the status of the last quiet round."""
        if (status := self._seen.get(host)) is not None:
            with contextlib.suppress(StoreError):  # the round itself says so
                await asyncio.to_thread(self._record.seen_hosts, {host: status.observed_at})
            self._seen.pop(host, None)

    async def end(self, spec: HostSpec, standing: Standing, status: HostStatus) -> None:
        """An ordinary round has ended and its status is recorded. If it left nothing to do, the next may be quiet."""
        self._seen.pop(spec.name, None)
        standing.stamp = standing.shown = None
        if self._may_rest(spec, standing, status):
            with contextlib.suppress(StoreError):  # the next round is an ordinary one
                standing.stamp, standing.shown = await asyncio.to_thread(self._recorded, spec.name)

    def _recorded(self, host: str) -> tuple[Stamp | None, HostStatus | None]:
        """The stamp, and the status with what the history adds to it."""
        return self._memory.stamp(host), self._memory.host(host)

    def _may_rest(self, spec: HostSpec, standing: Standing, status: HostStatus) -> bool:
        """Whether the round left nothing that time alone could move on: requests, sites, retries, doubts."""
        is_idle = standing.plan is not None and standing.plan.is_empty and not standing.plan.drifts
        is_well = not (standing.failures or standing.trouble or standing.unsettled or standing.unrecorded)
        is_free = not (status.quarantined or self._hosts.doubt(spec.name))
        has_sites = SITES in spec.sections or bool(standing.sites.sites) or not standing.sites.is_known
        is_synced = status.sync == "Synced" and standing.kept is not None and not standing.applied_by
        return is_idle and is_well and is_free and is_synced and not has_sites

    async def holds(self, spec: HostSpec, standing: Standing, observed: HostObserved) -> bool:
        """Whether the host is as before and the time was taken. Where the history takes none, an ordinary round says
        so."""
        if standing.shown is None or not self._is_as_before(spec, standing, observed):
            return False
        standing.observed = observed
        try:
            await self._seen_at(replace(standing.shown, observed_at=observed.observed_at))
        except StoreError:
            return False
        return True

    def _is_as_before(self, spec: HostSpec, standing: Standing, observed: HostObserved) -> bool:
        """Whether the last plan and all that was recorded with it still hold."""
        looked, kept = standing.looked, standing.kept
        if looked is None or kept is None or observed.armed or self._hosts.doubt(spec.name):
            return False
        return (
            kept[1] == observed.digests
            and not _ran_out(looked.observed, observed.observed_at)
            and looked.is_as(looked._replace(observed=observed))
        )

    async def _seen_at(self, status: HostStatus) -> None:
        """Times that cannot be written are kept for the next try. StoreError."""
        self._seen[status.host] = status
        self._agreed.pop(status.host, None)
        now_s = self._clock.monotonic_s()
        if now_s - self._written_s < TOGETHER_S:
            return
        self._written_s, together = now_s, dict(self._seen)
        try:
            await asyncio.to_thread(self._record.seen_hosts, {h: s.observed_at for h, s in together.items()})
        except BaseException:
            self._written_s = -TOGETHER_S
            raise
        for host, written in together.items():
            if self._seen.get(host) is written:
                del self._seen[host]

    def agree(self, hosts: Iterable[str], commit: str) -> None:
        """This commit wants the same of these hosts. Quick: a whole fleet may wait to be written."""
        self._agreed.update(dict.fromkeys(hosts, commit))

    def forget(self, host: str) -> None:
        """The host left Git, or is another one."""
        self._seen.pop(host, None)
        self._agreed.pop(host, None)

    @property
    def unwritten(self) -> dict[str, HostStatus]:
        """The statuses with a time of observation that the history does not have yet."""
        return {
            host: statuses.agreed(status, self._agreed[host]) if host in self._agreed else status
            for host, status in self._seen.items()
        }


def _ran_out(seen: HostObserved, now: datetime) -> bool:
    """Whether a lease has run out since: the file is the same, its meaning is not."""
    leases = seen.leases.value if isinstance(seen.leases, Seen) else ()
    then_s, now_s = seen.observed_at.timestamp(), now.timestamp()
    return any(then_s < lease.expires <= now_s for lease in leases)
