"""A round that does not end well says so at once, in status, metrics, events and log; nothing green survives it."""

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from service.errors import HostKeyChanged, InputError, StoreError, Unreachable
from service.model.runs import HostStatus
from service.model.telling import Ended, Fence
from service.reconcile.quiet import TOGETHER_S
from service.reconcile.trouble import sentence
from tests.laws.specs import head
from tests.reconcile.rooms import Room, a_room

NOTHING = head()
SERVERS = head() + "dnsmasq:\n  server: [{}]\n  dhcp: []\npackages: {{dnsmasq: present}}\n"
BRIDGE = head() + (
    "interfaces:\n  enp1s0: {addresses: [198.51.100.11/24], gateway: 198.51.100.1}\n"
    "bridges:\n  vmbr0: {addresses: [10.10.10.1/24], ports: []}\nnat:\n  - {source: 10.10.10.0/24, out: enp1s0}\n"
)


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with a_room(tmp_path) as made:
        yield made


async def green(room: Room, spec: str = NOTHING) -> HostStatus:
    """A host that is as wanted."""
    await room.push(spec)
    for _ in range(3):
        await room.round()
    assert (room.status.sync, room.status.health, room.status.reachability) == ("Synced", "Healthy", "Reachable")
    return room.status


def not_green(status: HostStatus) -> bool:
    return (status.sync, status.reason, status.health) == ("Unknown", "ComparisonError", "Unknown")


class Said:
    """What was logged since `clear`."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("INFO")
        self._caplog = caplog

    def clear(self) -> None:
        self._caplog.clear()

    @property
    def records(self) -> list[logging.LogRecord]:
        return self._caplog.records


@pytest.fixture
def errors(caplog: pytest.LogCaptureFixture) -> Said:
    return Said(caplog)


async def test_an_unexpected_error_is_in_status_metrics_and_events_at_once(room: Room) -> None:
    await green(room)
    room.hosts.trouble = ZeroDivisionError("two lines\nof text \x1b[31m")
    assert await room.round() == 2
    assert not_green(room.status)
    assert room.status.reachability == "Unknown"
    assert "ZeroDivisionError at " in room.status.message
    assert "\n" not in room.status.message
    assert "\x1b" not in room.status.message
    assert [text.split(" (")[0] for text in room.events("round.failed")] == [
        "pve1: the round failed: passerelle hit an unexpected error"
    ]
    (state,) = room.numbers("passerelle_host_state")
    assert 'sync="Unknown"' in state
    assert not [n for n in room.numbers("passerelle_host_state") if "Synced" in n or "Healthy" in n]
    assert 'passerelle_failures_total{task="round"} 1.0' in room.numbers("passerelle_failures_total")


async def test_when_a_look_began_is_known_whatever_came_of_it(room: Room) -> None:
    """A client that waits for a look at an unreachable host, as before and with the same message, is informed that it
    ended.
    """
    assert room.rounds.tried == {}
    await green(room)
    for trouble in (Unreachable("no route"), Unreachable("no route"), ZeroDivisionError("x"), None):
        room.hosts.trouble = trouble
        room.clock.move(60)
        began_at = room.clock.now()
        await room.round()
        assert room.answers.tried() == {"pve1": began_at}
    room.watcher.wanted = replace(room.watcher.wanted, hosts={})
    await room.rounds.reconcile("pve1", room.watcher.wanted)
    assert room.answers.tried() == {}


async def test_it_recovers_by_itself(room: Room) -> None:
    await green(room)
    room.hosts.trouble = ZeroDivisionError("x")
    await room.round()
    room.hosts.trouble = None
    await room.round()
    assert (room.status.sync, room.status.health, room.status.message) == ("Synced", "Healthy", "")


async def test_the_same_failure_again_is_counted_and_not_logged_each_time(room: Room, errors: Said) -> None:
    await green(room)
    errors.clear()
    room.hosts.trouble = ZeroDivisionError("x")
    for _ in range(40):
        await room.round()
    (record,) = [one for one in errors.records if one.levelname == "ERROR"]
    assert record.exc_info
    assert len(room.events("round.failed")) == 1
    room.clock.move(3600)
    await room.round()
    assert "failed 41 times now" in errors.records[-1].getMessage()
    assert not errors.records[-1].exc_info
    room.hosts.trouble = LookupError("another")
    await room.round()
    assert errors.records[-1].exc_info
    assert len(room.events("round.failed")) == 2
    room.hosts.trouble = None
    await room.round()
    assert "works again after 1 failure" in errors.records[-1].getMessage()
    assert len(errors.records) == 4


async def test_a_spec_that_lint_accepts_and_a_writer_rejects_leaves_no_host_green(room: Room) -> None:
    await green(room)
    commit = await room.push(SERVERS.format('"192.0.2.53#53"'))
    if room.watcher.wanted.commit != commit:
        assert room.watcher.standing.state == "refused"  # lint knows better by now: that says it, too
        return
    await room.round()
    assert not_green(room.status)
    assert "192.0.2.53#53" in room.status.message
    assert f"pve1 was not compared with {commit[:10]}: " in room.unknown


async def test_no_plan_of_an_old_commit_stands_for_the_new_one(room: Room) -> None:
    await room.push(BRIDGE.replace("auto", "approve"))
    await room.round()
    plan = room.queries.current_plan("pve1")
    assert plan is not None
    assert room.unknown == ""
    commit = await room.push(NOTHING.replace("auto", "approve"))
    assert room.unknown.startswith(f"pve1 was not compared with {commit[:10]} yet")
    room.hosts.trouble = ZeroDivisionError("x")
    await room.round()
    assert room.unknown.startswith(f"pve1 was not compared with {commit[:10]}: passerelle hit")
    assert room.status.plan_id == ""
    with pytest.raises(InputError, match="was not compared with"):
        await room.control.apply("pve1", None, plan.digest, "ann")
    room.hosts.trouble = None
    await room.round()
    assert room.unknown == ""


async def test_what_git_wants_of_a_host_is_shown_whatever_came_of_its_rounds(room: Room) -> None:
    commits = []
    for spec in (BRIDGE, NOTHING):
        commits.append(await room.push(spec))
        view = await room.answers.desired("pve1")
        assert view is not None
        assert (view.commit, "vmbr0" in str(view.content)) == (commits[-1], spec == BRIDGE)
        await room.round()
        room.hosts.trouble = ZeroDivisionError("x")
    assert await room.answers.desired("pve1") == view


async def test_whoever_waits_for_an_apply_or_a_drill_is_told(room: Room) -> None:
    await room.push(BRIDGE.replace("auto", "approve"))
    await room.round()
    asked = await room.control.apply("pve1", None, None, "ann")
    drill = await room.control.drill("pve1", "ann")
    room.hosts.trouble = ZeroDivisionError("x")
    await room.round()
    apply, drilled = room.queries.apply(asked), room.queries.drill(drill)
    assert apply is not None
    assert (apply.phase, apply.cause) == ("Failed", "error")
    assert drilled is not None
    assert drilled.state == "Failed"
    assert "ZeroDivisionError" in drilled.error


async def test_a_drill_that_breaks_ends(room: Room) -> None:
    await green(room)  # these hosts have no drill at all: that is the error
    drill = await room.control.drill("pve1", "ann")
    await room.round()
    drilled = room.queries.drill(drill)
    assert drilled is not None
    assert (drilled.state, drilled.error.split(" (")[0]) == ("Failed", "passerelle hit an unexpected error")
    assert 'passerelle_failures_total{task="drill"} 1.0' in room.numbers("passerelle_failures_total")
    await room.round()
    assert room.status.sync == "Synced"


async def test_an_apply_that_breaks_in_the_middle_is_settled_from_the_hosts_journal(room: Room) -> None:
    def breaks() -> None:
        raise ZeroDivisionError

    await room.push(BRIDGE)
    room.hosts.begin = breaks
    await room.round()
    (apply_id,) = room.hosts.applied
    assert not_green(room.status)
    assert (room.status.phase, room.status.apply_id) == ("AwaitingConfirmation", apply_id)
    room.hosts.fenced = Fence(armed=apply_id)
    await room.round()
    assert (room.status.sync, room.status.health, room.status.phase) == (
        "Unknown", "Progressing", "AwaitingConfirmation",
    )  # fmt: skip
    room.hosts.fenced = Fence(journals={apply_id: Ended("confirmed")})
    await room.round()
    apply = room.queries.apply(apply_id)
    assert apply is not None
    assert apply.phase == "Succeeded"


async def test_a_status_that_the_database_does_not_take_is_shown_all_the_same(room: Room, errors: Said) -> None:
    before = await green(room)
    errors.clear()
    with closing(sqlite3.connect(room.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for _ in range(5):
            room.clock.move(TOGETHER_S)
            await room.round()
            assert not_green(room.status)
        assert "the database cannot be used now" in room.status.message
        assert room.queries.host("pve1") == before  # what the database has is green, and not shown
        (state,) = room.numbers("passerelle_host_state")
        assert 'sync="Unknown"' in state
        assert not [n for n in room.numbers("passerelle_host_state") if "Synced" in n]
        assert len(errors.records) == 2
    await room.round()
    assert room.answers.unrecorded() == {}
    assert replace(room.status, observed_at=None, changed_at=None) == replace(before, observed_at=None, changed_at=None)


async def test_an_unreachable_host_is_not_green_while_the_database_is_locked(
    room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    await green(room)
    drill = await room.control.drill("pve1", "ann")
    room.hosts.trouble = Unreachable("gone")
    with closing(sqlite3.connect(room.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        await room.round()
        assert not_green(room.status)
        assert room.status.message.startswith("gone; the database cannot be used now")
    room.hosts.trouble = None
    await room.round()
    drilled = room.queries.drill(drill)
    assert drilled is not None
    assert drilled.state == "Failed"  # waiting clients are informed as soon as it can be written
    assert room.status.sync == "Synced"
    assert "recording the status of pve1 works again after 1 failure" in caplog.text


async def test_a_host_with_another_key_is_not_tried_again_until_a_commit_or_a_person_asks(room: Room) -> None:
    await green(room)
    waiting = [await room.control.drill("pve1", "ann")]
    room.hosts.trouble = HostKeyChanged("pve1 shows another key")
    assert await room.round() is None
    assert (room.status.sync, room.status.reachability) == ("Unknown", "HostKeyChanged")
    assert [drill.state for drill in map(room.queries.drill, waiting) if drill] == [
        "Failed"
    ]  # the requester is informed
    room.hosts.trouble = None
    await room.control.reconcile("pve1", "ann")
    assert await room.round() is not None
    assert room.status.reachability == "Reachable"


async def test_a_database_that_cannot_be_read_loses_nothing_of_what_it_has(room: Room) -> None:
    before = await green(room)
    with closing(sqlite3.connect(room.path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        await room.round()
        held = room.answers.unrecorded()["pve1"]
        assert not_green(held)
    await room.round()
    assert room.status.applied_commit == before.applied_commit


async def test_a_look_at_the_source_that_breaks_is_said(room: Room, errors: Said) -> None:
    await green(room)
    errors.clear()
    said = room.troubles.failed("source", "", StoreError("the database cannot be used now: locked"))
    await room.watcher.failed(said)
    assert room.watcher.standing.state == "failed"
    assert "the database cannot be used now: locked" in room.watcher.standing.message
    assert (await room.answers.readiness()) == {}  # the last good revision is in force
    assert len(room.events("source.trouble")) == 1
    await room.watcher.look()
    assert (room.watcher.standing.state, room.watcher.standing.message) == ("followed", "")


def test_the_words_of_a_librarys_error_are_left_out_they_may_hold_what_it_was_given() -> None:
    class DatabaseTroubleError(Exception):
        pass

    assert "secret" not in sentence(DatabaseTroubleError("INSERT … ['secret']"))
    assert "ZeroDivisionError" in sentence(ZeroDivisionError("x"))
    assert len(sentence(ValueError("x" * 10000))) < 400


async def test_an_apply_that_fails_again_and_again_is_tried_less_and_less_often(room: Room) -> None:
    """Each round of it ends well but for its apply. That must not reset the waiting time."""
    await room.push(BRIDGE)
    room.hosts.ends = [Ended("conflict", "conflict", "somebody else was there")]
    waits_s = [await room.round() for _ in range(11)]
    assert waits_s == [30, 30, 30, 30, 32, 64, 128, 256, 300, 300, 300]
    assert len(room.hosts.applied) == 11
    room.hosts.ends = [Ended("confirmed")]
    assert await room.round() == 0
    assert await room.round() == 30
    room.hosts.ends = [Ended("conflict", "conflict", "somebody else was there")]
    await room.push(BRIDGE.replace("10.10.10.1/24", "10.10.11.1/24").replace("10.10.10.0/24", "10.10.11.0/24"))
    assert await room.round() == 30
