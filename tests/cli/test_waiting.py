"""`passerelle wait`, against the real API on a socket of its own."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from service.cli import run, waiting
from service.lab.waiting import wait_for
from service.model.listings import RevisionListing
from service.model.runs import Page, Revision
from service.model.trees import Commit
from tests.api.world import COMMIT, NOW, World
from tests.cli.reached import living
from tests.documents import run_by

LATER = "d" * 40


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with living(tmp_path) as world:
        yield world


def becomes(world: World, host: str, **values: Any) -> None:
    status = world.history.queries.host(host)
    assert status is not None
    world.history.store.set_host_status(replace(status, **values), at=NOW + timedelta(seconds=1))


@contextmanager
def later(begun: Callable[[], bool], then: Callable[[], None]) -> Iterator[None]:
    """Something that happens once the command waits."""

    def happen() -> None:
        wait_for(begun, "the command waits", 30)
        then()

    thread = threading.Thread(target=happen)
    thread.start()
    yield
    thread.join(30)


def test_it_ends_when_the_host_is_as_wanted(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    with later(lambda: world.parts.awaited._number > 0, lambda: becomes(world, "pve1", sync="Synced", reason="")):
        assert run(["wait", "pve1", "--timeout", "30", "-o", "json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["sync"] == "Synced"
    assert said.err.splitlines() == ["  0 of 1 host: Synced", "  1 of 1 host: Synced"]


def test_all_hosts_are_waited_for_by_the_stream(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    def both() -> None:
        for host in ("pve1", "pve2"):
            becomes(world, host, sync="Synced", health="Healthy", reason="")

    words = ["wait", "--all", "--for", "Synced", "--for", "Healthy", "--timeout", "30", "-o", "json"]
    with later(lambda: world.parts.live.is_followed, both):
        assert run(words) == 0
    said = capsys.readouterr()
    assert [one["host"] for one in json.loads(said.out)] == ["pve1", "pve2"]
    lines = said.err.splitlines()
    assert (lines[0], lines[-1]) == ("  0 of 2 hosts: Synced and Healthy", "  2 of 2 hosts: Synced and Healthy")


def test_the_time_is_over(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["wait", "pve1", "--timeout", "0.1"]) == 1
    assert "pve1 is OutOfSync, Unknown, Reachable, Idle: Drifted" in capsys.readouterr().err
    becomes(world, "pve2", reachability="Unreachable", message="no route")
    assert run(["wait", "--all", "--timeout", "0.1"]) == 4
    assert "pve2 is OutOfSync, Unknown, Unreachable, Idle: no route" in capsys.readouterr().err
    assert run(["wait", "--all", "--for", "OutOfSync", "--timeout", "0"]) == 0


def test_a_revision_is_reached_by_itself_or_by_a_later_one(world: World) -> None:
    becomes(world, "pve1", sync="Synced", reason="", observed_commit=COMMIT)
    assert run(["wait", "pve1", "--revision", COMMIT[:7], "--timeout", "5"]) == 0
    assert run(["wait", "pve1", "--revision", LATER, "--timeout", "0.1"]) == 1
    second = Commit(LATER, "Ann", "ann@example.org", NOW, "second")
    world.history.store.record_revision(second, at=NOW + timedelta(seconds=1))
    assert run(["wait", "pve1", "--revision", LATER, "--timeout", "0.1"]) == 1
    becomes(world, "pve1", observed_commit=LATER)
    assert run(["wait", "pve1", "--revision", COMMIT, "--timeout", "5"]) == 0
    assert run(["wait", "pve1", "--revision", LATER, "--timeout", "5"]) == 0


@pytest.fixture
def reads(world: World, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many revisions were requested, each time a page of them was read."""
    revisions, asked_for = world.history.queries.revisions, list[int]()

    def counted(asked: RevisionListing) -> Page[Revision]:
        asked_for.append(asked.limit)
        return revisions(asked)

    monkeypatch.setattr(world.history.queries, "revisions", counted)
    return asked_for


def test_revisions_are_read_once_for_all_hosts_while_the_one_is_not_known(world: World, reads: list[int]) -> None:
    for host in ("pve1", "pve2"):
        becomes(world, host, observed_commit=COMMIT)
    words = ["wait", "--all", "--revision", LATER, "--timeout", "30"]

    def pushes() -> None:
        becomes(world, "pve1", message="another word")
        world.history.store.record_revision(Commit(LATER, "Ann", "a@example.org", NOW, "s"), at=NOW + timedelta(days=1))
        for host in ("pve1", "pve2"):
            becomes(world, host, sync="Synced", reason="", observed_commit=LATER)

    assert run([*words[:-1], "0"]) == 1
    assert len(reads) == 1
    with later(lambda: world.parts.live.is_followed, pushes):
        assert run(words) == 0


@pytest.mark.parametrize("digits", [7, 40])
def test_a_revision_older_than_the_newest_thousand_is_found(
    world: World, reads: list[int], monkeypatch: pytest.MonkeyPatch, digits: int
) -> None:
    monkeypatch.setattr(waiting, "NEWEST", 2)
    for number in range(4):
        commit = Commit(f"{number}" * 40, "Ann", "a@example.org", NOW, "s")
        world.history.store.record_revision(commit, at=NOW + timedelta(seconds=number + 1))
    becomes(world, "pve1", sync="Synced", reason="", observed_commit="1" * 40)
    assert run(["wait", "pve1", "--revision", COMMIT[:digits], "--timeout", "0"]) == 0
    assert len(reads) == 2
    assert run(["wait", "pve1", "--revision", ("2" * 40)[:digits], "--timeout", "0"]) == 1


def test_all_of_no_host_is_not_reached(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    for host in ("pve1", "pve2"):
        becomes(world, host, reason="Orphaned")
    assert run(["wait", "--all", "--timeout", "0"]) == 1
    assert "no host is in Git" in capsys.readouterr().err


def test_a_revision_that_was_rolled_back_is_not_waited_for(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    becomes(world, "pve1", reason="RolledBackLatched", phase="RolledBack", observed_commit=COMMIT, message="undone")
    assert run(["wait", "pve1", "--revision", COMMIT, "--timeout", "600"]) == 3
    assert "undone" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [[], ["pve1", "--all"], ["pve1", "--revision", "main"], ["pve1", "--for", "Fine"]], ids=str
)
def test_what_cannot_be_meant_is_wrong_usage(world: World, words: list[str]) -> None:
    assert run(["wait", *words]) == 64


def test_a_host_that_does_not_exist_is_not_waited_for(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["wait", "nope"]) == 1
    assert "no host nope" in capsys.readouterr().err


def test_the_pages_command_waits_for_a_revision(world: World) -> None:
    (command,) = run_by("test_the_pages_command_waits_for_a_revision")
    pushed = Commit("3f9c1d2" + "0" * 33, "Ann", "ann@example.org", NOW, "second")

    def pushes() -> None:
        world.history.store.record_revision(pushed, at=NOW + timedelta(seconds=1))
        for host in ("pve1", "pve2"):
            becomes(world, host, sync="Synced", reason="", observed_commit=pushed.hash)

    with later(lambda: world.parts.live.is_followed, pushes):
        assert run(command.words) == 0
