"""What removes most of a firewall waits for an approval; what ends a published port does not."""

from dataclasses import replace

import pytest

from service.kinds import KINDS
from service.kinds.desire import desire
from service.model.facts import Step
from service.model.plans import Plan
from service.plan.magnitude import FEW, too_many_rules
from service.resources.desired import Desired
from tests.laws.specs import head, spec_of

NETWORK = """\
interfaces:
  enp1s0: {addresses: [198.51.100.11/24], gateway: 198.51.100.1}
bridges:
  vmbr0: {addresses: [10.10.10.1/24], ports: []}
nat:
  - {source: 10.10.10.0/24, out: enp1s0}
"""
FORWARDS = "forwards:\n" + "".join(
    f"  - {{in: enp1s0, ports: [{port}], to: 10.10.10.50}}\n" for port in range(8080, 8100)
)


def wanted(rules: int, more: str = "") -> Desired:
    """A host with so many rules of its firewall."""
    lines = "".join(f"    - {{type: in, action: accept, proto: tcp, dport: {1000 + n}}}\n" for n in range(rules))
    firewall = f"firewall:\n  policy_in: drop\n  rules:\n{lines}" if rules else ""
    text = head("auto").replace("connection:\n", "connection:\n  console: https://192.0.2.1/\n")
    return desire(spec_of(text + NETWORK + firewall + more), KINDS)


def judged(before: Desired, now: Desired, most: int = 50) -> tuple[str, ...]:
    step = Step("nft:inet passerelle", {}, {}, "firewall")
    plan = replace(Plan("pve1", "c" * 40, now.digest), steps=(step,))
    return too_many_rules(plan, before.as_json(), now, most)


@pytest.mark.parametrize(
    ("before", "now", "is_stopped"), [(60, 2, True), (1, 0, True), (20, 19, False), (FEW, 1, False)]
)
def test_a_firewall_that_loses_most_rules_needs_an_approval(before: int, now: int, is_stopped: bool) -> None:
    """Rules are those of the kernel: without any of its own, a firewall has some of passerelle's."""
    said = judged(wanted(before), wanted(now))
    assert bool(said) == is_stopped
    assert not is_stopped or ("firewall rules, more than 50 %" in said[0] and "PASSERELLE_STOP_RULES" in said[0])


def test_who_wants_no_limit_has_none() -> None:
    assert judged(wanted(60), wanted(2), most=100) == ()


def test_published_ports_and_nat_are_no_rules_of_a_firewall() -> None:
    assert judged(wanted(2, FORWARDS), wanted(2)) == ()
    assert judged(wanted(60, FORWARDS), wanted(2, FORWARDS)) != ()
