"""A clock that tests move by hand."""

import asyncio
from datetime import UTC, datetime, timedelta

START = datetime(2026, 1, 1, tzinfo=UTC)


class StoppedClock:
    """Time stands still until `move`."""

    def __init__(self) -> None:
        self.at_s = 0.0
        self._sleepers: list[tuple[float, asyncio.Event]] = []

    def now(self) -> datetime:
        return START + timedelta(seconds=self.at_s)

    def monotonic_s(self) -> float:
        return self.at_s

    async def sleep(self, seconds: float) -> None:
        event = asyncio.Event()
        self._sleepers.append((self.at_s + seconds, event))
        await event.wait()

    def jitter(self, seconds: float) -> float:
        return seconds

    def move(self, seconds: float) -> None:
        self.at_s += seconds
        for due, event in self._sleepers:
            if due <= self.at_s:
                event.set()
