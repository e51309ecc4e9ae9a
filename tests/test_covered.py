"""The floor under coverage can fail, for each room on its own."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.covered import judged, merged

HALF = """
def half(one):
    if one:
        return 1
    return 2

half(True)
"""


def measured(top: Path) -> dict[str, Any]:
    """The report on three rooms in two runs: all of `full` ran, of `half` not all, and nothing of `idle`."""
    for name, text in (("full", "x = 1\n"), ("half", HALF), ("idle", "y = 1\n")):
        (top / name).mkdir()
        (top / name / "__init__.py").write_text(text)
    (top / "data").mkdir()
    for name in ("full", "half"):
        (top / f"run_{name}.py").write_text(f"import {name}\n")
        words = ["--branch", "--source=full,half,idle", "--json", "--out", f"data/{name}.json", f"run_{name}.py"]
        subprocess.run([sys.executable, "-m", "slipcover", *words], cwd=top, check=True, timeout=60)
    return merged(top / "data")


def test_each_room_has_to_reach_the_floor_by_itself(tmp_path: Path) -> None:
    found = measured(tmp_path)
    assert judged(found, tmp_path, ["full", "half"], 50) == []
    (half,) = judged(found, tmp_path, ["full", "half"], 90)
    assert half.startswith("half: the tests reach 71.4 %") and "the floor is 90 %" in half
    idle, gone = judged(found, tmp_path, ["idle", "gone"], 1)
    assert idle.startswith("idle: the tests reach 0.0 %")
    assert gone.startswith("gone: the tests reach 0.0 %")


def test_where_nothing_was_measured_nothing_is_reached(tmp_path: Path) -> None:
    assert [said.partition(":")[0] for said in judged(merged(tmp_path), tmp_path, ["full"])] == ["full"]
