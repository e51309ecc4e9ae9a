"""What a host says before packages or units change: what apt would do, and what depends on them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from service.model.states import Observed, Seen

Way = Literal["install", "remove"]


@dataclass(frozen=True, slots=True)
class PackageMove:
    """One package in a simulated run of apt: no `version` where it goes, no `old` one where it comes."""

    name: str
    version: str = ""
    old: str = ""


@dataclass(frozen=True, slots=True)
class Weighed:
    """The answers. `install` and `remove` are all that would come or go.

    `unavailable` are names that apt does not know. `flags` is what dpkg says of packages that would go (essential,
    protected, important, required). `units` are the properties by which a unit is judged, empty where systemd does not
    say.
    """

    install: Observed[tuple[PackageMove, ...]] = field(default_factory=lambda: Seen(()))
    remove: Observed[tuple[PackageMove, ...]] = field(default_factory=lambda: Seen(()))
    unavailable: tuple[str, ...] = ()
    flags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    units: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def moves(self, way: Way) -> Observed[tuple[PackageMove, ...]]:
        """All that would come or go when packages are installed or removed."""
        return self.install if way == "install" else self.remove
