"""What passerelle made on the host before, for sections that adopt cannot read back from it.

The first plan of a new spec without such a section would remove them, so adopt writes no new spec. The spec that made
it is in Git.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.adopt.material import Material
from service.adopt.sketch import Sketch
from service.model.states import Seen
from service.resources import bans, dnsmasq_config, firewall, forwards, nat
from service.spec.document import load

FILES = {
    firewall.FIREWALL_FILE: "firewall",
    firewall.BRIDGE_FILE: "firewall",
    forwards.FORWARDS_FILE: "forwards",
    nat.NAT_FILE: "nat",
    dnsmasq_config.OWN_FILE: "dnsmasq",
    bans.JAILS_FILE: "fail2ban",
}
"""Files that go from a host as soon as the section is not in its spec."""
TABLES = {
    firewall.FirewallTable.name: "firewall",
    firewall.BridgeTable.name: "firewall",
    forwards.ForwardsTable.name: "forwards",
    nat.TABLE: "nat",
}
"""The same of the kernel's tables, where a running host was looked at."""
ALSO = {"forwards": "web"}
"""Sections that make the same thing as another one: what is published has one table."""


@dataclass(frozen=True, slots=True)
class OwnThing:
    """Something of passerelle's own: the section of the spec that made it, and where it is."""

    section: str
    where: str

    @property
    def sections(self) -> tuple[str, ...]:
        """All sections that can have made it."""
        return (self.section, *((ALSO[self.section],) if self.section in ALSO else ()))

    @property
    def named(self) -> str:
        """The sections, for people."""
        return " or ".join(f"`{section}`" for section in self.sections)

    def is_said(self, spec: Mapping[str, Any]) -> bool:
        """Whether a spec has what made it."""
        return any(section in spec for section in self.sections)


def read_own(material: Material, sketch: Sketch) -> tuple[OwnThing, ...]:
    """What the sketch does not say again, each reported as dangerous."""
    found = tuple(thing for thing in _made(material) if not thing.is_said(sketch.values))
    for thing in found:
        what = (
            f"passerelle made this from a spec's {thing.named}, which cannot be read back from a host: "
            "the plan of a spec without it would remove it"
        )
        sketch.notes.add("danger", thing.section, thing.where, what)
    return found


def _made(material: Material) -> Iterator[OwnThing]:
    """A table without its file is an apply that nobody confirmed yet. What cannot be read no plan takes away."""
    files = {path: section for path, section in FILES.items() if path in material.files}
    yield from (OwnThing(section, path) for path, section in files.items())
    for table, section in TABLES.items():
        is_there = material.live is not None and isinstance(material.live.fact(f"nft:{table}"), Seen)
        if is_there and section not in files.values():
            yield OwnThing(section, f"nft table {table}")


def without_section(own: Sequence[OwnThing], before: str) -> str:
    """Why a host's spec, `before` or an empty text for none, would lose what is there; empty where it would not."""
    value = load(before.encode()).value if before else None
    lost = [thing for thing in own if not (isinstance(value, Mapping) and thing.is_said(value))]
    if not lost:
        return ""
    places = ", ".join(thing.where for thing in lost)
    wanted = " and ".join(dict.fromkeys(thing.named for thing in lost))
    is_in = "has" if before else "would have"
    return f"passerelle itself made {places}, and the spec {is_in} no {wanted}, so its plan would remove that"


HINT = "the spec that made it is in Git: put that file into --repo (--diff compares it with the host), or its section"
"""What to do next."""
