"""Short questions to small firewalls."""

import json
from collections.abc import Mapping

from service.firewall.pve.node import Node, PveFolder, read_firewall
from service.firewall.trace.verdict import Analyser, Verdict

NODE = Node("203.0.113.0/24", "203.0.113.10", now_s=1_767_225_600)
CT100 = "name=eth0,bridge=vmbr0,firewall=1,hwaddr=BC:24:11:00:00:64,ip=10.10.10.100/24,ip6=2001:db8:3::100/64,type=veth"
CT101 = "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:65,ip=10.10.10.101/24,type=veth"
VM200 = "virtio=BC:24:11:00:00:C8,bridge=vmbr0,firewall=1"
GUESTS = {"qemu": {"200": {"net0": VM200}}, "lxc": {"100": {"net0": CT100}, "101": {"net0": CT101}}}
ON = "[OPTIONS]\nenable: 1\n"

_PLACES4 = {"host": "203.0.113.10", "outside": "198.51.100.7", "ct100": "10.10.10.100", "vm200": "10.10.10.200"}
_PLACES6 = {
    "host": "2001:db8:1::10",
    "outside": "2001:db8:9::7",
    "ct100": "2001:db8:3::100",
    "vm200": "2001:db8:3::200",
}


def read(cluster: str = "", host: str = "", *, node: Node = NODE, **guests: str) -> PveFolder:
    """A folder; guests' files as ct100="…", a corosync.conf as corosync="…"."""
    files = {"cluster.fw": cluster, "host.fw": host, "guests.json": json.dumps(GUESTS)}
    for name, text in guests.items():
        files["corosync.conf" if name == "corosync" else f"{name[2:]}.fw"] = text
    return read_firewall({name: text.encode() for name, text in files.items()}, node)


def analyser(cluster: str = "", host: str = "", *, node: Node = NODE, **guests: str) -> Analyser:
    """An analyser for such a folder."""
    folder = read(cluster, host, node=node, **guests)
    assert not folder.fatal
    return Analyser(folder.firewall)


def ask(asked: Analyser, way: str, proto: str, dport: object = None, *, six: bool = False, **more: object) -> Verdict:
    """The verdict on a packet; `way` is "outside host"; addresses follow from the zones unless given."""
    source, dest = way.split()
    places: Mapping[str, str] = _PLACES6 if six else _PLACES4
    packet = {"from": source, "to": dest, "proto": proto, "dport": dport}
    packet |= {"source": places.get(source, places["outside"]), "dest": places.get(dest, places["outside"])}
    return asked.trace_packet({**packet, **more})


def verdict(asked: Analyser, way: str, proto: str, dport: object = None, *, six: bool = False, **more: object) -> str:
    """Only the word."""
    return ask(asked, way, proto, dport, six=six, **more).verdict
