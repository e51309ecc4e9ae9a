"""Where packets come from and go to on a host of the spec, for questions such as: may dev reach the host on port 22?

    Zones.of(claims).packet(asked) -> (source interface, destination interface, fields of the packet)

A zone is `host`, `outside` (somebody beyond the default route), an interface (a neighbour there), a guest by its name,
or an address. An address is looked up as the kernel would.
"""

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from service.errors import InputError
from service.kinds.claims import AddressClaim, Claim, DefaultRoute, Masquerades, Named, Reservation, Serves

Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface
_SOMEBODY = {4: "192.0.2.1", 6: "2001:db8::1"}
"""Addresses that nobody has (RFC 5737, RFC 3849)."""


@dataclass(frozen=True, slots=True)
class End:
    """One end of a packet's way: the interface ("": the host) and the address ("": whichever the host has there).

    `mac` and `port` are a guest's, "" where they are not known.
    """

    interface: str
    address: str
    mac: str = ""
    port: str = ""


@dataclass(frozen=True, slots=True)
class Zones:
    """The networks and guests of one host."""

    names: tuple[str, ...]
    networks: tuple[tuple[str, Interface], ...]
    routes: Mapping[int, str]
    guests: Mapping[str, Reservation]
    served: tuple[str, ...]
    leaving: tuple[Masquerades, ...]

    @classmethod
    def of(cls, claims: Sequence[Claim]) -> "Zones":
        """From what the sections of a host say."""
        return cls(
            tuple(c.interface for c in claims if isinstance(c, Named)),
            tuple((c.interface, c.own) for c in claims if isinstance(c, AddressClaim)),
            {c.family: c.interface for c in claims if isinstance(c, DefaultRoute)},
            {c.name: c for c in claims if isinstance(c, Reservation)},
            tuple(c.interface for c in claims if isinstance(c, Serves) and c.protocol == "dhcp"),
            tuple(c for c in claims if isinstance(c, Masquerades)),
        )

    def packet(self, asked: Mapping[str, str]) -> tuple[str, str, dict[str, str]]:
        """The interfaces and all fields of the packet. Raises InputError for a zone that is not there."""
        for key in ("from", "to", "proto"):
            if key not in asked:
                raise InputError(f"the packet has no {key}", hint="give --from, --to and --proto")
        given = asked.get("source", "") or asked.get("dest", "")
        version = 6 if ":" in asked["from"] + asked["to"] + given else 4
        source, dest = self.end(asked["from"], version), self.end(asked["to"], version)
        fields = {
            "mac": source.mac,
            "port": source.port,
            "dest_mac": dest.mac,
            "source": source.address or self.own(dest.interface, version),
            "dest": dest.address or self.own(source.interface, version),
            **{key: value for key, value in asked.items() if key not in ("from", "to")},
            "from": source.interface or "host",
            "to": dest.interface or "host",
        }
        return source.interface, dest.interface, fields

    def end(self, zone: str, version: int) -> End:
        """A zone's interface and address."""
        if zone == "host":
            return End("", "")
        if zone == "outside":
            return End(self.uplink(version), _SOMEBODY[version])
        if zone in self.guests:
            return self.guest(self.guests[zone], version)
        if zone in self.names:
            return End(zone, self.neighbour(zone, version))
        try:
            address = ipaddress.ip_address(zone)
        except ValueError:
            known = ", ".join(["host", "outside", *self.names, *self.guests])
            raise InputError(f"there is no zone {zone[:60]}", hint=f"{known}, or an address") from None
        return self.holder(address)

    def holder(self, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> End:
        """Who has an address: the host, somebody in one of its networks, or somebody beyond the default route."""
        if any(own.ip == address for _, own in self.networks):
            return End("", str(address))
        guest = next((g for g in self.guests.values() if str(address) in (g.address, g.address6)), None)
        known = (guest.mac, guest.port) if guest else ("", "")
        near = [(own.network.prefixlen, name) for name, own in self.networks if address in own.network]
        return End(max(near)[1] if near else self.uplink(address.version), str(address), *known)

    def guest(self, guest: Reservation, version: int) -> End:
        """A guest by its address; one without is anywhere in the network in which addresses are given out."""
        fixed = guest.address if version == 4 else guest.address6
        if fixed:
            return self.holder(ipaddress.ip_address(fixed))
        for name in self.served or self.names:
            if any(found == name and own.version == version for found, own in self.networks):
                return End(name, self.neighbour(name, version), guest.mac, guest.port)
        raise InputError(f"no network of IPv{version} leads to {guest.name}", hint="give --source or --dest")

    def neighbour(self, interface: str, version: int) -> str:
        """An address next to the host's own on an interface."""
        for name, own in self.networks:
            if name == interface and own.version == version:
                return str(next((a for a in _middle(own) if a != own.ip), own.ip))
        return _SOMEBODY[version]

    def own(self, interface: str, version: int) -> str:
        """The host's address as somebody on that interface knows it."""
        for wanted in (interface, self.routes.get(version, "")):
            for name, address in self.networks:
                if name == wanted and address.version == version:
                    return str(address.ip)
        found = [str(address.ip) for _, address in self.networks if address.version == version]
        return found[0] if found else _SOMEBODY[version]

    def uplink(self, version: int) -> str:
        """The interface of the default route."""
        if version not in self.routes:
            raise InputError(f"the host has no default route of IPv{version}", hint="name an interface")
        return self.routes[version]

    def leaves_as(self, source: str, dest_interface: str) -> str:
        """The address under which a packet leaves, "" where it keeps its own."""
        for entry in self.leaving:
            if entry.out == dest_interface and ipaddress.ip_address(source) in ipaddress.ip_network(entry.source):
                return self.own(entry.out, 4)
        return ""


def _middle(own: Interface) -> Iterator[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    size = own.network.num_addresses
    for place in (size // 2, size // 2 + 1, 0):
        if place < size:
            yield own.network.network_address + place
