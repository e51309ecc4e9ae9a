"""Answers about rules, compared with each point of a small space; and how much work they may be."""

import random
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any

import pytest

from service.firewall.host import Direction
from service.firewall.terms.addresses import merged
from service.firewall.trace.cover import boxes
from service.firewall.trace.never import Cell, Judged, cells_of, everything, judged
from service.firewall.trace.sets import build_sets
from tests.firewall.host_specs import Section, firewall_of

SIZE = 3
SIDES = 3
"""Of the seven sides of a cell these many differ; the others are the same everywhere."""
WHOLE = ((0, SIZE - 1),)
Rules = Sequence[tuple[Cell, ...]]
Judging = Callable[[Rules], Sequence[Judged]]


def random_rules(chance: random.Random) -> list[tuple[Cell, ...]]:
    def side() -> Any:
        numbers = [n for n in range(SIZE) if chance.random() < 0.75] or [chance.randrange(SIZE)]
        return merged((n, n) for n in numbers)

    def cell() -> Cell:
        return Cell(4, (*(side() for _ in range(SIDES)), *[WHOLE] * (7 - SIDES)))

    return [tuple(cell() for _ in range(chance.choice([0, 1, 1, 1, 2, 3]))) for _ in range(8)]


def points(cells: tuple[Cell, ...]) -> set[tuple[int, ...]]:
    """Every point of a rule."""
    return {
        point
        for cell in cells
        for point in product(*([n for first, last in side for n in range(first, last + 1)] for side in cell.sides))
    }


def wrong_about(rules: Rules, answers: Sequence[Judged]) -> Iterator[int]:
    """The rules with a wrong answer."""
    taken: set[tuple[int, ...]] = set()
    owners: list[set[tuple[int, ...]]] = []
    for place, (cells, said) in enumerate(zip(rules, answers, strict=True)):
        own = points(cells)
        is_never = own <= taken
        by = set().union(*(owners[other] for other in said.earlier))
        if (said.decides == "never") != is_never or said.decides == "not judged" or (is_never and not own <= by):
            yield place
        taken |= own
        owners.append(own)


@pytest.mark.parametrize("seed", range(60))
def test_what_is_said_is_so_for_each_point(seed: int) -> None:
    rules = random_rules(random.Random(seed))
    assert [*wrong_about(rules, [*judged(rules)])] == []


def _ignores_a_side(rules: Rules) -> list[Judged]:
    return [*judged([tuple(Cell(c.family, (WHOLE, *c.sides[1:])) for c in cells) for cells in rules])]


def _only_pairs(rules: Rules) -> list[Judged]:
    """Never only where one earlier rule holds all: several together are not seen."""
    return [Judged("some") if said.decides == "never" and len(said.earlier) > 1 else said for said in judged(rules)]


def _first_cell_only(rules: Rules) -> list[Judged]:
    return [*judged([cells[:1] for cells in rules])]


@pytest.mark.parametrize("broken", [_ignores_a_side, _only_pairs, _first_cell_only])
def test_a_wrong_analysis_would_be_noticed(broken: Judging) -> None:
    many = [random_rules(random.Random(seed)) for seed in range(60)]
    assert any([*wrong_about(rules, broken(rules))] for rules in many)


def test_what_takes_too_long_is_not_judged_and_never_guessed() -> None:
    for seed in range(20):
        rules = random_rules(random.Random(seed))
        full = [*judged(rules)]
        for most in (0, 5, 50, 500):
            some = [*judged(rules, most)]
            assert all(one.decides in ("not judged", whole.decides) for one, whole in zip(some, full, strict=True))
    assert {one.decides for one in judged(rules, 0) if one.decides != "some"} == {"not judged"}


def _counted(made: list[Section]) -> tuple[dict[str, int], int]:
    """How often which answer is given, and how many rules were compared with how many ranges at most."""
    firewall = firewall_of({"rules": made})
    sets = build_sets(firewall.levels)
    direction: Direction = "in"
    rules = [*firewall.rules(direction)]
    answers = [*judged([*(cells_of(boxes(firewall, sets, rule), {}) for rule in rules), everything()])]
    found: dict[str, int] = {}
    for one in answers:
        found[one.decides] = found.get(one.decides, 0) + 1
    return found, len(rules)


def _accept(**fields: str) -> Section:
    return {"type": "in", "action": "accept", **fields}


MANY = 3_000
ALL = {"some": MANY + 1}


@pytest.mark.parametrize(
    ("made", "answers"),
    [
        ([_accept(proto="tcp", dport=str(n + 1)) for n in range(MANY)], {"some": MANY + 1}),
        ([_accept(proto="tcp", dport=str(n % 1500 + 1)) for n in range(MANY)], {"some": 1501, "never": 1500}),
        ([_accept(source=f"10.{n // 256}.{n % 256}.0/24") for n in range(MANY)], {"some": MANY + 1}),
        ([_accept(source=f"10.0.{n // 256}.{n % 256}", dport="22", proto="tcp") for n in range(MANY)], ALL),
    ],
)  # fmt: skip
def test_three_thousand_usual_rules_are_all_judged(made: list[Section], answers: dict[str, int]) -> None:
    assert _counted(made) == (answers, MANY)


def test_of_three_thousand_unusual_rules_the_rest_is_not_judged() -> None:
    found, _ = _counted([_accept(proto="tcp", dport=f"{n + 1}:{n + 1000}") for n in range(MANY)])
    assert found["not judged"] > 1000
    assert "never" not in found
