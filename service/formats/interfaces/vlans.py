"""VLANs in the interfaces files: which link is below one, and its number.

Rules of ifupdown2 3.0.0 (its addons vlan.py and modulebase.py): an interface is a VLAN if its stanza has
`vlan-raw-device`, or if its name has a dot. `vlan-id` counts before the name, as in `eno1.20` and `vlan20`. The classic
ifupdown makes `eno1.20` without any script, but not where the stanza has `bridge_ports`. `vlan20` with
`vlan-raw-device` is made by the script of the package vlan, which does not read `vlan-id`.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from service.formats.interfaces.meant import TRUE_WORDS, IfaceMeaning, VlanMeaning
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


def carried(bridge: str, made: Mapping[str, IfaceMeaning]) -> frozenset[int] | None:
    """The VLANs that the ports of a VLAN-aware bridge take under ifupdown2: a port's `bridge-vids`, else its bridge's,
    and its `bridge-pvid` (bridge.py, `_apply_bridge_vlan_aware_port_settings_all`). None: no such bridge, or it has no
    port."""
    have = made.get(bridge)
    ports = have.bridge.ports if have is not None and have.bridge is not None else ()
    if have is None or not ports or _first(o.value for o in have.lines("bridge-vlan-aware")) not in TRUE_WORDS:
        return None
    found: set[int] = set()
    for port in ports:
        own = made.get(port, IfaceMeaning(port))
        vids, pvid = (
            _first(o.value for one in (own, have) for o in one.lines(key)) for key in ("bridge-vids", "bridge-pvid")
        )
        found |= {number for word in re.split(r"[\s,]+", f"{vids} {pvid or 1}") for number in _range(word)}
    return frozenset(found)


def _range(word: str) -> range:
    first, _, last = word.partition("-")
    if not re.fullmatch(r"[0-9]{1,4}(-[0-9]{1,4})?", word):
        return range(0)
    return range(int(first), min(int(last or first), MAX_ID) + 1)


def _first(values: Iterable[str]) -> str:
    return next(iter(values), "")
