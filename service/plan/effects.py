"""What a plan does to others, according to the resources. It opens and closes paths for packets. For guests it may
strand leases outside of a new range, remove names, and change a MAC or an address.
"""

from collections.abc import Collection, Iterator, Sequence

from service.model.ceilings import Opening
from service.model.observed import HostObserved, Lease
from service.model.plans import Passing
from service.model.states import Seen
from service.resources.desired import Desired
from service.resources.traits import DecidingPackets, ServingGuests, having
from service.resources.types import TYPES

MOST_SHOWN = 8


def passing(desired: Desired, observed: HostObserved, changed: Collection[str]) -> tuple[Passing, ...]:
    """What opens and closes; nothing where nothing changes, or where the host's tables could not be read. `changed`
    are the facts that the plan's steps set."""
    return tuple(way for one in deciding(desired, changed) for way in one.reach(observed))


def beyond(
    desired: Desired, observed: HostObserved, changed: Collection[str], may_open: Sequence[Opening] | None
) -> tuple[str, ...]:
    """What opens beyond what the operator lets a commit open; none where nothing does. `changed` as above."""
    if may_open is None:
        return ()
    found = [sentence for one in deciding(desired, changed) for sentence in one.opens_beyond(observed, may_open)]
    more = len(found) - MOST_SHOWN
    return (*found[:MOST_SHOWN], *([f"and {more} more"] if more > 0 else []))


def deciding(desired: Desired, changed: Collection[str]) -> Iterator[DecidingPackets]:
    """The resources that decide about packets and that the plan changes."""
    return (one for fact, one in having(desired, DecidingPackets) if fact in changed)


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
