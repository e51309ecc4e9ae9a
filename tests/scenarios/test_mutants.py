"""Faults put into the service on purpose: each patch of tests/mutants names the scenario that has to notice it."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.play import FOLDER

TREE = FOLDER.parents[1]
MUTANTS = sorted((TREE / "tests" / "mutants").glob("*.patch"))


class Player:
    """A process that has imported the service, and plays scenarios on it with some files exchanged."""

    def __init__(self) -> None:
        clean = {"PATH": os.environ["PATH"], "PYTHONPATH": str(TREE), "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-P", "-m", "tests.scenarios.mutants"]
        self._process = subprocess.Popen(
            command, cwd=TREE, env=clean, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def played(self, files: Mapping[str, Path], scenario: str) -> tuple[int, str]:
        """The status, and what was reported."""
        assert self._process.stdin and self._process.stdout
        asked = {"files": {file: str(path) for file, path in files.items()}, "scenario": scenario}
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        told: dict[str, Any] = json.loads(self._process.stdout.readline())
        return told["status"], told["said"]

    def close(self) -> None:
        self._process.communicate(timeout=60)


@pytest.fixture(scope="module")
def player() -> Iterator[Player]:
    playing = Player()
    yield playing
    playing.close()


def patched(patch: Path, folder: Path) -> dict[str, Path]:
    """The files that a patch changes, changed, in a folder. AssertionError where it does not apply."""
    files = re.findall(r"^\+\+\+ b/(\S+)$", patch.read_text(), re.MULTILINE)
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(TREE / file, folder / file)
    limits = os.environ | {"GIT_CEILING_DIRECTORIES": str(folder.parent)}
    done = subprocess.run(
        ["git", "apply", str(patch)], cwd=folder, env=limits, capture_output=True, text=True, timeout=60
    )
    assert files and done.returncode == 0, (
        f"{patch.name} does not apply any more: {done.stderr}. Fix: make the same change in the code as it is now, "
        f"`git diff -U2 service`, put it into tests/mutants/{patch.name} below its first line, and undo the change"
    )
    return {file: folder / file for file in files}


def scenario_of(patch: Path) -> str:
    """The scenario that a patch names in its first line."""
    found = re.match(r"scenario: (\S+\.txt)\n", patch.read_text())
    assert found and (FOLDER / found[1]).exists(), f"{patch.name}: its first line is not a `scenario: NAME.txt`"
    return found[1]


@pytest.mark.parametrize("patch", MUTANTS, ids=lambda patch: patch.stem)
def test_a_fault_put_in_on_purpose_is_noticed(patch: Path, player: Player, tmp_path: Path) -> None:
    status, said = player.played(patched(patch, tmp_path), scenario_of(patch))
    assert status == 1, f"{patch.stem} was not noticed: {said[-2000:]}"
    assert re.search(rf"^{re.escape(scenario_of(patch))}:\d+: ", said, re.MULTILINE), said


@pytest.mark.parametrize("file", ["service/reconcile/round.py", "service/apply/transaction.py", "service/errors.py"])
def test_a_file_exchanged_for_its_like_changes_nothing(file: str, player: Player) -> None:
    assert player.played({file: TREE / file}, "a-push-is-applied.txt")[0] == 0


def test_what_cannot_be_imported_is_no_fault_that_was_noticed(player: Player, tmp_path: Path) -> None:
    (tmp_path / "round.py").write_text("no python\n")
    status, said = player.played({"service/reconcile/round.py": tmp_path / "round.py"}, "a-push-is-applied.txt")
    assert status == 70
    assert "SyntaxError" in said


def test_a_patch_that_does_not_apply_is_told(tmp_path: Path) -> None:
    patch = tmp_path / "old.patch"
    patch.write_text("scenario: x.txt\n\n--- a/service/errors.py\n+++ b/service/errors.py\n@@ -1 +1 @@\n-no\n+yes\n")
    with pytest.raises(AssertionError, match="patch does not apply"):
        patched(patch, tmp_path / "tree")
