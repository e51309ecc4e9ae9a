"""The sets of Proxmox's SDN, which rules name as `+sdn/NAME` (pvesdn(1), "Firewall Integration").

    sdn_sets(sdn) -> {name: set}

Of every VNet: `VNET-all` its subnets, `VNET-gateway` its gateways, `VNET-no-gateway` the subnets without them,
`VNET-dhcp` its ranges for DHCP. Of every guest with addresses of the SDN's own IPAM: `guest-ipam-VMID`.
"""

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence

from service.firewall.terms.model import IPSet, IPSetEntry
from service.formats.pve_sdn import Sdn, SdnSubnet

SDN_SET = re.compile(r"[a-z][a-z0-9]{0,7}-(?:all|gateway|no-gateway|dhcp)|guest-ipam-[1-9][0-9]{2,8}", re.IGNORECASE)
"""The form of their names: what is known of them where nobody could look at the SDN."""


def sdn_sets(sdn: Sdn) -> dict[str, IPSet]:
    """All sets by name."""
    found: dict[str, IPSet] = {}
    for vnet in sdn.vnets:
        own = [subnet for subnet in sdn.subnets if subnet.vnet == vnet.name]
        gateways = [_host(subnet.gateway) for subnet in own if subnet.gateway]
        entries: Mapping[str, Sequence[str]] = {
            "all": [subnet.cidr for subnet in own],
            "gateway": gateways,
            "no-gateway": [*(subnet.cidr for subnet in own), *(f"!{one}" for one in gateways)],
            "dhcp": [network for subnet in own for network in _ranges(subnet)],
        }
        for ending, texts in entries.items():
            name = f"{vnet.name}-{ending}"
            found[name] = IPSet(name, tuple(IPSetEntry(t.removeprefix("!"), t.startswith("!")) for t in texts))
    for vmid, addresses in sdn.guests.items():
        name = f"guest-ipam-{vmid}"
        found[name] = IPSet(name, tuple(IPSetEntry(_host(address)) for address in addresses))
    return found


def _host(address: str) -> str:
    return str(ipaddress.ip_network(address))


def _ranges(subnet: SdnSubnet) -> Iterator[str]:
    """A range as networks."""
    for first, last in subnet.ranges:
        start, end = ipaddress.ip_address(first), ipaddress.ip_address(last)
        if isinstance(start, ipaddress.IPv4Address) and isinstance(end, ipaddress.IPv4Address):
            yield from (str(network) for network in ipaddress.summarize_address_range(start, end))
        if isinstance(start, ipaddress.IPv6Address) and isinstance(end, ipaddress.IPv6Address):
            yield from (str(network) for network in ipaddress.summarize_address_range(start, end))
