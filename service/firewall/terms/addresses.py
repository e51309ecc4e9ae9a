"""Addresses as three programs read them: Proxmox's files, Perl's Net::IP (which checks rules), and iptables.

They differ. Host bits are an error in a rule's address but fine in an alias or a set. `192.0.2` is 192.0.2.0 for
Net::IP and iptables. iptables takes numbers with a leading 0 as octal.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from service.firewall.terms.model import Family
from service.firewall.terms.numbers import c_number

_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_V4 = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}")
BITS: dict[Family, int] = {4: 32, 6: 128}

Ranges = Sequence[tuple[int, int]]
"""Closed ranges of numbers, sorted, that neither touch nor overlap."""


@dataclass(frozen=True, slots=True)
class MaskedNetwork:
    """The addresses whose bits under `mask` are those of `value`."""

    value: int
    mask: int

    def holds(self, address: int) -> bool:
        """Whether the address is in the network."""
        return address & self.mask == self.value


@dataclass(frozen=True, slots=True)
class Span:
    """All addresses from `first` to `last`."""

    first: int
    last: int

    def holds(self, address: int) -> bool:
        """Whether the address is in the span."""
        return self.first <= address <= self.last


def mask_of(length: int, family: Family) -> int:
    """The mask of a prefix length."""
    bits = BITS[family]
    return ((1 << length) - 1) << (bits - length)


def split_cidr(text: str) -> tuple[str, str, Family] | None:
    """Address, prefix length as written ("" if none) and family of what aliases and sets may hold; None if it is none.

    The length is not checked against the family: Proxmox leaves that to ipset and iptables.
    """
    address, slash, length = text.partition("/")
    if slash and not (length.isascii() and length.isdigit()):
        return None
    if _is_v6(address):
        return address, length, 6
    if _V4.fullmatch(address):
        return address, length, 4
    return None


def ip_or_cidr(text: str) -> tuple[str, Family] | None:
    """As Proxmox keeps an alias or an entry of a set: without /32 or /128. None if it is neither."""
    found = split_cidr(text)
    if found is None:
        return None
    family = found[2]
    return text.removesuffix("/128" if family == 6 else "/32"), family


def _is_v6(text: str) -> bool:
    if "%" in text or ":" not in text:
        return False
    tail = text.rpartition(":")[2]
    if "." in tail and not _V4.fullmatch(tail):
        return False
    try:
        IPv6Address(text)
    except AddressValueError:
        return False
    return True


@lru_cache(maxsize=8192)
def iptables_network(text: str, family: Family) -> MaskedNetwork | str:
    """What `-s TEXT` matches, or what iptables says when it refuses. Host bits are cut off. Each address
    of a rule is requested several times: when the rule is compiled, traced, and compared with those before it."""
    address, slash, length = text.partition("/")
    number = iptables_address(address, family)
    if number is None:
        return f"host/network `{address}' not found"
    if not slash:
        return MaskedNetwork(number, mask_of(BITS[family], family))
    bits = c_number(length, BITS[family])
    if bits is not None:
        mask: int | None = mask_of(bits, family)
    else:
        mask = _dotted_mask(length) if family == 4 else iptables_address(length, 6)
    if mask is None:
        return f"invalid mask `{length}' specified"
    return MaskedNetwork(number & mask, mask)


def iptables_span(text: str, family: Family) -> Span | str:
    """What `--src-range A-B` matches, or what iptables says when it refuses."""
    first, _, last = text.partition("-")
    low, high = iptables_address(first, family), iptables_address(last, family)
    if low is None or high is None:
        return f'iprange: Bad IP address "{first if low is None else last}"'
    if low > high:
        return f'iprange: "{text}" is a reversed range'
    return Span(low, high)


def iptables_address(text: str, family: Family) -> int | None:
    """One address as a number: missing trailing parts of IPv4 are 0, a leading 0 makes a part octal."""
    if family == 6:
        return int(IPv6Address(text)) if _is_v6(text) else None
    parts = text.split(".")
    if len(parts) > 4:
        return None
    number = 0
    for part in parts:
        octet = c_number(part, 255)
        if octet is None:
            return None
        number = number << 8 | octet
    return number << 8 * (4 - len(parts))


def _dotted_mask(text: str) -> int | None:
    return iptables_address(text, 4) if text.count(".") == 3 else None


def address_number(text: str) -> tuple[int, Family]:
    """A packet's address. Raises ValueError if it is none."""
    if ":" in text:
        return int(IPv6Address(text.partition("%")[0])), 6
    return int(IPv4Address(text)), 4


def merged(ranges: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """The same numbers as sorted ranges that neither touch nor overlap."""
    made: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if made and first <= made[-1][1] + 1:
            made[-1] = (made[-1][0], max(made[-1][1], last))
        else:
            made.append((first, last))
    return tuple(made)
