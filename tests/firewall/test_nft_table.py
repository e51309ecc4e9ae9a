"""The table of a host's firewall, taken by the real nft in a network namespace of the test's own."""

import json
import subprocess

import pytest
from hypothesis import given, settings

from service.errors import InputError
from service.firewall.host import HostFirewall
from service.firewall.nft import parts as nft_parts
from service.firewall.nft.guests import render_bridge_table
from service.firewall.nft.table import render_table
from service.firewall.terms.macros import macros
from service.hostside.canonical import nft_normal
from service.kinds.claims import Masquerades, Serves
from service.lab.waiting import grown_s
from tests.firewall.host_specs import FLEET, Section, firewall_of, guest_sections, sections

SEED: Section = {
    "rules": [
        {"type": "in", "action": "accept", "macro": "SSH"},
        {"type": "in", "action": "accept", "proto": "tcp", "dport": 8006},
        {"type": "in", "action": "reject", "source": "+bad", "log": "info"},
        {"type": "group", "action": "web", "iface": "enp1s0"},
        {"type": "forward", "action": "drop", "dest": "10.10.10.0/24", "source": "192.0.2.0/24"},
    ]
}
CLAIMS = (Serves("dns", "vmbr0"), Serves("dhcp", "vmbr0"), Masquerades("10.10.10.0/24", "enp1s0"))


def listed(load: str, name: str = "inet passerelle") -> list[object]:
    """What nft says of a table after it took its text."""
    script = f"nft -f - && nft -s -j list table {name}"
    done = subprocess.run(
        ["unshare", "-n", "sh", "-c", script],
        input=load,
        capture_output=True,
        text=True,
        timeout=grown_s(30),
        check=False,
    )
    assert done.returncode == 0, f"{done.stderr}\n{load}"
    return list(nft_normal(json.loads(done.stdout)["nftables"]))


def assert_taken_as_meant(firewall: HostFirewall) -> None:
    for table in (render_table(firewall), render_bridge_table(firewall)):
        if table is not None:
            wanted = nft_normal([item for item in table.normal if isinstance(item, dict)])
            assert listed(table.load, table.name) == wanted
            again = f"{table.file.decode()}{table.file.decode()}"
            assert listed(again, table.name) == wanted


@pytest.mark.host
def test_nft_lists_the_seeds_table_as_it_was_meant() -> None:
    assert_taken_as_meant(firewall_of(SEED, FLEET, CLAIMS))


@pytest.mark.host
@settings(max_examples=40, deadline=None)
@given(sections(), guest_sections())
def test_nft_lists_any_table_as_it_was_meant(made: tuple[Section, Section], guests: Section) -> None:
    assert_taken_as_meant(firewall_of(*made, CLAIMS, guests))


@given(sections())
def test_no_closed_chain_is_left_to_its_policy(made: tuple[Section, Section]) -> None:
    """A new chain's lines are in force before its policy: tests/firewall/test_reload.py."""
    chains = {chain.name: chain for chain in render_table(firewall_of(*made, CLAIMS)).chains}
    for chain in chains.values():
        if chain.policy == "drop":
            assert chain.lines[-1].text in ("drop", "jump refuse"), chain
    assert chains["refuse"].lines[-1].text == "reject"


@pytest.mark.host
def test_every_macro_is_taken() -> None:
    rules = [{"type": "in", "action": "accept", "macro": name} for name in macros()]
    rules += [{"type": "out", "action": "drop", "macro": name, "source": "2001:db8::1"} for name in macros()]
    assert len(rules) == 172
    rules = [rule for rule in rules if "source" not in rule or 6 in macros()[str(rule["macro"])].families]
    assert_taken_as_meant(firewall_of({"rules": rules}))


def test_an_exception_in_a_set_is_a_hole() -> None:
    text = render_table(firewall_of({"rules": [{"type": "in", "action": "drop", "source": "+bad"}]}, FLEET)).load
    assert "ip saddr { 10.0.0.0/16, 10.1.2.3, 10.2.0.0-10.255.255.255, 192.0.2.0/24, 203.0.113.5 } drop" in text, text


def test_the_seeds_rules_stand_in_proxmoxs_order() -> None:
    fleet = {**FLEET, "rules": [{"type": "in", "action": "accept", "macro": "Ping", "source": "62.210.16.0/24"}]}
    table = render_table(firewall_of(SEED, fleet, CLAIMS))
    [chain] = [chain for chain in table.chains if chain.name == "input"]
    assert (chain.policy, [line.text for line in chain.lines]) == (
        "drop",
        [
            'iifname "lo" accept',
            "ct state invalid drop",
            "ct state established,related accept",
            "icmpv6 type { 130, 131, 132, 133, 134, 135, 136, 143 } accept",
            "meta l4proto 2 accept",
            "tcp dport 22 accept",
            "tcp dport 8006 accept",
            *(
                f"{source} {tail}"
                for source in (
                    "ip saddr { 10.0.0.0/16, 10.1.2.3, 10.2.0.0-10.255.255.255, 192.0.2.0/24, 203.0.113.5 }",
                    "ip6 saddr { 2001:db8::/48, 2001:db8:2::-2001:db8:ffff:ffff:ffff:ffff:ffff:ffff }",
                )
                for tail in (
                    'limit rate 1/second burst 5 packets log prefix "passerelle: " level info',
                    "jump refuse",
                )
            ),
            'iifname "enp1s0" tcp dport 80 accept',
            'iifname "enp1s0" tcp dport 443 accept',
            'iifname "vmbr0" udp dport 53 accept',
            'iifname "vmbr0" tcp dport 53 accept',
            'iifname "vmbr0" udp dport 67 accept',
            "ip saddr 62.210.16.0/24 icmp type 8 accept",
            "drop",
        ],
    )
    [first] = [chain for chain in table.chains if chain.name == "prerouting"]
    assert [line.text for line in first.lines] == ['iifname "enp1s0" ip daddr 10.10.10.0/24 drop']


@pytest.mark.parametrize("name", ["a b", "x;drop", 'x"', "a" * 16, "$x", ""])
def test_no_name_becomes_another_word(name: str) -> None:
    with pytest.raises(InputError):
        nft_parts.interface("in", name)
    with pytest.raises(InputError):
        nft_parts.jump(f"{name};")
    with pytest.raises(InputError):
        nft_parts.log("info", f'{name}"')
