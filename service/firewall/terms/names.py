"""Names of protocols, services and Ethernet types as Debian 12 has them (/etc/protocols, /etc/services, /etc/ethertypes
of netbase 6.4), because rules may use them and Proxmox resolves them on the host.

Proxmox knows a service only by the first name of its line, a protocol by name or number, with regard to case.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

ICMP = 1
TCP = 6
UDP = 17
DCCP = 33
ICMPV6 = 58
SCTP = 132
UDPLITE = 136

_WITH_PORTS = {"tcp": TCP, "udp": UDP, "dccp": DCCP, "sctp": SCTP, "udplite": UDPLITE}
PORTS_OF = {TCP: "tcp", UDP: "udp", DCCP: "dccp", SCTP: "sctp", UDPLITE: "udplite"}


@dataclass(frozen=True, slots=True)
class Names:
    """`protocols`: name → number; `services`: name → {protocol: port}; `ethertypes`: what layer2_protocols may list."""

    protocols: Mapping[str, int]
    services: Mapping[str, Mapping[str, int]]
    ethertypes: frozenset[str]


@cache
def names() -> Names:
    """The tables."""
    table = json.loads(files(__package__).joinpath("names.json").read_text("utf-8"))
    return Names({**table["protocols"], "icmpv6": ICMPV6}, table["services"], frozenset(table["ethertypes"]))


@cache
def _numbers() -> frozenset[str]:
    return frozenset(str(number) for number in names().protocols.values())


def is_protocol(spelled: str) -> bool:
    """Whether Proxmox takes this for a protocol: a known name, or the number of a known name."""
    return spelled in names().protocols or spelled in _numbers()


def protocol_number(spelled: str) -> int | None:
    """The number of a protocol given by name or number (0..255), None if there is no such protocol."""
    known = names().protocols.get(spelled)
    if known is not None:
        return known
    if spelled.isascii() and spelled.isdigit() and len(spelled) <= 3 and int(spelled) <= 255:
        return int(spelled)
    return None


def has_ports(spelled: str) -> bool:
    """Whether a rule with this protocol (name or number) may name ports."""
    return spelled in _WITH_PORTS or any(spelled == str(number) for number in PORTS_OF)


def is_service(name: str) -> bool:
    """Whether Proxmox takes this for the name of a port."""
    return name in names().services


def service_port(name: str, protocol: str) -> int | None:
    """The port of a service of one protocol."""
    return names().services.get(name, {}).get(protocol)


def any_service_port(name: str) -> int | None:
    """The port of a service of whatever protocol has it first."""
    ports = names().services.get(name, {})
    return next((ports[protocol] for protocol in ("tcp", "udp", "dccp", "sctp") if protocol in ports), None)
