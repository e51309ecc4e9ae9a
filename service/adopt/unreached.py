"""Why the files of a host do not say by which address it is reached: the line at which the reading ended.

why_unreached(config, material) -> sentence     for a person who then gives the address
"""

from collections.abc import Iterator

from service.adopt.material import Material
from service.formats.interfaces import MAIN_FILE, IfaceMeaning, InterfacesConfig, PlacedOption, meanings
from service.formats.interfaces.meant import read_cidr
from service.formats.interfaces.wanted import DYNAMIC_METHODS
from service.model.trees import shown

_MOST = 3
_LONGEST = 1_000


def why_unreached(config: InterfacesConfig, material: Material) -> str:
    """The causes, each with its file and line, made showable: names in the files are hostile text, too."""
    return shown(_causes(config, material), _LONGEST)


def _causes(config: InterfacesConfig, material: Material) -> str:
    if config.fatal is not None:
        return f"{config.fatal.path}:{config.fatal.line}: {config.fatal.what}"
    unread = [f"{path} could not be read: {why}" for path, why in material.unread.items() if path == MAIN_FILE]
    if unread or MAIN_FILE not in material.files:
        return (unread or [f"there is no {MAIN_FILE}"])[0]
    causes = [cause for have in meanings(config).values() if have.name != "lo" for cause in _of_interface(have)]
    return "; ".join(causes[:_MOST]) or f"{MAIN_FILE} and the files that it sources have no `gateway` line"


def _of_interface(have: IfaceMeaning) -> Iterator[str]:
    """Why an interface with a gateway has no address or no gateway for a spec."""
    gateways = have.lines("gateway")
    place = f"{have.places[0].path}:{have.places[0].first_line}" if have.places else MAIN_FILE
    dynamic = next((method.split()[-1] for method in have.methods if method in DYNAMIC_METHODS), "")
    if dynamic:
        yield f"{place}: {have.name} gets its address by {dynamic}"
        return
    if not (gateways or have.gateways):
        return
    if have.port_of:
        yield f"{_at(gateways[0])}: {have.name} is a port of {have.port_of}, and ifupdown2 sets no address of a port"
        return
    lost = [line for line in have.other if line.key == "address"]
    lost += [line for line in gateways if _read(line) not in have.gateways and line not in lost]
    for line in lost:
        why = "cannot be read" if _read(line) is None else "is not set by the next boot"
        yield f"{_at(line)}: {have.name}: `{line.key} {shown(line.value, 60)}` {why}"
    if lost:
        return
    if have.broadcast is not None and not have.addresses:
        yield f"{have.broadcast.where}: {have.name}: ifupdown2 3.0.0 fails at this line, and sets no address"
    elif not have.at_boot:
        yield f"{place}: {have.name} has a gateway, but the boot does not bring it up"
    elif not any(":" not in address for address in have.addresses):
        only = "only IPv6 addresses" if have.addresses else "no address"
        yield f"{place}: {have.name} has a gateway and {only}"


def _read(line: PlacedOption) -> str | None:
    cidr = read_cidr(line.value)
    return cidr.partition("/")[0] if cidr else None


def _at(line: PlacedOption) -> str:
    return f"{line.path}:{line.line}"
