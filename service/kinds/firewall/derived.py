"""What the other sections need of the firewall, and the whole as one value.

DHCP on an interface needs udp/67 there, from any address: a client has none yet. With `policy_out` other than accept
its answers need to leave, too: conntrack does not know them, the request went to all. DHCPv6 needs udp/547 in the same
way; router advertisements pass as neighbour discovery does. DNS needs udp and tcp 53. Only
the interfaces served are opened, never the uplink. What is published is let through to the guest, and a proxy to what
it leads to. A network that leaves under another address, or in which something is published, is closed to neighbours of
the uplink who route into it. Forwarding is on, so nothing else would stop them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from service.firewall.host import FilteredGuest, HostFirewall, Policy
from service.firewall.pve.node import NodeFirewall
from service.firewall.pve.render import rule_line
from service.firewall.terms.model import Level, Rule, Where
from service.kinds.claims import Claim, Filtered, Masquerades, Named, Publishes, Reaches, Serves
from service.kinds.firewall.reached import from_guests, to_and_from
from service.kinds.packet_rules.levels import KEY, guest_level, host_level
from service.kinds.packet_rules.section import DeriveSection, FirewallSection, SharedFirewallSection
from service.kinds.packet_rules.shared import shared_level, shared_section
from service.kinds.published import accepted, closed_of, published_of
from service.spec.host import HostSpec, Shared

_DEFAULTS = {"policy_in": "drop", "policy_out": "accept", "policy_forward": "accept"}


def derives(section: FirewallSection, shared: SharedFirewallSection | None) -> DeriveSection:
    """Whether what follows from other sections is written on its own: the host's word counts before the fleet's."""
    said = [s.derive for s in (section, shared) if s is not None and s.derive is not None]
    return said[0] if said else DeriveSection()


def deriving(claims: Sequence[Claim], derive: DeriveSection) -> list[Claim]:
    """Without the claims of sections from which nothing is to follow."""
    off: tuple[type, ...] = (
        *(() if derive.dnsmasq else (Serves,)),
        *(() if derive.nat is True else (Masquerades,)),
    )
    is_on = {"forwards": derive.forwards, "web": derive.web}
    return [
        claim
        for claim in claims
        if not isinstance(claim, off)
        and (not isinstance(claim, Publishes | Reaches) or is_on.get(str(claim.path[0]), True))
    ]


def assemble(
    section: FirewallSection,
    host: HostSpec,
    claims: Sequence[Claim],
    *,
    derive: DeriveSection,
    levels: tuple[Level, Level] | None = None,
) -> HostFirewall:
    """The firewall of a host. Rules with something wrong in them have no effect. `levels` are those of the datacenter
    and of the host, for a caller that has read them."""
    shared = shared_section(host)
    cluster = levels[0] if levels else shared_level(shared, host.shared)[0]
    level = levels[1] if levels else host_level(section, host, cluster)[0]
    return replace(
        _assembled(cluster, level, section, shared, host, deriving(claims, derive)),
        guests=tuple(_guests(deriving(claims, derive), host, cluster)),
        bridges=tuple(
            sorted(claim.interface for claim in claims if isinstance(claim, Named) and claim.sort == "bridge")
        ),
    )


def _guests(claims: Sequence[Claim], host: HostSpec, cluster: Level) -> Iterator[FilteredGuest]:
    for claim in claims:
        if not isinstance(claim, Filtered):
            continue
        section, path = claim.section, ("guests", claim.guest, KEY)
        where = {name: Where(*host.where((*path, name))) for name in ("policy_in", "policy_out")}
        yield FilteredGuest(
            name=claim.guest,
            mac=claim.mac,
            addresses=claim.addresses,
            level=guest_level(claim.guest, section, host, cluster)[0],
            policy_in=Policy(section.policy_in.upper(), where["policy_in"]),
            policy_out=Policy(section.policy_out.upper(), where["policy_out"]),
            port=claim.port,
            macfilter=section.macfilter,
            ipfilter=section.ipfilter,
            derived=tuple(to_and_from(claim.guest, section.policy_out.upper(), claims, host)),
        )


def _assembled(
    cluster: Level,
    level: Level,
    section: FirewallSection,
    shared: SharedFirewallSection | None,
    host: HostSpec,
    claims: Sequence[Claim],
) -> HostFirewall:
    places: list[tuple[FirewallSection, HostSpec | Shared]] = [(section, host)]
    if shared is not None:
        places.append((shared, host.shared))
    policies = {name: _policy(name, places) for name in _DEFAULTS}
    published = published_of(claims, host)
    return HostFirewall(
        NodeFirewall(cluster, level, sdn=None if host.platform == "proxmox" else {}),
        policies["policy_in"],
        policies["policy_out"],
        policies["policy_forward"],
        (
            *served(claims, policies["policy_out"], host),
            *accepted(published, policies["policy_out"].action),
            *from_guests(claims, host),
        ),
        tuple(closed_of(claims, published)),
    )


def _policy(name: str, places: Sequence[tuple[FirewallSection, HostSpec | Shared]]) -> Policy:
    for section, place in places:
        said = getattr(section, name)
        if said is not None:
            return Policy(said.upper(), Where(*place.where((KEY, name))))
    return Policy(_DEFAULTS[name].upper())


def served(claims: Sequence[Claim], policy_out: Policy, host: HostSpec) -> Iterator[Rule]:
    """What DHCP and DNS need."""
    for rule in _served(claims, policy_out):
        key = {"67": ("dhcp",), "547": ("dhcp6",)}.get(rule.sport or rule.dport, ())
        yield replace(rule, follows=Where(*host.where(("dnsmasq", *key))))


def _served(claims: Sequence[Claim], policy_out: Policy) -> Iterator[Rule]:
    for claim in claims:
        if not isinstance(claim, Serves):
            continue
        if claim.protocol == "dhcp":
            cause = f"dnsmasq serves DHCP on {claim.interface}"
            yield _rule("in", claim.interface, "udp", dport="67", cause=cause)
            if policy_out.action != "ACCEPT":
                yield _rule("out", claim.interface, "udp", sport="67", dport="68", cause=cause)
        elif claim.protocol == "dhcp6":
            cause = f"dnsmasq serves DHCPv6 on {claim.interface}"
            yield _rule("in", claim.interface, "udp", dport="547", cause=cause)
            if policy_out.action != "ACCEPT":
                yield _rule("out", claim.interface, "udp", sport="547", dport="546", cause=cause)
        elif claim.protocol == "dns":
            for proto in ("udp", "tcp"):
                cause = f"dnsmasq answers DNS on {claim.interface}"
                yield _rule("in", claim.interface, proto, dport="53", cause=cause)


def _rule(direction: str, iface: str, proto: str, *, dport: str, cause: str, sport: str = "") -> Rule:
    rule = Rule(direction, "ACCEPT", iface=iface, proto=proto, dport=dport, sport=sport)
    text = rule_line(rule)
    return Rule(direction, "ACCEPT", iface=iface, proto=proto, dport=dport, sport=sport, comment=cause, text=text)
