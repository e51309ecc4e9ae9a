"""Whether new connections come in to a host, and continue coming in: what a confirmation has to rest on.

A filter may let some new connections through and then nobody: a limit on their rate or on their number, a quota, a list
of addresses that fills itself. One new connection proves nothing against it, so several are made and kept open, one
after another, and the change is confirmed over one more. The limits of nftables and iptables begin with a burst of five
packets by default (nft(8), iptables-extensions(8)). A change with such a limit has to accept more than twice as many
connections. A program that a change starts may block the connection a moment later: fail2ban bans addresses that it
finds in the journal. Then the confirming connection is made after a pause. Where only small packets pass (MTU), a login
may work and nothing else: what the last connection is given has to come back.
"""

import re

from service.clock import Clock
from service.errors import HostError, Throttled, Unreachable
from service.model.plans import Plan
from service.observe.connection import Dialer, Host, Target

ENTRIES = 3
LIMITED_ENTRIES = 12
LONGEST_PAUSE_S = 3.0
ECHO, ECHO_S = bytes(range(256)) * 64, 8.0
LIMITS = re.compile(r"\b(limit|quota|meter|ct count|(add|update) @)")


def entries_of(plan: Plan) -> int:
    """How many new connections must come in before a change is confirmed over yet another one."""
    loads = [
        str(step.after.get("load", ""))
        for step in plan.steps
        if step.fact.startswith("nft:") and isinstance(step.after, dict)
    ]
    return LIMITED_ENTRIES if any(LIMITS.search(load) for load in loads) else ENTRIES


def pause_of(plan: Plan, confirm_timeout_s: float) -> float:
    """How many seconds new connections have to work before a change is confirmed; 0 if it starts no program."""
    starts = any(
        step.fact.startswith("unit:") and _active(step.after) and not _active(step.before) for step in plan.steps
    )
    return min(LONGEST_PAUSE_S, confirm_timeout_s / 8) if starts else 0.0


def _active(unit: object) -> bool:
    return isinstance(unit, dict) and unit.get("active") is True


class WayIn:
    """The new connections that came in since a change is in force."""

    def __init__(self, dialer: Dialer, clock: Clock, wanted: int, pause_s: float) -> None:
        self._dialer = dialer
        self._clock = clock
        self._wanted = wanted
        self._pause_s = pause_s
        self._came_in: list[Host] = []
        self._first_s = 0.0

    async def enter(self, target: Target) -> Host:
        """One more new connection, after as many as are wanted, each made while all before it were open.

        Unreachable, and none counts any more, when one did not come in; other HostErrors as `Dialer.connect` has them.
        """
        try:
            while len(self._came_in) < self._wanted:
                await self._one_more(target)
            if (left_s := self._first_s + self._pause_s - self._clock.monotonic_s()) > 0:
                await self._clock.sleep(left_s)
            host = await self._dialer.connect(target)
        except HostError as error:
            number = len(self._came_in)
            await self.close()
            if number and isinstance(error, Unreachable) and not isinstance(error, Throttled):
                what = f"of {self._wanted + 1} new connections only the first {number} came in"
                raise Unreachable(f"{what}: {error.what}", hint="check whether a packet filter limits them") from None
            raise
        try:
            await echo(host, target)
        except BaseException:
            await host.close()
            await self.close()
            raise
        return host

    @property
    def is_quick(self) -> bool:
        """Whether no program has to have some time before a connection counts."""
        return self._pause_s == 0

    async def first(self, target: Target) -> Host:
        """The first of the new connections. It stays ours: `close` closes it. HostErrors as `Dialer.connect` has
        them."""
        if not self._came_in:
            await self._one_more(target)
        return self._came_in[0]

    async def _one_more(self, target: Target) -> None:
        self._came_in.append(await self._dialer.connect(target))
        self._first_s = self._first_s if len(self._came_in) > 1 else self._clock.monotonic_s()

    async def close(self) -> None:
        """Close all; none counts any more."""
        came_in, self._came_in = self._came_in, []
        for host in came_in:
            await host.close()


async def echo(host: Host, target: Target) -> None:
    """What is sent comes back. Unreachable when it does not; others as `Host.run` has them."""
    where, size = f"{target.name} ({target.address} port {target.port})", f"{len(ECHO) >> 10} KiB"
    try:
        answer = await host.run(["cat"], stdin=ECHO, timeout_s=ECHO_S)
    except Unreachable:
        what = f"{where}: the login works, but {size} did not come back within {ECHO_S:g} s"
        hint = "large packets are lost on the way (MTU), or the host hangs"
        raise Unreachable(what, hint=hint) from None
    if answer.stdout != ECHO:
        raise Unreachable(f"{where}: {size} did not come back as they were sent")
