"""Bad changes on copies of the host-side file without one promise: a harness that does not catch them proves
nothing.
"""

from typing import NamedTuple

from tests.hostside.rooms import Cuts
from tests.safety.bad_changes import CHANGES, BadChange
from tests.safety.lab_controls import ANY_CONNECTION, NO_BOOT_UNIT, NO_TIMER, PLAIN_WRITE


class BadControl(NamedTuple):
    """`change` is the name of a bad one, `cut_at` where the power is cut; it must be judged as one of `kinds`."""

    name: str
    cuts: Cuts
    change: str
    kinds: tuple[str, ...]
    cut_at: str = ""
    old_connection: bool = False

    @property
    def made(self) -> BadChange:
        return next(change for change in CHANGES if change.name == self.change)


CONTROLS = (
    BadControl("no timer", NO_TIMER, "drop all", ("lockouts",)),
    BadControl(
        "confirm over the old connection", ANY_CONNECTION, "established only", ("lockouts",), old_connection=True
    ),
    BadControl(
        "plain write instead of rename", PLAIN_WRITE, "a wrong address in the file", ("mixed",), cut_at="half-written"
    ),
    BadControl(
        "timer without boot unit", NO_BOOT_UNIT, "a wrong address in the file", ("lockouts", "mixed"), cut_at="applied"
    ),
)
