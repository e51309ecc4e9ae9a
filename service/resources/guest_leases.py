"""Guests that hold a lease of another address than the one that is kept for them.

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
    """A guest, the address that it gets, and the lease that it holds until it renews."""

    name: str
    mac: str
    address: str
    lease: Lease

    def sentence(self, published: Iterable[Published]) -> str:
        """For a plan: until when, and what does not reach the guest before."""
        when = "it asks for an address again, for its lease does not end"
        if self.lease.expires:
            at = datetime.fromtimestamp(self.lease.expires, UTC)
            when = f"it renews its lease, at {at:%Y-%m-%d %H:%M} UTC at the latest"
        labels = dict.fromkeys(label for to, label in published if to in (self.name, self.address))
        lost = f". Until then {' and '.join(labels)} reaches nobody" if labels else ""
        return f"{self.name} keeps {self.lease.address} until {when}, and has {self.address} then{lost}"


def active_leases(observed: HostObserved) -> tuple[Lease, ...]:
    """IPv4 leases of known devices that had not run out when they were seen; none where they could not be read."""
    if not isinstance(observed.leases, Seen):
        return ()
    now = observed.observed_at.timestamp()
    return tuple(
        one for one in observed.leases.value if one.mac and ":" not in one.address and not 0 < one.expires <= now
    )


def moving(rows: Iterable[GuestRow], leases: Sequence[Lease]) -> Iterator[Moving]:
    """The guests among `rows` whose lease has another address than theirs."""
    by_mac = {lease.mac: lease for lease in leases}
    for name, mac, address in rows:
        lease = by_mac.get(mac.lower())
        if lease is not None and address and lease.address != address:
            yield Moving(name, mac.lower(), address, lease)


def to_name(guests: Iterable[Moving], leases: Sequence[Lease]) -> tuple[list[str], list[str]]:
    """(names that leases get, names that strangers' leases lose for it), each `MAC NAME`."""
    named = {one.name: one.mac for one in guests if not one.lease.name}
    held = [lease for lease in leases if named.get(lease.name.split(".")[0].lower(), lease.mac) != lease.mac]
    return sorted(f"{mac} {name}" for name, mac in named.items()), [f"{one.mac} {one.name}" for one in held]
