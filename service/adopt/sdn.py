"""Files that Proxmox's SDN generates: adopt reads and shows them, and the spec never has them.

Files: /etc/network/interfaces.d/sdn, and of a zone with DHCP /etc/dnsmasq.d/ZONE/, /etc/default/dnsmasq.ZONE and
dnsmasq@ZONE.service (pve-network's own sources and pvesdn(1)).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from service.adopt.account import Account
from service.adopt.interfaces_read import section_of, significant
from service.adopt.material import SDN_ZONES, Material
from service.formats.interfaces import IfaceMeaning, InterfacesConfig, boot_ports, meanings
from service.formats.nat_files import is_about_nat
from service.resources.generated import SDN_FILE

MADE_BY = "made by Proxmox's SDN, which rewrites this file. Fix: change it in Proxmox (Datacenter, SDN)"
_ZONE = re.compile(r"/etc/default/dnsmasq\.([A-Za-z0-9]{1,8})")
_CONFIGURED_ZONE = re.compile(r"^simple:\s*([A-Za-z0-9]{1,8})\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class OfProxmox:
    """The interfaces that Proxmox's file names, and ports that only their bridges have."""

    names: frozenset[str]
    ports: frozenset[str]

    def tell(self, name: str, have: IfaceMeaning, account: Account) -> None:
        """Every line of one of these interfaces, under what it makes."""
        section = section_of(have)
        words = ", ".join(have.addresses)
        for place in have.places:
            what = f"{name} {words}".rstrip()
            account.add("unmanaged", section, f"{place.path}:{place.first_line}", f"{what}: {MADE_BY}")
        for option in have.other:
            where = f"{option.path}:{option.line}"
            account.add("unmanaged", section, where, f"{name}: {option.key} {option.value}: {MADE_BY}")
        for line in have.up_lines:
            sort = "nat" if is_about_nat(line.text) else section
            account.add("unmanaged", sort, f"{line.path}:{line.line}", f"{name}: {line.phase} {line.text}: {MADE_BY}")


def _needed(have: IfaceMeaning) -> tuple[str, ...]:
    """The ports of a bridge, the link below a VLAN."""
    if have.bridge is not None:
        return have.bridge.ports
    return (have.vlan.parent,) if have.vlan is not None else ()


def of_proxmox(config: InterfacesConfig) -> OfProxmox:
    """The interfaces in Proxmox's own file, even if another file has them too."""
    found = meanings(config)
    names = frozenset(name for name, have in found.items() if any(p.path == SDN_FILE for p in have.places))
    theirs = {link for name in names for link in _needed(found[name])}
    ours = {link for name, have in found.items() if name not in names for link in _needed(have)}
    return OfProxmox(names, frozenset(theirs - ours) & boot_ports(config))


def read_zones(material: Material, account: Account) -> None:
    """The zones that have a dnsmasq of their own, and every file of theirs."""
    files = {path: data for path, data in material.files.items() if path.startswith("/etc/dnsmasq.d/")}
    for path, data in files.items():
        if path.count("/") > 3 and (lines := significant(data)):
            zone = path.split("/")[3]
            many = f"{len(lines)} lines" if len(lines) > 1 else "1 line"
            what = f"{many} for dnsmasq@{zone}: {MADE_BY}"
            account.read("dnsmasq", path, lines, what, whole=path)
    for zone in sorted(set(_zones(material))):
        unit = f"dnsmasq@{zone}"
        what = f"{unit} serves the zone {zone}: Proxmox's SDN starts and writes it, and passerelle leaves it alone"
        account.add("unmanaged", "dnsmasq", "", what)


def _zones(material: Material) -> Iterator[str]:
    for path, data in material.files.items():
        if match := _ZONE.fullmatch(path):
            yield match[1]
        elif path == SDN_ZONES:
            text = data.decode("utf-8", "replace")
            for block in re.split(r"\n(?=\S)", text):
                head = _CONFIGURED_ZONE.match(block)
                if head and re.search(r"^\s+dhcp\s+dnsmasq\s*$", block, re.MULTILINE):
                    yield head[1]
