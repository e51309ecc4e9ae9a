"""/etc/network/interfaces as Debian 12's ifupdown2 3.0.0 reads it: stanzas, meaning at the next boot, smallest edit.

parse(data, path) -> InterfacesFile            one file, lossless (`.text()`), with problems by line; never raises
load(files, root) -> InterfacesConfig          the main file and what it sources, out of {path: bytes};
                                               `program` is what reads them at boot, unsaid Debian 12's ifupdown2
meaning(config, name) -> IfaceMeaning | None   what the next boot makes of one interface
meanings(config) -> {name: IfaceMeaning}
up_effects(config) -> Iterator[BootEffect]     what shell lines do at the next boot: effect, interface, path, line
unmet(meaning, wanted) -> {field: (wanted, there)}   empty when the interface is as wanted
canonical(name, wanted) -> str                 a new interface's text
edit(data, changes) -> bytes                   SetStanza, RemoveStanza, RemoveLine on one file
edit_files(files, changes, read) -> {path: bytes}   the same over sourced files; only files that changed
renamed(config, after) -> {old: new}           the same with other names of cards, else empty
forwarding_set(config, name) -> ForwardingSet | None   what the program does to its forwarding
effects(command) -> (Effect, …)                what a shell line does
"""

from service.formats.interfaces.at_boot import BootEffect, meaning, meanings, up_effects
from service.formats.interfaces.bonding import BondMeaning, bond_fields
from service.formats.interfaces.editing import Change, RemoveLine, RemoveStanza, SetStanza, edit, edit_files
from service.formats.interfaces.forwarding import ForwardingSet, forwarding_set
from service.formats.interfaces.loading import InterfacesConfig, load
from service.formats.interfaces.meant import (
    BridgeMeaning,
    BroadcastLine,
    IfaceMeaning,
    PlacedOption,
    StanzaPlace,
    UpLine,
    VlanMeaning,
    ports_of,
)
from service.formats.interfaces.programs import (
    CONDONE_REGEX,
    CONF_FILE,
    DEBIAN_12,
    BootProgram,
    boot_program,
    classic_program,
    dhcp_clients,
)
from service.formats.interfaces.renaming import renamed
from service.formats.interfaces.stanzas import (
    FILES,
    MAIN_FILE,
    AutoLine,
    InterfacesFile,
    Option,
    PlacedStanza,
    SourceLine,
    Stanza,
    StanzaProblem,
    parse,
)
from service.formats.interfaces.vlans import WantedVlan, carried
from service.formats.interfaces.wanted import (
    WantedBridge,
    WantedStanza,
    boot_ports,
    canonical,
    check_wanted,
    condones,
    is_interface_name,
    unmet,
)
from service.formats.up_lines import (
    AddressLine,
    DefaultRouteLine,
    Effect,
    Forwarding,
    LinkForwarding,
    MasqueradeLine,
    Opaque,
    StaticRoute,
    effects,
)

__all__ = [
    "CONDONE_REGEX",
    "CONF_FILE",
    "DEBIAN_12",
    "FILES",
    "MAIN_FILE",
    "AddressLine",
    "AutoLine",
    "BondMeaning",
    "BootEffect",
    "BootProgram",
    "BridgeMeaning",
    "BroadcastLine",
    "Change",
    "DefaultRouteLine",
    "Effect",
    "Forwarding",
    "ForwardingSet",
    "IfaceMeaning",
    "InterfacesConfig",
    "InterfacesFile",
    "LinkForwarding",
    "MasqueradeLine",
    "Opaque",
    "Option",
    "PlacedOption",
    "PlacedStanza",
    "RemoveLine",
    "RemoveStanza",
    "SetStanza",
    "SourceLine",
    "Stanza",
    "StanzaPlace",
    "StanzaProblem",
    "StaticRoute",
    "UpLine",
    "VlanMeaning",
    "WantedBridge",
    "WantedStanza",
    "WantedVlan",
    "bond_fields",
    "boot_ports",
    "boot_program",
    "canonical",
    "carried",
    "check_wanted",
    "classic_program",
    "condones",
    "dhcp_clients",
    "edit",
    "edit_files",
    "effects",
    "forwarding_set",
    "is_interface_name",
    "load",
    "meaning",
    "meanings",
    "parse",
    "ports_of",
    "renamed",
    "unmet",
    "up_effects",
]
