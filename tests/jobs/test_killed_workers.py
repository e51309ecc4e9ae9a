"""Worker processes on one database: killed in the middle of applies, and the server away. Nothing lost, nothing twice.

The long form is tests/safety/workers.
"""

import random
from pathlib import Path

import pytest

from tests.postgres import cluster
from tests.safety.worker_runs import Fleet, away, killed

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]


async def test_killed_workers_and_a_server_that_ends(tmp_path: Path) -> None:
    with cluster() as server:
        fleet = Fleet(tmp_path, server, hosts=6, workers=2)
        await fleet.begin()
        try:
            assert await fleet.until(fleet.is_settled, 60), (tmp_path / "log").read_text()[-4000:]
            seen = await killed(fleet, 3, random.Random(1))
            assert not seen["late"], seen
            await away(fleet, 3)
            assert await fleet.until(fleet.is_settled, 90), (tmp_path / "log").read_text()[-4000:]
            assert all(one.poll() is None for one in fleet.running.values())
            assert not any(faults := fleet.faults().values()), faults
        finally:
            await fleet.end()
