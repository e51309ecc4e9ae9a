"""A topology in words: short ones for its picture, and the whole of it as nested lists.

outline(topology) -> OutlineItem       the host, and below it what is on it and behind it
"""

from collections.abc import Iterator, Sequence, Set

from service.model.topology import (
    BridgeNode,
    ForwardNode,
    GuestNode,
    OutlineItem,
    PoolRange,
    SdnNode,
    SiteNode,
    Standing,
    Topology,
    Uplink,
)

STANDING: dict[Standing, str] = {"seen": "", "missing": "missing", "unknown": "not known", "extra": "not in Git"}
LEASE = {
    "named": "", "waiting": "no lease", "unnamed": "lease without a name", "renamed": "lease has another name",
    "foreign": "not in Git", "silent": "not in Git", "shared": "its lease is shared", "unknown": "lease not known",
}  # fmt: skip
NOWHERE = "Bridge not known"
NAMELESS = "without a name"


def marks(standing: Standing, drift: Sequence[str]) -> str:
    """What is wrong with an object: `missing`, `drifted: addresses, mtu`; "" where nothing is."""
    differs = "" if standing in ("missing", "extra") or not drift else f"drifted: {', '.join(drift)}"
    return "; ".join(filter(None, (STANDING[standing], differs)))


def running(guest: GuestNode) -> str:
    """Whether a guest runs."""
    return "running: unknown" if guest.running is None else "running" if guest.running else "stopped"


def standing_of(guest: GuestNode) -> str:
    """What is to be said of a guest's lease and of what differs."""
    return "; ".join(filter(None, (LEASE[guest.state], marks("seen", guest.drift))))


def name_of(guest: GuestNode) -> str:
    """The name, or what stands for it."""
    return guest.name or NAMELESS


def forward_label(one: ForwardNode) -> str:
    """`443/tcp → web:443`."""
    return f"{one.ports}/{one.proto} → {one.to}:{one.to_port or one.ports}"


def site_label(one: SiteNode) -> str:
    """`www.example.org → http://web:80`."""
    return f"{one.name} → {one.upstream}"


def seen_at(topology: Topology) -> str:
    """When the host was seen, and what was compared."""
    at = f"as seen {topology.at:%Y-%m-%d %H:%M} UTC" if topology.at else "never seen"
    return f"{at}, Git at {topology.commit[:10]}"


def pool_label(pool: PoolRange) -> str:
    """`10.10.10.100 to 10.10.10.200: 3 of 101 leased, 1 reserved`."""
    counts = (
        f"leases not known, {pool.size} addresses" if pool.leased is None
        else f"{pool.leased} of {pool.size} leased, {pool.reserved} reserved"
    )  # fmt: skip
    return f"{pool.start} to {pool.end}: {counts}"


def outline(topology: Topology) -> OutlineItem:
    """The host as nested lists. Everything of the picture is in it."""
    groups = [
        OutlineItem("Uplinks", "group", items=tuple(map(_uplink, topology.uplinks))),
        OutlineItem("Bridges", "group", items=tuple(_bridge(one, topology) for one in topology.bridges)),
    ]
    if lost := tuple(_behind("", topology, topology.unplaced)):
        groups.append(OutlineItem(NOWHERE, "group", items=lost))
    if topology.sdn:
        groups.append(OutlineItem("Proxmox's SDN, shown only", "group", items=tuple(map(_vnet, topology.sdn))))
    if topology.elsewhere:
        items = tuple(OutlineItem(one, "other", one.partition(" ")[0]) for one in topology.elsewhere)
        groups.append(OutlineItem("Drifted elsewhere", "group", items=items))
    if topology.unknown:
        groups.insert(0, OutlineItem(f"Not known: {topology.unknown}", "other"))
    shown = tuple(one for one in groups if one.items or one.sort == "other")
    return OutlineItem(f"{topology.host}: {seen_at(topology)}", "host", topology.host, shown)


def _line(*parts: str) -> str:
    return ", ".join(filter(None, parts))


def _vnet(one: SdnNode) -> OutlineItem:
    zone = f"zone {one.zone} ({one.kind})" if one.kind else f"zone {one.zone}"
    items = [
        OutlineItem(
            _line(
                net.cidr, f"gateway {net.gateway}" if net.gateway else "", "DHCP by Proxmox" if net.dhcp else "",
                "SNAT" if net.snat else "",
            ),
            "other", one.name,
        )
        for net in one.networks
    ]  # fmt: skip
    items += (OutlineItem(f"Clash: {clash}", "other", one.name) for clash in one.clashes)
    return OutlineItem(f"{one.name}, {zone}", "other", one.name, tuple(items))


def _uplink(one: Uplink) -> OutlineItem:
    gateways = f"gateway {' and '.join(one.gateways)}" if one.gateways else ""
    return OutlineItem(_line(one.name, *one.addresses, gateways, marks(one.standing, one.drift)), "uplink", one.name)


def _bridge(one: BridgeNode, topology: Topology) -> OutlineItem:
    text = _line(
        one.name, *one.addresses, f"gateway {' and '.join(one.gateways)}" if one.gateways else "",
        f"ports {' '.join(one.ports)}" if one.ports else "", f"NAT through {' and '.join(one.nat)}" if one.nat else "",
        marks(one.standing, one.drift),
    )  # fmt: skip
    pools = (OutlineItem(f"DHCP {pool_label(pool)}", "pool", one.name) for pool in one.pools)
    return OutlineItem(text, "bridge", one.name, (*pools, *_behind(one.name, topology, {one.name})))


def _behind(bridge: str, topology: Topology, names: Set[str]) -> Iterator[OutlineItem]:
    """What leads to these bridges, and who is on them."""
    for forward in (one for one in topology.forwards if one.bridge in names):
        who = f"for {' '.join(forward.sources)}" if forward.sources else ""
        there = f"on {forward.bridge}" if forward.bridge and not bridge else ""
        text = _line(f"{forward_label(forward)} on {forward.interface}", who, there, STANDING[forward.standing])
        yield OutlineItem(text, "forward", forward.to)
    for site in (one for one in topology.sites if one.bridge in names):
        aliases = f"also {' '.join(site.names[1:])}" if site.names[1:] else ""
        yield OutlineItem(_line(f"{site_label(site)} by {site.proxy}", aliases), "site", site.name)
    for guest in (one for one in topology.guests if one.bridge in names):
        there = f"on {guest.bridge}" if guest.bridge and not bridge else ""
        text = _line(name_of(guest), guest.address or "no address", guest.mac, running(guest), there)
        yield OutlineItem(_line(text, standing_of(guest)), "guest", guest.name)
