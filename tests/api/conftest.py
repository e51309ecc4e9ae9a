from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from service.history import History
from tests.api.world import World
from tests.state_folders import Patterns, in_both_kinds


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    in_both_kinds(metafunc, but=frozenset())


def filled(history: History) -> None:
    """A service with a bit of everything."""
    World(history).fill()


@pytest.fixture
def history(database: str, patterns: Patterns, tmp_path: Path) -> Iterator[History]:
    with patterns.opened(database, tmp_path / "state") as opened:
        yield opened


@pytest.fixture
def world(database: str, patterns: Patterns, tmp_path: Path) -> Iterator[World]:
    with patterns.opened(database, tmp_path / "state", filled) as opened:
        yield World(opened)


@pytest.fixture(scope="session")
def shared_worlds() -> Iterator[tuple[ExitStack, dict[str, World]]]:
    with ExitStack() as opened:
        yield opened, {}


@pytest.fixture
def one_world(
    database: str,
    patterns: Patterns,
    shared_worlds: tuple[ExitStack, dict[str, World]],
    tmp_path_factory: pytest.TempPathFactory,
) -> World:
    """For requests that are refused: nobody who uses it may change anything."""
    opened, worlds = shared_worlds
    if database not in worlds:
        folder = tmp_path_factory.mktemp("one") / "state"
        worlds[database] = World(opened.enter_context(patterns.opened(database, folder, filled)))
    return worlds[database]
