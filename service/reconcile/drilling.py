"""Drills: a person lets a host undo a change of nothing, and what that proves is recorded.

A drill is not an apply: it has no plan and no revision, it latches nothing, and a host that failed one is not latched.
"""

import asyncio

from service.clock import Clock
from service.errors import HostError, HostRefused, StoreError
from service.model.facts import FactId
from service.model.observed import HostObserved
from service.model.runs import Proof
from service.model.states import Json, Seen
from service.observe.at_boot import LEFT_OVER, is_change_pending
from service.observe.script import PENDING
from service.plan.next_boot import next_boot_faults
from service.reconcile.gate import Gate
from service.reconcile.ports import Hosts, Memory, Record
from service.reconcile.trouble import Troubles
from service.spec.host import HostSpec

LINK_FIELDS = ("type", "up", "mtu")
INTERRUPTED = "the service was stopped during the drill. The host rolls back automatically, and nothing is proven"


class Drilling:
    """Runs drills and ends those that a stop of the service cut off."""

    def __init__(
        self, record: Record, memory: Memory, hosts: Hosts, clock: Clock, troubles: Troubles, gate: Gate | None = None
    ) -> None:  # fmt: skip
        self._record = record
        self._memory = memory
        self._hosts = hosts
        self._clock = clock
        self._troubles = troubles
        self._gate = gate or Gate(memory, clock)

    async def run(
        self, spec: HostSpec, drill_id: str, observed: HostObserved, known_addresses: list[str], *,
        reboot: bool = False, wanted: str = "",
    ) -> None:  # fmt: skip
        """One drill, from a generation of its own to its record. An error is its end, too, whatever it is: only what
        the database does not take is raised, and ended by `settle`. Where no apply may begin on a host of which Git
        wants the digest `wanted`, no drill does: it is a change, too."""
        proofs: tuple[Proof, ...] = ()
        try:
            if (blocked := await self._gate.blocked(spec, wanted)) is not None:
                raise HostRefused(f"no drill begins on {spec.name} now: {blocked.why}", reason="held")
            if reboot and (lost := reboot_objection(observed)):
                raise HostRefused(lost, reason="next-boot")
            fence = await self._hosts.fence(spec)
            generation = await asyncio.to_thread(self._record.next_generation, spec.name, at_least=fence.generation)
            await asyncio.to_thread(self._record.start_drill, drill_id, generation=generation, at=self._clock.now())
            proofs = await self._hosts.drill(
                spec, held(observed), drill_id=drill_id, generation=generation, known_addresses=known_addresses,
                reboot=reboot,
            )  # fmt: skip
            error = "; ".join(f"{proof.name}: {proof.told}" for proof in proofs if not proof.ok)
            error = error or ("" if proofs else "nothing was proven")
        except (HostError, StoreError) as trouble:
            error = str(trouble)
        except Exception as trouble:
            error = self._troubles.failed("drill", spec.name, trouble)
        else:
            self._troubles.well("drill", spec.name)
        await asyncio.to_thread(self._record.finish_drill, drill_id, proofs=proofs, error=error, at=self._clock.now())

    async def settle(self, host: str, why: str = INTERRUPTED) -> None:
        """End the drills of a host that were begun and that nobody runs any more."""
        for drill in await asyncio.to_thread(self._memory.unfinished_drills, host):
            if drill.state != "Pending":
                await asyncio.to_thread(self._record.finish_drill, drill.id, proofs=(), error=why, at=self._clock.now())


def reboot_objection(observed: HostObserved) -> str:
    """Why a reboot would be no drill but an accident; empty where nothing is known against it."""
    faults = next_boot_faults(observed)
    waiting = (path for path in observed.left_overs if path in PENDING)
    if pending := [path for path in waiting if path != LEFT_OVER or is_change_pending(observed)]:
        faults = (*faults, f"{pending[0]} would come into force")
    return f"the host was not rebooted: {'; '.join(faults)}" if faults else ""


def held(observed: HostObserved) -> dict[FactId, Json]:
    """What a drill holds and compares: the default routes, and the link and addresses that the service comes in by."""
    facts: dict[FactId, Json] = {}
    server = observed.path.server if observed.path else ""
    for fact, seen in sorted(observed.facts.items()):
        if not isinstance(seen, Seen):
            continue
        kind, _, name = fact.partition(":")
        if fact == "routes:default":
            facts[fact] = seen.value
        if kind != "addresses" or not isinstance(seen.value, list):
            continue
        there = (*seen.value, *observed.dynamic.get(name, ()))
        if server and server in {str(address).partition("/")[0] for address in there}:
            facts[fact] = seen.value
            link = observed.facts.get(f"link:{name}")
            if isinstance(link, Seen) and isinstance(link.value, dict):
                facts[f"link:{name}"] = {key: link.value[key] for key in LINK_FIELDS if key in link.value}
    return facts
