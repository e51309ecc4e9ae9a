"""Work on what a host said, away from the event loop: the protocol. `service.workers` does it.

    await work.run(Effort("planning pve1", size=len(answer), cpu_s=10), call, *args) -> what `call` returns

`call` is a function at the top of a module and everything it takes and gives is a plain value: it may run in another
process. It raises what `call` raises, and TooMuch when the work takes more CPU time or memory than it may.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

READ_CPU_S = 5.0
"""For reading one answer. An ordinary one takes some milliseconds."""
PLAN_CPU_S = 10.0
"""For one plan. An ordinary one takes some ten milliseconds."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much work it may be. `what` names it for people, `size` is in bytes of what the host said, `cpu_s` in seconds
    of CPU time. `quick` work takes about as long as its bytes take to look at once; `deep` work compares them."""

    what: str
    size: int
    cpu_s: float
    kind: Literal["quick", "deep"] = "quick"


class InPlace:
    """Works in the calling thread, without limits: for a command that looks at one host and ends."""

    async def run(self, effort: Effort, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """See `Work.run`."""
        del effort
        return call(*args, **kwargs)


class Work(Protocol):
    """Where such work is done."""

    async def run(self, effort: Effort, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """See above."""
        ...
