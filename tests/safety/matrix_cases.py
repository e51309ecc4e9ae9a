"""The cells of the matrix: every named point of the transaction, each met with every kind of fault."""

import random
from typing import NamedTuple

from service.hostside.points import POINTS

FAULTS = ("controller", "host", "power", "link")
STORMS = ("reload", "reexec", "zone")
BLOWS = {"timer": "passerelle-expire-*.timer", "watcher": "passerelle-watch-*.service"}
SWITCH_FAULTS = (*STORMS, *BLOWS)
"""Faults that hit the rollback itself. systemd reloads, executes itself again or restarts its timers, again and again
until the host is back. Or one waker is stopped.
"""
STEPS, ON_CONFIRM = 14, 14
"""The change has this many steps before the confirmation, and this is the number of the one at it."""
ELSEWHERE = ("restore-proxy",)
"""Points of facts that the matrix's change does not have: it has no guest, so it has no nginx in one. Tests that kill
there: tests/hostside/test_crash.py, and with a real nginx on a host of the lab tests/e2e/test_guests_made.py.
"""
TRIGGERS = ("deadline", "failed")
DIRECTIONS = ("both", "to_host", "from_host")


class Case(NamedTuple):
    """One run.

    `first` is where the power is cut before a boot's points, "" for others; `trigger` is what makes a restore happen:
    nobody can confirm before the deadline, or a step fails. `hung`: the stopped process is not continued after the
    controller's death. `direction` is that of the black hole. `alive`: the controller lives when one waker is stopped,
    and tries to confirm.
    """

    point: str
    fault: str
    trigger: str = ""
    first: str = ""
    hung: bool = False
    direction: str = "both"
    alive: bool = False

    def __str__(self) -> str:
        more = [self.trigger, self.first, "hung" if self.hung else "", self.direction if self.fault == "link" else ""]
        more.append("alive" if self.alive else "")
        return "/".join([self.point, self.fault, *(word for word in more if word)])


def points() -> list[str]:
    """All points that the change has, by name, those of the steps with their numbers."""
    found = []
    for point in POINTS:
        if point in ELSEWHERE:
            continue
        if point == "on-confirm-N":
            found.append(f"on-confirm-{ON_CONFIRM}")
        elif "-N-" in point:
            found += [point.replace("-N-", f"-{number}-") for number in range(STEPS)]
        else:
            found.append(point)
    return found


def cells() -> list[tuple[str, str]]:
    """All points with all faults; what strikes the switch, at each point where one is armed."""
    found = [(point, fault) for point in points() for fault in FAULTS]
    armed = points()[points().index("journal-armed") :]
    for point in armed[: armed.index("confirmed")] + [point for point in armed if point.startswith("restore-")]:
        found += [(point, fault) for fault in SWITCH_FAULTS if point != "journal-armed" or fault in STORMS]
    return found


def cases(runs: int, seed: int) -> list[Case]:
    """So many cases, the same for the same seed: all cells once in any order, then again with other circumstances."""
    chosen: list[Case] = []
    for turn in range(runs // len(cells()) + 1):
        chance = random.Random(f"{seed}/{turn}")
        shuffled = cells()
        chance.shuffle(shuffled)
        chosen += [_cell(point, fault, chance) for point, fault in shuffled]
    return chosen[:runs]


def _cell(point: str, fault: str, chance: random.Random) -> Case:
    before = [f"step-{number}-after" for number in range(STEPS)] + ["verifying", "applied", "confirm-verified"]
    trigger, first, mid_way = chance.choice(TRIGGERS), chance.choice(before), chance.random() < 0.3
    direction = chance.choice(DIRECTIONS)
    if point == "boot-restore-file" and first == "step-0-after":
        first = "step-1-after"  # the first step is of no file, so there would be none to restore
    restoring, booting = point.startswith("restore"), point.startswith("boot-")
    applying = point.startswith(("step-", "verifying", "applied", "confirm-", "on-confirm"))
    alive = fault in BLOWS and chance.random() < 0.5 and not restoring
    return Case(
        point,
        fault,
        trigger=trigger if restoring else "",
        first=first if booting else "",
        hung=mid_way and fault in ("controller", *SWITCH_FAULTS) and applying and not alive,
        direction=direction,
        alive=alive,
    )
