"""The floor under branch coverage: `python -m tests.covered` after the unit tests, in `tests/run`.

What decides and what changes hosts (`ROOMS`) is measured while the unit tests run: tests/measured.py. Each room on its
own has to reach `FLOOR` per cent of its lines and branches. Processes that tests start are not measured, so a fault put
in on purpose (tests/mutants) runs no line for the tests.
"""

import functools
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import slipcover

from tests.measured import DATA, ROOMS, TOP

FLOOR = 90.0


def merged(folder: Path) -> dict[str, Any]:
    """What all processes saw, as slipcover says it."""
    seen = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    return functools.reduce(slipcover.merge_coverage, seen) if seen else {"files": {}}


def reached(measured: dict[str, Any], top: Path, room: str) -> float:
    """Per cent of a room's lines and branches; 0 where nothing of it is known."""
    files = [one for name, one in measured["files"].items() if (top / name).is_relative_to(top / room)]
    executed = sum(len(one["executed_lines"]) + len(one["executed_branches"]) for one in files)
    missing = sum(len(one["missing_lines"]) + len(one["missing_branches"]) for one in files)
    return 100 * executed / (executed + missing) if executed else 0.0


def judged(measured: dict[str, Any], top: Path, rooms: Sequence[str] = ROOMS, floor: float = FLOOR) -> list[str]:
    """What is wrong, and what to do about it."""
    return [
        f"{room}: the tests reach {percent:.1f} % of its lines and branches, the floor is {floor:g} %. Fix: write the "
        "test that is missing; the list above has the lines and branches that no test reaches"
        for room in rooms
        if (percent := reached(measured, top, room)) < floor
    ]


def main(top: Path = TOP) -> int:
    """Say how much is reached; 1, with a list of what is not, if it is too little."""
    measured = merged(top / DATA)
    print("\n".join(f"{room}: {reached(measured, top, room):.1f} %" for room in ROOMS))
    said = judged(measured, top)
    if said:
        slipcover.print_coverage(measured, skip_covered=True)
        print("", *said, sep="\n")
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
