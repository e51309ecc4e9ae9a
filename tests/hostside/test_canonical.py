"""The canonical forms, on what the tools of a Debian 12 host print."""

from typing import Any

import pytest

from service.hostside.canonical import (
    addresses_from_json,
    default_routes_from_json,
    links_from_json,
    masquerade_counts,
    nft_normal,
    show_properties,
    unit_from_show,
)
from service.hostside.capture import route_words
from service.hostside.facts import same


def test_links_come_with_their_ports_and_without_the_empty_objects_of_old_tools() -> None:
    shown = [
        {},
        {"ifname": "lo", "flags": ["LOOPBACK", "UP"], "mtu": 65536},
        {"ifname": "tap1", "flags": [], "mtu": 1500, "master": "vmbr0"},
        {
            "ifname": "vmbr0",
            "flags": ["UP"],
            "mtu": 1500,
            "linkinfo": {"info_kind": "bridge", "info_data": {"forward_delay": 250, "stp_state": 1}},
        },
        {"ifname": "enp1s0", "flags": ["UP"], "mtu": 1500, "master": "vmbr0", "linkinfo": {"info_kind": "veth"}},
    ]
    links = links_from_json(shown)
    assert links["lo"] == {"type": "other", "up": True, "mtu": 65536, "master": None}
    ports = [{"name": "enp1s0", "up": True}, {"name": "tap1", "up": False}]
    bridge = {"type": "bridge", "up": True, "mtu": 1500, "master": None, "stp": True, "forward_delay_s": 2.5}
    assert links["vmbr0"] == {**bridge, "ports": ports}


def test_addresses_are_the_static_global_ones() -> None:
    shown = [
        {
            "ifname": "enp1s0",
            "addr_info": [
                {"family": "inet", "local": "198.51.100.11", "prefixlen": 24, "scope": "global"},
                {"family": "inet", "local": "198.51.100.9", "prefixlen": 24, "scope": "global", "dynamic": True},
                {"family": "inet6", "local": "fe80::1", "prefixlen": 64, "scope": "link"},
                {"family": "inet6", "local": "2001:db8::2", "prefixlen": 64, "scope": "global"},
            ],
        }
    ]
    assert addresses_from_json(shown) == {"enp1s0": ["198.51.100.11/24", "2001:db8::2/64"]}


def test_default_routes_are_those_that_no_router_advertised() -> None:
    four: list[dict[str, Any]] = [
        {"dst": "default", "gateway": "198.51.100.1", "dev": "enp1s0", "protocol": "kernel", "flags": ["onlink"]},
        {"dst": "198.51.100.0/24", "dev": "enp1s0", "protocol": "kernel"},
        {"dst": "default", "dev": "ppp0"},
    ]
    six: list[dict[str, Any]] = [
        {"dst": "default", "gateway": "fe80::9", "dev": "enp1s0", "protocol": "ra"},
        {"type": "unreachable", "dst": "default", "dev": "lo"},
        {"dst": "default", "nexthops": [{"gateway": "fd00::1", "dev": "a"}, {"gateway": "fd00::2", "dev": "b"}]},
    ]
    assert default_routes_from_json(four, six) == [
        {"family": 4, "via": None, "dev": "ppp0"},
        {"family": 4, "via": "198.51.100.1", "dev": "enp1s0"},
        {"family": 6, "via": "fd00::1", "dev": "a"},
        {"family": 6, "via": "fd00::2", "dev": "b"},
    ]


def test_a_route_is_put_back_with_all_that_the_kernel_showed_of_it() -> None:
    shown: dict[str, Any] = {"dst": "default", "gateway": "198.51.100.1", "dev": "enp1s0", "flags": ["onlink"]}
    shown |= {"weight": 3} | {"protocol": "static", "scope": "global", "prefsrc": "198.51.100.11", "metric": 7}
    words = "default via 198.51.100.1 dev enp1s0 onlink proto static scope global src 198.51.100.11 metric 7"
    assert route_words(shown) == words.split()
    assert route_words({"dst": "default", "via": {"family": "inet6", "host": "fe80::1"}, "metric": 0}) == [
        *("default", "via", "inet6", "fe80::1"),
        *("metric", "0"),
    ]
    hops = [{"gateway": "fd00::1", "dev": "a", "weight": 1}, {"gateway": "fd00::2", "dev": "b", "flags": ["onlink"]}]
    words = "default nexthop via fd00::1 dev a weight 1 nexthop via fd00::2 dev b onlink proto boot"
    assert route_words({"dst": "default", "nexthops": hops, "protocol": "boot"}) == words.split()


def test_a_table_has_one_normal_form_whatever_it_has_counted() -> None:
    def table(handle: int, packets: int, ports: list[int], banned: list[str]) -> list[dict[str, object]]:
        match = {"match": {"op": "==", "left": "dport", "right": {"set": ports}}}
        return [
            {"metainfo": {"version": str(handle)}},
            {"table": {"family": "inet", "name": "passerelle", "handle": handle}},
            {"counter": {"name": "c", "handle": handle, "packets": packets, "bytes": packets}},
            {"set": {"name": "banned", "flags": ["timeout"], "elem": banned, "handle": handle}},
            {"set": {"name": "fixed", "elem": ports}},
            {
                "rule": {
                    "handle": handle,
                    "expr": [match, {"counter": {"packets": packets, "bytes": 0}}, {"accept": None}],
                }
            },
        ]

    one, other = nft_normal(table(1, 5, [22, 80], ["192.0.2.1"])), nft_normal(table(9, 7, [80, 22], []))
    assert one == other
    assert one[0] == {"table": {"family": "inet", "name": "passerelle"}}
    assert nft_normal(table(1, 5, [22, 81], [])) != one
    assert nft_normal(table(1, 5, [22, 80], [])[::-1]) != one


SAVED = r"""
*nat
:POSTROUTING ACCEPT [0:0]
-A POSTROUTING -s 10.10.10.0/24 -o enp1s0 -j MASQUERADE
-A POSTROUTING -o "enp1s0" -s 10.10.10.0/24 -m comment --comment "it\'s \"ours\"" -j MASQUERADE
-A POSTROUTING -s 10.10.10.7/32 -o enp1s0 -j MASQUERADE
-A POSTROUTING -s 10.10.10.0/24 -o enp1s0 -p tcp -j MASQUERADE
-A POSTROUTING ! -s 10.10.10.0/24 -o enp1s0 -j MASQUERADE
-A POSTROUTING -s 10.10.10.0/24 ! -d 10.10.10.0/24 -o enp1s0 -j MASQUERADE
-A POSTROUTING -s 10.10.10.0/24 -o enp1s0 -j SNAT --to-source 198.51.100.11
-A PREROUTING -s 10.10.10.0/24 -o enp1s0 -j MASQUERADE
-A POSTROUTING -s "unclosed
COMMIT
"""


def test_masquerading_is_counted_by_meaning() -> None:
    assert masquerade_counts(SAVED) == {"10.10.10.0/24>enp1s0": 2, "10.10.10.7/32>enp1s0": 1}


def test_units_are_read_in_the_order_of_the_question() -> None:
    text = "LoadState=loaded\nUnitFileState=enabled\nActiveState=active\n\n"
    text += "LoadState=not-found\nUnitFileState=\nActiveState=inactive\n"
    assert [unit_from_show(shown) for shown in show_properties(text)] == [{"enabled": "enabled", "active": True}, None]
    masked = {"LoadState": "masked", "UnitFileState": "masked", "ActiveState": "inactive"}
    assert unit_from_show(masked) == {"enabled": "masked", "active": False}
    assert unit_from_show({"LoadState": "loaded", "UnitFileState": "static", "ActiveState": "activating"}) == {
        "enabled": "static",
        "active": False,
    }


PORTS = [{"name": "veth1", "up": True}, {"name": "veth2", "up": False}]
BRIDGE = {"type": "bridge", "up": True, "mtu": 1500, "ports": PORTS}


@pytest.mark.parametrize(
    ("fact", "wanted", "captured", "expected"),
    [
        ("file:/etc/x", {"sha256": "a"}, {"sha256": "a", "mode": "0644"}, True),
        ("file:/etc/x", {"sha256": "a", "mode": "0600"}, {"sha256": "a", "mode": "0644"}, False),
        ("file:/etc/x", None, None, True),
        ("file:/etc/x", None, {"sha256": "a"}, False),
        ("file:/etc/x", {"sha256": "a"}, {"type": "symlink"}, False),
        ("link:vmbr0", {"ports": [{"name": "veth1", "up": True}]}, BRIDGE, True),
        ("link:vmbr0", {"ports": [{"name": "veth2", "up": True}]}, BRIDGE, False),
        ("link:vmbr0", {"ports": [{"name": "veth3", "up": False}]}, BRIDGE, False),
        ("link:vmbr0", {"mtu": 1400}, BRIDGE, False),
        ("addresses:vmbr0", ["b/1", "a/1"], ["a/1", "b/1"], True),
        ("addresses:vmbr0", [], None, True),
        ("addresses:vmbr0", ["a/1"], None, False),
        ("routes:default", [], [{"family": 4, "via": None, "dev": "x"}], False),
        ("sysctl:net.ipv4.ip_local_port_range", "1024 65000", "1024\t65000", True),
        ("nft:inet passerelle", {"normal": [1], "load": "x"}, {"normal": [1], "load": "y"}, True),
        ("nft:inet passerelle", {"normal": [1]}, {"normal": [2]}, False),
        ("nft:inet passerelle", {"normal": []}, None, False),
        ("masquerade:10.0.0.0/8>x", 1, 2, False),
        ("unit:x.service", {"active": True}, {"enabled": "disabled", "active": True}, True),
        ("unit:x.service", None, {"enabled": "disabled", "active": False}, False),
    ],
)
def test_only_what_is_wanted_is_compared(fact: str, wanted: object, captured: object, expected: bool) -> None:
    assert same(fact, wanted, captured) is expected
