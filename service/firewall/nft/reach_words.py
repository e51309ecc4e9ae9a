"""Differences of reachability in words: `opens tcp/22 from anywhere`, `closes udp/53 from 10.10.10.0/24 on vmbr0`."""

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice

from service.firewall.nft.reach import MOST_NAMES, Box, Change
from service.firewall.nft.reading import (
    DEST,
    DEST_MAC,
    DPORT,
    FAMILY,
    IIF,
    NO_MAC,
    OIF,
    PROTO,
    SOURCE,
    SOURCE_MAC,
    SPORT,
    Labels,
    Ranges,
)
from service.firewall.terms.names import ICMP, ICMPV6, TCP, UDP, names

SHOWN = 6
_KNOWN = {TCP: "tcp", UDP: "udp", ICMP: "icmp", ICMPV6: "icmpv6"}
_OF_THE_OTHER: Mapping[Ranges, int] = {((0, 0),): ICMPV6, ((1, 1),): ICMP}
"""By the families of a box: the protocol that no packet of it has, though as a number it could be there."""
_MACS = {SOURCE_MAC: "source MAC address", DEST_MAC: "destination MAC address"}
_SAID = (FAMILY, PROTO, DPORT, SPORT, SOURCE, DEST, IIF, OIF, *_MACS)
"""Dimensions that have words of their own; any other is a condition as nft writes it."""
_END = {"in": "", "forward": " through the host", "out": " from the host"}


def in_words(changes: Sequence[Change], direction: str, labels: Labels) -> Iterator[str]:
    """Sentences, each once. `direction` is in, forward or out."""
    return (sentence for _, sentence in told(changes, direction, labels))


def told(changes: Sequence[Change], direction: str, labels: Labels) -> Iterator[tuple[bool, str]]:
    """The same, each with whether it opens."""
    said: set[str] = set()
    for change in changes:
        for sentence in _sentences(change, direction, labels):
            if sentence not in said:
                said.add(sentence)
                yield change.opens, sentence


def _sentences(change: Change, direction: str, labels: Labels) -> Iterator[str]:
    box = change.box
    family = box.get(FAMILY, ((0, 1),))
    six = family == ((1, 1),)
    verb = "opens" if change.opens else "closes"
    source = _addresses(box.get(SOURCE), six=six)
    dest = _addresses(box.get(DEST), six=six)
    end = _END[direction]
    who = f" from {source}" if source else ("" if direction == "out" else " from anywhere")
    to = f" to {dest}" if dest else (" to anywhere" if direction == "out" else "")
    more = "".join(_interfaces(box, labels))
    if SPORT in box and box.get(PROTO) not in (((ICMP, ICMP),), ((ICMPV6, ICMPV6),)):
        more += f" by source port {_numbers(box[SPORT], 65535)}"
    more += "".join(_mac_addresses(box))
    others = [name for name in box if name not in _SAID]
    more += "".join(f" {'where' if box[name] == ((1, 1),) else 'unless'} {name}" for name in others)
    only = "" if source or dest or FAMILY not in box else " (IPv6)" if six else " (IPv4)"
    by_host, through = (end if direction == kind else "" for kind in ("out", "forward"))
    for what in _whats(box):
        yield f"{verb} {what}{by_host}{who}{to}{through}{more}{only}"


def _whats(box: Box) -> Iterator[str]:
    """`tcp/22,80`, `icmp/8`, `everything`, `all other protocols`."""
    protocols = box.get(PROTO)
    if protocols is None:
        yield "everything"
        return
    not_here = _OF_THE_OTHER.get(box.get(FAMILY, ()))
    others: list[tuple[int, int]] = []
    for first, last in protocols:
        start = first
        for number in sorted(n for n in _KNOWN if first <= n <= last):
            if number != not_here:
                yield _what(number, box.get(DPORT))
            others += [(start, number - 1)] if start < number else []
            start = number + 1
        others += [(start, last)] if start <= last else []
    count = sum(last - first + 1 for first, last in others)
    if count > SHOWN:
        yield "every other protocol" if count > 100 else f"protocols {_numbers(tuple(others), 255)}"
        return
    yield from (_what(number, box.get(DPORT)) for first, last in others for number in range(first, last + 1))


def _what(number: int, ports: Ranges | None) -> str:
    name = _KNOWN.get(number) or next((n for n, v in names().protocols.items() if v == number), f"protocol {number}")
    if ports is None:
        return name
    top = 255 if number in (ICMP, ICMPV6) else 65535
    return f"{name}/{_numbers(ports, top)}"


def _numbers(spans: Ranges, top: int) -> str:
    shown = [(first, min(last, top)) for first, last in spans if first <= top]
    words = [str(a) if a == b else f"{a}:{b}" for a, b in shown[: 2 * SHOWN]]
    return ",".join(words) + (f" and {len(shown) - 2 * SHOWN} more" if len(shown) > 2 * SHOWN else "")


@lru_cache(maxsize=2048)
def _addresses(spans: Ranges | None, *, six: bool) -> str:
    """The same few sets are in hundreds of boxes, and to write one costs more than all else of a sentence."""
    if spans is None:
        return ""
    kind = ipaddress.IPv6Address if six else ipaddress.IPv4Address
    found = [
        str(network).removesuffix("/128" if six else "/32")
        for first, last in spans[: 4 * SHOWN]
        for network in ipaddress.summarize_address_range(kind(first), kind(last))
    ]
    top = (1 << (128 if six else 32)) - 1
    if len(found) > SHOWN:
        free = [(a, b) for a, b in _between(spans, top)]
        holes = [
            str(network).removesuffix("/128" if six else "/32")
            for first, last in free[: 4 * SHOWN]
            for network in ipaddress.summarize_address_range(kind(first), kind(last))
        ]
        if len(holes) <= SHOWN:
            return f"everywhere but {', '.join(holes)}"
        return f"{', '.join(found[:SHOWN])} and {len(found) - SHOWN} more networks"
    return ", ".join(found)


def _between(spans: Ranges, top: int) -> Iterator[tuple[int, int]]:
    start = 0
    for first, last in spans:
        if start < first:
            yield start, first - 1
        start = last + 1
    if start <= top:
        yield start, top


def _interfaces(box: Box, labels: Labels) -> Iterator[str]:
    for dimension, word in ((IIF, "on"), (OIF, "out of")):
        if dimension not in box:
            continue
        spans = box[dimension]
        named = [name for n, name in enumerate(labels.names) if n and any(a <= n <= b for a, b in spans)]
        if spans[-1][1] == MOST_NAMES - 1:
            others = [name for name in labels.names[1:] if name not in named]
            yield f" {word} every interface but {', '.join(others)}" if others else ""
        else:
            yield f" {word} {', '.join(named)}"


def _mac_addresses(box: Box) -> Iterator[str]:
    """`with source MAC address …`, then `unless …`. A packet without MAC addresses is only in the complement of one."""
    said = [_mac_address(box[dimension], word) for dimension, word in _MACS.items() if dimension in box]
    yield from sorted(said, key=lambda words: words.startswith(" unless"))


def _mac_address(spans: Ranges, word: str) -> str:
    top = NO_MAC - 1
    there = tuple((first, min(last, top)) for first, last in spans if first <= top)
    has_none = spans[-1][1] == NO_MAC
    if not there:
        return f" without a {word}"
    if sum(last - first + 1 for first, last in there) <= NO_MAC >> 1:
        return f" with {word} {_macs(there)}{' or without one' if has_none else ''}"
    holes = tuple(_between(there, top))
    if has_none:
        return f" unless the {word} is {_macs(holes)}"
    return f" with any {word} but {_macs(holes)}" if holes else f" with a {word}"


def _macs(spans: Ranges) -> str:
    """`bc:24:11:00:00:01, bc:24:11:00:00:02 and 3 more`."""
    count = sum(last - first + 1 for first, last in spans)
    shown = islice((number for first, last in spans for number in range(first, last + 1)), SHOWN)
    words = ", ".join(number.to_bytes(6, "big").hex(":") for number in shown)
    return f"{words} and {count - SHOWN} more" if count > SHOWN else words
