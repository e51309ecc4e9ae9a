"""Events of guests: leases, those that two share, and names that two want."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from service.model.events.told import IN_WORDS, Happened, Part
from service.model.guests import NameRule


@dataclass(frozen=True, kw_only=True)
class LeaseSeen(Happened):
    """Leases that were not there at the last look. `leases` are the first of them: mac, ip, name."""

    name: ClassVar[str] = "lease.seen"
    part: ClassVar[Part] = "host"

    count: int
    leases: Sequence[Mapping[str, str]]

    @property
    def text(self) -> str:
        first = self.leases[0]
        new = f"{self.host}: {self.count} new lease{'s' * (self.count > 1)}"
        return f"{new}: {first['ip']} {first['name'] or first['mac']}"

    weight = "silent"
    """Guests come and go all day: `passerelle leases` has them."""


@dataclass(frozen=True, kw_only=True)
class GuestProgress(Happened):
    """What a host does with a guest that passerelle creates."""

    name: ClassVar[str] = "guest.progress"
    part: ClassVar[Part] = "host"

    guest: str
    apply: str
    doing: str

    @property
    def text(self) -> str:
        return f"{self.host}: guest {self.guest}: {self.doing}"


@dataclass(frozen=True, kw_only=True)
class NameMoved(Happened):
    """A name went from one guest to another; each as (MAC, address)."""

    name: ClassVar[str] = "name.moved"
    part: ClassVar[Part] = "host"

    name_: str
    from_: tuple[str, str]
    to: tuple[str, str]

    @property
    def text(self) -> str:
        (old_mac, old_ip), (mac, ip) = self.from_, self.to
        return f"{self.host}: the name {self.name_} went from {old_mac} ({old_ip}) to {mac} ({ip})"


@dataclass(frozen=True, kw_only=True)
class _OfName(Happened):
    part: ClassVar[Part] = "host"

    name_: str
    mac: str
    what: str = field(metadata=IN_WORDS)

    @property
    def text(self) -> str:
        return f"{self.host}: {self.what}"

    weight = "trouble"


class NameTaken(_OfName):
    """A stranger's lease has the name of a known guest."""

    name = "name.taken"


class NameConflict(_OfName):
    """A guest's own settings differ from the spec."""

    name = "name.conflict"


class NameTwice(_OfName):
    """Two guests' settings have one name."""

    name = "name.twice"


class LeaseShared(_OfName):
    """Guests send one DHCP client-id, and dnsmasq keeps one lease for them."""

    name = "lease.shared"


DISPUTES: Mapping[NameRule, type[_OfName]] = {
    "name-taken": NameTaken, "name-conflict": NameConflict, "name-twice": NameTwice,
    "lease-shared": LeaseShared,
}  # fmt: skip
"""How it is informed that two want a name, by the rule that found it."""
