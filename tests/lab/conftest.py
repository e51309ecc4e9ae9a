from collections.abc import Callable

import pytest

from service.lab import Host

__all__ = ["gateway_host"]

INTERFACES = """\
auto lo
iface lo inet loopback

auto enp1s0
iface enp1s0 inet static
\taddress 198.51.100.11/24
\tgateway 198.51.100.1

auto vmbr0
iface vmbr0 inet static
\taddress 10.10.10.1/24
\tbridge-ports none
\tbridge-stp off
\tbridge-fd 0
"""

DNSMASQ = """\
interface=vmbr0
bind-dynamic
expand-hosts
domain=madyanne.lan
dhcp-authoritative
dhcp-range=10.10.10.100,10.10.10.200,255.255.255.0,12h
"""


@pytest.fixture
def gateway_host(fresh_host: Callable[..., Host]) -> Host:
    """A host configured by hand: vmbr0, and dnsmasq in BIND's place; no NAT."""
    files = {"/etc/network/interfaces": INTERFACES, "/etc/dnsmasq.d/guests": DNSMASQ}
    gateway: Host = fresh_host("pve1", files=files)
    install = "systemctl disable --now named && apt-get update && apt-get install --yes dnsmasq"
    gateway.sh(install, timeout_s=60)
    return gateway
