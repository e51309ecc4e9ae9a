"""The model of the races: what a transaction found and kept is not lost."""

from typing import Any

import pytest

from tests.safety.race_history import Edit, found_faults

PATH, FACT = "/etc/race/one", "file:/etc/race/one"
START, EDITED, THIRD = ("0" * 64, "0644"), ("1" * 64, "0640"), ("2" * 64, "0600")


def seen_with(foreign: list[dict[str, str]], kept: dict[str, bool]) -> dict[str, Any]:
    """A step that was to delete the file had renamed an edit. It found a third file in its place, and gave up."""
    journal = {
        "state": "rolled_back", "generation": 1, "foreign": {FACT: foreign},
        "steps": [{"fact": FACT, "state": "pending"}],
    }  # fmt: skip
    return {
        "files": {PATH: THIRD}, "two_armed": [], "changed_ends": [], "armed": "", "left": [], "generations": [],
        "transactions": {"t1": {"journal": journal, "facts": {}, "steps": [], "kept": kept}},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("foreign", "kept", "lost"),
    [
        ([{"sha256": EDITED[0], "mode": EDITED[1]}], {EDITED[0]: True}, 0),
        ([{"sha256": EDITED[0], "mode": EDITED[1]}], {}, 1),
        ([], {}, 1),
    ],
)
def test_an_edit_that_was_moved_aside_is_kept_or_lost(
    foreign: list[dict[str, str]], kept: dict[str, bool], lost: int
) -> None:
    edits = [Edit(PATH, START, EDITED, True), Edit(PATH, None, THIRD, True)]
    faults = found_faults(seen_with(foreign, kept), {PATH: START}, edits, [])
    assert len(faults.pop("lost")) == lost
    assert not any(faults.values()), faults
