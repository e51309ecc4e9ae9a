"""Which hosts a commit is about, and what becomes of the others."""

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from service.errors import StoreError
from service.model.runs import HostStatus
from service.reconcile.queue import Queue
from service.reconcile.quiet import TOGETHER_S
from service.reconcile.watching import Wanted
from tests.laws.specs import FOLDER, head
from tests.reconcile.clocks import StoppedClock
from tests.reconcile.rooms import Room, a_room

SPEC = head() + (FOLDER / "two-bridges.yaml").read_text()
OTHER = head("observe").replace("host: pve1", "host: pve2").replace("198.51.100.11", "198.51.100.12")
OPEN = SPEC.replace("connection:\n", "connection:\n  allow_management_change: true\n")


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with a_room(tmp_path) as made:
        yield made


class Queued(Queue):
    """The names in the order in which they came."""

    def __init__(self) -> None:
        super().__init__(StoppedClock())
        self.first: list[str] = []
        self.others: list[str] = []

    def add(self, name: str, *, after_s: float = 0) -> None:
        assert after_s == 0
        self.others.append(name)

    def add_first(self, name: str) -> None:
        self.first.append(name)


async def turned(room: Room, spec: str, **files: str) -> Queued:
    """What is queued for a commit with this spec of pve1."""
    queued, before = Queued(), room.watcher.wanted
    await room.push(spec, **files)
    await room.rounds.turn_to(room.watcher.wanted, before, queued)
    return queued


async def at_rest(room: Room, spec: str = SPEC) -> None:
    """The host is as wanted, and its last rounds were quiet."""
    before = Wanted()
    await room.push(spec)
    await room.rounds.turn_to(room.watcher.wanted, before, Queued())
    for _ in range(4):
        await seen(room)
    assert room.status.sync == "Synced"


async def seen(room: Room) -> None:
    """A round that sees the host as it is now."""
    if room.hosts.host is not None:
        room.hosts.host = replace(room.hosts.host, observed_at=room.clock.now())
    await room.round()


def recorded(room: Room) -> HostStatus:
    found = room.queries.host("pve1")
    assert found is not None
    return found


async def test_a_host_that_a_commit_is_not_about_gets_its_commit(room: Room) -> None:
    await at_rest(room)
    queued = await turned(room, SPEC, **{"hosts/pve2.yaml": OTHER})
    assert (queued.first, queued.others) == (["pve2"], [])
    commit = room.watcher.wanted.commit
    assert (recorded(room).observed_commit, recorded(room).applied_commit, recorded(room).sync) == (
        commit, commit, "Synced",
    )  # fmt: skip
    looked = room.rounds.standing("pve1").looked
    await seen(room)
    assert room.rounds.standing("pve1").looked is looked, "the round after it was no quiet one"
    assert room.status.observed_commit == commit


async def test_a_time_that_waits_to_be_written_is_shown_with_the_new_commit(room: Room) -> None:
    await at_rest(room)
    room.clock.move(TOGETHER_S)
    await seen(room)
    room.clock.move(1)
    await seen(room)
    assert set(room.answers.unrecorded()) == {"pve1"}
    await turned(room, SPEC, **{"hosts/pve2.yaml": OTHER})
    first = room.watcher.wanted.commit
    assert room.status.observed_commit == first
    await seen(room)
    await turned(room, SPEC, **{"hosts/pve2.yaml": OTHER + "# again\n"})
    assert room.status.observed_commit == room.watcher.wanted.commit != first
    assert room.status.observed_at == room.clock.now()


async def test_nothing_is_planned_for_it_later_either(room: Room) -> None:
    await at_rest(room)
    plan = room.queries.current_plan("pve1")
    await turned(room, SPEC, **{"hosts/pve2.yaml": OTHER})
    room.store.latch("pve1", "sha256:other", apply_id="a1", at=room.clock.now())  # the next round is an ordinary one
    await seen(room)
    assert room.queries.current_plan("pve1") == plan


async def test_a_permission_is_news_when_it_comes_and_when_it_ends(room: Room) -> None:
    await at_rest(room)
    assert (await turned(room, OPEN)).first == ["pve1"]
    for _ in range(4):
        await seen(room)
    queued = await turned(room, OPEN, **{"hosts/pve2.yaml": OTHER})
    assert queued.first == ["pve1", "pve2"], "it was permitted for one commit only"
    for _ in range(4):
        await seen(room)
    assert "pve1" not in (await turned(room, OPEN, **{"hosts/pve2.yaml": OTHER + "# again\n"})).first


async def test_a_host_whose_round_is_under_way_is_looked_at_again(room: Room) -> None:
    await at_rest(room)
    queued = Queued()

    async def push() -> None:
        before = room.watcher.wanted
        await room.push(SPEC, **{"hosts/pve2.yaml": OTHER})
        await room.rounds.turn_to(room.watcher.wanted, before, queued)

    observe = room.hosts.observe

    async def observing(*given: object) -> object:
        if not queued.first:
            await push()
        return await observe(*given)  # type: ignore[arg-type]  # what it is given

    room.hosts.observe = observing  # type: ignore[method-assign,assignment]  # a commit comes in the middle of it
    before = room.watcher.wanted.commit
    await seen(room)
    assert (queued.first, queued.others) == (["pve2"], ["pve1"])
    assert recorded(room).observed_commit == before
    assert (await turned(room, SPEC, **{"hosts/pve2.yaml": OTHER + "# 2\n"})).others == ["pve1"], (
        "it has not had its turn"
    )
    await seen(room)
    assert recorded(room).observed_commit == room.watcher.wanted.commit


async def test_what_cannot_be_recorded_is_queued(room: Room) -> None:
    await at_rest(room)
    queued, before = Queued(), room.watcher.wanted
    await room.push(SPEC, **{"hosts/pve2.yaml": OTHER})
    with contextlib.closing(sqlite3.connect(room.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")  # another program writes
        with pytest.raises(StoreError):
            await room.rounds.turn_to(room.watcher.wanted, before, queued)
    assert (queued.first, queued.others) == (["pve2"], ["pve1"])
    await seen(room)
    assert recorded(room).observed_commit == room.watcher.wanted.commit
