"""The firewall on the service's own way to a host: what would keep a new connection out is refused."""

from dataclasses import replace

import pytest

from service.kinds import KINDS
from service.kinds.desire import desire
from service.model.observed import ManagementPath
from service.model.plans import Plan
from service.plan.make import Permission, make_plan
from service.resources.desired import LastApplied
from tests.laws.host import bare_host
from tests.laws.specs import FOLDER, head, spec_of

SEED = (FOLDER / "seed.yaml").read_text()
DROP = "policy_in: drop"


def plan_of(firewall: str, *, controller: str = "198.18.0.10", port: int = 22, allowed: bool = False) -> Plan:
    desired = desire(spec_of(head() + SEED + firewall), KINDS)
    host = replace(bare_host(desired.watch), path=ManagementPath(controller, "198.51.100.11", port))
    return make_plan(desired, LastApplied(), host, permission=Permission(management_change=allowed))


def rules(*lines: str, policy: str = DROP) -> str:
    return f"firewall:\n  {policy}\n  rules:\n" + "".join(f"    - {{{line}}}\n" for line in lines)


OPEN = [
    rules("type: in, action: accept, macro: SSH"),
    rules("type: in, action: accept, proto: tcp, dport: 22, source: 198.18.0.0/24"),
    rules("type: in, action: accept, iface: enp1s0"),
    rules("type: in, action: drop, macro: SSH, source: 198.18.0.11", policy="policy_in: accept"),
    rules("type: in, action: drop, macro: SSH, enable: false", policy="policy_in: accept"),
    rules("type: out, action: drop, proto: tcp, sport: 22", "type: in, action: accept, macro: SSH"),
]
SHUT = [
    ("firewall: {}\n", "policy_in: drop"),
    (rules("type: in, action: accept, macro: HTTP"), "policy_in: drop (hosts/pve1.yaml:"),
    (rules("type: in, action: accept, macro: SSH, source: 192.0.2.0/24"), "policy_in: drop"),
    (rules("type: in, action: accept, macro: SSH, iface: vmbr0"), "policy_in: drop"),
    (rules("type: in, action: drop, source: 198.18.0.10", policy="policy_in: accept"), "IN DROP -source 198.18.0.10"),
    (
        rules("type: in, action: reject, proto: tcp, dport: 20:30", "type: in, action: accept, macro: SSH").replace(
            "20:30", '"20:30"'
        ),
        "IN REJECT -p tcp -dport 20:30 (hosts/pve1.yaml:",
    ),
]


@pytest.mark.parametrize("firewall", OPEN)
def test_a_firewall_that_lets_the_service_in_is_planned(firewall: str) -> None:
    plan = plan_of(firewall)
    assert plan.refusals == ()
    assert "nft:inet passerelle" in {step.fact for step in plan.steps}


@pytest.mark.parametrize(("firewall", "why"), SHUT)
def test_a_firewall_that_would_keep_the_service_out_is_refused(firewall: str, why: str) -> None:
    [refusal] = plan_of(firewall).refusals
    assert refusal.rule == "management-path"
    assert refusal.what.startswith("the firewall would keep 198.18.0.10 from 198.51.100.11:22 on enp1s0: ")
    assert why in refusal.what


def test_the_override_lets_it_through() -> None:
    plan = plan_of("firewall: {}\n", allowed=True)
    assert plan.refusals == ()
    assert [refusal.rule for refusal in plan.overridden] == ["management-path"]


def test_the_port_in_use_counts_not_the_usual_one() -> None:
    said = [refusal.what for refusal in plan_of(OPEN[0], port=2222).refusals]
    assert any("from 198.51.100.11:2222" in what for what in said)
