"""Everything that decides about packets on one node: the levels, the guests' cards, the node's network.

read_firewall(files, settings) -> PveFolder      the content of a folder as Proxmox would read it
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from service.firewall.pve.cards import GuestCards, parse_guests
from service.firewall.pve.corosync import Corosync, parse_corosync
from service.firewall.pve.files import PveReading, read_cluster, read_guest, read_host, read_vnet
from service.firewall.pve.sdn import sdn_sets
from service.firewall.terms.addresses import ip_or_cidr
from service.firewall.terms.model import Alias, Ignored, IPSet, Level
from service.formats import pve_sdn

CLUSTER_FILE, HOST_FILE, GUESTS_FILE, COROSYNC_FILE = "cluster.fw", "host.fw", "guests.json", "corosync.conf"
NO_LOCAL_NETWORK = "127.0.0.0/8"
SDN_FILES = {f"sdn/{path.rpartition('/')[2]}": path for path in pve_sdn.FILES}
"""Files of the SDN in a folder, each with its path on a node."""
VNET_FILES = "sdn/firewall/"
NFTABLES = "nftables"
"""The option of host.fw that hands the rules over to proxmox-firewall."""
PVE_FIREWALL, PROXMOX_FIREWALL = "pve-firewall (iptables)", "proxmox-firewall (nftables)"


@dataclass(frozen=True, slots=True)
class Node:
    """What the files do not say. `altnames`: alternative name → name of the network card.

    `localnet` is the network of the node's own address, as Proxmox would guess it (`pve-firewall localnet`).
    """

    localnet: str = NO_LOCAL_NETWORK
    host_ip: str = ""
    altnames: Mapping[str, str] = field(default_factory=dict)
    now_s: int = 0


@dataclass(frozen=True, slots=True)
class NodeFirewall:
    """The levels in force on a node. `guests` are the levels of guests by number, `cards` their network cards, `vnets`
    the levels of VNets. `sdn` are the sets that the SDN makes; None where nobody could look.
    """

    cluster: Level
    host: Level
    guests: Mapping[str, Level] = field(default_factory=dict)
    cards: Mapping[str, GuestCards] = field(default_factory=dict)
    corosync: Corosync = field(default_factory=Corosync)
    node: Node = field(default_factory=Node)
    vnets: Mapping[str, Level] = field(default_factory=dict)
    sdn: Mapping[str, IPSet] | None = field(default_factory=dict)

    @property
    def backend(self) -> str:
        """The program that makes the node's rules of these files (pve-firewall(8))."""
        return PROXMOX_FIREWALL if self.host.on(NFTABLES, default=False) else PVE_FIREWALL

    def local_network(self) -> str:
        """The alias local_network of cluster.fw, else the network that Proxmox guesses."""
        alias = self.cluster.aliases.get("local_network")
        return alias.cidr if alias else self.node.localnet

    def alias(self, level: Level | None, prefix: str, name: str) -> Alias | None:
        """What a reference in a level means when it is compiled: the own file first, unless the prefix says else."""
        key = name.lower()
        found = level.aliases.get(key) if level is not None and prefix != "dc/" else None
        if found is None and prefix != "guest/":
            found = self.cluster.aliases.get(key)
        if found is None and key == "local_network" and prefix != "guest/":
            guessed = ip_or_cidr(self.node.localnet)
            found = Alias("local_network", *guessed) if guessed else None
        return found


@dataclass(frozen=True, slots=True)
class PveFolder:
    """A folder as read. `fatal` is why Proxmox would not even compile, "" if it would; `replaced` is what is defined
    again further down in its file.
    """

    firewall: NodeFirewall
    warnings: tuple[str, ...]
    ignored: tuple[Ignored, ...]
    fatal: str
    replaced: tuple[Ignored, ...] = ()


def read_firewall(files: Mapping[str, bytes], node: Node) -> PveFolder:
    """Read cluster.fw, host.fw, guests.json, corosync.conf, the VMID.fw of every guest of guests.json, and below sdn/
    the SDN's own configuration and the rules of VNets.

    Raises InputError where guests.json has another form; the rest is read as Proxmox reads it.
    """
    guests = parse_guests(files.get(GUESTS_FILE, b"{}"))
    sdn = sdn_sets(pve_sdn.read_sdn({path: files[name] for name, path in SDN_FILES.items() if name in files}))
    cluster = read_cluster(files.get(CLUSTER_FILE, b""), CLUSTER_FILE, node.now_s, sdn)
    host = read_host(files.get(HOST_FILE, b""), HOST_FILE, cluster.level, sdn)
    read: list[PveReading] = [cluster, host]
    levels: dict[str, Level] = {}
    for vmid, guest in guests.items():
        file = f"{vmid}.fw"
        if file in files:
            reading = read_guest(files[file], file, vmid, guest.env, cluster.level, sdn)
            read.append(reading)
            levels[vmid] = reading.level
    rules = {file: data for file, data in files.items() if file.startswith(VNET_FILES) and file.endswith(".fw")}
    vnets = {
        file.removeprefix(VNET_FILES).removesuffix(".fw"): read_vnet(data, file, cluster.level, sdn)
        for file, data in sorted(rules.items())
    }
    read += vnets.values()
    firewall = NodeFirewall(
        cluster=cluster.level,
        host=host.level,
        guests=levels,
        cards=guests,
        corosync=parse_corosync(files.get(COROSYNC_FILE, b"")),
        node=node,
        vnets={name: reading.level for name, reading in vnets.items()},
        sdn=sdn,
    )
    return PveFolder(
        firewall=firewall,
        warnings=tuple(warning for reading in read for warning in reading.warnings),
        ignored=tuple(item for reading in read for item in reading.ignored),
        fatal=next((reading.fatal for reading in read if reading.fatal), ""),
        replaced=tuple(item for reading in read for item in reading.replaced),
    )
