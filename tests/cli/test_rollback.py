"""`passerelle rollback`, against a real API on a socket of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.cli import run
from service.history import open_history
from tests.api.world import NOW, World
from tests.cli.reached import reached
from tests.documents import run_by
from tests.state_folders import made


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with open_history(made(tmp_path / "state" / "passerelle.sqlite")) as history:
        filled = World(history).fill()
        with reached(filled.app, filled.token()):
            yield filled


def test_the_pages_commands_go_back(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    back, patch = run_by("test_the_pages_commands_go_back")
    assert run([*back.words, "--no-wait"]) == 0
    said = capsys.readouterr().err
    assert "requested: " in said
    assert world.desk.asked[-1] == ("rollback", "pve1", "3f9c1d2", "names are slow since this morning", "tester")
    assert run(patch.words) == 0
    assert capsys.readouterr().out == "--- a/hosts/pve1.yaml 3f9c1d2\n"


def test_its_end_is_that_of_an_apply(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["rollback", "pve1", "--to", "3f9c1d2", "--reason", "it was better", "--timeout", "0"]) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "pve1: the apply continues (Pending)" in said
    waiting = world.history.queries.waiting_apply("pve1")
    assert waiting is not None
    assert waiting.trigger == "rollback"
    world.history.store.finish_apply(waiting.id, "Refused", at=NOW, cause="plan", error="it would remove packages")


def test_a_reason_is_needed(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["rollback", "pve1", "--to", "3f9c1d2"]) == 1
    assert "a rollback needs a reason" in capsys.readouterr().err
    assert run(["rollback", "pve1", "--to", "../x", "--reason", "because"]) == 1


def test_the_plan_that_was_seen_can_be_named(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["rollback", "pve1", "--to", "3f9c1d2", "--reason", "it was better", "--no-wait"]
    assert run([*words, "--digest", "0123"]) == 1
    assert "the digest is too short" in capsys.readouterr().err
    assert run([*words, "--digest", "0123456789ab"]) == 0
    assert world.desk.asked[-1][-1] == "sha256:0123456789ab"
