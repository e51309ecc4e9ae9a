"""Nothing of a host's answer is read, compared or planned on the event loop's thread."""

import asyncio
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, ParamSpec, TypeVar

import pytest

import service
from service.apply.fleet import FleetHosts
from service.clock import SystemClock
from service.errors import TooMuch
from service.history import open_history
from service.kinds import KINDS
from service.model.states import Unknown
from service.observe.collect import Collector
from service.observe.connection import Answer, Host, Target
from service.reconcile.round import Rounds
from service.reconcile.watching import Wanted
from service.work import Effort, Work
from service.workers import Workers
from tests.laws.specs import FOLDER, head, spec_of
from tests.observe.growth import LEASES, big, framed, leases, with_file
from tests.observe.samples import NONCE, WATCH
from tests.reconcile.internet import PlayedInternet
from tests.state_folders import made

P = ParamSpec("P")
T = TypeVar("T")
HOME = f"{Path(service.__file__).parent}/"
OFF_THE_LOOP = ("observe/frames", "observe/limits", "observe/part", "observe/read_", "plan/", "formats/", "firewall/")
NONCE_IN_SCRIPT = re.compile(rb"@@([0-9a-f]+) done")


class AnswersThis:
    """A host whose shell says `answer` to every command."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer

    async def ask(self, script: bytes, timeout_s: float) -> bytes:
        found = NONCE_IN_SCRIPT.search(script)
        assert found
        return self.answer.replace(NONCE.encode(), found[1])

    async def run(self, argv: object, **_: object) -> Answer:
        return Answer(0, b'{"event": "result", "state": "status", "generation": 0}\n', b"")

    async def listen(self, command: str, order: bytes, heard: object) -> None:
        pass

    async def close(self) -> None:
        pass


class Kept:
    """Connections to one host."""

    def __init__(self, host: Host) -> None:
        self._host = host

    async def host(self, target: Target) -> Host:
        return self._host

    async def connect(self, target: Target) -> Host:
        return self._host

    async def drop(self, name: str) -> None:
        pass

    def doubt(self, name: str) -> str:
        return ""


class Refusing:
    """Work that says of everything that it is too much, but of what only grows with the bytes."""

    async def run(self, effort: Effort, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if effort.size:
            raise TooMuch(f"{effort.what} took more than {effort.cpu_s:g} s of CPU time and was stopped")
        return call(*args, **kwargs)


def caller(frame: FrameType) -> str:
    """The function of another room that led there."""
    at = frame.f_back
    while at is not None and at.f_code.co_filename.removeprefix(HOME).startswith((*OFF_THE_LOOP, "resources/")):
        at = at.f_back
    return f"{at.f_code.co_filename.removeprefix(HOME)}:{at.f_code.co_name}" if at else ""


@contextmanager
def calls_here(found: list[str]) -> Iterator[None]:
    """Every function of the rooms above that is called on this thread."""

    def called(frame: FrameType, event: str, _: Any) -> None:
        file = frame.f_code.co_filename
        if event == "call" and file.startswith(HOME) and frame.f_code.co_name != "<module>":
            inside = file.removeprefix(HOME)
            if inside.startswith(OFF_THE_LOOP):
                found.append(f"{inside}:{frame.f_code.co_name} of {caller(frame)}")

    sys.setprofile(called)
    try:
        yield
    finally:
        sys.setprofile(None)


def looked_at(answer: bytes, work: Work, folder: Path, *, times: int = 1) -> tuple[Any, list[str]]:
    """The status after some rounds of a host that says this, and what ran on the loop's thread meanwhile."""
    spec = spec_of(head(sync="observe") + (FOLDER / "seed.yaml").read_text())
    found: list[str] = []

    async def run() -> None:
        clock = SystemClock()
        hosts = FleetHosts(Kept(AnswersThis(answer)), Collector(clock, work), clock, controller="c")
        with open_history(made(folder / "state.db")) as history:
            rounds = Rounds(history.store, history.queries, hosts, PlayedInternet(), KINDS, clock, work, observe_s=30)
            with calls_here(found):
                for _ in range(times):
                    await rounds.reconcile("pve1", Wanted("c" * 40, {"pve1": spec}))
            found.insert(0, str(history.queries.host("pve1")))

    asyncio.run(run())
    return found[0], found[1:]


@pytest.mark.parametrize("count", [3, 3000])
def test_a_round_reads_and_plans_elsewhere(count: int, tmp_path: Path) -> None:
    bodies = {"iptables": big("iptables", count // 2), **with_file(LEASES, leases(count))}

    async def run_with_workers() -> Workers:
        return Workers()

    workers = asyncio.run(run_with_workers())
    try:
        status, called = looked_at(framed(bodies), workers, tmp_path, times=2)
    finally:
        asyncio.run(workers.close())
    assert called == []
    assert "reachability='Reachable'" in status


def test_a_host_whose_plan_takes_too_much_is_unknown_in_words(tmp_path: Path) -> None:
    status, _ = looked_at(framed({}), Refusing(), tmp_path)
    assert "sync='Unknown'" in status
    assert "took more than" in status


def test_of_a_part_that_takes_too_much_only_what_it_would_tell_is_unknown() -> None:
    answer = framed({"iptables": big("iptables", 10_000)})

    async def observe() -> Any:
        host = AnswersThis(answer)
        return await Collector(SystemClock(), Refusing()).observe(host, "pve1", WATCH)

    seen = asyncio.run(observe())
    assert isinstance(seen.masquerades, Unknown)
    assert seen.masquerades.why == "reading the masquerades took more than 1 s of CPU time and was stopped"
