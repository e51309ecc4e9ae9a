"""Debian packages: installed before the switch is armed, removed only after the confirmation."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Self

from service.model.changes import Difference
from service.model.observed import HostObserved, Watch
from service.model.plans import PackageChange
from service.model.states import Json, Seen, Unknown
from service.resources.resource import Steps, Wishes, field_difference


@dataclass(frozen=True, slots=True)
class Package:
    """A package that should be there, or not."""

    kind: str
    name: str
    state: Literal["present", "absent"]

    @property
    def id(self) -> str:
        return f"package:{self.name}"

    def wishes(self) -> Wishes:
        return {(self.name, "package", "live"): self.wanted()}

    def wanted(self) -> Json:
        """`present`, or None for absent."""
        return "present" if self.state == "present" else None

    def watch(self) -> Watch:
        return Watch(packages=frozenset({self.name}))

    def differences(self, observed: HostObserved) -> Iterator[Difference]:
        seen = observed.packages.get(self.name, Unknown(f"package {self.name} was not looked at"))
        if isinstance(seen, Unknown):
            yield from field_difference(self, self.name, "package", "live", self.wanted(), seen)
            return
        have: Json = "present" if isinstance(seen, Seen) else None
        yield from field_difference(self, self.name, "package", "live", self.wanted(), Seen(have))

    @classmethod
    def steps(cls, wanted: Sequence[Self], observed: HostObserved) -> Steps:
        changes = []
        for package in wanted:
            different = list(package.differences(observed))
            if different and not any(d.unknown for d in different):
                changes.append(PackageChange(package.name, "install" if package.state == "present" else "remove"))
        return Steps(packages=tuple(changes))
