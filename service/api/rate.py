"""Token buckets by name: so many at once, then one each so many seconds. Bounded: the oldest names are forgotten."""

from collections import OrderedDict

from service.clock import Clock

MAX_NAMES = 10_000


class Buckets:
    """One bucket a name. Used from one thread (the event loop's)."""

    def __init__(self, clock: Clock, *, burst: int, every_s: float) -> None:
        self._clock = clock
        self._burst = burst
        self._every_s = every_s
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def wait_s(self, name: str) -> float:
        """How long until one more is let through; 0 for now. Takes nothing."""
        free_at = self._full_at.get(name, 0.0) - self._burst * self._every_s + self._every_s
        return max(0.0, free_at - self._clock.monotonic_s())

    def take(self, name: str) -> float:
        """Take one if there is one (0.0), else how many seconds to wait."""
        wait = self.wait_s(name)
        if wait > 0:
            return wait
        now = self._clock.monotonic_s()
        self._full_at[name] = max(self._full_at.get(name, 0.0), now) + self._every_s
        self._full_at.move_to_end(name)
        if len(self._full_at) > MAX_NAMES:
            self._full_at.popitem(last=False)
        return 0.0
