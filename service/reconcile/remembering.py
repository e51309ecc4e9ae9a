"""What one round found out, into the history: one transaction for each thing that is news."""

import asyncio

from service.model.events import LeftBehind, NextBoot
from service.model.states import Seen
from service.observe.kept import as_kept
from service.reconcile.ports import Hosts, Record
from service.reconcile.turn import Turn


async def remember(turn: Turn, record: Record, hosts: Hosts) -> None:
    """What was seen goes into the history; what did not change costs nothing there."""
    standing, observed, plan, before = turn.standing, turn.observed, turn.plan, turn.standing.plan
    is_news = before is None or (before.digest, standing.commit) != (plan.digest, plan.commit)
    resolved_by = standing.applied_by or ("git" if standing.commit not in ("", plan.commit) else "host")
    news = [fault for fault in plan.at_boot if before is None or fault not in before.at_boot]
    left = [one for one in plan.left_behind if before is None or one not in before.left_behind]
    sighting = hosts.sighting(plan.host)
    kept = (sighting.watch, observed.digests, sighting.weighed) if sighting is not None else None

    def write(host: str) -> str:
        """The plan's id; none where nothing differs."""
        at = observed.observed_at
        if sighting is not None and kept != standing.kept:
            record.keep_sighting(as_kept(sighting))
        for fault in news:
            record.add_event(NextBoot(host=host, fault=fault), at=at)
        for one in left:
            record.add_event(LeftBehind(host=host, what=one.what, hint=one.hint), at=at)
        record.set_drift(host, plan.drifts, at=at, resolved_by=resolved_by)
        if isinstance(observed.leases, Seen):
            record.seen_leases(host, observed.leases.value, at=at)
        if not plan.is_empty or plan.drifts:
            return record.record_plan(plan, at=at)
        if is_news:  # an empty plan takes the place of the last one, which is done or void
            record.record_plan(plan, at=at)
        return ""

    standing.look(turn.looked, turn.spec, plan, await asyncio.to_thread(write, plan.host), kept)
