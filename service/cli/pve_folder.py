"""Reading a folder of Proxmox's firewall files for the commands that answer without a host.

    read_pve_folder(root) -> {name: bytes}      cluster.fw, host.fw, VMID.fw, guests.json, corosync.conf, and below sdn/
                                                its configuration and firewall/VNET.fw; nothing else
    node_of(localnet, host_ip, altnames) -> Node

Both raise InputError.
"""

import re
import time
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

from service.errors import InputError
from service.firewall.pve.files import MAX_BYTES
from service.firewall.pve.node import (
    CLUSTER_FILE,
    COROSYNC_FILE,
    GUESTS_FILE,
    HOST_FILE,
    NO_LOCAL_NETWORK,
    SDN_FILES,
    VNET_FILES,
    Node,
)
from service.firewall.terms.addresses import iptables_network, split_cidr

MAX_FILES = 10_000
_FIXED = (CLUSTER_FILE, HOST_FILE, GUESTS_FILE, COROSYNC_FILE)
_GUEST = re.compile(r"[1-9][0-9]{0,8}\.fw")
_VNET = re.compile(r"[A-Za-z][A-Za-z0-9]{0,7}\.fw")
_INTERFACE = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


def read_pve_folder(root: Path) -> dict[str, bytes]:
    """The files of a node's firewall that are there."""
    if not root.is_dir():
        raise InputError(f"{root} is not a directory", hint=f"give the folder that holds {CLUSTER_FILE}")
    try:
        names = sorted(entry.name for entry in root.iterdir() if entry.name in _FIXED or _GUEST.fullmatch(entry.name))
        names += [name for name in SDN_FILES if (root / name).exists()]
        rules = root / VNET_FILES
        if rules.is_dir():
            names += sorted(f"{VNET_FILES}{entry.name}" for entry in rules.iterdir() if _VNET.fullmatch(entry.name))
        if len(names) > MAX_FILES:
            raise InputError(f"{root} holds more than {MAX_FILES} firewall files")
        return {name: _read(root / name) for name in names}
    except OSError as error:
        raise InputError(f"{error.filename or root} cannot be read: {error.strerror}") from error


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise InputError(f"{path} is not a plain file")
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise InputError(f"{path} is longer than {MAX_BYTES} bytes")
    return data


def node_of(localnet: str | None, host_ip: str | None, altnames: Sequence[str]) -> Node:
    """What the command line says about the node; `altnames` are NIC=NAME."""
    if localnet is not None and not _is_network(localnet):
        raise InputError(f"--localnet {localnet} is not a network", hint="as 203.0.113.0/24")
    try:
        address = str(ip_address(host_ip)) if host_ip else ""
    except ValueError as error:
        raise InputError(f"--host-ip {host_ip} is not an address") from error
    names: dict[str, str] = {}
    for pair in altnames:
        card, equals, name = pair.partition("=")
        if not equals or not _INTERFACE.fullmatch(card) or not _INTERFACE.fullmatch(name):
            raise InputError(f"--altname {pair} is not of the form NIC=NAME", hint="as enp1s0=wan0")
        names[name] = card
    return Node(localnet or NO_LOCAL_NETWORK, address, names, int(time.time()))


def _is_network(text: str) -> bool:
    """Whether the kernel's tools take it: Proxmox looks at the form only, not at the length of the prefix."""
    found = split_cidr(text)
    return found is not None and not isinstance(iptables_network(text, found[2]), str)
