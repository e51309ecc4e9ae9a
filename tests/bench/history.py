#!/usr/bin/env -S sh -c 'p=$(dirname "$0")/../..; [ -x "$p/.venv/bin/python" ] || "$p/deploy/setup" --dev --lab >&2; exec "$p/.venv/bin/python" "$0" "$@"'
"""What a long history costs: CPU of every list, of the counts and of the reads at a start, compared with a short one.

    tests/bench/history.py [--rows 1000000] [--small 10000] [--runs 30]

The two databases have the same present state: 20 hosts, 200 open differences, 2,000 leases. Pages are full in both. Prints one JSON object;
exit 1 where a read costs more than twice that of the short history.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP))

from sqlalchemy import Table, insert

from service.history import History, open_history
from service.history.columns import ip_order
from service.history.tables import applies, drift, events, lease_intervals, leases, revisions
from service.model.listings import (
    ApplyListing,
    DriftListing,
    EventListing,
    LeaseHistoryListing,
    LeaseListing,
    RevisionListing,
)
from service.model.runs import HostStatus

GOAL = 2.0
HOSTS, OPEN, LEASES = 20, 200, 2_000
START = datetime(2026, 1, 1, tzinfo=UTC)
END = START + timedelta(days=300)


def fill(history: History, rows: int) -> None:
    """So many events; a twentieth as many applies, past differences and lease intervals, a hundredth of commits."""
    for number in range(HOSTS):
        history.store.set_host_status(HostStatus(f"pve{number}"), at=START)
    many: list[tuple[Table, int, Callable[[int, datetime], dict[str, Any]]]] = [
        (events, rows, lambda n, at: {
            "at": at, "type": ("host.state", "drift.found", "plan.made")[n % 3] if n % 100 else "host.renamed",
            "host": f"pve{n % HOSTS}", "text": "x" * 60, "detail": {}}),
        (revisions, rows // 100, lambda n, at: {
            "commit": f"{n:040x}", "author_name": "a", "author_email": "a", "committed_at": at, "subject": "s",
            "fetched_at": at, "state": "refused" if n == 3 else "accepted", "reason": "", "findings": []}),
        (applies, rows // 20, lambda n, at: {
            "id": f"{n:026d}", "host": f"pve{n % HOSTS}", "plan_id": "p", "commit": f"{n // 5:040x}",
            "plan_digest": "d", "desired_digest": f"d{n}", "trigger": "push", "requested_by": "git",
            "phase": "RolledBack" if n % 8 == 7 else "Succeeded", "requested_at": at, "ended_at": at, "probes": []}),
        (drift, rows // 20, lambda n, at: _difference(n, at) | {"resolved_at": at}),
        (drift, OPEN, lambda n, at: _difference(n, END) | {"open_key": f"k{n}"}),
        (leases, LEASES, lambda n, at: _lease(n) | {"first_seen": START, "last_seen": END, "active": True}),
        (lease_intervals, LEASES, lambda n, at: _lease(n) | {"from_at": END - timedelta(days=1)}),
        (lease_intervals, rows // 20, lambda n, at: _lease(n % LEASES) | {"from_at": at, "until_at": at}),
    ]  # fmt: skip
    with history.store._database.write() as connection:
        for table, count, row in many:
            for first in range(0, count, 20_000):
                numbers = range(first, min(count, first + 20_000))
                connection.execute(
                    insert(table), [row(n, START + n * (END - timedelta(days=2) - START) / count) for n in numbers]
                )


def _difference(number: int, at: datetime) -> dict[str, Any]:
    return {
        "host": f"pve{number % HOSTS}", "kind": "nat", "resource": f"r{number}", "field": "f", "where": "live",
        "op": "changed", "want": 1, "have": 2, "unknown": "", "cause": "", "moved": "host", "first_seen": at,
        "last_seen": at,
    }  # fmt: skip


def _lease(number: int) -> dict[str, Any]:
    ip = f"10.1.{number >> 8}.{number & 255}"
    mac = f"bc:24:11:00:{number >> 8:02x}:{number & 255:02x}"
    return {"host": f"pve{number % HOSTS}", "mac": mac, "ip": ip, "ip_order": ip_order(ip), "name": f"g{number}"}


def reads(history: History) -> dict[str, Callable[[], object]]:
    """Every read that is compared."""
    ask, now = history.queries, END
    return {
        "events": lambda: ask.events(EventListing()),
        "events, newest": lambda: ask.events(EventListing(newest=True)),
        "events?type=": lambda: ask.events(EventListing(type="host.renamed", newest=True)),
        "events?host=": lambda: ask.events(EventListing(host="pve3", newest=True)),
        "events?host=&type=": lambda: ask.events(EventListing(host="pve0", type="host.renamed", newest=True)),
        "events of one who sees one host": lambda: ask.events(EventListing(visible=("pve3",))),
        "applies": lambda: ask.applies(ApplyListing()),
        "applies?phase=": lambda: ask.applies(ApplyListing(phase="RolledBack")),
        "applies?commit=": lambda: ask.applies(ApplyListing(commit=f"{5:040x}")),
        "applies?host=": lambda: ask.applies(ApplyListing(host="pve3")),
        "drift": lambda: ask.drift(DriftListing()),
        "drift?resolved=": lambda: ask.drift(DriftListing(resolved=True)),
        "leases": lambda: ask.leases(LeaseListing(), now=now),
        "leases?at=": lambda: ask.leases(LeaseListing(at=END - timedelta(hours=1)), now=now),
        "leases/history": lambda: ask.lease_history(LeaseHistoryListing()),
        "leases/history?host=": lambda: ask.lease_history(LeaseHistoryListing(host="pve3")),
        "revisions": lambda: ask.revisions(RevisionListing()),
        "counts": ask.counts,
        "start: unfinished applies": ask.unfinished_applies,
        "start: newest revision": ask.newest_revision,
        "start: refused revision": lambda: ask.newest_revision("refused"),
    }


def cpu_us(read: Callable[[], object]) -> float:
    """CPU of this thread for one read."""
    began = time.thread_time()
    read()
    return (time.thread_time() - began) * 1e6


def main() -> int:
    asked = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    asked.add_argument("--rows", type=int, default=1_000_000)
    asked.add_argument("--small", type=int, default=10_000)
    asked.add_argument("--runs", type=int, default=30)
    options = asked.parse_args()
    shown: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        opened = {}
        for size, rows in (("small", options.small), ("large", options.rows)):
            opened[size] = open_history(Path(folder) / size / "passerelle.sqlite")
            fill(opened[size], rows)
        of = {size: reads(history) for size, history in opened.items()}
        for name in of["small"]:
            samples: dict[str, list[float]] = {"small": [], "large": []}
            for _ in range(options.runs):
                for size, found in samples.items():
                    found.append(cpu_us(of[size][name]))
            us = {size: round(statistics.median(found)) for size, found in samples.items()}
            shown[name] = us | {"ratio": round(us["large"] / us["small"], 2)}
        for history in opened.values():
            history.close()
    worst = max(one["ratio"] for one in shown.values())
    print(json.dumps({"goal": GOAL, "history_growth": worst, "cpu_us": shown, "ok": worst <= GOAL}, indent=1))
    return 0 if worst <= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
