"""/etc/network/interfaces as Proxmox VE's own reader and writer have it: what a change in its web interface keeps.

parse(data) -> PveInterfaces          what its reader makes of a file; `.as_json()` by the reader's own names
with_cards(read) -> PveInterfaces     the same on a machine that has every network card that the file names
canonical(read) -> Canonical          the file as its writer puts it down, without its fixed comment header, and its
                                      warnings; raises WriterRefuses (`.what`, `.line`) where it would not write
"""

from service.formats.pve_interfaces.cards import with_cards
from service.formats.pve_interfaces.checks import WriterRefuses
from service.formats.pve_interfaces.interface import FamilyPart, OtherLine, PveInterface, PveInterfaces
from service.formats.pve_interfaces.reading import MAX_BYTES, parse
from service.formats.pve_interfaces.writing import Canonical, canonical

__all__ = [
    "MAX_BYTES",
    "Canonical",
    "FamilyPart",
    "OtherLine",
    "PveInterface",
    "PveInterfaces",
    "WriterRefuses",
    "canonical",
    "parse",
    "with_cards",
]
