"""One rollout by three worker processes on one database, of which one is killed in each wave: order and limits hold."""

import random
from pathlib import Path

import pytest

from tests.postgres import cluster
from tests.safety.rollout_workers import Rolled, killed_in_waves

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]


async def test_a_worker_that_is_killed_in_mid_wave_changes_neither_the_order_nor_the_limits(tmp_path: Path) -> None:
    with cluster() as server:
        fleet = Rolled(tmp_path, server, hosts=20, workers=3)
        await fleet.begin()
        try:
            waves = await killed_in_waves(fleet, random.Random(1))
            assert await fleet.until(fleet.is_settled, 60), (tmp_path / "log").read_text()[-4000:]
            assert waves == [1, 2, 3, 4]
            assert fleet.broken() == []
            assert not any(faults := fleet.faults().values()), faults
        finally:
            await fleet.end()
