"""A clone of a repository with two hosts, and the hosts as they are played."""

from pathlib import Path

import pytest

from tests.migrate.played import FLEET, PVE1, PVE2, Played, new_clone


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Played:
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "Ada")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "ada@example.org")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    files = {"fleet.yaml": FLEET, "hosts/pve1.yaml": PVE1, "hosts/pve2.yaml": PVE2}
    return Played(new_clone(tmp_path, files))
