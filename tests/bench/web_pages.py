#!/usr/bin/env -S sh -c 'p=$(dirname "$0")/../..; [ -x "$p/.venv/bin/python" ] || "$p/deploy/setup" --dev --lab --browser >&2; exec "$p/.venv/bin/python" "$0" "$@"'
"""What pages cost: CPU of the serving process for each page, and when a browser paints it first.

    tests/bench/web_pages.py [--hosts 1000] [--leases 10000] [--rows 100000] [--requests 40] [--rounds 5] [--paints 7]

Serves the real pages over a socket, wired as the service is, with a history of so many hosts, leases and rows. `page_cpu`
is the worst page, compared with a constant answer of the same size to the same session in the same process. Between two
rounds of requests one host changes. `page_made` is one request for a page after a change, compared with one for the
constant answer, each on a new connection: it has no goal. `first_paint` is the worst page in Chromium, compared with the same bytes as a file, its style
and script included. Medians of the rounds. Prints one JSON object; exit 1 above a goal: 3, 1.5.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP))

from playwright.sync_api import Browser
from sqlalchemy import insert
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.create import create_app
from service.api.envelope import Envelope, HostNames
from service.api.parts import Parts, RequestLimits
from service.history import History
from service.history.tables import events
from service.model.observed import Lease
from service.web.asked import Asked, Route
from service.web.pages import ROUTES
from service.web.site import OF_THE_API, Pages
from tests.scenarios.many_hosts import ManyHosts
from tests.web.chromium import Window, chromium
from tests.web.reader import read
from tests.web.served_site import listening_to

GOALS = {"page_cpu": 3.0, "first_paint": 1.5}
CLIENT = """
import json, sys
from http.client import HTTPConnection
port, path, cookie, times = sys.argv[1:]
connection = HTTPConnection("127.0.0.1", int(port), timeout=120)
for _ in range(int(times)):
    connection.request("GET", path, headers={"Cookie": cookie})
    answer = connection.getresponse()
    body = answer.read()
sys.stdout.buffer.write(json.dumps([answer.status, answer.headers["content-type"]]).encode() + b"\\n" + body)
"""
PAINT = """() => new Promise(done => new PerformanceObserver(list => {
    for (const one of list.getEntriesByName('first-contentful-paint')) done(one.startTime)
}).observe({type: 'paint', buffered: true}))"""


def fill(history: History, leases: int, rows: int) -> None:
    """So many leases over twenty hosts, and so many events over half a year."""
    now = datetime.now(UTC)
    for host in range(20):
        seen = [
            Lease(
                f"bc:24:11:{n >> 16:02x}:{n >> 8 & 255:02x}:{n & 255:02x}",
                f"10.{n >> 14}.{n >> 6 & 255}.{n & 63}",
                f"g{n}",
                0,
            )
            for n in range(host, leases, 20)
        ]
        history.store.seen_leases(f"pve{host}", seen, at=now)
    began, types = now - timedelta(days=180), ("host.state", "drift.found", "plan.made")
    with history.store._database.write() as connection:
        for first in range(0, rows, 20_000):
            connection.execute(
                insert(events),
                [
                    {"at": began + timedelta(days=179) * n / rows, "type": types[n % 3], "host": f"pve{n % 20}", "text": "x" * 60, "detail": {}}
                    for n in range(first, min(rows, first + 20_000))
                ],
            )  # fmt: skip


def site_of(parts: Parts, constants: Mapping[str, bytes]) -> ASGIApp:
    """The pages, and a page that is a constant."""

    async def constant(asked: Asked) -> Response:
        return Response(constants[asked.path["name"]], media_type="text/html")

    api = create_app(parts)
    routes = (*ROUTES, Route("GET", "/constant/{name}", constant))
    pages = Envelope(HostNames(Pages(parts, api, routes), parts.hosts_allowed))

    async def site(scope: Scope, receive: Receive, send: Send) -> None:
        await (api if scope["path"].startswith(OF_THE_API) else pages)(scope, receive, send)

    return site


def files(served: Mapping[str, tuple[str, bytes]]) -> ASGIApp:
    """The same bytes under the same addresses, and nothing else."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        kind, body = served.get(scope["path"], ("text/plain", b""))
        await Response(body, media_type=kind)(scope, receive, send)

    return answer


class Visits:
    """Requests with the cookie of a person who has signed in, from a process of their own."""

    def __init__(self, origin: str, token: str, browser: Browser) -> None:
        self.port, self.origin = urlsplit(origin).port, origin
        self.window = Window(browser, origin)
        self.window.sign_in(token)
        cookies = self.window.page.context.cookies()
        self.cookie = "; ".join(f"{one['name']}={one['value']}" for one in cookies)

    def get(self, path: str, times: int = 1) -> tuple[int, str, bytes]:
        """Ask so often over one connection: status, type and body of the last answer."""
        words = [str(self.port), path, self.cookie, str(times)]
        done = subprocess.run(
            [sys.executable, "-S", "-c", CLIENT, *words], capture_output=True, timeout=600, check=True
        )
        head, _, body = done.stdout.partition(b"\n")
        status, kind = json.loads(head)
        return status, kind, body

    def cpu_us(self, path: str, times: int) -> float:
        """CPU of this process for each request."""
        before = resource.getrusage(resource.RUSAGE_SELF)
        self.get(path, times)
        after = resource.getrusage(resource.RUSAGE_SELF)
        return (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime) / times * 1e6


def addresses() -> list[str]:
    """The pages that are read without more than a host's name."""
    found = [route.path.replace("{host}", "pve0") for route in ROUTES if route.method == "GET"]
    return [path for path in found if "{" not in path]


def measure_cpu(
    many: ManyHosts, visits: Visits, constants: dict[str, bytes], options: argparse.Namespace
) -> dict[str, Any]:
    """CPU of each page, from the cache and without it, and of the constant answer of its size."""
    shown: dict[str, Any] = {}
    for number, path in enumerate(addresses()):
        status, kind, body = visits.get(path)
        if status != 200:
            shown[path] = {"status": status}
            continue
        constants[str(number)] = body
        rounds: dict[str, list[float]] = {"page": [], "constant": [], "page once": [], "constant once": []}
        for _ in range(options.rounds):
            many.change()
            rounds["page"].append(visits.cpu_us(path, options.requests))
            rounds["constant"].append(visits.cpu_us(f"/constant/{number}", options.requests))
            many.change()
            rounds["page once"].append(visits.cpu_us(path, 1))
            rounds["constant once"].append(visits.cpu_us(f"/constant/{number}", 1))
        us = {name: statistics.median(found) for name, found in rounds.items()}
        shown[path] = {
            "bytes": len(body), "kind": kind.partition(";")[0], **{name: round(value) for name, value in us.items()},
            "page_cpu": round(us["page"] / us["constant"], 2), "page_made": round(us["page once"] / us["constant once"], 2),
        }  # fmt: skip
    return shown


def measure_paint(browser: Browser, visits: Visits, path: str, runs: int) -> dict[str, float]:
    """First paint of one page and of the same bytes as files, in turn."""
    status, kind, body = visits.get(path)
    assert status == 200
    page = read(body.decode())
    used = [link["href"] for link in page.root.all("link")] + [one["src"] for one in page.root.all("script")]
    served = {path: (kind, body)} | {address: visits.get(address)[1:] for address in used}
    paints: dict[str, list[float]] = {"page": [], "file": []}
    with listening_to(files(served)) as origin:
        other = Window(browser, origin)
        for _ in range(runs):
            for name, window in (("page", visits.window), ("file", other)):
                tab = window.another()
                tab.goto(path)
                paints[name].append(float(tab.evaluate(PAINT)))
                tab.close()
    found = {name: statistics.median(times) for name, times in paints.items()}
    return {
        "page_ms": round(found["page"]),
        "file_ms": round(found["file"]),
        "times": round(found["page"] / found["file"], 2),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--hosts", type=int, default=1000)
    parser.add_argument("--leases", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--requests", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--paints", type=int, default=7)
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pages-")))
        many = ManyHosts(options.hosts, folder)
        stack.callback(many.close)
        for _ in range(2):  # the second round is a quiet one
            many.look()
        fill(many.history, options.leases, options.rows)
        token = many.history.store.create_token("bench", scopes=["admin"], by="bench", at=datetime.now(UTC))
        parts = replace(many.service.parts, limits=RequestLimits(requests_burst=10**9))
        constants: dict[str, bytes] = {}
        origin = stack.enter_context(listening_to(site_of(parts, constants)))
        browser = stack.enter_context(chromium())
        visits = Visits(origin, token, browser)
        pages = measure_cpu(many, visits, constants, options)
        read_well = {path: found for path, found in pages.items() if found.get("kind") == "text/html"}
        paints = {path: measure_paint(browser, visits, path, options.paints) for path in read_well}
    worst = {
        "page_cpu": max(found["page_cpu"] for found in read_well.values()),
        "first_paint": max(found["times"] for found in paints.values()),
    }
    print(json.dumps({"load": round(os.getloadavg()[0], 1), "goals": GOALS, "pages": pages, "paints": paints, **worst}))
    return int(any(worst[name] > goal for name, goal in GOALS.items()))


if __name__ == "__main__":
    sys.exit(main())
