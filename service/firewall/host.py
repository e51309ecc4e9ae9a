"""The firewall of a host that is not a hypervisor of Proxmox, as a value: its levels, what follows from its other
sections, and its guests.

    HostFirewall(...).rules("in")           every rule in the order in which the kernel tries it

The order is Proxmox's: what holds everywhere, the host's rules, those that follow from other sections, the datacenter's
rules, the policy. These rules are everywhere: lo passes. Packets of no connection are dropped, and those of a known one
pass (ICMP errors that belong to one are `related`). Neighbour discovery, multicast listeners and IGMP (RFC 4890, 4.4.1)
pass.
"""

from collections.abc import Iterator
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
        for rule in (*self.levels.host.rules, *self.derived, *self.levels.cluster.rules):
            for single in self._written_out(rule):
                if single.type == direction and single.works(0):
                    yield single

    def guest_rules(self, guest: FilteredGuest, direction: Direction) -> Iterator[Rule]:
        """A guest's rules of a direction as it sees it, in order."""
        for rule in (*guest.level.rules, *guest.derived):
            for single in self._written_out(rule):
                if single.type == direction and single.works(0):
                    yield single

    def _written_out(self, rule: Rule) -> Iterator[Rule]:
        if rule.type != "group":
            yield rule
            return
        group = self.levels.cluster.groups.get(rule.action)
        for member in group.rules if group and rule.enable else ():
            yield replace(member, iface=rule.iface or member.iface)

    def causes(self) -> Iterator[tuple[str, str]]:
        """(thing, cause) of what nobody wrote."""
        for rule in self.derived:
            yield rule.text, rule.comment
        for guest in self.guests:
            yield from ((f"{rule.text} (guest {guest.name})", rule.comment) for rule in guest.derived)
        for closed in self.closed:
            yield f"DROP {closed.network} from {closed.interface}", closed.cause
