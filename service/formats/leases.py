"""dnsmasq's lease file: who holds which address, under which name, until when.

    parse(data, path) -> LeaseFile(leases, problems, complete)

A line is `EXPIRY MAC IPV4 NAME CLIENTID`; after a line `duid …` the lines are `EXPIRY [T]IAID IPV6 NAME DUID`.
EXPIRY is in seconds since 1970, 0 = never; `*` stands for no name and no client id; a MAC that is not Ethernet's is
prefixed with its hardware type (`06-…`). From 2.92 on there are also `vendorclass` and `agent-info` lines. dnsmasq
rewrites the file in place, so a reader may see a part of it: a last line without its line end is left out and
`complete` is false.
"""

import re
from dataclasses import dataclass
from ipaddress import ip_address

from service.model.observed import Lease

MAX_BYTES = 8 << 20
MAX_LEASES = 65_536
MAX_PROBLEMS = 100

_MAC = re.compile(r"(?:[0-9a-f]{2}-)?(?:[0-9a-f]{2}(?::[0-9a-f]{2}){0,15})?")
_IAID = re.compile(r"T?[0-9]{1,10}")
_HEX = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){0,254}")
_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,253}[A-Za-z0-9_])?")
_EXTRA = ("duid", "vendorclass", "agent-info")


@dataclass(frozen=True, slots=True)
class LeaseFile:
    """All leases in the file's order; IPv6 leases have no MAC. Problems are `path:line: what`."""

    leases: tuple[Lease, ...] = ()
    problems: tuple[str, ...] = ()
    complete: bool = True


def parse(data: bytes, path: str = "/var/lib/misc/dnsmasq.leases") -> LeaseFile:
    """Read a lease file. Never raises; lines that are not leases are problems."""
    text = data[:MAX_BYTES].decode("utf-8", "replace")
    lines = text.split("\n")
    complete = not lines.pop() and len(data) <= MAX_BYTES
    leases: list[Lease] = []
    problems: list[str] = []
    for number, line in enumerate(lines, 1):
        words = line.split(" ")
        if not line or words[0] in _EXTRA:
            continue
        lease = _lease(words)
        if isinstance(lease, Lease) and len(leases) < MAX_LEASES:
            leases.append(lease)
        elif len(problems) < MAX_PROBLEMS:
            problems.append(f"{path}:{number}: {lease if isinstance(lease, str) else f'more than {MAX_LEASES} leases'}")
    if not complete:
        problems.append(f"{path}:{len(lines) + 1}: the file was cut short while it was read")
    return LeaseFile(tuple(leases), tuple(problems), complete)


def _lease(words: list[str]) -> Lease | str:
    if len(words) != 5:
        return "is not a lease: it has not five fields"
    expiry, hardware, address, name, client = words
    try:
        where = ip_address(address)
    except ValueError:
        return "is not a lease: its third field is not an address"
    checks = (
        (re.fullmatch(r"[0-9]{1,12}", expiry), "first field is not a time"),
        ((_MAC if where.version == 4 else _IAID).fullmatch(hardware), "second field is not a MAC or IAID"),
        (name == "*" or _NAME.fullmatch(name), "fourth field is not a host name"),
        (client == "*" or _HEX.fullmatch(client), "last field is not a client id"),
    )
    for right, what in checks:
        if not right:
            return f"is not a lease: its {what}"
    return Lease(
        mac=hardware if where.version == 4 else "",
        address=str(where),
        name="" if name == "*" else name,
        expires=int(expiry),
        client_id="" if client == "*" else client,
    )
