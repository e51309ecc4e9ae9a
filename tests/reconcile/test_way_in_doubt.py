"""A host that only an old connection still reaches, and one whose sshd refuses the service for a while."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.errors import Throttled
from tests.laws.specs import head
from tests.reconcile.rooms import Room, a_room

DOUBT = "new logins fail since 2026-01-01 00:00:00 UTC; only the connection made before that still answers: no"
BRIDGE = (
    "interfaces:\n  enp1s0: {addresses: [198.51.100.11/24], gateway: 198.51.100.1}\n"
    "bridges:\n  vmbr0: {addresses: [10.10.10.1/24], ports: []}\nnat:\n  - {source: 10.10.10.0/24, out: enp1s0}\n"
)


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with a_room(tmp_path) as made:
        yield made


async def test_a_status_is_never_green_through_an_old_connection_alone(room: Room) -> None:
    await room.push(head())
    await room.round()
    assert (room.status.health, room.status.reachability) == ("Healthy", "Reachable")
    room.hosts.doubted = DOUBT
    await room.round()
    assert (room.status.sync, room.status.health, room.status.reachability) == ("Synced", "Degraded", "Unknown")
    assert room.status.message == DOUBT
    room.hosts.doubted = ""
    await room.round()
    assert (room.status.health, room.status.reachability, room.status.message) == ("Healthy", "Reachable", "")


async def test_no_apply_is_begun_that_no_new_login_could_confirm(room: Room) -> None:
    await room.push(head() + BRIDGE)
    room.hosts.doubted = DOUBT
    await room.round()
    assert room.hosts.applied == []
    assert (room.status.sync, room.status.phase, room.status.health) == ("OutOfSync", "Pending", "Degraded")
    assert DOUBT in room.status.message
    room.hosts.doubted = ""
    await room.round()
    assert len(room.hosts.applied) == 1


async def test_what_was_asked_for_waits_until_sshd_lets_the_service_in_again(room: Room) -> None:
    await room.push(head("approve") + BRIDGE)
    await room.round()
    apply_id = await room.control.apply("pve1", None, None, "ann")
    room.hosts.trouble = Throttled("sshd refuses every login", hint="exempt it")
    pauses = [await room.round() for _ in range(12)]
    assert max(pause or 0.0 for pause in pauses) == 30  # it is over after ten minutes at the latest
    assert (room.status.sync, room.status.reachability) == ("Unknown", "Unreachable")
    assert "exempt it" in room.status.message
    waiting = room.queries.apply(apply_id)
    assert waiting is not None
    assert waiting.phase == "Pending"
    room.hosts.trouble = None
    await room.round()
    done = room.queries.apply(apply_id)
    assert done is not None
    assert done.phase == "Succeeded"


async def test_a_drill_waits_too(room: Room) -> None:
    await room.push(head())
    await room.round()
    drill_id = await room.control.drill("pve1", "ann")
    room.hosts.doubted = DOUBT
    await room.round()
    drill = room.queries.drill(drill_id)
    assert drill is not None
    assert drill.state == "Pending"
