"""A host whose uplink has its address by DHCP: into a spec that says so, and nothing of it differs."""

from dataclasses import replace

import pytest

from service.adopt import ConnectionGiven, Material, adopt
from service.adopt.alone import read_alone
from service.kinds import KINDS
from service.kinds.desire import desire
from service.model.observed import ManagementPath
from service.model.states import Seen
from service.plan.make import make_plan
from service.resources.desired import LastApplied
from service.spec.host import HostSpec
from tests.adopt.corpora import MAIN
from tests.adopt.trees import booted

GIVEN = ConnectionGiven(address="198.51.100.12", host_keys=(
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPJ0d4IQ8PmyrgdZoD3WiFkvdLBD6ZfSzLw0mZ2mJ0N",
))  # fmt: skip
HEAD = "auto lo\niface lo inet loopback\n\n"
BRIDGE = """
auto vmbr0
iface vmbr0 inet static
\taddress 10.10.10.1/24
\tbridge-ports none
\tbridge-stp off
\tbridge-fd 0
"""
ROUTE = {"family": 4, "via": "198.51.100.1", "dev": "enp1s0"}


def material(stanza: str) -> Material:
    return Material({"/etc/hostname": b"pve1\n", MAIN: (HEAD + stanza + BRIDGE).encode()})


def spec_of(text: str) -> HostSpec:
    fleet = read_alone("pve1", text, {"fleet.yaml": "passerelle: 1\n"})
    assert not fleet.has_errors, fleet.findings
    return fleet.hosts["pve1"]


@pytest.mark.parametrize(
    ("stanza", "keys"),
    [
        ("auto enp1s0\niface enp1s0 inet dhcp\n", "{dhcp: true}"),
        ("allow-hotplug enp1s0\niface enp1s0 inet dhcp\niface enp1s0 inet6 auto\n", "{dhcp: true, ipv6: auto}"),
        ("auto enp1s0\niface enp1s0 inet6 dhcp\n", "{ipv6: dhcp}"),
        ("auto enp1s0\niface enp1s0 inet dhcp\n\taddress 192.0.2.1/24\n\tmtu 1400\n", "{dhcp: true, mtu: 1400}"),
    ],
)
def test_the_spec_says_it_and_no_lease_is_a_difference(stanza: str, keys: str) -> None:
    given = material(stanza)
    made = adopt(given, GIVEN)
    assert f"enp1s0: {keys}" in made.text
    desired = desire(spec_of(made.text), KINDS)
    host = booted(given, desired.watch)
    for address in ("198.51.100.12", "198.51.100.99"):
        facts = {**host.facts, "addresses:enp1s0": Seen([]), "routes:default": Seen([ROUTE])}
        leased = replace(
            host, facts=facts, dynamic={"enp1s0": (f"{address}/24",)},
            path=ManagementPath("198.18.0.10", address, 22),
        )  # fmt: skip
        plan = make_plan(desired, LastApplied(), leased)
        assert [drift.difference for drift in plan.drifts if drift.difference.resource == "enp1s0"] == []
        assert plan.refusals == ()
