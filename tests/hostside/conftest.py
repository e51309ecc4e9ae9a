"""What the tests of the host-side file share."""

from pathlib import Path

import pytest

from tests.hostside.quick_file import quick_file
from tests.hostside.scratch import Answer, Scratch


@pytest.fixture(scope="session")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The host-side file, quick to start and with little patience."""
    return quick_file(tmp_path_factory.mktemp("quick"))


@pytest.fixture
def scratch(tmp_path: Path, quick: Path) -> Scratch:
    """A host in a folder, in its old state."""
    return Scratch(tmp_path / "host", quick)


@pytest.fixture(scope="session")
def once_applied(tmp_path_factory: pytest.TempPathFactory, quick: Path) -> tuple[Scratch, Answer]:
    """A host on which a transaction that touches every type of fact waits for its confirmation; its old state."""
    host = Scratch(tmp_path_factory.mktemp("applied"), quick)
    before = host.state()
    assert host.begin(host.document(timeout_s=3600))["state"] == "applied"
    return host, before


@pytest.fixture
def applied(once_applied: tuple[Scratch, Answer], tmp_path: Path) -> Scratch:
    """A copy of it for this test alone."""
    return once_applied[0].copy(tmp_path / "host")


@pytest.fixture
def before(once_applied: tuple[Scratch, Answer]) -> Answer:
    """The state that `applied` had before its transaction."""
    return once_applied[1]
