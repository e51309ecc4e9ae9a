"""What did not end well: said once in the log with a count, and in words that are safe to show.

troubles = Troubles(clock, counted)
troubles.failed("round", "pve1", error) -> str      the sentence for status and events
troubles.well("round", "pve1")                      it ended well: the next failure is news again
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from traceback import extract_tb
from typing import Literal

from service.clock import Clock
from service.errors import PasserelleError
from service.logs import fields
from service.model.trees import shown

logger = logging.getLogger(__name__)

Task = Literal["round", "source", "drill", "record"]
TASKS: tuple[Task, ...] = ("round", "source", "drill", "record")
DOING: dict[Task, str] = {
    "round": "the round of {}", "source": "the look at the source", "drill": "the drill of {}",
    "record": "recording the status of {}",
}  # fmt: skip
REMIND_S = 3600.0
SHOWN = 240
ROOM = Path(__file__).parents[2]


@dataclass(slots=True)
class _Known:
    kind: str
    times: int
    logged_s: float


class Troubles:
    """Counts failures of the same kind. `counted(task)` is called for every one of them."""

    def __init__(self, clock: Clock, counted: Callable[[Task], None] = lambda _: None) -> None:
        self._clock = clock
        self._counted = counted
        self._known: dict[tuple[Task, str], _Known] = {}

    def failed(self, task: Task, name: str, error: Exception) -> str:
        """Note one failure; the sentence that says what it was. The first of its kind is logged, an unexpected one with
        its traceback; the same again is counted, and logged as one line with the count once an hour."""
        self._counted(task)
        what, kind, now_s = sentence(error), kind_of(error), self._clock.monotonic_s()
        known = self._known.get((task, name))
        doing = DOING[task].format(name)
        if known is None or known.kind != kind:
            self._known[task, name] = _Known(kind, 1, now_s)
            trace = None if isinstance(error, PasserelleError) else error
            logger.error("%s failed: %s", doing, what, exc_info=trace, extra=about(task, name))
            return what
        known.times += 1
        if now_s - known.logged_s >= REMIND_S:
            known.logged_s = now_s
            logger.error(
                "%s failed %d times now, each time the same: %s", doing, known.times, what, extra=about(task, name)
            )
        return what

    def well(self, task: Task, name: str) -> None:
        """It ended well. Said once after failures, with how many there were."""
        known = self._known.pop((task, name), None)
        if known is not None:
            times = f"{known.times} failures" if known.times > 1 else "1 failure"
            logger.info("%s works again after %s", DOING[task].format(name), times, extra=about(task, name))

    def is_news(self, task: Task, name: str, error: Exception) -> bool:
        """Whether this kind of failure was not the last one of this name."""
        known = self._known.get((task, name))
        return known is None or known.kind != kind_of(error)


def about(task: Task, name: str) -> dict[str, object]:
    """What a line of the log is about."""
    return fields(task=task) if task == "source" else fields(task=task, host=name)


def kind_of(error: Exception) -> str:
    """What makes two failures the same: type and place, not the words."""
    return f"{type(error).__qualname__} {_place(error)}"


def sentence(error: Exception) -> str:
    """An error in one bounded line. The words of an error that is not Python's own or ours are left out: those of a
    database or a validator may hold what was given to it."""
    if isinstance(error, PasserelleError):
        return shown(str(error), SHOWN)
    said = shown(str(error), SHOWN // 2) if type(error).__module__ == "builtins" else ""
    words = f"{type(error).__name__} at {_place(error)}" + (f": {said}" if said else "")
    return (
        f"passerelle hit an unexpected error ({words}). Fix: see the service's log; if a commit brought it, revert it"
    )


def _place(error: Exception) -> str:
    """File and line where it was raised, within this program where it passed through it."""
    frames = extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(ROOM / "service")]
    for frame in (own or frames)[-1:]:
        path = Path(frame.filename)
        return f"{path.relative_to(ROOM) if own else path.name}:{frame.lineno}"
    return "an unknown place"
