from collections.abc import Iterator
from pathlib import Path

import pytest

from service.history import History, open_history
from tests.api.world import World


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    with open_history(tmp_path / "state" / "passerelle.sqlite", serve=True) as opened:
        yield opened


@pytest.fixture
def world(history: History) -> World:
    return World(history).fill()
