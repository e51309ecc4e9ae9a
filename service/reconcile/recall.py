"""What the history knows of hosts, for the time before this process has looked at them.

What a host sent last is read again as a fresh answer is, and planned again by what it was compared with then. The
result has to be the recorded plan. If it is another one, or anything is missing, nothing is invented, and only the
observation is reported.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from service.clock import Clock
from service.kinds.guests_seen import name_findings
from service.kinds.kind import Kind
from service.model.listings import ApplyListing, HostListing
from service.model.plans import Plan
from service.model.runs import HostStatus
from service.plan.make import Permission
from service.reconcile.planning import Planning, wanted_of
from service.reconcile.ports import Hosts, Memory
from service.reconcile.standing import CONTESTED_TIMES, CONTESTED_WITHIN_S, Key, Looked, Standing
from service.reconcile.trouble import sentence
from service.reconcile.watching import Wanted
from service.spec.host import HostSpec
from service.spec.models import claims_of

logger = logging.getLogger(__name__)
PAGE = 200


class Recall:
    """Reads the history; nothing is written, and no host is contacted. `spec_at(commit, host)` is what a commit said of
    it.
    """

    def __init__(
        self, memory: Memory, hosts: Hosts, kinds: Sequence[Kind], clock: Clock, planning: Planning,
        spec_at: Callable[[str, str], HostSpec | None],
    ) -> None:  # fmt: skip
        self._memory = memory
        self._hosts = hosts
        self._kinds = kinds
        self._clock = clock
        self._planning = planning
        self._spec_at = spec_at

    def statuses(self) -> list[HostStatus]:
        """The last state of every host, also of those that left Git. Blocks."""
        found: list[HostStatus] = []
        after: tuple[str | int, ...] = ()
        while True:
            page = self._memory.hosts(HostListing(limit=PAGE, start=after))
            found += page.items
            if page.next is None:
                return found
            after = page.next

    async def standing(self, name: str, wanted: Wanted, permission: Permission) -> Standing:
        """What was known of the host after its last round. Never raises: the next look finds all of it again."""
        standing = Standing()
        try:
            status = await asyncio.to_thread(self._memory.host, name)
            if status is not None and status.observed_at is not None:
                standing = await self._seen(status, status.observed_at)
                standing = await self._compared(standing, status, wanted, permission)
        except Exception as error:  # a bug of ours, or a row that is damaged: the service starts nevertheless
            logger.warning("the last known state of %s cannot be read: %s", name, sentence(error))
        return standing

    async def _seen(self, status: HostStatus, seen_at: datetime) -> Standing:
        """What the host sent last, read again."""
        standing = Standing(heals_s=await asyncio.to_thread(self._heals_s, status.host))
        if (status.phase, status.health) == ("Succeeded", "Progressing"):  # it was not looked at since
            standing.applied_by = status.apply_id
        sighting = await asyncio.to_thread(self._memory.sighting, status.host)
        observed = await self._hosts.recall(sighting) if sighting is not None else None
        if sighting is None or observed is None:
            return standing
        # had anything been reported again since, it would have been kept: so it was seen until then
        observed = replace(observed, observed_at=max(seen_at, sighting.at))
        return replace(standing, observed=observed, kept=(sighting.watch, observed.digests, sighting.weighed))

    async def _compared(
        self, standing: Standing, status: HostStatus, wanted: Wanted, permission: Permission
    ) -> Standing:
        """What came of it by the commit that the host was last compared with."""
        name, commit, observed = status.host, status.observed_commit, standing.observed
        spec = wanted.hosts.get(name) if commit == wanted.commit else None
        spec = spec or await asyncio.to_thread(self._spec_at, commit, name)
        if spec is None or observed is None:
            return standing
        desired = await asyncio.to_thread(wanted_of, spec, self._kinds)
        if desired.digest != status.desired_digest:
            return standing  # this release makes something else of the same spec
        standing = replace(standing, desired=desired, spec=spec, commit=commit)
        standing.disputed = await asyncio.to_thread(name_findings, claims_of(spec, self._kinds), observed)
        base = await asyncio.to_thread(self._memory.base, name)
        looked = Looked(desired, base.desired if base else None, observed, commit, permission)
        plan = await self._planning.anew(looked)
        if not await asyncio.to_thread(self._is_on_record, plan, status):
            return standing
        return replace(standing, plan=plan, plan_id=status.plan_id, looked=looked)

    def _is_on_record(self, plan: Plan, status: HostStatus) -> bool:
        """Whether this is the plan that was shown last."""
        if not status.plan_id:
            return plan.is_empty and not plan.drifts
        record = self._memory.plan(status.plan_id)
        return record is not None and (record.digest, record.commit) == (plan.digest, plan.commit)

    def _heals_s(self, name: str) -> dict[Key, deque[float]]:
        """When each difference that the host had made was rolled back lately."""
        heals_s: dict[Key, deque[float]] = {}
        now, now_s = self._clock.now(), self._clock.monotonic_s()
        for apply in self._memory.applies(ApplyListing(limit=CONTESTED_TIMES * 2, host=name)).items[::-1]:
            ago_s = (now - apply.started_at).total_seconds() if apply.started_at is not None else CONTESTED_WITHIN_S
            record = self._memory.plan(apply.plan_id) if ago_s < CONTESTED_WITHIN_S else None
            drifts = record.body.get("drifts") if record is not None else None
            for drift in drifts if isinstance(drifts, list) else ():
                if isinstance(drift, dict) and drift.get("moved") == "host":
                    key = (
                        str(drift["kind"]), str(drift["resource"]), str(drift["field"]), str(drift["where"]),
                    )  # fmt: skip
                    heals_s.setdefault(key, deque(maxlen=CONTESTED_TIMES)).append(now_s - ago_s)
        return heals_s
