"""The words of Proxmox's reader and writer of /etc/network/interfaces, and how it takes texts for numbers and truth."""

import re

BOOT_WORDS = frozenset({b"auto", b"allow-auto", b"allow-ovs", b"allow-hotplug"})
"""Words before names of interfaces that are started at boot; all are written back as `auto`."""

STANZA_ENDS = frozenset({b"iface", b"mapping", b"auto", b"source", b"source-directory"})
"""Words that, with anything behind them, end a stanza; so does every word that begins with `allow-`."""

ADDRESS_KEYS = frozenset({"address", "netmask", "broadcast", "gateway"})

OTHER_SPELLINGS = {
    "bond-miimon": "bond_miimon",
    "bond-mode": "bond_mode",
    "bond-slaves": "slaves",
    "bond-xmit-hash-policy": "bond_xmit_hash_policy",
    "bond_slaves": "slaves",
    "bridge-fd": "bridge_fd",
    "bridge-ports": "bridge_ports",
    "bridge-stp": "bridge_stp",
    "bridge-vids": "bridge_vids",
    "bridge-vlan-aware": "bridge_vlan_aware",
    "ovs_mtu": "mtu",
}
"""Spelling in the file: the reader's own name. Spellings that are missing here (bond_primary) are unknown options."""

PORT_OPTIONS = (
    "bridge-learning",
    "bridge-arp-nd-suppress",
    "bridge-unicast-flood",
    "bridge-multicast-flood",
    "bridge-access",
)
"""Options of an interface that only make sense while it is a port of a bridge, in the order they are checked."""

KEPT_AS_WRITTEN = frozenset(
    {
        "bond-primary",
        "bond_miimon",
        "bond_xmit_hash_policy",
        "bridge-disable-mac-learning",
        "bridge_fd",
        "bridge_vids",
        "link-type",
        "mtu",
        "ovs_bonds",
        "ovs_bridge",
        "ovs_options",
        "ovs_ports",
        "ovs_type",
        "uplink-id",
        "vlan-id",
        "vlan-protocol",
        "vlan-raw-device",
        "vxlan-id",
        "vxlan-local-tunnelip",
        "vxlan-physdev",
        "vxlan-svcnodeip",
        *PORT_OPTIONS,
    }
)
"""Known options whose value is kept as it is; the last one counts."""

BOND_MODES = ("balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb")
"""By the number that the kernel's bonding driver gives them."""

HASHING_BOND_MODES = frozenset({"balance-xor", "802.3ad"})

OVS_BOND_MODES = frozenset({"active-backup", "balance-slb", "lacp-balance-slb", "lacp-balance-tcp"})

OVS_PORT_KINDS = frozenset({"OVSPort", "OVSIntPort", "OVSBond"})

KIND_RANK = {
    "loopback": 100_000,
    "dummy": 100_000,
    "eth": 200_000,
    "OVSPort": 200_000,
    "OVSIntPort": 300_000,
    "OVSBond": 400_000,
    "bond": 400_000,
    "bridge": 500_000,
    "OVSBridge": 500_000,
    "vlan": 600_000,
    "vxlan": 600_000,
}
"""Where stanzas of a kind are written; the interface's place in the file is added. Other kinds have no rank."""

NO_PLACE = 50_000
"""The place of an interface that has no stanza of its own."""

BOND_NAME = re.compile(r"bond[0-9]+")
ALIAS_NAME = re.compile(r"(\S+):[0-9]+", re.ASCII)
VLAN_DOT_NAME = re.compile(r"(\S+)\.([0-9]+)", re.ASCII)
VLAN_NAME = re.compile(r"vlan([0-9]+)")
CARD_NAME = re.compile(r"eth[0-9]+|en[^:.]+|ib[^:.]+|(?:nic|if)[0-9]+")
PREFIXED = re.compile(r".*/[0-9]+")

_PREFIX_OF_MASK = {
    ".".join(str((0xFFFFFFFF << (32 - bits) >> shift) & 0xFF) for shift in (24, 16, 8, 0)): str(bits)
    for bits in range(1, 33)
}
_NUMBER = re.compile(r"\s*([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)", re.ASCII)
_NO_NUMBER = re.compile(r"\s*([+-]?)(inf|nan)", re.ASCII | re.IGNORECASE)


def holds(value: object) -> bool:
    """Whether a value counts as given: nothing, the empty text and a zero do not."""
    return value not in (None, "", "0", 0)


def number(value: str | int) -> float:
    """The number that a text begins with, 0 if there is none: so are MTUs, delays and VLAN numbers compared."""
    if isinstance(value, int):
        return value
    if found := _NUMBER.match(value):
        return float(found[1])
    if endless := _NO_NUMBER.match(value):
        return float(f"{endless[1]}{endless[2]}")
    return 0


def prefix_length(netmask: str) -> str | None:
    """24 of 24 or 255.255.255.0; None of anything else, also of 0.0.0.0."""
    if netmask.isascii() and netmask.isdecimal():
        return netmask
    return _PREFIX_OF_MASK.get(netmask)
