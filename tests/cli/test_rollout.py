"""`passerelle rollout …`, against a real API on a socket of its own."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.cli import run
from service.history import open_history
from tests.api.world import World
from tests.cli.reached import reached
from tests.state_folders import made


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with open_history(made(tmp_path / "state" / "passerelle.sqlite")) as history:
        filled = World(history).fill()
        with reached(filled.app, filled.token()):
            yield filled


def test_a_rollout_is_shown_halted_resumed_and_aborted(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["rollout", "list"]) == 0
    assert "no rollout was recorded" in capsys.readouterr().err
    rollout_id = world.rollout_id()
    assert run(["rollout", "halt", rollout_id, "--reason", "lunch"]) == 0
    assert f"rollout {rollout_id} is halted: 0 of 2 hosts have it" in capsys.readouterr().err
    assert run(["rollout", "show", rollout_id]) == 1
    assert "lunch" in capsys.readouterr().out
    assert run(["rollout", "resume", rollout_id, "--reason", "back again"]) == 0
    assert run(["rollout", "show", rollout_id, "-o", "json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["state"], shown["by"], [one["host"] for one in shown["members"]]) == (
        "running",
        "tester",
        ["pve1", "pve2"],
    )
    assert run(["rollout", "abort", rollout_id, "--reason", "no more"]) == 0
    assert run(["rollout", "resume", rollout_id, "--reason", "changed my mind"]) == 1
    assert "the rollout is aborted" in capsys.readouterr().err
    assert run(["rollout", "list"]) == 0
    assert "aborted" in capsys.readouterr().out
    assert run(["rollout", "show", "0" * 26]) == 1
    assert "no rollout" in capsys.readouterr().err
