"""A real sshd, and behind it a host in a folder with the real host-side file."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hostside.scratch import Scratch
from tests.ssh.sshd import Sshd, real_sshd


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with real_sshd(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture
def scratch(tmp_path: Path) -> Scratch:
    """A host in a folder, in its old state."""
    return Scratch(tmp_path)
