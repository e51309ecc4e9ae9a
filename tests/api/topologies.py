"""A small host, for answers about topologies."""

from collections.abc import Callable

from service.model.fleet_topology import FleetHost, FleetTopology
from service.model.topology import BridgeNode, ForwardNode, GuestNode, PoolRange, SiteNode, Topology, Uplink


def topology_named(bridge: str) -> Topology:
    """One of each object; the name of its bridge may be an odd one."""
    pool = PoolRange("10.10.10.100", "10.10.10.200", 101, 2, 1)
    return Topology(
        "pve1", "c" * 40, None, "",
        (Uplink("enp1s0", ("198.51.100.11/24",), ("198.51.100.1",), "seen"),),
        (BridgeNode(bridge, ("10.10.10.1/24",), (), (), ("enp1s0",), (pool,), "seen", ("mtu",)),),
        (GuestNode("web", "bc:24:11:00:00:02", "10.10.10.20", bridge, True, "spec", "named"),),
        (ForwardNode("enp1s0", "tcp", "443", "web", 0, "10.10.10.20", bridge, "forwards", (), "seen"),),
        (SiteNode("www.example.org", ("www.example.org",), "web", "http://web:80", bridge),),
        ("dnsmasq (2)",),
    )  # fmt: skip


def fleet_seen_by(sees: Callable[[str], bool]) -> FleetTopology:
    """Two hosts, one behind the other. Who sees one alone gets no name of the other."""
    through = "pve1" if sees("pve1") else ""
    both = (
        FleetHost("pve1", "198.51.100.11", "", (), "", (), 0),
        FleetHost("pve2", "198.51.100.12", through, (), "", (), None),
    )
    return FleetTopology("c" * 40, tuple(one for one in both if sees(one.host)))
