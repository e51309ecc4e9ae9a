#!/usr/bin/env -S sh -c 'p=$(dirname "$0")/../..; [ -x "$p/.venv/bin/python" ] || "$p/deploy/setup" --dev --lab >&2; exec "$p/.venv/bin/python" "$0" "$@"'
"""What a token, the status of hosts and the metrics cost: CPU of the serving process for each request.

    tests/bench/api_reads.py [--hosts 1 100 1000] [--requests 200] [--rounds 5]

Serves the real API over a socket, wired as the service is, after one round of so many hosts that are values. `token_cost`
is a constant answer to a token, compared with the same answer of the same application without its gate. `status_read` is
the status of one host and a page of 100, `metrics_read` the page of all numbers. Both are compared with a constant answer
of the same size to the same token. Between two rounds of requests one host changes. Medians of the rounds. Prints one JSON
object; exit 1 above a goal: 1.3, 1.5, 5.
"""

import argparse
import asyncio
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvicorn

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP))

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.responses import Response

from service.api.create import create_app
from service.api.envelope import Gate
from service.api.parts import Parts, RequestLimits
from service.api.values import Reader
from tests.scenarios.many_hosts import ManyHosts

GOALS = {"token_cost": 1.3, "status_read": 1.5, "metrics_read": 5.0}
CLIENT = """
import sys
from http.client import HTTPConnection
port, path, token, times = sys.argv[1:]
connection = HTTPConnection("127.0.0.1", int(port), timeout=60)
for _ in range(int(times)):
    connection.request("GET", path, headers={"Authorization": "Bearer " + token} if token else {})
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status == 200, body
sys.stdout.buffer.write(body)
"""


class Served:
    """An application on a port of its own, in a thread; the client is another process, so CPU is the server's."""

    def __init__(self, app: FastAPI) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # asyncio: no Nagle
        self.socket.bind(("127.0.0.1", 0))
        self.server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off"))
        self.thread = threading.Thread(target=lambda: asyncio.run(self.server.serve(sockets=[self.socket])))
        self.thread.start()

    def close(self) -> None:
        self.server.should_exit = True
        self.thread.join(10)

    def get(self, path: str, token: str, times: int) -> bytes:
        """Ask so often over one connection, from a process of its own; the last body."""
        words = [str(self.socket.getsockname()[1]), path, token, str(times)]
        done = subprocess.run(
            [sys.executable, "-S", "-c", CLIENT, *words], capture_output=True, timeout=300, check=True
        )
        return done.stdout

    def cpu_us(self, path: str, token: str, times: int) -> float:
        """CPU of this process for each request."""
        before = resource.getrusage(resource.RUSAGE_SELF)
        self.get(path, token, times)
        after = resource.getrusage(resource.RUSAGE_SELF)
        return (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime) / times * 1e6


class Fleet:
    """The service with so many hosts, served with and without its gate."""

    def __init__(self, hosts: int, folder: Path) -> None:
        self.many = ManyHosts(hosts, folder)
        for _ in range(2):  # the second round is a quiet one
            self.many.look()
        history = self.many.history
        self.token = history.store.create_token("bench", scopes=["read"], by="bench", at=datetime.now(UTC))
        history.store.authenticate(self.token.encode(), at=datetime.now(UTC))
        parts = replace(self.many.service.parts, limits=RequestLimits(requests_burst=10**9))
        self.constants: dict[str, bytes] = {"small": b'{"status":"ok"}'}
        self.served = Served(self._app(parts))
        self.open = Served(self._without_gate(parts))
        self.paths = {"host": "/api/v1/hosts/pve0", "hosts": "/api/v1/hosts?limit=100", "metrics": "/metrics"}
        for name, path in self.paths.items():
            self.constants[name] = self.served.get(path, self.token, 3)

    def _app(self, parts: Parts) -> FastAPI:
        app = create_app(parts)

        @app.get("/api/v1/constant/{name}")
        async def constant(who: Reader, name: str) -> Response:
            return Response(self.constants[name], media_type="application/json")

        return app

    def _without_gate(self, parts: Parts) -> FastAPI:
        app = create_app(parts)
        app.user_middleware = [one for one in app.user_middleware if not _is_gate(one)]

        @app.get("/api/v1/constant/{name}")
        async def constant(name: str) -> Response:
            return Response(self.constants[name], media_type="application/json")

        return app

    def close(self) -> None:
        self.served.close()
        self.open.close()
        self.many.close()

    def round(self, requests: int) -> dict[str, float]:
        """CPU in µs of each request, all in turn."""
        found = {"open": self.open.cpu_us("/api/v1/constant/small", "", requests)}
        found["token"] = self.served.cpu_us("/api/v1/constant/small", self.token, requests)
        for name, path in self.paths.items():
            found[f"constant {name}"] = self.served.cpu_us(f"/api/v1/constant/{name}", self.token, requests)
            self.many.change()
            found[name] = self.served.cpu_us(path, self.token, requests)
        return found


def _is_gate(one: Middleware) -> bool:
    return one.cls is Gate  # type: ignore[comparison-overlap]  # Starlette knows it as a protocol


def ratios(us: dict[str, float]) -> dict[str, float]:
    reads = {name: us[name] / us[f"constant {name}"] for name in ("host", "hosts", "metrics")}
    return {"token_cost": us["token"] / us["open"], **reads}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--hosts", type=int, nargs="+", default=[1, 100, 1000])
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    shown: dict[str, Any] = {"load": round(os.getloadavg()[0], 1), "goals": GOALS}
    worst = dict.fromkeys(GOALS, 0.0)
    for hosts in given.hosts:
        with ExitStack() as stack:
            fleet = Fleet(hosts, Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="api-"))))
            stack.callback(fleet.close)
            rounds = [fleet.round(given.requests) for _ in range(given.rounds)]
        us = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
        times = ratios(us)
        sizes = {name: len(body) for name, body in fleet.constants.items()}
        shown[f"{hosts} hosts"] = {
            "cpu_us": {name: round(value) for name, value in us.items()}, "bytes": sizes,
            "times": {name: round(value, 2) for name, value in times.items()},
        }  # fmt: skip
        found = (times["token_cost"], max(times["host"], times["hosts"]), times["metrics"])
        worst = {name: max(worst[name], value) for name, value in zip(GOALS, found, strict=True)}
    shown |= {name: round(value, 2) for name, value in worst.items()}
    print(json.dumps(shown))
    return int(any(worst[name] > goal for name, goal in GOALS.items()))


if __name__ == "__main__":
    sys.exit(main())
