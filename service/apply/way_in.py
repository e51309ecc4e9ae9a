"""Whether new connections come in to a host, and go on coming in: what a confirmation has to rest on.

A filter may let some new connections through and then nobody: a limit on their rate or on their number, a quota, a
list of addresses that fills itself. One new connection proves nothing against it, so several are made and kept open,
one after another, and the change is confirmed over one more. nftables' and iptables' limits begin with a burst of five
packets unless told otherwise (nft(8), iptables-extensions(8)); a change that brings such a limit has to let through
more than twice as many.
"""

import re

from service.apply.host import Dialer, Host, Target
from service.errors import HostError, Unreachable
from service.model.plans import Plan

ENTRIES = 3
LIMITED_ENTRIES = 12
LIMITS = re.compile(r"\b(limit|quota|meter|ct count|(add|update) @)")


def entries_of(plan: Plan) -> int:
    """How many new connections must come in before a change is confirmed over yet another one."""
    loads = [
        str(step.after.get("load", ""))
        for step in plan.steps
        if step.fact.startswith("nft:") and isinstance(step.after, dict)
    ]
    return LIMITED_ENTRIES if any(LIMITS.search(load) for load in loads) else ENTRIES


class WayIn:
    """The new connections that came in since a change is in force."""

    def __init__(self, dialer: Dialer, wanted: int) -> None:
        self._dialer = dialer
        self._wanted = wanted
        self._came_in: list[Host] = []

    async def enter(self, target: Target) -> Host:
        """One more new connection, after as many as are wanted, each made while all before it were open.

        Unreachable, and none counts any more, when one did not come in; other HostErrors as `Dialer.connect` has them.
        """
        try:
            while len(self._came_in) < self._wanted:
                self._came_in.append(await self._dialer.connect(target))
            return await self._dialer.connect(target)
        except HostError as error:
            number = len(self._came_in)
            await self.close()
            if number and isinstance(error, Unreachable):
                what = f"of {self._wanted + 1} new connections only the first {number} came in"
                raise Unreachable(f"{what}: {error.what}", hint="does a filter limit them?") from None
            raise

    async def close(self) -> None:
        """Close all; none counts any more."""
        came_in, self._came_in = self._came_in, []
        for host in came_in:
            await host.close()
