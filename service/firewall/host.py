"""The firewall of a host that is not a hypervisor of Proxmox, as a value: its levels, what follows from its other
sections, and its guests.

    HostFirewall(...).rules("in")           every rule in the order in which the kernel tries it

The order is Proxmox's: what holds everywhere, the host's rules, those that follow from other sections, the datacenter's
rules, the policy. These rules are everywhere: lo passes. Packets of no connection are dropped, and those of a known one
pass (ICMP errors that belong to one are `related`). Neighbour discovery, multicast listeners and IGMP (RFC 4890, 4.4.1)
pass.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from service.firewall.pve.node import NodeFirewall
from service.firewall.terms.model import Family, Level, Rule, Where

Direction = Literal["in", "out", "forward"]

DISCOVERY = (130, 131, 132, 133, 134, 135, 136, 143)
"""Messages of ICMPv6 without which a network does not work; conntrack does not track them."""
IGMP = 2
CHAIN_OF: dict[Direction, str] = {"in": "input", "out": "output", "forward": "forward"}
PREROUTING = "prerouting"


@dataclass(frozen=True, slots=True)
class Policy:
    """What becomes of packets that no rule decides about, and where that is reported (None: it is the default)."""

    action: str
    where: Where | None = None


@dataclass(frozen=True, slots=True)
class Closed:
    """Packets for `network` that come in on `interface` are dropped before anything else."""

    interface: str
    network: str
    cause: str


@dataclass(frozen=True, slots=True)
class FilteredGuest:
    """A guest with rules of its own: known by its MAC address (lower case) and by the addresses that it may use.

    `addresses` hold the link-local one that goes with the MAC. `port` is its link in the host, "" where nobody says.
    `macfilter` and `ipfilter`: it sends under its own MAC, under its own addresses only. `derived` are rules that
    follow from other sections, after its own.
    """

    name: str
    mac: str
    addresses: tuple[str, ...]
    level: Level
    policy_in: Policy
    policy_out: Policy
    port: str = ""
    macfilter: bool = True
    ipfilter: bool = True
    derived: tuple[Rule, ...] = ()

    def of_family(self, family: Family) -> tuple[str, ...]:
        """Its addresses of one family."""
        return tuple(address for address in self.addresses if (":" in address) == (family == 6))


Origin = Literal["host", "derived", "datacenter", "guest"]


@dataclass(frozen=True, slots=True)
class Placed:
    """A rule in the order in which it is tried. `name` is its own on the host, the same in the list of the rules and in
    answers about packets: direction, origin, place there counted from 1 (`in:host:3`, `guest:web:in:2`). The rules
    of a group that is used there have a further number. `group` is the name of that group, "" for none.
    """

    name: str
    origin: Origin
    rule: Rule
    group: str = ""


@dataclass(frozen=True, slots=True)
class HostFirewall:
    """All that decides about packets on one host. `levels` holds datacenter and host; `derived` are between them.

    `guests` have rules of their own. What stays on one of the `bridges` is theirs alone: the host's forward rules are
    about what it routes.
    """

    levels: NodeFirewall
    policy_in: Policy
    policy_out: Policy
    policy_forward: Policy
    derived: tuple[Rule, ...] = ()
    closed: tuple[Closed, ...] = ()
    guests: tuple[FilteredGuest, ...] = ()
    bridges: tuple[str, ...] = ()

    def policy(self, direction: Direction) -> Policy:
        """The policy of a direction."""
        return {"in": self.policy_in, "out": self.policy_out, "forward": self.policy_forward}[direction]

    def rules(self, direction: Direction) -> Iterator[Rule]:
        """The rules of a direction that are on and without errors, groups written out, in order."""
        return (placed.rule for placed in self.placed(direction) if placed.rule.works(0))

    def placed(self, direction: Direction) -> Iterator[Placed]:
        """The same with their names, and with those that are off or have errors."""
        yield from self._placed(direction, direction, "host", self.levels.host.rules)
        yield from self._placed(direction, direction, "derived", self.derived)
        yield from self._placed(direction, direction, "datacenter", self.levels.cluster.rules)

    def guest_rules(self, guest: FilteredGuest, direction: Direction) -> Iterator[Rule]:
        """A guest's rules of a direction as it sees it, in order."""
        return (placed.rule for placed in self.guest_placed(guest, direction) if placed.rule.works(0))

    def guest_placed(self, guest: FilteredGuest, direction: Direction) -> Iterator[Placed]:
        """The same with their names, and with those that are off or have errors."""
        table = guest_table(guest.name, direction)
        yield from self._placed(table, direction, "guest", guest.level.rules)
        yield from self._placed(table, direction, "derived", guest.derived)

    def _placed(self, table: str, direction: Direction, origin: Origin, rules: Iterable[Rule]) -> Iterator[Placed]:
        top = table if origin == "guest" else f"{table}:{origin}"
        for number, rule in enumerate(rules, 1):
            if rule.type != "group":
                if rule.type == direction:
                    yield Placed(f"{top}:{number}", origin, rule)
                continue
            group = self.levels.cluster.groups.get(rule.action)
            for inner, member in enumerate(group.rules if group else (), 1):
                if member.type == direction:
                    is_on = rule.enable and member.enable
                    used = replace(member, iface=rule.iface or member.iface, enable=is_on)
                    yield Placed(f"{top}:{number}:{inner}", origin, used, rule.action)

    def causes(self) -> Iterator[tuple[str, str]]:
        """(thing, cause) of what nobody wrote."""
        for rule in self.derived:
            yield rule.text, rule.comment
        for guest in self.guests:
            yield from ((f"{rule.text} (guest {guest.name})", rule.comment) for rule in guest.derived)
        for closed in self.closed:
            yield f"DROP {closed.network} from {closed.interface}", closed.cause


def guest_table(guest: str, direction: str) -> str:
    """The name of what a guest's rules of a direction are listed under."""
    return f"guest:{guest}:{direction}"
