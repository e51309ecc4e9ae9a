"""An nft table of ours as it is listed, read back into conditions and chains: for what may pass, before and after.

    read_program(normal, labels, known) -> Program        Program.through(("prerouting", "input"))

Only the first packet of a flow counts: what is about known connections is passed over, so are logs and limits. A
condition in words that are not known here is kept as one of its own: it holds or it does not. ValueError if a rule
decides by something that its JSON leaves out: a named set or map, a program behind a queue, iptables' parts. nft 1.0.6
to 1.1.7 lists `xt` without its options.
"""

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from service.firewall.nft.parts import icmp
from service.firewall.nft.words import statement_words
from service.firewall.terms.model import Family
from service.firewall.terms.names import names
from service.model.plans import digest_of
from service.model.states import Json

Ranges = tuple[tuple[int, int], ...]
Condition = tuple[str, Ranges]
"""(dimension, the values of it that match). Names of interfaces are numbers of `labels`, MAC addresses those that they
are. NO_MAC is the value of a packet without an Ethernet header, which neither `==` nor `!=` matches."""

FAMILY, PROTO, DPORT, SPORT, SOURCE, DEST, IIF, OIF, SOURCE_MAC, DEST_MAC = (
    "family", "protocol", "dport", "sport", "source", "dest", "iif", "oif", "source MAC", "destination MAC",
)  # fmt: skip
NO_MAC = 1 << 48
_MACS = {("ether", "saddr"): SOURCE_MAC, ("ether", "daddr"): DEST_MAC}
_MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}")
_PAYLOADS = {
    ("ip", "saddr"): (SOURCE, 0), ("ip", "daddr"): (DEST, 0),
    ("ip6", "saddr"): (SOURCE, 1), ("ip6", "daddr"): (DEST, 1),
}  # fmt: skip
_FAMILIES = {"ipv4": 0, "ipv6": 1}
"""Families as values of a dimension."""
_ICMP: dict[str, tuple[Family, int]] = {"icmp": (4, 1), "icmpv6": (6, 58)}
ENDS = ("accept", "drop", "reject")
_ASIDE = frozenset({
    "limit", "log", "counter", "last", "mangle", "notrack", "ct helper", "ct timeout", "ct expectation", "secmark",
    "dup", "set", "map", "meter",
})  # fmt: skip
"""Statements that a packet passes: they change or count something else."""
_CONDITIONS = frozenset({"quota", "ct count"})
"""Statements after which a rule may end, as after a match."""
MOST_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Entry:
    """One rule: where it is, its conditions, and what it does: accept, drop, return, or ("jump"|"goto", chain)."""

    chain: str
    conditions: tuple[Condition, ...]
    verdict: str
    target: str = ""

    @property
    def has_mac(self) -> bool:
        """Whether it is about packets with certain MAC addresses."""
        return any(dimension in (SOURCE_MAC, DEST_MAC) for dimension, _ in self.conditions)


@dataclass(frozen=True, slots=True)
class Program:
    """Entries by chain in order; `path` are the hooks' chains to go through, `policies` what each ends with."""

    chains: Mapping[str, tuple[Entry, ...]]
    policies: Mapping[str, str]
    path: tuple[str, ...] = ()

    def through(self, hooks: Sequence[str]) -> "Program":
        """For packets that come by these hooks in turn: only the chains that they can meet. What the host sends has no
        Ethernet header yet in `output`, so nothing about MAC addresses matches there (nft_payload.c)."""
        path = tuple(name for name in hooks if name in self.policies)
        is_sent = "output" in hooks
        met: dict[str, tuple[Entry, ...]] = {}
        waiting = [*path]
        while waiting:
            name = waiting.pop()
            if name not in met:
                entries = self.chains.get(name, ())
                met[name] = tuple(entry for entry in entries if not entry.has_mac) if is_sent else entries
                waiting += [entry.target for entry in met[name] if entry.target]
        return Program(met, {name: self.policies[name] for name in path}, path)


OPEN = Program({}, {})
"""No table: everything passes."""


class Labels:
    """Names as numbers, the same for both programs that are compared; 0 is every name that nobody mentions."""

    def __init__(self) -> None:
        self.names: list[str] = [""]

    def number(self, name: str) -> int:
        """The number of a name."""
        if name not in self.names:
            self.names.append(name)
        return self.names.index(name)


Known = dict[tuple[str, str], tuple[Entry, ...]]
"""Rules that were read before, by chain and text: two tables have most in common."""


def read_program(normal: Json, labels: Labels, known: Known) -> Program:
    """From the normal form that the host-side file makes. None = there is no such table."""
    if not isinstance(normal, list):
        return OPEN
    chains: dict[str, list[Entry]] = {}
    policies: dict[str, str] = {}
    for item in normal:
        kind, body = next(iter(item.items())) if isinstance(item, dict) and item else ("", None)
        if not isinstance(body, dict):
            continue
        if kind == "chain":
            name = str(body.get("name"))
            chains.setdefault(name, [])
            if body.get("hook"):
                policies[name] = str(body.get("policy", "accept"))
        elif kind == "rule":
            name = str(body.get("chain"))
            key = (name, repr(body.get("expr")))
            if key not in known:
                known[key] = tuple(_entries(name, body.get("expr"), labels))
            chains.setdefault(name, []).extend(known[key])
    return Program({name: tuple(entries) for name, entries in chains.items()}, policies)


def _entries(chain: str, expressions: Json, labels: Labels) -> Iterator[Entry]:
    """The entries of one rule: several for a map of verdicts, none where it says nothing about first packets."""
    conditions: dict[str, Ranges] = {}
    for item in expressions if isinstance(expressions, list) else []:
        kind, body = next(iter(item.items())) if isinstance(item, dict) and item else ("", None)
        if kind == "match" and isinstance(body, dict):
            found = _match(body, labels)
            if found is None:
                return
            for dimension, ranges in found:
                conditions[dimension] = _both(conditions.get(dimension), ranges)
        elif kind == "vmap" and isinstance(body, dict):
            yield from _mapped(chain, conditions, body, labels)
            return
        elif kind in (*ENDS, "return"):
            yield Entry(chain, tuple(sorted(conditions.items())), "drop" if kind == "reject" else kind)
            return
        elif kind in ("jump", "goto") and isinstance(body, dict):
            yield Entry(chain, tuple(sorted(conditions.items())), kind, str(body.get("target")))
            return
        elif kind in _CONDITIONS:
            conditions[_own_name(statement_words(item))] = ((1, 1),)
        elif kind not in _ASIDE:
            raise ValueError(f"nobody knows what {statement_words(item)} does")


def _mapped(chain: str, conditions: Mapping[str, Ranges], body: Mapping[str, Json], labels: Labels) -> Iterator[Entry]:
    data = body.get("data")
    pairs = data.get("set") if isinstance(data, dict) else None
    if not isinstance(pairs, list):
        raise ValueError("a map whose elements are listed elsewhere")
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2 or not isinstance(pair[1], dict):
            continue
        found = _match({"op": "==", "left": body.get("key"), "right": pair[0]}, labels)
        kind, target = next(iter(pair[1].items()))
        if found is None:
            continue
        merged = dict(conditions)
        for dimension, ranges in found:
            merged[dimension] = _both(merged.get(dimension), ranges)
        name = str(target.get("target")) if isinstance(target, dict) else ""
        yield Entry(chain, tuple(sorted(merged.items())), "drop" if kind == "reject" else kind, name)


def _both(one: Ranges | None, other: Ranges) -> Ranges:
    if one is None:
        return other
    found = [(max(a, c), min(b, d)) for a, b in one for c, d in other if max(a, c) <= min(b, d)]
    return tuple(sorted(found))


def _match(body: Mapping[str, Json], labels: Labels) -> list[Condition] | None:
    """The conditions of a match; None where no first packet matches, or where it is lo."""
    left, right, op = body.get("left"), body.get("right"), body.get("op")
    kind, inner = next(iter(left.items())) if isinstance(left, dict) and left else ("", None)
    key = inner.get("key") if isinstance(inner, dict) else None
    items = _items(right)
    if kind == "ct" and key == "state":
        return [] if {"new", "untracked"} & {str(item) for item in items} else None
    if kind == "meta" and key in ("iifname", "oifname"):
        if items == ["lo"]:
            return None if op == "==" else []
        numbers: Ranges = tuple((n, n) for n in sorted(labels.number(str(item)) for item in items))
        return [(IIF if key == "iifname" else OIF, _differs(numbers, 1 << 16) if op == "!=" else numbers)]
    if kind == "meta" and key == "nfproto" and all(item in _FAMILIES for item in items):
        return [(FAMILY, tuple((f, f) for f in sorted(_FAMILIES[str(item)] for item in items)))]
    if kind == "meta" and key == "l4proto" and None not in (numbered := [_protocol(item) for item in items]):
        spans = tuple(sorted((n, n) for n in numbered if n is not None))
        return [(PROTO, _differs(spans, 255) if op == "!=" else spans)]
    if kind == "payload" and isinstance(inner, dict):
        known = _payload(str(inner.get("protocol")), str(inner.get("field")), items, str(op))
        if known is not None:
            return known
    if any(isinstance(item, str) and item.startswith("@") for item in items):
        raise ValueError("a set whose elements are listed elsewhere")
    return [(_own_name(statement_words({"match": dict(body)})), ((1, 1),))]


def _own_name(words: str) -> str:
    """The name of a condition that is not a dimension: its words. Two that differ behind the cut have two names."""
    return words if len(words) <= MOST_SHOWN else f"{words[:MOST_SHOWN]}… {digest_of(words)[:19]}"


def _payload(protocol: str, field: str, items: Sequence[Json], op: str) -> list[Condition] | None:
    if (protocol, field) in _PAYLOADS:
        dimension, family = _PAYLOADS[protocol, field]
        spans = tuple(sorted(_span(item) for item in items))
        top = (1 << (128 if family else 32)) - 1
        return [(FAMILY, ((family, family),)), (dimension, _differs(spans, top) if op == "!=" else spans)]
    if protocol in _ICMP and field in ("type", "code"):
        family_, number = _ICMP[protocol]
        typed = [_typed(item, family_, field) for item in items]
        if None in typed:  # a word that this nft has and ours do not
            return None
        spans = tuple(sorted(span for span in typed if span is not None))
        where = DPORT if field == "type" else SPORT
        six = int(family_ == 6)
        return [(FAMILY, ((six, six),)), (PROTO, ((number, number),)), (where, spans)]
    if (protocol, field) in _MACS and all(isinstance(item, str) and _MAC.fullmatch(item) for item in items):
        spans = tuple(sorted((n, n) for n in (int(str(item).replace(":", ""), 16) for item in items)))
        return [(_MACS[protocol, field], _differs(spans, NO_MAC - 1) if op == "!=" else spans)]
    if field in ("dport", "sport") and protocol in names().protocols and op == "==":
        number = names().protocols[protocol]
        return [(PROTO, ((number, number),)), (field, tuple(sorted(_span(item) for item in items)))]
    return None


def _items(right: Json) -> list[Json]:
    inner = right.get("set") if isinstance(right, dict) else None
    if isinstance(inner, list):
        return inner
    return right if isinstance(right, list) else [right]


def _span(item: Json) -> tuple[int, int]:
    """A number, address, prefix or range as listed."""
    if isinstance(item, dict) and isinstance(prefix := item.get("prefix"), dict):
        address, length = ipaddress.ip_address(str(prefix.get("addr"))), prefix.get("len")
        size = 1 << (address.max_prefixlen - int(str(length)))
        return int(address), int(address) + size - 1
    if isinstance(item, dict) and isinstance(ends := item.get("range"), list) and len(ends) == 2:
        return _number(ends[0]), _number(ends[1])
    return _number(item), _number(item)


def _number(item: Json) -> int:
    return item if isinstance(item, int) else int(ipaddress.ip_address(str(item)))


def _protocol(item: Json) -> int | None:
    return item if isinstance(item, int) else names().protocols.get(str(item))


def _typed(item: Json, family: Family, field: str) -> tuple[int, int] | None:
    if isinstance(item, dict) and isinstance(ends := item.get("range"), list) and len(ends) == 2:
        first, last = (_typed(end, family, field) for end in ends)
        return (first[0], last[1]) if first and last else None
    number = item if isinstance(item, int) else _types(family).get(str(item)) if field == "type" else None
    return None if number is None else (number, number)


@cache
def _types(family: Family) -> dict[str, int]:
    """nft's words for ICMP's types."""
    table: dict[str, int] = {}
    for number in range(256):
        listed = icmp(family, number)[0]
        body = listed[1]["match"] if isinstance(listed[1], dict) else {}
        right = body.get("right") if isinstance(body, dict) else None
        if isinstance(right, str):
            table.setdefault(right, number)
    return table


def _differs(spans: Ranges, top: int) -> Ranges:
    """Everything but these."""
    found, start = [], 0
    for first, last in spans:
        if start < first:
            found.append((start, first - 1))
        start = last + 1
    return (*found, *([(start, top)] if start <= top else []))
