"""VLANs in the kernel: made, removed, and never taken for another one."""

from dataclasses import replace

import pytest

from service.model.observed import HostObserved
from service.model.plans import Plan
from service.model.states import Absent, Json, Observed, Seen
from service.plan.make import make_plan
from service.resources.desired import LastApplied
from tests.laws.host import after_plan, bare_host, link
from tests.laws.specs import desired_from

CARD = "interfaces:\n  enp1s0: {addresses: [198.51.100.11/24], gateway: 198.51.100.1}\n"
VLAN = CARD + "vlans:\n  enp1s0.20: {addresses: [10.10.20.1/24]}\n"
BRIDGED = CARD + "bridges:\n  vmbr0: {addresses: [10.10.10.1/24]}\nvlans:\n  vlan20: {parent: vmbr0}\n"
CLASSIC: dict[str, Observed[str]] = {"ifupdown": Seen("0.8.41"), "ifupdown2": Absent(), "vlan": Absent()}


def vlan(parent: str, number: int) -> Seen[Json]:
    return Seen(link(type="vlan", parent=parent, id=number))


def planned(text: str, there: dict[str, Seen[Json]] | None = None, base: str = "") -> Plan:
    desired = desired_from(text)
    before = LastApplied.from_json(desired_from(base).as_json()) if base else LastApplied()
    host = bare_host(desired.watch)
    return make_plan(desired, before, replace(host, facts={**host.facts, **(there or {})}))


def links(plan: Plan) -> list[str]:
    return [step.fact for step in plan.steps if step.fact.startswith("link:")]


def done(text: str) -> HostObserved:
    desired = desired_from(text)
    host = bare_host(desired.watch)
    return after_plan(host, make_plan(desired, LastApplied(), host))


def test_a_vlan_is_made_with_its_parent_and_number() -> None:
    step = next(step for step in planned(VLAN).steps if step.fact == "link:enp1s0.20")
    assert step.before is None
    assert step.after == {"up": True, "type": "vlan", "parent": "enp1s0", "id": 20}


def test_a_bridge_is_made_before_the_vlan_on_it() -> None:
    assert links(planned(BRIDGED)) == ["link:vmbr0", "link:vlan20"]


def test_a_vlan_is_made_before_the_bridge_that_it_is_a_port_of() -> None:
    text = CARD + "bridges:\n  br0: {ports: [vlan20]}\nvlans:\n  vlan20: {parent: enp1s0}\n"
    assert links(planned(text)) == ["link:vlan20", "link:br0"]


def test_a_vlan_that_leaves_the_spec_goes_and_one_with_its_number_comes_after() -> None:
    renamed = VLAN.replace("enp1s0.20: {", "vlan20: {parent: enp1s0, ")
    plan = make_plan(desired_from(renamed), LastApplied.from_json(desired_from(VLAN).as_json()), done(VLAN))
    assert links(plan) == ["link:enp1s0.20", "link:vlan20"]
    assert [step.after is None for step in plan.steps if step.fact.startswith("link:")] == [True, False]


@pytest.mark.parametrize(
    ("there", "what"),
    [
        (vlan("enp1s0", 30), "is VLAN 30 of enp1s0, and the spec wants VLAN 20 of enp1s0"),
        (vlan("enp2s0", 20), "is VLAN 20 of enp2s0, and the spec wants VLAN 20 of enp1s0"),
        (Seen(link()), "is not a VLAN, and the spec wants VLAN 20 of enp1s0"),
    ],
)
def test_another_link_of_that_name_is_not_touched(there: Seen[Json], what: str) -> None:
    plan = planned(VLAN, {"link:enp1s0.20": there})
    assert links(plan) == []
    assert any(what in refusal.what for refusal in plan.refusals)


def test_a_bridge_does_not_go_while_a_vlan_that_nobody_named_is_on_it() -> None:
    there: dict[str, Seen[Json]] = {"link:vmbr0": Seen(link(type="bridge", ports=[])), "link:vmbr0.9": vlan("vmbr0", 9)}
    plan = planned(CARD, there, BRIDGED.partition("vlans:")[0])
    assert links(plan) == []
    assert "the VLAN vmbr0.9 on pve1 would go with vmbr0" in {refusal.what for refusal in plan.refusals}


def test_a_bridge_and_its_vlan_go_together() -> None:
    before = LastApplied.from_json(desired_from(BRIDGED).as_json())
    plan = make_plan(desired_from(CARD), before, done(BRIDGED))
    assert not plan.refusals
    assert links(plan) == ["link:vlan20", "link:vmbr0"]


@pytest.mark.parametrize(
    ("name", "script", "fix"),
    [
        ("vlan20: {parent: enp1s0}", Absent(), "name it enp1s0.20, or add `packages: {vlan: present}`"),
        ("office: {parent: enp1s0, id: 20}", Seen("2.0.5"), "name it enp1s0.20"),
        ("vlan20: {parent: enp1s0}", Seen("2.0.5"), ""),
        ("enp1s0.20: {}", Absent(), ""),
    ],
)
def test_what_the_classic_ifupdown_does_not_make_is_told(name: str, script: Observed[str], fix: str) -> None:
    desired = desired_from(f"{CARD}vlans:\n  {name}\n")
    host = bare_host(desired.watch)
    plan = make_plan(desired, LastApplied(), replace(host, packages={**host.packages, **CLASSIC, "vlan": script}))
    told = [note for note in plan.notes if "does not make the VLAN" in note]
    assert [fix in note for note in told] == ([True] if fix else [])
