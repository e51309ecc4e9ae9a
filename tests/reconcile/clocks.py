"""A clock that tests move by hand."""

import asyncio
from datetime import UTC, datetime, timedelta

START = datetime(2026, 1, 1, tzinfo=UTC)


class StoppedClock:
    """Time stands still until `move`. `napped` is set whenever somebody begins to wait."""

    def __init__(self) -> None:
        self.at_s = 0.0
        self.napped = asyncio.Event()
        self._sleepers: list[tuple[float, asyncio.Event]] = []

    def now(self) -> datetime:
        return START + timedelta(seconds=self.at_s)

    def monotonic_s(self) -> float:
        return self.at_s

    async def sleep(self, seconds: float) -> None:
        sleeper = (self.at_s + seconds, asyncio.Event())
        self._sleepers.append(sleeper)
        self.napped.set()
        try:
            await sleeper[1].wait()
        finally:
            self._sleepers = [one for one in self._sleepers if one is not sleeper]

    def jitter(self, seconds: float) -> float:
        return seconds

    def due_s(self) -> list[float]:
        """When each of those that wait is due."""
        return sorted(due for due, _ in self._sleepers)

    def move(self, seconds: float) -> None:
        self.at_s += seconds
        for due, event in self._sleepers:
            if due <= self.at_s:
                event.set()


class PassingClock:
    """The same time for one who is waited for: whatever he waits passes at once."""

    def __init__(self, clock: StoppedClock) -> None:
        self._clock = clock
        self.now, self.monotonic_s, self.jitter = clock.now, clock.monotonic_s, clock.jitter

    async def sleep(self, seconds: float) -> None:
        self._clock.move(seconds)
        await asyncio.sleep(0)
