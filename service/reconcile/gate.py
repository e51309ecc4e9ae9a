"""May an apply begin on this host now? One pure function, and what reads the answers for it.

    may_begin(Begin(...)) -> None, or the reason why not
    await Gate(...).blocked(spec, wanted) -> the same, of what is in force now

It is called before a host begins, and again before anything is armed there. Observation, the confirmation of an apply
that is under way, and its rollback never go through it.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from service.clock import Clock
from service.model.suspensions import Suspension, of_host
from service.model.windows import Window, closed
from service.reconcile.ports import Memory
from service.spec.host import HostSpec

Cause = Literal["stop-file", "suspended", "window"]


@dataclass(frozen=True, slots=True)
class Begin:
    """All that decides it: the host, its labels, the digest of what Git wants of it, the time, and what is in force.
    `stop` says why the stop file is there, empty where there is none."""

    host: str
    now: datetime
    labels: Mapping[str, str]
    wanted: str = ""
    stop: str = ""
    suspensions: tuple[Suspension, ...] = ()
    windows: tuple[Window, ...] = ()


@dataclass(frozen=True, slots=True)
class Blocked:
    """Nothing begins: a fixed word, the sentence for people, and when that ends automatically, where it does."""

    cause: Cause
    why: str
    until: datetime | None = None


def may_begin(asked: Begin) -> Blocked | None:
    """None where an apply may begin. The strongest reason comes first."""
    if asked.stop:
        return Blocked("stop-file", asked.stop)
    if held := of_host(asked.suspensions, asked.host, asked.labels, asked.now, asked.wanted):
        return Blocked("suspended", held.words, held.until)
    if shut := closed(asked.windows, asked.host, asked.labels, asked.now):
        return Blocked("window", shut.why, shut.opens_at)
    return None


class Gate:
    """Asks what is in force now. `stop()` reads the stop file; it blocks as little as a look at one file does."""

    def __init__(self, memory: Memory, clock: Clock, stop: Callable[[], str] = lambda: "") -> None:
        self._memory = memory
        self._clock = clock
        self._stop = stop

    async def blocked(self, spec: HostSpec, wanted: str, *, is_back: bool = False) -> Blocked | None:
        """Why no apply may begin on this host, of which Git wants the digest `wanted`. Windows do not count where it
        goes back to an earlier state (`is_back`): a person requested that. StoreError where the suspensions
        cannot be read and no stop file is there."""
        return await asyncio.to_thread(self.look, spec, wanted, is_back)

    def look(self, spec: HostSpec, wanted: str, is_back: bool) -> Blocked | None:
        """The same. Blocks."""
        now = self._clock.now()
        if stop := self._stop():
            return may_begin(Begin(spec.name, now, spec.labels, wanted, stop))
        suspensions, windows = self._memory.suspended(now), () if is_back else spec.shared.windows
        return may_begin(Begin(spec.name, now, spec.labels, wanted, "", suspensions, windows))
