"""Limits that follow the machine's load, with a load and a clock of the test's own."""

import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import chain, repeat

import pytest

from service.errors import LabError
from service.lab import waiting
from service.lab.waiting import MOST, Patience, grown_s, slowness_of, wait_for


@pytest.mark.parametrize(
    ("loadavg", "cores", "factor"),
    [
        ("0.00 0.00 0.00 1/96 19878", 2, 1.0),
        ("1.90 0.10 0.00 2/96 19878", 2, 1.0),
        ("5.00 3.00 1.00 1/300 19878", 2, 2.5),
        ("0.50 3.00 1.00 9/300 19878", 2, 4.5),  # it has become busy since a moment
        ("24.09 17.95 10.58 13/228 3699", 2, MOST),
        ("24.09 17.95 10.58 13/228 3699", 16, 24.09 / 16),
    ],
)
def test_the_factor_is_what_each_core_has_to_do(loadavg: str, cores: int, factor: float) -> None:
    assert slowness_of(loadavg, cores) == factor


def lasts_s(limit_s: float, slowness: Iterator[float], step_s: float = 0.5) -> float:
    """How long a limit lasts with a call every `step_s`."""
    now_s = 100.0
    patience = Patience(limit_s, lambda: now_s, lambda: next(slowness))
    while not patience.is_over():
        now_s += step_s
    return now_s - 100.0


def test_a_limit_lasts_as_long_as_the_load_asks_for() -> None:
    assert lasts_s(30, repeat(1.0)) == 30
    assert lasts_s(30, repeat(4.0)) == 120
    assert lasts_s(30, repeat(MOST)) == pytest.approx(30 * MOST, abs=1)  # and no longer, whatever the load
    busy_in_between = chain([1.0] * 21, [3.0] * 60, repeat(1.0))  # 10 s quiet, 30 s busy, the rest quiet
    assert lasts_s(30, busy_in_between) == pytest.approx(50, abs=1)


def test_what_is_left_is_told_in_seconds_of_the_present_load() -> None:
    now_s = 0.0
    patience = Patience(30, lambda: now_s, lambda: 2.0)
    now_s = 20.0
    assert patience.left_s() == 40.0
    now_s = 80.0
    assert patience.left_s() < 0


def test_the_machine_tells_its_load() -> None:
    assert 30 <= grown_s(30) <= 30 * MOST


def test_a_wait_in_vain_ends_with_what_it_was_for() -> None:
    with pytest.raises(LabError, match="without success for a sign"):
        wait_for(lambda: None, "a sign", timeout_s=0.05)


def test_a_program_gives_all_it_said_however_often_it_is_looked_at() -> None:
    script = "import sys, time; sys.stdout.write(sys.stdin.read()); sys.stdout.flush(); time.sleep(1.3); print('end')"
    done = waiting.run([sys.executable, "-c", script], timeout_s=30, stdin=b"x" * 300_000)
    assert (done.returncode, len(done.stdout), done.stdout[-4:]) == (0, 300_004, b"end\n")


def test_a_program_that_hangs_ends_within_its_bound() -> None:
    began_s = time.monotonic()
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.run(["sleep", "60"], timeout_s=0.2)
    assert time.monotonic() - began_s < 0.2 * MOST + 5
