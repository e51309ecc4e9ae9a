"""The chains of guests with rules of their own, as the analyser walks them; nft_guests.py writes the same for nft.

    out_NAME        what a guest may send: its rules, its policy; an accept goes back to whoever asked
    in_NAME         what may reach it
    guests          what the host forwards, on a bridge or between networks: sender first, then receiver
    to_guests       what the host itself sends
    bridge-in       before everything, on the bridge: nobody sends under the name of another (stateless)
    bridge-out      to a guest only under an address that is its own (stateless)

The order inside is Proxmox's: DHCP, then the rules, then the policy. A guest is identified by its MAC address as sender
and, on a bridge, as receiver. Packets that are routed to it or come from the host are identified by its addresses,
which it may not change.
"""

from collections.abc import Callable, Iterator

from service.firewall.host import DISCOVERY, FilteredGuest, HostFirewall, Policy, guest_table
from service.firewall.terms.addresses import BITS, MaskedNetwork, address_number, mask_of
from service.firewall.terms.model import Family, Ignored
from service.firewall.terms.names import ICMPV6, UDP
from service.firewall.trace.chains import ACCEPT, DROP, MARK, RETURN, Chain, ChainStep, Flow, Ruleset
from service.firewall.trace.matching import Site, Targets
from service.firewall.trace.sets import Sets
from service.firewall.trace.standard import REJECT_CHAIN

GUESTS, TO_GUESTS, BRIDGE_IN, BRIDGE_OUT = "guests", "to_guests", "bridge-in", "bridge-out"
DHCP_PORTS: dict[Family, tuple[int, int]] = {4: (68, 67), 6: (546, 547)}
"""Ports of client and server (RFC 2131, RFC 8415)."""
ADVERTISEMENT = 134
DISCOVERED, UNFILTERED = "neighbour discovery", "no guest's firewall is in the way"
UNSPECIFIED: dict[Family, str] = {4: "0.0.0.0", 6: "::"}  # noqa: S104 (compared, not bound)

_OUT: Targets = {"ACCEPT": (MARK, True), "REJECT": (REJECT_CHAIN, False)}
_IN: Targets = {"ACCEPT": (ACCEPT, False), "REJECT": (REJECT_CHAIN, False)}


def add_guest_chains(firewall: HostFirewall, ruleset: Ruleset, sets: Sets) -> None:
    """Add the chains of all guests. They are called by those of the host."""
    family = ruleset.family
    for guest in firewall.guests:
        refused: list[Ignored] = []
        site = Site(firewall.levels, sets, family, guest.level, refused)
        for direction in ("out", "in"):
            chain = ruleset.chains[f"{direction}_{guest.name}"] = Chain()
            chain.steps.extend(_guest(firewall, guest, direction, site))
    chains = {
        GUESTS: _forwarded(firewall),
        TO_GUESTS: _received(firewall, family),
        BRIDGE_IN: _bridge_in(firewall, family),
        BRIDGE_OUT: _bridge_out(firewall, family),
    }
    for name, steps in chains.items():
        ruleset.chains[name] = Chain()
        ruleset.chains[name].steps.extend(steps)


def from_guests(firewall: HostFirewall) -> Iterator[ChainStep]:
    """What each guest may send, by its MAC address."""
    for guest in firewall.guests:
        yield ChainStep(f"out_{guest.name}", (_from(guest),))


def is_discovery(flow: Flow) -> bool:
    """Neighbour discovery and multicast listeners, without which IPv6 does not work (RFC 4890, 4.4.1)."""
    return flow.family == 6 and flow.proto == ICMPV6 and flow.icmp is not None and flow.icmp[0] in DISCOVERY


def _guest(firewall: HostFirewall, guest: FilteredGuest, direction: str, site: Site) -> Iterator[ChainStep]:
    outgoing = direction == "out"
    table = guest_table(guest.name, direction)
    client, server = DHCP_PORTS[site.family]
    ports = (client, server) if outgoing else (server, client)
    note = f"DHCP of guest {guest.name}"
    yield ChainStep(RETURN if outgoing else ACCEPT, (_udp(*ports),), note=note, name=f"{table}:always:1")
    for placed in firewall.guest_placed(guest, "out" if outgoing else "in"):
        if placed.rule.works(site.family):
            yield from site.steps(placed.rule, _OUT if outgoing else _IN, name=placed.name)
    policy = guest.policy_out if outgoing else guest.policy_in
    note = f"policy_{direction} of guest {guest.name}: {policy.action.lower()}"
    yield _policy(policy, note, f"{table}:policy", outgoing=outgoing)


def _policy(policy: Policy, note: str, name: str, *, outgoing: bool) -> ChainStep:
    if policy.action == "ACCEPT":
        return ChainStep(RETURN if outgoing else ACCEPT, where=policy.where, note=note, name=name)
    return ChainStep(REJECT_CHAIN if policy.action == "REJECT" else DROP, where=policy.where, note=note, name=name)


def _forwarded(firewall: HostFirewall) -> Iterator[ChainStep]:
    yield ChainStep(ACCEPT, (is_discovery,), note=DISCOVERED, name=f"{GUESTS}:always:1")
    yield from from_guests(firewall)
    yield ChainStep(TO_GUESTS, goto=True)


def _received(firewall: HostFirewall, family: Family) -> Iterator[ChainStep]:
    for guest in firewall.guests:
        yield ChainStep(f"in_{guest.name}", (_bridged_to(guest),), goto=True)
    for guest in firewall.guests:
        for address in guest.of_family(family):
            number = address_number(address)[0]
            network = MaskedNetwork(number, mask_of(BITS[family], family))
            yield ChainStep(f"in_{guest.name}", (_sent_to(number),), goto=True, dests=(network,))
    yield ChainStep(ACCEPT, note=UNFILTERED, name=f"{GUESTS}:always:2")


def _bridge_in(firewall: HostFirewall, family: Family) -> Iterator[ChainStep]:
    for guest in firewall.guests:
        if guest.port and guest.macfilter:
            note = f"guest {guest.name} and its MAC address belong to port {guest.port} (macfilter)"
            yield ChainStep(DROP, (_forged(guest),), note=note, name=bridge_name(guest, "port"))
    for guest in firewall.guests:
        if family == 6:
            note = f"guest {guest.name} is not a router"
            yield ChainStep(DROP, (_from(guest), _is_advertisement), note=note, name=bridge_name(guest, "router"))
        if guest.ipfilter:
            note = f"the source is not an address of guest {guest.name} (ipfilter)"
            foreign = _foreign_source(guest, family)
            yield ChainStep(DROP, (_from(guest), foreign), note=note, name=bridge_name(guest, "source"))
    for guest in firewall.guests:
        if guest.macfilter:
            note = f"the source is the address of guest {guest.name}, the MAC address is not (macfilter)"
            yield ChainStep(DROP, (_borrowed(guest, family),), note=note, name=bridge_name(guest, "borrowed"))


def _bridge_out(firewall: HostFirewall, family: Family) -> Iterator[ChainStep]:
    for guest in firewall.guests:
        if guest.ipfilter:
            note = f"the destination is not an address of guest {guest.name} (ipfilter)"
            yield ChainStep(DROP, (_foreign_dest(guest, family),), note=note, name=bridge_name(guest, "dest"))


def bridge_name(guest: FilteredGuest, what: str) -> str:
    """The name of what is checked of a guest on its bridge."""
    return f"bridge:{guest.name}:{what}"


def _from(guest: FilteredGuest) -> Callable[[Flow], bool]:
    mac = guest.mac.upper()
    return lambda flow: flow.mac == mac


def _bridged_to(guest: FilteredGuest) -> Callable[[Flow], bool]:
    mac = guest.mac.upper()
    return lambda flow: flow.iif == flow.oif and flow.dest_mac == mac


def _sent_to(number: int) -> Callable[[Flow], bool]:
    return lambda flow: flow.dest == number


def _forged(guest: FilteredGuest) -> Callable[[Flow], bool]:
    mac, port = guest.mac.upper(), guest.port
    return lambda flow: (flow.port == port) != (flow.mac == mac)


def _numbers(guest: FilteredGuest, family: Family) -> frozenset[int]:
    return frozenset(address_number(address)[0] for address in guest.of_family(family))


def _foreign_source(guest: FilteredGuest, family: Family) -> Callable[[Flow], bool]:
    own, request = _numbers(guest, family), _udp(*DHCP_PORTS[family])
    if family == 6:
        return lambda flow: flow.source not in own and flow.source != 0
    return lambda flow: flow.source not in own and not (flow.source == 0 and request(flow))


def _foreign_dest(guest: FilteredGuest, family: Family) -> Callable[[Flow], bool]:
    own, mac = _numbers(guest, family), guest.mac.upper()
    return lambda flow: flow.dest_mac == mac and flow.dest not in own


def _borrowed(guest: FilteredGuest, family: Family) -> Callable[[Flow], bool]:
    own, mac = _numbers(guest, family), guest.mac.upper()
    return lambda flow: flow.source in own and flow.mac not in ("", mac)


def _is_advertisement(flow: Flow) -> bool:
    return flow.proto == ICMPV6 and flow.icmp is not None and flow.icmp[0] == ADVERTISEMENT


def _udp(sport: int, dport: int) -> Callable[[Flow], bool]:
    return lambda flow: flow.proto == UDP and flow.sport == sport and flow.dport == dport
