"""A push walked: how often the loop plans and reads a file, from the commit to the host seen as wanted."""

from collections import Counter
from pathlib import Path

import pytest

from tests.calls import counted
from tests.laws.specs import FOLDER, head
from tests.reconcile.rooms import Room, a_room

SPEC = (FOLDER / "two-bridges.yaml").read_text()
PARSE = "formats/interfaces/stanzas.py:parse"
PLAN = "plan/make.py:make_plan"


async def rounds(room: Room, spec: str) -> list[Counter[str]]:
    """The calls of each round from a push on, until the host is as wanted and was looked at once more."""
    found = []
    await room.push(head() + spec)
    for _ in range(4):
        with counted() as calls:
            await room.round()
        found.append(calls)
    assert room.status.sync == "Synced"
    return found


PUSHES = {
    "a range of DHCP": ("10.10.10.200", "10.10.10.220", 1),
    "a bridge's address": ("10.10.10.1/24, ", "10.10.10.2/24, ", 2),
}
"""What is written instead of what, and how often the round that applies it reads the interfaces file: as it is, and as
it will be."""


@pytest.mark.parametrize("push", PUSHES)
async def test_a_push_plans_once_a_round_and_reads_each_text_of_a_file_once(push: str, tmp_path: Path) -> None:
    old, new, texts = PUSHES[push]
    with a_room(tmp_path) as room:
        await rounds(room, SPEC)
        assert old in SPEC
        applying, after, *idle = await rounds(room, SPEC.replace(old, new))
        assert len(room.hosts.applied) == 2
    assert [calls[PLAN] for calls in (applying, after)] == [1, 1]
    assert [calls[PARSE] for calls in (applying, after)] == [texts, 1]
    assert [(calls[PLAN], calls[PARSE]) for calls in idle] == [(0, 0)] * len(idle)
