#!/usr/bin/env -S sh -c 'p=$(dirname "$0")/../..; [ -x "$p/.venv/bin/python" ] || "$p/deploy/setup" --dev --lab >&2; exec "$p/.venv/bin/python" "$0" "$@"'
"""What memory an idle service with 1,000 hosts takes, and a kept connection.

    tests/bench/memory.py [--hosts 1000] [--connections 60]

Needs root. Each part is a process of its own, and counts its resident memory (VmRSS), which holds the pages of shared
libraries, too. `imported_mb` is a process that has imported the service and nothing else. `hosts_mb` is what two rounds
of so many hosts add that are values in this process. A part of that belongs to those values: they are the hosts' side,
too, and make new ones at each look. `rss_mb_1000_hosts` is the sum, with the connections. `connection_kib` is measured
over real SSH (tests/light_hosts.py): connections beyond the first ten, each with one command run. Prints one JSON
object; exit 1 above a goal: 130 MB, 50 KiB.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP))

GOALS = {"rss_mb_1000_hosts": 130.0, "connection_kib": 50.0}
FIRST = 10


def resident_kib() -> float:
    """Of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 1024


def imported() -> dict[str, float]:
    """The service as it is wired, and nothing else."""
    import service.app  # noqa: F401 (its memory is what is measured)

    return {"imported_mb": resident_kib() / 1024}


def looked_at(hosts: int) -> dict[str, float]:
    """What hosts add that were looked at twice."""
    from tests.scenarios.many_hosts import ManyHosts

    with tempfile.TemporaryDirectory(prefix="memory-") as folder:
        many = ManyHosts(hosts, Path(folder))
        before_kib = resident_kib()
        for _ in range(2):
            many.look()
        many.service.api()
        after_kib = resident_kib()
        many.close()
    return {"hosts_mb": (after_kib - before_kib) / 1024}


def connected(count: int) -> dict[str, float]:
    """What a connection adds, the first few left out."""
    from service.app import outside
    from service.observe.connection import Target
    from service.settings import Settings
    from service.ssh.own_key import own_key
    from tests.light_hosts import PORT, LightHosts, enter_network

    enter_network()
    with tempfile.TemporaryDirectory(prefix="memory-") as name:
        folder = Path(name)
        settings = Settings(state_dir=folder / "state", source="")
        settings.state_dir.mkdir(mode=0o700)
        public = " ".join(own_key(settings.host_key_path).export_public_key().decode().split()[:2])
        with LightHosts(folder, count, public) as hosts:
            key = " ".join((folder / "host_key.pub").read_text().split()[:2])
            targets = [Target(name, address, (key,), PORT) for name, address in hosts.names.items()]

            async def connections() -> float:
                world = outside(settings)
                try:
                    for number, target in enumerate(targets):
                        if number == FIRST:
                            before_kib = resident_kib()
                        host = await world.connections.host(target)
                        assert (await host.run(["true"], timeout_s=60)).exit_status == 0
                    return (resident_kib() - before_kib) / (len(targets) - FIRST)
                finally:
                    await world.close()

            return {"connection_kib": asyncio.run(connections())}


def main() -> int:
    """Run, print, judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--hosts", type=int, default=1000)
    parser.add_argument("--connections", type=int, default=60)
    parser.add_argument("--part", choices=("imported", "hosts", "connections"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        parts: dict[str, Callable[[], dict[str, float]]] = {
            "imported": imported,
            "hosts": lambda: looked_at(given.hosts),
            "connections": lambda: connected(given.connections),
        }
        print(json.dumps(parts[given.part]()))
        return 0
    found: dict[str, Any] = {"hosts": given.hosts, "connections": given.connections}
    for part in ("imported", "hosts", "connections"):
        words = [sys.executable, __file__, "--part", part, "--hosts", str(given.hosts)]
        done = subprocess.run([*words, "--connections", str(given.connections)], stdout=subprocess.PIPE, check=True)
        found |= {name: round(value, 1) for name, value in json.loads(done.stdout.splitlines()[-1]).items()}
    rss_mb = found["imported_mb"] + found["hosts_mb"] + found["connection_kib"] * given.hosts / 1024
    found |= {"rss_mb_1000_hosts": round(rss_mb, 1), "goals": GOALS}
    print(json.dumps(found))
    return int(any(found[name] > goal for name, goal in GOALS.items()))


if __name__ == "__main__":
    sys.exit(main())
