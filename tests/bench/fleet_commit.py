#!/usr/bin/env -S sh -c 'p=$(dirname "$0")/../..; [ -x "$p/.venv/bin/python" ] || "$p/deploy/setup" --dev >&2; exec "$p/.venv/bin/python" "$0" "$@"'
"""What a commit costs that changes one host of a fleet: CPU of the service, in quiet rounds of one host.

    tests/bench/fleet_commit.py [--hosts 100 3000] [--runs 5]

The service's own loop, a real repository and a real database; hosts are values in this process, so a quiet round here is
the cheapest that there is. `rounds` is the CPU from the end of the look at the repository until nothing is to be done, in
quiet rounds. That of the same commit in a fleet of one host is not counted. `look_rounds` is the same of the look:
fetching, reading and judging the commit. `plans` are new rows, `position` says as which one the changed host was looked
at. `queue_us` is an operation of the queue. Medians of the runs. Prints one JSON object. Exit 1 for
more than 3 rounds, more than one row, another position than the first, or more than 5 µs for the queue.
"""

import argparse
import asyncio
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP))

from service.garbage import collect_rarely
from service.reconcile.queue import Queue
from tests.laws.specs import head
from tests.reconcile.clocks import StoppedClock
from tests.scenarios.played_host import PlayedHost
from tests.scenarios.played_lines import Lines
from tests.scenarios.stage import OBSERVE_S, Stage

GOAL_ROUNDS, GOAL_US = 3.0, 5.0
SECTIONS = "interfaces:\n  enp1s0: {addresses: [198.51.100.11/24], gateway: 198.51.100.1}\n"
CHANGED = "bridges:\n  vmbr0: {{addresses: [10.10.{}.1/24], ports: []}}\n"


def cpu_s() -> float:
    """Of this process and of those that it ran."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


@dataclass
class Spent:
    """CPU seconds of each run."""

    look_s: list[float] = field(default_factory=list)
    rest_s: list[float] = field(default_factory=list)
    quiet_s: list[float] = field(default_factory=list)
    plans: list[int] = field(default_factory=list)
    position: list[int] = field(default_factory=list)


class Fleet(Stage):
    """A service and so many hosts that it only looks at."""

    def __init__(self, folder: Path, hosts: int) -> None:
        super().__init__(folder, {})
        self.hosts = {f"h{number}": PlayedHost(self.clock) for number in range(hosts)}
        self.lines = Lines(self.hosts)
        self.specs = {f"hosts/{name}.yaml": self.spec(name) for name in self.hosts}
        self.seen: list[str] = []
        self.look_s = 0.0

    def spec(self, name: str) -> str:
        """Each host has an address of its own."""
        number = int(name[1:])
        return head("observe").replace("pve1", name).replace(
            "  address: 198.51.100.11\n",
            f"  address: 198.18.{number // 250}.{number % 250 + 1}\n  console: https://{name}.example.net/\n",
        ) + SECTIONS  # fmt: skip

    def push(self) -> None:
        self.forge.push({"fleet.yaml": "passerelle: 1\n", **self.specs})

    def _is_idle(self) -> bool:
        due = self.clock.due_s()
        is_waiting = len(due) == 3 and due[0] > self.clock.at_s
        return is_waiting and self.queue.depth == len(self.hosts)

    def measured(self, look: Callable[[], Awaitable[bool]]) -> Callable[[], Awaitable[bool]]:
        """The watcher's look, with its CPU kept. Nothing else runs meanwhile."""

        async def looked() -> bool:
            began_s = cpu_s()
            try:
                return await look()
            finally:
                self.look_s = cpu_s() - began_s

        return looked

    async def begin(self) -> None:
        """All hosts are as wanted, and the last round of each was quiet."""
        self.push()
        await self.start()
        self.watcher.look = self.measured(self.watcher.look)  # type: ignore[method-assign,assignment]  # it is measured
        for name, host in self.hosts.items():
            host.observed = self.noted(name, host.observed)  # type: ignore[method-assign]  # it is noted down
        for _ in range(4):
            await self.wait(OBSERVE_S)
            await self.settled()
        for name in self.hosts:
            status = self.queries.host(name)
            if status is None or status.sync != "Synced":
                raise SystemExit(f"{name} is not as wanted: {status}")

    def noted(self, name: str, observed: Callable[..., Any]) -> Callable[..., Any]:
        def noting(watch: Any) -> Any:
            self.seen.append(name)
            return observed(watch)

        return noting

    def rows(self) -> int:
        with self.history._database.read() as connection:
            return int(connection.exec_driver_sql("SELECT COUNT(*) FROM plans").scalar_one())

    async def quiet(self) -> float:
        """CPU seconds of one quiet round."""
        began_s, self.seen = cpu_s(), []
        self.clock.move(OBSERVE_S)
        await self.settled()
        return (cpu_s() - began_s) / len(self.seen)

    async def commit(self, number: int, spent: Spent) -> None:
        """One that changes the last host."""
        name = list(self.hosts)[-1]
        self.specs[f"hosts/{name}.yaml"] = self.spec(name) + CHANGED.format(number)
        self.push()
        rows, self.seen = self.rows(), []
        began_s = cpu_s()
        self.loop.look_now()
        await self.settled()
        total_s = cpu_s() - began_s
        spent.look_s.append(self.look_s)
        spent.rest_s.append(total_s - self.look_s)
        spent.plans.append(self.rows() - rows)
        spent.position.append(self.seen.index(name) + 1)
        self.specs[f"hosts/{name}.yaml"] = self.spec(name)
        self.push()
        self.loop.look_now()
        await self.settled()
        for _ in range(2):
            self.clock.move(OBSERVE_S)
            await self.settled()
        spent.quiet_s.append(await self.quiet())


async def spent_by(hosts: int, runs: int) -> Spent:
    """The runs of one fleet."""
    spent = Spent()
    with tempfile.TemporaryDirectory(prefix="fleet-commit-") as folder:
        fleet = Fleet(Path(folder), hosts)
        await fleet.begin()
        for number in range(runs + 1):
            await fleet.commit(number, spent)
        await fleet.end()
    return spent


async def queue_us(hosts: int) -> float:
    """One operation of a queue with so many names, in µs of CPU."""
    queue, names = Queue(StoppedClock()), [f"h{number}" for number in range(hosts)]
    for name in names:
        queue.add(name, after_s=60)
    began_s, operations = time.process_time(), 0
    for _ in range(5):
        for name in names:
            queue.add(name)
        for _ in names:
            name = await queue.take()
            queue.add(name, after_s=60)
            queue.done(name)
        operations += 4 * len(names)
    return (time.process_time() - began_s) / operations * 1e6


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--hosts", type=int, nargs="+", default=[100, 3000])
    parser.add_argument("--runs", type=int, default=5)
    asked = parser.parse_args()
    collect_rarely()  # as in `serve`
    one = asyncio.run(spent_by(1, asked.runs))
    own_s, own_look_s = statistics.median(one.rest_s[1:]), statistics.median(one.look_s[1:])
    found: dict[str, Any] = {"load": round(os.getloadavg()[0], 1), "own_ms": round(own_s * 1000, 2), "fleets": {}}
    for hosts in asked.hosts:
        spent = asyncio.run(spent_by(hosts, asked.runs))
        quiet_s = statistics.median(spent.quiet_s)
        found["fleets"][str(hosts)] = {
            "quiet_ms": round(quiet_s * 1000, 3),
            "rounds": round((statistics.median(spent.rest_s[1:]) - own_s) / quiet_s, 2),
            "look_ms": round(statistics.median(spent.look_s[1:]) * 1000, 1),
            "look_rounds": round((statistics.median(spent.look_s[1:]) - own_look_s) / quiet_s, 2),
            "plans": max(spent.plans),
            "position": max(spent.position),
            "queue_us": round(asyncio.run(queue_us(hosts)), 2),
        }
    of = found["fleets"].values()
    found["one_host_commit_rounds"] = max(each["rounds"] for each in of)
    print(json.dumps(found))
    is_well = all(each["plans"] == 1 and each["position"] == 1 and each["queue_us"] <= GOAL_US for each in of)
    sys.exit(not is_well or found["one_host_commit_rounds"] > GOAL_ROUNDS)


if __name__ == "__main__":
    main()
