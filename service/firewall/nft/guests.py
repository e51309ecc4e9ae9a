"""The chains of guests with rules of their own for nft; guest_chains.py says what each is for and has the same names.

    render_bridge_table(firewall) -> Table | None      `bridge passerelle`: who may send under which name (stateless)

The kernel's bridge family knows no connections, so everything else is in the table of family inet, through which
br_netfilter leads what is bridged, too.
"""

from collections.abc import Callable, Iterator, Mapping

from service.firewall.host import DISCOVERY, FilteredGuest, HostFirewall, Policy
from service.firewall.nft import parts as nft
from service.firewall.nft.parts import Part
from service.firewall.nft.values import TABLE, NftChain, NftLine, Table
from service.firewall.terms.addresses import Ranges, address_number, merged
from service.firewall.terms.model import FAMILIES, Family, Rule
from service.firewall.terms.names import UDP
from service.firewall.trace.guest_chains import ADVERTISEMENT, DHCP_PORTS, GUESTS, TO_GUESTS, UNSPECIFIED

BRIDGE_TABLE = f"bridge {TABLE}"
_DSTNAT = (-300, "-300")
_OUT = (-200, "filter")  # ebtables' own for this hook

Rendering = Callable[[Rule, Part], Iterator[NftLine]]
"""The lines of a rule, with the word that stands for its accept."""


def called_chains(firewall: HostFirewall, lines: Rendering, refuse: Part) -> Iterator[NftChain]:
    """The chains of guests in the table of family inet; those that are called come first."""
    for guest in firewall.guests:
        yield NftChain(f"out_{guest.name}", tuple(_guest(firewall, guest, "out", lines, refuse)))
        yield NftChain(f"in_{guest.name}", tuple(_guest(firewall, guest, "in", lines, refuse)))
    if firewall.guests:
        yield NftChain(TO_GUESTS, tuple(_received(firewall)))
        yield NftChain(GUESTS, tuple(_forwarded(firewall)))


def from_guests(firewall: HostFirewall) -> Iterator[NftLine]:
    """Each guest's packets through its own rules, by its MAC address."""
    if firewall.guests:
        out = {guest.mac: nft.jump(f"out_{guest.name}") for guest in firewall.guests}
        yield NftLine((nft.vmap("ether saddr", out),), "what guests may send")


def within_bridges(firewall: HostFirewall) -> Iterator[NftLine]:
    """What stays on a bridge is the guests' affair."""
    for bridge in firewall.bridges if firewall.guests else ():
        parts = (nft.interface("in", bridge), nft.interface("out", bridge), nft.goto(GUESTS))
        yield NftLine(parts, f"between ports of {bridge}")


def _guest(
    firewall: HostFirewall, guest: FilteredGuest, direction: str, lines: Rendering, refuse: Part
) -> Iterator[NftLine]:
    outgoing = direction == "out"
    accept = nft.RETURN if outgoing else nft.ACCEPT
    for family in FAMILIES:
        client, server = DHCP_PORTS[family]
        sport, dport = (client, server) if outgoing else (server, client)
        parts = (nft.family(family), *_udp(sport, dport), accept)
        yield NftLine(parts, f"DHCP of guest {guest.name}")
    for rule in firewall.guest_rules(guest, "out" if outgoing else "in"):
        yield from lines(rule, accept)
    yield _policy(guest.policy_out if outgoing else guest.policy_in, accept, refuse, direction)


def _policy(policy: Policy, accept: Part, refuse: Part, direction: str) -> NftLine:
    word = {"ACCEPT": accept, "DROP": nft.DROP, "REJECT": refuse}[policy.action]
    return NftLine((word,), f"policy_{direction}: {policy.action.lower()}")


def _forwarded(firewall: HostFirewall) -> Iterator[NftLine]:
    yield NftLine((nft.icmpv6_types(DISCOVERY), nft.ACCEPT), "neighbour discovery")
    yield from from_guests(firewall)
    yield NftLine((nft.goto(TO_GUESTS),), "what guests may receive")


def _received(firewall: HostFirewall) -> Iterator[NftLine]:
    by_mac = {guest.mac: nft.goto(f"in_{guest.name}") for guest in firewall.guests}
    yield NftLine((nft.vmap("ether daddr", by_mac),), "bridged to a guest")
    yield from _by_address(firewall, "daddr", lambda guest: nft.goto(f"in_{guest.name}"), firewall.guests)
    yield NftLine((nft.ACCEPT,), "no guest's firewall is in the way")


def _by_address(
    firewall: HostFirewall, side: str, target: Callable[[FilteredGuest], Part], guests: tuple[FilteredGuest, ...]
) -> Iterator[NftLine]:
    for family, key in ((4, f"ip {side}"), (6, f"ip6 {side}")):
        found = {a: target(guest) for guest in guests for a in guest.of_family(6 if family == 6 else 4)}
        if found:
            yield NftLine((nft.vmap(key, found),), f"{side} of a guest, IPv{family}")


# the bridge table


def render_bridge_table(firewall: HostFirewall) -> Table | None:
    """The table, None where no guest has rules of its own."""
    return Table(tuple(_bridge_chains(firewall)), BRIDGE_TABLE) if firewall.guests else None


def _bridge_chains(firewall: HostFirewall) -> Iterator[NftChain]:
    own = tuple(guest for guest in firewall.guests if guest.macfilter)
    bound = tuple(guest for guest in firewall.guests if guest.ipfilter)
    for guest in firewall.guests:
        yield NftChain(f"from_{guest.name}", tuple(_sends(guest)))
    for guest in own:
        line = NftLine((nft.mac("saddr", guest.mac, other=True), nft.DROP), "its address under another's MAC address")
        yield NftChain(f"own_{guest.name}", (line,))
    for guest in bound:
        yield NftChain(f"to_{guest.name}", tuple(_is_sent(guest)))
    yield NftChain("prerouting", tuple(_prerouting(firewall, own)), "prerouting", _DSTNAT)
    if bound:
        there = {guest.mac: nft.jump(f"to_{guest.name}") for guest in bound}
        yield NftChain("output", (NftLine((nft.vmap("ether daddr", there),), "to a guest"),), "output", _OUT)


def _prerouting(firewall: HostFirewall, own: tuple[FilteredGuest, ...]) -> Iterator[NftLine]:
    for guest in own:
        if guest.port:
            port, label = nft.interface("in", guest.port), f"{guest.name} is known by its port"
            yield NftLine((port, nft.mac("saddr", guest.mac, other=True), nft.DROP), label)
            yield NftLine((nft.other_interface(guest.port), nft.mac("saddr", guest.mac), nft.DROP), label)
    sent: Mapping[str, Part] = {guest.mac: nft.jump(f"from_{guest.name}") for guest in firewall.guests}
    yield NftLine((nft.vmap("ether saddr", sent),), "from a guest")
    yield from _by_address(firewall, "saddr", lambda guest: nft.jump(f"own_{guest.name}"), own)
    claimed = {address: nft.jump(f"own_{guest.name}") for guest in own for address in guest.of_family(4)}
    if claimed:
        yield NftLine((nft.vmap("arp saddr ip", claimed),), "an address of a guest, ARP")


def _sends(guest: FilteredGuest) -> Iterator[NftLine]:
    """What it may say about itself. Asking for an address it has none yet."""
    yield NftLine((*nft.icmp(6, ADVERTISEMENT), nft.DROP), "it is not a router")
    if guest.macfilter:
        yield NftLine((nft.arp_sender(guest.mac, other=True), nft.DROP), "ARP under another MAC address")
    if not guest.ipfilter:
        return
    asking = (nft.addresses(4, "saddr", ((0, 0),)), *_udp(*DHCP_PORTS[4]))
    yield NftLine((*asking, nft.RETURN), "it asks for an address")
    for family in FAMILIES:
        own = _ranges(guest, family, unspecified=family == 6)
        yield NftLine((*_none_of(family, "saddr", own), nft.DROP), "another address than its own")
    yield NftLine((nft.arp_not_from(_ranges(guest, 4, unspecified=True)), nft.DROP), "ARP for another address")


def _is_sent(guest: FilteredGuest) -> Iterator[NftLine]:
    for family in FAMILIES:
        own = _ranges(guest, family, unspecified=False)
        yield NftLine((*_none_of(family, "daddr", own), nft.DROP), "to another address than its own")


def _none_of(family: Family, side: str, ranges: Ranges) -> tuple[Part, ...]:
    if ranges:
        return (nft.addresses(family, side, ranges, other=True),)
    return (nft.ethernet_type(family),)


def _ranges(guest: FilteredGuest, family: Family, *, unspecified: bool) -> Ranges:
    addresses = (*guest.of_family(family), *([UNSPECIFIED[family]] if unspecified else []))
    numbers = [address_number(address)[0] for address in addresses]
    return merged((number, number) for number in numbers)


def _udp(sport: int, dport: int) -> tuple[Part, ...]:
    return nft.ports(UDP, "sport", ((sport, sport),)), nft.ports(UDP, "dport", ((dport, dport),))
