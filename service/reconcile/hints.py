"""What a hint of a host causes: a look at that host, soon, and not more often than polling while a storm continues.

Hints(add, clock, observe_s=, is_failing=)
    .opened(name), .heard(name, kind), .lost(name)     see `service.observe.listening.Ear`
    .began(name)                        a round of the host begins: it sees all that was said before
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from service.clock import Clock

SETTLE_S = 0.1
"""A change by hand is often some commands: one look sees all of them."""
GAP_STEP_S = 0.1
GAP_MOST_S = 1.0
BURST = 20
LOST_S = 2.0
SOON_S = 35.0
"""Longer than that nobody waits with a look at a host whose program ends again and again: it is polled."""


class Wake(Protocol):
    """`service.reconcile.queue.Queue.add`."""

    def __call__(self, name: str, *, after_s: float = 0) -> None: ...


@dataclass
class _Told:
    """`due_s` is when the last look that hints caused was or is due. `waits` until a round begins after that hint.
    `spent` of `BURST` looks are not earned back yet, as of `due_s`."""

    due_s: float
    spent: float = 0.0
    waits: bool = False


class Hints:
    """The first hint causes a look at once. Those that come until it begins cause nothing, those after that one more.
    `BURST` looks may follow each other. Each look that is not earned back makes the gap to the next one longer by
    `GAP_STEP_S`, up to `GAP_MOST_S`. Then one comes in `observe_s`. So a host that never stops costs as much as one
    that is polled."""

    def __init__(
        self, add: Wake, clock: Clock, *, observe_s: float, is_failing: Callable[[str], bool] = lambda _: False,
        counted: Callable[[str], None] = lambda _: None, coalesced: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self._add = add
        self._clock = clock
        self._observe_s = observe_s
        self._is_failing = is_failing
        self._counted = counted
        self._coalesced = coalesced
        self._told: dict[str, _Told] = {}

    def heard(self, name: str, kind: str) -> None:
        """Something of this kind changed on the host."""
        self._counted(kind)
        if self._is_failing(name):  # whatever failed is not tried again sooner: its round will see this, too
            self._coalesced()
            return
        now_s = self._clock.monotonic_s()
        told = self._told.setdefault(name, _Told(-math.inf))
        # That look will see it, also if no worker is free at `due_s`. One that never comes was dropped from the queue.
        if now_s < told.due_s or (told.waits and now_s < told.due_s + self._observe_s):
            self._coalesced()
            return
        soonest_s = max(now_s + SETTLE_S, told.due_s + min(GAP_MOST_S, GAP_STEP_S * self._spent(told, now_s)))
        earned_s = told.due_s + max(0.0, told.spent - (BURST - 1)) * self._observe_s
        due_s = max(soonest_s, earned_s)
        told.spent = self._spent(told, due_s) + 1
        told.due_s = due_s
        told.waits = True
        self._add(name, after_s=due_s - now_s)

    def _spent(self, told: _Told, at_s: float) -> float:
        """How many looks are not earned back."""
        return max(0.0, told.spent - (at_s - told.due_s) / self._observe_s)

    def opened(self, name: str) -> None:
        """A change between the last look and now was not heard."""
        self._add(name, after_s=SETTLE_S)

    def began(self, name: str) -> None:
        """A round begins. It may read something before the next hint, so that hint causes another look."""
        told = self._told.get(name)
        if told is not None:
            told.due_s = min(told.due_s, self._clock.monotonic_s())
            told.waits = False

    def lost(self, name: str, again_s: float) -> None:
        """The host does not report its changes any more: look what is wrong, and continue by polling. The look comes
        once the host can be listened to again, where that is soon: otherwise the hints stayed away until the next
        poll, although the program runs again."""
        self._add(name, after_s=max(LOST_S, again_s + SETTLE_S) if again_s <= SOON_S else LOST_S)
