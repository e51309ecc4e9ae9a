"""Faults put into the service on purpose: each patch of tests/mutants names the scenario that has to notice it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from service.lab.waiting import grown_s
from tests.scenarios.play import FOLDER

TREE = FOLDER.parents[1]
MUTANTS = sorted((TREE / "tests" / "mutants").glob("*.patch"))


def copied(folder: Path) -> Path:
    """The tree again: `service` to be changed, all else as it is."""
    shutil.copytree(TREE / "service", folder / "service")
    for name in ("tests", "migrations", "pyproject.toml"):
        (folder / name).symlink_to(TREE / name)
    return folder


def git_apply(tree: Path, patch: Path) -> str:
    """What git says where the patch does not apply, empty where it was applied."""
    limits = os.environ | {"GIT_CEILING_DIRECTORIES": str(tree.parent)}
    done = subprocess.run(
        ["git", "apply", str(patch)], cwd=tree, env=limits, capture_output=True, text=True, timeout=60
    )
    return "" if done.returncode == 0 else done.stderr or "no reason was told"


def played(tree: Path, scenario: str) -> subprocess.CompletedProcess[str]:
    """The scenario, played with the service of a tree."""
    command = [sys.executable, "-P", "-m", "tests.scenarios.play", scenario]
    clean = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=tree, env=clean, capture_output=True, text=True, timeout=grown_s(60))


def scenario_of(patch: Path) -> str:
    """The scenario that a patch names in its first line."""
    found = re.match(r"scenario: (\S+\.txt)\n", patch.read_text())
    assert found and (FOLDER / found[1]).exists(), f"{patch.name}: its first line is no `scenario: NAME.txt`"
    return found[1]


@pytest.mark.parametrize("patch", MUTANTS, ids=lambda patch: patch.stem)
def test_a_fault_put_in_on_purpose_is_noticed(patch: Path, tmp_path: Path) -> None:
    tree = copied(tmp_path)
    said = git_apply(tree, patch)
    assert not said, (
        f"{patch.name} does not apply any more: {said}. Fix: make the same change in the code as it is now, "
        f"`git diff -U2 service`, put it into tests/mutants/{patch.name} below its first line, and undo the change"
    )
    played_now = played(tree, scenario_of(patch))
    assert played_now.returncode == 1, f"{patch.stem} was not noticed: {played_now.stderr[-2000:]}"
    assert re.search(rf"^{re.escape(scenario_of(patch))}:\d+: ", played_now.stdout, re.MULTILINE), played_now.stderr


def test_the_copy_without_a_fault_plays_well(tmp_path: Path) -> None:
    done = played(copied(tmp_path), "a-push-is-applied.txt")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_a_patch_that_does_not_apply_is_told(tmp_path: Path) -> None:
    patch = tmp_path / "old.patch"
    patch.write_text("scenario: x.txt\n\n--- a/service/errors.py\n+++ b/service/errors.py\n@@ -1 +1 @@\n-no\n+yes\n")
    (tmp_path / "tree" / "service").mkdir(parents=True)
    shutil.copy(TREE / "service" / "errors.py", tmp_path / "tree" / "service")
    assert "patch does not apply" in git_apply(tmp_path / "tree", patch)
