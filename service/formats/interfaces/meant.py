"""What a boot makes of an interface, as values, and how addresses are read; whichever program brings it up."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_interface

from service.formats.interfaces.bonding import BondMeaning
from service.formats.interfaces.stanzas import Option, Stanza
from service.formats.read_once import word_once
from service.formats.up_lines import Effect

PHASES = ("pre-up", "up", "post-up", "pre-down", "down", "post-down")
UP_PHASES = ("pre-up", "up", "post-up")
TRUE_WORDS = ("on", "yes", "1", "fast")
DEFAULT_FORWARD_DELAY_S = 15.0
FROM_ELSEWHERE = ("inet dhcp", "inet6 auto", "inet6 dhcp")
"""Families and methods by which a DHCP server or a router gives the addresses."""


@dataclass(frozen=True, slots=True)
class BridgeMeaning:
    """A bridge: its ports (sorted; `glob` and `regex` words as written), whether it speaks STP, its forward delay."""

    ports: tuple[str, ...] = ()
    stp: bool = False
    forward_delay_s: float = DEFAULT_FORWARD_DELAY_S


@dataclass(frozen=True, slots=True)
class VlanMeaning:
    """A VLAN: its number on the link below it."""

    parent: str
    id: int


@dataclass(frozen=True, slots=True)
class UpLine:
    """One shell line: its phase, what it does, and where it is. `ip-forward on` is one of phase `ip-forward`."""

    phase: str
    effects: tuple[Effect, ...]
    path: str = field(compare=False)
    line: int = field(compare=False)
    text: str = field(default="", compare=False)

    @property
    def at_boot(self) -> bool:
        """Whether it runs when the interface comes up."""
        return self.phase in (*UP_PHASES, "ip-forward")


@dataclass(frozen=True, slots=True)
class PlacedOption:
    """An option and where it is; two are equal when they say the same."""

    key: str
    value: str
    path: str = field(compare=False)
    line: int = field(compare=False)


@dataclass(frozen=True, slots=True)
class StanzaPlace:
    """The place of a stanza."""

    path: str
    first_line: int
    last_line: int


@dataclass(frozen=True, slots=True)
class BroadcastLine:
    """The first `broadcast` line that counts, and what ifupdown2 3.0.0 does not set for it."""

    option: PlacedOption
    addresses: tuple[str, ...]

    @property
    def where(self) -> str:
        """`path:line`."""
        return f"{self.option.path}:{self.option.line}"


@dataclass(frozen=True, slots=True)
class LostMask:
    """An `address` line whose netmask ifupdown2 gives to another one: what its stanza says, and what the boot sets.
    `there` is empty where the address cannot be read with the netmask that it gets."""

    option: PlacedOption
    written: str
    there: str


@dataclass(frozen=True, slots=True)
class IfaceMeaning:
    """One interface at the next boot. Two are equal when the boot would do the same, whatever the order of the lines.

    `addresses` are sorted CIDRs with host bits, `gateways` sorted addresses, `peers` the other ends of `pointopoint`
    lines, sorted. `other` are options that are not understood here, or whose value cannot be read. `options` are all
    lines with their places. `broadcast` is there whether the host's ifupdown fails at it or not. `is_lower`: another
    interface that the boot brings up needs it. `vlan`: it is one that the boot makes. `port_of`: the bridge or bond for
    which ifupdown2 sets no address of it.
    """

    name: str
    auto: bool = False
    classes: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    mtu: int | None = None
    bridge: BridgeMeaning | None = None
    condone_regex: str | None = None
    up_lines: tuple[UpLine, ...] = ()
    other: tuple[PlacedOption, ...] = ()
    peers: tuple[str, ...] = ()
    bond: BondMeaning | None = None
    options: tuple[PlacedOption, ...] = field(default=(), compare=False)
    places: tuple[StanzaPlace, ...] = field(default=(), compare=False)
    broadcast: BroadcastLine | None = field(default=None, compare=False)
    is_lower: bool = field(default=False, compare=False)
    lost_masks: tuple[LostMask, ...] = field(default=(), compare=False)
    port_of: str = field(default="", compare=False)
    vlan: VlanMeaning | None = None

    @property
    def at_boot(self) -> bool:
        """Whether the boot brings it up: `auto`, class mgmt, class hotplug (if the link exists by then), or for another
        one that needs it.
        """
        return self.auto or self.is_lower or "hotplug" in self.classes or "mgmt" in self.classes

    @property
    def dynamic(self) -> tuple[str, ...]:
        """Its methods by which addresses come from a DHCP server or a router, sorted."""
        return tuple(sorted({method for method in self.methods if method in FROM_ELSEWHERE}))

    def boot_effects(self) -> tuple[Effect, ...]:
        """What its shell lines do when it comes up, in order."""
        return tuple(effect for line in self.up_lines if line.at_boot for effect in line.effects)

    def lines(self, key: str) -> tuple[PlacedOption, ...]:
        """Every line of one option, by its dashed name."""
        return tuple(option for option in self.options if option.key == key)


@dataclass(slots=True)
class AddressEntry:
    """An `address` line with the options tied to it; `cidr` is None where it cannot be read."""

    stanza: Stanza
    option: Option
    tied: dict[str, Option] = field(default_factory=dict)
    cidr: str | None = None
    own_prefix_counts: bool = True

    @property
    def netmask(self) -> Option | None:
        """The netmask that counts: to ifupdown2 none if the address has its own prefix, to the classic one always."""
        return None if self.own_prefix_counts and "/" in self.option.value else self.tied.get("netmask")


@word_once
def read_cidr(address: str, netmask: str = "") -> str | None:
    """`10.0.0.1` + `255.255.255.0` or `24`, or `10.0.0.1/24`, as canonical CIDR. A lone address is /32 or /128."""
    text = f"{address}/{netmask}" if netmask and "/" not in address else address
    if not re.fullmatch(r"[0-9A-Fa-f.:]{2,45}(?:/[0-9]{1,3}|/[0-9]{1,3}(?:\.[0-9]{1,3}){3})?", text):
        return None
    try:
        return ip_interface(text).with_prefixlen
    except ValueError:
        return None


@word_once
def read_address(text: str) -> str | None:
    """A plain address in canonical spelling."""
    try:
        return str(ip_address(text)) if re.fullmatch(r"[0-9A-Fa-f.:]{2,45}", text) else None
    except ValueError:
        return None


def sort_addresses(addresses: Iterable[str]) -> tuple[str, ...]:
    """Each once: IPv4 before IPv6, then by number."""
    return tuple(sorted(set(addresses), key=_order))


@word_once
def _order(text: str) -> tuple[int, int, int]:
    value = ip_interface(text)
    return value.version, int(value.ip), value.network.prefixlen


def address_order(text: str) -> tuple[int, int]:
    address = ip_address(text)
    return address.version, int(address)


def ports_of(have: IfaceMeaning) -> Iterator[str]:
    """The ports of a bridge or a bond."""
    yield from have.bridge.ports if have.bridge is not None else ()
    yield from have.bond.ports if have.bond is not None else ()
