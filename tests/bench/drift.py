#!/usr/bin/env -S sh -c 'p=$(dirname "$0")/../..; [ -x "$p/.venv/bin/python" ] || "$p/deploy/setup" --dev --lab >&2; exec "$p/.venv/bin/python" "$0" "$@"'
"""How long a change by hand takes until it is on record, with hints, and what they cost compared with polling.

    tests/bench/drift.py [--hosts 100] [--changes 200] [--window-s 60]

Needs root. The hosts are sshd processes, each in a network of its own: tests/light_hosts.py. When the looks after the
start have ended, somebody adds an address to a bridge, waits for the event `drift.found`, removes it, and waits for
`drift.resolved`. Ten do so at the same time, on random hosts. Seconds count from the end of the command to the event.
Then nothing changes for a while: CPU seconds of the service with hints and a sweep of 300 s. Then the same without hints
and with a look every 30 s. Prints one JSON object; exit 1 above a goal: p99 of 1 s, and half the CPU.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP))

from service.app import Service, build, outside
from service.history import History, open_history
from service.model.events import DriftFound, DriftResolved, Happened
from service.settings import Settings
from service.ssh.own_key import own_key
from tests.light_hosts import LightHosts, enter_network

GOALS = {"drift_p99_s": 1.0, "resolved_p99_s": 1.0, "cpu_vs_polling": 0.5}
AT_ONCE = 10
GIVE_UP_S = 300.0
SETTLE_S = 30.0
CHANGE = "ip address add 10.66.0.1/24 dev vmbr0"
BACK = "ip address del 10.66.0.1/24 dev vmbr0"


class Told:
    """When an event of a host was on record. Threads report events."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: dict[tuple[type[Happened], str], asyncio.Future[float]] = {}

    def hear(self, event: Happened) -> None:
        now_s = time.monotonic()
        if isinstance(event, DriftFound | DriftResolved):
            self._loop.call_soon_threadsafe(self._heard, (type(event), event.host), now_s)

    def _heard(self, key: tuple[type[Happened], str], at_s: float) -> None:
        waiting = self._waiting.pop(key, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(at_s)

    def next(self, kind: type[Happened], host: str) -> asyncio.Future[float]:
        made: asyncio.Future[float] = self._loop.create_future()
        self._waiting[kind, host] = made
        return made


async def until(is_so: Callable[[], bool], what: str) -> None:
    try:
        async with asyncio.timeout(GIVE_UP_S):
            while not is_so():  # noqa: ASYNC110 (hosts report to the service, not here)
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise SystemExit(f"{what}: not within {GIVE_UP_S:.0f} s") from None


async def change(hosts: LightHosts, told: Told, name: str) -> tuple[float, float]:
    """Seconds until it was found, and until it was resolved after the address was removed."""
    found = told.next(DriftFound, name)
    await asyncio.to_thread(hosts.sh, name, CHANGE)
    began_s = time.monotonic()
    found_s = await asyncio.wait_for(found, GIVE_UP_S) - began_s
    resolved = told.next(DriftResolved, name)
    await asyncio.to_thread(hosts.sh, name, BACK)
    began_s = time.monotonic()
    return found_s, await asyncio.wait_for(resolved, GIVE_UP_S) - began_s


async def changes(hosts: LightHosts, told: Told, count: int) -> list[tuple[float, float]]:
    """`AT_ONCE` of them at the same time, each on a host of its own."""
    chance, free = random.Random(1), sorted(hosts.names)
    seconds: list[tuple[float, float]] = []
    print(f"{count} changes by hand", file=sys.stderr)

    async def person() -> None:
        while len(seconds) < count:
            name = free.pop(chance.randrange(len(free)))
            seconds.append(await change(hosts, told, name))
            free.append(name)

    await asyncio.gather(*(person() for _ in range(min(AT_ONCE, len(free)))))
    return seconds


async def cpu_s(window_s: float) -> float:
    began_s = time.process_time()
    await asyncio.sleep(window_s)
    return time.process_time() - began_s


async def with_service(settings: Settings, history: History, do: Callable[[Service], Any]) -> Any:
    """What `do` returns, while the loop runs."""
    world = outside(settings)
    service = build(settings, history, world)
    async with service.lifespan(None):
        return await do(service)


def is_synced(history: History, names: dict[str, str]) -> bool:
    return all((status := history.queries.host(name)) is not None and status.sync == "Synced" for name in names)


async def measure(settings: Settings, history: History, hosts: LightHosts, asked: argparse.Namespace) -> dict[str, Any]:
    told = Told(asyncio.get_running_loop())
    history.tell_to(told.hear)

    async def with_hints(service: Service) -> tuple[list[tuple[float, float]], float]:
        await until(lambda: is_synced(history, hosts.names), "all hosts are Synced")
        await until(lambda: all(map(service.parts.hints, hosts.names)), "all hosts send hints")
        await asyncio.sleep(SETTLE_S)  # each channel of hints causes a look when it opens
        seconds = await changes(hosts, told, asked.changes)
        await asyncio.sleep(SETTLE_S)
        print(f"nothing changes for {asked.window_s:.0f} s", file=sys.stderr)
        return seconds, await cpu_s(asked.window_s)

    async def polling(_: Service) -> float:
        await until(lambda: is_synced(history, hosts.names), "all hosts are Synced")
        await asyncio.sleep(SETTLE_S)
        print(f"polling for {asked.window_s:.0f} s", file=sys.stderr)
        return await cpu_s(asked.window_s)

    seconds, hints_s = await with_service(settings.model_copy(update={"sweep_s": 300.0}), history, with_hints)
    polling_s = await with_service(settings.model_copy(update={"hints": False}), history, polling)
    found = sorted(one[0] for one in seconds)
    resolved = sorted(one[1] for one in seconds)
    return {
        "hosts": asked.hosts, "changes": len(seconds), "load": round(os.getloadavg()[0], 1),
        "drift_median_s": round(statistics.median(found), 3), "drift_p99_s": p99(found),
        "drift_most_s": round(found[-1], 3), "resolved_median_s": round(statistics.median(resolved), 3),
        "resolved_p99_s": p99(resolved), "resolved_most_s": round(resolved[-1], 3),
        "cpu_hints_s": round(hints_s, 3), "cpu_polling_s": round(polling_s, 3),
        "cpu_vs_polling": round(hints_s / polling_s, 3),
    }  # fmt: skip


def p99(ordered: list[float]) -> float:
    return round(ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)], 3)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--hosts", type=int, default=100)
    parser.add_argument("--changes", type=int, default=200)
    parser.add_argument("--window-s", type=float, default=60)
    asked = parser.parse_args()
    enter_network()
    with tempfile.TemporaryDirectory(prefix="drift-") as name:
        folder = Path(name)
        settings = Settings(state_dir=folder / "state", source="")
        settings.state_dir.mkdir(mode=0o700)
        public = " ".join(own_key(settings.host_key_path).export_public_key().decode().split()[:2])
        with LightHosts(folder, asked.hosts, public) as hosts:
            settings = Settings(state_dir=folder / "state", source=str(hosts.repository()))
            with open_history(settings.database_path, serve=True) as history:
                found = asyncio.run(measure(settings, history, hosts, asked))
    print(json.dumps(found))
    sys.exit(any(found[name] > goal for name, goal in GOALS.items()))


if __name__ == "__main__":
    main()
