"""Every rule of a host's firewall in the order in which it is tried, with what it follows from, and whether it decides.

    listed(firewall) -> (Tried, …)      before routing, in, out, forward, and those of guests

The names of the entries are those in answers about packets (`Verdict.name`). What every firewall has, what follows
from other sections, and policies are entries, too.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from service.firewall.host import (
    CHAIN_OF,
    DISCOVERY,
    IGMP,
    PREROUTING,
    Closed,
    Direction,
    FilteredGuest,
    HostFirewall,
    Placed,
    Policy,
    guest_table,
)
from service.firewall.terms.icmp import IcmpType
from service.firewall.terms.model import FAMILIES, Rule, Where
from service.firewall.terms.names import ICMPV6, UDP
from service.firewall.trace.cover import Box, boxes
from service.firewall.trace.guest_chains import DHCP_PORTS, DISCOVERED, GUESTS, UNFILTERED, bridge_name
from service.firewall.trace.host_chains import closed_name, everywhere, policy_name
from service.firewall.trace.never import Judged, cells_of, everything, judged
from service.firewall.trace.sets import Sets, build_sets

Level = Literal["always", "host", "derived", "datacenter", "guest", "policy"]
Decides = Literal["some", "never", "off", "not judged"]
BRIDGE = "bridge"


@dataclass(frozen=True, slots=True)
class Entry:
    """One rule of a table. `rule` is None for what no section has as a rule: then `text` says all. `where` is the line
    that it is from or follows from, None for what every firewall has. `cause` says what it follows from, "" for what
    somebody wrote. `earlier` are the names of the rules that take all its packets, where it never decides.
    """

    name: str
    level: Level
    action: str
    text: str
    rule: Rule | None = None
    where: Where | None = None
    cause: str = ""
    group: str = ""
    decides: Decides = "some"
    earlier: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tried:
    """The rules that are tried one after the other until one decides. `guest` is "" for those of the host."""

    name: str
    direction: str
    guest: str
    entries: tuple[Entry, ...]


def listed(firewall: HostFirewall) -> tuple[Tried, ...]:
    """All tables of a host with a firewall of passerelle."""
    sets = build_sets(firewall.levels)
    return tuple(table for table in _tables(firewall, sets) if table.entries)


def _tables(firewall: HostFirewall, sets: Sets) -> Iterator[Tried]:
    yield Tried(PREROUTING, PREROUTING, "", closed_entries(firewall.closed))
    for direction in CHAIN_OF:
        rules = [
            *(Entry(step.name, "always", step.target, step.note, where=step.where) for step in everywhere(direction)),
            *(entry_of(placed) for placed in firewall.placed(direction)),
            policy_entry(direction, firewall.policy(direction), f"policy_{direction}"),
        ]
        yield Tried(direction, direction, "", judge(firewall, sets, rules, _always(direction)))
    if firewall.guests:
        yield Tried(
            GUESTS, "forward", "",
            (
                Entry(f"{GUESTS}:always:1", "always", "ACCEPT", DISCOVERED),
                Entry(f"{GUESTS}:always:2", "always", "ACCEPT", UNFILTERED),
            ),
        )  # fmt: skip
    for guest in firewall.guests:
        yield Tried(f"{BRIDGE}:{guest.name}", BRIDGE, guest.name, tuple(_bridge(guest)))
        yield guest_out(firewall, sets, guest)
        yield guest_in(firewall, sets, guest)


def closed_entries(closed: Sequence[Closed]) -> tuple[Entry, ...]:
    """Networks into which nobody may route."""
    return tuple(
        Entry(closed_name(number), "derived", "DROP", f"DROP -i {one.interface} -dest {one.network}", cause=one.cause)
        for number, one in enumerate(closed, 1)
    )


def guest_out(firewall: HostFirewall, sets: Sets, guest: FilteredGuest) -> Tried:
    """What a guest may send."""
    return _guest(firewall, sets, guest, "out", guest.policy_out)


def guest_in(firewall: HostFirewall, sets: Sets, guest: FilteredGuest) -> Tried:
    """What may reach a guest."""
    return _guest(firewall, sets, guest, "in", guest.policy_in)


def _guest(
    firewall: HostFirewall, sets: Sets, guest: FilteredGuest, direction: Literal["in", "out"], policy: Policy
) -> Tried:
    table = guest_table(guest.name, direction)
    rules = [
        Entry(f"{table}:always:1", "always", "ACCEPT", f"DHCP of guest {guest.name}"),
        *(entry_of(placed) for placed in firewall.guest_placed(guest, direction)),
        policy_entry(table, policy, f"policy_{direction}"),
    ]
    return Tried(table, direction, guest.name, judge(firewall, sets, rules, _dhcp(table, direction)))


def _bridge(guest: FilteredGuest) -> Iterator[Entry]:
    if guest.port and guest.macfilter:
        cause = f"its MAC address {guest.mac} belongs to port {guest.port} (macfilter)"
        yield _drop(guest, "port", "frames with this MAC address at another port, or with another one there", cause)
    yield _drop(guest, "router", "router advertisements", "it is a guest, not a router")
    if guest.ipfilter:
        yield _drop(guest, "source", "packets of it from an address that is not its own", "ipfilter")
    if guest.macfilter:
        yield _drop(guest, "borrowed", "packets of others from its addresses", "macfilter")
    if guest.ipfilter:
        yield _drop(guest, "dest", "packets to its MAC address for an address that is not its own", "ipfilter")


def _drop(guest: FilteredGuest, what: str, text: str, cause: str) -> Entry:
    return Entry(bridge_name(guest, what), "always", "DROP", text, cause=cause)


def entry_of(placed: Placed) -> Entry:
    """A rule that is written, or that follows from other sections."""
    rule = placed.rule
    is_derived = placed.origin == "derived"
    return Entry(
        placed.name, placed.origin, rule.action, rule.text, rule,
        next((place for place in (rule.where, rule.follows) if place.line), None),
        rule.comment if is_derived else "", placed.group,
        "some" if rule.works(0) else "off",
    )  # fmt: skip


def policy_entry(table: str, policy: Policy, text: str) -> Entry:
    """What becomes of the rest."""
    return Entry(policy_name(table), "policy", policy.action, f"{text}: {policy.action.lower()}", where=policy.where)


_SETTLED = ("off", "not judged")

Known = dict[str, list[Box]]
"""The packets of entries that are not rules, by name: a part of them where not all are known."""


def judge(firewall: HostFirewall, sets: Sets, entries: Sequence[Entry], known: Known) -> tuple[Entry, ...]:
    """The same entries with what is known of each."""
    tried = [entry for entry in entries if entry.level != "policy" and entry.decides not in _SETTLED]
    found = [_boxes(firewall, sets, entry, known) for entry in tried]
    names = sorted({box.iface for some in found for box in some} - {""})
    interfaces = {name: number for number, name in enumerate(names, 1)}
    answers = judged([*(cells_of(some, interfaces) for some in found), everything()])
    after: dict[str, Judged] = dict(zip([*(entry.name for entry in tried), ""], answers, strict=True))
    return tuple(_with(entry, after, tried, known) for entry in entries)


def _boxes(firewall: HostFirewall, sets: Sets, entry: Entry, known: Known) -> list[Box]:
    return known.get(entry.name, []) if entry.rule is None else [*boxes(firewall, sets, entry.rule)]


def _with(entry: Entry, after: dict[str, Judged], tried: Sequence[Entry], known: Known) -> Entry:
    if entry.decides in _SETTLED or (entry.rule is None and entry.level != "policy" and entry.name not in known):
        return entry
    found = after["" if entry.level == "policy" else entry.name]
    return replace(entry, decides=found.decides, earlier=tuple(tried[place].name for place in found.earlier))


def _always(direction: Direction) -> Known:
    """What takes new packets before all rules. Packets of known connections never get to rules."""
    first, rest = f"{direction}:always:", 4
    if direction == "forward":
        return {}
    return {
        f"{first}1": [Box(family, "lo", 0, None, None, None, None, None) for family in FAMILIES],
        f"{first}{rest}": [Box(6, "", ICMPV6, None, None, None, None, IcmpType(kind)) for kind in DISCOVERY],
        f"{first}{rest + 1}": [Box(family, "", IGMP, None, None, None, None, None) for family in FAMILIES],
    }


def _dhcp(table: str, direction: str) -> Known:
    def box(client: int, server: int, family: Literal[4, 6]) -> Box:
        sport, dport = (client, server) if direction == "out" else (server, client)
        return Box(family, "", UDP, None, None, ((sport, sport),), ((dport, dport),), None)

    return {f"{table}:always:1": [box(*DHCP_PORTS[family], family) for family in FAMILIES]}


def names_of(tables: Iterable[Tried]) -> frozenset[str]:
    """The names of all entries."""
    return frozenset(entry.name for table in tables for entry in table.entries)
