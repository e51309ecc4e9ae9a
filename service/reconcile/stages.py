"""Work whose order is code: a list of stages of one shape, done in turn until one of them ends it.

STAGES = (Stage("look", always, look), Stage("apply", is_decided, apply), Stage("rest", always, rest))
end = await through(STAGES, turn)
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
E = TypeVar("E")


@dataclass(frozen=True, slots=True)
class Stage(Generic[T, E]):
    """One stage of some work. `applies` says whether there is anything to do in it; `does` returns None to continue, or
    how the work ends here."""

    name: str
    applies: Callable[[T], bool]
    does: Callable[[T], Awaitable[E | None]]


async def through(stages: Sequence[Stage[T, E]], turn: T) -> E:
    """How the work ended. The last stage has to end it: AssertionError where none did."""
    for stage in stages:
        if stage.applies(turn):
            end = await stage.does(turn)
            if end is not None:
                return end
    raise AssertionError(f"no stage ended this: {', '.join(stage.name for stage in stages)}")


def always(_turn: object) -> bool:
    """For a stage that is never left out."""
    return True
