"""Hosts that leave Git, come back and are renamed, while rounds of them are under way."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.errors import InputError
from service.model.listings import LeaseListing
from service.model.telling import Ended
from tests.laws.specs import head
from tests.reconcile.rooms import Hosts, Room, a_room

BRIDGE = head() + "bridges:\n  vmbr0: {addresses: [10.10.10.1/24], ports: []}\n"
OTHER = head().replace("pve1", "pve2").replace("198.51.100.11", "198.51.100.12")


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with a_room(tmp_path) as made:
        yield made


async def leave(room: Room, **files: str) -> None:
    """pve1 leaves Git, and the loop takes note of it."""
    room.forge.push({"fleet.yaml": "passerelle: 1\n", "hosts/pve2.yaml": OTHER, **files})
    await room.watcher.look()
    await room.rounds.follow(room.watcher.wanted)


def axes(room: Room) -> tuple[str, ...]:
    status = room.status
    return status.sync, status.reason, status.health, status.reachability


ORPHANED = ("Unknown", "Orphaned", "Unknown", "Unknown")


@pytest.mark.parametrize("ending", ["confirmed", "rolled_back", "unconfirmed"])
async def test_a_round_that_was_under_way_writes_nothing_after_orphaned(room: Room, ending: str) -> None:
    await room.push(BRIDGE)
    room.hosts.waits = asyncio.Event()
    room.hosts.ends = [Ended(ending)]  # type: ignore[arg-type]  # a word of its own type
    begun = asyncio.Event()
    room.hosts.begin = begun.set
    under_way = asyncio.create_task(room.round())
    await begun.wait()
    await leave(room)
    assert axes(room) == ORPHANED
    room.hosts.waits.set()
    await under_way
    assert axes(room) == ORPHANED
    assert await room.round() is None
    assert axes(room) == ORPHANED
    assert room.queries.base("pve1") is None
    assert [apply.host for apply in room.queries.unfinished_applies()] == []
    assert "pve1" not in "".join(room.numbers("passerelle"))


async def test_a_host_is_forgotten_only_once_its_last_round_has_ended(room: Room) -> None:
    """Its status says Orphaned before: what is refused then says why, and what to do."""
    await room.push(BRIDGE)
    room.hosts.waits, begun = asyncio.Event(), asyncio.Event()
    room.hosts.begin = begun.set
    under_way = asyncio.create_task(room.round())
    await begun.wait()
    await leave(room)
    assert axes(room) == ORPHANED
    with pytest.raises(InputError, match="its last round has not ended yet") as refused:
        await room.control.forget("pve1", "scrapped", "ann")
    assert "ask again in a minute" in refused.value.hint
    room.hosts.waits.set()
    await under_way
    await room.round()
    await room.control.forget("pve1", "scrapped", "ann")
    assert room.queries.host("pve1") is None
    assert "pve1" not in room.answers.unrecorded()


async def test_nothing_is_begun_on_a_host_that_left_while_it_was_looked_at(room: Room) -> None:
    await room.push(BRIDGE)
    await room.rounds.follow(room.watcher.wanted)
    observe = room.hosts.observe

    async def leaves(*given: object) -> object:
        found = await observe(*given)  # type: ignore[arg-type]  # as given
        await leave(room)
        return found

    room.hosts.observe = leaves  # type: ignore[method-assign,assignment]  # a host that is slow to answer
    await room.round()
    assert room.hosts.applied == []
    assert "pve1" not in room.answers.unrecorded()  # nothing was known of it yet
    assert room.queries.host("pve1") is None


async def test_who_waits_for_something_of_a_host_that_left_is_told(room: Room) -> None:
    await room.push(BRIDGE.replace("sync: auto", "sync: approve"))
    await room.round()
    apply_id = await room.control.apply("pve1", None, None, "ann")
    drill_id = await room.control.drill("pve1", "ann")
    await leave(room)
    await room.round()
    apply, drill = room.queries.apply(apply_id), room.queries.drill(drill_id)
    assert apply is not None
    assert drill is not None
    assert (apply.phase, apply.cause, apply.error) == ("Refused", "left-git", "pve1 is no longer in Git")
    assert (drill.state, drill.error) == ("Failed", "pve1 is no longer in Git")


async def test_a_host_is_shown_as_not_looked_at_from_the_moment_it_is_in_git(room: Room) -> None:
    await room.push(BRIDGE)
    await room.rounds.follow(room.watcher.wanted)
    assert axes(room) == ("Unknown", "", "Unknown", "Unknown")
    assert room.status.message == "not looked at yet"
    assert room.status.observed_at is None
    await room.round()
    assert room.status.reachability == "Reachable"
    await leave(room)
    await room.round()
    await room.push(BRIDGE)
    await room.rounds.follow(room.watcher.wanted)
    assert axes(room) == ("Unknown", "", "Unknown", "Unknown")
    assert room.status.message == "not looked at yet"


async def test_a_rename_waits_for_the_end_of_a_round_under_the_old_name(room: Room) -> None:
    await room.push(BRIDGE)
    room.hosts.waits, begun = asyncio.Event(), asyncio.Event()
    room.hosts.begin = begun.set
    under_way = asyncio.create_task(room.round())
    await begun.wait()
    await leave(room, **{"hosts/pve9.yaml": BRIDGE.replace("host: pve1", "host: pve9\nrenamed_from: pve1")})
    wanted = room.watcher.wanted
    assert (axes(room), room.status.message) == (ORPHANED, "its name is pve9 now")
    assert await room.rounds.reconcile("pve9", wanted) == 2
    assert room.queries.host("pve9") is None
    room.hosts.waits.set()
    await under_way
    assert await room.round() is None
    await room.rounds.reconcile("pve9", wanted)
    assert room.queries.host("pve1") is None
    status = room.queries.host("pve9")
    assert status is not None
    assert (status.sync, status.sync_mode) == ("Synced", "auto")
    base = room.queries.base("pve9")
    assert base is not None
    assert room.queries.leases(LeaseListing(host="pve1"), now=room.clock.now()).items == ()


async def test_after_a_restart_a_rename_that_was_not_carried_out_is(tmp_path: Path) -> None:
    hosts = Hosts()
    with a_room(tmp_path, hosts) as room:
        await room.push(BRIDGE)
        await room.round()
        forge = room.forge
    renamed = BRIDGE.replace("host: pve1", "host: pve9\nrenamed_from: pve1")
    forge.push({"fleet.yaml": "passerelle: 1\n", "hosts/pve9.yaml": renamed})
    with a_room(tmp_path, hosts, forge) as room:
        await room.resume()
        await room.watcher.look()
        await room.rounds.follow(room.watcher.wanted)
        await room.round()
        await room.rounds.reconcile("pve9", room.watcher.wanted)
        assert room.queries.host("pve1") is None
        (told,) = room.events("host.renamed")
        assert told.startswith("pve9 was pve1 before")
        assert room.answers.unrecorded() == {}
