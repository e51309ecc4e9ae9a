"""The style hosts: each a tree of a host's files, and the host that such files would make, as an observation."""

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_interface
from pathlib import Path

from service.adopt import WATCH, Material
from service.cli.host_tree import read_host_tree
from service.formats.interfaces import FILES, IfaceMeaning, load, meanings
from service.model.observed import HostObserved, MasqueradeInForce, Watch
from service.model.states import Absent, Json, Observed, Seen
from service.resources.nat_makers import makers
from service.resources.stanzas import bond_wishes, meant_fields
from tests.laws.host import OF_LINK, bare_host, link
from tests.laws.sockets import waiting

STYLES = Path(__file__).parent / "styles"
NAMES = sorted(path.name for path in STYLES.iterdir())
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPJ0d4IQ8PmyrgdZoD3WiFkvdLBD6ZfSzLw0mZ2mJ0N"


def material(name: str) -> Material:
    """A style's files."""
    return read_host_tree(STYLES / name / "root")


def booted(material: Material, watch: Watch) -> HostObserved:
    """The host after a boot with these files."""
    files = {**material.files, **node_files(material.files)}
    host = bare_host(watch | WATCH, files)
    facts: dict[str, Observed[Json]] = {
        fact: seen for fact, seen in host.facts.items() if not fact.startswith(("link:", "addresses:"))
    }
    facts |= {fact: Seen("1") for fact in facts if OF_LINK.fullmatch(fact)}
    facts |= {"link:lo": Seen(link(mtu=65536)), "addresses:lo": Seen([]), "sysctl:net.ipv4.ip_forward": Seen("1")}
    facts |= _units(material)
    gateways: list[Json] = []
    cards = {"enp1s0"}
    of_boot = load({p: d for p, d in files.items() if _is_of(p)}, program=material.boot_program())
    for name, have in meanings(of_boot).items():
        cards |= {have.vlan.parent} if have.vlan is not None else set()
        cards |= {*have.bond.ports} if have.bond is not None else set()
        if name != "lo":
            facts |= _link(name, have)
            gateways += [{"family": 6 if ":" in g else 4, "via": g, "dev": name} for g in have.gateways]
    for name in cards:
        facts.setdefault(f"link:{name}", Seen(link()))
        facts.setdefault(f"addresses:{name}", Seen([]))
    facts["routes:default"] = Seen(gateways)
    facts |= {fact: _of_pmxcfs(seen) for fact, seen in facts.items() if fact.startswith("file:/etc/pve/")}
    packages: dict[str, Observed[str]] = {p: Seen("1") for p in host.packages}
    made = replace(host, facts=facts, packages=packages, os="Debian")
    made = replace(made, listeners=Seen(waiting(made)))
    rules = makers(made)
    assert isinstance(rules, tuple), rules
    counts: Mapping[tuple[str, str], int] = {maker.rule: 1 for maker in rules}
    return replace(made, masquerades=Seen(tuple(MasqueradeInForce(s, o, "iptables-legacy nat") for s, o in counts)))


def node_files(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The node's own files below their real folder: /etc/pve/local is a link to it."""
    local = "/etc/pve/local/"
    return {f"/etc/pve/nodes/pve1/{p.removeprefix(local)}": d for p, d in files.items() if p.startswith(local)}


def _of_pmxcfs(seen: Observed[Json]) -> Observed[Json]:
    """Below /etc/pve every file is root's and www-data's (pmxcfs(8))."""
    is_there = isinstance(seen, Seen) and isinstance(seen.value, dict)
    return Seen({**seen.value, "mode": "0640", "gid": 33}) if is_there else seen  # type: ignore[union-attr,dict-item]


def _is_of(path: str) -> bool:
    return path == FILES[0] or path.rpartition("/")[0] == FILES[1][:-2]


def _units(material: Material) -> dict[str, Observed[Json]]:
    on = {"dnsmasq.service", *(unit for unit in material.units if material.is_on(unit))}
    off = {"nftables.service", "netfilter-persistent.service"} - on
    units: dict[str, Observed[Json]] = {f"unit:{u}": Seen({"enabled": "enabled", "active": True}) for u in on}
    return units | {f"unit:{u}": Absent() for u in off}


def _link(name: str, have: IfaceMeaning) -> dict[str, Observed[Json]]:
    fields = meant_fields(have)
    made: dict[str, Json] = {**link(), **({"mtu": have.mtu} if have.mtu is not None else {})}
    if have.bridge is not None:
        ports: list[Json] = [{"name": port, "up": True} for port in have.bridge.ports]
        made |= {"type": "bridge", "stp": have.bridge.stp, "forward_delay_s": have.bridge.forward_delay_s}
        made["ports"] = ports
    if have.vlan is not None:
        made |= {"type": "vlan", "parent": have.vlan.parent, "id": have.vlan.id}
    if have.bond is not None:
        made |= {name: want for name, want in bond_wishes(have.bond).items() if name != "ports"} | {"type": "bond"}
        made["ports"] = [{"name": port, "up": True} for port in have.bond.ports]
    addresses = fields["addresses"] if isinstance(fields["addresses"], list) else []
    held: list[Json] = [*sorted(str(ip_interface(str(address))) for address in addresses)]
    return {f"link:{name}": Seen(made), f"addresses:{name}": Seen(held)}
