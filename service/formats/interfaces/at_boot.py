"""What the files make of an interface at the next boot: by meaning, in any spelling and any file.

Rules that ifupdown2 3.0.0 follows and that are easy to get wrong (its addons address.py and bridge.py):

- all stanzas of one interface count together; any `auto` among them brings up all of them;
- a `netmask` belongs to the address at its position and is lost when it is above the first `address`;
- positions count through all stanzas of an interface. With `address 10.0.0.1/24` in one stanza, the first netmask of
  another stanza belongs to that address, which has its own. So the other stanza's address is a /32;
- an address that cannot be read takes every other address of the interface with it: none is set;
- at an address that has a `broadcast` it fails, at boot and at ifreload (`broadcast_fails` of a program; the error is
  "'str' object has no attribute 'packed'", lib/nlcache.py). It sets neither this address nor any below it;
- with `pointopoint`, by its position, an address has the prefix of the other end: /32 if none is written;
- the port of a bridge or a bond gets no addresses;
- links that an interface needs come up with it, without an `auto` line of their own. These are ports of a bridge, links
  of a bond, the link below a VLAN or a VXLAN (get_dependent_ifacenames; seen);
- of an option given twice in a stanza the first counts, over several stanzas the last one applied;
- an interface is a bridge when it has `bridge-ports` or `bridge-vlan-aware`; unsaid, STP is off, forward delay 15 s.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_interface

from service.formats.interfaces.bonds_at_boot import with_bond
from service.formats.interfaces.classic_at_boot import classic_entries, gather_classic
from service.formats.interfaces.loading import InterfacesConfig
from service.formats.interfaces.meant import (
    DEFAULT_FORWARD_DELAY_S,
    PHASES,
    TRUE_WORDS,
    AddressEntry,
    BridgeMeaning,
    BroadcastLine,
    IfaceMeaning,
    LostMask,
    PlacedOption,
    StanzaPlace,
    UpLine,
    address_order,
    read_address,
    read_cidr,
    sort_addresses,
)
from service.formats.interfaces.programs import BootProgram
from service.formats.interfaces.stanzas import Option, PlacedStanza, Stanza
from service.formats.interfaces.vlans import with_vlan
from service.formats.up_lines import Effect, LinkForwarding, effects

ADDRESS_ATTRIBUTES = ("netmask", "broadcast", "scope", "preferred-lifetime")
"""Options that ifupdown2 ties to an address by their position."""
BOND_OPTIONS = ("bond-slaves", "bond-ports")
"""Options that name the links of a bond."""
LOWER_LINK_OPTIONS = (*BOND_OPTIONS, "vlan-raw-device", "vxlan-physdev")
"""Options that name the links that an interface needs, besides a bridge's ports."""


def entries_of(stanza: Stanza, program: BootProgram) -> list[AddressEntry]:
    """The addresses of one stanza with what the program ties to each."""
    return classic_entries(stanza) if program.is_classic else address_entries(stanza)


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


@dataclass(slots=True)
class _Gathering:
    """One interface being put together, stanza by stanza."""

    entries: list[AddressEntry] = field(default_factory=list)
    gateways: list[str] = field(default_factory=list)
    peers: list[str] = field(default_factory=list)
    ends: list[str | None] = field(default_factory=list)
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
            end = read_cidr(value)
            self.ends.append(end)
            self.peers += [end.partition("/")[0]] if end else []
            return end is not None
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
    lost: list[LostMask] = []
    for entry, netmask in zip(got.entries, over_stanzas(got.entries, "netmask"), strict=True):
        written, entry.cidr = entry.cidr, read_cidr(entry.option.value, netmask.value if netmask else "")
        if written is not None and written != entry.cidr:
            option = PlacedOption("address", entry.option.value, entry.stanza.path, entry.option.line)
            lost.append(LostMask(option, written, entry.cidr or ""))
    for entry, end in zip(got.entries, got.ends, strict=False):
        if entry.cidr is not None and end is not None:
            entry.cidr = read_cidr(f"{entry.cidr.partition('/')[0]}/{end.partition('/')[2]}")
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
        tuple(str(ip_address(g)) for g in sorted(set(got.gateways), key=address_order)),
        got.mtu,
        BridgeMeaning(tuple(sorted(set(got.ports))), got.stp, got.forward_delay_s) if got.is_bridge else None,
        got.condone_regex,
        tuple(got.up_lines),
        tuple(sorted(other, key=lambda option: (option.key, option.value))),
        tuple(str(ip_address(p)) for p in sorted(set(got.peers), key=address_order)),
        options=tuple(PlacedOption(o.name, o.value, s.path, o.line) for s in stanzas for o in s.options),
        places=tuple(StanzaPlace(s.path, s.first_line, s.last_line) for s in stanzas),
        broadcast=stop[1] if stop else None,
        lost_masks=() if got.ends else tuple(lost),
    )


def _made(config: InterfacesConfig, name: str, standings: Sequence[PlacedStanza]) -> IfaceMeaning:
    program = config.program
    if program.is_classic:
        found = gather_classic(name, standings, program)
    else:
        found = _gather(name, standings, broadcast_fails=program.broadcast_fails)
    if "." in name or found.lines("vlan-raw-device"):
        found = with_vlan(found, program)
    return with_bond(found, program) if any(one.key.startswith("bond-") for one in found.other) else found


def meaning(config: InterfacesConfig, name: str) -> IfaceMeaning | None:
    """What the next boot makes of interface `name`; None where no stanza is about it."""
    if not config.has_ranges:
        return meanings(config).get(name)
    if name not in config.meant:
        standings = config.of(name)
        config.meant[name] = _made(config, name, standings) if standings else None
    found: IfaceMeaning | None = config.meant[name]
    return found


def meanings(config: InterfacesConfig) -> Mapping[str, IfaceMeaning]:
    """Every interface that has a stanza, by the name written there (a range is one entry)."""
    if None not in config.meant:
        made = {n: _made(config, n, these) for n, these in config.by_name.items()}
        if not config.program.is_classic:
            made = _without_addresses_of_ports(_with_lower_links(made))
        config.meant[None] = made
    found: Mapping[str, IfaceMeaning] = config.meant[None]
    return found


def _with_lower_links(made: Mapping[str, IfaceMeaning]) -> dict[str, IfaceMeaning]:
    """ifupdown2 brings up every link that another interface needs at boot."""
    todo = [name for name, have in made.items() if have.at_boot]
    lower: set[str] = set()
    while todo:
        name = todo.pop()
        found = {*_lower_links(made.get(name, IfaceMeaning(name)))} - lower  # a VLAN may do without a stanza
        lower |= found
        todo += found
    return {name: replace(have, is_lower=True) if name in lower else have for name, have in made.items()}


def _lower_links(have: IfaceMeaning) -> Iterator[str]:
    """The links that one interface needs, as they are written."""
    yield from have.bridge.ports if have.bridge is not None else ()
    for key in LOWER_LINK_OPTIONS:
        yield from (word for option in have.lines(key)[:1] for word in option.value.split())
    if "." in have.name and not have.lines("vlan-raw-device"):
        yield have.name.rpartition(".")[0]


def _without_addresses_of_ports(made: Mapping[str, IfaceMeaning]) -> dict[str, IfaceMeaning]:
    """ifupdown2 sets no address of an interface that is the port of a bridge or a bond ("enslaved", utils.py)."""
    ports = {port: name for name, have in made.items() if have.at_boot for port in _ports_of(have)}
    return {
        name: replace(have, addresses=(), gateways=(), port_of=ports[name]) if name in ports else have
        for name, have in made.items()
    }  # fmt: skip


def _ports_of(have: IfaceMeaning) -> Iterator[str]:
    """The ports of a bridge, and the links of a bond."""
    yield from have.bridge.ports if have.bridge is not None else ()
    for key in BOND_OPTIONS:
        yield from (word for option in have.lines(key)[:1] for word in option.value.split())


@dataclass(frozen=True, slots=True)
class BootEffect:
    """One thing that a shell line does when `interface` comes up at boot, and the place of the line."""

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
