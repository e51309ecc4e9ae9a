"""A packet as in the question, and as the filter sees it: the first of its flow.

    parse_packet(fields) -> Question       fields: from, to, proto, source, dest, and where they are known dport, sport,
                                           dsttype, mac, flags, dest_mac, port (of a bridge); raises InputError

Addresses are those that the filter sees: after DNAT, before SNAT. `dport` of ICMP is the type. Without `sport` an
ephemeral port is meant.

    first_packet(source, dest, proto, dport) -> Flow       the same of TCP or UDP from values, which nobody has to read
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from service.errors import InputError
from service.firewall.terms.addresses import address_number
from service.firewall.terms.icmp import icmp_type
from service.firewall.terms.model import Family
from service.firewall.terms.names import ICMP, ICMPV6, PORTS_OF, TCP, any_service_port, protocol_number
from service.firewall.trace.chains import Flow

EPHEMERAL_PORT = 45_678
"""Stands for any port that a client's system picks."""

KEYS = ("from", "to", "proto", "dport", "sport", "source", "dest", "dsttype", "mac", "flags", "dest_mac", "port")

_ZONE = re.compile(r"[A-Za-z0-9_.:-]{1,31}(?:/[A-Za-z0-9_.:-]{1,31})?")
_MAC = re.compile(r"[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){5}")
_PORT = re.compile(r"[A-Za-z0-9_.:-]{1,15}")
_FLAGS = re.compile(r"[FSRPAU]{0,6}")
_CASTS = ("", "UNICAST", "LOCAL", "BROADCAST", "MULTICAST", "ANYCAST")

# what starts a flow for the kernel's conntrack: nf_conntrack_proto_icmp.c, nf_conntrack_proto_icmpv6.c
_ICMP_STARTS = {8, 13, 15, 17}
_ICMPV6_STARTS = {128, 139}
_ICMPV6_UNTRACKED = {130, 131, 132, 133, 134, 135, 136, 143}


@dataclass(frozen=True, slots=True)
class AskedFlow:
    """Where a packet comes from and goes to (zones), and the packet."""

    source_zone: str
    dest_zone: str
    flow: Flow


def parse_packet(fields: Mapping[str, object]) -> AskedFlow:
    """A packet from its fields; other keys are passed over. Raises InputError."""
    # no flags at all is a packet of its own kind (a NULL scan); elsewhere "" says nothing
    said = {key: fields[key] for key in KEYS if fields.get(key) not in ((None,) if key == "flags" else (None, ""))}
    given = {key: _text(value, key) for key, value in said.items()}
    for key in ("from", "to", "proto", "source", "dest"):
        if key not in given:
            raise InputError(f"the packet has no {key}", hint="every packet has from, to, proto, source, dest")
    for key in ("from", "to"):
        if not _ZONE.fullmatch(given[key]):
            raise InputError(
                f"{key} is not a zone: {given[key]}", hint="host, outside, nfvm, ct100, vm200i1, vmbr1/tapX"
            )
    source, dest, family = _addresses(given)
    proto = _protocol(given["proto"])
    flow = Flow(
        family=family,
        source=source,
        dest=dest,
        proto=proto,
        sport=_port(given.get("sport"), "sport", EPHEMERAL_PORT if proto in PORTS_OF else 0),
        dport=0 if proto == _icmp_of(family) else _port(given.get("dport"), "dport", 0),
        icmp=_icmp(given.get("dport"), proto, family),
        flags=_matched(_FLAGS, given.get("flags", "S"), "flags") if proto == TCP else "",
        mac=_matched(_MAC, given["mac"], "mac").upper() if "mac" in given else "",
        dest_mac=_matched(_MAC, given["dest_mac"], "dest_mac").upper() if "dest_mac" in given else "",
        port=_matched(_PORT, given["port"], "port") if "port" in given else "",
        dsttype=_cast(given.get("dsttype", ""), dest, family),
    )
    flow.state = conn_state(flow)
    return AskedFlow(given["from"], given["to"], flow)


def first_packet(
    source: IPv4Address | IPv6Address,
    dest: IPv4Address | IPv6Address,
    proto: int,
    dport: int,
    sport: int = EPHEMERAL_PORT,
) -> Flow:
    """The first packet of a flow of TCP (6) or UDP (17) between two addresses of one family."""
    family: Family = 6 if source.version == 6 else 4
    number = int(dest)
    return Flow(
        family=family,
        source=int(source),
        dest=number,
        proto=proto,
        sport=sport,
        dport=dport,
        flags="S" if proto == TCP else "",
        dsttype=_cast("", number, family),
    )


def _text(value: object, key: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int) or len(str(value)) > 100:
        raise InputError(f"{key} is neither text nor a number")
    return str(value)


def _matched(pattern: re.Pattern[str], text: str, key: str) -> str:
    if not pattern.fullmatch(text):
        raise InputError(f"{key} has another form: {text}")
    return text


def _addresses(given: Mapping[str, str]) -> tuple[int, int, Family]:
    try:
        source, family = address_number(given["source"])
        dest, other = address_number(given["dest"])
    except ValueError as error:
        raise InputError(f"source or dest is not an address: {error}") from error
    if family != other:
        raise InputError("source and dest are of different families")
    return source, dest, family


def _protocol(text: str) -> int:
    number = protocol_number(text.lower())
    if number is None:
        raise InputError(f"there is no protocol {text}")
    return number


def _icmp_of(family: Family) -> int:
    return ICMPV6 if family == 6 else ICMP


def _port(text: str | None, key: str, missing: int) -> int:
    if text is None:
        return missing
    if text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535:
        return int(text)
    named = any_service_port(text)
    if named is None:
        raise InputError(f"{key} is not a port: {text}")
    return named


def _icmp(text: str | None, proto: int, family: Family) -> tuple[int, int] | None:
    if proto != _icmp_of(family):
        return None
    kind = icmp_type(text or "echo-request", family)
    if kind is None or kind.type is None:
        raise InputError(f"there is no ICMP type {text}")
    return kind.type, kind.code or 0


def _cast(stated: str, dest: int, family: Family) -> str:
    if stated.upper() not in _CASTS:
        raise InputError(f"dsttype is none of {', '.join(_CASTS[1:])}")
    if stated:
        return "UNICAST" if stated.upper() == "LOCAL" else stated.upper()
    if family == 4:
        return "BROADCAST" if dest == 0xFFFFFFFF else "MULTICAST" if dest >> 28 == 0xE else "UNICAST"
    return "MULTICAST" if dest >> 120 == 0xFF else "UNICAST"


def conn_state(flow: Flow) -> str:
    """NEW, INVALID or UNTRACKED: what the kernel's conntrack makes of a packet that belongs to no flow yet."""
    if flow.proto == TCP:
        # nf_conntrack_proto_tcp.c: SYN starts a flow, a lone ACK picks one up (nf_conntrack_tcp_loose)
        return "NEW" if set(flow.flags) - {"P", "U"} in ({"S"}, {"A"}) else "INVALID"
    if flow.proto == ICMP and flow.icmp:
        return "NEW" if flow.icmp[0] in _ICMP_STARTS else "INVALID"
    if flow.proto == ICMPV6 and flow.icmp:
        if flow.icmp[0] in _ICMPV6_UNTRACKED:
            return "UNTRACKED"
        return "NEW" if flow.icmp[0] in _ICMPV6_STARTS else "INVALID"
    return "NEW"
