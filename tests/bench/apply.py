#!/usr/bin/env -S sh -c 'p=$(dirname "$0")/../..; [ -x "$p/.venv/bin/python" ] || "$p/deploy/setup" --dev --lab >&2; exec "$p/.venv/bin/python" "$0" "$@"'
"""How long a push takes until a change of one address is confirmed, compared with one SSH login that makes the change by hand.

    tests/bench/apply.py [--runs 9] [--suite bookworm|trixie]

The host is a real one in a lab. The service is a process of its own in the controller's network, and each push calls its
webhook. By hand: ssh(1) without a kept connection writes the file and runs ip(8), or writes it and runs `ifreload -a`.
The three are interleaved, in another order each time. Prints one JSON object; times are seconds on the clock, medians,
and CPU seconds of the service. Exit 1 where a push takes more than three times the change by hand with ifreload.
"""

import argparse
import hashlib
import hmac
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from urllib.request import Request, urlopen

sys.path.insert(0, str(Path(__file__).parents[2]))

from service.lab import Host, Lab
from service.lab.field import Field
from tests.e2e.story import Story

GOAL = 3.0
RING = "bench"
TICKS = os.sysconf("SC_CLK_TCK")
FILE = "/etc/network/interfaces"


def cpu_s_of(pid: int) -> float:
    """CPU of a process and of those it waited for, proc_pid_stat(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / TICKS


class Trial:
    """One host under its spec, and three ways to give its bridge one address more, or to remove it."""

    def __init__(self, lab: Lab, field: Field, host: Host) -> None:
        self.lab, self.field, self.host = lab, field, host
        self.story = Story(host, field)
        self.secret = self.field.run("receiver", "add", RING, "--type", "generic").stdout.strip()
        self.story.apply(self.story.spec(), "say it")
        self.has_more = False
        self.stages: list[dict[str, float]] = []

    def ring(self) -> None:
        body = b"{}"
        request = Request(f"{self.field.url}/hooks/{RING}", body, method="POST")
        request.add_header("X-Signature", "sha256=" + hmac.new(self.secret, body, hashlib.sha256).hexdigest())
        with urlopen(request, timeout=30):
            pass

    def by_push(self) -> float:
        """Seconds from before the push until the host's transaction is confirmed and recorded."""
        self.has_more = not self.has_more
        spec = self.story.spec()
        if self.has_more:
            spec = spec.replace("addresses: [10.10.10.1/24]", "addresses: [10.10.10.1/24, 10.10.11.1/24]")
        began_s = time.time()
        commit = self.story.push(spec, f"{self.has_more}")
        self.ring()
        self.story.wait_synced(commit)
        row = next(row for row in self.story.applies() if row["commit"] == commit)
        events = self.field.items(f"events?host={self.host.name}&limit=200")
        at = {event["type"]: moment(event["at"]) - began_s for event in events if moment(event["at"]) >= began_s}
        self.stages.append({"recorded": moment(row["started_at"]) - began_s} | at)
        return moment(row["ended_at"]) - began_s

    def by_hand(self, command: str) -> float:
        text = self.host.read(FILE).decode()
        other = text.replace("10.10.10.1/24", "10.10.10.2/24") if "10.10.10.1/24" in text else text
        script = f"cat > {FILE} && {command}"
        argv = ["nsenter", f"--net={self.lab.netns('ctl')}", "ssh", "-F", "/dev/null", "-i", str(self.lab.key)]
        for option in (
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "ControlPath=none",
            "LogLevel=ERROR",
            "IdentitiesOnly=yes",
        ):
            argv += ["-o", option]
        began_s = time.time()
        subprocess.run([*argv, f"root@{self.host.address}", script], input=other.encode(), check=True, timeout=60)
        took_s = time.time() - began_s
        self.host.write(FILE, text)
        self.host.sh("ip addr del 10.10.12.1/24 dev vmbr0 2>/dev/null || true; ifreload -a")
        return took_s


def moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def main() -> int:
    """Run, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--suite", default="")
    given = parser.parse_args()
    suite = {"suite": given.suite} if given.suite else {}
    with (
        Lab.up("bench-apply", hosts=["pve1"], **suite) as lab,
        Field.open(lab, poll_s="30", observe_s="30") as field,
    ):
        trial = Trial(lab, field, lab.host("pve1"))
        ways: dict[str, Callable[[], float]] = {
            "push": trial.by_push,
            "by_hand": lambda: trial.by_hand("ip addr add 10.10.12.1/24 dev vmbr0"),
            "by_hand_ifreload": lambda: trial.by_hand("ifreload -a"),
        }
        took: dict[str, list[float]] = {name: [] for name in ways}
        pid = field.process_id
        cpu_s: list[float] = []
        for _ in range(given.runs):
            for name in random.sample(sorted(ways), len(ways)):
                before = cpu_s_of(pid)
                took[name].append(ways[name]())
                if name == "push":
                    cpu_s.append(cpu_s_of(pid) - before)
        stages = trial.stages
    middle = {name: statistics.median(values) for name, values in took.items()}
    names = {name for stage in stages for name in stage}
    found = {
        "apply_vs_login": round(middle["push"] / middle["by_hand_ifreload"], 2),
        "apply_vs_login_and_ip": round(middle["push"] / middle["by_hand"], 2),
        **{f"{name}_s": round(value, 3) for name, value in middle.items()},
        "service_cpu_s": round(statistics.median(cpu_s), 3),
        "stages_s": {n: round(statistics.median(s[n] for s in stages if n in s), 3) for n in sorted(names)},
        "runs": given.runs,
    }
    print(json.dumps(found))
    return int(found["apply_vs_login"] > GOAL)


if __name__ == "__main__":
    sys.exit(main())
