"""The interface of a resource: one thing wanted on a host, and the closed set of ways to compare and change it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from service.model.changes import Difference
from service.model.facts import Step
from service.model.observed import HostObserved, Watch
from service.model.plans import PackageChange, Refusal


@dataclass(frozen=True, slots=True)
class Steps:
    """What a resource contributes to a plan. `blobs` are file contents by SHA-256; `checks` are (program, subject)."""

    steps: tuple[Step, ...] = ()
    keep: tuple[Step, ...] = ()
    packages: tuple[PackageChange, ...] = ()
    blobs: Mapping[str, bytes] = field(default_factory=dict)
    checks: tuple[tuple[str, str], ...] = ()
    refusals: tuple[Refusal, ...] = ()
    notes: tuple[str, ...] = ()


class Resource(Protocol):
    """One thing wanted on a host. A frozen value; equal wishes are equal values.

    Laws (tests/test_laws.py runs them over every kind): comparing is pure and deterministic; no difference means no step;
    after its steps there is no difference; undoing them gives the host as it was; Unknown never yields a step that
    overwrites or deletes.
    """

    phase: ClassVar[int]
    kind: str

    @property
    def id(self) -> str:
        """`type:name`, unique on a host; two kinds that want the same id must want the same value."""
        ...

    def watch(self) -> Watch:
        """What must be observed to compare it."""
        ...

    def differences(self, observed: HostObserved) -> Iterator[Difference]:
        """Where the host is not as wanted, by meaning, wherever the meaning stands."""
        ...

    def steps(self, observed: HostObserved, wanted: Sequence["Resource"]) -> Steps:
        """What to do about it; empty when nothing differs. `wanted` is everything wanted, for those that share a file."""
        ...
