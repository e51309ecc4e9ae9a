"""Ports of rules: what Proxmox accepts, and what iptables then makes of it.

iptables reads ports in two ways (measured with 1.8.9). For tcp, sctp and lists a leading 0 is octal, and a service must
be one of the protocol. For a single port of udp or dccp numbers are decimal, and a service of any protocol is accepted.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from service.firewall.terms.icmp import ICMP_TYPES, ICMPV6_TYPES
from service.firewall.terms.names import PORTS_OF, UDPLITE, any_service_port, is_service, service_port
from service.firewall.terms.numbers import c_number

MAX_NUMBERS = 15
_HIGHEST = 65535
_RANGE = re.compile(r"([0-9]+):([0-9]+)")
_NUMBER = re.compile(r"[0-9]+")


class BadPorts(Exception):  # noqa: N818 (an answer, not a fault)
    """Proxmox refuses the ports; the message is Proxmox's."""


@dataclass(frozen=True, slots=True)
class PortRange:
    """Ports from `first` to `last`."""

    first: int
    last: int


def check_ports(text: str, *, dest: bool) -> bool:
    """Raise BadPorts for what Proxmox refuses; otherwise whether it is a list. A range counts as two numbers.

    Destination ports may be names of ICMP types: that is an older way to write -icmp-type.
    """
    items = _split(text)
    numbers = 0
    icmp = False
    for item in items:
        span = _RANGE.fullmatch(item)
        if span:
            numbers += 2
            _check_range(span[1], span[2])
        elif _NUMBER.fullmatch(item):
            numbers += 1
            _check_number(item)
        elif dest and (item in ICMP_TYPES or item in ICMPV6_TYPES):
            icmp = True
        elif not is_service(item):
            raise BadPorts(f"invalid port '{item}'")
    if icmp and numbers:
        raise BadPorts("ICMP ports not allowed in port range")
    if numbers > MAX_NUMBERS:
        raise BadPorts(f"too many entries in port list (> {MAX_NUMBERS} numbers)")
    return len(items) > 1


def _split(text: str) -> list[str]:
    if text.endswith(","):
        raise BadPorts("extraneous commas in list")
    return text.split(",")


def _check_number(digits: str) -> int:
    if len(digits.lstrip("0")) > 5 or int(digits) > _HIGHEST:
        raise BadPorts(f"invalid port '{digits}'")
    return int(digits)


def _check_range(first: str, last: str) -> None:
    if _check_number(first) > _check_number(last):
        raise BadPorts(f"backwards range '{first}:{last}' not allowed, did you mean '{last}:{first}'?")


@lru_cache(maxsize=8192)
def iptables_ports(text: str, protocol: int, *, several: bool) -> tuple[PortRange, ...] | str:
    """The ports that iptables takes from `--dport TEXT` or, if `several`, `--dports TEXT`; or what it says instead."""
    if protocol == UDPLITE and not several:
        return 'unknown option "--dport"'
    items = text.split(",")
    if several and sum(2 if ":" in item else 1 for item in items) > MAX_NUMBERS:
        return "too many ports specified"
    ranges: list[PortRange] = []
    for item in items:
        first, colon, last = item.partition(":")
        low = _port(first, protocol, several=several)
        high = _port(last, protocol, several=several) if colon else low
        if low is None or high is None:
            return f"invalid port/service `{first if low is None else last}' specified"
        if low > high:
            return "invalid portrange (min > max)"
        ranges.append(PortRange(low, high))
    return tuple(ranges)


def _port(text: str, protocol: int, *, several: bool) -> int | None:
    name = PORTS_OF[protocol]
    if not several and name in ("udp", "dccp"):
        return int(text) if _NUMBER.fullmatch(text) else any_service_port(text)
    number = c_number(text, _HIGHEST)
    return number if number is not None else service_port(text, name)
