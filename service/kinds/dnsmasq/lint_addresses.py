"""Addresses that `dnsmasq --test` takes, and with which dnsmasq does not start or does not ask (seen with 2.90)."""

import ipaddress
from collections.abc import Iterator, Sequence

from service.formats.dnsmasq_servers import DNS_PORT, read_server
from service.kinds.claims import AddressClaim, Claim
from service.kinds.dnsmasq.section import DnsmasqSection
from service.spec.findings import Hit, LintRule

LISTEN_NOT_OWN = LintRule(
    "dnsmasq.listen-address-not-own", "warning", "dnsmasq listens on the host's own addresses", by_absence=True
)
SERVER_IS_ITSELF = LintRule("dnsmasq.server-is-itself", "warning", "an upstream server is another server")


def lint_addresses(section: DnsmasqSection, claims: Sequence[Claim]) -> Iterator[Hit]:
    """`listen_address` against the host's addresses, `server` against those that dnsmasq answers on."""
    own = [claim for claim in claims if isinstance(claim, AddressClaim)]
    known = {claim.address.partition("/")[0] for claim in own}
    for index, address in enumerate(section.listen_address):
        if address not in known and not ipaddress.ip_address(address).is_loopback:
            effect = "dnsmasq does not start" if section.bind_interfaces else "dnsmasq does not answer there"
            yield LISTEN_NOT_OWN.hit(
                ("listen_address", index),
                f"no interface in the spec has {address}. While the host does not have it, {effect}",
                "write an address of an interface or bridge, or add this one to it",
            )
    served = {claim.address.partition("/")[0] for claim in own if claim.interface in section.served_interfaces()}
    for index, text in enumerate(section.server):
        server = read_server(text)
        if server and server.port == DNS_PORT and server.address in {*served, *section.listen_address, *_LOOPBACK}:
            yield SERVER_IS_ITSELF.hit(
                ("server", index),
                f"dnsmasq itself answers on {server.address}, so it ignores this server",
                "name another server, or the port of another program as in 127.0.0.1#5353",
            )


_LOOPBACK = ("127.0.0.1", "::1")
