"""Commands about a host of which nothing is known say why and end with 4; never an empty table, never 0."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.cli import run
from service.errors import LeftGit, NeverSeen, NotKnown
from service.history import open_history
from service.model.runs import HostStatus
from tests.api.world import NOW, World
from tests.cli.reached import reached
from tests.state_folders import made

WHY = "pve1 was never seen: authentication failed since 11:57 UTC (3 min ago)"
FIX = "add the service's key on the host; `passerelle key` prints the line"
ABOUT_ONE = (
    ["plan", "pve1"], ["plan", "pve1", "--detailed-exitcode"], ["drift", "pve1"], ["drift", "pve1", "--patch"],
    ["guests", "pve1"], ["pools", "pve1"], ["fix", "pve1", "10.10.10.9"], ["apply", "pve1", "--yes"],
)  # fmt: skip


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with open_history(made(tmp_path / "state" / "passerelle.sqlite")) as history:
        filled = World(history).fill()
        with reached(filled.app, filled.token()):
            yield filled


@pytest.mark.parametrize("kind", [NeverSeen, NotKnown, LeftGit])
def test_a_command_says_why_nothing_is_known_and_ends_with_4(
    world: World, kind: type[NotKnown], capsys: pytest.CaptureFixture[str]
) -> None:
    world.desk.unknown["pve1"] = kind(WHY, hint=FIX)
    for words in ABOUT_ONE:
        assert run(words) == 4, words
        said = capsys.readouterr()
        assert said.out == "", words
        assert WHY in said.err, words
        assert FIX in said.err, words


def test_the_fleets_leases_name_the_hosts_that_were_never_seen(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["leases", "--name", "nobody"]) == 0
    assert capsys.readouterr().err == "no such lease\n"
    for host in ("pve3", "pve4"):
        world.history.store.set_host_status(HostStatus(host, reachability="AuthFailed"), at=NOW)
    for more in ([], ["--history"]):
        assert run(["leases", "--name", "nobody", *more]) == 4
        assert capsys.readouterr().err == (
            "passerelle: never seen, so nothing is known of them: pve3, pve4\n"
            "  Fix: `passerelle plan pve3` says why\nno such lease is known\n"
        )
    assert run(["leases"]) == 4
    assert "10.10.10.9" in capsys.readouterr().out
    for host in ("pve3", "pve4"):
        world.history.store.orphan_host(host, at=NOW)
    assert run(["leases"]) == 0


def test_the_fleets_drift_names_the_hosts_that_were_not_compared(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["drift"]) == 0
    assert capsys.readouterr().err == ""
    world.desk.unknown |= {"pve1": NotKnown(WHY), "pve2": NotKnown(WHY)}
    assert run(["drift"]) == 4
    said = capsys.readouterr()
    assert said.out == ""
    assert "not compared with what Git wants now: pve1, pve2" in said.err
    assert "nothing differs" not in said.err
    assert run(["drift", "-o", "json"]) == 4
    assert json.loads(capsys.readouterr().out) == []


def test_an_answer_from_before_the_host_went_away_is_shown_with_its_age_and_ends_with_4(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["plan", "pve1"], ["drift", "pve1"], ["guests", "pve1"], ["pools", "pve1"]):
        assert run(words) == 0, words
        capsys.readouterr()
    away = HostStatus("pve1", reachability="Unreachable", message="there is no route to it", observed_at=NOW)
    world.history.store.set_host_status(away, at=NOW)
    for words in (["plan", "pve1"], ["plan", "pve1", "--detailed-exitcode"], ["drift", "pve1"], ["pools", "pve1"]):
        assert run(words) == 4, words
        said = capsys.readouterr()
        assert said.out != "", words
        assert "pve1 was last seen" in said.err
        assert "there is no route to it" in said.err


def test_status_of_a_host_that_was_never_seen_ends_with_4(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.desk.held["pve3"] = HostStatus("pve3", message="not looked at yet")
    assert run(["status", "pve3"]) == 4
    assert "not looked at yet" in capsys.readouterr().out
    assert run(["status", "pve1"]) == 0


def test_how_much_differs_is_unknown_where_nothing_was_compared(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.desk.unknown["pve1"] = NotKnown(WHY)
    run(["status", "pve1", "-o", "json"])
    assert json.loads(capsys.readouterr().out)["drift_items"] is None
    run(["status", "pve1"])
    assert ["drift_items", "unknown"] in [line.split() for line in capsys.readouterr().out.splitlines()]
    assert run(["status"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert ("unknown" in rows[1], "unknown" in rows[2]) == (True, False)


def test_before_the_repository_was_read_nothing_is_said_to_differ_or_not(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.desk.unread_why = NotKnown("the repository was not read yet, so no host was compared: it is empty")
    for words in (["drift"], ["drift", "-o", "json"]):
        assert run(words) == 4, words
        said = capsys.readouterr()
        assert said.out == ""
        assert "the repository was not read yet" in said.err


def test_a_host_that_answers_and_cannot_be_read_is_not_fine(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    odd = HostStatus("pve1", sync="Unknown", reason="ComparisonError", reachability="Reachable",
                     message="its answer takes too much memory", observed_at=NOW)  # fmt: skip
    world.history.store.set_host_status(odd, at=NOW)
    for words in (["plan", "pve1", "--detailed-exitcode"], ["drift", "pve1"], ["leases", "--host", "pve1"]):
        assert run(words) == 4, words
        assert "its answer takes too much memory" in capsys.readouterr().err
    world.desk.held["pve3"] = HostStatus("pve3", reachability="Reachable", message="too much")
    assert run(["status", "pve3"]) == 4


def test_leases_of_a_host_that_is_away_are_shown_with_their_age(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["leases", "--host", "pve1"]) == 0
    away = HostStatus("pve1", reachability="Unreachable", message="there is no route to it", observed_at=NOW)
    world.history.store.set_host_status(away, at=NOW)
    capsys.readouterr()
    assert run(["leases", "--host", "pve1"]) == 4
    said = capsys.readouterr()
    assert "10.10.10.9" in said.out
    assert "pve1 was last seen" in said.err
    assert run(["leases", "--host", "pve1", "--history"]) == 0


def test_an_id_that_nothing_has_is_said_to_be_none(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["history", "01ARZ3NDEKTSV4RRFFQ69G5FAV"]) == 1
    assert "no apply and no drill has the id 01ARZ3NDEKTSV4RRFFQ69G5FAV" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["plan", "PVE1"], ["history", "PVE1"], ["leases", "--host", "pve_1"]])
def test_what_is_no_hosts_name_is_said_in_words(
    world: World, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words) == 1
    said = capsys.readouterr().err
    assert "host: a host's name has a-z, 0-9 and inner hyphens" in said
    assert "[a-z0-9]" not in said
