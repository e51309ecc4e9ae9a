"""A worker's probes: numbers of the hosts that it works on, and whether it can read what is wanted."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.api.create import create_probes
from service.errors import NotKnown
from service.history import open_history
from service.model.guests import PoolFill
from tests.api.world import NOW, World

OWNED = {"one": "pve1", "two": "pve2"}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with open_history(tmp_path / "x.sqlite", serve=True) as history:
        yield World(history).fill()


def as_worker(world: World, *, owns: Callable[[str], bool] = lambda _: True, behind: bool = False) -> None:
    """What it answers with the parts of a worker."""
    world.app = create_probes(replace(world.parts, owns=owns, is_behind=lambda: behind))


async def lines(world: World, **options: Any) -> list[str]:
    answer = await world.ask("GET", "/metrics", token=world.token("read", **options))
    assert answer.status_code == 200
    return [line for line in answer.text.splitlines() if not line.startswith("#")]


@pytest.mark.parametrize("mine", OWNED.values())
async def test_a_worker_reports_only_the_hosts_that_it_works_on(world: World, mine: str) -> None:
    """Each of two: Prometheus adds up what both of them report."""
    (other,) = set(OWNED.values()) - {mine}
    world.desk.unknown[other] = NotKnown("another worker compares it")
    for host in OWNED.values():
        world.parts.metrics.filled(host, [PoolFill(host, "vmbr0", "10.10.10.100", "10.10.10.200", 101, 2, 1)])
        world.history.store.finish_apply(world.apply_id(host), "Succeeded", at=NOW)
        world.apply_id(host)
    as_worker(world, owns=lambda host: host == mine)
    found = await lines(world)
    assert not [line for line in found if other in line]
    for family in ("host_state", "host_compared", "host_drift_items", "leases", "pool_addresses", "apply_total"):
        assert [line for line in found if line.startswith(f"passerelle_{family}{{") and f'host="{mine}"' in line]
    assert {"passerelle_applies_inflight 1", "passerelle_applies_inflight 1.0"} & set(found)
    assert not [line for line in await lines(world, hosts=(other,)) if "pve" in line], "a token sees no more"


async def test_a_process_that_never_measured_the_database_reports_no_size(world: World) -> None:
    as_worker(world)
    assert not [line for line in await lines(world) if "database_bytes" in line]
    world.parts.metrics.kept(world.history.store.kept(), {})
    assert [line for line in await lines(world) if line.startswith("passerelle_database_bytes ")]


async def test_a_worker_that_cannot_read_the_revision_in_force_is_not_ready(world: World) -> None:
    as_worker(world)
    assert (await world.ask("GET", "/readyz", token="")).status_code == 200
    as_worker(world, behind=True)
    answer = await world.ask("GET", "/readyz", token="")
    assert (answer.status_code, answer.json()["missing"]) == (503, ["source"])
