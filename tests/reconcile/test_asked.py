"""What was requested is a row: it waits through a restart, counts for the plan that was seen, and grows old."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from service.errors import InputError, Throttled, Unreachable
from service.history import History, open_history
from service.model.ceilings import Ceilings
from service.model.runs import HostStatus, Trigger
from service.reconcile.asked import WHY_LATE, WITHIN, Asked
from tests.laws.specs import head
from tests.reconcile.clocks import START, StoppedClock
from tests.reconcile.rooms import Hosts, Room, a_room
from tests.reconcile.test_controller_away import BRIDGE, told
from tests.state_folders import made

SEVERAL = 3


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    with open_history(made(tmp_path / "passerelle.sqlite")) as opened:
        opened.store.set_host_status(HostStatus("pve1"), at=START)
        yield opened


def asked_for(history: History, *, may_raise: bool = False, trigger: Trigger = "request") -> str:
    return history.store.open_apply(
        "pve1", plan_id="P", commit="c", plan_digest="sha256:p", desired_digest="sha256:d", trigger=trigger,
        requested_by="ann", at=START, may_raise=may_raise,
    )  # fmt: skip


async def test_the_oldest_request_waits_with_all_that_was_said(history: History) -> None:
    first, _ = asked_for(history, may_raise=True), asked_for(history, trigger="retry")
    request = await Asked(history.store, history.queries, StoppedClock()).apply("pve1")
    assert request is not None
    assert (request.apply_id, request.by, request.digest, request.plan_id, request.may_raise) == (
        first, "ann", "sha256:p", "P", True,
    )  # fmt: skip
    assert await Asked(history.store, history.queries, StoppedClock()).apply("pve2") is None


async def test_what_the_loop_opened_by_itself_is_no_request(history: History) -> None:
    history.store.open_apply(
        "pve1", plan_id="P", commit="c", plan_digest="sha256:p", desired_digest="sha256:d", trigger="push",
        requested_by="passerelle", at=START,
    )  # fmt: skip
    begun = asked_for(history)
    history.store.start_apply(begun, generation=1, planned=[], at=START)
    assert await Asked(history.store, history.queries, StoppedClock()).apply("pve1") is None


@pytest.mark.parametrize("late_s", [-1, 1])
async def test_what_was_asked_for_long_ago_is_not_done_and_whoever_asked_is_told(
    history: History, late_s: float
) -> None:
    apply_id, drill_id = asked_for(history), history.store.open_drill("pve1", requested_by="ann", at=START, reboot=True)
    history.store.ask_release("pve1", "01A", by="ann", reason="mended", at=START)
    clock = StoppedClock()
    clock.move((WITHIN + timedelta(seconds=late_s)).total_seconds())
    asked = Asked(history.store, history.queries, clock)
    found = await asked.apply("pve1"), await asked.drill("pve1"), await asked.take_release("pve1")
    apply, drill = history.queries.apply(apply_id), history.queries.drill(drill_id)
    assert apply is not None
    assert drill is not None
    if late_s < 0:
        assert all(found)
        assert (apply.phase, drill.state, drill.reboot) == ("Pending", "Pending", True)
    else:
        assert found == (None, None, None)
        assert (apply.phase, apply.cause, drill.state) == ("Refused", "late", "Failed")
        assert apply.error == drill.error == WHY_LATE
    assert await asked.take_release("pve1") is None


async def approved(room: Room, *, may_raise: bool = False) -> str:
    """A plan that waits is approved by its digest; the round has not come to it yet."""
    await room.round()
    plan = room.rounds.standing("pve1").plan
    assert plan is not None
    return await room.control.apply("pve1", None, plan.digest, "ann", may_raise=may_raise)


async def test_an_approval_given_before_a_restart_counts_after_it(tmp_path: Path) -> None:
    hosts = Hosts()
    with a_room(tmp_path, hosts) as room:
        forge = room.forge
        await room.push(head("approve") + BRIDGE)
        apply_id = await approved(room)
    with a_room(tmp_path, hosts, forge) as room:
        await room.watcher.look()
        await room.round()
        assert told(room) == [("request", "Succeeded", "")]
        assert hosts.applied == [apply_id]
        assert room.events("apply.again") == []


async def test_an_approval_of_what_a_commit_raises_counts_after_a_restart_too(tmp_path: Path) -> None:
    hosts, raises = Hosts(), Ceilings.parse(max_sync="auto", raises="approve", max_open="any")
    with a_room(tmp_path, hosts) as room:
        forge, room.rounds.ceilings = room.forge, raises
        await room.push(head("approve") + BRIDGE)
        await approved(room, may_raise=True)
        waiting = room.queries.waiting_apply("pve1")
        assert waiting is not None
        assert waiting.may_raise
    with a_room(tmp_path, hosts, forge) as room:
        room.rounds.ceilings = raises
        await room.watcher.look()
        await room.round()
        assert told(room) == [("request", "Succeeded", "")]


async def test_an_approval_of_another_plan_does_not_count(tmp_path: Path) -> None:
    hosts = Hosts()
    with a_room(tmp_path, hosts) as room:
        forge = room.forge
        await room.push(head("approve") + BRIDGE)
        await approved(room)
    changed = (head("approve") + BRIDGE).replace("10.10.10", "10.10.11")
    forge.push({"fleet.yaml": "passerelle: 1\n", "hosts/pve1.yaml": changed})
    with a_room(tmp_path, hosts, forge) as room:
        await room.watcher.look()
        await room.round()
        assert told(room) == [("request", "Refused", "stale")]
        assert hosts.applied == []


async def test_a_request_waits_through_a_restart_while_nobody_is_let_in(tmp_path: Path) -> None:
    hosts = Hosts()
    with a_room(tmp_path, hosts) as room:
        forge = room.forge
        await room.push(head("approve") + BRIDGE)
        apply_id = await approved(room)
        drill_id = await room.control.drill("pve1", "ann")
    hosts.trouble = Throttled("refused for a while")
    with a_room(tmp_path, hosts, forge) as room:
        await room.watcher.look()
        for _ in range(SEVERAL):
            await room.round()
        with pytest.raises(InputError, match=f"a drill of pve1 waits already: {drill_id}"):
            await room.control.drill("pve1", "bob")
        waiting = room.queries.waiting_apply("pve1")
        assert waiting is not None
        assert (waiting.id, waiting.phase) == (apply_id, "Pending")


async def test_a_request_for_a_host_that_cannot_be_reached_ends_after_a_restart_as_before_one(tmp_path: Path) -> None:
    hosts = Hosts()
    with a_room(tmp_path, hosts) as room:
        forge = room.forge
        await room.push(head("approve") + BRIDGE)
        await approved(room)
        drill_id = await room.control.drill("pve1", "ann")
    hosts.trouble = Unreachable("no route")
    with a_room(tmp_path, hosts, forge) as room:
        await room.watcher.look()
        await room.round()
        drill = room.queries.drill(drill_id)
        assert drill is not None
        assert (told(room), drill.state) == ([("request", "Failed", "unreachable")], "Failed")


async def test_nothing_waits_for_a_host_that_leaves_git(tmp_path: Path) -> None:
    with a_room(tmp_path) as room:
        await room.push(head("approve") + BRIDGE)
        await approved(room)
        room.forge.push({"fleet.yaml": "passerelle: 1\n", "hosts/pve2.yaml": head().replace("pve1", "pve2")})
        await room.watcher.look()
        assert await room.round() is None
        assert told(room) == [("request", "Refused", "left-git")]
