"""The run over mutants says what is noticed from what is not, on a small service of its own."""

import shutil
from pathlib import Path

import pytest

from tests.mutation.campaign import CONTROL, Campaign, Verdict, reach
from tests.mutation.mutants import Mutant, mutants, sampled

HERE = Path(__file__).parent
CODE = '''\
import logging
from functools import cache
from typing import Protocol, cast

logger = logging.getLogger(__name__)
LIMIT = 5


def is_low(number: int) -> bool:
    """Tested at its edge."""
    return number < LIMIT


def is_high(number: int) -> bool:
    """Reached, and not tested."""
    return number > LIMIT


def is_odd(number: int, *, by: int = 2) -> bool:
    """Its default is set before any test."""
    return bool(number % by)


class Even:
    def has(self, number: int, by: int = 2, rest: int = 0) -> bool:
        """So is that of a method."""
        return number % by == rest


@cache
def never(number: int) -> int:
    return number + 1


def refuse(name: str) -> str:
    logger.info("refused", name)
    return cast("str", name) + " is not known here"


class Counts(Protocol):
    def count(self, most: int = 500) -> int: ...


class Thing:
    size: int = 7 + LIMIT

    def __repr__(self) -> str:
        return "Thing" + "()"
'''
TESTS = """\
from service.small.one import Even, is_high, is_low, is_odd


def test_low():
    assert is_low(4) and not is_low(5)


def test_high():
    is_high(5)


def test_odd():
    assert is_odd(7) and not is_odd(4)


def test_even():
    assert Even().has(4) and not Even().has(3)
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A service of one file, with one good test and one that can never fail."""
    top = tmp_path / "checkout"
    for name, text in {
        "service/__init__.py": "", "service/small/__init__.py": "", "service/small/one.py": CODE,
        "tests/__init__.py": "", "tests/small/__init__.py": "", "tests/small/test_one.py": TESTS,
        "pyproject.toml": "[tool.pytest.ini_options]\nminversion = '9'\n",
    }.items():  # fmt: skip
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text)
    shutil.copytree(HERE, top / "tests" / "mutation", ignore=shutil.ignore_patterns("__pycache__", "test_*"))
    return top


def change_of(mutant: Mutant) -> str:
    """The line that it puts in the place of another."""
    return next(row[1:].strip() for row in mutant.diff.splitlines() if row.startswith("+") and row[:3] != "+++")


def test_what_no_test_could_tell_is_left_out(checkout: Path) -> None:
    assert sorted(map(change_of, mutants(checkout, "small"))) == [
        "def has(self, number: int, by: int = 2, rest: int = 1) -> bool:",
        "def has(self, number: int, by: int = 3, rest: int = 0) -> bool:",
        "def is_odd(number: int, *, by: int = 3) -> bool:",
        "return bool(None)",
        "return bool(number / by)",
        'return cast("str", ) + " is not known here"',
        'return cast("str", None) + " is not known here"',
        "return number % by != rest",
        "return number / by == rest",
        "return number <= LIMIT",
        "return number >= LIMIT",
    ]


def test_a_longer_sample_begins_with_the_shorter_one(checkout: Path) -> None:
    found = mutants(checkout, "small")
    assert sampled(found, 2, 7) == sampled(found[::-1], None, 7)[:2]
    assert len(sampled(found, None, 7)) == len(found)


def test_a_test_at_the_edge_kills_and_one_that_only_calls_does_not(checkout: Path, tmp_path: Path) -> None:
    words, kept, told = ["tests/small"], tmp_path / "kept" / "small.json", list[Verdict]()
    tests = reach(checkout, tmp_path, "small", words, kept)
    assert set(tests.took_s) == {f"tests/small/test_one.py::test_{name}" for name in ("low", "high", "odd", "even")}
    campaign = Campaign(checkout, tmp_path, "small", words, tests, 30.0, told.append)
    found = {mutant.name: change_of(mutant) for mutant in mutants(checkout, "small")}
    ended = {found.get(one.name, one.name): one for one in campaign.run(mutants(checkout, "small"), 1)}
    assert ended[CONTROL].ended == "survived"
    assert ended["return number <= LIMIT"].ended == "killed"
    assert ended["return number <= LIMIT"].by == "tests/small/test_one.py::test_low"
    assert ended["return number >= LIMIT"].ended == "survived"
    for default, by in (("*, by: int = 3)", "odd"), ("by: int = 3, rest", "even"), ("rest: int = 1", "even")):
        (verdict,) = [one for change, one in ended.items() if default in change]
        assert (verdict.ended, verdict.by) == ("killed", f"tests/small/test_one.py::test_{by}")
    assert {one.ended for change, one in ended.items() if "cast" in change} == {"not reached"}
    assert len(told) == len(found) + 1
    assert (checkout / "service/small/one.py").read_text() == CODE
    assert reach(checkout, tmp_path, "small", words, kept) == tests, "what is kept is as what was found"
    (checkout / "tests/small/test_one.py").write_text("import nothing_of_this_name\n")
    shutil.rmtree(tmp_path / "reach")
    with pytest.raises(RuntimeError, match="the tests of small could not be run"):
        reach(checkout, tmp_path, "small", words, kept)
