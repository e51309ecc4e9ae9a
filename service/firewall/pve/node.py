"""Everything that decides about packets on one node: the levels, the guests' cards, the node's network.

read_firewall(files, settings) -> PveFolder      the content of a folder as Proxmox would read it
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from service.firewall.pve.cards import GuestCards, parse_guests
from service.firewall.pve.corosync import Corosync, parse_corosync
from service.firewall.pve.files import PveReading, read_cluster, read_guest, read_host
from service.firewall.terms.addresses import ip_or_cidr
from service.firewall.terms.model import Alias, Ignored, Level

CLUSTER_FILE, HOST_FILE, GUESTS_FILE, COROSYNC_FILE = "cluster.fw", "host.fw", "guests.json", "corosync.conf"
NO_LOCAL_NETWORK = "127.0.0.0/8"


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
    """The levels in force on a node. `guests` are the levels of guests by number, `cards` their network cards."""

    cluster: Level
    host: Level
    guests: Mapping[str, Level] = field(default_factory=dict)
    cards: Mapping[str, GuestCards] = field(default_factory=dict)
    corosync: Corosync = field(default_factory=Corosync)
    node: Node = field(default_factory=Node)

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
    """Read cluster.fw, host.fw, guests.json, corosync.conf and the VMID.fw of every guest of guests.json.

    Raises InputError where guests.json has another form; the rest is read as Proxmox reads it.
    """
    guests = parse_guests(files.get(GUESTS_FILE, b"{}"))
    cluster = read_cluster(files.get(CLUSTER_FILE, b""), CLUSTER_FILE, node.now_s)
    host = read_host(files.get(HOST_FILE, b""), HOST_FILE, cluster.level)
    read: list[PveReading] = [cluster, host]
    levels: dict[str, Level] = {}
    for vmid, guest in guests.items():
        file = f"{vmid}.fw"
        if file in files:
            reading = read_guest(files[file], file, vmid, guest.env, cluster.level)
            read.append(reading)
            levels[vmid] = reading.level
    firewall = NodeFirewall(
        cluster=cluster.level,
        host=host.level,
        guests=levels,
        cards=guests,
        corosync=parse_corosync(files.get(COROSYNC_FILE, b"")),
        node=node,
    )
    return PveFolder(
        firewall=firewall,
        warnings=tuple(warning for reading in read for warning in reading.warnings),
        ignored=tuple(item for reading in read for item in reading.ignored),
        fatal=next((reading.fatal for reading in read if reading.fatal), ""),
        replaced=tuple(item for reading in read for item in reading.replaced),
    )
