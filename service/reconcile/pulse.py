"""Whether what the loop has begun comes to an end. If not, whoever started the process has to start it again.

A look at the repository waits for Git for three minutes at most. A round of one host may apply, and wait for a
confirmation. So the limits are far beyond what either needs.
"""

from service.clock import Clock

LOOK_S = 1800.0
ROUND_S = 7200.0


class Pulse:
    """When the look under way and the rounds under way began. `workers` rounds run at once."""

    def __init__(self, clock: Clock, workers: int) -> None:
        self._clock = clock
        self._workers = workers
        self._look_s: float | None = None
        self._rounds_s: dict[str, float] = {}

    def looks(self) -> None:
        """A look at the repository begins."""
        self._look_s = self._clock.monotonic_s()

    def rests(self) -> None:
        """It has ended."""
        self._look_s = None

    def works(self, host: str) -> None:
        """A round of a host begins."""
        self._rounds_s[host] = self._clock.monotonic_s()

    def ended(self, host: str) -> None:
        """It has ended, however."""
        self._rounds_s.pop(host, None)

    @property
    def stuck(self) -> str:
        """Why nothing is done any more; empty while something is. One host that takes long does not hinder others."""
        now_s = self._clock.monotonic_s()
        if self._look_s is not None and now_s - self._look_s > LOOK_S:
            return f"the look at the repository has not ended for {LOOK_S / 60:.0f} minutes"
        newest_s = max(self._rounds_s.values(), default=now_s)
        if self._workers and len(self._rounds_s) >= self._workers and now_s - newest_s > ROUND_S:
            return f"no round of a host has ended for {ROUND_S / 60:.0f} minutes, and none can begin"
        return ""
