"""A source repository and a mirror of it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from forge import Forge

from service.git.mirror import Mirror
from service.git.source import parse_source


@pytest.fixture
def forge(tmp_path: Path) -> Forge:
    return Forge(tmp_path / "forge" / "fleet.git")


@pytest.fixture
def new_forge(tmp_path: Path) -> Callable[[str], Forge]:
    return lambda name: Forge(tmp_path / "forge" / name)


@pytest.fixture
def room(tmp_path: Path) -> Path:
    return tmp_path / "room"


@pytest.fixture
def mirror(forge: Forge, room: Path) -> Mirror:
    return Mirror(room, parse_source(str(forge.path), "main"))
