"""Versions of nft spell some things differently; the normal form spells them once. Recorded, and checked again."""

import json
from collections.abc import Iterator

import pytest

from service.firewall.nft import parts as nft_parts
from service.firewall.terms.icmp import ICMP_TYPES, ICMPV6_TYPES
from service.hostside.canonical import nft_normal
from service.lab import Host
from service.model.states import Json
from tests.firewall.nft_words import kept, listed, program, rules

KEPT = kept()
OLD, STABLE, NEW = "1.0.6", "1.1.3", "1.1.7"
"""Debian 12, Debian 13, and the newest that was seen (sid)."""

OTHERWISE = {
    "inet: meta iifgroup 0": "named by a file of iproute2, where that is",
    "inet: ct original proto-dst 22": "1.0.6 does not take it",
    "inet: icmpv6 taddr fe80::1": "1.0.6 does not take it",
    "inet: last": "1.0.6 does not take it",
}
"""Rules that no normal form of ours makes equal, and why; a table of ours has none of them."""


def normal(expressions: Json) -> Json:
    """As the host-side file and the controller compare it."""
    if not isinstance(expressions, list):
        return expressions
    return nft_normal([{"rule": {"expr": expressions}}])[0]["rule"]["expr"]


def test_three_versions_are_recorded_and_differ() -> None:
    assert list(KEPT) == [OLD, STABLE, NEW]
    assert len(KEPT[OLD]) == len(set(rules())) > 2000
    raw = {name for name, said in KEPT[OLD].items() if said != KEPT[STABLE][name]}
    assert len(raw) > 40
    assert KEPT[OLD]["inet: icmp code 3"] != KEPT[STABLE]["inet: icmp code 3"]


def test_the_normal_form_is_the_same_in_every_version() -> None:
    differ = {
        name for name, said in KEPT[OLD].items() for other in (STABLE, NEW) if normal(said) != normal(KEPT[other][name])
    }
    assert differ == set(OTHERWISE)


def test_what_no_version_takes_is_no_test() -> None:
    assert [name for name in KEPT[OLD] if all(said[name] is None for said in KEPT.values())] == []


def parts() -> Iterator[tuple[str, tuple[nft_parts.Part, ...]]]:
    """What we write, with the rule that was recorded for it."""
    for family, name in ((4, "icmp"), (6, "icmpv6")):
        for kind in range(256):
            yield f"inet: {name} type {kind}", nft_parts.icmp(family, kind)  # type: ignore[arg-type]
    for code in range(17):
        yield f"inet: icmp type 3 icmp code {code}", nft_parts.icmp(4, 3, code)
    for code in range(9):
        yield f"inet: icmpv6 type 1 icmpv6 code {code}", nft_parts.icmp(6, 1, code)
    for number in range(256):
        yield f"inet: meta l4proto {number}", (nft_parts.protocol(number),)
    for port in range(200):
        yield f"inet: tcp dport {port}", (nft_parts.ports(6, "dport", [(port, port)]),)
        yield f"inet: udp dport {port}", (nft_parts.ports(17, "dport", [(port, port)]),)
    for state in ("invalid", "new", "established,related"):
        yield f"inet: ct state {state}", (nft_parts.states(*state.split(",")),)
    for level in ("emerg", "alert", "crit", "err", "warn", "notice", "info", "debug"):
        yield f"inet: log level {level}", (nft_parts.log(level, "x")[1],)
    yield "inet: meta nfproto ipv4", (nft_parts.family(4),)
    yield "inet: meta nfproto ipv6", (nft_parts.family(6),)
    yield "inet: meta pkttype { broadcast, multicast }", (nft_parts.packet_types("broadcast", "multicast"),)
    yield "inet: limit rate 1/second burst 5 packets", (nft_parts.log("info", "x")[0],)
    yield "inet: reject with tcp reset", (nft_parts.protocol(6), nft_parts.TCP_RESET)
    yield "bridge: ether type ip", (nft_parts.ethernet_type(4),)
    yield "bridge: ether type ip6", (nft_parts.ethernet_type(6),)
    yield "bridge: ether saddr 02:00:00:00:00:01", (nft_parts.mac("saddr", "02:00:00:00:00:01"),)
    yield "bridge: arp saddr ether 02:00:00:00:00:01", (nft_parts.arp_sender("02:00:00:00:00:01"),)


@pytest.mark.parametrize("version", [OLD, STABLE, NEW])
def test_what_we_write_is_what_every_version_lists(version: str) -> None:
    wrong = []
    for name, made in parts():
        ours: Json = [_unnamed(part[1]) for part in made]
        seen = normal(KEPT[version][name])
        if normal(ours) != seen:
            wrong.append((name, ours, seen))
    assert wrong == []


def _unnamed(said: Json) -> Json:
    """Without a log's prefix, which only we write."""
    if isinstance(said, dict) and isinstance(log := said.get("log"), dict):
        rest: Json = {key: value for key, value in log.items() if key != "prefix"} or None
        return {"log": rest}
    return said


def test_every_name_of_a_code_of_icmp_is_recorded() -> None:
    for family, known, first in (
        (4, ICMP_TYPES, "icmp type 3 icmp code"),
        (6, ICMPV6_TYPES, "icmpv6 type 1 icmpv6 code"),
    ):
        kind = 3 if family == 4 else 1
        codes = [each.code for each in known.values() if each.type == kind and each.code is not None]
        assert len(codes) >= 7
        assert all(f"inet: {first} {code}" in KEPT[OLD] for code in codes)


def test_a_word_that_only_a_later_nft_has_is_no_number() -> None:
    match = {"op": "==", "left": {"payload": {"protocol": "icmp", "field": "code"}}, "right": "brand-new-code"}
    assert normal([{"match": match}]) == [{"match": match}]


@pytest.mark.host
def test_this_machines_nft_says_what_was_recorded() -> None:
    agrees(listed(program("nft"), list(rules())))


@pytest.mark.lab
@pytest.mark.every_suite
def test_a_hosts_nft_says_what_was_recorded(host: Host) -> None:
    def load(text: str) -> Json:
        script = "unshare --net sh -c 'nft -f - && nft -s -j list ruleset'"
        done = host.exec(["sh", "-c", script], input=text, timeout_s=60)
        found: Json = json.loads(done.stdout)["nftables"] if done.returncode == 0 else None
        return found

    agrees(listed(load, list(rules())))


def agrees(said: dict[str, Json]) -> None:
    """Whatever the version: in the normal form it is what was recorded of each that takes the rule."""
    other = {name for name, found in said.items() if normal(found) != normal(KEPT[STABLE][name])}
    assert other - set(OTHERWISE) == set()
