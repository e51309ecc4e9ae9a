#!/usr/bin/env -S sh -c 'p=$(dirname "$0")/../..; [ -x "$p/.venv/bin/python" ] || "$p/deploy/setup" --dev --lab >&2; exec "$p/.venv/bin/python" "$0" "$@"'
"""What a firewall of 2,000 rules costs: CPU of plan and render and of 1,000 traces, besides that of `nft -c`.

    tests/bench/firewall.py [--rules 2000] [--traces 1000] [--runs 5]

The spec is parsed and the process warm, as in the service. Every run renders from the parsed spec (nothing is kept from
the run before) and traces with an analyser of its own. Prints one JSON object; times are CPU seconds, the median; exit
1 where one is above its goal.
"""

import argparse
import gc
import json
import random
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from service.firewall.trace.host_trace import HostAnalyser
from service.firewall.trace.packets import parse_packet
from service.kinds import KINDS
from service.kinds.desire import desire
from service.plan.make import make_plan
from service.resources.desired import LastApplied
from service.resources.firewall import FirewallTable
from service.spec.host import HostSpec
from tests.laws.host import bare_host
from tests.laws.specs import FOLDER, head, spec_of

GOAL = 5
"""Times the CPU of `nft -c` on the same rules."""
ADDRESSES = ["192.0.2.{}", "198.51.100.{}/32", "10.{}.0.0/16", "203.0.113.0-203.0.113.{}", "2001:db8:{:x}::/48"]


def spec_with(rules: int) -> HostSpec:
    """The seed's host with so many rules of many sorts, none of which is there for nothing."""
    chance = random.Random(7)
    lines = ["    - {type: in, action: accept, macro: SSH}\n"]
    for number in range(rules - 1):
        source = ADDRESSES[number % 5].format(number % 250 + 1)
        port = chance.choice(
            [f"{1024 + number}", f'"{1024 + number},{4000 + number}"', f'"{2000 + number}:{2009 + number}"']
        )
        proto, action = chance.choice(["tcp", "udp"]), chance.choice(["accept", "accept", "drop", "reject"])
        lines.append(
            f'    - {{type: in, action: {action}, source: "{source}", proto: {proto}, dport: {port}, '
            f"iface: {chance.choice(['enp1s0', 'vmbr0'])}}}\n"
        )
    seed = (FOLDER / "seed.yaml").read_text()
    return spec_of(head() + seed + "firewall:\n  policy_in: drop\n  rules:\n" + "".join(lines))


def cpu_of(work: Callable[[], object]) -> float:
    gc.collect()
    began = time.process_time()
    work()
    return time.process_time() - began


def cpu_of_nft(text: bytes) -> float:
    """What `nft -c -f -` costs, in a network namespace of its own."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(["unshare", "-n", "nft", "-c", "-f", "-"], input=text, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def table_of(spec: HostSpec) -> FirewallTable:
    [table] = [r for r in desire(spec, KINDS).resources if isinstance(r, FirewallTable)]
    return table


def plan(spec: HostSpec) -> None:
    """From the parsed spec to the plan, which holds the rendered tables and files."""
    desired = desire(spec, KINDS)
    made = make_plan(desired, LastApplied(), bare_host(desired.watch))
    assert made.steps
    assert made.digest


def traces(table: FirewallTable, number: int) -> None:
    """So many different questions, the analyser made again."""
    assert table.firewall is not None
    analyser = HostAnalyser(table.firewall)
    chance = random.Random(11)
    for _ in range(number):
        packet = {
            "from": "enp1s0", "to": "host", "proto": chance.choice(["tcp", "udp"]), "dest": "198.51.100.11",
            "source": f"{chance.randrange(1, 223)}.{chance.randrange(256)}.2.{chance.randrange(256)}",
            "dport": chance.randrange(1, 8000),
        }  # fmt: skip
        analyser.trace("enp1s0", "", parse_packet(packet).flow)


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--rules", type=int, default=2000)
    asked.add_argument("--traces", type=int, default=1000)
    asked.add_argument("--runs", type=int, default=5)
    given = asked.parse_args()
    spec = spec_with(given.rules)
    table = table_of(spec)
    assert table.table is not None
    text = table.table.file
    rows: dict[str, list[float]] = {"nft -c": [], "plan and render": [], "traces": []}
    for number in range(given.runs + 1):
        fresh = replace(spec)
        row = {
            "nft -c": cpu_of_nft(text),
            "plan and render": cpu_of(lambda fresh=fresh: plan(fresh)),
            "traces": cpu_of(lambda: traces(table, given.traces)),
        }
        if number:  # the first run warms
            for name, seconds in row.items():
                rows[name].append(seconds)
    medians = {name: statistics.median(found) for name, found in rows.items()}
    ratios = {name: round(medians[name] / medians["nft -c"], 2) for name in rows if name != "nft -c"}
    met = all(ratio <= GOAL for ratio in ratios.values())
    print(
        json.dumps(
            {
                "rules": given.rules,
                "traces": given.traces,
                "runs": given.runs,
                "cpu_s": {name: round(seconds, 4) for name, seconds in medians.items()},
                "times_nft": ratios,
                "goal": GOAL,
                "met": met,
            }
        )
    )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
