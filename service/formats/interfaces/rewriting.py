"""Changing the stanzas that an interface has: only options whose meaning differs, in the style that is there."""

import re
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from ipaddress import ip_interface

from service.errors import InputError
from service.formats.interfaces.at_boot import address_entries, entries_of
from service.formats.interfaces.bonding import FIELD_OF, KEYS, PORT_KEYS, bond_fields
from service.formats.interfaces.classic_at_boot import is_boot
from service.formats.interfaces.loading import InterfacesConfig
from service.formats.interfaces.meant import FROM_ELSEWHERE, AddressEntry, IfaceMeaning, read_address, sort_addresses
from service.formats.interfaces.patch import FilePatch
from service.formats.interfaces.stanzas import AutoLine, Option, Stanza, shown
from service.formats.interfaces.wanted import WantedStanza, condones, family_blocks, link_values, method_of

ORDER = (
    "address", "netmask", "broadcast", "scope", "preferred-lifetime", "network", "pointopoint", "gateway",
    "bridge-ports", "bridge-stp", "bridge-fd", *FIELD_OF, "vlan-raw-device", "vlan-id", "mtu",
    "bridge-ports-condone-regex",
)  # fmt: skip
"""Known options in the order in which a new line is put among those that are there."""
HOMES = ("bridge-ports", *PORT_KEYS)
"""Options whose stanza is the one of the link's other lines."""


def rewrite(
    files: Mapping[str, bytes], config: InterfacesConfig, have: IfaceMeaning, wanted: WantedStanza
) -> dict[str, bytes]:
    """The files with the interface's stanzas changed. `wanted` is checked and not met."""
    standings = config.of(have.name)
    if config.program.is_classic:
        standings = tuple(one for one in standings if is_boot(one)) or standings
    stanzas = [standing.stanza for standing in standings]
    if any(stanza.heir_of for stanza in stanzas):
        raise InputError(f"{shown(have.name)} inherits options", hint="Fix: write its stanza out by hand first")
    if any(stanza.name != have.name for stanza in stanzas):
        raise InputError(f"{shown(have.name)} is part of a range of names", hint="write its stanza out by hand first")
    work = _Rewriting(config, have, wanted, stanzas, {p: FilePatch(files[p]) for p in config.files})
    work.set_auto()
    work.set_addresses()
    work.set_gateways()
    work.set_link_options()
    work.set_methods()
    work.add_families()
    return {path: patch.result() for path, patch in work.patches.items()}


@dataclass(slots=True)
class _Rewriting:
    config: InterfacesConfig
    have: IfaceMeaning
    wanted: WantedStanza
    stanzas: list[Stanza]
    patches: dict[str, FilePatch]
    homeless: set[str] = field(default_factory=set)
    gained: set[int] = field(default_factory=set)
    holding: set[int] = field(default_factory=set)
    extra: list[str] = field(default_factory=list)

    def set_auto(self) -> None:
        if self.wanted.auto == self.have.auto:
            return
        if self.wanted.auto:
            first = self.stanzas[0]
            self.patches[first.path].insert_before(first.first_line, f"auto {self.have.name}")
            return
        for path, parsed in self.config.files.items():
            for item in parsed.items:
                if isinstance(item, AutoLine) and item.allow_class is None and self.have.name in item.names:
                    self.patches[path].drop_word(item.line, item.last_line, self.have.name)

    def set_addresses(self) -> None:
        entries = [entry for stanza in self.stanzas for entry in entries_of(stanza, self.config.program)]
        if self.have.addresses == sort_addresses(self.wanted.addresses) and all(e.cidr for e in entries):
            return
        if self.config.program.broadcast_fails:
            self.remove_broadcasts()
        kept = {entry.cidr for entry in entries if entry.cidr in self.wanted.addresses}
        missing = [address for address in self.wanted.addresses if address not in kept]
        surplus = [entry for entry in entries if entry.cidr not in kept]
        irregular = {id(s) for s in self.stanzas if not self.config.program.is_classic and not _regular(s)}
        for entry in entries:
            if id(entry.stanza) in irregular and entry not in surplus and entry.netmask and entry.cidr:
                self.set_value(entry.stanza, entry.option, entry.cidr)
        for entry in surplus:
            if self.is_spare(entry):
                self.change_entry(entry, None, irregular=False)
                continue
            match = next((m for m in missing if _fits(entry, m)), None)
            if match is not None:
                missing.remove(match)
            self.change_entry(entry, match, irregular=id(entry.stanza) in irregular)
        for stanza in self.stanzas:
            if id(stanza) in irregular:
                for option in stanza.options:
                    if option.name == "netmask":
                        self.patches[stanza.path].delete(option.line, option.last_line)
        for address in missing:
            self.put("address", address, "inet6" if ":" in address else "inet")

    def is_spare(self, entry: AddressEntry) -> bool:
        """Whether it is a further address line of its stanza, where the program takes one."""
        first = next(option for option in entry.stanza.options if option.name == "address")
        return self.config.program.is_classic and entry.option is not first

    def remove_broadcasts(self) -> None:
        """No `broadcast` line: with one the next boot would not set its address, and the kernel knows it anyway."""
        for stanza in self.stanzas:
            for option in stanza.options:
                if option.name == "broadcast":
                    self.patches[stanza.path].delete(option.line, option.last_line)

    def change_entry(self, entry: AddressEntry, cidr: str | None, *, irregular: bool) -> None:
        """One address line becomes another address, or goes with all that is tied to it."""
        patch, netmask = self.patches[entry.stanza.path], entry.netmask
        if cidr is None:
            for option in (entry.option, *([] if irregular else entry.tied.values())):
                patch.delete(option.line, option.last_line)
            return
        self.holding.add(id(entry.stanza))
        new = ip_interface(cidr)
        if netmask is None or irregular:
            self.set_value(entry.stanza, entry.option, cidr)
        else:
            dotted = "." in netmask.value and new.version == 4
            self.set_value(entry.stanza, entry.option, str(new.ip))
            mask = str(new.netmask) if dotted else str(new.network.prefixlen)
            if entry.cidr is None or ip_interface(entry.cidr).network.prefixlen != new.network.prefixlen:
                self.set_value(entry.stanza, netmask, mask)
        self.follow_network(entry, cidr)

    def follow_network(self, entry: AddressEntry, cidr: str) -> None:
        """`broadcast` and `network` lines that followed from the old address follow from the new one."""
        old = ip_interface(entry.cidr).network if entry.cidr else None
        new = ip_interface(cidr).network
        broadcast = None if self.config.program.broadcast_fails else entry.tied.get("broadcast")
        if broadcast and old and broadcast.value == str(old.broadcast_address) and old != new:
            self.set_value(entry.stanza, broadcast, str(new.broadcast_address))
        for option in entry.stanza.options:
            if option.name == "network" and old and option.value == str(old.network_address) and old != new:
                self.set_value(entry.stanza, option, str(new.network_address))

    def set_gateways(self) -> None:
        lines = [(s, o) for s in self.stanzas for o in s.options if o.name == "gateway"]
        kept = {read_address(o.value) for _, o in lines} & set(self.wanted.gateways)
        missing = [gateway for gateway in self.wanted.gateways if gateway not in kept]
        for stanza, option in lines:
            value = read_address(option.value)
            if value in kept:
                continue
            match = next((m for m in missing if value is None or (":" in m) == (":" in value)), None)
            if match is None:
                self.patches[stanza.path].delete(option.line, option.last_line)
            else:
                missing.remove(match)
                self.set_value(stanza, option, match)
                self.follow_gateway(value, match)
        for gateway in missing:
            self.put("gateway", gateway, "inet6" if ":" in gateway else "inet")

    def follow_gateway(self, old: str | None, new: str) -> None:
        """`pointopoint` lines that named the old gateway name the new one: the way to it is the same link."""
        for stanza in self.stanzas:
            for option in stanza.options:
                if option.name == "pointopoint" and old and read_address(option.value) == old:
                    self.set_value(stanza, option, new)

    def set_link_options(self) -> None:
        have = self.have
        met: dict[str, bool] = {"mtu": have.mtu == self.wanted.mtu}
        if self.wanted.vlan is not None:
            met |= dict.fromkeys(("vlan-raw-device", "vlan-id"), have.vlan == self.wanted.vlan.meaning)
        if self.wanted.bridge is not None:
            want, bridge = self.wanted.bridge, have.bridge
            met |= {
                "bridge-ports": bridge is not None and bridge.ports == tuple(sorted(set(want.ports))),
                "bridge-stp": bridge is not None and bridge.stp == want.stp,
                "bridge-fd": bridge is not None and bridge.forward_delay_s == want.forward_delay_s,
                "bridge-ports-condone-regex": condones(have.condone_regex, self.wanted.condone_regex),
            }
        values = dict(link_values(self.wanted))
        if self.wanted.bond is not None:
            there = bond_fields(have.bond) if have.bond is not None else {}
            want_bond = bond_fields(self.wanted.bond)
            met |= {key: want_bond.get(name) == there.get(name) for key, name in FIELD_OF.items()}
            self.remove_lines({key for key in KEYS if key not in values} - {"bond-ports"})
        for key, value in values.items():
            if not met[key]:
                self.set_single(key, value)

    def remove_lines(self, keys: Set[str]) -> None:
        """Settings of a bond that its mode does not have: the kernel refuses them."""
        for stanza in self.stanzas:
            for option in stanza.options:
                if option.name in keys:
                    self.patches[stanza.path].delete(option.line, option.last_line)

    def set_single(self, key: str, value: str) -> None:
        """An option that counts once: the line that is in force says `value`; other lines of ports go."""
        names = PORT_KEYS if key in PORT_KEYS else (key,)
        lines = [(s, [o for o in s.options if o.name in names]) for s in self.stanzas]
        lines = [(stanza, options) for stanza, options in lines if options]
        if not lines:
            home = next((s for s in self.stanzas if any(map(s.values, HOMES))), self.stanzas[0])
            self.insert(home, key, value)
            return
        stanza, options = lines[-1]
        if key == "bridge-ports":
            for other, extra in lines:
                for option in extra:
                    if option is not options[0]:
                        self.patches[other.path].delete(option.line, option.last_line)
        self.set_value(stanza, options[0], value)

    def set_methods(self) -> None:
        """A stanza that gains an address is static; one whose method sets no addresses of the file cannot stay so. The
        first stanza of a family whose addresses come from elsewhere says so."""
        told: set[str] = set()
        for stanza in self.stanzas:
            if method := method_of(self.wanted.dynamic, stanza.family):
                wanted = "manual" if stanza.family in told else method
                told.add(stanza.family)
                if stanza.method != wanted:
                    self.set_method(stanza, wanted)
                continue
            kept = any(entry.cidr in self.wanted.addresses for entry in entries_of(stanza, self.config.program))
            static = kept or id(stanza) in self.gained | self.holding
            method = f"{stanza.family} {stanza.method}"
            is_dynamic = method in FROM_ELSEWHERE and self.wanted.counting([method])
            if is_dynamic or (stanza.family == "inet" and stanza.method in ("ppp", "tunnel")):
                self.set_method(stanza, "static" if static else "manual")
            elif (
                stanza.family
                and stanza.method in ("manual", "auto", "dhcp", "dhcp6")
                and (id(stanza) in self.gained or (self.config.program.is_classic and id(stanza) in self.holding))
            ):
                self.set_method(stanza, "static")

    def set_method(self, stanza: Stanza, method: str) -> None:
        patch = self.patches[stanza.path]
        if stanza.head_last_line != stanza.first_line:
            patch.replace(stanza.first_line, stanza.head_last_line, f"iface {stanza.written} {stanza.family} {method}")
            return
        text = patch.line(stanza.first_line)
        new, count = re.subn(r"^(\s*\S+\s+\S+\s+\S+\s+)\S+", lambda m: m[1] + method, text)
        patch.replace(stanza.first_line, stanza.first_line, new if count else f"{text.rstrip()} {method}")

    def put(self, key: str, value: str, family: str) -> None:
        """A new address or gateway goes into the stanza of its family, else into one without family, else a new one."""
        home = next((s for s in self.stanzas if s.family == family), None)
        home = home or next((s for s in self.stanzas if not s.family), None)
        if self.config.program.is_classic and home is not None:
            home = next((s for s in self.stanzas if s.family == family and self.has_room(s, key)), None)
            if home is None and key == "address":
                self.extra.append(value)
                return
        if home is None:
            self.homeless.add(family)
        else:
            if key == "address":
                self.gained.add(id(home))
            self.insert(home, key, value)

    def has_room(self, stanza: Stanza, key: str) -> bool:
        """Whether a stanza can take one more option where the program takes one of each."""
        holds = stanza.method == "static" or id(stanza) in self.gained | self.holding
        return not stanza.values(key) and (holds if key == "gateway" else id(stanza) not in self.gained)

    def add_families(self) -> None:
        """Stanzas for families that had none, below the interface's last one."""
        last = self.stanzas[-1]
        patch = self.patches[last.path]
        there = {stanza.family for stanza in self.stanzas}
        self.homeless |= {m.partition(" ")[0] for m in self.wanted.dynamic} - there
        blocks = [
            block
            for family in sorted(self.homeless)
            for block in family_blocks(self.have.name, family, self.wanted, self.config.program, whole=False)
        ]
        for address in self.extra:
            family = "inet6" if ":" in address else "inet"
            blocks.append([f"iface {self.have.name} {family} static", f"\taddress {address}"])
        for block in blocks:
            patch.insert_after(last.last_line, patch.newline.join(["", *block]), rank=len(ORDER) + 1)

    def set_value(self, stanza: Stanza, option: Option, value: str) -> None:
        """The line keeps its indentation, its key as spelled and the blanks between."""
        patch = self.patches[stanza.path]
        text = patch.line(option.line)
        match = re.match(r"(\s*)(\S+)(\s+)", text)
        head = "".join(match.groups()) if match and "\\" not in match[0] else f"{_indent(patch, stanza)}{option.key} "
        patch.replace(option.line, option.last_line, head + value)

    def insert(self, stanza: Stanza, key: str, value: str) -> None:
        patch, rank = self.patches[stanza.path], ORDER.index(key)
        ranks = [(ORDER.index(o.name), o.last_line) for o in stanza.options if o.name in ORDER]
        above = max(
            (line for other, line in ranks if other <= max(rank, _last_tied(key))), default=stanza.head_last_line
        )
        patch.insert_after(above, f"{_indent(patch, stanza)}{key} {value}", rank)


def _last_tied(key: str) -> int:
    """A new address goes below what is tied to the address above it."""
    return ORDER.index("pointopoint") if key == "address" else 0


def _indent(patch: FilePatch, stanza: Stanza) -> str:
    """The indentation of the stanza's first option; a tab where it has none to show."""
    if not stanza.options:
        return "\t"
    text = patch.line(stanza.options[0].line)
    return text[: len(text) - len(text.lstrip())]


def _fits(entry: AddressEntry, address: str) -> bool:
    if entry.cidr is not None:
        return ip_interface(entry.cidr).version == ip_interface(address).version
    return entry.stanza.family in ("", "inet6" if ":" in address else "inet")


def _regular(stanza: Stanza) -> bool:
    """Every netmask, broadcast, scope is below the address that ifupdown2 ties it to: lines may go in groups."""
    tied = {id(option): entry.option for entry in address_entries(stanza) for option in entry.tied.values()}
    above: Option | None = None
    for option in stanza.options:
        if option.name == "address":
            above = option
        elif (
            option.name in ("netmask", "broadcast", "scope", "preferred-lifetime") and tied.get(id(option)) is not above
        ):
            return False
    return True
