"""What a plan does to guests: leases that a new range strands, names that go, guests whose MAC or address changes."""

from collections.abc import Iterator

from service.model.observed import HostObserved, Lease
from service.model.states import Seen
from service.resources.desired import Desired
from service.resources.traits import ServingGuests
from service.resources.types import TYPES


def impact(desired: Desired, observed: HostObserved) -> Iterator[str]:
    """Sentences with numbers; none where nothing changes for a guest."""
    leases = active(observed)
    for one in TYPES if leases else ():
        if issubclass(one, ServingGuests):
            yield from one.impact(desired.of_type(one), observed, leases)


def active(observed: HostObserved) -> tuple[Lease, ...]:
    """IPv4 leases that had not run out when they were seen."""
    if not isinstance(observed.leases, Seen):
        return ()
    now = observed.observed_at.timestamp()
    return tuple(one for one in observed.leases.value if one.mac and (one.expires == 0 or one.expires > now))
