"""Ports of the host that lead to a guest: who gets where, and the nft table that brings them there.

    forwards_table(published, closed) -> Table      `inet passerelle_forwards`
    destination(published, …) -> Published | None   which of them takes a packet

A packet is sent on by the address that it was sent to, wherever it comes from: from outside, from a guest, from the
host itself (chain output). Each `Published` is of one family. Clients from outside keep their address. A guest in the
same network would get the answer directly from its neighbour, with an address to which it sent nothing. So such packets
leave under the host's address. Where no firewall closes the guests' networks to neighbours of the uplink, the table
does.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from service.firewall.host import Closed
from service.firewall.nft import parts as nft
from service.firewall.nft.table import NftChain, NftLine, Table, closed_chains
from service.firewall.terms.addresses import merged
from service.firewall.terms.model import Family, Where
from service.firewall.terms.names import PORTS_OF
from service.model.states import Json

NAME = "inet passerelle_forwards"
PUBLISHED = "published"
_DSTNAT, _OUTPUT, _SRCNAT = (-100, "dstnat"), (-100, "-100"), (100, "srcnat")

NUMBERS = {name: number for number, name in PORTS_OF.items()}


@dataclass(frozen=True, slots=True)
class Published:
    """Ports of the host's `addresses` on `interface` that lead to `target`, called `name`; all of one family.

    `ports` are closed ranges; `to_port` 0 keeps the port. `sources` () = anybody. `network` is the target's. `section`
    of the spec asks for it, at `where`. `addresses` () = those of IPv4 that a DHCP server gives: every address of the
    host that is in none of the networks `others`.
    """

    interface: str
    addresses: tuple[str, ...]
    proto: str
    ports: tuple[tuple[int, int], ...]
    target: str
    name: str
    network: str
    to_port: int = 0
    sources: tuple[str, ...] = ()
    where: Where | None = None
    section: str = "forwards"
    others: tuple[str, ...] = ()

    @property
    def family(self) -> Family:
        """That of all its addresses."""
        return 6 if ":" in self.target else 4

    def takes(self, family: Family, proto: int, source: int, dest: int, dport: int) -> bool:
        """Whether a packet with these numbers is sent on."""
        return (
            family == self.family
            and proto == NUMBERS[self.proto]
            and self._is_at(dest)
            and any(first <= dport <= last for first, last in self.ports)
            and (not self.sources or any(_holds(network, source) for network in self.sources))
        )

    def _is_at(self, dest: int) -> bool:
        """Whether an address of the host is one of those that are published."""
        if self.addresses:
            return any(dest == int(ip_address(address)) for address in self.addresses)
        return not any(_holds(network, dest) for network in self.others)

    @property
    def at(self) -> str:
        """The addresses for people."""
        return ", ".join(self.addresses) or f"the address of {self.interface}"

    @property
    def goal(self) -> str:
        """Where it leads: `10.10.10.20`, or with another port `10.10.10.20:8080`, `[fd00::20]:8080`."""
        return f"{with_port(self.target)}:{self.to_port}" if self.to_port else self.target

    @property
    def inner_ports(self) -> tuple[tuple[int, int], ...]:
        """The ports of the target."""
        return ((self.to_port, self.to_port),) if self.to_port else self.ports

    def label(self) -> str:
        """`tcp/80,443 on enp1s0 to 10.10.10.20`."""
        to = self.name if self.name == self.target else f"{self.name} ({self.target})"
        port = f" port {self.to_port}" if self.to_port else ""
        return f"{self.proto}/{shown_ports(self.ports)} on {self.interface} to {to}{port}"


def shown_ports(ports: Sequence[tuple[int, int]]) -> str:
    """`80,443,8000:8010`, as in a rule."""
    return ",".join(str(first) if first == last else f"{first}:{last}" for first, last in ports)


def with_port(address: str) -> str:
    """An address as it is written before a port: that of IPv6 in brackets (RFC 3986)."""
    return f"[{address}]" if ":" in address else address


def destination(
    published: Sequence[Published], family: Family, proto: int, source: int, dest: int, dport: int
) -> Published | None:
    """Which forward takes a packet: the first that fits."""
    return next((one for one in published if one.takes(family, proto, source, dest, dport)), None)


def _holds(network: str, address: int) -> bool:
    net = ip_network(network)
    return int(net.network_address) <= address <= int(net.broadcast_address)


def forwards_table(published: Sequence[Published], closed: Sequence[Closed]) -> Table:
    """The whole table."""
    return Table(tuple(_chains(published, closed)), NAME)


def _chains(published: Sequence[Published], closed: Sequence[Closed]) -> Iterator[NftChain]:
    yield from closed_chains(closed, "neighbours")
    yield NftChain(PUBLISHED, tuple(_line(one) for one in published))
    there = (NftLine((nft.jump(PUBLISHED),), "what is published"),)
    yield NftChain("prerouting", there, "prerouting", _DSTNAT, type="nat")
    yield NftChain("output", there, "output", _OUTPUT, type="nat")
    yield NftChain("postrouting", tuple(_hairpins(published)), "postrouting", _SRCNAT, type="nat")


def _line(one: Published) -> NftLine:
    sources = (_within("saddr", one.sources),) if one.sources else ()
    ports = nft.ports(NUMBERS[one.proto], "dport", merged(one.ports))
    return NftLine((*sources, *_published_at(one), ports, _dnat(one.target, one.to_port)), one.label())


def _published_at(one: Published) -> tuple[nft.Part, ...]:
    """The match of the addresses. Those of DHCP are known to the kernel alone: its own that are nobody else's."""
    if one.addresses:
        return (_within("daddr", one.addresses),)
    return (_OWN, _within("daddr", one.others, other=True))


def _hairpins(published: Sequence[Published]) -> Iterator[NftLine]:
    for network in sorted({one.network for one in published}, key=_order):
        targets = sorted({one.target for one in published if one.network == network}, key=_order)
        parts = (_within("saddr", (network,)), _within("daddr", targets), _WAS_SENT_ON, _MASQUERADE)
        yield NftLine(parts, f"guests of {network} reach what is published there under the host's address")


_WAS_SENT_ON: nft.Part = (
    "ct status dnat",
    {"match": {"op": "in", "left": {"ct": {"key": "status"}}, "right": "dnat"}},
)
_OWN: nft.Part = (
    "fib daddr type local",
    {"match": {"op": "==", "left": {"fib": {"result": "type", "flags": ["daddr"]}}, "right": "local"}},
)
_MASQUERADE: nft.Part = ("masquerade", {"masquerade": None})


def _dnat(target: str, port: int) -> nft.Part:
    address = ip_address(target)
    family = "ip6" if address.version == 6 else "ip"
    body: dict[str, Json] = {"family": family, "addr": str(address)}
    if port:
        body["port"] = int(port)
    to = f"{with_port(str(address))}:{int(port)}" if port else str(address)
    return f"dnat {family} to {to}", {"dnat": body}


def _order(network: str) -> tuple[int, int, int]:
    """By family, then by address."""
    net = ip_network(network)
    return net.version, int(net.network_address), net.prefixlen


def _within(field: str, networks: Sequence[str], *, other: bool = False) -> nft.Part:
    nets = [ip_network(network) for network in networks]
    family: Family = 6 if nets[0].version == 6 else 4
    ranges = merged((int(n.network_address), int(n.broadcast_address)) for n in nets)
    return nft.addresses(family, field, ranges, other=other)
