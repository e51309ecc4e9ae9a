"""What the tests of the host-side file share."""

from pathlib import Path

import pytest

from tests.hostside.scratch import Scratch


@pytest.fixture
def scratch(tmp_path: Path) -> Scratch:
    """A host in a folder, in its old state."""
    return Scratch(tmp_path)
