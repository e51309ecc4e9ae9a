"""`host forget` and `source accept`, against a real API on a socket of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.cli import run
from service.history import open_history
from service.model.sources import SourceStanding
from tests.api.world import COMMIT, NOW, World
from tests.cli.reached import reached
from tests.state_folders import made


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with open_history(made(tmp_path / "state" / "passerelle.sqlite")) as history:
        filled = World(history).fill()
        with reached(filled.app, filled.token()):
            yield filled


def test_a_host_that_left_git_is_forgotten(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["host", "forget", "pve1"]) == 1
    assert "pve1 is still in Git" in capsys.readouterr().err
    world.history.store.orphan_host("pve1", at=NOW)
    assert run(["host", "forget", "pve1", "--reason", "scrapped"]) == 0
    assert world.history.queries.host("pve1") is None
    assert run(["host", "forget", "pve1"]) == 1
    assert "no host pve1" in capsys.readouterr().err


def test_a_command_with_a_name_of_before_names_the_present_one(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.history.store.rename_host("pve1", "pve9", at=NOW)
    for words in (["status"], ["plan"], ["drift"], ["history"], ["look"], ["leases", "--host"], ["host", "forget"]):
        assert run([*words, "pve1"]) == 1, words
        said = "passerelle: pve1 is now called pve9\n  Fix: write pve9 instead of pve1\n"
        assert capsys.readouterr().err == said, words


def test_status_says_how_a_rewritten_history_is_accepted(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    why = "history was rewritten. Fix: accept it with `passerelle source accept bbbbbbbbbb --reason TEXT`"
    world.desk.standing = SourceStanding("rewound", why, COMMIT, NOW, NOW)
    assert run(["status"]) == 0
    said = capsys.readouterr().err
    assert why in said
    assert "passerelle lint" not in said
    assert run(["source", "accept", "bbbbbbbbbb", "--reason", "squashed"]) == 0
    assert world.desk.asked == [("accept", "bbbbbbbbbb", "squashed", "tester")]
    assert run(["source", "accept", "bbbbbbbbbb"]) == 64
    assert run(["source", "accept", "aaaaaaaaaa", "--reason", "squashed"]) == 1
    assert "the branch is at bbb" in capsys.readouterr().err
