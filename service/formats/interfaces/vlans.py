"""VLANs in the interfaces files: which link is below one, and its number.

Rules of ifupdown2 3.0.0 (its addons vlan.py and modulebase.py): an interface is a VLAN if its stanza has
`vlan-raw-device`, or if its name has a dot. `vlan-id` counts before the name, as in `eno1.20` and `vlan20`. The classic
ifupdown makes `eno1.20` without any script, but not where the stanza has `bridge_ports`. `vlan20` with
`vlan-raw-device` is made by the script of the package vlan, which does not read `vlan-id`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from service.formats.interfaces.meant import IfaceMeaning, VlanMeaning
from service.formats.interfaces.programs import BootProgram

OPTIONS = ("vlan-raw-device", "vlan-id", "vlan-protocol")
_DOTTED = re.compile(r"([^.\s]+)\.0*([0-9]{1,4})")
_VLAN = re.compile(r"vlan0*([0-9]{1,4})")
MAX_ID = 4094


@dataclass(frozen=True, slots=True)
class WantedVlan:
    """A VLAN that an interface should be: number `id` on the link `parent`."""

    name: str
    parent: str
    id: int

    @property
    def meaning(self) -> VlanMeaning:
        """The same as it is read back."""
        return VlanMeaning(self.parent, self.id)

    @property
    def lines(self) -> tuple[tuple[str, str], ...]:
        """The options that say it; none where the name does."""
        if self.name == f"{self.parent}.{self.id}":
            return ()
        raw = ("vlan-raw-device", self.parent)
        return (raw,) if self.name == f"vlan{self.id}" else (raw, ("vlan-id", str(self.id)))


def with_vlan(have: IfaceMeaning, program: BootProgram) -> IfaceMeaning:
    """An interface with the VLAN that it is. The options that say so are understood then."""
    vlan = _vlan_of(have, program)
    if vlan is None:
        return have
    return replace(have, vlan=vlan, other=tuple(option for option in have.other if option.key not in OPTIONS))


def _vlan_of(have: IfaceMeaning, program: BootProgram) -> VlanMeaning | None:
    raw, number, protocol = (_first(option.value for option in have.lines(key)) for key in OPTIONS)
    dotted, named = _DOTTED.fullmatch(have.name), _VLAN.fullmatch(have.name)
    if (not raw and dotted is None) or have.bridge is not None or protocol.lower() not in ("", "802.1q"):
        return None
    if program.is_classic and number:
        return None
    if program.is_classic and not (dotted and not raw) and not (program.makes_vlans and (dotted or named)):
        return None
    text = number or (dotted[2] if dotted else named[1] if named else "")
    parent = raw or (dotted[1] if dotted else "")
    if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= MAX_ID or len(parent.split()) != 1:
        return None
    return VlanMeaning(parent, int(text))


def _first(values: Iterable[str]) -> str:
    return next(iter(values), "")
