"""All hosts as the loop sees them: observed, requested their journals, given packages, changed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from service.apply.document import fence, overdue, words
from service.apply.drilling import DEADLINE_S, DrillRun, drill_document
from service.apply.proving import Proving
from service.apply.rebooting import BOOT_S, RebootRun
from service.apply.sites import order_of, read_answers
from service.apply.switch import Event, Switch
from service.apply.transaction import Transaction
from service.apply.weighing import PackageQuestion, question, read_weighed
from service.apply.whereabouts import first_that_is, reported
from service.clock import Clock
from service.errors import Garbled, HostError, HostRefused, InputError, Unreachable
from service.model.facts import FactId
from service.model.observed import HostObserved, Watch
from service.model.plans import GuestVerb, Plan
from service.model.runs import Proof
from service.model.sightings import Sighting
from service.model.sites.seen import Answer
from service.model.sites.wanted import SiteWanted
from service.model.states import Json, Seen, Unknown
from service.model.telling import Ended, Fence, GuestWorkTold, Told
from service.model.weighed import Weighed
from service.observe.connection import Dialer, Host, Target
from service.observe.listening import Listening
from service.spec.connections import Jump
from service.spec.host import HostSpec

PACKAGES_TIMEOUT_S = 900.0
GUESTS_TIMEOUT_S = 1500.0
VERIFY_TIMEOUT_S = 60.0
WEIGH_TIMEOUT_S = 300.0
ANSWERS_TIMEOUT_S = 40.0
PERMIT_TIMEOUT_S = 60.0
WEIGHED_FOR_S = 300.0
"""How long a simulation holds for plans. The host makes it again before it touches a package."""


class KeptConnections(Dialer, Protocol):
    """Connections that are kept: one a host."""

    async def host(self, target: Target) -> Host:
        """The host's connection."""
        ...

    async def drop(self, name: str) -> None:
        """Close it."""
        ...

    def doubt(self, name: str) -> str:
        """Why nobody can log in again while it still answers; empty where somebody can."""
        ...


class Looks(Protocol):
    """Looks at hosts over such connections: `service.observe.collect.Collector`, whose docstrings hold."""

    async def observe(self, host: Host, name: str, watch: Watch) -> HostObserved: ...

    def sighting(self, name: str) -> Sighting | None: ...

    async def recall(self, sighting: Sighting) -> HostObserved | None: ...

    def forget(self, name: str) -> None: ...


class FleetHosts:
    """Implements `service.reconcile.ports.Hosts` over kept connections."""

    def __init__(
        self, connections: KeptConnections, looks: Looks, clock: Clock, *, controller: str,
        listening: Listening | None = None,
    ) -> None:  # fmt: skip
        self._connections = connections
        self._listening = listening
        self._looks = looks
        self._clock = clock
        self._controller = controller
        self._answered: dict[str, str] = {}
        self._reported: dict[str, tuple[str, ...]] = {}
        self._weighed: dict[str, tuple[object, float, Weighed]] = {}
        self._said_of_weight: dict[str, dict[str, Any]] = {}

    async def observe(self, spec: HostSpec, watch: Watch, known_addresses: Sequence[str]) -> HostObserved:
        """One round trip, over the kept connection. A connection that turns out dead is made again, once.

        If a package or a free service differs, the host reports what else its change would affect."""
        host = await self._reach(spec, known_addresses)
        try:
            observed = await self._looks.observe(host, spec.name, watch)
        except Unreachable:
            await self._connections.drop(spec.name)
            host = await self._reach(spec, known_addresses)
            observed = await self._looks.observe(host, spec.name, watch)
        self._reported[spec.name] = reported(observed)
        if self._listening is not None:
            self._listening.follow(host, spec.name, watch)
        asked = question(observed, watch)
        if asked is None:
            self._weighed.pop(spec.name, None)
            self._said_of_weight.pop(spec.name, None)
            return observed
        try:
            weighed = await self._weigh(spec, host, observed, asked)
        except Unreachable:
            raise
        except HostError as error:
            self._said_of_weight.pop(spec.name, None)
            return replace(observed, weighed=Unknown(words(error.what)))
        return replace(observed, weighed=Seen(weighed))

    def _deafen(self, name: str) -> None:
        """What follows is our own work: its changes need no look. The next look listens again."""
        if self._listening is not None:
            self._listening.forget(name)

    def sighting(self, name: str) -> Sighting | None:
        """What the host sent at the last look."""
        sighting = self._looks.sighting(name)
        return None if sighting is None else replace(sighting, weighed=self._said_of_weight.get(name))

    async def recall(self, sighting: Sighting) -> HostObserved | None:
        """What was seen then, by the same reading as a fresh answer; None if other data was requested."""
        observed = await self._looks.recall(sighting)
        if observed is None or not isinstance(sighting.weighed, dict):
            return observed
        asked = question(observed, sighting.watch)
        if asked is None:
            return observed
        try:
            return replace(observed, weighed=Seen(read_weighed(sighting.weighed, asked)))
        except Garbled as error:
            return replace(observed, weighed=Unknown(words(error.what)))

    async def _weigh(self, spec: HostSpec, host: Host, observed: HostObserved, asked: PackageQuestion) -> Weighed:
        """The host's answer, or the one from a moment ago if nothing has changed since."""
        key = (asked, observed.digests.get("packages"), observed.digests.get("units"), observed.boot_id)
        last = self._weighed.get(spec.name)
        now_s = self._clock.monotonic_s()
        if last is not None and last[0] == key and now_s < last[1] + WEIGHED_FOR_S:
            return last[2]
        order = {
            "install": list(asked.install), "remove": list(asked.remove), "units": list(asked.units),
            "refresh": spec.sync != "observe",
        }  # fmt: skip
        result = await Switch(host).ask_unkept("weigh", order, timeout_s=WEIGH_TIMEOUT_S)
        if result.get("state") != "weighed":
            raise Garbled("the host-side file did not weigh the change")
        weighed = read_weighed(result, asked)
        self._said_of_weight[spec.name] = result
        if not isinstance(weighed.install, Unknown) and not isinstance(weighed.remove, Unknown):
            self._weighed[spec.name] = (key, now_s, weighed)
        return weighed

    async def fence(self, spec: HostSpec) -> Fence:
        """What the host's journals say. A host that never was applied to has none. If somebody removed the rollback
        timer, an overdue change is rolled back now.
        """
        switch = Switch(await self._reach(spec, []))
        result = await switch.ask("status")
        if late := overdue(result):
            await switch.ask("expire", late, timeout_s=VERIFY_TIMEOUT_S)
            result = await switch.ask("status")
        return fence(result)

    async def install(
        self, spec: HostSpec, packages: Sequence[str], promised: Sequence[tuple[str, str, str]] = ()
    ) -> None:
        """Install packages. HostRefused with apt's reason for the first that failed, and where the host says by now
        that something else than `promised` (name, new version, old version) would come or go."""
        self._deafen(spec.name)
        host = await self._reach(spec, [])
        self._weighed.pop(spec.name, None)
        order = {
            "install": list(packages), "promised": [list(move) for move in promised],
            "timeout_s": PACKAGES_TIMEOUT_S - 60,
        }  # fmt: skip
        installed(await Switch(host).ask("packages", stdin=order, timeout_s=PACKAGES_TIMEOUT_S))

    async def guests(
        self, spec: HostSpec, action: GuestVerb, orders: Sequence[Mapping[str, Json]], told: Callable[[Told], None]
    ) -> None:
        """Create guests or set them up, install packages in them, or start those that never ran. HostRefused with the
        reason for the first that failed; what is done of the others stays."""
        self._deafen(spec.name)
        host = await self._reach(spec, [])
        if action == "install":
            await self._install_inside(Switch(host), orders, told)
            return
        order = {"action": action, "guests": [dict(each) for each in orders], "timeout_s": GUESTS_TIMEOUT_S - 60}

        def heard(event: Event) -> None:
            if event.get("event") == "guest":
                told(GuestWorkTold(words(event.get("guest"))[:63], words(event.get("doing"))))

        result = await Switch(host).ask("guests", stdin=order, timeout_s=GUESTS_TIMEOUT_S, on_event=heard)
        if result.get("state") == "refused":
            raise HostRefused(words(result.get("error")), reason=words(result.get("reason")))
        for name, one in (result.get("guests") or {}).items():
            if one.get("state") == "failed":
                done = "created" if action == "make" else "started"
                raise HostRefused(
                    f"guest {words(name)} could not be {done}: {words(one.get('reason'))}",
                    reason="guests",
                    hint="nothing else was changed; it is tried again later",
                )

    async def _install_inside(
        self, switch: Switch, orders: Sequence[Mapping[str, Json]], told: Callable[[Told], None]
    ) -> None:
        for each in orders:
            guest, install = str(each["guest"]).partition("@")[0], each["install"]
            names = ", ".join(map(str, install)) if isinstance(install, list) else ""
            told(GuestWorkTold(guest, f"installing {names}"))
            order = {**each, "timeout_s": PACKAGES_TIMEOUT_S - 60}
            result = await switch.ask("packages", stdin=order, timeout_s=PACKAGES_TIMEOUT_S)
            installed(result, f"in guest {guest} ")

    async def apply(
        self,
        spec: HostSpec,
        plan: Plan,
        *,
        apply_id: str,
        generation: int,
        known_addresses: Sequence[str],
        told: Callable[[Told], None],
    ) -> Ended:
        """The confirmed apply over a connection of its own."""
        self._deafen(spec.name)
        targets = [replace(target_of(spec), address=a) for a in self._may_be_at(spec.name, known_addresses)]
        host = await self._reach(spec, known_addresses)
        proving = Proving(self._connections, [*spec.checks, *plan.proves], self._clock, told)
        transaction = Transaction(self._connections, targets, self._clock, told, proving=proving)
        try:
            return await transaction.run(
                host,
                plan,
                apply_id=apply_id,
                generation=generation,
                controller=self._controller,
                confirm_timeout_s=max(spec.connection.confirm_timeout_s, plan.least_deadline_s),
            )
        finally:
            self._answered.pop(spec.name, None)  # the host may have changed, or changed back
            await self._connections.drop(spec.name)

    async def drill(
        self,
        spec: HostSpec,
        facts: Mapping[FactId, Json],
        *,
        drill_id: str,
        generation: int,
        known_addresses: Sequence[str],
        reboot: bool = False,
    ) -> tuple[Proof, ...]:
        """Arm a change of nothing and let the host undo it, by its timer or by a reboot; the connection is given up for
        it as in an apply."""
        self._deafen(spec.name)
        targets = [replace(target_of(spec), address=address) for address in known_addresses]
        host = await self._reach(spec, known_addresses)
        deadline_s, folder = (BOOT_S, "/etc") if reboot else (DEADLINE_S, "/run")
        order = drill_document(
            facts, drill_id=drill_id, generation=generation, controller=self._controller, deadline_s=deadline_s,
            folder=folder,
        )  # fmt: skip
        drill = RebootRun if reboot else DrillRun
        try:
            return await drill(self._connections, targets, self._clock).run(host, order)
        finally:
            await self._connections.drop(spec.name)

    async def verify(self, spec: HostSpec, apply_id: str) -> tuple[str, ...]:
        """Compare the host with the snapshot of an apply that was rolled back: the facts that differ."""
        host = await self._reach(spec, [])
        result = await Switch(host).ask("status", apply_id, "--verify", timeout_s=VERIFY_TIMEOUT_S)
        return tuple(words(fact) for fact in result.get("differs") or [])

    async def release(self, spec: HostSpec, apply_id: str, reason: str) -> None:
        """Lift the quarantine that the failed rollback of an apply brought. HostRefused where there is none."""
        host = await self._reach(spec, [])
        result = await Switch(host).ask("release", apply_id, reason)
        if result.get("state") == "refused":
            raise HostRefused(words(result.get("error")), reason=words(result.get("reason")))

    async def answers(self, spec: HostSpec, sites: Sequence[SiteWanted]) -> Mapping[str, tuple[Answer, bytes]]:
        """How sites answer at their proxy. Nothing stays on the host for it."""
        host = await self._reach(spec, [])
        result = await Switch(host).ask_unkept("answers", order_of(sites), timeout_s=ANSWERS_TIMEOUT_S)
        return read_answers(result, sites)

    async def permit(self, spec: HostSpec, guest_key: str, permits: Mapping[str, Json]) -> None:
        """Hand the results of checks to the program in a guest. HostRefused where it is not there, or does not run."""
        host = await self._reach(spec, [])
        result = await Switch(host).ask("permit", guest_key, stdin=dict(permits), timeout_s=PERMIT_TIMEOUT_S)
        if result.get("state") == "refused":
            raise HostRefused(words(result.get("error")), reason=words(result.get("reason")))

    def doubt(self, name: str) -> str:
        """See `service.reconcile.ports.Hosts.doubt`."""
        return self._connections.doubt(name)

    async def close(self, name: str) -> None:
        """Nobody looks at this host any more."""
        self._deafen(name)
        self._looks.forget(name)
        self._weighed.pop(name, None)
        self._reported.pop(name, None)
        self._said_of_weight.pop(name, None)
        await self._connections.drop(name)

    async def _reach(self, spec: HostSpec, known_addresses: Sequence[str]) -> Host:
        """The kept connection, at the first address that answers; the one that answered last is tried first."""
        last = self._answered.get(spec.name)
        first = [last] if last else []
        addresses = dict.fromkeys([*first, spec.connection.address, *self._may_be_at(spec.name, known_addresses)])
        found = await first_that_is(
            addresses, lambda address: self._connections.host(replace(target_of(spec), address=address))
        )
        if found is None:
            raise Unreachable(f"{spec.name} has no address")
        self._answered[spec.name], host = found
        return host

    def _may_be_at(self, name: str, known_addresses: Sequence[str]) -> list[str]:
        """Where a host was, and what it reported itself at the last look."""
        return list(dict.fromkeys([*known_addresses, *self._reported.get(name, ())]))


def installed(result: Mapping[str, Any], where: str = "") -> None:
    """HostRefused with apt's reason where a package was not installed. `where` is in front of what apt says."""
    if result.get("state") == "refused":
        raise HostRefused(words(result.get("error")), reason=words(result.get("reason")))
    failed = {n: r for n, r in (result.get("packages") or {}).items() if r.get("state") == "failed"}
    if failed:
        name, why = next(iter(failed.items()))
        raise HostRefused(
            f"{', '.join(failed)} could not be installed; apt {where}says of {name}: {words(why.get('reason'))}",
            reason="packages",
            hint="nothing else was changed; it is tried again later",
        )


def target_of(spec: HostSpec) -> Target:
    """Where the spec says that the host is."""
    connection = spec.connection
    if connection.jump_host and connection.jump is None:
        raise InputError(f"{spec.name}: the way through {connection.jump_host} is not known", hint="passerelle lint")
    jump = _jump_of(connection.jump) if connection.jump is not None else None
    return Target(spec.name, connection.address, connection.host_keys, connection.port, connection.user, jump)


def _jump_of(jump: Jump) -> Target:
    before = _jump_of(jump.jump) if jump.jump is not None else None
    return Target(jump.name, jump.address, jump.host_keys, jump.port, jump.user, before, is_jump=True)
