"""DHCP options that may be sent: number, dnsmasq's name (`dnsmasq --help dhcp`), and what a value is (RFC 2132, 3397).

Options that dnsmasq or the protocol sets itself (lease time, message type, server identifier…) are not in the list.
"""

import re
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from service.spec.grammar import is_domain, quoted, text, wrong

Sort: TypeAlias = Literal["addresses", "domains", "text", "flag", "uint8", "uint16", "uint32", "int32"]

OPTIONS: dict[int, tuple[str, Sort]] = {
    2: ("time-offset", "int32"),
    3: ("router", "addresses"),
    6: ("dns-server", "addresses"),
    7: ("log-server", "addresses"),
    9: ("lpr-server", "addresses"),
    13: ("boot-file-size", "uint16"),
    15: ("domain-name", "domains"),
    16: ("swap-server", "addresses"),
    17: ("root-path", "text"),
    18: ("extension-path", "text"),
    19: ("ip-forward-enable", "flag"),
    20: ("non-local-source-routing", "flag"),
    21: ("policy-filter", "addresses"),
    22: ("max-datagram-reassembly", "uint16"),
    23: ("default-ttl", "uint8"),
    26: ("mtu", "uint16"),
    27: ("all-subnets-local", "flag"),
    31: ("router-discovery", "flag"),
    32: ("router-solicitation", "addresses"),
    33: ("static-route", "addresses"),
    34: ("trailer-encapsulation", "flag"),
    35: ("arp-timeout", "uint32"),
    36: ("ethernet-encap", "flag"),
    37: ("tcp-ttl", "uint8"),
    38: ("tcp-keepalive", "uint32"),
    40: ("nis-domain", "domains"),
    41: ("nis-server", "addresses"),
    42: ("ntp-server", "addresses"),
    44: ("netbios-ns", "addresses"),
    45: ("netbios-dd", "addresses"),
    46: ("netbios-nodetype", "uint8"),
    47: ("netbios-scope", "text"),
    48: ("x-windows-fs", "addresses"),
    49: ("x-windows-dm", "addresses"),
    65: ("nis+-server", "addresses"),
    66: ("tftp-server", "text"),
    67: ("bootfile-name", "text"),
    69: ("smtp-server", "addresses"),
    70: ("pop3-server", "addresses"),
    119: ("domain-search", "domains"),
    150: ("tftp-server-address", "addresses"),
    252: ("wpad", "text"),
}

NUMBERS = {name: number for number, (name, _) in OPTIONS.items()}

_NUMBER = re.compile(r"-?[0-9]{1,10}")
_BOUNDS = {
    "flag": (0, 1),
    "uint8": (0, 255),
    "uint16": (0, 65535),
    "uint32": (0, 2**32 - 1),
    "int32": (-(2**31), 2**31 - 1),
}
_ADDRESS = re.compile(r"(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])(?:\.(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])){3}")
_TEXT = re.compile(r"[A-Za-z0-9._:/@+~-]{1,200}")


def number_of(key: str) -> int:
    """The number that a key means: `3`, `router`, `dns_server` or `dns-server`; 0 if none."""
    if re.fullmatch(r"[1-9][0-9]{0,2}", key):
        return int(key)
    return NUMBERS.get(key.replace("_", "-"), 0)


def check_option(key: str) -> str:
    """A DHCP option's number or name."""
    if number_of(key) not in OPTIONS:
        wrong(
            f"{quoted(key)} is not a DHCP option that passerelle can set",
            "write its number or dnsmasq's name for it, such as 3 or router",
        )
    return key


def as_texts(value: object) -> object:
    """One value or a list of them, each as text."""
    items = value if isinstance(value, tuple) else (value,)
    if not all(isinstance(item, str | int) and not isinstance(item, bool) for item in items):
        wrong("the value is not text, a number or a list of them", "write 10.10.10.1 or [10.10.10.1, 10.10.10.2]")
    return tuple(str(item) for item in items)


def check_text(value: str) -> str:
    """What any option's value consists of."""
    if not _TEXT.fullmatch(value):
        wrong(
            f"{quoted(value)} cannot be sent in a DHCP option", "write letters, digits and . _ : / @ + ~ -, at most 200"
        )
    return value


def misfit(key: str, values: tuple[str, ...]) -> tuple[str, str] | None:
    """How values do not fit the option that they are for, and what would be right; None if they do."""
    number = number_of(key)
    name, sort = OPTIONS[number]
    label = f"option {number} ({name})"
    if not values:
        return f"{label} has no value", f"write a value, or remove `{key}`"
    if len(values) > 1 and sort not in ("addresses", "domains"):
        return f"{label} has {len(values)} values", "write one value"
    bounds = _BOUNDS.get(sort)
    for value in values:
        if sort == "addresses" and not _ADDRESS.fullmatch(value):
            return f"{label}: {quoted(value)} is not an IPv4 address", "write an address such as 10.10.10.1"
        if sort == "domains" and not is_domain(value):
            return f"{label}: {quoted(value)} is not a domain name", "write a name such as example.lan"
        if bounds and not (_NUMBER.fullmatch(value) and bounds[0] <= int(value) <= bounds[1]):
            return (
                f"{label}: {quoted(value)} is out of range",
                f"write a whole number from {bounds[0]} to {bounds[1]}",
            )
    return None


_VALUE_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": ["string", "integer"]},
        {"type": "array", "items": {"type": ["string", "integer"]}, "minItems": 1},
    ]
}

OptionKey = Annotated[
    str,
    *text(
        check_option,
        {"pattern": "^([1-9][0-9]{0,2}|[a-z][a-z0-9+_-]*)$"},
        "a number from 1 to 254, or a name of dnsmasq",
    ),
]
OptionValues = Annotated[
    tuple[Annotated[str, AfterValidator(check_text)], ...],
    Field(max_length=32),
    BeforeValidator(as_texts),
    WithJsonSchema(_VALUE_SCHEMA),
]
