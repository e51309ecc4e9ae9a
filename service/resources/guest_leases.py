"""Guests that hold a lease of another address than the one that is kept for them, or whose address another guest has.

dnsmasq gives a name to an existing lease at once, but not where its line also has another address (2.90 and 2.91,
`lease_update_from_configs`). Such a guest would have no name until it renews. So the name goes onto the lease while
dnsmasq starts again, and the plan says until when the guest keeps its address.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from service.model.observed import HostObserved, Lease
from service.model.states import Seen
from service.resources.guest_configs import GuestRow

Published = tuple[str, str]
"""(guest's name or address, what leads to it, as in `tcp/80 on enp1s0`)"""


@dataclass(frozen=True, slots=True)
class Moving:
    """A guest and the address that it gets, which its lease does not have. `holder` is the lease of another guest that
    has the address. dnsmasq gives it to nobody else, and the holder loses it at its next renewal (2.90 and 2.91,
    rfc2131.c).
    """

    name: str
    mac: str
    address: str
    lease: Lease | None
    holder: Lease | None = None

    def sentence(self, published: Iterable[Published]) -> str:
        """For a plan: until when, and what does not reach the guest before."""
        labels = dict.fromkeys(label for to, label in published if to in (self.name, self.address))
        reached = "nobody" if self.holder is None else _known_as(self.holder)
        lost = f". Until then {' and '.join(labels)} reaches {reached}" if labels else ""
        keeps = f"{self.name} keeps {self.lease.address}" if self.lease else f"{self.name} gets another address"
        if self.holder is not None:
            return (
                f"{_known_as(self.holder)} has {self.address} until {_until(self.holder)}. Before that {keeps}, and "
                f"has {self.address} when it asks for an address after that{lost}"
            )
        return f"{keeps} until {_until(self.lease)}, and has {self.address} then{lost}"


def _until(lease: Lease | None) -> str:
    """How long a guest keeps an address that is meant for another one, or that is not its own any more."""
    if lease is None or not lease.expires:
        return "it asks for an address again, for its lease does not end"
    return f"it renews its lease, at {datetime.fromtimestamp(lease.expires, UTC):%Y-%m-%d %H:%M} UTC at the latest"


def _known_as(lease: Lease) -> str:
    return f"{lease.name} ({lease.mac})" if lease.name else lease.mac


def active_leases(observed: HostObserved) -> tuple[Lease, ...]:
    """IPv4 leases of known devices that had not run out when they were seen; none where they could not be read."""
    if not isinstance(observed.leases, Seen):
        return ()
    now = observed.observed_at.timestamp()
    return tuple(
        one for one in observed.leases.value if one.mac and ":" not in one.address and not 0 < one.expires <= now
    )


def moving(rows: Iterable[GuestRow], leases: Sequence[Lease]) -> Iterator[Moving]:
    """The guests among `rows` whose lease has another address than theirs, or whose address another guest has."""
    by_mac = {lease.mac: lease for lease in leases}
    by_address = {lease.address: lease for lease in leases}
    for name, mac, address in rows:
        lease, holder = by_mac.get(mac.lower()), by_address.get(address)
        if address and (lease or holder) and lease is not holder:
            yield Moving(name, mac.lower(), address, lease, holder)


def to_name(guests: Iterable[Moving], leases: Sequence[Lease]) -> tuple[list[str], list[str]]:
    """(names that leases get, names that strangers' leases lose for it), each `MAC NAME`."""
    named = {one.name: one.mac for one in guests if one.lease is not None and not one.lease.name}
    held = [lease for lease in leases if named.get(lease.name.split(".")[0].lower(), lease.mac) != lease.mac]
    return sorted(f"{mac} {name}" for name, mac in named.items()), [f"{one.mac} {one.name}" for one in held]
