"""What the loop knew of a host outlives the process, and nothing is claimed about now."""

from collections.abc import Awaitable, Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from service.errors import InputError, Unreachable
from service.history.database import Database
from service.model.listings import DriftListing, EventListing
from service.model.observed import Lease
from service.model.states import Json, Seen
from service.reconcile.standing import Standing
from tests.answers.test_guest_views import SPEC as GUESTS
from tests.laws.host import set_fact
from tests.laws.specs import head
from tests.reconcile.rooms import Hosts, Room, a_room
from tests.reconcile.test_controller_away import BRIDGE, killed_in_the_middle

MOMENT = {"failures", "unsettled", "applying", "trouble", "unrecorded", "sites", "stamp", "shown"}
"""What is of the moment and begins again. Everything else that the loop remembers has to come back."""


MOVED: tuple[str, Json, dict[str, bytes]] = ("addresses:vmbr0", ["10.99.99.1/24"], {})
"""What somebody does on the host by hand."""


async def waiting_for_approval(room: Room) -> None:
    await room.push(head("approve") + BRIDGE)
    await room.round()


async def as_wanted(room: Room) -> None:
    await room.push(head("auto") + BRIDGE)
    for _ in range(3):
        await room.round()
    assert room.status.health == "Healthy"


async def changed_by_hand(room: Room) -> None:
    await as_wanted(room)
    await room.push(head("observe") + BRIDGE)
    assert room.hosts.host is not None
    room.hosts.host = set_fact(room.hosts.host, *MOVED)
    await room.round()
    assert room.status.reason in ("Drifted", "Diverged")


async def applied_and_not_looked_at(room: Room) -> None:
    await room.push(head("auto") + BRIDGE)
    await room.round()
    assert room.status.phase == "Succeeded"


async def undone_again_and_again(room: Room) -> None:
    await as_wanted(room)
    host = room.hosts.host
    assert host is not None
    for _ in range(3):
        room.hosts.host = set_fact(host, *MOVED)
        await room.round()
    assert any(room.rounds.standing("pve1").heals_s.values())


async def two_want_one_name(room: Room) -> None:
    await room.push(GUESTS.replace("sync: auto", "sync: observe"))
    await room.round()
    host = room.hosts.host
    assert host is not None
    room.hosts.host = replace(host, leases=Seen((Lease("bc:24:11:00:00:09", "10.10.10.101", "web", 0),)))
    await room.round()
    assert room.rounds.standing("pve1").disputed


SITUATIONS: dict[str, Callable[[Room], Awaitable[None]]] = {
    one.__name__: one
    for one in (
        waiting_for_approval, as_wanted, changed_by_hand, applied_and_not_looked_at, undone_again_and_again,
        two_want_one_name,
    )
}  # fmt: skip


async def views(room: Room) -> dict[str, Any]:
    """What is answered about the host without asking it."""
    observed, desired = await room.answers.observed("pve1"), await room.answers.desired("pve1")
    return {
        "observed": observed, "desired": desired, "guests": await room.answers.guests("pve1"),
        "pools": await room.answers.pools("pve1"), "plan": room.queries.current_plan("pve1"),
        "unknown": room.unknown, "drift": room.queries.drift(DriftListing(limit=50, host="pve1")),
        "patch": await patch_of(room),
    }  # fmt: skip


async def patch_of(room: Room) -> object:
    """The patch, or why there is none."""
    try:
        return await room.answers.accept("pve1")
    except InputError as error:
        return str(error)


@pytest.mark.parametrize("situation", SITUATIONS.values(), ids=SITUATIONS)
async def test_nothing_that_the_loop_remembers_is_lost(
    situation: Callable[[Room], Awaitable[None]], tmp_path: Path
) -> None:
    hosts = Hosts()
    with a_room(tmp_path, hosts) as room:
        await situation(room)
        forge, before, now_s = room.forge, room.rounds.standing("pve1"), room.clock.monotonic_s()
    with a_room(tmp_path, hosts, forge) as room:
        moved_s = room.clock.monotonic_s() - now_s
        await room.resume()
        after = room.rounds.standing("pve1")
        left_out = MOMENT | {"heals_s"}
        if situation is applied_and_not_looked_at:  # the base has changed since, so another side has changed
            assert (after.plan and after.plan.digest) == (before.plan and before.plan.digest)
            left_out |= {"plan", "looked"}
        for name in sorted({field.name for field in fields(Standing)} - left_out):
            assert getattr(after, name) == getattr(before, name), name
        ago_s = {key: [now_s - at_s + moved_s for at_s in times] for key, times in before.heals_s.items()}
        again_s = room.clock.monotonic_s()
        assert {key: [again_s - at_s for at_s in times] for key, times in after.heals_s.items()} == ago_s


@pytest.mark.parametrize("situation", SITUATIONS.values(), ids=SITUATIONS)
async def test_every_view_answers_at_once_with_what_was_last_seen(
    situation: Callable[[Room], Awaitable[None]], tmp_path: Path
) -> None:
    hosts = Hosts()
    with a_room(tmp_path, hosts) as room:
        await situation(room)
        forge, before, status = room.forge, await views(room), room.status
    hosts.trouble = Unreachable("no route")
    with a_room(tmp_path, hosts, forge) as room:
        await room.resume()
        assert await views(room) == before
        shown = room.status
        assert (shown.health, shown.reachability) == ("Unknown", "Unknown")
        assert shown.message.startswith("not looked at since the service started")
        assert (shown.sync, shown.observed_at, shown.plan_id) == (status.sync, status.observed_at, status.plan_id)
        (state,) = room.numbers("passerelle_host_state")
        assert 'health="Unknown"' in state
        await room.watcher.look()
        await room.round()
        assert await views(room) == before
        assert (room.status.health, room.status.reachability) == ("Unknown", "Unreachable")
        assert room.status.observed_at == status.observed_at


async def test_what_was_told_before_a_restart_is_not_told_again(tmp_path: Path) -> None:
    hosts = Hosts()
    with a_room(tmp_path, hosts) as room:
        await two_want_one_name(room)
        forge, told, before = room.forge, room.queries.newest_event_id(), room.status
    with a_room(tmp_path, hosts, forge) as room:
        await room.resume()
        await room.watcher.look()
        await room.round()
        assert [one.text for one in room.queries.events(EventListing(limit=50, after=told)).items] == []
        assert replace(room.status, observed_at=None) == replace(before, observed_at=None)


async def test_a_round_of_before_the_first_look_at_the_source_is_none(tmp_path: Path) -> None:
    """What was wanted before the start may not be wanted any more: it is only answered by, never applied."""
    hosts = Hosts()
    with a_room(tmp_path, hosts) as room:
        await room.push(head("auto") + BRIDGE)
        await killed_in_the_middle(room)
        forge, begun = room.forge, len(hosts.applied)
    forge.push({"fleet.yaml": "passerelle: 1\n", "hosts/pve1.yaml": head("observe") + BRIDGE})
    with a_room(tmp_path, hosts, forge) as room:
        await room.resume()
        recalled = room.watcher.wanted.hosts["pve1"]
        assert await room.watcher.look()
        read = room.watcher.wanted.hosts["pve1"]
        assert (recalled.sync, read.sync) == ("auto", "observe")
        await room.round()
        assert len(hosts.applied) == begun


async def test_the_same_source_is_put_in_force_by_the_first_look(tmp_path: Path) -> None:
    hosts = Hosts()
    with a_room(tmp_path, hosts) as room:
        await waiting_for_approval(room)
        forge = room.forge
    with a_room(tmp_path, hosts, forge) as room:
        await room.resume()
        recalled = room.watcher.standing
        assert await room.watcher.look()
        assert not await room.watcher.look()
        assert recalled.state != "followed"
        assert room.watcher.standing.state == "followed"


async def test_a_row_that_is_damaged_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    hosts = Hosts()
    with a_room(tmp_path, hosts) as room:
        await as_wanted(room)
        forge = room.forge
        sighting = room.queries.sighting("pve1")
        assert sighting is not None
        room.store.keep_sighting(replace(sighting, answer=b"no pickle"))
    with a_room(tmp_path, hosts, forge) as room:
        await room.resume()
        assert "the last known state of pve1 cannot be read" in caplog.text
        assert await room.answers.observed("pve1") is None
        await room.watcher.look()
        await room.round()
        assert room.status.health == "Healthy"


async def test_a_host_that_left_git_is_not_waited_for(tmp_path: Path) -> None:
    hosts = Hosts()
    with a_room(tmp_path, hosts) as room:
        await as_wanted(room)
        forge = room.forge
    forge.push({"fleet.yaml": "passerelle: 1\n", "hosts/pve2.yaml": head().replace("pve1", "pve2")})
    with a_room(tmp_path, hosts, forge) as room:
        await room.resume()
        assert room.rounds.unseen() == {"pve1"}
        await room.watcher.look()
        await room.round()
        assert room.rounds.unseen() == set()
        assert room.queries.sighting("pve1") is None
        assert room.status.reason == "Orphaned"


def written_in(room: Room, database: Database) -> list[str]:
    """The tables that are written to from now on, statement by statement."""
    found: list[str] = []

    def tell(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        words = statement.split()
        if words[0] in ("INSERT", "UPDATE", "DELETE"):
            found.append(words[1 if words[0] == "UPDATE" else 2])

    event.listen(database._engine, "before_cursor_execute", tell)
    del room
    return found


async def test_a_quiet_round_writes_when_the_host_was_seen_and_nothing_else(tmp_path: Path) -> None:
    with a_room(tmp_path) as room:
        await as_wanted(room)
        written = written_in(room, room.queries._database)
        for _ in range(5):
            room.clock.move(30)
            await room.round()
        assert set(written) <= {"hosts", "lease_looks"}
        del written[:]
        assert room.hosts.host is not None
        room.hosts.host = set_fact(room.hosts.host, "link:veth9", {"type": "veth", "up": True, "mtu": 1500}, {})
        await room.round()
        assert written.count("sightings") == 1
