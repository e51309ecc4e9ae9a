from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from service.history import History, open_history
from tests.state_folders import NAME, made, opened_copy


@pytest.fixture
def now() -> datetime:
    return datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / NAME


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state folder of a service that saw nothing yet."""
    folder = tmp_path_factory.mktemp("history") / "empty"
    open_history(made(folder / NAME)).close()
    return folder


@pytest.fixture
def history(empty: Path, path: Path) -> Iterator[History]:
    with opened_copy(empty, path.parent) as opened:
        yield opened
