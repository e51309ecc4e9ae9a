from collections.abc import Iterator
from pathlib import Path

import pytest

from service.history import History, open_history
from tests.api.world import World
from tests.state_folders import NAME, made, opened_copy


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state folder of a service that saw nothing yet."""
    folder = tmp_path_factory.mktemp("api") / "empty"
    open_history(made(folder / NAME)).close()
    return folder


@pytest.fixture(scope="session")
def filled(empty: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state folder of a service with a bit of everything."""
    folder = tmp_path_factory.mktemp("api") / "filled"
    with opened_copy(empty, folder) as history:
        World(history).fill()
    return folder


@pytest.fixture
def history(empty: Path, tmp_path: Path) -> Iterator[History]:
    with opened_copy(empty, tmp_path / "state") as opened:
        yield opened


@pytest.fixture
def world(filled: Path, tmp_path: Path) -> Iterator[World]:
    with opened_copy(filled, tmp_path / "state") as opened:
        yield World(opened)


@pytest.fixture(scope="session")
def one_world(filled: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """For requests that are refused: nobody who uses it may change anything."""
    with opened_copy(filled, tmp_path_factory.mktemp("api") / "one") as opened:
        yield World(opened)
