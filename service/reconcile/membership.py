"""Which hosts are in Git: those that leave, and those that get another name.

Both happen in a round of the host itself, of which the queue lets one at a time run: so nothing that an earlier round
still writes comes after it.
"""

import asyncio
from collections.abc import Sequence

from service.clock import Clock
from service.model.events import HostWithoutPast
from service.model.runs import HostStatus
from service.reconcile import status as statuses
from service.reconcile.applying import Applying
from service.reconcile.asked import Asked
from service.reconcile.drilling import Drilling
from service.reconcile.ports import Hosts, Memory, Record
from service.reconcile.watching import Wanted
from service.spec.host import HostSpec

LEFT = "left-git"
"""The cause of what ends because its host is no longer in Git."""


class Membership:
    """Records who left and who was renamed, and says how both are shown until that is recorded."""

    def __init__(
        self, record: Record, memory: Memory, hosts: Hosts, clock: Clock, asked: Asked, applying: Applying,
        drilling: Drilling,
    ) -> None:  # fmt: skip
        self._record = record
        self._memory = memory
        self._hosts = hosts
        self._clock = clock
        self._asked = asked
        self._applying = applying
        self._drilling = drilling

    def until_looked_at(self, recorded: Sequence[HostStatus], wanted: Wanted) -> dict[str, HostStatus]:
        """How hosts that came or left are shown until a round of theirs has ended."""
        known = {one.host: one for one in recorded}
        shown: dict[str, HostStatus] = {}
        for name in known.keys() - wanted.hosts.keys():
            if known[name].reason != "Orphaned":
                renamed = wanted.renamed.get(name)
                shown[name] = statuses.orphaned(known[name], *([f"its name is {renamed} now"] if renamed else []))
        for name, spec in wanted.hosts.items():
            if name not in known or known[name].reason == "Orphaned":
                shown[name] = statuses.expected(spec, known.get(name))
        return shown

    async def leave(self, name: str, wanted: Wanted) -> None:
        """The host is no longer in Git: waiting requesters are informed, and nothing on the host is touched. What is
        recorded of a host that was renamed waits for the round of its new name.
        """
        await self._hosts.close(name)
        if name in wanted.renamed:
            return
        why = f"{name} is no longer in Git"
        await self._asked.give_up(name, "Refused", LEFT, why)
        await self._applying.abandon(name, LEFT, f"{why}: nobody looks how it ended")
        await self._drilling.settle(name, why)
        await asyncio.to_thread(self._record.orphan_host, name, at=self._clock.now())

    async def rename(self, spec: HostSpec) -> bool:
        """What is recorded of the host under its old name goes along to the new one. False if there is nothing to carry
        over: it was carried over before, or there never was anything, which is reported once.
        """
        old, name, now = spec.renamed_from, spec.name, self._clock.now()
        if not old:
            return False
        if await asyncio.to_thread(self._record.rename_host, old, name, at=now):
            return True
        if await asyncio.to_thread(self._memory.host, name) is None:
            await asyncio.to_thread(self._record.add_event, HostWithoutPast(host=name, old=old), at=now)
        return False
