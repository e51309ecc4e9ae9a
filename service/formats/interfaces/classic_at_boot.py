"""What the classic ifupdown makes of an interface at boot, as 0.8.41 and 0.8.44 were seen to do.

The rules are in inet.defn and inet6.defn of its source, and in the script of bridge-utils 1.7:

- the stanzas of a name run one after the other, and the first that fails ends the interface: what is below is not done;
- `address`, `gateway`, `netmask` and so on count for method static alone;
- IPv4 without a netmask has that of its class: 10.1.2.3 is a /8; a `netmask` counts before the prefix of the address;
- of two `address` lines in a stanza the first counts if it is IPv4 and has a prefix, else the stanza fails;
- of two `gateway` lines the first is set, then the stanza fails;
- with `pointopoint` the address has the prefix of its other end, /32;
- the first stanza that has `bridge_ports` makes the bridge; a stanza above it finds no such link, and fails.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv6Interface, ip_address

from service.formats.interfaces.meant import (
    DEFAULT_FORWARD_DELAY_S,
    PHASES,
    AddressEntry,
    BridgeMeaning,
    IfaceMeaning,
    PlacedOption,
    StanzaPlace,
    UpLine,
    address_order,
    read_address,
    sort_addresses,
)
from service.formats.interfaces.programs import CONDONE_REGEX, BootProgram
from service.formats.interfaces.stanzas import Option, PlacedStanza, Stanza
from service.formats.up_lines import effects

TRUE_WORDS = ("on", "yes", "1")
DEFAULT_MTU = 1500
KNOWN = {
    "static": ("address", "netmask", "broadcast", "gateway", "pointopoint", "mtu", "metric", "scope"),
    "manual": ("mtu",),
}
_BRIDGE_KEYS = ("bridge-ports", "bridge-stp", "bridge-fd")
_MAKE_NOTHING = (
    *KNOWN["static"], *_BRIDGE_KEYS, "network", "bridge-vlan-aware", "up", "post-up", "down", "pre-down", "post-down",
)  # fmt: skip
_COMMENT = re.compile(r"\s+#.*", re.DOTALL)


def is_boot(standing: PlacedStanza) -> bool:
    """Whether the boot brings this stanza up."""
    return standing.auto or "hotplug" in standing.classes


def classic_entries(stanza: Stanza) -> list[AddressEntry]:
    """The address lines of a stanza. Only the first can have an address, and only in one of method static."""
    lines = [option for option in stanza.options if option.name == "address"]
    entries = [AddressEntry(stanza, option, own_prefix_counts=False) for option in lines]
    if entries and stanza.method == "static":
        ties = {o.name: o for o in stanza.options if o.name in ("netmask", "broadcast", "scope", "preferred-lifetime")}
        entries[0].tied.update(ties)
        entries[0].cidr = _cidr(stanza)
    return entries


def _joined(stanza: Stanza, key: str) -> str:
    """The value of an option as a shell gets it: all lines of it, one below the other."""
    return "\n".join(option.value for option in stanza.options if option.key == key)


def _cidr(stanza: Stanza) -> str | None:
    """The address that a static stanza sets; None if `ip` refuses it."""
    address, netmask = _joined(stanza, "address"), _joined(stanza, "netmask")
    if stanza.family == "inet6":
        return _cidr6(address, netmask)
    return _cidr4(address, netmask, _joined(stanza, "pointopoint"))


def _cidr4(address: str, netmask: str, peer: str) -> str | None:
    host, slash, mask = address[:31].partition("/")
    if "\n" in netmask or "\n" in peer or re.search(r"\s", host):
        return None
    try:
        own = IPv4Address(host)
        if netmask:
            length = IPv4Interface(f"{host}/{netmask}").network.prefixlen
        elif not slash:
            first = int(own) >> 24
            length = 8 if first <= 127 else 16 if first <= 191 else 24 if first <= 223 else 32
        else:
            digits = re.match(r"[0-9]+(?:\.[0-9]+){3}|[0-9]+", mask)
            length = IPv4Interface(f"{host}/{digits[0]}").network.prefixlen if digits else -1
        if peer:
            length = 32 if read_address(peer) and ":" not in peer else -1
        return IPv4Interface(f"{own}/{length}").with_prefixlen
    except ValueError:
        return None


def _cidr6(address: str, netmask: str) -> str | None:
    host, _, prefix = address.partition("/")
    length = netmask or prefix or "128"
    if not re.fullmatch(r"[0-9]{1,3}", length) or re.search(r"\s", host):
        return None
    try:
        return IPv6Interface(f"{host}/{length}").with_prefixlen
    except ValueError:
        return None


@dataclass(slots=True)
class _Boot:
    """One interface being brought up, stanza by stanza."""

    program: BootProgram
    is_made: bool
    addresses: list[str] = field(default_factory=list)
    gateways: list[str] = field(default_factory=list)
    peers: list[str] = field(default_factory=list)
    mtu: int | None = None
    bridge: BridgeMeaning | None = None
    up_lines: list[UpLine] = field(default_factory=list)

    def run(self, stanza: Stanza) -> bool:
        """What one stanza does. False: it failed, and the interface has what was done until then."""
        if stanza.method == "static" and not _joined(stanza, "address"):
            return False  # not even its pre-up lines run
        self.lines(stanza, ("pre-up",))
        self.make_bridge(stanza)
        if not self.exists(stanza) and stanza.method not in ("manual", "loopback"):
            return False
        if stanza.method == "static" and not self.set_static(stanza):
            return False
        if stanza.method == "manual" and not self.set_mtu(stanza):
            return False
        self.lines(stanza, ("up", "post-up"))
        return True

    def exists(self, stanza: Stanza) -> bool:
        """Whether the link exists by now. Other options and lines may make it, too: then it counts as existing."""
        if self.is_made or self.program.links is None:
            return self.bridge is not None or not self.is_made
        may_be_made = "." in stanza.name or any(option.name not in _MAKE_NOTHING for option in stanza.options)
        return stanza.name in self.program.links or may_be_made

    def lines(self, stanza: Stanza, phases: Sequence[str]) -> None:
        for option in stanza.options:
            if option.key in phases:
                text = option.value.replace("$IFACE", stanza.written)
                self.up_lines.append(UpLine(option.key, effects(text), stanza.path, option.line, option.value))

    def make_bridge(self, stanza: Stanza) -> None:
        """The script makes a bridge from the environment, where the last spelling of a key counts."""
        keys = [option.key for option in stanza.options if option.name == "bridge-ports"]
        if not keys or not self.program.makes_bridges:
            return
        ports = [port for port in _joined(stanza, keys[-1]).split() if port != "none"]
        before = self.bridge.ports if self.bridge else ()
        stp, delay = _last(stanza, "bridge-stp"), _last(stanza, "bridge-fd")
        self.bridge = BridgeMeaning(
            tuple(sorted({*before, *ports})),
            stp in TRUE_WORDS,
            float(delay) if re.fullmatch(r"[0-9]{1,5}(?:\.[0-9]{1,3})?", delay) else DEFAULT_FORWARD_DELAY_S,
        )

    def set_static(self, stanza: Stanza) -> bool:
        cidr = _cidr(stanza)
        if cidr is None or not _broadcast_fits(_joined(stanza, "broadcast")):
            return False
        self.addresses.append(cidr)
        peer = read_address(_joined(stanza, "pointopoint")) if stanza.family == "inet" else None
        self.peers += [peer] if peer else []
        return self.set_mtu(stanza) and self.set_gateway(stanza)

    def set_mtu(self, stanza: Stanza) -> bool:
        """The link's. For IPv6 a smaller one than the link's is set for the protocol alone."""
        text = _COMMENT.sub("", _joined(stanza, "mtu"))
        if not text:
            return True
        if not re.fullmatch(r"[0-9]{1,5}", text):
            return False
        if stanza.family == "inet" or int(text) > (self.mtu or DEFAULT_MTU):
            self.mtu = int(text)
        return True

    def set_gateway(self, stanza: Stanza) -> bool:
        first, *more = _joined(stanza, "gateway").split("\n")
        if not first:
            return True
        gateway = read_address(_COMMENT.sub("", first))
        self.gateways += [gateway] if gateway else []
        return gateway is not None and not more


def _last(stanza: Stanza, name: str) -> str:
    """The last value of an option under any spelling; empty: it has none."""
    return next((option.value for option in reversed(stanza.options) if option.name == name), "")


def _broadcast_fits(text: str) -> bool:
    if text in ("", "+", "-"):
        return True
    found = read_address(_COMMENT.sub("", text))
    return found is not None and ":" not in found


def gather_classic(name: str, standings: Sequence[PlacedStanza], program: BootProgram) -> IfaceMeaning:
    """One interface. Stanzas that the boot leaves alone count only if it leaves all of them alone."""
    counting = [one for one in standings if is_boot(one)] or [*standings]
    is_made = any(one.stanza.values("bridge-ports") for one in standings)
    boot = _Boot(program, is_made)
    for written in dict.fromkeys(one.stanza.written for one in counting):
        for standing in counting:
            if standing.stanza.written == written and not boot.run(standing.stanza):
                break
    stanzas = [one.stanza for one in standings]
    return IfaceMeaning(
        name,
        any(one.auto for one in standings),
        tuple(sorted({c for one in standings for c in one.classes})),
        tuple(f"{s.family} {s.method}".strip() for s in stanzas),
        sort_addresses(boot.addresses),
        tuple(str(ip_address(g)) for g in sorted(set(boot.gateways), key=address_order)),
        boot.mtu,
        boot.bridge,
        CONDONE_REGEX if boot.bridge else None,  # nothing reloads it, so no guest loses its bridge
        tuple(boot.up_lines),
        tuple(sorted(_other(stanzas), key=lambda option: (option.key, option.value))),
        tuple(str(ip_address(p)) for p in sorted(set(boot.peers), key=address_order)),
        options=tuple(PlacedOption(o.name, o.value, s.path, o.line) for s in stanzas for o in s.options),
        places=tuple(StanzaPlace(s.path, s.first_line, s.last_line) for s in stanzas),
    )


def _other(stanzas: Sequence[Stanza]) -> Iterator[PlacedOption]:
    """Options that are not understood here, and those that their method does not use."""
    for stanza in stanzas:
        known = (*PHASES, *_BRIDGE_KEYS, *KNOWN.get(stanza.method, ()))
        for option in stanza.options:
            if option.name not in known or _is_spare(stanza, option):
                yield PlacedOption(option.name, option.value, stanza.path, option.line)


def lost_in(stanza: Stanza) -> Iterator[tuple[int, str]]:
    """(line, sentence) of what a stanza says and the boot does not do, and of what it does though nobody wrote it."""
    for option in stanza.options:
        if option.name in ("address", "gateway") and stanza.method != "static":
            yield option.line, f"ifupdown uses `{option.name}` only in a stanza of method static"
        elif _is_spare(stanza, option):
            yield option.line, f"ifupdown takes one `{option.name}` of a stanza. Fix: give this one a stanza of its own"
    address = next((option for option in stanza.options if option.name == "address"), None)
    if address is None or stanza.method != "static":
        return
    cidr = _cidr(stanza)
    if cidr is None:
        yield address.line, f"`address` cannot be set: ifupdown stops at this stanza of {stanza.written}"
    elif stanza.family == "inet" and "/" not in address.value and not stanza.values("netmask"):
        yield address.line, f"without a netmask ifupdown sets {cidr}, by the class of the address"


def _is_spare(stanza: Stanza, option: Option) -> bool:
    """Whether it is one more `address` or `gateway` of its stanza."""
    first = next((o for o in stanza.options if o.name == option.name), option)
    return option.name in ("address", "gateway") and option is not first
