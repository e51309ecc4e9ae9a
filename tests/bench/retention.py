#!/usr/bin/env -S sh -c 'p=$(dirname "$0")/../..; [ -x "$p/.venv/bin/python" ] || "$p/deploy/setup" --dev --lab >&2; exec "$p/.venv/bin/python" "$0" "$@"'
"""What deleting a long history costs: CPU of a batch, compared with a short one, and what a writer next to it waits.

    tests/bench/retention.py [--rows 1000000] [--small 10000]

Both databases are those of tests/bench/history.py, with a plan for each apply. Everything in them is old: what goes is all but what is in force. A writer
writes an event again and again meanwhile; its waits are shown, and depend on what else the machine does. Prints one JSON object; exit 1 where a
batch of the large one costs more than twice that of the small one, or room stays.
"""

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP))

from sqlalchemy import insert

from service.history import History, open_history
from service.history.tables import plans
from service.model.events import SourceTrouble
from service.model.retention import Keep
from tests.bench.history import HOSTS, START, fill

GOAL = 2.0
LATER = datetime(2029, 1, 1, tzinfo=UTC)
QUIET_S = 0.02


def fill_all(history: History, rows: int) -> None:
    """The history of the other bench, and plans."""
    fill(history, rows)
    with history.store._database.write() as connection:
        for first in range(0, rows // 20, 20_000):
            numbers = range(first, min(rows // 20, first + 20_000))
            connection.execute(insert(plans), [_plan(number) for number in numbers])


def _plan(number: int) -> dict[str, Any]:
    return {
        "id": f"{number:026d}", "host": f"pve{number % HOSTS}", "commit": f"{number // 5:040x}", "digest": "d",
        "desired_digest": f"d{number}", "state": "superseded", "created_at": START, "body": {"steps": ["x" * 300]},
    }  # fmt: skip


class Writer:
    """Writes an event, waits a little, and writes the next."""

    def __init__(self, history: History) -> None:
        self._history, self._stop = history, threading.Event()
        self.waits_ms: list[float] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(QUIET_S):
            began_s = time.monotonic()
            self._history.store.add_event(SourceTrouble(why="x"), at=LATER)
            self.waits_ms.append((time.monotonic() - began_s) * 1000)

    def stop(self) -> dict[str, float]:
        """The waits, in ms."""
        self._stop.set()
        self._thread.join()
        waits = sorted(self.waits_ms)
        return {
            "writes": len(waits), "median_ms": round(statistics.median(waits), 1),
            "p99_ms": round(waits[len(waits) * 99 // 100], 1), "worst_ms": round(waits[-1], 1),
        }  # fmt: skip


def delete_all(history: History, path: Path) -> dict[str, Any]:
    """Everything that may go, without pauses."""
    began = path.stat().st_size
    alone = Writer(history)
    time.sleep(2)
    quiet = alone.stop()
    writer, past, cpu_us, deleted = Writer(history), dict[str, Any](), list[float](), 0
    while True:
        used = time.thread_time()
        gone = history.store.forget(Keep(), past, at=LATER)
        cpu_us.append((time.thread_time() - used) * 1e6)
        if not gone:
            break
        deleted += sum(gone.values())
    while history.store.give_back():
        pass
    waits = writer.stop()
    tables = {one.table: one.rows for one in history.sizes(LATER).tables if one.rows}
    return {
        "deleted": deleted, "batches": len(cpu_us), "batch_us": round(statistics.median(cpu_us)),
        "worst_batch_us": round(max(cpu_us)), "row_us": round(sum(cpu_us) / deleted, 1), "writer_alone": quiet,
        "writer": waits, "mb_before": round(began / 2**20, 1), "mb_after": round(path.stat().st_size / 2**20, 1),
        "left": tables,
    }  # fmt: skip


def main() -> int:
    asked = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    asked.add_argument("--rows", type=int, default=1_000_000)
    asked.add_argument("--small", type=int, default=10_000)
    options = asked.parse_args()
    shown: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for size, rows in (("small", options.small), ("large", options.rows)):
            path = Path(folder) / size / "passerelle.sqlite"
            with open_history(path, serve=True) as history:
                fill_all(history, rows)
                shown[size] = delete_all(history, path)
    ratio = round(shown["large"]["row_us"] / shown["small"]["row_us"], 2)
    ok = ratio <= GOAL and shown["large"]["mb_after"] < shown["large"]["mb_before"] / 4
    print(json.dumps({"goal": GOAL, "retention_growth": ratio, **shown, "ok": ok}, indent=1))
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
