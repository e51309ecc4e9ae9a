"""Rounds in which nothing changed: what they leave out, and what ends them."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from service.model.observed import Lease
from service.model.runs import HostStatus
from service.model.states import Seen
from service.reconcile.quiet import TOGETHER_S
from tests.laws.specs import FOLDER, head
from tests.reconcile.rooms import Room, a_room

SPEC = head() + (FOLDER / "two-bridges.yaml").read_text()
LEASE = Lease("bc:24:11:00:00:01", "10.10.10.100", "dev", 0)


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with a_room(tmp_path) as made:
        yield made


async def quiet(room: Room, *, leases: tuple[Lease, ...] = ()) -> None:
    """The host is as wanted, and was looked at since."""
    await room.push(SPEC)
    for _ in range(4):
        await is_ordinary(room, leases)
    assert room.status.sync == "Synced"


async def is_ordinary(room: Room, leases: tuple[Lease, ...] | None = None) -> bool:
    """Whether a round, which sees the host as it is now, compares and decides."""
    if room.hosts.host is not None:
        known = room.hosts.host if leases is None else replace(room.hosts.host, leases=Seen(leases))
        room.hosts.host = replace(known, observed_at=room.clock.now())
    before = room.rounds.standing("pve1").looked
    await room.round()
    return room.rounds.standing("pve1").looked is not before


def recorded(room: Room) -> HostStatus:
    found = room.queries.host("pve1")
    assert found is not None
    return found


async def test_times_of_observation_are_written_together(room: Room) -> None:
    await quiet(room)
    room.clock.move(TOGETHER_S)
    assert not await is_ordinary(room)
    written = recorded(room).observed_at
    assert written == room.clock.now()
    room.clock.move(1)
    assert not await is_ordinary(room)
    assert (recorded(room).observed_at, room.status.observed_at) == (written, room.clock.now())
    room.clock.move(TOGETHER_S)
    assert not await is_ordinary(room)
    assert recorded(room).observed_at == room.clock.now()
    assert room.answers.unrecorded() == {}


async def test_once_an_ordinary_round_begins_the_quiet_one_before_it_is_not_shown(room: Room) -> None:
    """What an apply records of its host would be hidden by the status that held before it."""
    await quiet(room)
    room.clock.move(TOGETHER_S)
    assert not await is_ordinary(room)
    room.clock.move(1)
    assert not await is_ordinary(room)
    assert set(room.answers.unrecorded()) == {"pve1"}
    shown: list[Mapping[str, HostStatus]] = []
    room.hosts.begin = lambda: shown.append(room.answers.unrecorded())
    await room.push(SPEC.replace("10.10.10.1/24, ", "10.10.10.2/24, "))
    await room.round()
    assert shown == [{}], "the old status was shown while an apply ran"


async def test_what_comes_from_our_side_ends_the_quiet(room: Room) -> None:
    await quiet(room)
    room.store.latch("pve1", "sha256:other", apply_id="a1", at=room.clock.now())
    assert await is_ordinary(room)
    assert not await is_ordinary(room)
    await room.push(SPEC + "# again\n")
    assert await is_ordinary(room)
    room.hosts.doubted = "new logins fail"
    assert await is_ordinary(room)
    assert await is_ordinary(room)


async def test_a_lease_that_runs_out_ends_the_quiet(room: Room) -> None:
    await quiet(room, leases=(replace(LEASE, expires=int(room.clock.now().timestamp()) + 60),))
    assert not await is_ordinary(room)
    room.clock.move(60)
    assert await is_ordinary(room)
