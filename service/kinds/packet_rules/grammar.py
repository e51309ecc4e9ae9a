"""The grammars of a rule's values: Proxmox's, without the spellings that its programs read in different ways.

More is refused here than by Proxmox. Examples are numbers with a leading 0 (octal for iptables), addresses with missing
parts, port 0, and ICMP types as ports. To Proxmox, a bare 0 is an empty value.
"""

import difflib
import ipaddress
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Annotated, Any

from pydantic import BeforeValidator

from service.firewall.terms.icmp import ICMP_TYPES, ICMPV6_TYPES
from service.firewall.terms.macros import find_macro, macros
from service.firewall.terms.names import any_service_port, is_protocol, names
from service.model.trees import quoted
from service.spec.grammar import SEEN, text, wrong
from service.spec.patterns import ANY_IPV4, ANY_IPV6, CIDR4, CIDR6, PORT, whole
from service.spec.strings import MAX_STRING

RESERVED_SETS = ("management", "blacklist")
"""Sets that have a meaning of their own for Proxmox, and none elsewhere: `firewall.reserved-set` says so."""

_ACTIONS = ("accept", "drop", "reject")
MAX_LIST = MAX_STRING
MAX_GROUP_NAME = 18
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_SERVICE = re.compile(r"[a-z][a-z0-9-]{0,31}")
_NAME = r"[a-z][a-z0-9_-]+"
_REFERENCE = re.compile(rf"\+?(?:dc/)?{_NAME}")
_CIDR = re.compile(r"[0-9A-Fa-f:.]+(?:/[0-9]{1,3})?")
_ADDRESS_RIGHT = "write an address, a network, a range a-b, a list a,b, an alias or +SET"


def as_text(value: object) -> object:
    """A whole number stands for its digits."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def check_action(value: str) -> str:
    """What a rule does, or the group that it stands for."""
    if not re.fullmatch(_NAME, value) or len(value) > MAX_GROUP_NAME:
        right = (
            f"write {value.lower()}" if value.lower() in _ACTIONS else "write accept, drop, reject or a group's name"
        )
        wrong(f"{quoted(value)} is not an action", right)
    return value


def check_macro(value: str) -> str:
    """A macro in Proxmox's spelling."""
    found = find_macro(value)
    if found is None or found.name != value:
        close = [found.name] if found else difflib.get_close_matches(value, macros(), n=1, cutoff=0.5)
        wrong(
            f"{quoted(value)} is not a macro",
            f"write {close[0]}, if you mean that" if close else "write one of Proxmox's macros",
        )
    return found.name


def check_protocol(value: str) -> str:
    """A protocol of /etc/protocols by name or number."""
    if not is_protocol(value) or value in ("0", "ip", "hopopt"):
        wrong(f"{quoted(value)} is not a protocol", "write tcp, udp, icmp, icmpv6 or another name of /etc/protocols")
    return value


def check_ports(value: str) -> str:
    """Ports: numbers, ranges with a colon, names of services, with commas between them."""
    for item in value.split(","):
        ends = item.split(":")
        numbers = [int(end) for end in ends if _PORT.fullmatch(end)]
        if len(numbers) == len(ends) <= 2 and numbers == sorted(numbers) and numbers[-1] <= 65535:
            continue
        if len(ends) == 1 and _SERVICE.fullmatch(item) and any_service_port(item) is not None:
            continue
        wrong(
            f"{quoted(item)} is not a port",
            "write numbers from 1 to 65535, ranges such as 8000:8010, names such as https",
        )
    return value


def check_icmp(value: str) -> str:
    """An ICMP or ICMPv6 type by name."""
    if value not in ICMP_TYPES and value not in ICMPV6_TYPES:
        close = difflib.get_close_matches(value, [*ICMP_TYPES, *ICMPV6_TYPES], n=1, cutoff=0.5)
        wrong(
            f"{quoted(value)} is not an ICMP type",
            f"write {close[0]}, if you mean that" if close else "write a type such as echo-request",
        )
    return value


def check_source(value: str) -> str:
    """Addresses of a rule: one, a network, a range, a list of one family, an alias, a set."""
    if len(value) > MAX_LIST:
        wrong(f"the list has {len(value)} characters, more than {MAX_LIST}", "put the addresses into an IP set")
    if _REFERENCE.fullmatch(value):
        return value
    if "-" in value and "," not in value:
        first, _, last = value.partition("-")
        start, end = _address(first), _address(last)
        if start.version != end.version or int(start) > int(end):
            wrong(f"{quoted(value)} is not a range", "write the lower address first, such as 192.0.2.10-192.0.2.20")
        return f"{start}-{end}"
    networks = [check_cidr(item) for item in value.split(",")]
    if len({":" in network for network in networks}) > 1:
        wrong(f"{quoted(value)} mixes IPv4 and IPv6", "write one rule for each family")
    return ",".join(networks)


def _address(value: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address(value if _CIDR.fullmatch(value) else "")
    except ValueError:
        wrong(f"{quoted(value)} is not an address", _ADDRESS_RIGHT)


@lru_cache(SEEN)
def check_cidr(value: str) -> str:
    """An address, or a network without host bits."""
    if not _CIDR.fullmatch(value):
        wrong(f"{quoted(value)} is not an address", _ADDRESS_RIGHT)
    if "/" not in value:
        return str(_address(value))
    try:
        network = ipaddress.ip_network(value, strict=False)
    except ValueError:
        wrong(f"{quoted(value)} is not a network", "write a network such as 192.0.2.0/24")
    given = ipaddress.ip_interface(value)
    if given.ip != network.network_address:
        wrong(f"{quoted(value)} has host bits set", f"write {network}")
    return str(network)


def check_entry(value: str) -> str:
    """An entry of a set: an address, a network or an alias; `!` before it makes it an exception."""
    bare = value.removeprefix("!")
    if re.fullmatch(rf"(?:dc/)?{_NAME}", bare):
        return value
    return value[: len(value) - len(bare)] + check_cidr(bare)


def check_name(what: str, longest: int) -> Callable[[str], str]:
    """The name of a group, an alias or a set."""

    def check(value: str) -> str:
        if not re.fullmatch(_NAME, value) or len(value) > longest:
            wrong(
                f"{quoted(value)} is not a valid name of {what}",
                f"write 2 to {longest} characters of a-z, 0-9, - and _",
            )
        if what == "a set" and value.startswith("ipfilter-"):
            wrong(f"{quoted(value)} has a special meaning on Proxmox", "choose another name")
        return value

    return check


_NAME_WORDS = "a letter, then a-z, 0-9, - and _"
_PROTOCOL_WORDS = "a protocol of /etc/protocols, by name or number"
_PORT_WORDS = "ports, ranges such as 8000:8010 and names of services, with commas between them"
_SOURCE_WORDS = "addresses, networks and ranges, an alias, or + and the name of a set"
_ENTRY_WORDS = "an address, a network or an alias; with ! before it an exception"
_NUMBERS = sorted({*names().protocols.values()} - {0})
_PROTOCOLS: dict[str, Any] = {
    "type": ["string", "integer"],
    "enum": [*sorted({*names().protocols} - {"ip", "hopopt"}), *map(str, _NUMBERS), *_NUMBERS],
}
_PORT_OR_NAME = f"(?:{PORT}(?::{PORT})?|{_SERVICE.pattern})"
_PORTS: dict[str, Any] = {
    "type": ["string", "integer"],
    "minimum": 1,
    "maximum": 65535,
    **whole(f"{_PORT_OR_NAME}(?:,{_PORT_OR_NAME})*", maxLength=MAX_LIST),
}
_SOURCES = (
    rf"\+?(?:dc/)?{_NAME}|{ANY_IPV4}-{ANY_IPV4}|{ANY_IPV6}-{ANY_IPV6}"
    rf"|{CIDR4}(?:,{CIDR4})*|{CIDR6}(?:,{CIDR6})*"
)

Action = Annotated[
    str, *text(check_action, whole(_NAME, "accept, drop, reject, or the name of a group", maxLength=MAX_GROUP_NAME))
]
Macro = Annotated[str, *text(check_macro, {"enum": list(macros())})]
Protocol = Annotated[str, BeforeValidator(as_text), *text(check_protocol, _PROTOCOLS, _PROTOCOL_WORDS)]
Ports = Annotated[str, BeforeValidator(as_text), *text(check_ports, _PORTS, _PORT_WORDS)]
IcmpType = Annotated[str, *text(check_icmp, {"enum": sorted({*ICMP_TYPES, *ICMPV6_TYPES})}, "a type of ICMP or ICMPv6")]
Source = Annotated[str, *text(check_source, whole(_SOURCES, _SOURCE_WORDS, maxLength=MAX_LIST))]
Cidr = Annotated[
    str, *text(check_cidr, whole(f"{CIDR4}|{CIDR6}", "an address or a network", examples=["192.0.2.0/24"]))
]
Entry = Annotated[
    str,
    *text(
        check_entry,
        whole(f"!?(?:(?:dc/)?{_NAME}|{CIDR4}|{CIDR6})", _ENTRY_WORDS, maxLength=MAX_LIST, examples=["192.0.2.0/24"]),
    ),
]
GroupName = Annotated[
    str, *text(check_name("a group", MAX_GROUP_NAME), whole(_NAME, _NAME_WORDS, maxLength=MAX_GROUP_NAME))
]
AliasName = Annotated[str, *text(check_name("an alias", 64), whole(_NAME, _NAME_WORDS, maxLength=64))]
SetName = Annotated[str, *text(check_name("a set", 64), whole(f"(?!ipfilter-){_NAME}", _NAME_WORDS, maxLength=64))]
