#!/usr/bin/env -S sh -c 'p=$(dirname "$0")/../..; [ -x "$p/.venv/bin/python" ] || "$p/deploy/setup" --dev --lab >&2; exec "$p/.venv/bin/python" "$0" "$@"'
"""What lint of one host costs: CPU of reading its file and of all rules, compared with the plainest reading there is.

    tests/bench/lint.py [--guests 20] [--rules 10] [--runs 40]

The floor is PyYAML's loader in C and the same pydantic models. The process is warm and the file is read again in every
run, as after a commit that changes it. The host is the one of the laws with forwards and a firewall, with so many more
guests and rules. Prints one JSON object; times are CPU milliseconds, the least of all runs, in turn; exit 1 where a
ratio is above its goal.

`cached` is about a repository of many such hosts that did not change. `lint` is `passerelle lint` of it, `serve` the
reading at the start of `serve`. Both know nothing but what was kept, and are compared with `cold`, where nothing was. `serve` is compared with the reading at a start of commit 19008db3, too, which
kept nothing: `THEN`.
"""

import argparse
import gc
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).parents[2]))

from service.cache import Cache
from service.cli.directory import read_directory
from service.cli.linted import linted
from service.kinds import KINDS
from service.spec.fleet import read_fleet
from service.spec.models import host_model
from tests.laws.specs import FOLDER, fleet_of, whole

GOAL = 1.2
"""Times the CPU of the floor."""
GOAL_CACHED, GOAL_START = 0.05, 0.1
"""`passerelle lint`, times the CPU of the same without what is kept. The start of `serve`, times that of `THEN`."""
THEN = 11.0
"""What commit 19008db3 needed to read such a host, times the CPU of PyYAML's loader in C for its file. On 30 November 2026
it was 10.4 and 0.94 ms, in one process."""


def text_with(guests: int, rules: int) -> str:
    """A host with so many more guests and rules."""
    text = (FOLDER / "forwards-and-firewall.yaml").read_text()
    more = (f'  g{n}: {{mac: "BC:24:11:00:01:{n:02x}", address: 10.10.10.{30 + n}}}\n' for n in range(guests))
    own = (
        f"    - {{type: in, action: accept, source: 192.0.2.{n}, proto: tcp, dport: {9000 + n}}}\n"
        for n in range(rules)
    )
    return whole(text.replace("guests:\n", f"guests:\n{''.join(more)}", 1) + "".join(own))


def plain(text: str) -> object:
    """The floor."""
    return host_model(KINDS).model_validate(tuples(yaml.load(text.encode(), Loader=yaml.CSafeLoader)))


def tuples(value: Any) -> Any:
    """Lists as the models take them."""
    if isinstance(value, dict):
        return {key: tuples(item) for key, item in value.items()}
    return tuple(map(tuples, value)) if isinstance(value, list) else value


def cpu_ms(work: Callable[[], object]) -> float:
    gc.collect()
    began = time.process_time()
    work()
    return (time.process_time() - began) * 1000


def cached(text: str, hosts: int, runs: int, folder: Path) -> dict[str, float]:
    """CPU milliseconds a host: the least of all runs."""
    (folder / "hosts").mkdir()
    (folder / "fleet.yaml").write_text("passerelle: 1\n")
    for n in range(hosts):
        name, address = f"pve{n + 1}", f"198.51.{100 + n // 200}.{n % 200 + 11}"
        named = text.replace("host: pve1\n", f"host: {name}\n").replace("address: 198.51.100.11", f"address: {address}")
        (folder / "hosts" / f"{name}.yaml").write_text(named.replace("BC:24:11:00:", f"BC:24:11:{n:02X}:"))
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    kept = folder / "specs"
    read_fleet(read_directory(folder), KINDS, kept=Cache(kept))
    linted(read_directory(folder))
    ways: dict[str, Callable[[], object]] = {
        "cold": lambda: read_fleet(read_directory(folder), KINDS),
        "lint": lambda: linted(read_directory(folder)),
        "serve": lambda: read_fleet(read_directory(folder), KINDS, kept=Cache(kept)),
    }
    rows = [{name: cpu_ms(work) / hosts for name, work in ways.items()} for _ in range(runs)]
    return {name: min(row[name] for row in rows) for name in ways}


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--guests", type=int, default=20)
    asked.add_argument("--rules", type=int, default=10)
    asked.add_argument("--runs", type=int, default=40)
    asked.add_argument("--hosts", type=int, default=200, help="of the repository that did not change")
    given = asked.parse_args()
    text = text_with(given.guests, given.rules)
    assert not fleet_of(text).has_errors
    rows = [(cpu_ms(lambda: plain(text)), cpu_ms(lambda: fleet_of(text))) for _ in range(given.runs + 1)][1:]
    floor, lint = (min(row[n] for row in rows) for n in (0, 1))
    ratio = round(lint / floor, 2)
    with tempfile.TemporaryDirectory() as folder:
        least = cached(text, given.hosts, max(1, given.runs // 10), Path(folder))
    times = {name: round(least[name] / least["cold"], 3) for name in ("lint", "serve")}
    loads = min(cpu_ms(lambda: yaml.load(text.encode(), Loader=yaml.CSafeLoader)) for _ in range(given.runs))
    start = round(least["serve"] / loads / THEN, 3)
    met = ratio <= GOAL and times["lint"] <= GOAL_CACHED and start <= GOAL_START
    said = {
        "guests": given.guests, "rules": given.rules, "runs": given.runs,
        "cpu_ms": {"floor": round(floor, 2), "lint": round(lint, 2)}, "times_floor": ratio,
        "goal": GOAL, "hosts": given.hosts, "cached_cpu_ms": {name: round(value, 3) for name, value in least.items()},
        "times_cold": times, "serve_times_then": start, "goals_cached": {"lint": GOAL_CACHED, "serve": GOAL_START}, "met": met,
    }  # fmt: skip
    print(json.dumps(said))
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
