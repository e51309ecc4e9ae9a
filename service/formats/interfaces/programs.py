"""The program that reads the interfaces files at boot, and in what it differs from its other versions.

    boot_program("3.0.0-1.1", conf) -> BootProgram      ifupdown2; conf: the bytes of its configuration file
    classic_program("0.8.41", links) -> BootProgram     the classic ifupdown; links: the names of the host's links
    DEBIAN_12                                           ifupdown2 3.0.0 as Debian ships it

ifupdown2 reads /etc/network/ifupdown2/ifupdown2.conf with Python's configparser. Seen with 3.0.0: without the file, or
with a file that the parser refuses, nothing is brought up at all.
"""

import configparser
from dataclasses import dataclass

from service.formats.interfaces.stanzas import MAIN_FILE, shown
from service.formats.read_once import read_once

CONF_FILE = "/etc/network/ifupdown2/ifupdown2.conf"
FAILS_AT_BROADCAST = "3.0.0"
MAX_CONF_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class BootProgram:
    """`is_classic`: it is the classic ifupdown, not ifupdown2. `makes_bridges`: it has bridge-utils, without which it
    makes none. `makes_vlans`: it has the package vlan, without which it makes only those named as `eno1.20`.
    `makes_bonds`: it has ifenslave.
    `has_dhcp`: a DHCP client that it starts is installed. `links` are the links that it finds, None if that is not
    known.

    Of ifupdown2 alone: `broadcast_fails`, an address that has a `broadcast` line is not set (3.0.0; a later one sets
    it). `one_vlan_aware`: of all stanzas that say `bridge-vlan-aware yes` only the first counts, unless its
    configuration file allows several. `stops` says why it reads no interfaces file at all; empty: it does.
    """

    version: str = ""
    is_classic: bool = False
    makes_bridges: bool = True
    makes_vlans: bool = True
    has_dhcp: bool = True
    makes_bonds: bool = True
    links: frozenset[str] | None = None
    broadcast_fails: bool = False
    one_vlan_aware: bool = False
    stops: str = ""

    @property
    def name(self) -> str:
        """Its package."""
        return "ifupdown" if self.is_classic else "ifupdown2"

    @property
    def label(self) -> str:
        """For people."""
        return f"{self.name} {self.version.partition('-')[0]}".strip()


CONDONE_REGEX = "^(tap|veth|fwpr)"
"""Guests' ports that ifupdown2 leaves on the bridge over a reload; Debian's 3.0.0 takes them off without it."""

DEBIAN_12 = BootProgram("3.0.0-1.1", broadcast_fails=True, one_vlan_aware=True)


def classic_program(
    version: str,
    links: frozenset[str] | None = None,
    *,
    makes_bridges: bool = True,
    makes_vlans: bool = True,
    makes_bonds: bool = True,
) -> BootProgram:
    """The classic ifupdown. It makes bridges by a script of the package bridge-utils, bonds by one of ifenslave, some
    VLANs by one of vlan."""
    return BootProgram(
        version,
        is_classic=True,
        makes_bridges=makes_bridges,
        makes_vlans=makes_vlans,
        makes_bonds=makes_bonds,
        links=links,
    )


def dhcp_clients(*, is_classic: bool) -> tuple[str, ...]:
    """The packages of DHCP clients that the program knows. ifupdown2 3.0.0 starts dhclient alone (addons/dhcp.py);
    the classic one takes the first that is there (inet.defn of its source)."""
    return ("isc-dhcp-client", "dhcpcd-base", "udhcpc") if is_classic else ("isc-dhcp-client",)


def boot_program(ifupdown2: str, conf: bytes | None, *, is_missing: bool = False) -> BootProgram:
    """From the version of ifupdown2, empty where it is not known, and its configuration file, None where that is not
    known. `is_missing`: the host is known not to have the file. Proxmox ships a file of its own, so without the file
    nothing is assumed of its builds."""
    settings, stops = _read(conf or b"")
    other = settings.get("default_interfaces_configfile", MAIN_FILE)
    if is_missing:
        stops = "is missing: ifupdown2 brings nothing up without it"
    elif other != MAIN_FILE:
        stops = f"names {shown(other, 200)}: the boot reads that file and not {MAIN_FILE}"
    several = settings.get("multiple_vlan_aware_bridge_support", "0") != "0"
    unknown = conf is None and "pmx" in ifupdown2
    return BootProgram(
        ifupdown2,
        broadcast_fails=ifupdown2.partition("-")[0] == FAILS_AT_BROADCAST,
        one_vlan_aware=not several and not unknown,
        stops=stops,
    )


@read_once
def _read(data: bytes) -> tuple[dict[str, str], str]:
    """The settings, and what Python's parser has against them."""
    parser = configparser.RawConfigParser()
    try:
        parser.read_string("[ifupdown2]\n" + data[:MAX_CONF_BYTES].decode())
    except (configparser.Error, UnicodeDecodeError) as error:
        return {}, f"is refused by Python's configparser, so ifupdown2 brings nothing up: {shown(str(error), 120)}"
    return dict(parser.items("ifupdown2")), ""
