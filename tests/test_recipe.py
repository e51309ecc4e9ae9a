"""The recipe for a new kind in deploy/docs/code.md, followed literally: the laws run over a tree with its files."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documents import TOP

BLOCK = re.compile(r"^```(?:python|toml|yaml)\n# (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MOST_FILES = 4


def recipe() -> dict[str, str]:
    """{path: text} of the files in the recipe. A text with a line that begins with `+` is an edit."""
    page = (TOP / "deploy/docs/code.md").read_text()
    part = page[page.index("## A new kind") : page.index("## Where a test goes")]
    return dict(BLOCK.findall(part))


def edited(old: str, edit: str) -> str:
    """A file with an edit: each `+` line goes below the line above it, the first ones before the first known line."""
    known = ""
    for line in edit.splitlines():
        if not line.startswith("+"):
            known = line[1:] + "\n"
            assert old.count(known) == 1, f"the recipe names a line that is not there once: {known}"
        elif known:
            old = old.replace(known, known + line[1:] + "\n")
        else:
            first = next(one[1:] for one in edit.splitlines() if not one.startswith("+")) + "\n"
            old = old.replace(first, line[1:] + "\n" + first)
    return old


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the tree with the recipe's files."""
    caches = shutil.ignore_patterns(".*_cache")  # what is compiled is kept: most files stay as they are
    for name in ("service", "tests", "migrations"):
        shutil.copytree(TOP / name, tmp_path / name, symlinks=True, ignore=caches)
    shutil.copy(TOP / "pyproject.toml", tmp_path)
    for path, text in recipe().items():
        file = tmp_path / path
        file.write_text(edited(file.read_text(), text) if re.search(r"^\+", text, re.MULTILINE) else text)
    return tmp_path


def test_a_kind_on_known_resources_takes_four_files_and_obeys_the_laws(tree: Path) -> None:
    assert "service/kinds/sysctls.py" in recipe()
    assert len(recipe()) <= MOST_FILES
    options = ["-p", "no:randomly", "-p", "no:xdist", "-m", "not long", "-k", "sysctls or seed"]
    tests = ["tests/test_laws.py", "tests/kinds/test_kind_findings.py"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *tests], cwd=tree, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    ran = re.search(r"(\d+) passed", done.stdout)
    assert ran is not None and int(ran[1]) >= 16, done.stdout
