from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.conftest import filled
from tests.api.world import World
from tests.state_folders import Patterns
from tests.web.visitor import Visitor


@pytest.fixture
def world(patterns: Patterns, tmp_path: Path) -> Iterator[World]:
    with patterns.opened("sqlite", tmp_path / "state", filled) as opened:
        yield World(opened)


@pytest.fixture
def visitor(world: World) -> Visitor:
    """An admin who looks at a service with a bit of everything."""
    return Visitor(world)


@pytest.fixture
def empty(patterns: Patterns, tmp_path: Path) -> Iterator[World]:
    """A service without a host."""
    with patterns.opened("sqlite", tmp_path / "empty") as opened:
        yield World(opened)
