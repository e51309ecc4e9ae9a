"""The only place that asks what time it is or how long to wait."""

import random
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Time as the loop sees it; tests bring their own."""

    def now(self) -> datetime:
        """Wall clock, UTC: for people and records only."""
        ...

    def monotonic_s(self) -> float:
        """Seconds that never run backwards: for deadlines."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...

    def jitter(self, seconds: float) -> float:
        """`seconds` spread by up to a tenth each way, so that a fleet does not move in step."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic_s(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        # whoever waits has a loop already; a command that only asks for the time does not load one
        import asyncio  # noqa: PLC0415

        await asyncio.sleep(seconds)

    def jitter(self, seconds: float) -> float:
        return seconds * random.uniform(0.9, 1.1)  # noqa: S311 (spreads load, protects nothing)
