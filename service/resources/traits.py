"""The optional parts of a resource's contract: what a plan asks of those that have an answer.

`service/plan/` knows `Resource` and these, no resource by name. A type has a part by having its methods; nothing is
declared. All of it is pure, like the rest of a resource.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Protocol, Self, TypeVar, runtime_checkable

from service.model.ceilings import Opening
from service.model.facts import Step
from service.model.observed import HostObserved, Lease, ManagementPath
from service.model.plans import Left, Passing
from service.model.probes import Probe
from service.resources.desired import Desired, LastApplied
from service.resources.resource import Resource

T = TypeVar("T")


def having(desired: Desired, trait: type[T]) -> Iterator[tuple[str, T]]:
    """The wanted resources that have a part, each with its id."""
    for resource_type, group in desired.by_type.items():
        if issubclass(resource_type, trait):
            yield from ((one.id, one) for one in group)


@runtime_checkable
class Sharing(Protocol):
    """Resources of this type share something on the host that is there once, as all settings share one file."""

    @classmethod
    def shared(cls, wanted: Sequence[Self]) -> Iterator[Resource]:
        """What they share; also called if none is wanted, because then our own parts are removed."""
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


@runtime_checkable
class Restarting(Protocol):
    """A daemon: it reads some files only at its start."""

    def restarted(self, changed: Collection[str], planned: Step | None, observed: HostObserved) -> Step | None:
        """The step that restarts it, None where no file that it reads is among the changed ones (paths). `planned` is
        the step that the plan has for it already."""
        ...


@runtime_checkable
class DecidingPackets(Protocol):
    """It decides which packets reach the host or pass through it."""

    def reach(self, observed: HostObserved) -> Iterator[Passing]:
        """What it opens and what it closes; none where the host could not be read."""
        ...

    def opens_beyond(self, observed: HostObserved, may_open: Sequence[Opening]) -> Iterator[str]:
        """What it opens beyond what a commit may open. What cannot be known counts as beyond."""
        ...

    def keeps_out(self, path: ManagementPath, devices: Sequence[str]) -> Iterator[str]:
        """How it would keep the service from connecting again. `devices` are the interfaces that have the host's
        address then.
        """
        ...


@runtime_checkable
class Routing(Protocol):
    """It knows gateways that are reached although no subnet of their interface has them."""

    def beyond_subnets(self) -> Iterator[tuple[str, str]]:
        """(via, dev)."""
        ...


@runtime_checkable
class BroughtUp(Protocol):
    """ifupdown brings it up: what is written for another program to bring up does not count at the next boot."""

    def interfaces(self) -> Iterator[str]:
        """The interfaces that it is about; the first names its differences."""
        ...


@runtime_checkable
class Asked(Protocol):
    """It answers questions from the network: what answers before a change has to answer after it."""

    def probes(self) -> Iterator[Probe]:
        """Probes for it, by the host itself."""
        ...


@runtime_checkable
class Proven(Protocol):
    """It answers questions from the network once its step is done, whether or not it did before."""

    def proofs(self, observed: HostObserved) -> Iterator[Probe]:
        """Probes by the host itself, each `is_due`. They count where the plan has a step of it."""
        ...


@runtime_checkable
class Ailing(Protocol):
    """It may be in a bad state although it is as the spec says: no step of ours changes that."""

    def ailments(self, observed: HostObserved) -> Iterator[str]:
        """What is wrong, and what a person does about it, as sentences."""
        ...


@runtime_checkable
class OnlyWatched(Protocol):
    """Nothing is ever written about it: where it could not be read, every other change may continue."""

    def only_watched(self) -> Iterator[str]:
        """What its differences are about."""
        ...


@runtime_checkable
class ServingGuests(Protocol):
    """Guests depend on it: their leases and their names."""

    @classmethod
    def impact(cls, wanted: Sequence[Self], observed: HostObserved, leases: Sequence[Lease]) -> Iterator[str]:
        """What a change does to guests that have a lease now; also called if none of the type is wanted."""
        ...
