"""The first stages of a round: how the host is, how what was begun on it has ended, and whether it is free. And of its
guests."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from service.kinds.guests_seen import name_findings, pools_of
from service.kinds.kind import Kind
from service.model.events import DISPUTES
from service.model.guests import PoolFill
from service.model.observed import Watch
from service.model.states import Json
from service.reconcile import status as statuses
from service.reconcile.applying import Applying
from service.reconcile.asked import Asked
from service.reconcile.drilling import Drilling
from service.reconcile.ports import Hosts, Record
from service.reconcile.quarantine import Quarantine
from service.reconcile.stages import Stage, always
from service.reconcile.turn import Stop, Turn
from service.resources.desired import LastApplied
from service.resources.ending import watch_of
from service.spec.models import claims_of


class Looking:
    """`may_begin(host)`: whether a change of the host could be confirmed now. `base(host)`: what was
    applied last."""

    def __init__(
        self, hosts: Hosts, asked: Asked, applying: Applying, drilling: Drilling, quarantine: Quarantine,
        may_begin: Callable[[str], bool], base: Callable[[str], Awaitable[Json]],
    ) -> None:  # fmt: skip
        self._hosts = hosts
        self._asked = asked
        self._applying = applying
        self._drilling = drilling
        self._quarantine = quarantine
        self._may_begin = may_begin
        self._base = base

    @property
    def stages(self) -> tuple[Stage[Turn, Stop], ...]:
        """In this order: only an observation finds a host that has changed, so everything else comes after it. A host
        is free only if nothing of ours is open there. A drill needs a free host.
        """
        return (
            Stage("release", always, self._release),
            Stage("observe", lambda turn: turn.glance is None, self._observe),
            Stage("settle", lambda turn: turn.standing.unsettled, self._settle),
            Stage("hold", always, self._hold),
            Stage("drill", lambda turn: self._may_begin(turn.spec.name), self._drill),
        )

    async def _release(self, turn: Turn) -> None:
        """A person has looked at a host whose rollback failed."""
        asked = await self._asked.take_release(turn.spec.name)
        if asked is not None and asked.apply_id == turn.status.quarantined:
            await self._quarantine.release(turn.spec, asked.apply_id, f"{asked.requested_by}: {asked.reason}")

    async def _observe(self, turn: Turn) -> None:
        """The host is looked at, wherever it is."""
        observed = turn.observed = await self._hosts.observe(turn.spec, await self._watch(turn), turn.addresses)
        turn.show(address=observed.path.server if observed.path else turn.status.address)

    async def _watch(self, turn: Turn) -> Watch:
        """What to look at: what is wanted, and what was applied before and nobody wants now."""
        base = LastApplied.from_json(await self._base(turn.spec.name))
        return await asyncio.to_thread(watch_of, turn.desired, base)

    async def _settle(self, turn: Turn) -> Stop | None:
        """What was begun and nobody saw the end of has ended by now, or its end is waited for."""
        await self._drilling.settle(turn.spec.name)
        settled = await self._applying.settle(turn.spec, turn.standing)
        if settled == "armed":
            return self._await(turn, "an apply is not confirmed yet. passerelle waits for its end")
        if settled == "ended":  # what the host undid meanwhile is not what was seen
            turn.observed = await self._hosts.observe(turn.spec, await self._watch(turn), turn.addresses)
        return None

    async def _hold(self, turn: Turn) -> Stop | None:
        """Whether the host is free: another controller may be at work on it, or a person has to look."""
        held = turn.held = await self._quarantine.look(turn.spec, turn.observed)
        turn.show(quarantined=held.quarantined)
        if held.armed and not held.quarantined:
            return self._await(turn, held.message(turn.status))
        return None

    def _await(self, turn: Turn, why: str) -> Stop:
        turn.status = statuses.awaited(turn.status, why)
        return Stop(why, statuses.RETRY_FIRST_S)

    async def _drill(self, turn: Turn) -> Stop | None:
        """A person lets the host undo a change of nothing; the next round follows at once."""
        drill = await self._asked.drill(turn.spec.name)
        if drill is None:
            return None
        turn.standing.begin()
        digest = turn.desired.digest
        await self._drilling.run(
            turn.spec, drill.id, turn.observed, turn.addresses, reboot=drill.reboot, wanted=digest
        )  # fmt: skip
        return Stop("a drill has ended", statuses.SOON_S)


class GuestNews:
    """How full the pools are, and names that two guests want. `filled(host, pools)` is called in each round."""

    def __init__(
        self, record: Record, kinds: Sequence[Kind], filled: Callable[[str, Sequence[PoolFill]], None]
    ) -> None:
        self._record = record
        self._kinds = kinds
        self._filled = filled

    async def look(self, turn: Turn) -> None:
        """Each name that two guests want is reported when it is new."""
        spec, standing, observed = turn.spec, turn.standing, turn.observed
        claims = claims_of(spec, self._kinds)
        pools = await asyncio.to_thread(pools_of, spec.name, claims, observed)
        self._filled(spec.name, pools)
        if pools:
            await asyncio.to_thread(self._record.seen_pools, spec.name, pools, at=observed.observed_at)
        for new in standing.dispute(await asyncio.to_thread(name_findings, claims, observed, standing.lost)):
            event = DISPUTES[new.rule](host=spec.name, name_=new.name, mac=new.mac, what=new.text)
            await asyncio.to_thread(self._record.add_event, event, at=observed.observed_at)
