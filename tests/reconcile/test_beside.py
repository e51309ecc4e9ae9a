"""A host and its jump host are not changed at the same time: either could cost the other its confirmation."""

import asyncio
from pathlib import Path

import pytest

from service.reconcile.applying import BESIDE_S
from tests.laws.specs import head
from tests.reconcile.rooms import a_room

BRIDGE = "bridges: {vmbr0: {addresses: [10.10.10.1/24]}}\n"


def spec(name: str, number: int, jump: str = "") -> str:
    """A host of its own address, reached through another one where that is given."""
    text = head(extra=f"  jump: {jump}\n" if jump else "").replace("pve1", name, 1)
    return text.replace("198.51.100.11", f"198.51.100.{number}") + BRIDGE


@pytest.mark.parametrize(
    ("jumps", "waits"),
    [
        ({"pve2": "pve1"}, True),
        ({"pve1": "pve2"}, True),
        ({"pve2": "pve3", "pve3": "pve1"}, True),
        ({}, False),
        ({"pve1": "pve3", "pve2": "pve3"}, False),
    ],
)
async def test_a_change_waits_for_that_of_a_host_on_its_way(
    tmp_path: Path, jumps: dict[str, str], *, waits: bool
) -> None:
    one, *others = [spec(f"pve{n}", 10 + n, jumps.get(f"pve{n}", "")) for n in (1, 2, 3)]
    with a_room(tmp_path) as room:
        await room.push(one, **{f"hosts/pve{n}.yaml": text for n, text in enumerate(others, 2)})
        began, goes_on = asyncio.Event(), asyncio.Event()
        room.hosts.begin, room.hosts.waits = began.set, goes_on
        first = asyncio.ensure_future(room.round())
        async with asyncio.timeout(20):
            await began.wait()
        room.hosts.begin, room.hosts.waits = lambda: None, None
        after_s = await room.rounds.reconcile("pve2", room.watcher.wanted)
        status = room.queries.host("pve2")
        assert status is not None
        assert status.phase == ("Pending" if waits else "Succeeded")
        assert len(room.hosts.applied) == (1 if waits else 2)
        assert not waits or after_s == BESIDE_S
        goes_on.set()
        await first
        await room.rounds.reconcile("pve2", room.watcher.wanted)
        status = room.queries.host("pve2")
        assert status is not None
        assert status.sync == "Synced"
