"""What a stanza should say, and the canonical text of it (the form that Proxmox's own writer gives)."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_interface

from service.errors import InputError
from service.formats.interfaces.at_boot import meanings
from service.formats.interfaces.bonding import BondMeaning, bond_fields, bond_lines
from service.formats.interfaces.loading import InterfacesConfig
from service.formats.interfaces.meant import (
    FROM_ELSEWHERE,
    BridgeMeaning,
    IfaceMeaning,
    ports_of,
    read_address,
    read_cidr,
    sort_addresses,
)
from service.formats.interfaces.programs import CONDONE_REGEX, DEBIAN_12, BootProgram
from service.formats.interfaces.vlans import MAX_ID, WantedVlan
from service.model.trees import quoted

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")
NO_NAMES = frozenset({"none", "all", "glob", "regex", "noglob", "noregex"})
"""Words that ifupdown2 takes in place of ports."""
_CONDONE = re.compile(r"\^\(([a-z0-9]{1,15}(?:\|[a-z0-9]{1,15}){0,15})\)")


@dataclass(frozen=True, slots=True)
class WantedBridge:
    """A bridge's ports (names), whether it speaks STP, its forward delay in whole seconds 0..255."""

    ports: tuple[str, ...] = ()
    stp: bool = False
    forward_delay_s: float = 0.0


@dataclass(frozen=True, slots=True)
class WantedStanza:
    """What an interface should be at the next boot. `addresses` (CIDR) and `gateways` are exact.

    `bridge`, `vlan`, `bond` and `mtu` None are left as they are. `condone_regex` is written for bridges only, as
    `^(a|b|c)`; a line that condones more is fine; empty: the line is left as it is. `dynamic` are the methods by
    which addresses come from elsewhere, one of each family, as in `inet dhcp`. Those of IPv6 that are there and not
    wanted stay, unless `is_static6`.
    """

    addresses: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    bridge: WantedBridge | None = None
    mtu: int | None = None
    auto: bool = True
    condone_regex: str = CONDONE_REGEX
    vlan: WantedVlan | None = None
    dynamic: tuple[str, ...] = ()
    is_static6: bool = False
    bond: BondMeaning | None = None

    def counting(self, methods: Sequence[str]) -> tuple[str, ...]:
        """Those of the methods of an interface about which something is wanted."""
        six = self.is_static6 or method_of(self.dynamic, "inet6")
        return tuple(method for method in methods if six or not method.startswith("inet6 "))

    @property
    def families(self) -> tuple[str, ...]:
        """The families that the stanzas have to be of, besides `inet`."""
        texts = (*self.addresses, *self.gateways)
        return ("inet6",) if any(":" in text for text in texts) or method_of(self.dynamic, "inet6") else ()


def check_wanted(name: str, wanted: WantedStanza) -> WantedStanza:
    """The same with canonical addresses. InputError for anything that could not be written as it is meant."""

    def refuse(what: str) -> InputError:
        return InputError(f"interface {quoted(name)}: {what}")

    if not is_interface_name(name):
        raise refuse("is not an interface name (1 to 15 of letters, digits, `_`, `.`, `-`)")
    for address in wanted.addresses:
        if "/" not in address or read_cidr(address) is None:
            raise refuse(f"{quoted(address)} is not an address in CIDR form such as 10.10.10.1/24")
    for gateway in wanted.gateways:
        if read_address(gateway) is None:
            raise refuse(f"{quoted(gateway)} is not a gateway address")
    if doubtful := next((method for method in wanted.dynamic if not _is_alone(method, wanted)), ""):
        raise refuse(f"{doubtful} with addresses or gateways of the same family")
    if wanted.mtu is not None and not 68 <= wanted.mtu <= 65535:
        raise refuse(f"mtu {wanted.mtu} is not within 68 and 65535")
    check_bond(wanted.bond, refuse)
    if wanted.bridge is not None:
        check_bridge(wanted.bridge, refuse)
        if wanted.condone_regex and not _CONDONE.fullmatch(wanted.condone_regex):
            raise refuse("the condone regex must have the form ^(tap|veth|fwpr)")
    if wanted.vlan is not None and not _is_vlan(wanted.vlan):
        raise refuse(f"{wanted.vlan.id} of {quoted(wanted.vlan.parent)} is not a VLAN")
    return WantedStanza(
        tuple(dict.fromkeys(read_cidr(address) or "" for address in wanted.addresses)),
        tuple(dict.fromkeys(read_address(gateway) or "" for gateway in wanted.gateways)),
        wanted.bridge,
        wanted.mtu,
        wanted.auto,
        wanted.condone_regex,
        wanted.vlan,
        tuple(sorted(wanted.dynamic)),
        wanted.is_static6,
        wanted.bond,
    )


def _is_vlan(vlan: WantedVlan) -> bool:
    return is_interface_name(vlan.parent) and 1 <= vlan.id <= MAX_ID


def _is_alone(method: str, wanted: WantedStanza) -> bool:
    """Whether it is a known method and nothing else is wanted of its family."""
    six = method.startswith("inet6 ")
    return method in FROM_ELSEWHERE and all((":" in t) != six for t in (*wanted.addresses, *wanted.gateways))


def check_bridge(bridge: WantedBridge, refuse: Callable[[str], InputError]) -> None:
    """InputError for ports or a forward delay that could not be written as they are meant."""
    if other := next((port for port in bridge.ports if not _is_port(port)), None):
        raise refuse(f"{quoted(other)} is not a name of a bridge port")
    delay = bridge.forward_delay_s
    if not 0 <= delay <= 255 or delay != int(delay):
        raise refuse(f"forward delay {delay}: ifupdown2 takes whole seconds from 0 to 255")


def check_bond(bond: BondMeaning | None, refuse: Callable[[str], InputError]) -> None:
    """InputError for ports that could not be written as they are meant."""
    for port in bond.ports if bond is not None else ():
        if not _is_port(port):
            raise refuse(f"{quoted(port)} is not a name of a bond port")


def is_interface_name(name: str) -> bool:
    """A name that can be in the file and mean one device."""
    return _NAME.fullmatch(name) is not None and name not in (".", "..")


def _is_port(name: str) -> bool:
    return is_interface_name(name) and name not in ("none", "all", "glob", "regex", "noglob", "noregex")


def condones(have: str | None, wanted: str) -> bool:
    """Whether the regex that is there leaves at least the ports on the bridge that the wanted one does."""
    there, asked = _CONDONE.fullmatch(have or ""), _CONDONE.fullmatch(wanted)
    if there is None or asked is None:
        return have == wanted
    return set(asked[1].split("|")) <= set(there[1].split("|"))


def unmet(have: IfaceMeaning | None, wanted: WantedStanza) -> dict[str, tuple[object, object]]:
    """The fields in which an interface is not as wanted: name to (wanted, there). Empty = met."""
    here = have or IfaceMeaning("")
    pairs: list[tuple[str, object, object]] = [
        ("auto", wanted.auto, here.auto),
        ("addresses", sort_addresses(read_cidr(a) or a for a in wanted.addresses), here.addresses),
        ("gateways", tuple(sorted({read_address(g) or g for g in wanted.gateways})), tuple(sorted(here.gateways))),
    ]
    if wanted.mtu is not None:
        pairs.append(("mtu", wanted.mtu, here.mtu))
    pairs.append(("method", tuple(sorted(wanted.dynamic)), wanted.counting(here.dynamic)))
    if any(method in DYNAMIC_METHODS and method not in FROM_ELSEWHERE for method in here.methods):
        pairs.append(("method", "static", ", ".join(here.methods)))
    if wanted.vlan is not None:
        pairs.append(("vlan", wanted.vlan.meaning, here.vlan))
    if wanted.bridge is not None:
        bridge = here.bridge or BridgeMeaning(("",))
        pairs += [
            ("ports", tuple(sorted(set(wanted.bridge.ports))), bridge.ports if here.bridge else None),
            ("stp", wanted.bridge.stp, bridge.stp),
            ("forward_delay_s", float(wanted.bridge.forward_delay_s), bridge.forward_delay_s),
        ]
        if wanted.condone_regex and not condones(here.condone_regex, wanted.condone_regex):
            pairs.append(("condone_regex", wanted.condone_regex, here.condone_regex))
    if wanted.bond is not None:
        there = bond_fields(here.bond) if here.bond is not None else {}
        pairs += [(name, want, there.get(name)) for name, want in bond_fields(wanted.bond).items()]
    if have is None:
        return {field: (want, None) for field, want, _ in pairs}
    return {field: (want, got) for field, want, got in pairs if want != got}


DYNAMIC_METHODS = ("inet dhcp", "inet ppp", "inet tunnel", "inet bootp", "inet ipv4ll", "inet wvdial")
"""Methods under which ifupdown2 does not set the stanza's IPv4 addresses."""


def method_of(methods: Sequence[str], family: str) -> str:
    """The method of a family among such as `inet dhcp`; empty: none."""
    return next((m.partition(" ")[2] for m in methods if m.partition(" ")[0] == family), "")


def key_values(wanted: WantedStanza, family: str, *, whole: bool) -> Iterator[tuple[str, str]]:
    """The lines of a new stanza in canonical order. `whole`: with the lines that have no address family."""
    version = 6 if family == "inet6" else 4
    for address in wanted.addresses:
        if ip_interface(address).version == version:
            yield "address", address
    for gateway in wanted.gateways:
        if ip_interface(gateway).version == version:
            yield "gateway", gateway
    if whole:
        yield from link_values(wanted)


def link_values(wanted: WantedStanza) -> Iterator[tuple[str, str]]:
    """The lines about the link itself, in canonical order."""
    if wanted.bridge is not None:
        yield "bridge-ports", " ".join(wanted.bridge.ports) or "none"
        yield "bridge-stp", "on" if wanted.bridge.stp else "off"
        yield "bridge-fd", str(int(wanted.bridge.forward_delay_s))
    yield from wanted.vlan.lines if wanted.vlan is not None else ()
    if wanted.bond is not None:
        yield from bond_lines(wanted.bond)
    if wanted.mtu is not None:
        yield "mtu", str(wanted.mtu)
    if wanted.bridge is not None and wanted.condone_regex:
        yield "bridge-ports-condone-regex", wanted.condone_regex


def canonical(name: str, wanted: WantedStanza, newline: str = "\n", program: BootProgram = DEBIAN_12) -> str:
    """The stanzas of a new interface: `auto` line, inet block, and an inet6 block where there is IPv6."""
    blocks = [*family_blocks(name, "inet", wanted, program, whole=True)]
    blocks[0] = (["auto " + name] if wanted.auto else []) + blocks[0]
    for family in wanted.families:
        blocks += family_blocks(name, family, wanted, program, whole=False)
    return (newline * 2).join(newline.join(block) for block in blocks) + newline


def family_blocks(
    name: str, family: str, wanted: WantedStanza, program: BootProgram, *, whole: bool
) -> Iterator[list[str]]:
    """The stanzas of one family. The classic ifupdown takes one address of each. `whole`: with the lines that have no
    address family."""
    pairs = list(key_values(wanted, family, whole=whole))
    addresses = [pair for pair in pairs if pair[0] == "address"]
    further = addresses[1:] if program.is_classic else []
    method = "static" if addresses else method_of(wanted.dynamic, family) or "manual"
    if name == "lo" and family == "inet":
        method = "loopback"
    yield _block(name, family, method, [pair for pair in pairs if pair not in further])
    for pair in further:
        yield _block(name, family, method, [pair])


def _block(name: str, family: str, method: str, pairs: Sequence[tuple[str, str]]) -> list[str]:
    return [f"iface {name} {family} {method}"] + [f"\t{key} {value}" for key, value in pairs]


def boot_ports(config: InterfacesConfig) -> frozenset[str]:
    """The ports that bridges and bonds bring up which the boot brings up, and the links below its VLANs."""
    return frozenset(
        port
        for have in meanings(config).values()
        if have.at_boot
        for port in ((have.vlan.parent,) if have.vlan else ports_of(have))
        if _is_port(port)
    )
