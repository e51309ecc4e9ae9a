"""dnsmasq's `server` and `local`: whom it asks, and for which domains (dnsmasq(8), --server; seen with 2.90 and 2.91).

    read_server(text) -> Server | None      None for what dnsmasq does not take, or passerelle does not write
    str(server) -> text                     the canonical form: equal meanings are equal texts

    [/DOMAIN[/DOMAIN…]/][ADDRESS[#PORT][@INTERFACE][@SOURCE[#PORT]]]      or /DOMAIN/# for the usual servers

Not written: servers by name (dnsmasq looks them up once, when it starts), `//` (names without a dot), `*` in domains.
"""

import re
from dataclasses import dataclass
from ipaddress import ip_address

LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
DOMAIN = rf"{LABEL}(?:\.{LABEL})*"
INTERFACE = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}"
MAX_DOMAIN = 253
MAX_DOMAINS = 11
DNS_PORT = 53


@dataclass(frozen=True, slots=True)
class Server:
    """One `server`. Without an address the domains are answered from here alone, or, `usual`, by the usual servers.

    `interface` is the one that queries leave by, `source` (and `source_port`, 0 for any) what they are sent from.
    """

    domains: tuple[str, ...] = ()
    address: str = ""
    port: int = DNS_PORT
    interface: str = ""
    source: str = ""
    source_port: int = 0
    usual: bool = False

    def __str__(self) -> str:
        """As it is written, without what goes without saying."""
        domains = f"/{'/'.join(self.domains)}/" if self.domains else ""
        address = self.address + (f"#{self.port}" if self.port != DNS_PORT else "")
        interface = f"@{self.interface}" if self.interface else ""
        source = f"@{self.source}" if self.source else ""
        source_port = f"#{self.source_port}" if self.source_port else ""
        return f"{domains}{'#' if self.usual else address}{interface}{source}{source_port}"


def read_server(text: str) -> Server | None:
    """A `server` in the form that is written; None for any other."""
    match = re.fullmatch(rf"(?:/((?:{DOMAIN}/){{1,{MAX_DOMAINS}}}))?([^/]*)", text, re.ASCII)
    if match is None:
        return None
    domains = tuple(sorted({domain.lower() for domain in (match[1] or "").split("/") if domain}))
    if any(len(domain) > MAX_DOMAIN for domain in domains):
        return None
    if match[2] in ("", "#"):
        return Server(domains, usual=match[2] == "#") if domains else None
    return _with_address(domains, match[2])


def _with_address(domains: tuple[str, ...], text: str) -> Server | None:
    asked, *ways = text.split("@")
    address, port = _address_and_port(asked, DNS_PORT)
    interface, source, source_port = "", "", 0
    if ways and not _address_and_port(ways[0], 0)[0]:
        interface = ways.pop(0)
        if not re.fullmatch(INTERFACE, interface, re.ASCII):
            return None
    if ways:
        source, source_port = _address_and_port(ways.pop(0), 0)
        if not source or (":" in source) != (":" in address):
            return None
    if ways or not address or not port:
        return None
    return Server(domains, address, port, interface, source, source_port)


def _address_and_port(text: str, usual: int) -> tuple[str, int]:
    """`ADDRESS#PORT`, the address in its usual spelling; an empty one where it is none."""
    address, sign, port = text.partition("#")
    if sign and not (re.fullmatch(r"[0-9]{1,5}", port, re.ASCII) and int(port) <= 65535):
        return "", 0
    return canonical_address(address), int(port) if sign else usual


def canonical_address(text: str) -> str:
    """An address in its usual spelling; empty where it is none, or has a zone."""
    try:
        return "" if "%" in text else str(ip_address(text))
    except ValueError:
        return ""
