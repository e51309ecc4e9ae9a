"""A deadline that passed while the service was away is not a verdict: the same is tried once more, and then latched."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from service.model.listings import ApplyListing
from service.model.runs import Apply
from service.model.telling import Ended, Fence, MissedTold
from tests.laws.specs import head
from tests.reconcile.clocks import StoppedClock
from tests.reconcile.rooms import Hosts, Room, a_room

BRIDGE = (
    "interfaces:\n  enp1s0: {addresses: [198.51.100.11/24], gateway: 198.51.100.1}\n"
    "bridges:\n  vmbr0: {addresses: [10.10.10.1/24], ports: []}\nnat:\n  - {source: 10.10.10.0/24, out: enp1s0}\n"
)
DEADLINE = Ended("rolled_back", "deadline", "nobody confirmed in time", is_verified=True)


async def killed_in_the_middle(room: Room) -> str:
    """The service is gone as soon as the host has begun; the host rolls it back on its own: the apply's id."""
    begun = asyncio.Event()
    room.hosts.begin = begun.set
    room.hosts.hangs = True
    round_ = asyncio.ensure_future(room.round())
    await begun.wait()
    round_.cancel()
    await asyncio.wait([round_])
    room.hosts.hangs = False
    room.hosts.begin = lambda: None
    apply_id = room.hosts.applied[-1]
    room.hosts.fenced = Fence(journals={**room.hosts.fenced.journals, apply_id: DEADLINE})
    return apply_id


def applies(room: Room) -> list[Apply]:
    return list(room.queries.applies(ApplyListing(limit=50, host="pve1")).items)


def told(room: Room) -> list[tuple[str, str, str]]:
    """Oldest first: what set each apply off, how it ended, and why."""
    return [(one.trigger, one.phase, one.cause) for one in reversed(applies(room))]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


async def test_in_auto_it_is_applied_once_more_by_itself(folder: Path) -> None:
    with a_room(folder) as room:
        await room.push(head() + BRIDGE)
        await killed_in_the_middle(room)
        hosts, forge = room.hosts, room.forge
    with a_room(folder, hosts, forge) as room:
        await room.watcher.look()
        await room.round()
        await room.round()
        assert told(room) == [("push", "RolledBack", "controller away"), ("push", "Succeeded", "")]
        assert room.queries.latches("pve1") == ()
        assert (room.status.sync, room.status.health) == ("Synced", "Healthy")


async def test_the_second_time_in_a_row_it_is_latched(folder: Path) -> None:
    hosts, forge = Hosts(), None
    for _ in range(2):
        with a_room(folder, hosts, forge) as room:
            forge = room.forge
            await room.push(head() + BRIDGE)
            await killed_in_the_middle(room)
    with a_room(folder, hosts, forge) as room:
        await room.watcher.look()
        for _ in range(3):
            await room.round()
        assert told(room) == [("push", "RolledBack", "controller away"), ("push", "RolledBack", "deadline")]
        assert "for the second time" in applies(room)[0].error
        assert (room.status.reason, room.status.phase) == ("RolledBackLatched", "RolledBack")


async def test_an_apply_that_went_well_in_between_begins_the_count_anew(folder: Path) -> None:
    hosts = Hosts()
    with a_room(folder, hosts) as room:
        forge = room.forge
        await room.push(head() + BRIDGE)
        await killed_in_the_middle(room)
        bare = hosts.host
    with a_room(folder, hosts, forge) as room:
        await room.watcher.look()
        await room.round()
        hosts.host = bare  # somebody takes it all away by hand
        room.clock.move(1)
        await killed_in_the_middle(room)
    with a_room(folder, hosts, forge) as room:
        await room.watcher.look()
        await room.round()
        assert [phase for _, phase, _ in told(room)] == ["RolledBack", "Succeeded", "RolledBack", "Succeeded"]


async def test_what_a_person_had_asked_for_is_asked_for_once_more(folder: Path) -> None:
    hosts = Hosts()
    with a_room(folder, hosts) as room:
        forge = room.forge
        await room.push(head("approve") + BRIDGE)
        await room.round()
        await room.control.apply("pve1", None, None, "ann")
        await killed_in_the_middle(room)
    with a_room(folder, hosts, forge) as room:
        await room.watcher.look()
        await room.round()
        assert told(room) == [("request", "RolledBack", "controller away"), ("retry", "Succeeded", "")]
        assert applies(room)[0].requested_by == "ann"
        assert len(room.events("apply.again")) == 1


async def test_what_was_asked_for_long_ago_waits_for_a_person(folder: Path) -> None:
    hosts = Hosts()
    with a_room(folder, hosts) as room:
        forge = room.forge
        await room.push(head("approve") + BRIDGE)
        await room.round()
        await room.control.apply("pve1", None, None, "ann")
        await killed_in_the_middle(room)
    with a_room(folder, hosts, forge) as room:
        room.clock.move(timedelta(hours=3).total_seconds())
        await room.watcher.look()
        await room.round()
        assert told(room) == [("request", "RolledBack", "controller away")]
        assert room.status.phase == "WaitingForApproval"


async def test_the_plan_that_was_agreed_to_is_the_only_one_that_is_retried(folder: Path) -> None:
    hosts = Hosts()
    with a_room(folder, hosts) as room:
        forge = room.forge
        await room.push(head("approve") + BRIDGE)
        await room.round()
        await room.control.apply("pve1", None, None, "ann")
        await killed_in_the_middle(room)
        room.forge.push({
            "fleet.yaml": "passerelle: 1\n",
            "hosts/pve1.yaml": (head("approve") + BRIDGE).replace("10.10.10", "10.10.11"),
        })  # fmt: skip
    with a_room(folder, hosts, forge) as room:
        await room.watcher.look()
        await room.round()
        assert told(room) == [("request", "RolledBack", "controller away"), ("retry", "Refused", "stale")]
        assert len(hosts.applied) == 1


async def test_where_the_service_was_there_and_could_not_get_in_it_is_latched_at_once(folder: Path) -> None:
    with a_room(folder) as room:
        await room.push(head() + BRIDGE)
        room.hosts.ends = [Ended("unconfirmed", "unreachable", "no way in")]
        room.hosts.tells = [MissedTold()]
        await room.round()
        (apply_id,) = room.hosts.applied
        room.hosts.fenced = Fence(journals={apply_id: DEADLINE})
        await room.round()
        assert told(room) == [("push", "RolledBack", "deadline")]
        assert room.status.reason == "RolledBackLatched"


async def test_that_it_was_there_when_the_deadline_passed_outlives_a_restart(folder: Path) -> None:
    hosts = Hosts(tells=[MissedTold()])
    with a_room(folder, hosts) as room:
        forge = room.forge
        await room.push(head() + BRIDGE)
        await killed_in_the_middle(room)
    with a_room(folder, hosts, forge) as room:
        await room.watcher.look()
        await room.round()
        assert told(room) == [("push", "RolledBack", "deadline")]
        assert room.status.reason == "RolledBackLatched"


@pytest.mark.parametrize("cause", ["boot", "step failed", "verify failed", "probe lost", "run died", "asked"])
async def test_other_rollbacks_say_something_about_the_change(folder: Path, cause: str) -> None:
    hosts = Hosts()
    with a_room(folder, hosts) as room:
        forge = room.forge
        await room.push(head() + BRIDGE)
        apply_id = await killed_in_the_middle(room)
    hosts.fenced = Fence(journals={apply_id: Ended("rolled_back", cause, "so", is_verified=True)})
    with a_room(folder, hosts, forge) as room:
        await room.watcher.look()
        await room.round()
        assert told(room) == [("push", "RolledBack", cause)]
        assert room.status.reason == "RolledBackLatched"


async def test_told_to_stop_it_finishes_what_is_under_way_and_begins_nothing(folder: Path) -> None:
    with a_room(folder) as room:
        begun, go_on = asyncio.Event(), asyncio.Event()
        room.hosts.begin, room.hosts.waits = begun.set, go_on
        await room.push(head() + BRIDGE)
        running = asyncio.ensure_future(room.loop.run())
        room.queue.add("pve1")
        await begun.wait()
        room.loop.stop()
        ending = asyncio.ensure_future(room.loop.finish(25))
        await asyncio.wait([ending], timeout=0.1)
        assert not ending.done()
        go_on.set()
        await asyncio.wait([ending, running], timeout=20)
        assert (ending.done(), running.done()) == (True, True)
        assert told(room) == [("push", "Succeeded", "")]
        assert len(room.hosts.applied) == 1


async def test_told_to_stop_nothing_is_begun_any_more(folder: Path) -> None:
    with a_room(folder) as room:
        await room.push(head() + BRIDGE)
        room.loop.stop()
        await room.round()
        assert room.hosts.applied == []
        assert applies(room) == []


async def test_what_is_not_over_after_25_seconds_is_left_to_the_host(folder: Path) -> None:
    with a_room(folder) as room:
        begun = asyncio.Event()
        room.hosts.begin, room.hosts.hangs = begun.set, True
        await room.push(head() + BRIDGE)
        running = asyncio.ensure_future(room.loop.run())
        room.queue.add("pve1")
        await begun.wait()
        ending = asyncio.ensure_future(room.loop.finish(25))
        await asyncio.wait([ending], timeout=0.05)
        clock: StoppedClock = room.clock
        clock.move(24.9)
        await asyncio.wait([ending], timeout=0.05)
        assert not ending.done()
        clock.move(0.2)
        await asyncio.wait([ending, running], timeout=20)
        assert (ending.done(), running.done()) == (True, True)
        assert [one.phase for one in applies(room)] == ["Running"]


async def test_where_sshd_let_nobody_in_it_is_no_verdict_either(folder: Path) -> None:
    with a_room(folder) as room:
        await room.push(head("approve") + BRIDGE)
        await room.round()
        await room.control.apply("pve1", None, None, "ann")
        room.hosts.ends = [Ended("unconfirmed", "throttled", "refused for a while"), Ended("confirmed")]
        room.hosts.tells = [MissedTold("throttled")]
        await room.round()
        (apply_id,) = room.hosts.applied
        room.hosts.fenced = Fence(journals={apply_id: DEADLINE})
        room.clock.move(1)
        await room.round()
        assert told(room) == [("request", "RolledBack", "throttled"), ("retry", "Succeeded", "")]
        assert "PerSourcePenalties" in applies(room)[1].error
        assert room.queries.latches("pve1") == ()
