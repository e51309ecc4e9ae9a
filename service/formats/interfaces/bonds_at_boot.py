"""What the next boot makes of the lines of a bond."""

from dataclasses import replace

from service.formats.interfaces.bonding import KEYS, read_bond
from service.formats.interfaces.meant import IfaceMeaning
from service.formats.interfaces.programs import BootProgram


def with_bond(have: IfaceMeaning, program: BootProgram) -> IfaceMeaning:
    """The same with its bond, if it is one. Of an option given twice in a stanza the first counts, over several stanzas
    the last one. The classic ifupdown makes no bond without the package ifenslave."""
    if not any(option.key in KEYS for option in have.other) or not program.makes_bonds:
        return have
    values: dict[str, str] = {}
    for place in have.places:
        here: dict[str, str] = {}
        for option in have.options:
            if option.path == place.path and place.first_line <= option.line <= place.last_line:
                here.setdefault(option.key, option.value)
        values |= here
    bond = read_bond(values)
    if bond is None:
        return have
    return replace(have, bond=bond, other=tuple(option for option in have.other if option.key not in KEYS))
