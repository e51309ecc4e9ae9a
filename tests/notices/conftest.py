from collections.abc import Iterator
from pathlib import Path

import pytest

from service.history import History
from tests.state_folders import Patterns, in_both_kinds


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    in_both_kinds(metafunc)


@pytest.fixture
def history(database: str, patterns: Patterns, tmp_path: Path) -> Iterator[History]:
    with patterns.opened(database, tmp_path / "state") as opened:
        yield opened
