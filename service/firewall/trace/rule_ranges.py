"""What the source or dest of a rule means, as ranges of addresses of one family."""

from service.errors import InputError
from service.firewall.host import HostFirewall
from service.firewall.pve.rules import ALIAS, IPSET
from service.firewall.terms.addresses import (
    BITS,
    MaskedNetwork,
    Ranges,
    iptables_network,
    iptables_span,
    mask_of,
    merged,
)
from service.firewall.terms.model import Family
from service.firewall.trace.sets import SDN, NetSet, Sets


def address_ranges(firewall: HostFirewall | None, sets: Sets | None, text: str, family: Family) -> Ranges:
    """The addresses of one family that a rule's source or dest means; () for none. Names need the firewall and its
    sets."""
    ipset, alias = IPSET.fullmatch(text), ALIAS.fullmatch(text)
    if sets is not None and ipset:
        netset = sets.table.get((SDN if ipset[1] == "sdn/" else "0", ipset[2], family))
        return set_ranges(netset, family) if netset else ()
    if firewall is not None and alias:
        found = firewall.levels.alias(firewall.levels.host, alias[1] or "", alias[2])
        if found is None:
            raise InputError(f"there is no alias {text}")
        text = found.cidr
    elif "-" in text:
        span = iptables_span(text, family)
        return () if isinstance(span, str) else ((span.first, span.last),)
    networks = [iptables_network(item, family) for item in text.split(",")]
    return merged(_range_of(n, family) for n in networks if isinstance(n, MaskedNetwork))


def set_ranges(netset: NetSet, family: Family) -> Ranges:
    """The addresses in a set: between two borders of its networks all are in it or none is."""
    borders = {0}
    for mask, table in netset.tables.items():
        size = (mask ^ mask_of(BITS[family], family)) + 1
        for value in table:
            borders |= {value, value + size}
    ordered = sorted(border for border in borders if border < 1 << BITS[family])
    ends = [*(border - 1 for border in ordered[1:]), (1 << BITS[family]) - 1]
    return merged((first, last) for first, last in zip(ordered, ends, strict=True) if netset.holds(first))


def _range_of(network: MaskedNetwork, family: Family) -> tuple[int, int]:
    return network.value, network.value | (network.mask ^ mask_of(BITS[family], family))
