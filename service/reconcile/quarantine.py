"""A host that is not free for an apply: something is armed on it, or a rollback failed and a person has to look."""

import asyncio
from dataclasses import dataclass, replace

from service.clock import Clock
from service.errors import HostError
from service.model.events import HostRelease
from service.model.observed import HostObserved
from service.model.runs import HostStatus
from service.reconcile.ports import Hosts, Record
from service.spec.host import HostSpec


@dataclass(frozen=True, slots=True)
class Held:
    """What is on the host: the transaction that is armed, the one whose rollback failed, and what that said."""

    armed: str = ""
    quarantined: str = ""
    controller: str = ""
    why: str = ""

    def message(self, status: HostStatus) -> str:
        """What it is and what to do next, for a person."""
        if not self.quarantined:
            of = f" of {self.controller}" if self.controller else ""
            return f"transaction {self.armed}{of} is armed on the host. passerelle waits for its end"
        why = f": {self.why}" if self.why else ""
        console = f" on its console {status.console}" if status.console else ""
        return (
            f"the rollback of {self.quarantined} failed{why}. No apply starts on this host. Fix: check the "
            f"host{console}, and run `passerelle release {status.host} --reason TEXT`"
        )


class Quarantine:
    """Looks whether a host is free, and frees it when a person says so."""

    def __init__(self, record: Record, hosts: Hosts, clock: Clock) -> None:
        self._record = record
        self._hosts = hosts
        self._clock = clock

    async def look(self, spec: HostSpec, observed: HostObserved) -> Held:
        """What the host's own journals say. Costs nothing while nothing is armed: a failed rollback stays armed, so
        that the next boot tries it once more."""
        if not observed.armed:
            return Held()
        fence = await self._hosts.fence(spec)
        ended = fence.journals.get(fence.quarantined)
        armed = "" if fence.armed in fence.journals else fence.armed  # ended, and cut before it was disarmed
        return Held(armed, fence.quarantined, fence.controller, ended.error if ended else "")

    async def release(self, spec: HostSpec, quarantined: str, why: str) -> None:
        """Lift the quarantine on the host. What it says instead is reported as an event; it is not tried again."""
        event = HostRelease(host=spec.name, quarantined=quarantined, why=why)
        try:
            await self._hosts.release(spec, quarantined, why)
        except HostError as error:
            event = replace(event, error=str(error))
        await asyncio.to_thread(self._record.add_event, event, at=self._clock.now())
