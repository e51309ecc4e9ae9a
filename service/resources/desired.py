"""Everything wanted on a host, as a value: sorted, digested, and comparable with what was wanted last."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any, Protocol, TypeVar, cast, runtime_checkable

from service.model.observed import HostObserved, Watch
from service.model.plans import digest_of
from service.model.states import Json
from service.resources.resource import Resource

NOTHING = Watch()
T = TypeVar("T", bound=Resource)


@runtime_checkable
class Deriving(Protocol):
    """A resource with parts that nobody wrote."""

    def derived(self) -> Iterator[tuple[str, str]]:
        """(thing, cause)."""
        ...


@runtime_checkable
class MetElsewhere(Protocol):
    """A resource that may be met in files of somebody else."""

    def met(self, observed: HostObserved) -> Iterator[tuple[str, str]]:
        """(thing, where as `path:line`)."""
        ...


@cache
def _has(resource_type: type, part: type) -> bool:
    """Whether all of a type are such. The same question of an instance takes 50 times as long."""
    return issubclass(resource_type, part)


class WishConflictError(ValueError):
    """Two kinds want the same thing differently: a bug of a kind, or a spec that lint should have stopped."""


@dataclass(frozen=True)
class Desired:
    """All resources wanted on one host, by id. `watch` is what must be observed to compare them."""

    host: str
    resources: tuple[Resource, ...]
    watched: Watch = NOTHING

    @classmethod
    def of(cls, host: str, resources: Sequence[Resource], watched: Watch = NOTHING) -> "Desired":
        """Sorted, without repetition; two different wishes under one id are an error."""
        by_id: dict[str, Resource] = {}
        for resource in resources:
            if by_id.setdefault(resource.id, resource) != resource:
                raise WishConflictError(
                    f"{resource.id} gets different values from {by_id[resource.id].kind} and {resource.kind}"
                )
        return cls(host, tuple(by_id[name] for name in sorted(by_id)), watched)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over every wish: what a latch remembers and an approval means."""
        return digest_of(self.as_json())

    @cached_property
    def watch(self) -> Watch:
        """What must be observed."""
        total = self.watched
        for resource in self.resources:
            total |= resource.watch()
        return total

    @cached_property
    def by_type(self) -> Mapping[type[Resource], Sequence[Any]]:
        """The resources of each type, and of no other."""
        groups: dict[type[Resource], list[Resource]] = {}
        for resource in self.resources:
            groups.setdefault(type(resource), []).append(resource)
        return groups

    def of_type(self, resource_type: type[T]) -> Sequence[T]:
        """The resources of one type."""
        return self.by_type.get(resource_type, ())

    @cached_property
    def wished(self) -> Mapping[tuple[str, str], frozenset[str]]:
        """The names of the resources that have a wish, by field and place."""
        names: dict[tuple[str, str], set[str]] = {}
        for _, name, field_name, where in self.wishes:
            names.setdefault((field_name, where), set()).add(name)
        return {key: frozenset(found) for key, found in names.items()}

    @cached_property
    def wishes(self) -> dict[tuple[str, str, str, str], Json]:
        """Every wish by the key of the difference that it would make."""
        return {
            (resource.kind, name, field, where): want
            for resource in self.resources
            for (name, field, where), want in resource.wishes().items()
        }

    def no_longer(self, base: "LastApplied", field_name: str, where: str) -> dict[str, Json]:
        """What was applied in one field and nobody wants now: {resource: what was wanted}, sorted."""
        wanted = self.wished.get((field_name, where), frozenset())
        return {name: want for name, want in sorted(base.of_field(field_name, where).items()) if name not in wanted}

    def as_json(self) -> list[Json]:
        """`[[kind, resource, field, where, want], …]`, sorted: the form in which it becomes the next base."""
        rows: list[list[Json]] = [[*key, want] for key, want in self.wishes.items()]
        return [*sorted(rows, key=lambda row: str(row[:4]))]

    def met(self, observed: HostObserved) -> Iterator[tuple[str, str]]:
        """(thing, where) of what is met outside our own files."""
        for resource in self.resources:
            if _has(type(resource), MetElsewhere):
                yield from cast(MetElsewhere, resource).met(observed)

    def derived(self) -> Iterator[tuple[str, str]]:
        """(thing, cause) of what nobody wrote."""
        for resource in self.resources:
            cause = getattr(resource, "cause", "")
            if cause:
                yield resource.id, cause
            if _has(type(resource), Deriving):
                yield from cast(Deriving, resource).derived()


@dataclass(frozen=True)
class LastApplied:
    """What was wanted at the last confirmed apply, by `Difference.key`: the base of the three-way diff."""

    wishes: Mapping[tuple[str, str, str, str], Json] = field(default_factory=dict)
    exists: bool = False

    @classmethod
    def from_json(cls, stored: Json) -> "LastApplied":
        """From `Desired.as_json()` as it was stored; None before the first apply."""
        if not isinstance(stored, list):
            return cls()
        rows = [row for row in stored if isinstance(row, list) and len(row) == 5]
        return cls({(str(r[0]), str(r[1]), str(r[2]), str(r[3])): r[4] for r in rows}, exists=True)

    def of_field(self, field_name: str, where: str) -> dict[str, Json]:
        """What was applied in one field of every resource, whatever section requested it: {resource: want}."""
        return self.by_field.get((field_name, where), {})

    @cached_property
    def by_field(self) -> Mapping[tuple[str, str], dict[str, Json]]:
        """What was applied by field and place."""
        found: dict[tuple[str, str], dict[str, Json]] = {}
        for (_, name, field_name, where), want in self.wishes.items():
            found.setdefault((field_name, where), {})[name] = want
        return found

    def named(self, kind: str, field_name: str) -> dict[str, Json]:
        """What was applied in one field of every resource of a kind: {resource: want}."""
        return {key[1]: want for key, want in self.wishes.items() if key[0] == kind and key[2] == field_name}
