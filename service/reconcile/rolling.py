"""Revisions that go to many hosts in portions: what one would change, whether a host may be begun, and who is woken.

    Openings(…).opening(commit, fleet)         what a new revision changes; blocks
    await rolling.why_waits(turn)              why the host of a round is not begun now; empty: it is
    await rolling.run()                        moves the rollout on by time, and wakes hosts that may be begun

The state is in the history, and each step of it is one transaction there. So it does not matter which process
continues, or when one of them is killed.
"""

import asyncio
import logging
import math
from collections.abc import Sequence

from service.clock import Clock
from service.kinds.kind import Kind
from service.model.ceilings import Ceilings
from service.model.rollouts import OPEN, Member, Opening, Policy, Rollout
from service.reconcile import rollout as judge
from service.reconcile.commits import is_read_once, of_its_own
from service.reconcile.planning import wanted_of
from service.reconcile.ports import HostQueue, Memory, Record
from service.reconcile.trouble import sentence
from service.reconcile.turn import Turn
from service.spec.fleet import Fleet
from service.spec.host import HostSpec
from service.spec.rollout import goes_last

TICK_S = 1.0
REST_S = 3600.0
"""While no rollout is open nothing is read; a new revision ends the rest."""
AGAIN_S = 30.0
"""A host that was woken and not begun is woken again after so long."""
BEGINS_S = 5.0
"""A host that was woken has begun by then, or others are woken for its place."""
FEW = 4
"""So many hosts may always be changed by one revision without an approval."""
PLAIN = Policy()
logger = logging.getLogger(__name__)


class Openings:
    """What new revisions change. Keeps the digest of what each host should have; not for several threads at once."""

    def __init__(self, memory: Memory, kinds: Sequence[Kind], ceilings: Ceilings) -> None:
        self._memory = memory
        self._kinds = kinds
        self._ceilings = ceilings
        self._digests: dict[str, tuple[HostSpec, str]] = {}

    def opening(self, commit: str, fleet: Fleet) -> Opening:
        """The hosts in sync mode auto that do not have what `commit` wants of them. Nobody counts those that never had
        anything: a new host changes nothing that works. StoreError."""
        is_plain = fleet.rollout is None and not any(spec.depends_on for spec in fleet.hosts.values())
        policy = fleet.rollout or PLAIN
        if is_plain and len(fleet.hosts) <= FEW and not self._is_held():
            return Opening(commit, policy, ())
        applied, lasts = self._memory.applied_digests(), goes_last(policy, fleet.hosts)
        members: list[Member] = []
        changed = 0
        for name, spec in fleet.hosts.items():
            if self._ceilings.sync(name, spec.sync) != "auto":
                continue
            had, digest = applied.get(spec.renamed_from or name, applied.get(name, "")), self._digest(spec)
            if had != digest:
                members.append(Member(name, digest, needs=spec.depends_on, is_last=name in lasts, labels=spec.labels))
                changed += bool(had)
        self._digests = {name: held for name, held in self._digests.items() if name in fleet.hosts}
        return Opening(commit, policy, tuple(members), self._why_stopped(changed, len(fleet.hosts)), is_plain)

    def _is_held(self) -> bool:
        """Whether a person or a failure keeps hosts from what was wanted before: that holds for the next one, too."""
        newest = self._memory.newest_rollout()
        return newest is not None and newest.state in ("halted", "aborted")

    def _digest(self, spec: HostSpec) -> str:
        known = self._digests.get(spec.name)
        is_known = known is not None and _is_same(spec, known[0])
        digest = known[1] if known is not None and is_known else wanted_of(spec, self._kinds).digest
        self._digests[spec.name] = spec, digest
        return digest

    def _why_stopped(self, changed: int, hosts: int) -> str:
        most = self._ceilings.stop_hosts
        if changed <= FEW or changed * 100 <= hosts * most:
            return ""
        return f"it changes {changed} of {hosts} hosts, more than {most} % of them (PASSERELLE_STOP_HOSTS)"


def _is_same(spec: HostSpec, other: HostSpec) -> bool:
    return spec is other or (is_read_once(spec, other) and of_its_own(spec) == of_its_own(other))


class Rolling:
    """One instance for the loop of a process."""

    def __init__(self, record: Record, memory: Memory, clock: Clock, queue: HostQueue) -> None:
        self._record = record
        self._memory = memory
        self._clock = clock
        self._queue = queue
        self._wake = asyncio.Event()
        self._woken: dict[str, tuple[tuple[object, ...], float]] = {}

    def look(self) -> None:
        """There may be a new rollout, or a person changed the state of one. Quick."""
        self._wake.set()

    async def why_waits(self, turn: Turn) -> str:
        """Why the host is not begun now, although its plan could be applied; empty: it counts as begun from now on.
        Only changes that Git wants are part of a rollout; what somebody did on a host by hand is restored at once.
        StoreError."""
        digest, wanted = turn.desired.digest, turn.wanted
        if turn.status.applied_digest == digest:
            return ""
        by = turn.request.by if turn.request is not None else ""
        spec = turn.spec
        is_last = spec.name in wanted.lasts
        member = Member(spec.name, digest, needs=spec.depends_on, is_last=is_last, labels=spec.labels)
        opening = Opening(wanted.commit, wanted.rollout or PLAIN, (), is_plain=wanted.is_plain)
        why = await asyncio.to_thread(self._begin, member, opening, by)
        self.look()
        return why

    def _begin(self, member: Member, opening: Opening, by: str) -> str:
        if opening.is_plain:
            found = self._memory.newest_rollout()
            if found is None or (found.state == "done" and found.commit == opening.commit):
                return ""
        return self._record.begin_in_rollout(member, opening, judge, at=self._clock.now(), by=by)

    async def run(self) -> None:
        """Until cancelled."""
        said = ""
        while True:
            self._wake.clear()
            is_open = True
            try:
                is_open = await self.move()
            except Exception as error:  # a bug of ours, too, must not end the loop of the fleet
                if str(error) != said:
                    logger.warning("the rollout cannot continue now: %s", sentence(error))
                said = str(error)
            else:
                said = ""
            await self._pause(TICK_S if is_open else REST_S)

    async def move(self) -> bool:
        """Move it on as far as it may by now, and queue hosts that may be begun. Whether one is open. StoreError."""
        now = self._clock.now()
        found = await asyncio.to_thread(self._record.move_rollout, judge, at=now)
        if found is None or found.state not in OPEN:
            self._woken.clear()
            return False
        places = 0
        if found.state == "running":
            places = judge.free_places(found, await asyncio.to_thread(self._memory.unavailable_hosts, now))
        if places or (found.state == "running" and not found.waiting_others):
            await self._wake_hosts(found, max(places, 1))
        return True

    async def _wake_hosts(self, found: Rollout, places: int) -> None:
        """Whoever was woken longest ago comes first: a host that does not begin, because it is suspended or needs an
        approval, keeps no other one from its place."""
        now_s, state = self._clock.monotonic_s(), (found.id, found.wave, found.done, found.failed, found.forgiven)
        free = await asyncio.to_thread(self._memory.rollout_candidates, found.id, self._clock.now())
        for name in sorted(free, key=lambda one: self._woken[one][1] if one in self._woken else -math.inf):
            known_state, woken_s = self._woken.get(name, (None, -math.inf))
            if known_state != state or now_s - woken_s >= AGAIN_S:
                self._woken[name] = state, now_s
                self._queue.add_first(name)
            elif now_s - woken_s >= BEGINS_S:
                continue
            places -= 1
            if places <= 0:
                break

    async def _pause(self, seconds: float) -> None:
        waits = [asyncio.ensure_future(self._wake.wait()), asyncio.ensure_future(self._clock.sleep(seconds))]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
