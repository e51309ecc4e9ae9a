"""The grammars of values: text types that check by whole match and give the canonical form.

Used by the models of the host's head and of the kinds' sections. Every check names the fix. Nothing here
accepts a blank, a quote, `%` or a control character, so no value can end the line or the word it is rendered into.
"""

import ipaddress
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Annotated, Any, NoReturn

from pydantic import AfterValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from service.model.trees import quoted
from service.spec import patterns
from service.spec.patterns import number, whole

SEEN = 4096
"""So many good values of a grammar are remembered: the hosts of a fleet use the same private addresses."""
MAX_DOMAIN = 253
MAX_INTERFACE_NAME = 15
"""IFNAMSIZ of the Linux kernel is 16 with the final NUL."""

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME = re.compile(_LABEL)
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_IPV4_LIKE = re.compile(r"[0-9]+(?:\.[0-9]+){3}")
_BRIDGE = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_VLAN_ID = patterns.number(1, 4094)
_INTERFACE = re.compile(rf"{_BRIDGE.pattern}(?:\.{_VLAN_ID})?")
"""A VLAN's name is that of the interface below it, a dot, and a number from 1 to 4094 (IEEE 802.1Q)."""
_DIGITS = re.compile(r"[0-9]+")
_NO_INTERFACE = ("all", "default", "none", "lo")
_PREFIXED = re.compile(r"([0-9A-Fa-f:.]+)/([0-9]{1,3})")
_ADDRESS = re.compile(r"[0-9A-Fa-f:.]+")
_MAC = re.compile(r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}")
_DURATION = re.compile(r"([1-9][0-9]{0,5})(s|m|h)")
_SECONDS = {"s": 1, "m": 60, "h": 3600}

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def wrong(what: str, right: str) -> NoReturn:
    """Reject a value: what is wrong with it, and the fix as an order."""
    raise PydanticCustomError("grammar", "{what}. Fix: {right}", {"what": what, "right": right})


def text(check: Callable[[str], str], schema: dict[str, Any], words: str = "") -> Any:
    """The annotations of a text type: a check that returns the canonical form, and its JSON Schema. `words` say what is
    allowed, for people: in place of the pattern they are in the reference of all keys."""
    described = {"type": "string", **schema, **({"$comment": words} if words else {})}
    return (AfterValidator(check), WithJsonSchema(described))


def one_or_many(value: object) -> object:
    """A lone text stands for a list of one."""
    return (value,) if isinstance(value, str) else value


def check_name(value: str) -> str:
    """A host's or guest's name: one DNS label in lower case (RFC 1123), without RFC 5891's reserved `xn--` form."""
    if not _NAME.fullmatch(value):
        fix = value.lower().replace("_", "-")
        suggestion = f"write {fix}" if _NAME.fullmatch(fix) else "write a-z, 0-9 and inner hyphens, at most 63"
        wrong(f"{quoted(value)} is not a host name", suggestion)
    if value[2:4] == "--" or value == "localhost":
        wrong(f"{quoted(value)} is a reserved name", "choose another")
    return value


def check_domain(value: str) -> str:
    """A domain: labels with dots, lower case, at most 253 characters."""
    if not is_domain(value):
        fix = value.lower().strip(".")
        wrong(
            f"{quoted(value)} is not a domain name",
            f"write {fix}" if _DOMAIN.fullmatch(fix) else "write lower-case labels with dots, such as example.lan",
        )
    return value


def is_domain(value: str) -> bool:
    """Whether it is a domain as `check_domain` takes it."""
    return len(value) <= MAX_DOMAIN and _DOMAIN.fullmatch(value) is not None and not _IPV4_LIKE.fullmatch(value)


def check_interface(value: str) -> str:
    """A network interface's name, as the kernel and /etc/network/interfaces both take it; no alias notation."""
    if len(value) > MAX_INTERFACE_NAME:
        wrong(
            f"{quoted(value)} has {len(value)} characters",
            f"shorten it to {MAX_INTERFACE_NAME} characters, the kernel's limit",
        )
    if not _INTERFACE.fullmatch(value):
        _wrong_vlan(value)
        wrong(
            f"{quoted(value)} is not an interface name",
            "write a letter, then letters, digits, - or _, such as enp1s0, or a VLAN from 1 to 4094, such as enp1s0.30",
        )
    if value in _NO_INTERFACE:
        wrong(f"{quoted(value)} is reserved", "name a physical interface or a bridge")
    return value


def _wrong_vlan(value: str) -> None:
    """Reject a name that the kernel takes and that is meant as a VLAN; other names pass."""
    base, *numbers = value.split(".")
    if not _BRIDGE.fullmatch(base) or not numbers or not all(map(_DIGITS.fullmatch, numbers)):
        return
    if len(numbers) > 1:
        wrong(
            f"{quoted(value)} is a VLAN inside a VLAN, which passerelle does not manage",
            "leave it and the bridges on it out of the spec; the host keeps them",
        )
    wrong(f"{quoted(value)} has no VLAN number from 1 to 4094", f"write the number after the dot, such as {base}.30")


def check_bridge(value: str) -> str:
    """The name of a bridge. With a dot the boot would take it for a VLAN."""
    if "." in value and _INTERFACE.fullmatch(value):
        wrong(
            f"{quoted(value)} is the name of a VLAN",
            f"name the bridge without a dot, such as {value.replace('.', '')}, or write the VLAN under `interfaces`",
        )
    return check_interface(value)


@lru_cache(SEEN)
def check_interface_address(value: str) -> str:
    """An own address with its prefix length, as in 10.10.10.1/24: usable by a host, canonical form."""
    match = _PREFIXED.fullmatch(value)
    if not match:
        wrong(f"{quoted(value)} is not an address with a prefix length", "write an address such as 192.0.2.10/24")
    try:
        address = ipaddress.ip_interface(value)
    except ValueError:
        wrong(f"{quoted(value)} is not a valid address", "write an address such as 192.0.2.10/24")
    _refuse_unusable(address.ip, value)
    network = address.network
    if network.num_addresses > 2 and address.ip == network.network_address:
        wrong(
            f"{quoted(value)} is the address of the network itself",
            f"write the address of a host in it, such as {_first(network)}",
        )
    if address.version == 4 and network.num_addresses > 2 and address.ip == network.broadcast_address:
        wrong(
            f"{quoted(value)} is the broadcast address of {network}",
            f"write the address of a host in it, such as {_first(network)}",
        )
    return str(address)


@lru_cache(SEEN)
def check_network4(value: str) -> str:
    """An IPv4 network with host bits zero, as in 10.10.10.0/24."""
    match = _PREFIXED.fullmatch(value)
    if not match or ":" in value:
        wrong(f"{quoted(value)} is not an IPv4 network", "write a network such as 10.10.10.0/24")
    try:
        network = ipaddress.IPv4Network(value, strict=False)
    except ValueError:
        wrong(f"{quoted(value)} is not an IPv4 network", "write a network such as 10.10.10.0/24")
    if str(network) != value:
        wrong(f"{quoted(value)} has host bits set", f"write {network}")
    if network.prefixlen == 0:
        wrong(f"{quoted(value)} means every address", "name the network behind this host")
    return value


@lru_cache(SEEN)
def check_network6(value: str) -> str:
    """An IPv6 network in CIDR form, in its shortest spelling."""
    right = "write a network such as fd00:10::/64"
    try:
        network = ipaddress.IPv6Network(value if "/" in value and "%" not in value else "", strict=False)
    except ValueError:
        wrong(f"{quoted(value)} is not an IPv6 network", right)
    if not value.rpartition("/")[2].isdecimal() or network.prefixlen == 0:
        wrong(f"{quoted(value)} is not one network", right)
    if ipaddress.IPv6Address(value.partition("/")[0]) != network.network_address:
        wrong(f"{quoted(value)} has host bits set", f"write {network}")
    return str(network)


def check_network(value: str) -> str:
    """A network of IPv4 or IPv6."""
    return check_network6(value) if ":" in value else check_network4(value)


@lru_cache(SEEN)
def check_address(value: str) -> str:
    """An IPv4 or IPv6 address without zone, usable by a host; canonical form."""
    if not _ADDRESS.fullmatch(value):
        wrong(f"{quoted(value)} is not an address", "write an address such as 192.0.2.1 or 2001:db8::1")
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        wrong(f"{quoted(value)} is not an address", "write an address such as 192.0.2.1 or 2001:db8::1")
    _refuse_unusable(address, value)
    return str(address)


def check_own_address(value: str) -> str:
    """An address that may be this machine's own, 127.0.0.1 and ::1 among them; canonical form."""
    if _ADDRESS.fullmatch(value):
        try:
            if (address := ipaddress.ip_address(value)).is_loopback:
                return str(address)
        except ValueError:
            pass
    return check_address(value)


def check_address4(value: str) -> str:
    """An IPv4 address."""
    address = check_address(value)
    if ":" in address:
        wrong(f"{quoted(value)} is IPv6", "write an IPv4 address such as 192.0.2.1")
    return address


def check_address6(value: str) -> str:
    """An IPv6 address without zone."""
    address = check_address(value)
    if ":" not in address:
        wrong(f"{quoted(value)} is IPv4", "write an IPv6 address such as 2001:db8::1")
    return address


def check_mac(value: str) -> str:
    """A unicast MAC address; canonical form is lower case with colons, as the kernel and the lease file write it."""
    mac = value.lower()
    if not _MAC.fullmatch(value):
        fix = mac.replace("-", ":")
        right = f"write {fix}" if _MAC.fullmatch(fix) else "write an address such as bc:24:11:00:00:01"
        wrong(f"{quoted(value)} is not a MAC address", right)
    if int(mac[:2], 16) & 1:
        wrong(f"{quoted(value)} is a multicast address", "write the guest's own MAC address")
    if mac == "00:00:00:00:00:00":
        wrong(f"{quoted(value)} is not the address of a device", "write the guest's own MAC address")
    return mac


def duration_s(value: str) -> int:
    """Seconds of `120s`, `2m` or `1h`; only after `check_duration`."""
    match = _DURATION.fullmatch(value)
    if match is None:
        raise ValueError(value)
    return int(match[1]) * _SECONDS[match[2]]


def check_duration(low_s: int, high_s: int) -> Callable[[str], str]:
    """A duration within bounds, given in seconds."""

    def check(value: str) -> str:
        if not _DURATION.fullmatch(value):
            wrong(f"{quoted(value)} is not a duration", "write a number with s, m or h, such as 120s")
        if not low_s <= duration_s(value) <= high_s:
            wrong(f"{quoted(value)} is out of range", f"write {shown_duration(low_s)} to {shown_duration(high_s)}")
        return value

    return check


def duration(low_s: int, high_s: int) -> Any:
    """The annotations of a duration within bounds."""
    words = f"{shown_duration(low_s)} to {shown_duration(high_s)}"
    return text(check_duration(low_s, high_s), whole(patterns.durations(low_s, high_s, _SECONDS), words))


def shown_duration(seconds: int) -> str:
    """The shortest way to write it."""
    for unit, size in (("h", 3600), ("m", 60)):
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _refuse_unusable(address: ipaddress.IPv4Address | ipaddress.IPv6Address, value: str) -> None:
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    if mapped is not None:
        wrong(f"{quoted(value)} is an IPv4 address in the form of IPv6", f"write {mapped}")
    sort = ""
    if address.is_unspecified:
        sort = "the unspecified address"
    elif address.is_multicast:
        sort = "a multicast address"
    elif address.is_loopback:
        sort = "a loopback address"
    elif str(address) == "255.255.255.255":
        sort = "the broadcast address"
    if sort:
        wrong(f"{quoted(value)} is {sort}", "write the address of one host")


def _first(network: Network) -> str:
    return f"{network.network_address + 1}/{network.prefixlen}"


NAME_PATTERN = rf"(?!..--|localhost$){_LABEL}"
DOMAIN_PATTERN = rf"(?!{_IPV4_LIKE.pattern}(?:$|/)){_DOMAIN.pattern}"
_NO_MORE = rf"(?!(?:{'|'.join(_NO_INTERFACE)})(?:$|@))(?=[^@]{{1,{MAX_INTERFACE_NAME}}}(?:$|@))"
INTERFACE_PATTERN = _NO_MORE + _INTERFACE.pattern

NAME_SCHEMA: dict[str, Any] = whole(NAME_PATTERN, "a-z, 0-9 and inner hyphens", maxLength=63)
DOMAIN_SCHEMA: dict[str, Any] = whole(DOMAIN_PATTERN, "a DNS name in lower case", maxLength=MAX_DOMAIN)
INTERFACE_SCHEMA: dict[str, Any] = whole(
    INTERFACE_PATTERN,
    "an interface name: a letter, then letters, digits, - or _; a VLAN's ends with a dot and its number",
    maxLength=MAX_INTERFACE_NAME,
)
_BRIDGE_SCHEMA: dict[str, Any] = whole(
    _NO_MORE + _BRIDGE.pattern,
    "a bridge's name: a letter, then letters, digits, - or _",
    maxLength=MAX_INTERFACE_NAME,
)
_OWN_SCHEMA = whole(
    f"{patterns.IPV4}/{patterns.PREFIX4}|{patterns.IPV6}/{patterns.PREFIX6}",
    "an IPv4 or IPv6 address with prefix length",
    examples=["10.10.10.1/24"],
)
_ONE_MAC = r"(?!00(?::00){5}$)[0-9A-Fa-f][02468ACEace](?::[0-9A-Fa-f]{2}){5}"
HostName = Annotated[str, *text(check_name, NAME_SCHEMA)]
DomainName = Annotated[str, *text(check_domain, DOMAIN_SCHEMA)]
InterfaceName = Annotated[str, *text(check_interface, INTERFACE_SCHEMA)]
BridgeName = Annotated[str, *text(check_bridge, _BRIDGE_SCHEMA)]
InterfaceAddress = Annotated[str, *text(check_interface_address, _OWN_SCHEMA)]
NETWORK_PATTERN = f"{patterns.ANY_IPV4}/{number(1, 32)}|{patterns.ANY_IPV6}/{number(1, 128)}"
Network4 = Annotated[
    str,
    *text(
        check_network4,
        whole(
            f"{patterns.ANY_IPV4}/{number(1, 32)}", "an IPv4 network such as 10.10.10.0/24", examples=["10.10.10.0/24"]
        ),
    ),
]
Address = Annotated[str, *text(check_address, whole(patterns.ADDRESS, "an IPv4 or IPv6 address"))]
Address4 = Annotated[str, *text(check_address4, whole(patterns.IPV4, "an IPv4 address", format="ipv4"))]
Address6 = Annotated[str, *text(check_address6, whole(patterns.IPV6, "an IPv6 address", format="ipv6"))]
Mac = Annotated[
    str,
    *text(
        check_mac,
        whole(_ONE_MAC, "a MAC address of one device", examples=["bc:24:11:00:00:01"]),
    ),
]
