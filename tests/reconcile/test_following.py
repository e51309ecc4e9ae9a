"""A process that only answers knows of each host what is recorded, however late it reads Git."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.history.database import Database
from service.history.sqlite.engine import make_engine
from service.model.observed import HostObserved
from service.model.sightings import Sighting
from service.reconcile.following import Following
from tests.laws.specs import head
from tests.reconcile.rooms import Hosts, Room, a_room
from tests.reconcile.test_controller_away import BRIDGE

OTHER = BRIDGE.replace("10.10.10.1", "10.10.11.1")


class Counted(Hosts):
    """How often what a host sent was read again."""

    recalled = 0

    async def recall(self, sighting: Sighting) -> HostObserved:
        self.recalled += 1
        return await super().recall(sighting)


@contextmanager
def beside(room: Room, folder: Path, hosts: Hosts | None = None) -> Iterator[tuple[Room, Following]]:
    """Another process over the same records and the same repository, with a mirror of its own."""
    (folder / "state").mkdir(parents=True, mode=0o700)
    database = Database(make_engine(room.path, busy_timeout_ms=20))
    try:
        other = Room(folder, database, hosts or Hosts(), room.forge)
        yield other, Following(other.watcher, other.rounds, other.queries, other.clock, poll_s=3600)
    finally:
        database.close()


async def worked_on(room: Room, spec: str) -> None:
    await room.push(spec)
    await room.round()
    assert room.rounds.standing("pve1").plan


async def test_a_host_is_read_again_once_the_commit_that_it_was_compared_with_is_here(tmp_path: Path) -> None:
    with a_room(tmp_path) as room:
        await worked_on(room, head("approve") + BRIDGE)
        with beside(room, tmp_path / "other") as (other, following):
            await following.read()
            assert other.rounds.standing("pve1").plan is None, "its repository is empty"
            await other.watcher.look()
            await following.read()
            assert not other.unknown
            assert other.rounds.standing("pve1").plan == room.rounds.standing("pve1").plan

            await worked_on(room, head("approve") + OTHER)
            await following.read()
            assert other.unknown, "it was compared with a commit that is not here yet"
            await other.watcher.look()
            await following.read()
            assert not other.unknown
            assert other.rounds.standing("pve1").plan == room.rounds.standing("pve1").plan


async def test_a_host_that_stays_unreadable_is_tried_once_for_each_commit(tmp_path: Path) -> None:
    hosts = Counted()
    with a_room(tmp_path) as room:
        await worked_on(room, head("approve") + BRIDGE)
        with beside(room, tmp_path / "other", hosts) as (_, following):
            for _ in range(3):
                await following.read()
    assert hosts.recalled == 1
