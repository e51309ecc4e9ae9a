"""Debian packages in a guest: installed from its own sources before the switch is armed, and never removed.

A guest that is created has them in the system that it is made of. One that is down, or does not answer, gets none.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self

from service.hostside.guest_nginx import is_not_running
from service.model.changes import Difference
from service.model.observed import HostObserved, Watch
from service.model.plans import GuestChange, Left
from service.model.states import Absent, Json, Observed, Seen, Unknown
from service.resources.desired import Desired, LastApplied
from service.resources.resource import Compared, Contribution, Wishes, field_difference

FIELD = "package in guest"


@dataclass(frozen=True, slots=True)
class GuestPackages:
    """Packages that a guest has to have. `where` finds it on the host, as in `Proxy`."""

    kind: str = field(compare=False)
    guest: str
    where: str
    names: tuple[str, ...]

    @property
    def id(self) -> str:
        return f"packages-in:{self.guest}@{self.where}"

    def subject(self, name: str) -> str:
        """One of them for people."""
        return f"{name} in guest {self.guest}"

    def wishes(self) -> Wishes:
        return {(self.subject(name), FIELD, "live"): "present" for name in self.names}

    def watch(self) -> Watch:
        return Watch(inside=frozenset((self.guest, name) for name in self.names))

    def differences(self, observed: HostObserved) -> Iterator[Difference]:
        if isinstance(observed.fact(f"guest:{self.guest}"), Absent):
            return
        for name in self.names:
            seen = observed.packages.get(f"{self.guest}/{name}", Unknown(f"{name} in {self.guest} was not looked at"))
            if seen == Unknown(is_not_running(self.guest)):  # its proxy says so, once
                continue
            have: Observed[Json] = Seen("present") if isinstance(seen, Seen) else seen
            yield from field_difference(self, self.subject(name), FIELD, "live", "present", have)

    def only_watched(self) -> Iterator[str]:
        """A guest that does not answer keeps no other change of the host from being made."""
        yield from map(self.subject, self.names)

    @classmethod
    def left_behind(cls, desired: Desired, base: LastApplied, observed: HostObserved) -> Iterator[Left]:
        """Packages that a guest was given: who else needs them by now is not known."""
        for subject in desired.no_longer(base, FIELD, "live"):
            name, _, guest = subject.partition(" in guest ")
            if isinstance(observed.packages.get(f"{guest}/{name}"), Absent):
                continue
            yield Left(
                f"package:{guest}/{name}",
                f"package {name} stays installed in guest {guest}",
                f"if nothing needs it, remove it in the guest: `apt-get remove {name}`",
            )

    @classmethod
    def steps(cls, compared: Sequence[Compared[Self]], observed: HostObserved) -> Contribution:
        changes: list[GuestChange] = []
        for one, different in compared:
            missing = [d.resource.partition(" ")[0] for d in different if not d.unknown]
            if missing:
                order: dict[str, Json] = {"guest": f"{one.guest}@{one.where}", "install": [*missing]}
                what = f"install {', '.join(missing)} in guest {one.guest}"
                changes.append(GuestChange(one.guest, "install", what, order, starts=False))
        return Contribution(guests=tuple(changes))
