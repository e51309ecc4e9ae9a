"""The floor under branch coverage: `python -m tests.covered` after the unit tests, in `tests/run`.

What decides and what changes hosts (`ROOMS`) is measured while its own tests, the scenarios and the laws run: a
measured test takes twice as long. Each room on its own has to reach `FLOOR` per cent of its lines and branches, as
coverage.py counts them. Processes that tests start are not measured, so
a fault put in on purpose (tests/mutants) runs no line for the tests.
"""

import io
import sys
from collections.abc import Sequence
from pathlib import Path

from coverage import Coverage
from coverage.exceptions import NoDataError

TOP = Path(__file__).parent.parent
ROOMS = ("service/reconcile", "service/plan", "service/apply")
FLOOR = 90.0
DATA, REPORT = ".cache/coverage/data", ".cache/coverage/report"
"""Where pyproject.toml lets coverage.py write, and where the pages go that show each line."""


def reached(measured: Coverage, top: Path, room: str) -> float:
    """Per cent of a room's lines and branches; 0 where nothing of it ran."""
    try:
        return measured.report(include=[str(top / room / "*")], file=io.StringIO())
    except NoDataError:
        return 0.0


def judged(measured: Coverage, top: Path, rooms: Sequence[str] = ROOMS, floor: float = FLOOR) -> list[str]:
    """What is wrong, and what to do about it."""
    return [
        f"{room}: the tests reach {percent:.1f} % of its lines and branches, the floor is {floor:g} %. Fix: write the "
        f"test that is missing; {REPORT}/index.html shows what no test reaches"
        for room in rooms
        if (percent := reached(measured, top, room)) < floor
    ]


def main(top: Path = TOP) -> int:
    """Say how much is reached; 1, with pages that show where, if it is too little."""
    measured = Coverage(data_file=str(top / DATA), config_file=str(top / "pyproject.toml"))
    measured.load()
    print("\n".join(f"{room}: {reached(measured, top, room):.1f} %" for room in ROOMS))
    said = judged(measured, top)
    if said:
        measured.html_report(directory=str(top / REPORT))
        print("", *said, sep="\n")
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
