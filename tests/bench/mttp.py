#!/usr/bin/env -S sh -c 'p=$(dirname "$0")/../..; [ -x "$p/.venv/bin/python" ] || "$p/deploy/setup" --dev >&2; exec "$p/.venv/bin/python" "$0" "$@"'
"""How long a commit that changes every host takes until each of them has it and was verified: the mean, and the curve.

    tests/bench/mttp.py [--hosts 100 1000]

The service's own loop, repository and database, with as many workers as by default; hosts are values in this process,
so this is what the service itself needs. A commit gives the bridge of every host another address. A host is done when
its apply is confirmed, which is after its probes. `mttp_s` is the mean of the seconds from the push to that, as Flux
counts the time of a commit until it is in force. `curve_s` has the second at which a tenth, a half, nine tenths and all
of the hosts were done. `noticed_s` is the time until the first apply was requested, `apply_s` the median from an apply's
request to its end. `cpu_ms` is for each host, all in all. Prints one JSON object; there is no goal. Exit 1 where a host
does not get there.
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
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP))

from service.model.events import ApplyFinished, ApplyRequested, Happened
from tests.scenarios.many_hosts import ManyHosts

SHARES = (0.1, 0.5, 0.9, 1.0)
GIVE_UP_S = 1800.0


def cpu_s() -> float:
    """Of this process and of those that it ran."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


class Heard:
    """When each host's apply was requested, and when it ended. Threads report events."""

    def __init__(self, loop: asyncio.AbstractEventLoop, hosts: int) -> None:
        self._loop = loop
        self._hosts = hosts
        self.all_done = asyncio.Event()
        self.begin()

    def begin(self) -> None:
        """Forget what was heard."""
        self.requested: dict[str, float] = {}
        self.done: dict[str, float] = {}
        self.failed: list[str] = []
        self.all_done.clear()

    def hear(self, event: Happened) -> None:
        self._loop.call_soon_threadsafe(self._heard, event, time.monotonic())

    def _heard(self, event: Happened, at_s: float) -> None:
        if isinstance(event, ApplyRequested):
            self.requested.setdefault(event.host, at_s)
        elif isinstance(event, ApplyFinished):
            self.done[event.host] = at_s
            self.failed += [event.text] if event.phase != "Succeeded" else []
        if len(self.done) >= self._hosts:
            self.all_done.set()


async def one_commit(many: ManyHosts, heard: Heard, last: int) -> dict[str, Any]:
    """Push, and wait until every host is done."""
    heard.begin()
    began_s, began_cpu_s = time.monotonic(), cpu_s()
    await asyncio.to_thread(many.push, last)
    pushed_s = time.monotonic()
    many.service.loop.look_now()
    try:
        await asyncio.wait_for(heard.all_done.wait(), GIVE_UP_S)
    except TimeoutError:
        raise SystemExit(f"{len(heard.done)} of {len(many.hosts)} hosts were done in {GIVE_UP_S:.0f} s") from None
    if heard.failed:
        raise SystemExit("\n".join(heard.failed[:5]))
    took = sorted(at_s - pushed_s for at_s in heard.done.values())
    curve = {f"{share:.0%}": round(took[max(0, round(share * len(took)) - 1)], 2) for share in SHARES}
    applies = [heard.done[name] - at_s for name, at_s in heard.requested.items()]
    return {
        "mttp_s": round(statistics.mean(took), 2), "curve_s": curve,
        "noticed_s": round(min(heard.requested.values()) - pushed_s, 2),
        "apply_s": round(statistics.median(applies), 2), "push_s": round(pushed_s - began_s, 2),
        "cpu_ms": round((cpu_s() - began_cpu_s) / len(took) * 1000, 1),
    }  # fmt: skip


async def fleet(hosts: int, folder: Path) -> dict[str, Any]:
    """The second commit of a fleet: the first gave the hosts what they did not have."""
    many = ManyHosts(hosts, folder, sync="auto")
    try:
        heard = Heard(asyncio.get_running_loop(), hosts)
        many.history.tell_to(heard.hear)
        async with many.service.lifespan(None):
            await one_commit(many, heard, 1)
            return await one_commit(many, heard, 2)
    finally:
        many.close()


def main() -> int:
    """Run, print, judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--hosts", type=int, nargs="+", default=[100, 1000])
    given = parser.parse_args()
    shown: dict[str, Any] = {"load": round(os.getloadavg()[0], 1)}
    for hosts in given.hosts:
        with tempfile.TemporaryDirectory(prefix="mttp-") as folder:
            shown[f"{hosts} hosts"] = found = asyncio.run(fleet(hosts, Path(folder)))
            shown["mttp_s"] = found["mttp_s"]
    print(json.dumps(shown))
    return 0


if __name__ == "__main__":
    sys.exit(main())
