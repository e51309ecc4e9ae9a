"""Answers for people and programs, from the records of the service. No host is contacted, nothing is changed, and the
loop is not touched.

answers = Answers(source, hosts, kinds, now)
await answers.observed("pve1")                 what was last seen of a host, as JSON
answers.not_known("pve1", status)              why nothing can be said of it by what Git wants now
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from service.answers.accept import accept
from service.answers.firewalls import backend_as_json, differing
from service.answers.fleet_topology import fleet_of
from service.answers.guest_lines import GuestLines, LookedAt
from service.answers.guest_views import GuestViews
from service.answers.known import compared, left_git, why_not_known
from service.answers.topology import Looked, topology_of
from service.answers.tracers import Tracers, WantedRevision
from service.answers.views import shown_with_met
from service.errors import InputError, NoHost, NotKnown
from service.kinds.desire import desire
from service.kinds.kind import Kind
from service.model.fleet_topology import FleetTopology
from service.model.guest_lines import GuestLine, LeaseFact
from service.model.guests import PoolFill
from service.model.observed import HostObserved, Lease
from service.model.plans import Plan
from service.model.runs import FirewallView, HostStatus, HostView
from service.model.sources import SourceStanding
from service.model.states import Json
from service.model.topology import Topology
from service.resources.desired import Desired
from service.spec.editing import unified
from service.spec.host import HostSpec
from service.spec.layers import Layer
from service.spec.models import claims_of


class Look(Protocol):
    """What is remembered of one host: what was seen last, what it was compared with (`commit`), what came of it.
    `trouble` is why the last round failed, `lost` are leases that another guest with the same client-id took."""

    @property
    def observed(self) -> HostObserved | None: ...

    @property
    def spec(self) -> HostSpec | None: ...

    @property
    def desired(self) -> Desired | None: ...

    @property
    def plan(self) -> Plan | None: ...

    @property
    def commit(self) -> str: ...

    @property
    def trouble(self) -> str: ...

    @property
    def lost(self) -> Sequence[Lease]: ...


class Looks(Protocol):
    """What is remembered of every host."""

    def known(self, host: str) -> Look | None:
        """None before the host's first round."""
        ...

    @property
    def tried(self) -> Mapping[str, datetime]:
        """When the last round that has ended began, by host."""
        ...

    def unrecorded(self) -> Mapping[str, HostStatus]:
        """The statuses that the database did not take, by host."""
        ...


class Followed(Protocol):
    """Git, as far as it is followed."""

    @property
    def wanted(self) -> WantedRevision: ...

    @property
    def standing(self) -> SourceStanding: ...

    @property
    def trouble(self) -> str: ...

    def layers_of(self, host: str) -> Sequence[Layer]:
        """The values that a host shares with others in the revision in force, the weakest first."""
        ...

    def file_of(self, host: str) -> str | None:
        """The text of a host's spec file in the revision in force; None where it cannot be read. Blocks."""
        ...


class Answers:
    """Every answer that is not a row of the history. NoHost for a host that no revision names."""

    def __init__(self, source: Followed, looks: Looks, kinds: Sequence[Kind], now: Callable[[], datetime]) -> None:
        self._source = source
        self._looks = looks
        self._kinds = kinds
        self._now = now
        self._guests = GuestViews(self._observed, lambda spec: claims_of(spec, kinds), source.file_of, self._lost)
        self._lines = GuestLines(lambda spec: claims_of(spec, kinds))
        self._tracers = Tracers(lambda: source.wanted, kinds)

    async def desired(self, host: str) -> HostView | None:
        """What Git wants of the host, whether anybody has seen it or not."""
        look, wanted = self._look(host), self._source.wanted
        spec = wanted.hosts[host]
        desired = look.desired if look is not None and look.spec == spec else None
        desired = desired if desired is not None else await asyncio.to_thread(desire, spec, self._kinds)
        rows: list[Json] = [
            dict(zip(("kind", "resource", "field", "where", "want"), row, strict=True))
            for row in desired.as_json()
            if isinstance(row, list)
        ]
        return HostView(host, rows, commit=wanted.commit, digest=desired.digest)

    async def observed(self, host: str) -> HostView | None:
        """What was last seen of the host."""
        look = self._look(host)
        if look is None or look.observed is None:
            return None
        observed = look.observed
        value = await asyncio.to_thread(shown_with_met, observed, look.desired)
        return HostView(host, value, at=observed.observed_at)

    def not_known(self, host: str, status: HostStatus | None) -> InputError | None:
        """Why nothing can be said of the host by what Git wants now: NotKnown, or NoHost for a host that is nowhere.
        None where it was seen and compared. `status` is as it is shown."""
        wanted, look, now = self._source.wanted, self._looks.known(host), self._now()
        if why := self.unread():
            return why
        if host not in wanted.hosts:
            return left_git(host, status, now)
        if compared(look, wanted.hosts[host]):
            return None
        return why_not_known(host, wanted.commit, status, look.trouble if look is not None else "", now)

    def unread(self) -> NotKnown | None:
        """Why nothing can be said of any host: what Git wants is not known. None once a revision is in force."""
        if self._source.wanted.commit:
            return None
        why = self._source.trouble or "the service has just started"
        return NotKnown(f"the repository was not read yet, so no host was compared: {why}")

    def is_compared(self, host: str) -> bool:
        """Whether the host is in Git, and was compared with what it wants now."""
        spec = self._source.wanted.hosts.get(host)
        return spec is not None and compared(self._looks.known(host), spec)

    def uncompared(self, names: Iterable[str] = ()) -> frozenset[str]:
        """The hosts in Git that were not compared with what it wants now, and those of `names` that are not in Git."""
        wanted, known = self._source.wanted.hosts, self._looks.known
        found = {name for name, spec in wanted.items() if not compared(known(name), spec)}
        return frozenset(found.union(name for name in names if name not in wanted))

    def unrecorded(self) -> Mapping[str, HostStatus]:
        """The statuses that the database did not take, by host: they hold, not those that it has."""
        return self._looks.unrecorded()

    def tried(self) -> Mapping[str, datetime]:
        """When the last look that has ended began, by host; none of a host that was not looked at since the start."""
        return dict(self._looks.tried)

    async def trace(self, host: str, asked: Mapping[str, str]) -> Mapping[str, Json]:
        """What becomes of a packet by what Git wants of the host."""
        return await self._tracers.trace(host, asked)

    async def firewall(self, host: str) -> FirewallView:
        """Every rule of the host in the order in which it is tried, and where the host differs."""
        view, look = await self._tracers.firewall(host), self._look(host)
        view = replace(view, backend=backend_as_json(self._source.wanted.hosts[host], self._observed(host)))
        if look is None or look.plan is None or not compared(look, self._source.wanted.hosts[host]):
            return view
        return replace(view, differs=differing(look.plan.drifts))

    async def source(self) -> SourceStanding:
        """Whether the source is followed."""
        return self._source.standing

    async def accept(self, host: str) -> Mapping[str, Json]:
        """The patch of the host's spec file with which Git wants what the host has. Nothing is written."""
        wanted, spec = self._source.wanted, self._compared(host)
        look = self._looks.known(host)
        plan = look.plan if look is not None else None
        text = await asyncio.to_thread(self._source.file_of, host)
        if plan is None or text is None:
            raise InputError(f"the repository cannot be read now, so there is no patch of {spec.file}")
        drifts = [drift.difference for drift in plan.drifts]
        made = await asyncio.to_thread(accept, text, spec, drifts, self._source.layers_of(host))
        left: list[Json] = [{"what": what, "why": why} for what, why in made.left]
        return {
            "host": host, "commit": wanted.commit, "file": spec.file,
            "patch": unified(spec.file, text, made.text), "taken": [*made.taken], "left": left,
        }  # fmt: skip

    async def guests(self, host: str) -> Mapping[str, Json]:
        """Who is behind a host, and names that two want."""
        return await asyncio.to_thread(self._guests.guests, self._compared(host))

    async def guest_lines(self, facts: Sequence[LeaseFact], *, is_past: bool) -> Sequence[GuestLine]:
        """Everybody behind every host: those with these leases, and guests without one. `is_past`: the leases are those
        of a past time, next to what is known of their holders today. The very same value while nothing is another."""
        looks = {host: self._looked_at(host, spec) for host, spec in self._source.wanted.hosts.items()}
        if is_past:
            return await asyncio.to_thread(self._lines.then, facts, looks)
        return await asyncio.to_thread(self._lines.now, facts, looks, self._now())

    async def pools(self, host: str) -> tuple[PoolFill, ...]:
        """How full the host's ranges of addresses are."""
        return await asyncio.to_thread(self._guests.pools, self._compared(host))

    async def topology(self, host: str, status: HostStatus | None) -> Topology:
        """What is on a host and behind it, also where it was never seen. `status` is as it is shown."""
        look, spec = self._look(host), self._source.wanted.hosts[host]
        plan = look.plan if look is not None and compared(look, spec) else None
        why = self.not_known(host, status)
        looked = Looked(
            self._source.wanted.commit, self._observed(host), [one.difference for one in plan.drifts] if plan else (),
            self._lost(host), str(why or ""),
        )  # fmt: skip
        return await asyncio.to_thread(topology_of, spec, claims_of(spec, self._kinds), looked)

    async def fleet_topology(self, sees: Callable[[str], bool]) -> FleetTopology:
        """What connects the hosts in Git that `sees` lets through."""
        wanted, plans = self._source.wanted, dict[str, Plan | None]()
        specs = {name: spec for name, spec in wanted.hosts.items() if sees(name)}
        for name, spec in specs.items():
            look = self._looks.known(name)
            plans[name] = look.plan if look is not None and compared(look, spec) else None
        counts = {name: len(plan.drifts) if plan is not None else None for name, plan in plans.items()}
        return await asyncio.to_thread(fleet_of, specs, counts, wanted.commit)

    async def fix_lease(self, host: str, ip: str) -> Mapping[str, Json]:
        """The patch of the host's spec file that makes a lease fixed. Nothing is written."""
        return await self._guests.fix(self._compared(host), self._source.wanted.commit, ip)

    async def readiness(self) -> Mapping[str, str]:
        """What is missing before the service does its work."""
        missing = {}
        if not self._source.wanted.commit:
            missing["source"] = self._source.trouble or "no revision was accepted yet"
        return missing

    def _look(self, host: str) -> Look | None:
        if host not in self._source.wanted.hosts:
            raise NoHost(host)
        return self._looks.known(host)

    def _compared(self, host: str) -> HostSpec:
        """The spec of a host that was compared with it. NotKnown where it was not."""
        look, spec = self._look(host), self._source.wanted.hosts[host]
        if not compared(look, spec):
            status, trouble = self._looks.unrecorded().get(host), look.trouble if look is not None else ""
            raise why_not_known(host, self._source.wanted.commit, status, trouble, self._now())
        return spec

    def _looked_at(self, host: str, spec: HostSpec) -> LookedAt | None:
        """The last look at a host that was compared with this spec."""
        look = self._looks.known(host)
        if look is None or look.observed is None or not compared(look, spec):
            return None
        return LookedAt(spec, look.observed, look.lost)

    def _observed(self, host: str) -> HostObserved | None:
        look = self._looks.known(host)
        return look.observed if look is not None else None

    def _lost(self, host: str) -> Sequence[Lease]:
        look = self._looks.known(host)
        return look.lost if look is not None else ()
