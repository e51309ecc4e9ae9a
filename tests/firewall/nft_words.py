"""How versions of nft spell what they list: rules given in numbers where nft takes them, and what `nft -j` says.

    python -m tests.firewall.nft_words PROGRAM…         ask this nft and keep what it said in nft_words.json

`listed(load)` is reported rules by their text; a rule that this nft does not take has None.
"""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from service.model.states import Json

FILE = Path(__file__).with_name("nft_words.json")
BATCH = 100

NUMBERED: dict[str, tuple[str, int]] = {
    "icmp type {}": ("inet", 256),
    "icmp code {}": ("inet", 256),
    "icmpv6 type {}": ("inet", 256),
    "icmpv6 code {}": ("inet", 256),
    "icmp type 3 icmp code {}": ("inet", 17),
    "icmpv6 type 1 icmpv6 code {}": ("inet", 9),
    "meta l4proto {}": ("inet", 256),
    "ip protocol {}": ("ip", 256),
    "ip6 nexthdr {}": ("ip6", 256),
    "tcp flags {}": ("inet", 64),
    "ip dscp {}": ("inet", 64),
    "tcp dport {}": ("inet", 200),
    "udp dport {}": ("inet", 200),
    "arp operation {}": ("arp", 11),
    "reject with icmp {}": ("inet", 16),
    "reject with icmpv6 {}": ("inet", 7),
    "reject with icmpx {}": ("inet", 4),
    "igmp type {}": ("inet", 40),
    "dccp type {}": ("inet", 10),
}
"""Text with a place for a number → (family, numbers from 0)."""

_CT = ("state invalid", "state established", "state related", "state new", "state untracked",
       "state established,related", "state != established", "state { new, established }",
       "state vmap { established : accept, related : accept, invalid : drop }", "status expected", "status seen-reply",
       "status assured", "status confirmed", "status snat", "status dnat", "status dying", "status dnat,snat",
       "direction original", "direction reply", "mark 0x10", "mark set meta mark", "expiration 30s",
       "expiration { 1m-1h }", "expiration 1d", "zone 1", "zone set 1", "count 10", "count over 10", 'helper "ftp"',
       "original ip saddr 192.0.2.1", "l3proto ipv4", "bytes > 1000", "event set new,destroy")  # fmt: skip
_FIB = (*(f"daddr type {word}" for word in ("unspec", "unicast", "local", "broadcast", "anycast", "multicast",
                                           "blackhole", "unreachable", "prohibit")),
        "daddr . iif type { local, broadcast }", "saddr . iif oif missing", "saddr . iif oif exists", "saddr oif 0",
        'daddr oifname "lo"', "saddr . mark . iif oif 1")  # fmt: skip
_META = ("mark 0x10", "mark set 0x1", "mark & 0xff == 0x10", "mark set meta mark | 0x1", "pkttype host",
         "pkttype broadcast", "pkttype multicast", "pkttype other", "pkttype { broadcast, multicast }", 'iif "lo"',
         'iifname "lo"', 'iifname != "lo"', 'iifname "veth*"', 'oifname { "lo", "eth0" }', "iiftype loopback",
         "iiftype ether", "iiftype ppp", "nfproto ipv4", "nfproto ipv6", "protocol ip", "protocol ip6", "protocol arp",
         "protocol vlan", "protocol 0x88a8", "protocol 0x8863", "length 100", "length 1-100", "priority none",
         "priority 1:2", "priority set 1:2", "cpu 0", "skuid 0", "skgid 0", 'day "Monday"',
         'day { "Saturday", "Sunday" }', 'hour "10:00"-"12:00"', 'time "2026-01-01 00:00:00"', "secpath exists",
         "random > 100", 'iifkind "bridge"', "nftrace set 1", "iifgroup 0", "rtclassid 1", "l4proto { 1, 6, 17, 58 }",
         "l4proto != 6")  # fmt: skip
_LIMITS = ("limit rate 1/second", "limit rate 10/minute", "limit rate 3/hour", "limit rate 5/day", "limit rate 1/week",
           "limit rate over 10/second", "limit rate 1/second burst 1 packets", "limit rate 1/second burst 5 packets",
           "limit rate 1/second burst 10 packets", "limit rate 1 bytes/second", "limit rate 10 kbytes/second",
           "limit rate 1 mbytes/second burst 1500 bytes", "limit rate over 1024 bytes/minute",
           "limit rate 1000 kbytes/second", "quota over 10 mbytes", "quota 25 bytes",
           "quota over 1000 kbytes")  # fmt: skip
_LOGS = ("log", *(f"log level {word}" for word in ("emerg", "alert", "crit", "err", "warn", "notice", "info", "debug",
                                                  "audit")),
         'log prefix "x "', 'log prefix "x" level info flags all', "log flags all", "log flags skuid",
         "log flags ip options", "log flags tcp sequence,options", "log group 2",
         "log group 2 snaplen 10 queue-threshold 5")  # fmt: skip
_ENDS = ("accept", "drop", "return", "continue", "notrack", "counter",
         "jump y", "goto y", "reject", "reject with tcp reset", "reject with icmpx type admin-prohibited",
         "synproxy mss 1460 wscale 7 timestamp sack-perm")  # fmt: skip
_ADDRESSES = ("ip saddr 10.0.0.0/8", "ip saddr 0.0.0.0", "ip saddr != 10.0.0.1",
              "ip saddr { 10.0.0.0/8, 192.0.2.1-192.0.2.9 }", "ip saddr & 0.0.0.255 == 1", "ip6 saddr 2001:db8::/32",
              "ip6 saddr ::ffff:192.0.2.1", "ip6 saddr ::1", "ip6 saddr ::/96", "ip6 daddr ff02::1",
              "ip6 saddr { fe80::/10, 2001:db8::1-2001:db8::9 }", "ip saddr . tcp dport { 10.0.0.1 . 22 }",
              "ip saddr vmap { 10.0.0.0/8 : drop, 192.0.2.1 : jump y }", "tcp dport vmap { 22 : accept, 23 : drop }",
              'iifname vmap { "lo" : accept, "eth0" : jump y }', "tcp dport { 22, 80-90, 443 }", "tcp dport != 22",
              "udp sport 53 udp dport { 53, 5353 }", "sctp dport 22", "dccp dport 22", "udplite dport 22",
              "meta l4proto 6 th dport 22", "ip protocol { 6, 17 }", "ip protocol != tcp", "ip ttl 64",
              "ip6 hoplimit 64", "ip frag-off & 0x1fff != 0", "ip length 100", "ip ecn ect0",
              "ip6 flowlabel 1", "ip option ra exists", "exthdr hbh exists", "rt type 0", "mh type 5",
              "tcp flags & (fin | syn | rst | ack) == syn", "tcp flags syn / syn,ack", "tcp flags { syn, syn | ack }",
              "tcp option maxseg size set rt mtu", "tcp option maxseg size set 1400", "tcp option sack-perm exists",
              "icmp code { 0, 1, 3 }", "icmp code != 3", "icmpv6 code { 1, 4 }", "icmpv6 code 1-4", "icmp code 0-4",
              "icmp type { 0, 3, 8, 13 }", "icmpv6 type { 1, 130-136, 143 }",
              "icmp type . icmp code { 3 . 4, 3 . 3, 11 . 0 }", "icmpv6 type . icmpv6 code { 1 . 4, 3 . 0 }",
              "icmp code vmap { 3 : accept, 4 : drop }", "icmp mtu 1500", "icmp id 1", "icmpv6 mtu 1280",
              "icmpv6 taddr fe80::1", "socket transparent 1", "socket mark 1", "numgen random mod 10 < 3",
              "jhash ip saddr mod 2 0", "rt mtu 1500", 'osf name "Linux"', "esp spi 1", "ah spi 1",
              "igmp type membership-query", "ct original proto-dst 22", "last")  # fmt: skip
_ETHERNET = ("ether type ip", "ether type ip6", "ether type arp", "ether type vlan", "ether type 0x88a8",
             "ether type 0x88cc", "ether saddr 02:00:00:00:00:01", "ether saddr != 02:00:00:00:00:01",
             "ether saddr vmap { 02:00:00:00:00:01 : accept, 02:00:00:00:00:02 : jump y }",
             "ether daddr & 01:00:00:00:00:00 == 01:00:00:00:00:00", "vlan id 10", "vlan pcp 1",
             "arp operation request", "arp htype 1", "arp ptype ip", "arp saddr ip 192.0.2.1",
             "arp saddr ip != { 192.0.2.1, 192.0.2.8-192.0.2.9 }", "arp saddr ether 02:00:00:00:00:01",
             "arp saddr ip vmap { 192.0.2.1 : accept }", "ip saddr 192.0.2.1", "udp sport 67 udp dport 68",
             "icmpv6 type 134",  "meta pkttype broadcast")  # fmt: skip
_SOURCE_NAT = ("snat ip to 192.0.2.1", "snat ip to 192.0.2.1-192.0.2.9", "snat ip6 to 2001:db8::1", "masquerade",
               "masquerade random", "masquerade fully-random,persistent",
               "meta l4proto tcp masquerade to :1024-65535")  # fmt: skip
_DESTINATION_NAT = ("dnat ip to 10.0.0.1", "meta l4proto tcp dnat ip to 10.0.0.1:80",
                    "tcp dport 80 dnat ip to 10.0.0.1:8080-8090", "dnat ip6 to 2001:db8::1",
                    "meta l4proto tcp dnat ip6 to [2001:db8::1]:80", "meta l4proto tcp redirect to :8080", "redirect",
                    "tcp dport 80 dnat ip to 10.0.0.1:80 random,persistent",
                    "dnat ip to tcp dport map { 80 : 10.0.0.1, 443 : 10.0.0.2 }")  # fmt: skip
_HOOKS = (
    *(
        f"type filter hook {hook} priority {priority};"
        for hook in ("prerouting", "input", "forward", "output", "postrouting")
        for priority in ("raw", "mangle", "filter", "security", "-300", "-150", "0", "50", "filter + 10", "raw - 5")
    ),
    "type nat hook prerouting priority dstnat;", "type nat hook postrouting priority srcnat;",
    "type filter hook input priority 0; policy drop;", "type route hook output priority mangle;",
)  # fmt: skip
_BRIDGE_HOOKS = ("type filter hook prerouting priority dstnat;", "type filter hook forward priority filter;",
                 "type filter hook output priority out;", "type filter hook postrouting priority srcnat;",
                 "type filter hook prerouting priority -300; policy drop;")  # fmt: skip

PLAIN: dict[str, tuple[str, ...]] = {
    "inet": (*(f"ct {word}" for word in _CT), *(f"fib {word}" for word in _FIB), *(f"meta {word}" for word in _META),
             *_LIMITS, *_LOGS, *_ENDS, *_ADDRESSES, *_HOOKS),
    "bridge": (*_ETHERNET, *_BRIDGE_HOOKS),
    "inet postrouting": _SOURCE_NAT,
    "inet prerouting": _DESTINATION_NAT,
}  # fmt: skip
_NAT = {
    "postrouting": "type nat hook postrouting priority 100;",
    "prerouting": "type nat hook prerouting priority -100;",
}

Rule = tuple[str, str]
"""(family, and the hook where the rule needs one; the text)"""
Load = Callable[[str], Json]
"""A ruleset's text → what `nft -j list ruleset` says of it below "nftables"; None where nft does not take it."""


def rules() -> Iterator[Rule]:
    """All questions."""
    for text, (family, numbers) in NUMBERED.items():
        yield from ((family, text.format(number)) for number in range(numbers))
    for place, texts in PLAIN.items():
        yield from ((place, text) for text in texts)


def listed(load: Load, asked: Sequence[Rule]) -> dict[str, Json]:
    """family: text → how nft lists it: a rule's expressions, or a chain's head; None where it is not taken."""
    found: dict[str, Json] = {}
    for place in dict.fromkeys(place for place, _ in asked):
        texts = [text for one, text in asked if one == place]
        for start in range(0, len(texts), BATCH):
            _together(load, place, texts[start : start + BATCH], found)
    return found


def _together(load: Load, place: str, texts: Sequence[str], found: dict[str, Json]) -> None:
    family, _, hook = place.partition(" ")
    chains = "".join(f"chain c{n} {{\n{_NAT.get(hook, '')}\n{text}\n}}\n" for n, text in enumerate(texts))
    said = load(f"table {family} t {{\nchain y {{ }}\n{chains}}}\n")
    if said is None and len(texts) > 1:
        middle = len(texts) // 2
        _together(load, place, texts[:middle], found)
        _together(load, place, texts[middle:], found)
        return
    by_chain: dict[str, Json] = {}
    for item in said if isinstance(said, list) else []:
        for kind, body in item.items() if isinstance(item, dict) else ():
            if kind == "chain" and isinstance(body, dict) and "hook" in body and not hook:
                by_chain[str(body["name"])] = {name: body[name] for name in ("type", "hook", "prio", "policy")}
            elif kind == "rule" and isinstance(body, dict):
                by_chain[str(body["chain"])] = body["expr"]
    found.update({f"{place}: {text}": by_chain.get(f"c{n}") for n, text in enumerate(texts)})


def program(*argv: str) -> Load:
    """This machine's nft, or one that a command line begins, in a network namespace of its own."""

    def load(text: str) -> Json:
        script = '"$@" -f - && "$@" -s -j list ruleset'
        done = subprocess.run(
            ["unshare", "--net", "sh", "-c", script, "sh", *argv],
            input=text, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        found: Json = json.loads(done.stdout)["nftables"] if done.returncode == 0 else None
        return found

    return load


def kept() -> dict[str, dict[str, Json]]:
    """What was recorded: version → family: text → what it listed.

    In the file the rules with a number are as one where nft lists the number itself; what differs is below it.
    """
    file = json.loads(FILE.read_text())
    shown: dict[str, list[str] | dict[str, str]] = file["listed"]
    found: dict[str, dict[str, Json]] = {version: {} for version in file["versions"]}
    for name, place, number in _names():
        for version, by_name in found.items():
            known = shown.get(name) or shown[place]
            text = known[version] if isinstance(known, dict) else known[0]
            by_name[name] = json.loads(text.replace(PLACE, str(number)))
    return found


PLACE = "NUMBER"


def _names() -> Iterator[tuple[str, str, int]]:
    """(family: text, the same with a place for the number, the number)"""
    for text, (family, numbers) in NUMBERED.items():
        yield from ((f"{family}: {text.format(n)}", f"{family}: {text.format(PLACE)}", n) for n in range(numbers))
    for place, texts in PLAIN.items():
        yield from ((f"{place}: {text}", "", 0) for text in texts)


def main(argv: Sequence[str]) -> None:
    """Ask a program, and keep what it said next to the others."""
    said = subprocess.run([*argv, "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    versions = (kept() if FILE.exists() else {}) | {said.removeprefix("v"): listed(program(*argv), list(rules()))}
    shown: dict[str, list[str] | dict[str, str]] = {}
    usual = {place: _numbered(versions, name, number) for name, place, number in _names() if place}
    for name, place, number in _names():
        texts = {version: json.dumps(known[name]) for version, known in versions.items()}
        if place and place not in shown:
            shown[place] = _short(usual[place])
        if not place or texts != {version: text.replace(PLACE, str(number)) for version, text in usual[place].items()}:
            shown[name] = _short(texts)
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(texts)}" for name, texts in shown.items())
    FILE.write_text(f'{{"versions": {json.dumps(list(versions))}, "listed": {{\n{lines}\n}}}}\n')


def _numbered(versions: dict[str, dict[str, Json]], name: str, number: int) -> dict[str, str]:
    """What is listed for the last number of a rule, with a place for it."""
    end = re.compile(rf"\b{number}\b(?!.*\b{number}\b)")
    return {version: end.sub(PLACE, json.dumps(known[name])) for version, known in versions.items()}


def _short(texts: dict[str, str]) -> list[str] | dict[str, str]:
    first = next(iter(texts.values()))
    return [first] if set(texts.values()) == {first} else texts


if __name__ == "__main__":
    main(sys.argv[1:])
