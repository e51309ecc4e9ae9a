"""Some hours of the harness `tests/safety/day`, and that it notices what grows."""

from pathlib import Path

import pytest

from tests.safety.long_day import LongDay

pytestmark = pytest.mark.long
HOURS = 8


class Leaking(LongDay):
    """Something is remembered with each reading, and never forgotten."""

    kept: list[list[int]]

    def _read(self) -> None:
        self.kept = [*getattr(self, "kept", []), *([number] for number in range(20_000))]
        super()._read()


async def test_for_hours_nothing_grows(tmp_path: Path) -> None:
    readings = await LongDay(tmp_path, 2, 1).run(HOURS)
    assert readings.faults() == []
    assert readings.changes > 10
    assert readings.rows[-1]["applies"] > 10
    assert readings.rows[-1]["drills"] > 0


async def test_what_grows_is_noticed(tmp_path: Path) -> None:
    readings = await Leaking(tmp_path, 1, 1).run(HOURS)
    grown = {fault.partition(":")[0] for fault in readings.faults()}
    assert {"objects"} <= grown <= {"objects", "memory_mb"}  # so many objects may be seen in the memory, too
