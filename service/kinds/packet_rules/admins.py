"""Who manages a host, according to its firewall: the sources that its rules for SSH name."""

import ipaddress
from collections.abc import Iterator

from service.firewall.pve.rules import ALIAS, IPSET
from service.firewall.terms.macros import find_macro
from service.firewall.terms.model import Level, Rule, is_given
from service.firewall.terms.names import TCP, protocol_number
from service.firewall.terms.ports import iptables_ports
from service.kinds.packet_rules.levels import KEY, host_level
from service.kinds.packet_rules.section import FirewallSection
from service.kinds.packet_rules.shared import shared_level, shared_section
from service.spec.host import HostSpec

MANAGEMENT = "management"
SMALLEST_PREFIX = {4: 24, 6: 64}
"""A wider network is not a person's: it holds guessers, too."""


def admin_sources(host: HostSpec) -> tuple[str, ...]:
    """Addresses and small networks that an accepting rule for the host's SSH port names, and those of Proxmox's set
    `management`, which Proxmox always accepts, sorted.
    """
    section = host.sections.get(KEY)
    if not isinstance(section, FirewallSection):
        return ()
    cluster, _ = shared_level(shared_section(host), host.shared)
    level, _ = host_level(section, host, cluster)
    found = {
        network
        for rule in (*level.rules, *cluster.rules)
        if rule.enable and not rule.errors and (rule.type, rule.action) == ("in", "ACCEPT")
        if is_given(rule.source) and _is_for(rule, host.connection.port)
        for network in _networks(rule.source, cluster)
    } | set(_networks(f"+{MANAGEMENT}", cluster))
    return tuple(sorted(found, key=lambda text: (":" in text, int(ipaddress.ip_network(text).network_address), text)))


def _is_for(rule: Rule, port: int) -> bool:
    """Whether a rule is about one port of TCP."""
    macro = find_macro(rule.macro) if rule.macro else None
    lines = [(line.proto, line.dport) for line in macro.lines(4)] if macro else [(rule.proto, rule.dport)]
    for proto, dport in lines:
        if not is_given(proto) or not is_given(dport) or protocol_number(proto) != TCP:
            continue
        ranges = iptables_ports(dport, TCP, several="," in dport)
        if not isinstance(ranges, str) and any(span.first <= port <= span.last for span in ranges):
            return True
    return False


def _networks(source: str, cluster: Level) -> Iterator[str]:
    """What a source means, as far as it is small."""
    ipset = IPSET.fullmatch(source)
    texts: list[str] = []
    if ipset and ipset[2] in cluster.ipsets:
        texts = [entry.cidr for entry in cluster.ipsets[ipset[2]].entries if not entry.nomatch]
    elif not source.startswith("+"):
        texts = source.split(",")
    for text in texts:
        named = ALIAS.fullmatch(text)
        key = named[2].lower() if named else ""
        cidr = cluster.aliases[key].cidr if key in cluster.aliases else text
        try:
            network = ipaddress.ip_network(cidr, strict=False)
        except ValueError:
            continue
        if network.prefixlen >= SMALLEST_PREFIX[network.version]:
            yield str(network)
