"""What is wrong in `forwards` beyond its types."""

import ipaddress
from collections.abc import Iterator, Sequence

from service.kinds.claims import AddressClaim, Claim, Named, NeedsUnit, Publishes, Reservation, Serves
from service.kinds.forwards.section import Forward, ForwardsSection
from service.kinds.published import addresses_of, network_of, target_of
from service.spec.findings import Hit, LintRule
from service.spec.host import HostSpec

UNKNOWN_INTERFACE = LintRule("forwards.unknown-interface", "error", "`in` is an interface of the spec", by_absence=True)
NO_ADDRESS = LintRule("forwards.no-address", "error", "`in` has an IPv4 address to be reached by", by_absence=True)
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
NAME_WITH_OTHER_PORT = LintRule(
    "forwards.name-with-other-port", "error", "a published name has the same port on the guest"
)
RULES = (
    UNKNOWN_INTERFACE, NO_ADDRESS, UNKNOWN_TARGET, TARGET_WITHOUT_ADDRESS, TARGET_OUTSIDE, TARGET_IS_OWN, PORT_TWICE,
    PORT_IN_USE, MANAGEMENT_PORT, TWO_TO_PORTS, NO_DNS, NAME_OF_TWO, NAME_WITH_OTHER_PORT,
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
    yield from _twice(section)


def _interface(number: int, entry: Forward, claims: Sequence[Claim]) -> Iterator[Hit]:
    known = sorted({claim.interface for claim in claims if isinstance(claim, Named)})
    if entry.interface not in known:
        right = f"name one of {', '.join(known)}" if known else "add it to `interfaces`"
        yield UNKNOWN_INTERFACE.hit((number, "in"), f"the spec has no interface or bridge {entry.interface}", right)
    elif not addresses_of(entry.interface, claims):
        yield NO_ADDRESS.hit(
            (number, "in"), f"{entry.interface} has no IPv4 address in the spec", "name the interface that has one"
        )


def _target(number: int, entry: Forward, claims: Sequence[Claim]) -> Iterator[Hit]:
    path = (number, "to")
    guests = {claim.name: claim.address for claim in claims if isinstance(claim, Reservation)}
    target = target_of(entry.to, claims)
    if not target and entry.to not in guests:
        known = ", ".join(sorted(guests)[:12]) or "none yet"
        yield UNKNOWN_TARGET.hit(
            path, f"the spec has no guest {entry.to}", f"name a guest (this host has: {known}), or write an address"
        )
        return
    if not target:
        right = f"give {entry.to} an `address` in `guests`"
        yield TARGET_WITHOUT_ADDRESS.hit(path, f"{entry.to} has no fixed address", right)
        return
    own = [claim.own for claim in claims if isinstance(claim, AddressClaim)]
    wanted = ipaddress.IPv4Address(target)
    if any(interface.ip == wanted for interface in own):
        yield TARGET_IS_OWN.hit(path, f"{target} is the host's own address", "name a guest")
        return
    near = network_of(target, claims)
    if near is None:
        known = ", ".join(str(interface.network) for interface in own if interface.version == 4) or "none"
        yield TARGET_OUTSIDE.hit(
            path, f"{target} is outside every network of this host", f"write an address in one of its networks: {known}"
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
    is_there = host.connection.address in addresses_of(entry.interface, claims)
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


def _twice(section: Sequence[Forward]) -> Iterator[Hit]:
    """A port that an entry before has for the same clients. After one for some clients, one for all is the rest."""
    found = [(number, claim) for number, entry in enumerate(section) for claim in entry.publishes(number)]
    claims, numbers = [claim for _, claim in found], [number for number, _ in found]
    clients = [_spans(claim.sources) for claim in claims]
    ordered = sorted((first, last, place) for place, claim in enumerate(claims) for first, last in claim.ports)
    open_now: dict[tuple[str, str], list[tuple[int, int]]] = {}
    reported: dict[int, str] = {}
    for first, last, place in ordered:
        key = (claims[place].interface, claims[place].proto)
        before = open_now[key] = [entry for entry in open_now.get(key, ()) if entry[0] >= first]
        for _, other in before:
            earlier, later = sorted((place, other))
            if numbers[later] not in reported and _same_clients(clients[earlier], clients[later]):
                reported[numbers[later]] = _already(claims[earlier], claims[later], first)
        before.append((last, place))
    for number in sorted(reported):
        yield PORT_TWICE.hit((number, "ports"), reported[number], "keep one of the two")


def _already(earlier: Publishes, later: Publishes, port: int) -> str:
    where = "this entry" if earlier.path == later.path else f"`forwards.{earlier.path[1]}`"
    return f"{later.proto}/{port} of {later.interface} already leads to {earlier.to} in {where}"


Spans = tuple[tuple[int, int], ...]


def _spans(sources: Sequence[str]) -> Spans:
    """Networks as sorted ranges of numbers."""
    networks = [ipaddress.IPv4Network(source) for source in sources]
    return tuple(sorted((int(net.network_address), int(net.broadcast_address)) for net in networks))


def _same_clients(earlier: Spans, later: Spans) -> bool:
    """Whether the later of two says something about clients that the earlier decides about."""
    if not earlier or not later:
        return not earlier
    one = other = 0
    while one < len(earlier) and other < len(later):
        if earlier[one][1] < later[other][0]:
            one += 1
        elif later[other][1] < earlier[one][0]:
            other += 1
        else:
            return True
    return False
