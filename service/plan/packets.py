"""What a plan opens and closes, as the resources that decide about packets say it."""

from collections.abc import Collection, Iterator, Sequence

from service.model.ceilings import Opening
from service.model.observed import HostObserved
from service.resources.desired import Desired
from service.resources.traits import DecidingPackets, having

MOST_SHOWN = 8


def reachability(desired: Desired, observed: HostObserved, changed: Collection[str]) -> tuple[str, ...]:
    """Sentences; none where nothing changes, or where the host's tables could not be read. `changed` are the facts
    that the plan's steps set."""
    return tuple(sentence for one in deciding(desired, changed) for sentence in one.reach(observed))


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
