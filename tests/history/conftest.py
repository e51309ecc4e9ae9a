from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from service.history import History, open_history


@pytest.fixture
def now() -> datetime:
    return datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "passerelle.sqlite"


@pytest.fixture
def history(path: Path) -> Iterator[History]:
    with open_history(path, serve=True) as opened:
        yield opened
