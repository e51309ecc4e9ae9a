"""Waiting for a condition with a limit; the only place of the lab that sleeps."""

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from service.errors import LabError

T = TypeVar("T")
POLL_S, LONGEST_POLL_S = 0.03, 0.25


def pauses(poll_s: float = POLL_S) -> Iterator[None]:
    """A pause at each turn, longer and longer up to a quarter of a second: a question often costs a process."""
    while True:
        time.sleep(poll_s)
        yield
        poll_s = min(poll_s * 1.25, max(poll_s, LONGEST_POLL_S))


def wait_for(condition: Callable[[], T | None], what: str, timeout_s: float, poll_s: float = POLL_S) -> T:
    """Ask until the condition answers something true and return it; LabError naming `what` after the limit."""
    deadline = time.monotonic() + timeout_s
    pause = pauses(poll_s)
    while True:
        if answer := condition():
            return answer
        if time.monotonic() > deadline:
            raise LabError(f"waited {timeout_s:g} s in vain for {what}")
        next(pause)
