"""What the files make of an interface at the next boot: by meaning, however it is spelled and wherever it stands.

Rules that ifupdown2 3.0.0 follows and that are easy to get wrong (its addons address.py and bridge.py):

- all stanzas of one interface count together; any `auto` among them brings up all of them;
- a `netmask` belongs to the address at its position and is lost when it is above the first `address`;
- positions count through all stanzas of an interface: below `address 10.0.0.1/24` in one stanza, the first netmask of
  another stanza belongs to that address, which has its own, and the other stanza's address is a /32;
- an address that cannot be read takes every other address of the interface with it: none is set;
- at an address that has a `broadcast` it fails, at boot and at ifreload (`broadcast_fails` of a program; the error is
  "'str' object has no attribute 'packed'", lib/nlcache.py). It sets neither this address nor any below it;
- of an option given twice in a stanza the first counts, over several stanzas the last one applied;
- an interface is a bridge when it has `bridge-ports` or `bridge-vlan-aware`; unsaid, STP is off, forward delay 15 s.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface

from service.formats.interfaces.loading import InterfacesConfig, PlacedStanza
from service.formats.interfaces.stanzas import Option, Stanza
from service.formats.up_lines import Effect, LinkForwarding, effects

PHASES = ("pre-up", "up", "post-up", "pre-down", "down", "post-down")
UP_PHASES = ("pre-up", "up", "post-up")
TRUE_WORDS = ("on", "yes", "1", "fast")
DEFAULT_FORWARD_DELAY_S = 15.0
ADDRESS_ATTRIBUTES = ("netmask", "broadcast", "scope", "preferred-lifetime")
"""Options that ifupdown2 ties to an address by their position."""

Interface = IPv4Interface | IPv6Interface


@dataclass(frozen=True, slots=True)
class BridgeMeaning:
    """A bridge: its ports (sorted; `glob` and `regex` words as written), whether it speaks STP, its forward delay."""

    ports: tuple[str, ...] = ()
    stp: bool = False
    forward_delay_s: float = DEFAULT_FORWARD_DELAY_S


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
    """Where a stanza stands."""

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
class IfaceMeaning:
    """One interface at the next boot. Two are equal when the boot would do the same, wherever the lines stand.

    `addresses` are sorted CIDRs with host bits; `gateways` sorted addresses; `peers` the other ends of `pointopoint`
    lines, sorted; `other` are options that are not
    understood here (or whose value cannot be read); `options` are all lines with their places. `broadcast` is there
    whether the host's ifupdown fails at it or not.
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
    options: tuple[PlacedOption, ...] = field(default=(), compare=False)
    places: tuple[StanzaPlace, ...] = field(default=(), compare=False)
    broadcast: BroadcastLine | None = field(default=None, compare=False)

    @property
    def at_boot(self) -> bool:
        """Whether the boot brings it up: `auto`, class mgmt, or class hotplug (if the link exists by then)."""
        return self.auto or "hotplug" in self.classes or "mgmt" in self.classes

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

    @property
    def netmask(self) -> Option | None:
        """The netmask that counts: none where the address carries its own prefix."""
        return None if "/" in self.option.value else self.tied.get("netmask")


def read_cidr(address: str, netmask: str = "") -> str | None:
    """`10.0.0.1` + `255.255.255.0` or `24`, or `10.0.0.1/24`, as canonical CIDR. A lone address is /32 or /128."""
    text = f"{address}/{netmask}" if netmask and "/" not in address else address
    if not re.fullmatch(r"[0-9A-Fa-f.:]{2,45}(?:/[0-9]{1,3}|/[0-9]{1,3}(?:\.[0-9]{1,3}){3})?", text):
        return None
    try:
        return ip_interface(text).with_prefixlen
    except ValueError:
        return None


def read_address(text: str) -> str | None:
    """A plain address in canonical spelling."""
    try:
        return str(ip_address(text)) if re.fullmatch(r"[0-9A-Fa-f.:]{2,45}", text) else None
    except ValueError:
        return None


def address_entries(stanza: Stanza) -> list[AddressEntry]:
    """The addresses of one stanza with what ifupdown2 ties to each by position."""
    entries = [AddressEntry(stanza, option) for option in stanza.options if option.name == "address"]
    seen = 0
    taken = dict.fromkeys(ADDRESS_ATTRIBUTES, 0)
    for option in stanza.options:
        if option.name == "address":
            seen += 1
        elif option.name in taken and seen:
            index = max(taken[option.name], seen - 1)
            taken[option.name] = index + 1
            if index < len(entries):
                entries[index].tied[option.name] = option
    for entry in entries:
        entry.cidr = read_cidr(entry.option.value, entry.netmask.value if entry.netmask else "")
    return entries


def over_stanzas(entries: Sequence[AddressEntry], name: str) -> list[Option | None]:
    """For each address the netmask or broadcast at its position over all stanzas (iface.py, `squash`)."""
    found: list[Option | None] = []
    stanza: Stanza | None = None
    waiting: list[Option | None] = []
    for entry in entries:
        if entry.stanza is not stanza:
            found += _trimmed(waiting)
            stanza, waiting = entry.stanza, []
        waiting.append(entry.tied.get(name))
    found += _trimmed(waiting)
    return found + [None] * (len(entries) - len(found))


def _trimmed(options: list[Option | None]) -> list[Option | None]:
    """Only up to the last one that is written: nothing is kept for addresses behind it."""
    last = max((n for n, option in enumerate(options, 1) if option), default=0)
    return options[:last]


def _broadcast(entries: Sequence[AddressEntry]) -> tuple[int, BroadcastLine] | None:
    """The first address that has a broadcast: its position, and the line with all that is lost."""
    for position, option in enumerate(over_stanzas(entries, "broadcast")):
        if option is not None:
            path = next(e.stanza.path for e in entries if any(o is option for o in e.tied.values()))
            lost = sort_addresses(entry.cidr for entry in entries[position:] if entry.cidr)
            return position, BroadcastLine(PlacedOption(option.name, option.value, path, option.line), lost)
    return None


def sort_addresses(addresses: Iterable[str]) -> tuple[str, ...]:
    """Each once: IPv4 before IPv6, then by number."""

    def order(text: str) -> tuple[int, int, int]:
        value = ip_interface(text)
        return value.version, int(value.ip), value.network.prefixlen

    return tuple(sorted(set(addresses), key=order))


@dataclass(slots=True)
class _Gathering:
    """One interface being put together, stanza by stanza."""

    entries: list[AddressEntry] = field(default_factory=list)
    gateways: list[str] = field(default_factory=list)
    peers: list[str] = field(default_factory=list)
    mtu: int | None = None
    is_bridge: bool = False
    ports: list[str] = field(default_factory=list)
    stp: bool = False
    forward_delay_s: float = DEFAULT_FORWARD_DELAY_S
    condone_regex: str | None = None
    up_lines: list[UpLine] = field(default_factory=list)
    other: list[PlacedOption] = field(default_factory=list)

    def add(self, stanza: Stanza) -> None:
        entries = address_entries(stanza)
        self.entries += entries
        tied = {id(o): e for e in entries if e.cidr is not None for o in e.tied.values()}
        first: set[str] = set()
        for option in stanza.options:
            key = option.name
            if key in PHASES:
                line = UpLine(key, effects(option.value), stanza.path, option.line, option.value)
                self.up_lines.append(line)
            elif key == "address" or (key in ADDRESS_ATTRIBUTES and _natural(option, tied.get(id(option)))):
                continue
            elif not self.understood(stanza, option, repeated=key in first):
                self.other.append(PlacedOption(key, option.value, stanza.path, option.line))
            first.add(key)

    def understood(self, stanza: Stanza, option: Option, *, repeated: bool) -> bool:
        key, value = option.name, option.value
        if key == "gateway":
            gateway = read_address(value)
            self.gateways += [gateway] if gateway else []
            return gateway is not None
        if key == "pointopoint":
            peer = read_address(value)
            self.peers += [peer] if peer else []
            return peer is not None
        if key == "bridge-ports":
            self.is_bridge = True
            self.ports += [port for port in value.split() if value != "none"]
            return True
        if key in ("mtu", "bridge-stp", "bridge-fd", "bridge-ports-condone-regex"):
            return repeated or self.single(key, value)
        if key == "ip-forward":
            forwarding = LinkForwarding(value in TRUE_WORDS, stanza.name)
            self.up_lines.append(UpLine(key, (forwarding,), stanza.path, option.line, value))
            return True
        self.is_bridge = self.is_bridge or key == "bridge-vlan-aware"
        return False

    def single(self, key: str, value: str) -> bool:
        if key == "bridge-stp":
            self.stp = value in TRUE_WORDS
        elif key == "bridge-ports-condone-regex":
            self.condone_regex = value
        elif not re.fullmatch(r"[0-9]{1,5}", value):
            return False
        elif key == "mtu":
            self.mtu = int(value)
        else:
            self.forward_delay_s = float(value)
        return True

    def addresses(self, count: int) -> tuple[str, ...]:
        if any(entry.cidr is None for entry in self.entries):
            return ()
        return sort_addresses(entry.cidr or "" for entry in self.entries[:count])


def _natural(option: Option, entry: AddressEntry | None) -> bool:
    """A netmask, or a broadcast that is what the address has anyway."""
    if entry is None or entry.cidr is None:
        return False
    network = ip_interface(entry.cidr).network
    return option.name == "netmask" or (option.name == "broadcast" and option.value == str(network.broadcast_address))


def _gather(name: str, standings: Iterable[PlacedStanza], *, broadcast_fails: bool) -> IfaceMeaning:
    stands = tuple(standings)
    got = _Gathering()
    for standing in stands:
        got.add(standing.stanza)
    for entry, netmask in zip(got.entries, over_stanzas(got.entries, "netmask"), strict=True):
        entry.cidr = read_cidr(entry.option.value, netmask.value if netmask else "")
    stop = _broadcast(got.entries)
    unread = [e for e in got.entries if e.cidr is None]
    other = got.other + [PlacedOption("address", e.option.value, e.stanza.path, e.option.line) for e in unread]
    stanzas = [standing.stanza for standing in stands]
    return IfaceMeaning(
        name,
        any(standing.auto for standing in stands),
        tuple(sorted({c for standing in stands for c in standing.classes})),
        tuple(f"{s.family} {s.method}".strip() for s in stanzas),
        got.addresses(stop[0] if stop and broadcast_fails else len(got.entries)),
        tuple(str(ip_address(g)) for g in sorted(set(got.gateways), key=_address_order)),
        got.mtu,
        BridgeMeaning(tuple(sorted(set(got.ports))), got.stp, got.forward_delay_s) if got.is_bridge else None,
        got.condone_regex,
        tuple(got.up_lines),
        tuple(sorted(other, key=lambda option: (option.key, option.value))),
        tuple(str(ip_address(p)) for p in sorted(set(got.peers), key=_address_order)),
        tuple(PlacedOption(o.name, o.value, s.path, o.line) for s in stanzas for o in s.options),
        tuple(StanzaPlace(s.path, s.first_line, s.last_line) for s in stanzas),
        stop[1] if stop else None,
    )


def _address_order(text: str) -> tuple[int, int]:
    address = ip_address(text)
    return address.version, int(address)


def meaning(config: InterfacesConfig, name: str) -> IfaceMeaning | None:
    """What the next boot makes of interface `name`; None where no stanza is about it."""
    if not config.has_ranges:
        return meanings(config).get(name)
    if name not in config.meant:
        standings = config.of(name)
        fails = config.program.broadcast_fails
        config.meant[name] = _gather(name, standings, broadcast_fails=fails) if standings else None
    found: IfaceMeaning | None = config.meant[name]
    return found


def meanings(config: InterfacesConfig) -> Mapping[str, IfaceMeaning]:
    """Every interface that has a stanza, by the name written there (a range is one entry)."""
    if None not in config.meant:
        fails = config.program.broadcast_fails
        config.meant[None] = {n: _gather(n, these, broadcast_fails=fails) for n, these in config.by_name.items()}
    found: Mapping[str, IfaceMeaning] = config.meant[None]
    return found


@dataclass(frozen=True, slots=True)
class BootEffect:
    """One thing that a shell line does when `interface` comes up at boot, and where the line stands."""

    effect: Effect
    interface: str
    path: str
    line: int


def up_effects(config: InterfacesConfig) -> Iterator[BootEffect]:
    """What the shell lines of all interfaces that come up at boot do, interface by interface, in order."""
    for name, have in meanings(config).items():
        if have.at_boot:
            for line in have.up_lines:
                if line.at_boot:
                    for effect in line.effects:
                        yield BootEffect(effect, name, line.path, line.line)
