"""A leak is seen, and what only fluctuates is not."""

import random

import pytest

from tests.safety.flat import grows


def test_what_fluctuates_or_is_made_at_first_does_not_grow() -> None:
    chance = random.Random(3)
    warm = [80 + 20 * min(1, at / 20) + chance.uniform(-1, 1) for at in range(120)]
    assert not grows(warm, share=0.03, by=1)


@pytest.mark.parametrize("rate", [0.1, 1.0])
def test_a_leak_grows(rate: float) -> None:
    chance = random.Random(3)
    assert grows([100 + rate * at + chance.uniform(-1, 1) for at in range(120)], share=0.03, by=1)


def test_one_peak_is_no_growth() -> None:
    assert not grows([5.0] * 119 + [50.0])


def test_few_values_say_nothing() -> None:
    with pytest.raises(ValueError, match="too few"):
        grows([1.0] * 7)
