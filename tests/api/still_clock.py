"""The clock of a service without its loop."""

from datetime import UTC, datetime, timedelta

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class StillClock:
    """Time that only moves when it is informed to."""

    def __init__(self) -> None:
        self.at = NOW
        self.monotonic = 1000.0

    def pass_time(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)
        self.monotonic += seconds

    def now(self) -> datetime:
        return self.at

    def monotonic_s(self) -> float:
        return self.monotonic

    async def sleep(self, seconds: float) -> None:
        self.pass_time(seconds)

    def jitter(self, seconds: float) -> float:
        return seconds
