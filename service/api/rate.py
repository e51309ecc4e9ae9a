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

    def take(self, name: str) -> float:
        """Take one if there is one (0.0), else how many seconds to wait."""
        now = self._clock.monotonic_s()
        free_at = self._full_at.get(name, 0.0) - (self._burst - 1) * self._every_s
        if free_at > now:
            return free_at - now
        self._full_at[name] = max(self._full_at.get(name, 0.0), now) + self._every_s
        self._full_at.move_to_end(name)
        if len(self._full_at) > MAX_NAMES:
            self._full_at.popitem(last=False)
        return 0.0
