"""However much a host says, what is passed on is bounded by the plan; and what it says wrongly is reported so."""

import json

import pytest

from service.apply.document import MAX_JOURNALS, fence, steps_of
from service.apply.heard import Heard
from service.apply.switch import result_of
from service.errors import Garbled
from service.model.telling import PhaseTold, ReachedTold, StepTold, Told
from service.observe.connection import Answer


def test_each_state_of_each_step_of_the_plan_is_told_once() -> None:
    told: list[Told] = []
    heard = Heard(told.append, 2)
    for turn in range(10_000):
        heard(StepTold(turn % 5 - 1, ("doing", "done")[turn % 2]))
        heard(PhaseTold("Running"))
        heard(ReachedTold("armed", 60))
    assert len(told) == 6
    assert {(one.position, one.state) for one in told if isinstance(one, StepTold)} == {
        (0, "doing"), (0, "done"), (1, "doing"), (1, "done")
    }  # fmt: skip


@pytest.mark.parametrize("generation", [-1, 1 << 62, 10**4000, "7", 1.5, True, [1]])
def test_a_generation_that_is_none_is_garbled(generation: object) -> None:
    with pytest.raises(Garbled, match="generation"):
        fence({"generation": generation})


@pytest.mark.parametrize("journals", [{"a": 1}, "x", 7, [{}] * (MAX_JOURNALS + 1)])
def test_journals_without_end_are_garbled(journals: object) -> None:
    with pytest.raises(Garbled, match="journals"):
        fence({"journals": journals})


def test_no_journals_and_no_generation_are_those_of_a_new_host() -> None:
    assert fence({}).generation == 0


def test_steps_without_end_are_cut_where_no_plan_has_so_many() -> None:
    assert len(steps_of({"steps": [{"state": "done"}] * 50_000})) == 10_000


def test_the_result_is_among_the_last_lines() -> None:
    result = json.dumps({"event": "result", "state": "applied"}).encode()
    assert result_of(Answer(0, b"{}\n" * 100_000 + result + b"\n", b""))["state"] == "applied"
    with pytest.raises(Garbled):
        result_of(Answer(0, result + b"\n" + b"{}\n" * 100_000, b""))
