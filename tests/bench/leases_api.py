#!/usr/bin/env -S sh -c 'p=$(dirname "$0")/../..; [ -x "$p/.venv/bin/python" ] || "$p/deploy/setup" --dev --lab >&2; exec "$p/.venv/bin/python" "$0" "$@"'
"""What a page of leases costs: CPU of the serving process for each request, against a constant answer of the same size.

    tests/bench/leases_api.py [--rows 100000] [--small 1000] [--requests 400]

Serves the real API over a socket, with a small database and with a large one. For comparison, a route of the same
application answers with the same bytes as the page. Prints one JSON object; exit 1 where a ratio is above its goal (2
against the constant answer, 1.5 against the small database).
"""

import argparse
import asyncio
import json
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import uvicorn

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP))

from fastapi import FastAPI
from starlette.responses import Response

from service.api.create import create_app
from service.api.parts import Parts, RequestLimits
from service.api.values import Reader
from service.clock import SystemClock
from service.history import History, open_history
from service.model.observed import Lease

START = datetime.now(UTC) - timedelta(days=1)
GOALS = {"constant": 2.0, "small": 1.5}
ROUNDS = 5
QUERIES = {
    "list": "limit=50",
    "active": "limit=50&active=true",
    "host": "limit=50&host=pve1",
    "name": "limit=50&name=g7",
    "at": f"limit=50&at={(START + timedelta(hours=2)).isoformat().replace('+00:00', 'Z')}",
}


def fill(history: History, rows: int, hosts: int = 20) -> None:
    """So many leases over some hosts; a fifth of them is gone, another fifth was renamed since."""
    for host in range(hosts):
        numbers = range(host, rows, hosts)
        leases = [lease(n, "") for n in numbers]
        history.store.seen_leases(f"pve{host}", leases, at=START)
        later = [lease(n, "x" if n % 5 == 1 else "") for n in numbers if n % 5]
        history.store.seen_leases(f"pve{host}", later, at=START + timedelta(hours=6))


def lease(number: int, more: str) -> Lease:
    high, low = number >> 8, number & 255
    mac = f"bc:24:11:{number >> 16 & 255:02x}:{high & 255:02x}:{low:02x}"
    return Lease(mac, f"10.{number >> 16 & 255}.{high & 255}.{low}", f"g{number}{more}", 0)


CLIENT = """
import sys
from http.client import HTTPConnection
port, path, token, times = sys.argv[1:]
connection = HTTPConnection("127.0.0.1", int(port), timeout=60)
for _ in range(int(times)):
    connection.request("GET", path, headers={"Authorization": "Bearer " + token})
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status == 200, body
sys.stdout.buffer.write(body)
"""


class Served:
    """The application on a port of its own, in a thread; the client is another process, so CPU is the server's."""

    def __init__(self, rows: int, folder: Path) -> None:
        self.history = open_history(folder / "passerelle.sqlite", serve=True)
        fill(self.history, rows)
        now = datetime.now(UTC)
        self.token = self.history.store.create_token("bench", scopes=["read"], by="bench", at=now)
        limits = RequestLimits(requests_burst=10**9)
        nobody: Any = None  # nobody asks the loop here
        reads, writes = self.history.queries, self.history.store
        parts = Parts(reads, writes, nobody, nobody, SystemClock(), limits=limits, proposals=nobody)
        self.app = create_app(parts)
        self.constants: dict[str, bytes] = {}
        self._add_constant(self.app)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # asyncio: no Nagle
        self.socket.bind(("127.0.0.1", 0))
        self.server = uvicorn.Server(uvicorn.Config(self.app, log_level="warning", access_log=False))
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _add_constant(self, app: FastAPI) -> None:
        @app.get("/api/v1/constant/{name}")
        async def constant(who: Reader, name: str) -> Response:
            return Response(self.constants[name], media_type="application/json")

    def _run(self) -> None:
        asyncio.run(self.server.serve(sockets=[self.socket]))

    def close(self) -> None:
        self.server.should_exit = True
        self.thread.join(10)
        self.history.close()

    def get(self, path: str, times: int) -> bytes:
        """Ask so often over one connection, from a process of its own; the last body."""
        words = [str(self.socket.getsockname()[1]), path, self.token, str(times)]
        done = subprocess.run(
            [sys.executable, "-S", "-c", CLIENT, *words], capture_output=True, timeout=300, check=True
        )
        return done.stdout

    def cpu_us(self, path: str, times: int) -> float:
        """CPU of this process for each request."""
        before = resource.getrusage(resource.RUSAGE_SELF)
        self.get(path, times)
        after = resource.getrusage(resource.RUSAGE_SELF)
        used_s = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
        return used_s / times * 1e6


def measure(served: dict[str, Served], requests: int) -> dict[str, dict[str, float]]:
    """Medians over rounds in which everything is requested in turn, so that a slow moment affects all of them."""
    samples: dict[tuple[str, str], list[float]] = {}
    for _ in range(ROUNDS):
        for name, query in QUERIES.items():
            for size, one in served.items():
                samples.setdefault((name, size), []).append(one.cpu_us(f"/api/v1/leases?{query}", requests))
            constant = served["large"].cpu_us(f"/api/v1/constant/{name}", requests)
            samples.setdefault((name, "constant"), []).append(constant)
    return {
        name: {size: statistics.median(samples[name, size]) for size in ("large", "small", "constant")}
        for name in QUERIES
    }


def report(found: dict[str, dict[str, float]], rows: dict[str, int]) -> dict[str, Any]:
    shown: dict[str, Any] = {"rows": rows, "goals": GOALS, "queries": {}}
    for name, us in found.items():
        ratios = {against: round(us["large"] / us[against], 2) for against in GOALS}
        within = all(ratios[against] <= goal for against, goal in GOALS.items())
        shown["queries"][name] = {
            "cpu_us": {size: round(value) for size, value in us.items()}, "ratios": ratios, "within": within,
        }  # fmt: skip
    shown["ok"] = all(one["within"] for one in shown["queries"].values())
    return shown


def main() -> int:
    asked = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    asked.add_argument("--rows", type=int, default=100_000)
    asked.add_argument("--small", type=int, default=1_000)
    asked.add_argument("--requests", type=int, default=100)
    options = asked.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        served = {}
        for size, rows in (("small", options.small), ("large", options.rows)):
            (Path(folder) / size).mkdir()
            served[size] = Served(rows, Path(folder) / size)
        try:
            began = time.monotonic()
            for name, query in QUERIES.items():
                served["large"].constants[name] = served["large"].get(f"/api/v1/leases?{query}", 3)
                served["small"].get(f"/api/v1/leases?{query}", 3)
            shown = report(measure(served, options.requests), {"large": options.rows, "small": options.small})
            print(json.dumps(shown | {"seconds": round(time.monotonic() - began, 1)}, indent=1))
        finally:
            for one in served.values():
                one.close()
    return 0 if shown["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
