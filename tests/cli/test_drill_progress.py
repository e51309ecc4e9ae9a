"""`passerelle drill` while it waits: what it says, by a clock that the test moves."""

from typing import Any

import pytest

from service.cli.drill import watch


def test_a_drill_tells_each_phase_and_that_it_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    at_s = [0.0]

    def ask() -> dict[str, Any]:
        return {"state": "Running" if at_s[0] < 9 else "Passed"}

    def sleep(seconds: float) -> None:
        at_s[0] += seconds

    found = watch({"state": "Pending"}, ask, 300, lambda: at_s[0], sleep)
    assert found["state"] == "Passed"
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0].strip() for line in lines] == [
        "Pending", "Running", "Running for 3 s", "Running for 6 s", "Passed",
    ]  # fmt: skip
    assert watch({"state": "Pending"}, lambda: {"state": "Pending"}, 5, lambda: at_s[0], sleep)["state"] == "Pending"
