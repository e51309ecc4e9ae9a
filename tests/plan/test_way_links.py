"""Whether a plan leaves the way between host and service with a link: bonds, their ports, and cards without a cable."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pytest

from service.model.observed import Card, HostObserved
from service.model.plans import Plan
from service.model.states import Json, Observed, Seen
from service.plan.make import make_plan
from service.resources.desired import LastApplied
from tests.laws.host import after_plan, bare_host, link
from tests.laws.specs import desired_from

FILE = b"""auto lo
iface lo inet loopback

auto bond0
iface bond0 inet static
\taddress 198.51.100.11/24
\tgateway 198.51.100.1
\tbond-slaves enp1s0 enp2s0
\tbond-mode active-backup
\tbond-miimon 100

auto enp3s0
iface enp3s0 inet manual
"""
SPEC = """interfaces: {{enp1s0: {{}}, enp2s0: {{}}, enp3s0: {{}}}}
bonds:
  bond0: {{addresses: [198.51.100.11/24], gateway: 198.51.100.1, ports: [{ports}], mode: {mode}}}
"""
UP, OUT, DOWN = (Card(carrier=carrier) for carrier in (True, False, None))
USUAL = {"bond0": UP, "enp1s0": UP, "enp2s0": UP, "enp3s0": UP}


def port(master: str | None) -> Observed[Json]:
    return Seen(link(master=master))


def bonded(text: str, cards: Mapping[str, Card]) -> HostObserved:
    """A host that is reached by a bond of two cards."""
    bare = bare_host(desired_from(text).watch, {"/etc/network/interfaces": FILE})
    bond: Json = {
        **link(), "type": "bond", "mode": "active-backup", "miimon": 100, "primary": "",
        "ports": [{"name": "enp1s0", "up": True}, {"name": "enp2s0", "up": True}],
    }  # fmt: skip
    facts = {
        **bare.facts, "link:bond0": Seen(bond), "addresses:bond0": Seen(["198.51.100.11/24"]),
        "link:enp1s0": port("bond0"), "link:enp2s0": port("bond0"), "addresses:enp1s0": Seen([]),
        "routes:default": Seen([{"family": 4, "via": "198.51.100.1", "dev": "bond0"}]),
    }  # fmt: skip
    return replace(bare, facts=facts, cards=cards)


def plan_of(ports: str, mode: str, cards: Mapping[str, Card]) -> Plan:
    text = SPEC.format(ports=ports, mode=mode)
    return make_plan(desired_from(text), LastApplied(), bonded(text, cards))


@dataclass(frozen=True)
class Row:
    name: str
    ports: str
    cards: Mapping[str, Card]
    mode: str = "active-backup"
    refused: str = ""


ROWS = [
    Row("nothing changes", "enp1s0, enp2s0", USUAL),
    Row("a port comes", "enp1s0, enp2s0, enp3s0", USUAL),
    Row("a port goes, the other one has a link", "enp2s0", USUAL),
    Row("the port that stays has no cable", "enp2s0", {**USUAL, "enp2s0": OUT}, refused="would have no link"),
    Row("all are replaced by one with a link", "enp3s0", USUAL),
    Row("all are replaced by one without", "enp3s0", {**USUAL, "enp3s0": OUT}, refused="at the other end of enp3s0"),
    Row("all are replaced by one that is down", "enp3s0", {**USUAL, "enp3s0": DOWN}, refused="shows that only once"),
    Row("one that is down comes beside one with a link", "enp2s0, enp3s0", {**USUAL, "enp3s0": DOWN}),
    Row("another mode", "enp1s0, enp2s0", USUAL, "balance-alb", "the kernel changes mode of a bond only while"),
    Row("nobody knows of any link", "enp3s0", {}),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_way_keeps_a_link_that_is_known_to_be_there(row: Row) -> None:
    said = "\n".join(refusal.what for refusal in plan_of(row.ports, row.mode, row.cards).refusals)
    assert bool(said) == bool(row.refused), said
    assert row.refused in said


def test_a_bond_as_its_files_say_needs_no_plan_and_comes_up_at_the_next_boot() -> None:
    plan = plan_of("enp1s0, enp2s0", "active-backup", USUAL)
    assert (plan.steps, plan.drifts, plan.at_boot) == ((), (), ())


def test_after_a_port_came_the_file_and_the_kernel_have_it() -> None:
    text = SPEC.format(ports="enp1s0, enp2s0, enp3s0", mode="active-backup")
    host = bonded(text, USUAL)
    plan = make_plan(desired_from(text), LastApplied(), host)
    after = after_plan(host, plan)
    assert make_plan(desired_from(text), LastApplied(), after).is_empty
    written = after.texts["/etc/network/interfaces"]
    assert isinstance(written, Seen)
    assert written.value == FILE.replace(b"enp1s0 enp2s0", b"enp1s0 enp2s0 enp3s0")


def test_a_bond_with_a_vlan_of_others_on_it_is_not_removed() -> None:
    before = desired_from(SPEC.format(ports="enp1s0, enp2s0", mode="active-backup"))
    host = bonded(SPEC.format(ports="enp1s0, enp2s0", mode="active-backup"), {})
    facts: dict[str, Observed[Json]] = {
        "link:bond0.20": Seen(link(type="vlan", parent="bond0", id=20)),
        "addresses:bond0": Seen([]), "addresses:bond0.20": Seen(["198.51.100.11/24"]),
        "routes:default": Seen([{"family": 4, "via": "198.51.100.1", "dev": "bond0.20"}]),
    }  # fmt: skip
    plan = make_plan(
        desired_from("interfaces: {enp1s0: {}}"), LastApplied(before.wishes, exists=True),
        replace(host, facts={**host.facts, **facts}),
    )  # fmt: skip
    said = [refusal.what for refusal in plan.refusals]
    assert any("the VLAN bond0.20 on pve1 would go with bond0" in what for what in said), said
    assert any("would be removed from bond0.20" in what for what in said), said


def test_the_addresses_of_vlans_stay_where_what_is_below_them_goes_down_for_a_moment() -> None:
    text = SPEC.format(ports="enp1s0, enp2s0, enp3s0", mode="balance-alb")
    host = bonded(text, {})
    facts: dict[str, Observed[Json]] = {
        "addresses:bond0": Seen(["198.51.100.11/24", "2001:db8::1/64"]),
        "link:bond0.20": Seen(link(type="vlan", parent="bond0", id=20)),
        "addresses:bond0.20": Seen(["2001:db8:20::1/64"]),
        "link:enp3s0.30": Seen(link(type="vlan", parent="enp3s0", id=30)),
        "addresses:enp3s0.30": Seen(["2001:db8:30::1/64"]),
    }
    plan = make_plan(desired_from(text), LastApplied(), replace(host, facts={**host.facts, **facts}))
    kept = {step.fact: step.after for step in plan.keep}
    assert kept["addresses:bond0.20"] == ["2001:db8:20::1/64"]
    assert kept["addresses:enp3s0.30"] == ["2001:db8:30::1/64"]
    before = desired_from(text + "vlans: {bond0.20: {}}\n")
    without = make_plan(
        desired_from(text), LastApplied(before.wishes, exists=True), replace(host, facts={**host.facts, **facts})
    )
    assert "link:bond0.20" in {step.fact for step in without.steps}
    assert "addresses:bond0.20" not in {step.fact for step in without.keep}


def test_a_bond_by_dhcp_keeps_the_cards_that_it_may_have_its_mac_address_from() -> None:
    text = "interfaces: {{enp1s0: {{}}, enp2s0: {{}}}}\n"
    text += "bonds:\n  bond0: {{dhcp: true, ports: [{ports}], mode: active-backup}}\n"
    file = FILE.replace(b"inet static\n\taddress 198.51.100.11/24\n\tgateway 198.51.100.1\n", b"inet dhcp\n")
    for ports, refused in (("enp1s0, enp2s0", False), ("enp2s0", True)):
        host = bonded(text.format(ports=ports), USUAL)
        given = replace(
            host, facts={**host.facts, "addresses:bond0": Seen([])}, dynamic={"bond0": ("198.51.100.11/24",)},
            texts={**host.texts, "/etc/network/interfaces": Seen(file)},
        )  # fmt: skip
        said = [one.what for one in make_plan(desired_from(text.format(ports=ports)), LastApplied(), given).refusals]
        assert any("bond0 does without enp1s0, and may have another MAC address" in what for what in said) == refused
        assert refused or not said


def test_the_next_boot_loses_the_way_where_no_stanza_makes_the_bond() -> None:
    text = SPEC.format(ports="enp1s0, enp2s0", mode="active-backup")
    host = bonded(text, USUAL)
    bare = FILE.replace(b"\tbond-slaves enp1s0 enp2s0\n", b"\tbond-slaves enp3s0\n")
    broken = replace(host, texts={**host.texts, "/etc/network/interfaces": Seen(bare)})
    said = "\n".join(make_plan(desired_from(text), LastApplied(), broken).at_boot)
    assert "enp1s0 is not a port of bond0" in said
