"""What hints of a host cause: looks soon, each hint followed by one, and a bounded number of them."""

from dataclasses import dataclass, field

import pytest

from service.reconcile.hints import BURST, GAP_MOST_S, SETTLE_S, Hints
from tests.reconcile.clocks import StoppedClock

OBSERVE_S = 30.0
LOOK_S = 0.05


@dataclass
class Host:
    """Hints, and a loop that looks at the one host when it is due and a worker is free (`free_from_s`). A look reads
    everything when it begins."""

    look_s: float = LOOK_S
    free_from_s: float = 0.0
    clock: StoppedClock = field(default_factory=StoppedClock)
    due_s: float | None = None
    looks: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.hints = Hints(self.add, self.clock, observe_s=OBSERVE_S)

    def add(self, name: str, *, after_s: float = 0) -> None:
        due_s = self.clock.monotonic_s() + after_s
        self.due_s = due_s if self.due_s is None else min(self.due_s, due_s)

    def pass_s(self, seconds: float, step_s: float = 0.01) -> None:
        for _ in range(round(seconds / step_s)):
            self.clock.move(step_s)
            now_s = self.clock.monotonic_s()
            if self.due_s is not None and now_s >= max(self.due_s, self.free_from_s):
                self.due_s = None
                self.free_from_s = now_s + self.look_s
                self.looks.append(now_s)
                self.hints.began("pve1")

    def change(self) -> None:
        self.hints.heard("pve1", "network")

    def storm(self, seconds: float) -> float:
        """Changes without a pause; when the last one was."""
        for _ in range(round(seconds / 0.01)):
            self.change()
            self.pass_s(0.01)
        return self.clock.monotonic_s() - 0.01


def test_the_first_change_is_seen_at_once_and_many_together_by_one_look() -> None:
    host = Host()
    for _ in range(100):
        host.change()
    host.pass_s(SETTLE_S + 0.02)
    assert len(host.looks) == 1
    host.pass_s(60)
    assert len(host.looks) == 1


def test_changes_while_a_look_runs_cause_one_more() -> None:
    host = Host()
    host.change()
    while not host.looks:
        host.pass_s(0.01)
    for _ in range(100):
        host.change()
    host.pass_s(60)
    assert len(host.looks) == 2


def test_a_change_right_after_a_look_does_not_wait_a_second() -> None:
    host = Host()
    for number in range(5):
        changed_s = host.clock.monotonic_s()
        host.change()
        host.pass_s(0.01)
        while len(host.looks) <= number:
            host.pass_s(0.01)
        assert host.looks[number] - changed_s < 0.5


def test_a_storm_is_seen_to_its_end_and_costs_a_bounded_number_of_looks() -> None:
    host = Host()
    for _ in range(120 * 1000):
        host.change()
        host.pass_s(0.001, step_s=0.001)
    assert BURST <= len(host.looks) <= BURST + 120 / OBSERVE_S
    gaps = [after - before for before, after in zip(host.looks, host.looks[1:], strict=False)]
    assert max(gaps[:9]) < GAP_MOST_S + 0.01
    assert gaps[-1] >= OBSERVE_S - 0.1
    ended_s = host.clock.monotonic_s()
    host.pass_s(OBSERVE_S + 1)
    assert host.looks[-1] >= ended_s


@pytest.mark.parametrize(("look_s", "storm_s"), [(0.05, 13), (2, 16), (2, 25), (5, 16), (5, 60)])
def test_the_last_change_of_a_storm_is_seen_soon_however_long_a_look_takes(look_s: float, storm_s: float) -> None:
    host = Host(look_s=look_s)
    last_s = host.storm(storm_s)
    host.pass_s(120)
    assert last_s <= host.looks[-1] < last_s + look_s + GAP_MOST_S + SETTLE_S


@pytest.mark.parametrize("look_s", [0.05, 2, 5])
def test_a_long_storm_costs_a_bounded_number_of_looks_however_long_one_takes(look_s: float) -> None:
    host = Host(look_s=look_s)
    last_s = host.storm(600)
    assert BURST <= len(host.looks) <= BURST + 600 / OBSERVE_S + 1
    host.pass_s(OBSERVE_S + look_s)
    assert host.looks[-1] >= last_s


def test_a_storm_while_no_worker_is_free_costs_one_look() -> None:
    host = Host(free_from_s=20)
    last_s = host.storm(20)
    assert last_s <= host.looks[-1] < last_s + SETTLE_S
    host.pass_s(1)
    changed_s = host.clock.monotonic_s()
    host.change()
    host.pass_s(SETTLE_S + 0.02)
    assert host.looks[-1] > changed_s


def test_after_a_look_that_was_dropped_a_change_causes_another() -> None:
    host = Host()
    host.change()
    host.due_s = None
    host.storm(OBSERVE_S + 1)
    assert host.looks


def test_a_quiet_time_earns_the_short_gaps_back() -> None:
    host = Host()
    for _ in range(1000):
        host.change()
        host.pass_s(0.01)
    host.pass_s(BURST * OBSERVE_S, step_s=0.5)
    host.looks.clear()
    for _ in range(2):
        host.change()
        host.pass_s(0.3)
    assert len(host.looks) == 2


@pytest.mark.parametrize(("again_s", "first_look_s"), [(1.0, 2.0), (2.0, 2.1), (8.0, 8.1), (600.0, 2.0)])
def test_after_a_loss_the_look_comes_when_it_may_listen_again_or_soon(again_s: float, first_look_s: float) -> None:
    host = Host()
    host.hints.lost("pve1", again_s)
    host.pass_s(20)
    assert host.looks == [pytest.approx(first_look_s, abs=0.02)]
