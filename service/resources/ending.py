"""A setting that leaves the spec is removed from the host, or named. The resources decide, type by type."""

from collections.abc import Iterator, Sequence

from service.model.observed import HostObserved, Watch
from service.model.plans import Left
from service.resources.desired import Desired, LastApplied
from service.resources.resource import Resource
from service.resources.traits import Leaving, Remembering, Retiring, Sharing
from service.resources.types import TYPES


def shared(resources: Sequence[Resource]) -> Iterator[Resource]:
    """What some resources have in common on the host; see `Sharing`."""
    for one in TYPES:
        if issubclass(one, Sharing):
            yield from one.shared([resource for resource in resources if type(resource) is one])


def with_ends(desired: Desired, base: LastApplied) -> Desired:
    """What is wanted, knowing what was applied before, and what removes that which nobody wants now."""
    remembering = {one for one in desired.by_type if issubclass(one, Remembering)}
    known = [
        one.remembering(desired, base) if type(one) in remembering else one  # type: ignore[attr-defined]
        for one in desired.resources
    ]
    retired = [end for one in TYPES if issubclass(one, Retiring) for end in one.retired(desired.of_type(one), base)]
    return Desired.of(desired.host, [*known, *retired], desired.watched)


def watch_of(desired: Desired, base: LastApplied) -> Watch:
    """What must be observed: also what was applied before and nobody wants now."""
    total = desired.watch
    for one in TYPES:
        if issubclass(one, Retiring):
            for end in one.retired(desired.of_type(one), base):
                total |= end.watch()
    return total


def left_behind(desired: Desired, base: LastApplied, observed: HostObserved) -> Iterator[Left]:
    """What stays on the host although the spec names it no more. `desired` is as `with_ends` gives it."""
    for one in TYPES:
        if issubclass(one, Leaving):
            yield from one.left_behind(desired, base, observed)
