"""What leaves the spec leaves the host, or is named: asked of the resources themselves, type by type."""

from collections.abc import Iterator, Sequence

from service.model.observed import HostObserved
from service.model.plans import Left
from service.resources.desired import Desired, LastApplied
from service.resources.resource import Resource
from service.resources.traits import Leaving, Remembering, Retiring, Sharing
from service.resources.types import TYPES


def of_type(resource_type: type[Resource], resources: Sequence[Resource]) -> list[Resource]:
    """Those of one type, and of no other."""
    return [resource for resource in resources if type(resource) is resource_type]


def shared(resources: Sequence[Resource]) -> Iterator[Resource]:
    """What some resources have in common on the host; see `Sharing`."""
    for one in TYPES:
        if issubclass(one, Sharing):
            yield from one.shared(of_type(one, resources))  # type: ignore[arg-type]  # all are of this very type


def with_ends(desired: Desired, base: LastApplied) -> Desired:
    """What is wanted, knowing what was applied before, and what removes that which nobody wants now."""
    resources = desired.resources
    known = [one.remembering(resources, base) if isinstance(one, Remembering) else one for one in resources]
    retired = [
        end
        for one in TYPES
        if issubclass(one, Retiring)
        for end in one.retired(of_type(one, resources), base)  # type: ignore[arg-type]  # all are of this very type
    ]
    return Desired.of(desired.host, [*known, *retired], desired.watched)


def left_behind(desired: Desired, base: LastApplied, observed: HostObserved) -> Iterator[Left]:
    """What stays on the host although the spec names it no more. `desired` is as `with_ends` gives it."""
    for one in TYPES:
        if issubclass(one, Leaving):
            yield from one.left_behind(desired, base, observed)
