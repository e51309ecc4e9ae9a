"""What Proxmox makes of an interfaces file: interfaces with what is known of each, and the lines outside stanzas."""

from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from service.model.states import Json

Family = Literal["inet", "inet6"]
Kind = Literal[
    "OVSBond",
    "OVSBridge",
    "OVSIntPort",
    "OVSPort",
    "alias",
    "bond",
    "bridge",
    "dummy",
    "eth",
    "loopback",
    "unknown",
    "vlan",
    "vxlan",
]
SUFFIXES = ("", "6")


@dataclass(slots=True)
class FamilyPart:
    """What an interface has of one address family. `cidr` is worked out of address and netmask.

    `options` are the unknown ones; `comments` is one text, each comment ended by a line feed.
    """

    method: str = ""
    address: str | None = None
    netmask: str | None = None
    gateway: str | None = None
    broadcast: str | None = None
    cidr: str | None = None
    options: list[str] = field(default_factory=list)
    comments: str = ""

    def as_json(self, suffix: str) -> dict[str, Json]:
        """By the reader's names: the IPv6 ones end in 6."""
        found: dict[str, Json] = {
            "address": self.address,
            "broadcast": self.broadcast,
            "cidr": self.cidr,
            "comments": self.comments or None,
            "gateway": self.gateway,
            "method": self.method,
            "netmask": self.netmask,
            "options": list(self.options) or None,
        }
        return {f"{key}{suffix}": value for key, value in found.items() if value is not None}


@dataclass(slots=True)
class PveInterface:
    """One interface over all its stanzas.

    `line` is where the file first names it. `place` is the number of its first stanza among stanzas and other lines,
    None without a stanza of its own. `families` has one entry a stanza, None for one without family and method.
    `kind` is None where the file only needs the interface (as parent of an alias or VLAN) and never describes it.
    `settings` are the options that Proxmox knows, by its own names. `rootless` says of aliases and VLANs whether the
    interface below is missing. Once all is read, all comments are with IPv4.
    """

    line: int
    place: int | None = None
    at_boot: bool = False
    families: list[Family | None] = field(default_factory=list)
    kind: Kind | None = None
    inet: FamilyPart = field(default_factory=FamilyPart)
    inet6: FamilyPart = field(default_factory=FamilyPart)
    settings: dict[str, str | int] = field(default_factory=dict)
    remote_ends: list[str] = field(default_factory=list)
    rootless: bool | None = None

    def part(self, family: Family | None) -> FamilyPart:
        """Where options of a stanza are kept; those of one without a family are kept with IPv4."""
        return self.inet6 if family == "inet6" else self.inet

    def copy(self) -> "PveInterface":
        """One that the writer may change."""
        return replace(self, inet=replace(self.inet), inet6=replace(self.inet6), settings=dict(self.settings))

    def as_json(self) -> dict[str, Json]:
        """Keys and values as Proxmox's reader keeps them, in the order of the keys."""
        if self.kind is None:
            return {"exists": 0}
        found: dict[str, Json] = {"families": list(self.families), "type": self.kind, **self.settings}
        for part, suffix in zip((self.inet, self.inet6), SUFFIXES, strict=True):
            found.update(part.as_json(suffix))
        if self.place is not None:
            found["priority"] = self.place
        if self.at_boot:
            found["autostart"] = 1
        if self.remote_ends:
            found["vxlan-remoteip"] = list(self.remote_ends)
        if self.rootless is not None:
            found["exists"] = 0 if self.rootless else None
        if self.kind == "OVSBond":
            found.setdefault("bond_mode", None)
        return dict(sorted(found.items()))


class OtherLine(NamedTuple):
    """A line outside stanzas, kept as it is, and its place among stanzas and other lines."""

    place: int
    text: str


@dataclass(frozen=True, slots=True)
class PveInterfaces:
    """The whole file."""

    interfaces: dict[str, PveInterface]
    other_lines: tuple[OtherLine, ...]

    def as_json(self) -> dict[str, Json]:
        """`ifaces` by name, and `other_lines` as pairs of place and text."""
        return {
            "ifaces": {name: interface.as_json() for name, interface in sorted(self.interfaces.items())},
            "other_lines": [[line.place, line.text] for line in self.other_lines],
        }
