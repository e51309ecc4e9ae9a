"""Waiting for a condition with a limit; the only place of the lab that sleeps."""

import time
from collections.abc import Callable
from typing import TypeVar

from service.errors import LabError

T = TypeVar("T")
POLL_S = 0.03


def wait_for(condition: Callable[[], T | None], what: str, timeout_s: float, poll_s: float = POLL_S) -> T:
    """Ask until the condition answers something true and return it; LabError naming `what` after the limit."""
    deadline = time.monotonic() + timeout_s
    while True:
        if answer := condition():
            return answer
        if time.monotonic() > deadline:
            raise LabError(f"waited {timeout_s:g} s in vain for {what}")
        time.sleep(poll_s)
