#!/usr/bin/env -S sh -c 'p=$(dirname "$0")/../..; [ -x "$p/.venv/bin/python" ] || "$p/deploy/setup" --dev >&2; exec "$p/.venv/bin/python" "$0" "$@"'
"""What a quiet plan costs over 10, 20, 40 and 80 bridges, and how soon `/livez` answers while the service works hard.

    tests/bench/quad.py [--runs 5] [--seconds 20]

The service is the real one, but for its hosts, which are values: repository, database, rounds, workers and API in a
process of its own. Its one host differs in an address and is only looked at, so that each round makes a new plan; round
follows round. `livez_answering` is the same while one host answers 8 MB and another one has 3,000 rules, both with something
new each time. Another process requests `/livez` every 20 ms over new connections. On a busy machine the wall's time
says little: `held_cpu_s` is the most CPU that the whole process used between two turns of its event loop.

Prints one JSON object; plans are CPU seconds, the median. Exit 1 where growth or an answer is above its goal.
"""

import argparse
import asyncio
import contextlib
import json
import math
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from itertools import cycle, pairwise
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP))

from service.api.create import create_app
from service.api.parts import Parts
from service.api.server import serve
from service.api.values import share_the_processor
from service.apply.fleet import FleetHosts
from service.clock import SystemClock
from service.formats.read_once import forget
from service.kinds import KINDS
from service.model.observed import HostObserved, Watch
from service.model.states import Seen
from service.observe.collect import Collector
from service.observe.connection import Host, Target
from service.plan.make import make_plan
from service.reconcile.round import Rounds
from service.reconcile.watching import Wanted
from service.resources.desired import LastApplied
from service.spec.host import HostSpec
from service.workers import Workers
from tests.laws.specs import FOLDER, head, spec_of
from tests.observe.growth import LEASES, big, framed, leases, with_file
from tests.plan.test_growth import COUNTS, quad, quad_text, settled
from tests.reconcile.internet import PlayedInternet
from tests.reconcile.rooms import Hosts, Room, a_room
from tests.reconcile.test_off_the_loop import AnswersThis

GROWTH = 1.2
"""The most that cost may grow with the number of bridges, as an exponent."""
ANSWER_S, HEAVY_ANSWER_S = 0.2, 0.5
LEASES_IN_8_MB, RULES = 170_000, 3000
EVERY_S = 0.02
WAYS = ("idle", "planning", "answering")
BRIDGES = COUNTS[-1]

CLIENT = """
import json, sys, time
from http.client import HTTPConnection
port, seconds, every_s = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
took, ends_s = [], time.monotonic() + seconds
while time.monotonic() < ends_s:
    began_s = time.monotonic()
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/livez", headers={"Connection": "close"})
    answer = connection.getresponse()
    assert (answer.status, answer.read()[:1]) == (200, b"{")
    connection.close()
    took.append(time.monotonic() - began_s)
    time.sleep(every_s)
print(json.dumps(took))
"""


def plan_cpu_s(bridges: int, runs: int) -> float:
    """A quiet plan for an observation that nobody has read yet."""
    desired = quad(bridges)
    host, base = settled(desired), LastApplied.from_json(desired.as_json())
    found = []
    for _ in range(runs + 1):
        forget()
        fresh = replace(host)
        began_s = time.process_time()
        plan = make_plan(desired, base, fresh)
        found.append(time.process_time() - began_s)
        assert plan.is_empty
    return statistics.median(found[1:])


class Drifted(Hosts):
    """A host that is as wanted but for one address, however often it is looked at."""

    def __init__(self) -> None:
        host = settled(quad(BRIDGES))
        super().__init__(replace(host, facts={**host.facts, "addresses:vmbr0": Seen(["10.0.0.2/24"])}))

    async def observe(self, _spec: HostSpec, _watch: Watch, _known: Sequence[str]) -> HostObserved:
        assert self.host is not None
        return replace(self.host, observed_at=SystemClock().now())


async def rounds(room: Room, done: dict[str, Any], begun: Callable[[], object]) -> None:
    """Round after round; each makes a plan in a worker. `begun` is called after each."""
    await room.push(head(sync="observe") + quad_text(BRIDGES))
    while True:
        await room.round()
        assert room.status.drift_items == 1, room.status
        done["plans"] += 1
        begun()


class Turns(AnswersThis):
    """A host that says one thing and the other in turn."""

    def __init__(self, *answers: bytes) -> None:
        super().__init__(answers[0])
        self._answers = cycle(answers)

    async def ask(self, script: bytes, timeout_s: float) -> bytes:
        self.answer = next(self._answers)
        return await super().ask(script, timeout_s)


class Lines:
    """Connections to several hosts."""

    def __init__(self, hosts: Mapping[str, Host]) -> None:
        self._hosts = hosts

    async def host(self, target: Target) -> Host:
        return self._hosts[target.name]

    async def connect(self, target: Target) -> Host:
        return self._hosts[target.name]

    async def drop(self, name: str) -> None:
        """Nothing is kept."""

    def doubt(self, name: str) -> str:
        return ""


def heavy_hosts() -> dict[str, Host]:
    """One with 8 MB of leases, one with 3,000 rules."""
    much = [framed(with_file(LEASES, leases(LEASES_IN_8_MB + more))) for more in (0, 1)]
    rules = [framed({"nft": big("nft", RULES + more)}) for more in (0, 1)]
    return {"pve1": Turns(*much), "pve2": Turns(*rules)}


async def answering(
    room: Room, workers: Workers, heavy: Mapping[str, Host], done: dict[str, Any], begun: Callable[[], object]
) -> None:
    """Looks at both hosts at the same time, again and again."""
    spec, clock = spec_of(head(sync="observe") + (FOLDER / "seed.yaml").read_text()), SystemClock()
    wanted = Wanted("c" * 40, {name: replace(spec, name=name) for name in ("pve1", "pve2")})
    hosts = FleetHosts(Lines(heavy), Collector(clock, workers), clock, controller="c")
    rounds = Rounds(room.store, room.queries, hosts, PlayedInternet(), KINDS, clock, workers, observe_s=30)
    while True:
        await asyncio.gather(*(rounds.reconcile(name, wanted) for name in wanted.hosts))
        done["plans"] += 1
        begun()


async def turns(done: dict[str, Any]) -> None:
    """What this process uses between two turns of the loop, all its threads together."""
    while True:
        before_s = time.process_time()
        await asyncio.sleep(0)
        done["held_cpu_s"] = max(done["held_cpu_s"], time.process_time() - before_s)
        await asyncio.sleep(0.002)


def run_service(folder: Path, port: int, way: str) -> None:
    """Until it is informed to stop; what it did is in `folder` then."""
    done: dict[str, Any] = {"plans": 0, "held_cpu_s": 0.0}
    workers = Workers()
    heavy = heavy_hosts() if way == "answering" else {}
    with a_room(folder, Drifted(), work=workers) as room:

        @contextlib.asynccontextmanager
        async def lifespan(_: Any) -> AsyncIterator[None]:
            share_the_processor()
            tasks = [asyncio.create_task(turns(done))]
            begun = (folder / "begun").touch
            if way == "planning":
                tasks.append(asyncio.create_task(rounds(room, done, begun)))
            elif way == "answering":
                tasks.append(asyncio.create_task(answering(room, workers, heavy, done, begun)))
            else:
                begun()
            try:
                yield
            finally:
                done["failed"] = "".join(repr(task.exception()) for task in tasks if task.done())
                for task in tasks:
                    task.cancel()
                await workers.close()

        parts = Parts(
            room.queries, room.store, room.control, room.answers, SystemClock(), room.metrics,
            proposals=room.proposals,
        )  # fmt: skip
        serve(create_app(parts, lifespan=lifespan), "127.0.0.1", port, grace_s=1)
    (folder / "done.json").write_text(json.dumps(done))


def answers(seconds: float, way: str) -> dict[str, Any]:
    """How soon `/livez` was answered, and what the service did meanwhile."""
    with tempfile.TemporaryDirectory() as folder:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        words = [sys.executable, __file__, "--serve", folder, "--port", str(port), "--way", way]
        with subprocess.Popen(words) as service:
            try:
                while service.poll() is None and not (_answers(port) and (Path(folder) / "begun").exists()):
                    time.sleep(0.1)
                done = subprocess.run(
                    [sys.executable, "-S", "-c", CLIENT, str(port), str(seconds), str(EVERY_S)],
                    capture_output=True, check=True, timeout=seconds + 120,
                )  # fmt: skip
            finally:
                service.terminate()
        took = sorted(json.loads(done.stdout))
        said = json.loads((Path(folder) / "done.json").read_text())
    return {
        "asked": len(took), "median_s": round(statistics.median(took), 4), "p99_s": round(took[len(took) * 99 // 100], 4),
        "most_s": round(took[-1], 4), **said, "held_cpu_s": round(said["held_cpu_s"], 4),
    }  # fmt: skip


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def is_met(found: dict[str, Any], goal_s: float) -> bool:
    """Whether answers came soon while the work was done."""
    is_soon = min(found["most_s"], found["held_cpu_s"]) <= goal_s
    return bool(is_soon and found["plans"] > 0 and not found["failed"])


def main() -> int:
    asked = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    asked.add_argument("--runs", type=int, default=5)
    asked.add_argument("--seconds", type=float, default=20)
    asked.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    asked.add_argument("--port", type=int, help=argparse.SUPPRESS)
    asked.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    given = asked.parse_args()
    if given.serve:
        run_service(given.serve, given.port, given.way)
        return 0
    costs = {bridges: plan_cpu_s(bridges, given.runs) for bridges in COUNTS}
    growth = max(math.log2(after / before) for before, after in pairwise(costs.values()))
    found = {way: answers(given.seconds, way) for way in WAYS}
    goals = {"planning": ANSWER_S, "answering": HEAVY_ANSWER_S}
    met = growth <= GROWTH and all(is_met(found[way], goal_s) for way, goal_s in goals.items())
    shown = {
        "runs": given.runs, "plan_cpu_s": {bridges: round(cost, 4) for bridges, cost in costs.items()},
        "growth": round(growth, 2), **{f"livez_{way}": one for way, one in found.items()},
        "goals": {"growth": GROWTH, "livez_s": goals}, "met": met,
    }  # fmt: skip
    print(json.dumps(shown, indent=1))
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
