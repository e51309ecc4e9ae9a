#!/usr/bin/env -S sh -c 'p=$(dirname "$0")/../..; [ -x "$p/.venv/bin/python" ] || "$p/deploy/setup" --dev --lab >&2; exec "$p/.venv/bin/python" "$0" "$@"'
"""What 100 sites on one proxy cost: CPU of plan and render, compared with one `nginx -t` on the same files.

    tests/bench/sites.py [--sites 100] [--runs 5] [--suite bookworm]

The spec is parsed and the process warm, as in the service. nginx is that of the Debian release, and each site has a
certificate of its own, as in the guest. `push` is a plan for a host that has all sites, where one of them changed.
Two hosts are measured. One has no firewall. The firewall of the other one and its guests' firewalls come with the
sites, each of which leads to a port of its own. These are 100 rules more, and each plan says what opens and what closes.
Prints one JSON object; times are CPU seconds, the median; exit 1 where one is above its goal.
"""

import argparse
import gc
import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from service.kinds import KINDS
from service.kinds.desire import desire
from service.kinds.web import files_of
from service.kinds.web.section import WebSection
from service.model.observed import HostObserved
from service.plan.make import make_plan
from service.resources.desired import LastApplied
from service.spec.host import HostSpec
from service.spec.models import claims_of
from tests.kinds.web.real_nginx import Placed, program_of
from tests.laws.host import after_plan, bare_host
from tests.laws.specs import FOLDER, spec_of, whole

GOAL = 3
"""Times the CPU of `nginx -t`."""
CHANGED = "port: 8081,"
PROXY = 'proxy: {mac: "BC:24:11:00:00:02", address: 10.10.10.20'
WEB = "web:\n  proxy: proxy\n  acme: {directory: letsencrypt, terms_agreed: true}\n  sites:\n"
RULES = "firewall: {policy_out: drop, rules: [{type: in, action: accept, macro: Ping}]}"
GUESTS = {
    'dev:   {mac: "BC:24:11:00:00:01"}': f'dev:   {{mac: "BC:24:11:00:00:01", address: 10.10.10.30, {RULES}}}',
    f"{PROXY}, create: {{}}}}": f"{PROXY}, create: {{}}, port: veth102i0, {RULES}}}",
}
"""The two guests, and what they are with a firewall of their own."""
FIREWALL = (
    "firewall:\n  policy_out: drop\n  policy_forward: drop\n"
    "  rules: [{type: in, action: accept, macro: SSH}, {type: out, action: accept}]\n"
)


def text_with(sites: int) -> str:
    """The seed's host with a proxy, and so many sites."""
    return _text(sites, lambda number: 8080 if number else 8081)


def firewalled_text_with(sites: int) -> str:
    """The same behind a firewall, the two guests behind their own; each site leads to another port."""
    text = _text(sites, lambda number: 8081 + 2 * number)
    for guest, firewalled in GUESTS.items():
        assert guest in text
        text = text.replace(guest, firewalled)
    return text + FIREWALL


def _text(sites: int, port: Callable[[int], int]) -> str:
    lines = (
        f"    site{number}.example.org: {{to: dev, port: {port(number)}, redirect_https: true, "
        f"aliases: [www{number}.example.org], headers: {{X-Frame-Options: DENY}}, limits: {{requests: 20/s}}}}\n"
        for number in range(sites)
    )
    seed = (FOLDER / "seed.yaml").read_text()
    return whole(seed.replace(PROXY, f"{PROXY}, create: {{}}") + WEB + "".join(lines))


def cpu_of(work: Callable[[], object]) -> float:
    gc.collect()
    began = time.process_time()
    work()
    return time.process_time() - began


def cpu_of_nginx(placed: Placed) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    said = placed.run("-t", "-q")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert said.returncode == 0, said.stderr
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def planned(spec: HostSpec, host: HostObserved | None = None, base: LastApplied | None = None) -> int:
    """From the parsed spec to the plan, which holds the rendered files; how many files it writes."""
    desired = desire(spec, KINDS)
    plan = make_plan(desired, base or LastApplied(), host or bare_host(desired.watch))
    assert plan.digest
    return sum(step.fact.startswith("file:/etc/passerelle/guests/") for step in plan.steps)


def placed_in(folder: Path, suite: str, spec: HostSpec) -> Placed:
    """The files, as the guest has them, with a certificate for each site."""
    section = spec.sections["web"]
    assert isinstance(section, WebSection)
    placed = Placed.of(folder, program_of(suite), files_of(spec.name, section, claims_of(spec, KINDS)))
    for name in section.sites:
        placed.certificate(name)
    return placed


class Host:
    """A host with sites: its spec, and the same before one site of it changed."""

    def __init__(self, text: str) -> None:
        self.spec, other = spec_of(text), spec_of(text.replace(CHANGED, "port: 8080,"))
        before = desire(other, KINDS)
        bare = bare_host(before.watch)
        self.base = LastApplied.from_json(before.as_json())
        self.settled = after_plan(bare, make_plan(before, LastApplied(), bare))

    def all_of(self) -> int:
        """Plan and render for a bare host."""
        return planned(self.spec)

    def push(self) -> int:
        """Plan and render of the change."""
        return planned(self.spec, self.settled, self.base)


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--sites", type=int, default=100)
    asked.add_argument("--runs", type=int, default=5)
    asked.add_argument("--suite", default="bookworm")
    given = asked.parse_args()
    hosts = {"": Host(text_with(given.sites)), " with firewalls": Host(firewalled_text_with(given.sites))}
    rows: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        placed = placed_in(Path(folder), given.suite, hosts[""].spec)
        for number in range(given.runs + 1):
            row = {"nginx -t": cpu_of_nginx(placed)}
            for name, host in hosts.items():
                row |= {f"plan and render{name}": cpu_of(host.all_of), f"push{name}": cpu_of(host.push)}
            if number:  # the first run warms
                for name, seconds in row.items():
                    rows.setdefault(name, []).append(seconds)
    medians = {name: statistics.median(found) for name, found in rows.items()}
    ratios = {name: round(medians[name] / medians["nginx -t"], 2) for name in rows if name != "nginx -t"}
    written = {host.push() for host in hosts.values()}
    met = all(ratio <= GOAL for ratio in ratios.values()) and written == {1}
    said = {
        "sites": given.sites, "runs": given.runs, "suite": given.suite,
        "cpu_s": {name: round(seconds, 4) for name, seconds in medians.items()},
        "times_nginx": ratios, "files_of_a_push": max(written), "goal": GOAL, "met": met,
    }  # fmt: skip
    print(json.dumps(said))
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
