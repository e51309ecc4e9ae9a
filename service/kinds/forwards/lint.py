"""What is wrong in `forwards` beyond its types."""

import ipaddress
from collections.abc import Iterator, Sequence

from service.firewall.terms.model import FAMILIES, Family
from service.kinds.claims import AddressClaim, Claim, Named, NeedsUnit, Publishes, Reservation, Serves
from service.kinds.forwards.section import Forward, ForwardsSection
from service.kinds.published import addresses_of, is_by_dhcp, is_reached_at, network_of, target_of
from service.spec.findings import Hit, LintRule, Path
from service.spec.host import HostSpec

UNKNOWN_INTERFACE = LintRule("forwards.unknown-interface", "error", "`in` is an interface of the spec", by_absence=True)
NO_ADDRESS = LintRule(
    "forwards.no-address", "error", "`in` has an address of the target's family to be reached by", by_absence=True
)
UNKNOWN_TARGET = LintRule(
    "forwards.unknown-target", "error", "`to` is a guest of the spec, or an address", by_absence=True
)
TARGET_WITHOUT_ADDRESS = LintRule(
    "forwards.target-without-address", "error", "a guest that something leads to has a fixed address", by_absence=True
)
TARGET_OUTSIDE = LintRule(
    "forwards.target-outside", "error", "the target lies in a network of the host other than that of `in`",
    by_absence=True,
)  # fmt: skip
TARGET_IS_OWN = LintRule("forwards.target-is-own", "error", "the target is not the host itself")
PORT_TWICE = LintRule("forwards.port-twice", "error", "a port leads to one place")
PORT_IN_USE = LintRule(
    "forwards.port-in-use", "error", "a port is not one on which the host itself answers by its spec"
)
MANAGEMENT_PORT = LintRule(
    "forwards.management-port", "warning", "the port by which the host is managed is the host's own"
)
TWO_TO_PORTS = LintRule("forwards.two-to-ports", "error", "the guest's port is set once")
NO_DNS = LintRule("forwards.no-dns", "error", "where `names` are given dnsmasq answers for them", by_absence=True)
NAME_OF_TWO = LintRule("forwards.name-of-two", "error", "a name leads to one guest")
SOURCE_FAMILY = LintRule("forwards.source-family", "error", "clients are of a family in which the guest is published")
NAME_WITH_OTHER_PORT = LintRule(
    "forwards.name-with-other-port", "error", "a published name has the same port on the guest"
)
RULES = (
    UNKNOWN_INTERFACE, NO_ADDRESS, UNKNOWN_TARGET, TARGET_WITHOUT_ADDRESS, TARGET_OUTSIDE, TARGET_IS_OWN, PORT_TWICE,
    SOURCE_FAMILY, PORT_IN_USE, MANAGEMENT_PORT, TWO_TO_PORTS, NO_DNS, NAME_OF_TWO, NAME_WITH_OTHER_PORT,
)  # fmt: skip

PROXMOX_PORTS = {8006: "Proxmox's web interface", 3128: "Proxmox's SPICE proxy"}


def lint_forwards(section: ForwardsSection, host: HostSpec, claims: Sequence[Claim]) -> Iterator[Hit]:
    """Every entry on its own, then against those before it."""
    first_named: dict[str, str] = {}
    for number, entry in enumerate(section):
        yield from _interface(number, entry, claims)
        yield from _target(number, entry, claims)
        yield from _ports(number, entry, host, claims)
        yield from _names(number, entry, claims, first_named)
    yield from _twice(section, claims)


def _interface(number: int, entry: Forward, claims: Sequence[Claim]) -> Iterator[Hit]:
    known = sorted({claim.interface for claim in claims if isinstance(claim, Named)})
    if entry.interface not in known:
        right = f"name one of {', '.join(known)}" if known else "add it to `interfaces`"
        yield UNKNOWN_INTERFACE.hit((number, "in"), f"the spec has no interface or bridge {entry.interface}", right)
        return
    targets = [family for family in FAMILIES if target_of(entry.to, claims, family)]
    if not any(is_reached_at(entry.interface, claims, family) for family in targets or FAMILIES):
        sort = " or ".join(f"IPv{family}" for family in targets or FAMILIES)
        what = f"{entry.interface} has no {sort} address in the spec"
        yield NO_ADDRESS.hit((number, "in"), what, "name the interface that has one")
        return
    legs = [family for family in targets if is_reached_at(entry.interface, claims, family)]
    clients = {6 if ":" in source else 4 for source in entry.source or ()}
    for family in sorted(clients.difference(legs) if legs else ()):
        what = f"clients of IPv{family} are named, but {entry.to} is not published in IPv{family}"
        if "." in entry.to or ":" in entry.to:
            right = f"write an entry of its own for them, with an address of IPv{family} as `to`"
            yield SOURCE_FAMILY.hit((number, "source"), what, right)
            continue
        other = "address6" if family == 6 else "address"
        right = f"give {entry.to} an `{other}` and {entry.interface} an address of IPv{family}, or remove these clients"
        yield SOURCE_FAMILY.hit((number, "source"), what, right)


def _target(number: int, entry: Forward, claims: Sequence[Claim]) -> Iterator[Hit]:
    path = (number, "to")
    guests = {claim.name: claim.address for claim in claims if isinstance(claim, Reservation)}
    targets = [target for family in FAMILIES if (target := target_of(entry.to, claims, family))]
    if not targets and entry.to not in guests:
        known = ", ".join(sorted(guests)[:12]) or "none yet"
        yield UNKNOWN_TARGET.hit(
            path, f"the spec has no guest {entry.to}", f"name a guest (this host has: {known}), or write an address"
        )
        return
    if not targets:
        right = f"give {entry.to} an `address` in `guests`"
        yield TARGET_WITHOUT_ADDRESS.hit(path, f"{entry.to} has no fixed address", right)
    for target in targets[:1]:  # what a guest has in IPv6 besides may be somewhere else, and is not published then
        yield from _address(path, target, entry, claims)


def _address(path: Path, target: str, entry: Forward, claims: Sequence[Claim]) -> Iterator[Hit]:
    own = [claim.own for claim in claims if isinstance(claim, AddressClaim)]
    wanted = ipaddress.ip_address(target)
    if any(interface.ip == wanted for interface in own):
        yield TARGET_IS_OWN.hit(path, f"{target} is the host's own address", "name a guest")
        return
    near = network_of(target, claims)
    if near is None:
        known = ", ".join(str(interface.network) for interface in own if interface.version == wanted.version)
        yield TARGET_OUTSIDE.hit(
            path,
            f"{target} is outside every network of this host",
            f"write an address in one of its networks: {known or 'none'}",
        )
    elif near[0] == entry.interface:
        yield TARGET_OUTSIDE.hit(
            path, f"{target} is in the network of {entry.interface} itself, so it would answer the client directly",
            "name a guest behind a bridge",
        )  # fmt: skip


def _ports(number: int, entry: Forward, host: HostSpec, claims: Sequence[Claim]) -> Iterator[Hit]:
    if entry.to_port is not None and any(to for _, _, to in entry.ports):
        what = "`ports` already names the ports of the guest"
        yield TWO_TO_PORTS.hit((number, "to_port"), what, "remove `to_port`, or write plain `ports`")
    used = dict(_in_use(entry.interface, host, claims))
    for proto in entry.proto:
        for (own_proto, port), who in used.items():
            if proto == own_proto and _holds(entry, port):
                yield PORT_IN_USE.hit(
                    (number, "ports"), f"{who} answers on {proto}/{port} of {entry.interface}", "choose another port"
                )
    is_there = is_by_dhcp(entry.interface, claims) or any(
        host.connection.address in addresses_of(entry.interface, claims, family) for family in FAMILIES
    )
    if "tcp" in entry.proto and _holds(entry, host.connection.port) and is_there:
        who = ", ".join(entry.source) if entry.source else "everybody"
        yield MANAGEMENT_PORT.hit(
            (number, "ports"),
            f"tcp/{host.connection.port} is the SSH port of this host, and for {who} it would lead to {entry.to}",
            "choose another port, such as {2222: 22}",
        )


def _in_use(interface: str, host: HostSpec, claims: Sequence[Claim]) -> Iterator[tuple[tuple[str, int], str]]:
    """((protocol, port), who) of what answers on an interface by the spec."""
    for claim in claims:
        if isinstance(claim, Serves) and claim.interface == interface:
            if claim.protocol == "dns":
                yield ("udp", 53), "dnsmasq"
                yield ("tcp", 53), "dnsmasq"
            else:
                yield ("udp", 67), "dnsmasq"
    if host.platform == "proxmox":
        yield from ((("tcp", port), who) for port, who in PROXMOX_PORTS.items())


def _holds(entry: Forward, port: int) -> bool:
    return any(first <= port <= last for first, last, _ in entry.ports)


def _names(number: int, entry: Forward, claims: Sequence[Claim], first_named: dict[str, str]) -> Iterator[Hit]:
    path = (number, "names")
    if not entry.names:
        return
    if not any(isinstance(claim, NeedsUnit) and claim.unit == "dnsmasq.service" for claim in claims):
        yield NO_DNS.hit(path, "this host does not answer DNS queries", "add `dnsmasq`, or remove `names`")
    other = [claim.to_port for claim in entry.publishes(number) if claim.to_port]
    if other:
        what = f"names resolve to the address of {entry.to} for guests, and there the port is {other[0]}"
        yield NAME_WITH_OTHER_PORT.hit(path, what, "publish the same port as the guest's, or remove `names`")
    for index, name in enumerate(entry.names):
        first = first_named.setdefault(name, entry.to)
        if first != entry.to:
            yield NAME_OF_TWO.hit((*path, index), f"{name} already leads to {first}", "keep one of the two")


def _twice(section: Sequence[Forward], claims: Sequence[Claim]) -> Iterator[Hit]:
    """A port that an entry before has for the same clients. After one for some clients, one for all is the rest."""
    found = [
        (number, claim, family)
        for number, entry in enumerate(section)
        for family in _families(entry, claims)
        for claim in entry.publishes(number)
    ]
    published, numbers = [claim for _, claim, _ in found], [number for number, _, _ in found]
    clients = [_spans(claim.sources) for claim in published]
    ordered = sorted((first, last, place) for place, claim in enumerate(published) for first, last in claim.ports)
    open_now: dict[tuple[str, str, int], list[tuple[int, int]]] = {}
    reported: dict[int, str] = {}
    for first, last, place in ordered:
        key = (published[place].interface, published[place].proto, found[place][2])
        before = open_now[key] = [entry for entry in open_now.get(key, ()) if entry[0] >= first]
        for _, other in before:
            earlier, later = sorted((place, other))
            if numbers[later] not in reported and _same_clients(clients[earlier], clients[later]):
                reported[numbers[later]] = _already(published[earlier], published[later], first)
        before.append((last, place))
    for number in sorted(reported):
        yield PORT_TWICE.hit((number, "ports"), reported[number], "keep one of the two")


def _families(entry: Forward, claims: Sequence[Claim]) -> list[Family]:
    """The families in which something is published; that of a guest who is not known counts as IPv4."""
    return [family for family in FAMILIES if target_of(entry.to, claims, family)] or [4]


def _already(earlier: Publishes, later: Publishes, port: int) -> str:
    where = "this entry" if earlier.path == later.path else f"`forwards.{earlier.path[1]}`"
    return f"{later.proto}/{port} of {later.interface} already leads to {earlier.to} in {where}"


Spans = tuple[tuple[int, int, int], ...]
"""(4 or 6, first, last)"""


def _spans(sources: Sequence[str]) -> Spans:
    """Networks as sorted ranges of numbers."""
    networks = [ipaddress.ip_network(source) for source in sources]
    return tuple(sorted((net.version, int(net.network_address), int(net.broadcast_address)) for net in networks))


def _same_clients(earlier: Spans, later: Spans) -> bool:
    """Whether the later of two says something about clients that the earlier decides about."""
    if not earlier or not later:
        return not earlier
    one = other = 0
    while one < len(earlier) and other < len(later):
        (family, first, last), (other_family, other_first, other_last) = earlier[one], later[other]
        if (family, last) < (other_family, other_first):
            one += 1
        elif (other_family, other_last) < (family, first):
            other += 1
        else:
            return True
    return False
