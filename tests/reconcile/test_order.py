"""The order of a round and of an apply is code. These tests hold the calls to the host and to the history in their
order, and notice if two stages are exchanged.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import pytest

from service.kinds import KINDS
from service.kinds.desire import desire
from service.model.observed import HostObserved, Watch
from service.model.plans import GuestChange, PackageChange, Plan
from service.model.runs import Apply, Drill, HostStatus, Proof, Release
from service.model.telling import Ended, Fence
from service.plan.make import Permission, make_plan
from service.reconcile.applying import Applying
from service.reconcile.planning import Planning
from service.reconcile.round import Rounds
from service.reconcile.stages import Stage, always, through
from service.reconcile.standing import Looked, Standing
from service.reconcile.watching import Wanted
from service.resources.desired import LastApplied
from service.spec.host import HostSpec
from service.work import InPlace
from tests.laws.host import bare_host
from tests.laws.specs import head, spec_of
from tests.reconcile.clocks import START, StoppedClock
from tests.reconcile.test_standing import COMMIT

SPEC = (
    head("auto")
    + """\
interfaces: {enp1s0: {addresses: [198.51.100.11/24], gateway: 198.51.100.1}}
bridges: {vmbr0: {addresses: [10.10.10.1/24], ports: []}}
nat: [{source: 10.10.10.0/24, out: enp1s0}]
"""
)
DRILL = Drill("01DRILL", "pve1", "ann", "Pending", requested_at=START)
OLD = Apply("01OLD", "pve1", "", COMMIT, "", "", "push", "passerelle", "Running")


@dataclass
class Told:
    """History and host in one: `lines` are the calls to each, in order; `answers` by name, None if there is none."""

    lines: list[str] = field(default_factory=list)
    armed: str = ""
    fenced: Fence = field(default_factory=Fence)
    answers: dict[str, Any] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        answers = {
            "latches": (), "unfinished_drills": (), "unfinished_applies": (), "record_plan": "01PLAN",
            "open_apply": "01APPLY", "next_generation": 7, "suspended": (), **self.answers,
        }  # fmt: skip

        def asked(*_args: object, **_named: object) -> Any:
            self.lines.append(name)
            return answers.get(name)

        return asked

    async def observe(self, _spec: HostSpec, watch: Watch, _known: Sequence[str]) -> HostObserved:
        self.lines.append("look at the host")
        return replace(bare_host(watch), armed=self.armed)

    async def fence(self, _spec: HostSpec) -> Fence:
        self.lines.append("ask for its journal")
        return self.fenced

    async def release(self, *_: object) -> None:
        self.lines.append("free the host")

    async def install(self, *_: object) -> None:
        self.lines.append("install packages")

    async def guests(self, _spec: object, action: str, *_: object) -> None:
        self.lines.append(f"{action} guests")

    async def drill(self, *_: object, **_named: object) -> tuple[Proof, ...]:
        self.lines.append("drill the host")
        return (Proof("undone", True, "it was"),)

    async def apply(self, *_: object, **_named: object) -> Ended:
        self.lines.append("change the host")
        return Ended("confirmed")

    def doubt(self, _name: str) -> str:
        return ""

    def sighting(self, _name: str) -> None:
        return None

    async def why_waits(self, _turn: object) -> str:
        self.lines.append("ask for its turn")
        return ""


def released_and_open() -> tuple[Told, Standing]:
    """A person frees the host, an apply of before the restart has ended meanwhile, and there is something to do."""
    told = Told(fenced=Fence(journals={"01OLD": Ended("confirmed")}))
    told.answers = {
        "host": HostStatus("pve1", sync_mode="auto", quarantined="01Q"), "unfinished_applies": (OLD,),
        "release_asked": Release("pve1", "01Q", "ann", "looked at it", START),
    }  # fmt: skip
    return told, Standing()


def drilled() -> tuple[Told, Standing]:
    return Told(answers={"waiting_drill": DRILL}), Standing(unsettled=False)


def drilled_while_armed() -> tuple[Told, Standing]:
    told = Told(armed="01OTHER", fenced=Fence(armed="01OTHER"), answers={"waiting_drill": DRILL})
    return told, Standing(unsettled=False)


def open_while_armed() -> tuple[Told, Standing]:
    answers = {"unfinished_applies": (OLD,), "waiting_drill": DRILL}
    return Told(armed="01OLD", fenced=Fence(armed="01OLD"), answers=answers), Standing()


def waits() -> tuple[Told, Standing]:
    """Nothing is applied on its own."""
    return Told(answers={"host": HostStatus("pve1", sync_mode="observe"), "seen_sites": 0}), Standing(unsettled=False)


def goes_back() -> tuple[Told, Standing]:
    """A person wants an earlier state, of which nothing is known any more."""
    back = Apply("01BACK", "pve1", "", COMMIT, "", "", "rollback", "ann", "Pending", requested_at=START)
    return Told(answers={"waiting_apply": back}), Standing(unsettled=False)


ROUNDS: dict[str, Callable[[], tuple[Told, Standing]]] = {
    "released and open": released_and_open, "drilled": drilled, "drilled while armed": drilled_while_armed,
    "open while armed": open_while_armed, "waits": waits, "goes back": goes_back,
}  # fmt: skip
STAGES = (
    "release", "observe", "settle", "hold", "drill", "plan", "remember", "guests", "decide", "turn", "back", "apply",
    "sites", "rest",
)  # fmt: skip


def swapped(stages: Sequence[Stage[Any, Any]], swap: tuple[str, ...]) -> tuple[Stage[Any, Any], ...]:
    """The stages with two of them in each other's place."""
    by_name = {stage.name: stage for stage in stages}
    others = dict(zip(swap, reversed(swap), strict=True))
    return tuple(by_name[others.get(stage.name, stage.name)] for stage in stages)


IN_ORDER: dict[str, list[str]] = {}
"""The lines of each round and apply whose stages are where they belong."""


async def noticed(
    lines_of: Callable[..., Awaitable[list[str]]], situations: Iterable[str], swap: tuple[str, ...]
) -> bool:
    """Whether a situation goes otherwise with these stages in each other's place."""
    for name in situations:
        if name not in IN_ORDER:
            IN_ORDER[name] = await lines_of(name)
        if await lines_of(name, swap) != IN_ORDER[name]:
            return True
    return False


async def lines_of_round(name: str, swap: tuple[str, ...] = ()) -> list[str]:
    told, standing = ROUNDS[name]()
    spec = spec_of(SPEC.replace("sync: auto", "sync: observe") if name == "waits" else SPEC)
    rounds = Rounds(
        told, told, told, told, KINDS, StoppedClock(), InPlace(), observe_s=30,  # type: ignore[arg-type]  # what it uses of them
        filled=lambda _host, _pools: told.lines.append("tell how full the pools are"),
        rolling=told,  # type: ignore[arg-type]
    )  # fmt: skip
    assert tuple(stage.name for stage in rounds.stages) == STAGES
    rounds.stages = swapped(rounds.stages, swap)
    rounds.standings["pve1"] = standing
    await rounds.reconcile("pve1", Wanted(COMMIT, {"pve1": spec}))
    return told.lines


async def test_a_round_asks_in_this_order() -> None:
    assert await lines_of_round("released and open") == [
        "host",
        "release_asked", "end_release", "free the host", "add_event",
        "base", "look at the host",
        "unfinished_drills", "unfinished_applies", "ask for its journal", "finish_apply", "base", "look at the host",
        "waiting_drill",
        "base",
        "set_drift", "seen_leases", "record_plan",
        "tell how full the pools are",
        "latches", "waiting_apply", "suspended",
        "ask for its turn",
        "open_apply", "set_host_status", "ask for its journal", "suspended", "next_generation", "start_apply",
        "change the host",
        "set_base", "finish_apply",
        "set_host_status",
    ]  # fmt: skip


@pytest.mark.parametrize("swap", list(combinations(STAGES, 2)), ids="-".join)
async def test_two_stages_of_a_round_in_each_others_place_are_noticed(swap: tuple[str, ...]) -> None:
    assert await noticed(lines_of_round, ROUNDS, swap)


@dataclass
class Situation:
    """An apply is begun; the service is instructed to stop or not, the host is free or not, and this is changed."""

    change: Callable[[Plan], Plan] = lambda plan: plan
    may_begin: bool = True
    fenced: Fence = field(default_factory=Fence)


def with_guest(plan: Plan) -> Plan:
    return replace(with_package(plan), guests=(GuestChange("web", "create", "create guest web", {}),))


INSIDE = GuestChange("web", "install", "install nginx in guest web", {"install": ["nginx"]}, starts=False)


def with_inside(plan: Plan) -> Plan:
    return replace(with_guest(plan), packages=(), guests=(*with_guest(plan).guests, INSIDE))


def with_package(plan: Plan) -> Plan:
    return replace(plan, packages=(PackageChange("tcpdump", "install", "1"),))


APPLIES = {
    "packages": Situation(with_package),
    "guests": Situation(lambda plan: replace(with_guest(plan), packages=())),
    "guests and packages": Situation(with_guest),
    "guests and told to stop": Situation(lambda plan: replace(with_guest(plan), packages=()), may_begin=False),
    "inside of guests": Situation(with_inside),
    "only inside": Situation(lambda plan: replace(plan, guests=(INSIDE,))),
    "inside and packages": Situation(lambda plan: replace(with_package(plan), guests=(INSIDE,))),
    "inside and told to stop": Situation(lambda plan: replace(plan, guests=(INSIDE,)), may_begin=False),
    "told to stop": Situation(with_package, may_begin=False),
    "quarantined": Situation(fenced=Fence(quarantined="01Q")),
    "no step": Situation(lambda plan: replace(plan, steps=())),
}
OF_AN_APPLY = ("begin", "packages", "guests", "inside", "stop", "fence", "gate", "start", "nothing", "transaction")


async def lines_of_apply(name: str, swap: tuple[str, ...] = ()) -> list[str]:
    situation, told, spec = APPLIES[name], Told(), spec_of(SPEC)
    told.fenced = situation.fenced
    desired = desire(spec, KINDS)
    observed = bare_host(desired.watch)
    plan = situation.change(make_plan(desired, LastApplied(), observed, commit=COMMIT))
    applying = Applying(
        told, told, told, StoppedClock(), Planning(InPlace()), lambda _c, _h: None, lambda _: situation.may_begin  # type: ignore[arg-type]
    )  # fmt: skip
    assert tuple(stage.name for stage in applying.stages) == OF_AN_APPLY
    applying.stages = swapped(applying.stages, swap)
    standing = Standing(desired=desired, observed=observed, plan=plan)
    looked = Looked(desired, None, observed, COMMIT, Permission())
    try:
        status = await applying.run(spec, standing, HostStatus("pve1", observed_at=START), looked, None)
    except AttributeError as error:  # a stage reads what the one after it finds out
        return [*told.lines, str(error)]
    return [*told.lines, status.phase]


async def test_an_apply_asks_in_this_order() -> None:
    assert await lines_of_apply("packages") == [
        "open_apply", "set_host_status", "suspended",
        "reach", "install packages", "look at the host",
        "ask for its journal", "suspended",
        "next_generation", "start_apply",
        "change the host",
        "set_base", "finish_apply", "Succeeded",
    ]  # fmt: skip


@pytest.mark.parametrize("swap", list(combinations(OF_AN_APPLY, 2)), ids="-".join)
async def test_two_stages_of_an_apply_in_each_others_place_are_noticed(swap: tuple[str, ...]) -> None:
    assert await noticed(lines_of_apply, APPLIES, swap)


async def test_stages_that_nobody_ends_are_a_fault() -> None:
    async def on(_turn: list[str]) -> None:
        await asyncio.sleep(0)

    stage: Stage[list[str], str] = Stage("on", always, on)
    with pytest.raises(AssertionError, match="no stage ended this: on, on"):
        await through((stage, stage), [])
