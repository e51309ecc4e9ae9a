"""Ports that are published on an address which a DHCP server gives: the rule follows the interface."""

from ipaddress import IPv4Address

import pytest

from service.firewall.nft.published import Published, destination, forwards_table
from service.firewall.terms.names import TCP
from service.kinds import KINDS
from service.kinds.desire import claims_of
from service.kinds.published import published_of
from tests.laws.specs import spec_of, whole

SPEC = """\
interfaces:
  enp1s0: {dhcp: true}
bridges:
  vmbr0: {addresses: [10.10.10.1/24]}
guests:
  proxy: {mac: "bc:24:11:00:00:02", address: 10.10.10.20}
forwards:
  - {in: enp1s0, ports: [80], to: proxy}
"""


def published() -> tuple[Published, ...]:
    spec = spec_of(whole(SPEC))
    return published_of(claims_of(spec, KINDS), spec)


def test_the_table_names_no_address_of_the_uplink() -> None:
    (one,) = published()
    assert (one.addresses, one.at) == ((), "the address of enp1s0")
    line = next(text for text in forwards_table([one], ()).load.splitlines() if "dnat ip to" in text)
    assert "fib daddr type local ip daddr != { 10.10.10.1, 127.0.0.0/8 } tcp dport 80 dnat ip to 10.10.10.20" in line


@pytest.mark.parametrize(
    ("dest", "is_taken"), [("198.51.100.11", True), ("203.0.113.9", True), ("10.10.10.1", False), ("127.0.0.1", False)]
)
def test_whatever_the_lease_is_it_is_published_and_the_bridge_is_not(dest: str, is_taken: bool) -> None:
    one = published()
    found = destination(one, 4, TCP, int(IPv4Address("192.0.2.1")), int(IPv4Address(dest)), 80)
    assert found == (one[0] if is_taken else None)
