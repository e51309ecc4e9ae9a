"""Commands that ask the service, against its real API on a socket of its own."""

from collections.abc import Iterator

import pytest

from service.cli import run
from service.history import open_history
from tests.api.world import World
from tests.cli.reached import reached
from tests.state_folders import made


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A service without its loop that the commands reach; two hosts, of which nobody may change anything."""
    with open_history(made(tmp_path_factory.mktemp("asking") / "passerelle.sqlite")) as history:
        filled = World(history).fill()
        with reached(filled.app, filled.token()):
            yield filled


@pytest.mark.parametrize(
    "words",
    [
        ["status", "nope"],
        ["history", "nope"],
        ["leases", "--host", "nope"],
        ["leases", "--host", "nope", "--history"],
        ["plan", "nope"],
        ["apply", "nope", "--yes"],
        ["drift", "nope"],
    ],
    ids=" ".join,
)
def test_a_host_that_nobody_knows_is_said_to_be_none(
    words: list[str], world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("passerelle: no host nope\n  Fix: choose one of `passerelle status`")


def test_a_host_of_which_nothing_is_known_yet_is_no_error(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["history", "pve1"]) == 0
    assert run(["leases", "--host", "pve1", "--name", "nobody"]) == 0
    assert [*capsys.readouterr()] == ["", "nothing was applied yet\nno such lease\n"]
    assert run(["leases", "--host", "pve2"]) == 0
    assert "10.10.10.9" in capsys.readouterr().out
