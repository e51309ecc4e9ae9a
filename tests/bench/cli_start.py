#!/usr/bin/env -S sh -c 'p=$(dirname "$0")/../..; [ -x "$p/.venv/bin/python" ] || "$p/deploy/setup" --dev >&2; exec "$p/.venv/bin/python" "$0" "$@"'
"""What the start of a command costs: CPU of whole processes, compared with `python -c pass`.

    tests/bench/cli_start.py [--runs 15]

`lint` checks a folder with one host that did not change since it was checked before; `lint first` has nothing kept from
before, and no goal. `token list` reads a state folder with one token, `status` asks a service that answers with no host.
All are interleaved. Prints one JSON object; times are CPU milliseconds, the least of all runs; exit 1 where one is above
its goal.
"""

import argparse
import http.server
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

TOP = Path(__file__).parents[2]
sys.path.insert(0, str(TOP))

from tests.laws.specs import FOLDER, head

GOAL = 12.0
"""Times the CPU of `python -c pass`."""
WITHOUT_GOAL = ("pass", "lint first")


class Nothing(http.server.BaseHTTPRequestHandler):
    """A service without hosts."""

    def do_GET(self) -> None:
        found: dict[str, object] = (
            {"state": "followed"} if self.path.startswith("/api/v1/source") else {"items": [], "next_cursor": None}
        )
        body = json.dumps(found).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name there)
        """Say nothing."""


def cpu_ms(argv: list[str], environment: dict[str, str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(argv, env=environment, cwd=TOP, capture_output=True, timeout=120)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise SystemExit(f"{argv} ended with {done.returncode}: {done.stderr.decode()[-400:]}")
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000


def main() -> int:
    """Run, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=15)
    given = parser.parse_args()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Nothing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        repository, state = Path(folder, "repository"), Path(folder, "state")
        (repository / "hosts").mkdir(parents=True)
        (repository / "fleet.yaml").write_text("passerelle: 1\n")
        (repository / "hosts" / "pve1.yaml").write_text(head() + (FOLDER / "seed.yaml").read_text())
        environment = {
            "PATH": os.environ["PATH"], "HOME": folder, "PYTHONPATH": str(TOP), "PASSERELLE_STATE_DIR": str(state),
            "XDG_CACHE_HOME": str(Path(folder, "cache")),
            "PASSERELLE_URL": f"http://127.0.0.1:{server.server_port}", "PASSERELLE_TOKEN": "psr_not.one",
        }  # fmt: skip
        program = [sys.executable, "-m", "service"]
        cpu_ms([*program, "token", "create", "bench"], environment)
        lint = [*program, "lint", str(repository)]
        nowhere = {**environment, "XDG_CACHE_HOME": os.devnull}
        ways = {
            "pass": ([sys.executable, "-c", "pass"], environment),
            "version": ([*program, "--version"], environment),
            "lint first": (lint, nowhere),
            "lint": (lint, environment),
            "token list": ([*program, "token", "list"], environment),
            "status": ([*program, "status"], environment),
        }
        rows: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(given.runs):
            for name, (argv, variables) in ways.items():
                rows[name].append(cpu_ms(argv, variables))
    server.shutdown()
    least = {name: min(values) for name, values in rows.items()}
    ratios = {name: round(value / least["pass"], 1) for name, value in least.items() if name != "pass"}
    met = max(ratio for name, ratio in ratios.items() if name not in WITHOUT_GOAL) <= GOAL
    print(json.dumps({
        "runs": given.runs, "cpu_ms": {name: round(value, 1) for name, value in least.items()},
        "times_pass": ratios, "goal": GOAL, "met": met,
    }))  # fmt: skip
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
