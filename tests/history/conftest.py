from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from service.history import History
from tests import explained
from tests.state_folders import NAME, Patterns, in_both_kinds


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    in_both_kinds(metafunc)


@pytest.fixture
def now() -> datetime:
    return datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / NAME


@pytest.fixture
def history(database: str, patterns: Patterns, tmp_path: Path) -> Iterator[History]:
    with patterns.opened(database, tmp_path / "state") as opened:
        yield opened


@pytest.fixture(autouse=True)
def no_scans() -> Iterator[None]:
    """No statement that the service sends in a test looks through a table that grows."""
    explained.watch()
    yield
    explained.rest()
    assert explained.found() == []
