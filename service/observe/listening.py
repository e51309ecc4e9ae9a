"""Listens to the hosts' hints: one task a host, on the connection that is kept for looking.

Listening(clock, ear)
    .follow(host, name, watch)      after a look: listen there, if nobody does yet. Quick
    .kinds(name) -> (kind, …)       the kinds of changes that this host reports on its own now
    .forget(name), .close()
"""

import asyncio
import contextlib
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass
from typing import Protocol

from service.clock import Clock
from service.errors import HostError
from service.model.observed import Watch
from service.observe.hints import Hearing, command, order_of

AGAIN_FIRST_S = 1.0
AGAIN_MOST_S = 600.0


class Ear(Protocol):
    """Who is called. Quick: all of it is called on the event loop."""

    def opened(self, name: str) -> None:
        """The host reports its changes on its own from now on. What changed since the last look was not heard."""
        ...

    def heard(self, name: str, kind: str) -> None:
        """Something of this kind changed on the host."""
        ...

    def lost(self, name: str, again_s: float) -> None:
        """The host reported its changes on its own, and does not any more. A look after `again_s` seconds listens
        again; one before that does not."""
        ...


class Hints(Protocol):
    """A connection that can listen: a part of `service.observe.connection.Host`."""

    async def listen(self, command: str, order: bytes, heard: Callable[[bytes], None]) -> None: ...


@dataclass(eq=False)
class _Kept:
    host: Hints
    watch: Watch
    order: bytes
    kinds: tuple[str, ...] = ()
    task: asyncio.Task[None] | None = None


class Listening:
    """Keeps one channel a host. One that ended is opened again by a later look, each time after a longer pause."""

    def __init__(self, clock: Clock, ear: Ear) -> None:
        self._clock = clock
        self._ear = ear
        self._kept: dict[str, _Kept] = {}
        self._again: dict[str, tuple[float, float]] = {}

    def follow(self, host: Hints, name: str, watch: Watch) -> None:
        """Listen on this connection for changes of what is watched."""
        kept = self._kept.get(name)
        if kept is not None and kept.host is host and (kept.watch is watch or kept.watch == watch):
            return
        order = order_of(watch)
        if kept is not None and kept.host is host and kept.order == order:
            kept.watch = watch
            return
        if kept is not None:
            self._drop(name)
        elif self._clock.monotonic_s() < self._again.get(name, (0.0, 0.0))[0]:
            return
        self._kept[name] = made = _Kept(host, watch, order)
        # not in the context of the apply or look that happens to be first: its lines would have that id
        made.task = asyncio.get_running_loop().create_task(self._listen(made, name), context=Context())

    def kinds(self, name: str) -> tuple[str, ...]:
        """Empty where nothing is pushed."""
        kept = self._kept.get(name)
        return () if kept is None else kept.kinds

    def forget(self, name: str) -> None:
        """A host that is looked at no more."""
        self._drop(name)
        self._again.pop(name, None)

    def _drop(self, name: str) -> None:
        kept = self._kept.pop(name, None)
        if kept is not None and kept.task is not None:
            kept.task.cancel()

    async def close(self) -> None:
        """End all."""
        tasks = [kept.task for kept in self._kept.values() if kept.task is not None]
        for name in list(self._kept):
            self._drop(name)
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _listen(self, kept: _Kept, name: str) -> None:
        hearing = Hearing()

        def heard(chunk: bytes) -> None:
            for said in hearing.take(chunk, self._clock.monotonic_s()):
                if said.ready:
                    kept.kinds = said.kinds
                    if said.kinds and self._kept.get(name) is kept:
                        self._ear.opened(name)
                elif self._kept.get(name) is kept:
                    self._ear.heard(name, *said.kinds)

        began_s = self._clock.monotonic_s()
        with contextlib.suppress(HostError):  # the next look finds out what is wrong with the host
            await kept.host.listen(command(), kept.order, heard)
        was_told, kept.kinds = bool(kept.kinds), ()
        if self._kept.get(name) is not kept:
            return
        del self._kept[name]
        pause_s = self._pause(name, was_told=was_told, lasted_s=self._clock.monotonic_s() - began_s)
        if was_told:
            self._ear.lost(name, pause_s)

    def _pause(self, name: str, *, was_told: bool, lasted_s: float) -> float:
        """When it may be opened again, and in how many seconds that is. A host that lacks what it needs gets it
        seldom."""
        before_s = 0.0 if lasted_s > AGAIN_MOST_S else self._again.get(name, (0.0, 0.0))[1]
        pause_s = min(AGAIN_MOST_S, max(AGAIN_FIRST_S, 2 * before_s)) if was_told else AGAIN_MOST_S
        self._again[name] = (self._clock.monotonic_s() + pause_s, pause_s)
        return pause_s
