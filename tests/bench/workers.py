#!/usr/bin/env -S sh -c 'p=$(dirname "$0")/../..; [ -x "$p/.venv/bin/python" ] || "$p/deploy/setup" --dev --lab >&2; exec "$p/.venv/bin/python" "$0" "$@"'
"""How many looks at hosts 1, 2 and 4 worker processes do on one PostgreSQL database, each with the same latency.

    tests/bench/workers.py [--hosts 60] [--latency-s 0.1] [--seconds 12]

The hosts are played, and a look needs twice the latency. A worker looks at `THREADS` hosts at once, so that latency and
not the cores bounds one worker. `workers_scaling` is looks a second of 4 workers, compared with 4 times those of one.
Prints one JSON object; exit 1 where it is below its goal.
"""

import argparse
import asyncio
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.postgres import Cluster, cluster
from tests.safety.worker_runs import Fleet

GOAL = 0.8
THREADS = 3
COUNTS = (1, 2, 4)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, default=60)
    parser.add_argument("--latency-s", type=float, default=0.1)
    parser.add_argument("--seconds", type=float, default=12)
    given = parser.parse_args()
    load = round(os.getloadavg()[0], 1)
    with cluster() as server:
        rates = {
            count: asyncio.run(measured(server, count, given.hosts, given.latency_s, given.seconds)) for count in COUNTS
        }
    one, most = COUNTS[0], COUNTS[-1]
    scaling = {count: round(rates[count][0] / rates[one][0] / count, 2) for count in COUNTS}
    found = {
        "looks_s": {count: round(rate, 1) for count, (rate, _) in rates.items()},
        "cpu_ms_a_look": {count: round(cpu, 1) for count, (_, cpu) in rates.items()},
        "scaling": scaling, "workers_scaling": scaling[most], "hosts": given.hosts, "latency_s": given.latency_s,
        "load": load,
    }  # fmt: skip
    print(json.dumps(found))
    return 0 if scaling[most] >= GOAL else 1


async def measured(server: Cluster, count: int, hosts: int, latency_s: float, seconds: float) -> tuple[float, float]:
    """(looks a second, CPU milliseconds of the workers for each) once every host was changed and looked at again."""
    with tempfile.TemporaryDirectory() as folder:
        fleet = Fleet(Path(folder), server, hosts, count, latency_s=latency_s, observe_s=0.2, threads=THREADS)
        await fleet.begin()
        try:
            if not await fleet.until(fleet.is_settled, 300):
                raise SystemExit((Path(folder) / "log").read_text()[-2000:])
            looks, began_s, spent_s = fleet.field.looks, time.monotonic(), cpu_s(fleet)
            await asyncio.sleep(seconds)
            done = fleet.field.looks - looks
            return done / (time.monotonic() - began_s), (cpu_s(fleet) - spent_s) * 1000 / max(1, done)
        finally:
            await fleet.end()


def cpu_s(fleet: Fleet) -> float:
    """CPU of the workers so far."""
    ticks = 0
    for one in fleet.running.values():
        fields = Path(f"/proc/{one.pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    sys.exit(main())
