"""tests/run gives a failed test one more chance, alone: what it then says and how it ends."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.once_more import ALLOWED, MANY

ROOT = Path(__file__).parents[1]
ONCE = """
def test_once_{n}(tmp_path):
    from pathlib import Path
    been = Path(__file__).with_suffix(".{n}")
    if not been.exists():
        been.touch()
        raise AssertionError("only the first time")
"""
ALWAYS = """
def test_always_{n}():
    raise AssertionError("each time")
"""
GOOD = """
def test_good():
    pass
"""
UNCLEAN = """
import pytest
from pathlib import Path

@pytest.fixture
def unclean():
    yield
    been = Path(__file__).with_suffix(".left")
    if not been.exists():
        been.touch()
        raise OSError("left behind")

def test_unclean(unclean):
    pass
"""


SHARED = """
import pytest
from pathlib import Path

@pytest.fixture(scope="module")
def shared():
    been = Path(__file__).with_suffix(".been")
    if not been.exists() or {always}:
        been.touch()
        raise OSError("no host")

@pytest.mark.parametrize("number", range(12))
def test_shared(shared, number):
    pass
"""


FEW = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": "pytest_randomly"}
"""With all plugins a start of pytest is five times as slow; with workers all have to be there."""


def python(folder: Path, plugins: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment = {**kept, **plugins, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def stage(folder: Path, text: str, *arguments: str) -> tuple[int, str]:
    """A stage of tests/run over one file, and what is reported of it at the end: the status and the words."""
    (folder / "test_it.py").write_text(text)
    (folder / "pytest.ini").write_text("[pytest]\n")  # or those of a folder above would count
    kept = folder / "failed.jsonl"
    kept.touch()
    plugins = {} if arguments else FEW
    python(folder, plugins, "pytest", "-p", "tests.failed", f"--failed-into={kept}", *arguments)
    judged = python(folder, FEW, "tests.once_more", str(kept))
    return judged.returncode, judged.stdout


def test_what_passes_alone_is_flaky_by_name_with_its_first_words(tmp_path: Path) -> None:
    status, said = stage(tmp_path, ONCE.format(n=0) + GOOD, "-n", "2")
    assert status == 0
    assert "FLAKY test_it.py::test_once_0\n" in said
    assert "only the first time" in said
    assert "test_good" not in said


def test_a_fixture_that_could_not_end_is_a_failure_of_its_test(tmp_path: Path) -> None:
    status, said = stage(tmp_path, UNCLEAN)
    assert status == 0
    assert "FLAKY test_it.py::test_unclean\n" in said
    assert "in its teardown" in said


def test_a_host_that_many_tests_share_is_one_failure(tmp_path: Path) -> None:
    status, said = stage(tmp_path, SHARED.format(always=False))
    assert status == 0
    assert said.count("FLAKY test_it.py::test_shared[") == 1
    assert "and 11 more of that file" in said
    assert "12 passed" in said
    assert said.count("no host") == 2, "where it was raised, and what"


def test_a_host_that_cannot_be_had_again_fails_the_run(tmp_path: Path) -> None:
    status, said = stage(tmp_path, SHARED.format(always=True))
    assert status == 1
    assert "and 11 more of that file: twice" in said


def test_what_fails_again_fails_the_run(tmp_path: Path) -> None:
    status, said = stage(tmp_path, ALWAYS.format(n=0) + ONCE.format(n=0))
    assert status == 1
    assert "FAILED test_it.py::test_always_0: twice" in said
    assert "FLAKY test_it.py::test_once_0\n" in said


def test_more_flaky_ones_than_allowed_fail_the_run(tmp_path: Path) -> None:
    status, said = stage(tmp_path, "".join(ONCE.format(n=n) for n in range(ALLOWED + 1)))
    assert status == 1
    assert said.count("FLAKY test_it.py::test_once_") == ALLOWED + 1
    assert f"more than {ALLOWED} in one run fail it" in said


@pytest.mark.parametrize(
    "text", ["".join(ALWAYS.format(n=n) for n in range(MANY + 1)), "import nothing_of_this_name\n" + GOOD]
)
def test_what_is_no_flake_is_not_tried_again(tmp_path: Path, text: str) -> None:
    status, said = stage(tmp_path, text)
    assert status == 1
    assert "not tried again" in said
    assert "each time" in said or "nothing_of_this_name" in said
    assert "once more, alone" not in said


def test_nothing_failed_is_nothing_to_judge(tmp_path: Path) -> None:
    assert stage(tmp_path, GOOD) == (0, "")


def test_the_settings_stay_those_of_the_checkout(tmp_path: Path) -> None:
    (line,) = [line for line in (ROOT / "tests" / "run").read_text().splitlines() if "-p tests.failed" in line]
    words = line.split("||")[0].replace('"$failed"', str(tmp_path / "kept")).replace('"$@"', "--collect-only").split()
    (tmp_path / "kept").touch()
    done = python(ROOT, {}, *words[2:], "-vv", "-o", "testpaths=tests/test_once_more.py")
    assert "configfile: pyproject.toml" in done.stdout, done.stdout
