"""The optional parts of a resource's contract: what a plan asks of those that have an answer.

`service/plan/` knows `Resource` and these, no resource by name. A type has a part by having its methods; nothing is
declared. All of it is pure, like the rest of a resource.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol, Self, runtime_checkable

from service.model.observed import HostObserved
from service.model.plans import Left
from service.resources.desired import Desired, LastApplied
from service.resources.resource import Resource


@runtime_checkable
class Sharing(Protocol):
    """Resources of this type share something on the host that is there once, as all settings share one file."""

    @classmethod
    def shared(cls, wanted: Sequence[Self]) -> Iterator[Resource]:
        """What they share; also asked where none is wanted, for then what is ours goes."""
        ...


@runtime_checkable
class Retiring(Protocol):
    """What was applied of this type, is in the spec no more and is provably ours is removed."""

    @classmethod
    def retired(cls, wanted: Sequence[Self], base: LastApplied) -> Iterator[Resource]:
        """What removes it. `wanted` is all that the spec wants of this type."""
        ...


@runtime_checkable
class Leaving(Protocol):
    """What was applied of this type may stay on the host when it leaves the spec, because it may have been there before
    us: it is named."""

    @classmethod
    def left_behind(cls, desired: Desired, base: LastApplied, observed: HostObserved) -> Iterator[Left]:
        """What stays. `desired` is all that is wanted, with what `retired` removes."""
        ...


@runtime_checkable
class Remembering(Protocol):
    """A resource that has to know what was applied before, to take back what others' files still say of it."""

    def remembering(self, desired: Desired, base: LastApplied) -> Resource:
        """The same resource, knowing it. `desired` is all that the spec wants."""
        ...
