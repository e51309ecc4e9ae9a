"""The words of an nft rule, each with what `nft -j` lists for it: nft(8), libnftables-json(5), nftables 1.0.6 to 1.1.7.

A `Part` is (text, JSON in the normal form of `nft_normal`). Every value goes through a function that takes a number, an
address or a checked name, so nothing that a user wrote can become another word. In a table of family inet `ip saddr`,
`icmp type` and their like bring their family and protocol along; nft does not list those again, so they are never said
twice.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from service.errors import InputError
from service.firewall.terms.addresses import BITS, Ranges
from service.firewall.terms.model import Family
from service.firewall.terms.names import PORTS_OF, names
from service.model.states import Json
from service.model.trees import quoted

Part = tuple[str, Json]
ACCEPT: Part = ("accept", {"accept": None})
DROP: Part = ("drop", {"drop": None})
RETURN: Part = ("return", {"return": None})

VMAP_KEYS: dict[str, Json] = {
    "ether saddr": {"payload": {"protocol": "ether", "field": "saddr"}},
    "ether daddr": {"payload": {"protocol": "ether", "field": "daddr"}},
    "ip saddr": {"payload": {"protocol": "ip", "field": "saddr"}},
    "ip daddr": {"payload": {"protocol": "ip", "field": "daddr"}},
    "ip6 saddr": {"payload": {"protocol": "ip6", "field": "saddr"}},
    "ip6 daddr": {"payload": {"protocol": "ip6", "field": "daddr"}},
    "arp saddr ip": {"payload": {"protocol": "arp", "field": "saddr ip"}},
}

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,14}")
_CHAIN = re.compile(r"[a-z][a-z0-9_-]{0,99}")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_PREFIX = re.compile(r"[A-Za-z0-9 :_-]{1,60}")
_ICMP_TYPES: dict[Family, dict[int, str]] = {
    4: {
        0: "echo-reply", 3: "destination-unreachable", 4: "source-quench", 5: "redirect", 8: "echo-request",
        9: "router-advertisement", 10: "router-solicitation", 11: "time-exceeded", 12: "parameter-problem",
        13: "timestamp-request", 14: "timestamp-reply", 15: "info-request", 16: "info-reply",
        17: "address-mask-request", 18: "address-mask-reply",
    },
    6: {
        1: "destination-unreachable", 2: "packet-too-big", 3: "time-exceeded", 4: "parameter-problem",
        128: "echo-request", 129: "echo-reply", 130: "mld-listener-query", 131: "mld-listener-report",
        132: "mld-listener-done", 133: "nd-router-solicit", 134: "nd-router-advert", 135: "nd-neighbor-solicit",
        136: "nd-neighbor-advert", 137: "nd-redirect", 138: "router-renumbering", 141: "ind-neighbor-solicit",
        142: "ind-neighbor-advert", 143: "mld2-listener-report",
    },
}  # fmt: skip


def interface(direction: str, name: str) -> Part:
    """`iifname` (direction in) or `oifname` (out)."""
    if not _NAME.fullmatch(name):
        raise InputError(f"{quoted(name)} is not an interface name")
    key = "iifname" if direction == "in" else "oifname"
    return f'{key} "{name}"', _equals({"meta": {"key": key}}, name)


def other_interface(name: str) -> Part:
    """`iifname !=`."""
    text, _ = interface("in", name)
    return text.replace(" ", " != ", 1), _differs({"meta": {"key": "iifname"}}, name)


def mac(side: str, address: str, *, other: bool = False) -> Part:
    """`ether saddr` or `ether daddr`; `other`: any but this."""
    field: Json = {"payload": {"protocol": "ether", "field": side}}
    text = checked_mac(address)
    return f"ether {side} {'!= ' if other else ''}{text}", (_differs if other else _equals)(field, text)


def checked_mac(address: str) -> str:
    """A MAC address as nft writes it."""
    if not _MAC.fullmatch(address):
        raise InputError(f"{quoted(address)} is not a MAC address in lower case")
    return address


def arp_sender(address: str, *, other: bool = False) -> Part:
    """The MAC address that an ARP message says is its sender's."""
    text = checked_mac(address)
    field: Json = {"payload": {"protocol": "arp", "field": "saddr ether"}}
    return f"arp saddr ether {'!= ' if other else ''}{text}", (_differs if other else _equals)(field, text)


def arp_not_from(ranges: Ranges) -> Part:
    """ARP messages in which the sender claims another address (RFC 826)."""
    items = [_addresses(first, last, 4) for first, last in ranges]
    return _matched("arp saddr ip", {"payload": {"protocol": "arp", "field": "saddr ip"}}, items, differ=True)


def vmap(key: str, targets: Mapping[str, Part]) -> Part:
    """Where to go by what a packet has: `key` one of VMAP_KEYS, `targets` by value, each a jump or a goto."""
    for value in targets:
        if key.startswith("ether"):
            checked_mac(value)
        else:
            ip_address(value)
    said: list[Json] = [[value, target[1]] for value, target in targets.items()]
    text = ", ".join(f"{value} : {target[0]}" for value, target in targets.items())
    return f"{key} vmap {{ {text} }}", {"vmap": {"key": VMAP_KEYS[key], "data": {"set": said}}}


def family(number: Family) -> Part:
    """Only IPv4, or only IPv6."""
    name = "ipv6" if number == 6 else "ipv4"
    return f"meta nfproto {name}", _equals({"meta": {"key": "nfproto"}}, name)


def ethernet_type(number: Family) -> Part:
    """Only IPv4, or only IPv6, in a table of family bridge."""
    name = "ip6" if number == 6 else "ip"
    return f"ether type {name}", _equals({"payload": {"protocol": "ether", "field": "type"}}, name)


def protocol(number: int) -> Part:
    """A protocol above IP."""
    shown = _protocol_names().get(number, number)
    return f"meta l4proto {number}", _equals({"meta": {"key": "l4proto"}}, shown)


@cache
def _protocol_names() -> dict[int, str]:
    table: dict[int, str] = {}
    for name, number in names().protocols.items():
        table.setdefault(number, name)
    return table


def ports(number: int, side: str, ranges: Ranges) -> Part:
    """`tcp dport { 80, 443 }`: `side` is sport or dport, `number` the protocol."""
    name = PORTS_OF[number]
    items: list[Part] = [_numbers(first, last) for first, last in ranges]
    return _matched(f"{name} {side}", {"payload": {"protocol": name, "field": side}}, items)


def _numbers(first: int, last: int) -> Part:
    return (f"{first}", first) if first == last else (f"{first}-{last}", {"range": [first, last]})


def addresses(number: Family, side: str, ranges: Ranges, *, other: bool = False) -> Part:
    """`ip saddr { … }`: `side` is saddr or daddr, addresses as integers; not the range of all addresses. `other`: all
    but these."""
    name = "ip6" if number == 6 else "ip"
    items = [_addresses(first, last, number) for first, last in ranges]
    return _matched(f"{name} {side}", {"payload": {"protocol": name, "field": side}}, items, differ=other)


def _addresses(first: int, last: int, number: Family) -> Part:
    start, end = (str(IPv6Address(n) if number == 6 else IPv4Address(n)) for n in (first, last))
    size = last - first + 1
    if size == 1:
        return start, start
    if size & (size - 1) == 0 and first % size == 0:
        length = BITS[number] - size.bit_length() + 1
        return f"{start}/{length}", {"prefix": {"addr": start, "len": length}}
    return f"{start}-{end}", {"range": [start, end]}


def icmp(number: Family, kind: int, code: int | None = None) -> tuple[Part, ...]:
    """A message of ICMP (4) or ICMPv6 (6), of one code if given."""
    name = "icmpv6" if number == 6 else "icmp"
    parts: list[Part] = [(f"{name} type {kind}", _icmp(name, "type", _ICMP_TYPES[number].get(kind, kind)))]
    if code is not None:
        parts.append((f"{name} code {code}", _icmp(name, "code", code)))
    return tuple(parts)


def icmpv6_types(kinds: Iterable[int]) -> Part:
    """Any of several messages of ICMPv6."""
    items: list[Part] = [(f"{kind}", _ICMP_TYPES[6].get(kind, kind)) for kind in kinds]
    return _matched("icmpv6 type", {"payload": {"protocol": "icmpv6", "field": "type"}}, items)


def _icmp(name: str, field: str, value: Json) -> Json:
    return _equals({"payload": {"protocol": name, "field": field}}, value)


def states(*wanted: str) -> Part:
    """What conntrack says: of `wanted`, which are new, established, related, invalid, untracked."""
    shown: Json = wanted[0] if len(wanted) == 1 else [*wanted]
    return f"ct state {','.join(wanted)}", {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": shown}}


def packet_types(*wanted: str) -> Part:
    """How the frame came: broadcast, multicast."""
    return _matched("meta pkttype", {"meta": {"key": "pkttype"}}, [(name, name) for name in wanted])


def protocols(*numbers: int) -> Part:
    """Any of several protocols above IP."""
    items: list[Part] = [(f"{n}", _protocol_names().get(n, n)) for n in numbers]
    return _matched("meta l4proto", {"meta": {"key": "l4proto"}}, items)


def jump(chain: str) -> Part:
    """Go to another chain of the table and come back."""
    if not _CHAIN.fullmatch(chain):
        raise InputError(f"{quoted(chain)} is not a name of a chain")
    return f"jump {chain}", {"jump": {"target": chain}}


def goto(chain: str) -> Part:
    """Go to another chain of the table and not come back."""
    jump(chain)
    return f"goto {chain}", {"goto": {"target": chain}}


def log(level: str, prefix: str) -> tuple[Part, ...]:
    """A line in the kernel's log, one a second at most, five at once. `level` as Proxmox spells it."""
    if not _PREFIX.fullmatch(prefix):
        raise InputError(f"{quoted(prefix)} is not a prefix of a log line")
    word = "warn" if level == "warning" else level
    said: dict[str, Json] = {"prefix": prefix}
    if word != "warn":  # the default, which nft does not list
        said["level"] = word
    limit: Part = (
        "limit rate 1/second burst 5 packets",
        {"limit": {"rate": 1, "burst": 5, "per": "second"}},
    )
    return limit, (f'log prefix "{prefix}" level {word}', {"log": said})


TCP_RESET: Part = ("reject with tcp reset", {"reject": {"type": "tcp reset"}})
UNREACHABLE: Part = ("reject", {"reject": {"type": "icmpx", "expr": "port-unreachable"}})


def _matched(text: str, left: Json, items: Sequence[Part], *, differ: bool = False) -> Part:
    compare, sign = (_differs, "!= ") if differ else (_equals, "")
    if len(items) == 1:
        return f"{text} {sign}{items[0][0]}", compare(left, items[0][1])
    shown = ", ".join(item[0] for item in items)
    return f"{text} {sign}{{ {shown} }}", compare(left, {"set": [item[1] for item in items]})


def _equals(left: Json, right: Json) -> Json:
    return {"match": {"op": "==", "left": left, "right": right}}


def _differs(left: Json, right: Json) -> Json:
    return {"match": {"op": "!=", "left": left, "right": right}}
