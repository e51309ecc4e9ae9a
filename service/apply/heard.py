"""What of a host's reporting is news. Pure.

A host may tell of one step as often as it likes, in any order, and of steps that no plan has. Each state of each step
of the plan is passed on once, each moment once, and a phase when it is another. So what is written for an apply is
bounded by its plan.
"""

from collections.abc import Callable

from service.model.telling import PhaseTold, ReachedTold, StepTold, Told


class Heard:
    """Passes on to `tell` what is news of a plan of so many steps."""

    def __init__(self, tell: Callable[[Told], None], steps: int) -> None:
        self._tell = tell
        self._steps = steps
        self._known: set[tuple[int, str]] = set()
        self._phase = ""
        self._reached: set[str] = set()

    def __call__(self, told: Told) -> None:
        """One thing that the host reported."""
        if isinstance(told, StepTold):
            known = (told.position, told.state)
            if not 0 <= told.position < self._steps or known in self._known:
                return
            self._known.add(known)
        elif isinstance(told, PhaseTold):
            if told.phase == self._phase:
                return
            self._phase = told.phase
        elif isinstance(told, ReachedTold):
            if told.moment in self._reached:
                return
            self._reached.add(told.moment)
        self._tell(told)
