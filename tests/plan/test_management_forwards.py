"""A published port in the place of the service's own way to a host."""

import re
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

SEED = (FOLDER / "firewall.yaml").read_text().partition("firewall:")[0]


def plan_of(entry: str, *, controller: str = "198.18.0.10", port: int = 22, allowed: bool = False) -> Plan:
    desired = desire(spec_of(head() + SEED + f"forwards:\n  - {{in: enp1s0, to: proxy, {entry}}}\n"), KINDS)
    host = replace(bare_host(desired.watch), path=ManagementPath(controller, "198.51.100.11", port))
    return make_plan(desired, LastApplied(), host, permission=Permission(management_change=allowed))


TAKEN = ["ports: 22", 'ports: ["1:1000"]', "ports: {22: 2222}", "ports: 22, source: 198.18.0.0/24"]


@pytest.mark.parametrize("entry", TAKEN)
def test_a_forward_that_takes_the_services_own_port_is_refused(entry: str) -> None:
    [refusal] = plan_of(entry).refusals
    assert refusal.rule == "management-path"
    assert refusal.what.startswith(
        "198.51.100.11:22, by which the service reaches this host from 198.18.0.10, would be taken by a forward: tcp/"
    )
    assert re.fullmatch(r".* on enp1s0 to proxy \(10\.10\.10\.20\).*, hosts/pve1\.yaml:[0-9]+", refusal.what)


@pytest.mark.parametrize("entry", ["ports: 22, proto: udp", "ports: 22, source: 203.0.113.0/24", "ports: {2222: 22}"])
def test_a_forward_beside_it_is_not(entry: str) -> None:
    assert plan_of(entry).refusals == ()


def test_another_port_of_sshd_is_guarded_where_it_is() -> None:
    def taken(entry: str) -> list[str]:
        return [r.what for r in plan_of(entry, port=2222).refusals if "would be taken" in r.what]

    assert taken("ports: 22") == []
    assert len(taken("ports: 2222")) == 1


def test_who_insists_may_and_it_is_said() -> None:
    plan = plan_of("ports: 22", allowed=True)
    assert plan.refusals == ()
    assert [refusal.rule for refusal in plan.overridden] == ["management-path"]
