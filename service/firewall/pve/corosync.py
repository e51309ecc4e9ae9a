"""Which addresses the nodes of a cluster use for corosync, from corosync.conf(5).

    parse_corosync(data) -> Corosync

Rings that are given by name are left out: without a resolver nothing is known of them.
"""

import re
from dataclasses import dataclass
from ipaddress import ip_address

MAX_BYTES = 1 << 20
_RING = re.compile(r"(?:ring|link)[0-9]+_addr")


@dataclass(frozen=True, slots=True)
class Ring:
    """One node's address on one ring (`ring0_addr` …)."""

    node: str
    key: str
    address: str
    family: int


@dataclass(frozen=True, slots=True)
class Corosync:
    """All rings, sorted by node and key; `multicast` where the transport is udp."""

    rings: tuple[Ring, ...] = ()
    multicast: bool = False

    def peers(self, host_ip: str, family: int) -> list[tuple[str, str]]:
        """(own address, peer's address) of each ring of one family; the own node has the ring address host_ip."""
        local = {ring.node for ring in self.rings if _same(ring.address, host_ip)}
        own = {ring.key: ring.address for ring in self.rings if ring.node in local and ring.family == family}
        others = (ring for ring in self.rings if ring.node not in local and ring.family == family)
        return [(own[ring.key], ring.address) for ring in others if ring.key in own]


def _same(one: str, other: str) -> bool:
    try:
        return ip_address(one) == ip_address(other)
    except ValueError:
        return False


def parse_corosync(data: bytes) -> Corosync:
    """Read a corosync.conf. Never raises; lines of other forms are passed over."""
    sections: list[tuple[str, dict[str, str]]] = []
    nodes: list[dict[str, str]] = []
    multicast = False
    for raw in data[:MAX_BYTES].decode("utf-8", "replace").split("\n"):
        line = raw.strip()
        if line.startswith("#"):
            continue
        if line.endswith("{"):
            sections.append((line[:-1].strip(), {}))
        elif line == "}" and sections:
            name, values = sections.pop()
            if name == "node" and sections and sections[-1][0] == "nodelist":
                nodes.append(values)
            elif name == "totem" and not sections:
                multicast = values.get("transport") == "udp"
        elif sections and ":" in line:
            key, _, value = line.partition(":")
            sections[-1][1][key.strip()] = value.strip()
    rings = [ring for node in nodes for ring in _rings(node)]
    return Corosync(tuple(sorted(rings, key=lambda ring: (ring.node, ring.key))), multicast)


def _rings(node: dict[str, str]) -> list[Ring]:
    name = node.get("name") or node.get("ring0_addr", "")
    rings = []
    for key, value in node.items():
        if _RING.fullmatch(key):
            try:
                rings.append(Ring(name, key, value, ip_address(value).version))
            except ValueError:
                continue
    return rings
