"""Network cards without a stanza. Proxmox's reader takes them from the machine, so a bridge, a bond, an alias or a VLAN
may name them. Its writer gives each of them an `iface NAME inet manual`.

    with_cards(read) -> PveInterfaces       the same file on a machine that has every card that it names
"""

from collections.abc import Iterator
from dataclasses import replace

from service.formats.pve_interfaces.interface import PveInterface, PveInterfaces
from service.formats.pve_interfaces.reading import value_words
from service.formats.pve_interfaces.vocabulary import ALIAS_NAME, CARD_NAME, VLAN_DOT_NAME

_NAMING = ("bridge_ports", "slaves", "ovs_ports", "ovs_bonds", "vlan-raw-device")


def with_cards(read: PveInterfaces) -> PveInterfaces:
    """A name counts as a card by its form (`eth0`, `enp2s0`, `nic1`). Other names stay unknown."""
    found = {name: interface.copy() for name, interface in read.interfaces.items()}
    for user_name, user in read.interfaces.items():
        for name in _named(user_name, user):
            if CARD_NAME.fullmatch(name) and (name not in found or found[name].kind is None):
                found[name] = PveInterface(user.line, families=["inet"], kind="eth")
                found[name].inet.method = "manual"
    for name, interface in found.items():
        if interface.rootless and (root := _root(name, interface)) in found:
            interface.rootless = found[root].kind is None
    return replace(read, interfaces=found)


def _named(user_name: str, user: PveInterface) -> Iterator[str]:
    """The interfaces that one needs. A VLAN in dotted form belongs to the card before the dot."""
    if alias := ALIAS_NAME.fullmatch(user_name):
        yield alias[1]
    for key in _NAMING:
        for name in value_words(str(user.settings.get(key, ""))):
            yield name
            if dotted := VLAN_DOT_NAME.fullmatch(name):
                yield dotted[1]


def _root(name: str, interface: PveInterface) -> str:
    alias = ALIAS_NAME.fullmatch(name)
    return alias[1] if alias else str(interface.settings.get("vlan-raw-device", ""))
