"""Clocks for tests."""

from service.clock import SystemClock


class QuickClock(SystemClock):
    """Waiting passes its time at once: nobody has to sit through a deadline."""

    def __init__(self, stride: float = 1) -> None:
        self._stride = stride
        self._skipped_s = 0.0

    def monotonic_s(self) -> float:
        return super().monotonic_s() + self._skipped_s

    async def sleep(self, seconds: float) -> None:
        self._skipped_s += seconds * self._stride
        await super().sleep(0.01)
