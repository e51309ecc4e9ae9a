"""Which addresses a source may resolve to: it is never a way to make the service ask its own neighbours.

    check_host(host, port, allow_loopback=False) -> tuple[str, ...]      raises AddressRefused

Private networks stay allowed, since that is where an own forge lives.
"""

import ipaddress
import socket
from collections.abc import Callable

from service.errors import SourceError

Resolve = Callable[[str, int], list[str]]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# Where clouds serve credentials to whoever asks from inside; the link-local one is covered by its range.
_METADATA = frozenset(
    ipaddress.ip_address(text) for text in ("169.254.169.254", "100.100.100.200", "fd00:ec2::254", "192.0.0.192")
)


class AddressRefused(SourceError):  # noqa: N818 (what happened, as the other errors of the tree)
    """The source's name resolves to an address that is not contacted. Later it may resolve to another."""


class NameUnknown(SourceError):  # noqa: N818
    """The source's name does not resolve now."""


def resolve(host: str, port: int) -> list[str]:
    """All addresses of a name, by the system's resolver."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def check_host(host: str, port: int, *, allow_loopback: bool = False, resolver: Resolve = resolve) -> tuple[str, ...]:
    """The addresses of `host`, once every one of them is allowed. Raises NameUnknown or AddressRefused."""
    try:
        addresses = resolver(host, port)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "not a name that DNS can resolve"
        raise NameUnknown(f"{host} does not resolve: {reason}", hint="check the name and the resolver") from error
    for text in addresses:
        if why := refused(text, allow_loopback=allow_loopback):
            raise AddressRefused(
                f"{host} resolves to {text}, which is {why}",
                hint="a source on this machine is given as a path",
            )
    return tuple(addresses)


def refused(text: str, *, allow_loopback: bool = False) -> str:
    """Why this address is not contacted, or an empty string."""
    try:
        address = _inner(ipaddress.ip_address(text.partition("%")[0]))
    except ValueError:
        return "no IP address"
    if address in _METADATA:
        return "a metadata service"
    if address.is_loopback:
        return "" if allow_loopback else "this machine"
    rules = {
        "a link-local address": address.is_link_local,
        "a multicast address": address.is_multicast,
        "unspecified": address.is_unspecified or address in ipaddress.ip_network("0.0.0.0/8"),
        "reserved": address == ipaddress.ip_address("255.255.255.255"),
    }
    return next((why for why, holds in rules.items() if holds), "")


def _inner(address: Address) -> Address:
    """The IPv4 address that an IPv6 one carries (mapped, 6to4, NAT64), else the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address
