"""DHCP options that may be sent: number, dnsmasq's name (`dnsmasq --help dhcp`), and what a value is (RFC 2132, 3397).

Options that dnsmasq or the protocol sets itself (lease time, message type, server identifier…) are not in the list.
"""

import re
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from service.formats.dnsmasq_servers import MAX_DOMAIN
from service.formats.dnsmasq_values import MAX_OPTION_BYTES, option_bytes, takes
from service.model.trees import quoted
from service.spec import patterns
from service.spec.grammar import DOMAIN_PATTERN, is_domain, wrong
from service.spec.patterns import whole

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

_BOUNDS: dict[Sort, tuple[int, int]] = {
    "flag": (0, 1),
    "uint8": (0, 255),
    "uint16": (0, 65535),
    "uint32": (0, 2**32 - 1),
    "int32": (-(2**31), 2**31 - 1),
}
_TEXT = r"[A-Za-z0-9._:/@+~-]{1,200}"
_PATTERNS: dict[Sort, str] = {
    "addresses": patterns.ANY_IPV4,
    "domains": DOMAIN_PATTERN,
    "text": f"(?![0-9]+(?:[.][0-9]+){{3}}$){_TEXT}|{patterns.ANY_IPV4}",
    "flag": "[01]",
    "uint8": patterns.number(0, 255),
    "uint16": patterns.number(0, 65535),
    "uint32": patterns.number(0, 2**32 - 1),
    "int32": f"{patterns.number(0, 2**31 - 1)}|-{patterns.number(1, 2**31)}",
}
_RIGHT: dict[Sort, tuple[str, str]] = {
    "addresses": ("is not an IPv4 address", "write an address such as 10.10.10.1"),
    "domains": ("is not a domain name", "write a name such as example.lan"),
    "text": ("cannot be sent in a DHCP option", "write letters, digits and . _ : / @ + ~ -, at most 200"),
}
_WORDS = "addresses, domain names, one number or one text"
_SEVERAL = ("addresses", "domains")
MAX_VALUES = 32


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
    if not re.fullmatch(_TEXT, value):
        what, right = _RIGHT["text"]
        wrong(f"{quoted(value)} {what}", right)
    return value


def misfit(key: str, values: tuple[str, ...]) -> tuple[str, str] | None:
    """How values do not fit the option that they are for, and what would be right; None if they do."""
    number = number_of(key)
    name, sort = OPTIONS[number]
    label = f"option {number} ({name})"
    if not values:
        return f"{label} has no value", f"write a value, or remove `{key}`"
    if len(values) > 1 and sort not in _SEVERAL:
        return f"{label} has {len(values)} values", "write one value"
    for value in values:
        if not re.fullmatch(_PATTERNS[sort], value) or (sort == "domains" and not is_domain(value)):
            low, high = _BOUNDS.get(sort, (0, 0))
            what, right = _RIGHT.get(sort, ("is out of range", f"write a whole number from {low} to {high}"))
            return f"{label}: {quoted(value)} {what}", right
    if option_bytes(values) > MAX_OPTION_BYTES:
        return f"{label} has more than the {MAX_OPTION_BYTES} bytes of a DHCP option", "write fewer or shorter values"
    if not takes("dhcp-option", ",".join((str(number), *values))):
        return f"{label}: {quoted(','.join(values))} cannot be written into dnsmasq's file", "write another value"
    return None


def _schema() -> dict[str, Any]:
    """One pattern of keys for each sort of option, so that an editor knows the values, too."""
    by_sort: dict[Sort, list[str]] = {}
    for number, (name, sort) in OPTIONS.items():
        by_sort.setdefault(sort, []).append(f"{number}|{name.replace('+', '[+]').replace('-', '[_-]')}")
    return {
        "type": "object",
        "patternProperties": {f"^(?:{'|'.join(keys)})$": _value_schema(sort) for sort, keys in by_sort.items()},
        "additionalProperties": False,
        "$comment": "names: 1 to 254, or a name of dnsmasq",
    }


def _value_schema(sort: Sort) -> dict[str, Any]:
    low, high = _BOUNDS.get(sort, (0, 0))
    written: dict[str, Any] = {"type": "string", **whole(_PATTERNS[sort], _WORDS)}
    counted: dict[str, Any] = {"type": "integer", "$comment": _WORDS}
    if sort in _BOUNDS:
        counted |= {"minimum": low, "maximum": high}
    elif sort == "domains":
        written, counted = {**written, "maxLength": MAX_DOMAIN}, {**counted, "minimum": 0}
    item: list[dict[str, Any]] = [written] if sort == "addresses" else [written, counted]
    most = MAX_VALUES if sort in _SEVERAL else 1
    return {"anyOf": [*item, {"type": "array", "items": {"anyOf": item}, "minItems": 1, "maxItems": most}]}


OptionKey = Annotated[str, AfterValidator(check_option)]
OptionValues = Annotated[
    tuple[Annotated[str, AfterValidator(check_text)], ...],
    Field(max_length=MAX_VALUES),
    BeforeValidator(as_texts),
]
Options = Annotated[dict[OptionKey, OptionValues], WithJsonSchema(_schema())]
