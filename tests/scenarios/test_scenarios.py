"""Every text file of this folder is a scenario: the loop has to do, and to show, what it says. See README.md."""

from pathlib import Path

import pytest

from tests.scenarios.play import FOLDER, Otherwise, play
from tests.scenarios.script import Unreadable
from tests.state_folders import Patterns, in_both_kinds

NAMES = sorted(path.name for path in FOLDER.glob("*.txt"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    in_both_kinds(metafunc)


@pytest.mark.parametrize("name", NAMES)
async def test_it_goes_as_the_scenario_says(name: str, database: str, patterns: Patterns, tmp_path: Path) -> None:
    with patterns.database(database) as url:
        await play(FOLDER / name, tmp_path, url)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("comit auto\n", "one.txt:1: unknown word 'comit'"),
        ("# a\n\ncommit now\n", "one.txt:3: say how the host is kept in sync"),
        ("wait long\n", "one.txt:1: how long?"),
        ("commit auto\nsee statue sync=Synced\n", "one.txt:2: unknown thing to see 'statue'"),
        ("commit auto\nsee status sink=Synced\n", "one.txt:2: 'sink=Synced' names no field"),
        ("fault fire\n", "one.txt:1: unknown fault 'fire'"),
        ("host paint it\n", "one.txt:1: what becomes of the host?"),
        ("    bridges: {}\n", "one.txt:1: an indented line"),
    ],
)
async def test_what_cannot_be_understood_is_said_with_file_and_line(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text(text)
    with pytest.raises(Unreadable) as told:
        await play(tmp_path / "one.txt", tmp_path)
    assert str(told.value).startswith(said)


async def test_a_scenario_that_goes_otherwise_fails(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("commit auto\nwait 1m\nsee status sync=OutOfSync\n")
    with pytest.raises(Otherwise, match=r"one.txt:3: .*sync is 'Synced'"):
        await play(tmp_path / "one.txt", tmp_path)
