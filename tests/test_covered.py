"""The floor under coverage can fail, for each room on its own, and says where to look."""

import subprocess
import sys
from pathlib import Path

from coverage import Coverage

from tests.covered import DATA, REPORT, judged

HALF = """
def half(one):
    if one:
        return 1
    return 2

half(True)
"""


def measured(top: Path) -> Coverage:
    """What coverage.py says of two rooms: all of `full` ran, of `half` not all."""
    for name, text in (("full", "x = 1\n"), ("half", HALF), ("idle", "y = 1\n")):
        (top / name).mkdir()
        (top / name / "__init__.py").write_text(text)
    (top / "run.py").write_text("import full, half\n")
    data = top / DATA
    words = ["-m", "coverage", "run", "--branch", "--source=full,half,idle", f"--data-file={data}", "run.py"]
    subprocess.run([sys.executable, *words], cwd=top, check=True, timeout=60)
    found = Coverage(data_file=str(data), config_file=False)
    found.load()
    return found


def test_each_room_has_to_reach_the_floor_by_itself(tmp_path: Path) -> None:
    found = measured(tmp_path)
    assert judged(found, tmp_path, ["full", "half"], 50) == []
    (half,) = judged(found, tmp_path, ["full", "half"], 90)
    assert half.startswith("half: the tests reach 71.4 %") and "the floor is 90 %" in half and REPORT in half
    idle, gone = judged(found, tmp_path, ["idle", "gone"], 1)
    assert idle.startswith("idle: the tests reach 0.0 %")
    assert gone.startswith("gone: the tests reach 0.0 %")
