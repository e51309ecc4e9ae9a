"""Waiting with a limit that follows the machine's load; the only place of the lab that sleeps.

A limit says how long something may take on a machine that has nothing else to do. Where ten processes want one core,
the same takes ten times as long without anything being wrong. So a second of waiting counts for less on a busy machine:
it is divided by `slowness()`, the number of runnable processes for each core. It is the average of the last minute or
the present number, whichever is higher (proc_loadavg(5)). Processes that wait for a disk are in the average, too.
Pressure (/proc/pressure/cpu) says that somebody waits and not how many do, so it yields no factor. Slowness is never
more than `MOST`, so what hangs ends after `MOST` times its limit at the latest.
"""

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from service.errors import LabError

T = TypeVar("T")
POLL_S, LONGEST_POLL_S = 0.03, 0.25
MOST = 6.0
LOOK_S = 1.0


def slowness_of(loadavg: str, cores: int) -> float:
    """How many times as long as on an idle machine a process takes, by the text of /proc/loadavg: 1 to `MOST`."""
    last_minute, running = float(loadavg.split(maxsplit=1)[0]), int(loadavg.split()[3].partition("/")[0])
    return min(MOST, max(1.0, last_minute / cores, running / cores))


def slowness() -> float:
    """`slowness_of` this machine, now."""
    return slowness_of(Path("/proc/loadavg").read_text(), os.cpu_count() or 1)


def grown_s(limit_s: float) -> float:
    """A limit for one call that takes a timeout, as long as the machine's load asks for now. `Patience` looks again."""
    return limit_s * slowness()


class Patience:
    """A limit under way. It reads the load at each call, so call it at least every few seconds."""

    def __init__(
        self,
        limit_s: float,
        now_s: Callable[[], float] = time.monotonic,
        slow: Callable[[], float] = slowness,
    ) -> None:
        self.limit_s = limit_s
        self._now_s, self._slow = now_s, slow
        self._spent_s, self._seen_s, self._slowness = 0.0, now_s(), slow()

    def left_s(self) -> float:
        """Seconds until the end, if the load stays as it is; 0 and less: it is over."""
        now_s, slowness_now = self._now_s(), self._slow()
        self._spent_s += (now_s - self._seen_s) / ((self._slowness + slowness_now) / 2)
        self._seen_s, self._slowness = now_s, slowness_now
        return (self.limit_s - self._spent_s) * slowness_now

    def is_over(self) -> bool:
        """Whether the limit has passed."""
        return self.left_s() <= 0


def pauses(poll_s: float = POLL_S) -> Iterator[None]:
    """A pause at each turn, longer and longer up to a quarter of a second: a question often costs a process."""
    while True:
        time.sleep(poll_s)
        yield
        poll_s = min(poll_s * 1.25, max(poll_s, LONGEST_POLL_S))


def wait_for(condition: Callable[[], T | None], what: str, timeout_s: float, poll_s: float = POLL_S) -> T:
    """Ask until the condition answers something true and return it; LabError naming `what` after the limit."""
    patience, pause = Patience(timeout_s), pauses(poll_s)
    while True:
        if answer := condition():
            return answer
        if patience.is_over():
            raise LabError(f"waited {timeout_s:g} s of an idle machine without success for {what}")
        next(pause)


def run(
    argv: Sequence[str], *, timeout_s: float, stdin: bytes = b"", **more: Any
) -> "subprocess.CompletedProcess[bytes]":
    """subprocess.run with output captured and a limit that follows the load; TimeoutExpired when that is over."""
    patience = Patience(timeout_s)
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more
    ) as process:
        given: bytes | None = stdin
        try:
            while True:
                left_s = patience.left_s()
                try:
                    out, err = process.communicate(given, timeout=max(0.01, min(left_s, LOOK_S)))
                except subprocess.TimeoutExpired:
                    if left_s <= 0:
                        raise
                    given = None  # it was begun to be sent, and continues being sent
                else:
                    return subprocess.CompletedProcess(argv, process.returncode, out, err)
        except BaseException:
            process.kill()
            raise
