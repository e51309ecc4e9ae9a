"""The small form of the harness `tests/safety/rollouts`: what a page claims of waves, on a few played hosts."""

from pathlib import Path

import pytest

from tests.safety.rollout_runs import RUNS

pytestmark = pytest.mark.long
HOSTS = 12


@pytest.mark.parametrize("name", RUNS)
async def test_a_claim_of_the_page_holds(name: str, tmp_path: Path) -> None:
    counted = await RUNS[name](HOSTS, tmp_path)
    assert counted.get("tried", 0) <= 1
    assert counted.get("written", 0) == 0
    assert counted.get("kills") == counted.get("waves")
