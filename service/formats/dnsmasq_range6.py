"""dnsmasq's IPv6 ranges that follow the address of an interface: `dhcp-range=::100,::1ff,constructor:vmbr0,64,1h`.

read_range6(value) -> Range6 or None; str() is the form that is written and compared. As dnsmasq 2.90 reads them,
`ra-only` is `slaac`, and `ra-names` and `ra-stateless` have `slaac` in them. The prefix is 64 where none is named.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv6Address

HOST_PART = r"::(?:[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{1,4}){0,3})?"
MODES = frozenset({"ra-names", "ra-only", "ra-stateless", "slaac"})
DEFAULT_LEASE = "1h"
PREFIX = "64"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")
_LEASE = re.compile(r"[0-9]{1,10}[smhdw]?|infinite")


@dataclass(frozen=True, slots=True)
class Range6:
    """A range on one interface. `start` and `end` are the last 64 bits, as in `::100`; without both only SLAAC."""

    interface: str
    modes: frozenset[str] = frozenset()
    start: str = ""
    end: str = ""
    lease: str = DEFAULT_LEASE

    def __str__(self) -> str:
        span = (self.start, self.end) if self.end else ("::",)
        return ",".join((*span, f"constructor:{self.interface}", *sorted(self.modes), PREFIX, self.lease))


def read_range6(value: str) -> Range6 | None:
    """The range that a `dhcp-range` is; None for one with tags, a fixed prefix or another prefix length."""
    parts = [part.strip(" ") for part in value.split(",")]
    span: list[str] = []
    while parts and len(span) < 2 and re.fullmatch(HOST_PART, parts[0]):
        span.append(str(IPv6Address(parts.pop(0))))
    if not span or not parts or not parts[0].startswith("constructor:"):
        return None
    interface = parts.pop(0).removeprefix("constructor:")
    modes = set()
    while parts and parts[0] in MODES:
        modes.add(parts.pop(0))
    if parts and parts[0].isdecimal() and parts.pop(0) != PREFIX:
        return None
    lease = parts.pop(0).lower() if parts else DEFAULT_LEASE
    is_odd = bool(parts) or not _NAME.fullmatch(interface) or not _LEASE.fullmatch(lease)
    if is_odd or (len(span) == 1 and (span[0] != "::" or not modes)):
        return None
    start, end = span if len(span) == 2 else ("", "")
    return Range6(interface, _said(modes), start, end, lease)


def _said(modes: set[str]) -> frozenset[str]:
    """Modes without those that follow from others."""
    if not modes:
        return frozenset()
    return frozenset(modes & {"ra-names", "ra-stateless"}) or frozenset({"slaac"})
