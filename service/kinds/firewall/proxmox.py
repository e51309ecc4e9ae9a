"""The firewall on a host that runs Proxmox VE: the files that Proxmox's own firewall reads.

    node_firewall(section, host, claims) -> Firewall      the levels, with what follows from other sections
    files(kind, firewall, host) -> resources              cluster.fw where this host writes it, host.fw, VMID.fw

Policies are the datacenter's; what a host says of them counts where it is alone. Routed traffic is not filtered by
Proxmox's iptables back end, so rules of type forward are refused rather than written for nothing.
"""

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import replace

from service.errors import InputError
from service.firewall.host import Policy
from service.firewall.pve.cards import Card, GuestCards
from service.firewall.pve.node import NO_LOCAL_NETWORK, Node, NodeFirewall
from service.firewall.terms.model import IPSet, IPSetEntry, Level, Setting
from service.firewall.trace.node_trace import NodeAnalyser
from service.kinds.claims import AddressClaim, Claim, DefaultRoute, Filtered, Serves
from service.kinds.firewall.derived import derives, deriving, served
from service.kinds.firewall.reached import from_guests, to_and_from
from service.kinds.packet_rules.levels import guest_level, host_level
from service.kinds.packet_rules.section import FirewallSection
from service.kinds.packet_rules.shared import shared_level, shared_section
from service.resources.pve_firewall import PveFirewallFile, pve_file, written
from service.spec.findings import Hit, LintRule
from service.spec.host import HostSpec

NOT_FILTERED = LintRule("firewall.not-filtered", "error", "on Proxmox no rule waits for packets that it never sees")
GROUP_HOLE = LintRule("firewall.group-hole", "error", "on Proxmox a group is not bound to an interface")
POLICY_PLACE = LintRule("firewall.policy-place", "error", "the policies of a cluster are fleet.yaml's")
UNREADABLE = LintRule("firewall.unreadable", "error", "Proxmox reads what is written as it is meant")
RULES = (NOT_FILTERED, GROUP_HOLE, POLICY_PLACE, UNREADABLE)


def node_firewall(section: FirewallSection, host: HostSpec, claims: Sequence[Claim]) -> NodeFirewall:
    """All levels of a node. Rules with something wrong in them have no effect."""
    shared = shared_section(host)
    policies = {
        name: getattr(section, name) or getattr(shared, name, None) or default
        for name, default in (("policy_in", "drop"), ("policy_out", "accept"))
    }
    options: dict[str, Setting] = {"enable": 1, **{name: str(said).upper() for name, said in policies.items()}}
    cluster = replace(shared_level(shared, host.shared)[0], options=options, exists=True)
    level, _ = host_level(section, host, cluster)
    kept = deriving(claims, derives(section, shared))
    to_itself = (rule for rule in from_guests(kept, host) if rule.type == "in")
    follows = (*served(kept, Policy(str(options["policy_out"])), host), *to_itself)
    level = replace(level, options={"enable": 1}, rules=(*(r for r in level.rules if r.type != "forward"), *follows))
    guests, cards = _guests(claims, host, cluster, kept)
    return NodeFirewall(cluster, level, guests, cards, node=_node(claims), sdn=None)


def files(kind: str, firewall: NodeFirewall, host: HostSpec) -> Iterator[PveFirewallFile]:
    """The files that this host writes. Raises InputError; lint refuses such specs first."""
    if host.writes_cluster:
        yield pve_file(kind, firewall.cluster, firewall, host.name)
    yield pve_file(kind, firewall.host, firewall, host.name)
    for level in firewall.guests.values():
        yield pve_file(kind, level, firewall, host.name)


def lint_section(section: FirewallSection, host: HostSpec) -> Iterator[Hit]:
    """What Proxmox would not do."""
    for index, rule in enumerate(section.rules):
        if rule.type == "forward":
            what = "Proxmox's firewall does not filter routed packets, so the rule would have no effect"
            yield NOT_FILTERED.hit(("rules", index), what, "write it as a rule of the guest's firewall")
        if rule.type == "group" and rule.iface is not None:
            what = "on Proxmox, a group with `iface` accepts every packet of a filtered guest, whatever its rules say"
            yield GROUP_HOLE.hit(
                ("rules", index, "iface"), what, "remove `iface`, or write the rules instead of the group"
            )
    if section.policy_forward is not None:
        what = "Proxmox's firewall does not filter routed packets, so this policy would have no effect"
        yield NOT_FILTERED.hit(("policy_forward",), what, "remove `policy_forward`")
    for name in ("policy_in", "policy_out"):
        if host.cluster and getattr(section, name) is not None:
            what = f"{name} is the same for all hosts of the cluster {host.cluster}"
            yield POLICY_PLACE.hit((name,), what, "write it in fleet.yaml")


def lint_files(firewall: NodeFirewall) -> Iterator[Hit]:
    """What Proxmox would read in another way than it is meant."""
    for level in (firewall.cluster, firewall.host, *firewall.guests.values()):
        try:
            written(level, firewall.cluster)
        except InputError as error:
            yield UNREADABLE.hit((), error.what, "see the chapter on firewall rules in Proxmox's manual")


def analyser(firewall: NodeFirewall) -> NodeAnalyser | InputError:
    """What answers questions, or why Proxmox would not load the rules."""
    try:
        return NodeAnalyser(firewall)
    except InputError as error:
        return error


def _guests(
    claims: Sequence[Claim], host: HostSpec, cluster: Level, kept: Sequence[Claim]
) -> tuple[dict[str, Level], dict[str, GuestCards]]:
    bridges = sorted({c.interface for c in claims if isinstance(c, Serves) and c.protocol == "dhcp"})
    levels: dict[str, Level] = {}
    cards: dict[str, GuestCards] = {}
    for claim in claims:
        if not isinstance(claim, Filtered) or claim.vmid is None:
            continue
        vmid, section = str(claim.vmid), claim.section
        read, _ = guest_level(claim.guest, section, host, cluster)
        rules = (*read.rules, *to_and_from(claim.guest, section.policy_out.upper(), kept, host))
        options: dict[str, Setting] = {
            "enable": 1, "policy_in": section.policy_in.upper(), "policy_out": section.policy_out.upper(),
        }  # fmt: skip
        if not section.macfilter:
            options["macfilter"] = 0
        own = tuple(IPSetEntry(address) for address in claim.addresses)
        ipsets = {"ipfilter-net0": IPSet("ipfilter-net0", own)} if section.ipfilter else {}
        levels[vmid] = replace(read, rules=rules, file=f"{vmid}.fw", vmid=vmid, options=options, ipsets=ipsets)
        near = [
            net for net in claims if isinstance(net, AddressClaim) and any(_in(a, net.address) for a in claim.addresses)
        ]
        bridge = near[0].interface if near else bridges[0] if bridges else "vmbr0"
        card = Card(vmid, "net0", bridge, claim.mac.upper(), firewall=True, addresses=claim.addresses)
        cards[vmid] = GuestCards(vmid, "ct", {"net0": card})
    return levels, cards


def _in(address: str, network: str) -> bool:
    return ipaddress.ip_address(address) in ipaddress.ip_interface(network).network


def _node(claims: Sequence[Claim]) -> Node:
    """The node's own network, as Proxmox guesses it from its address."""
    uplinks = [claim.interface for claim in claims if isinstance(claim, DefaultRoute) and claim.family == 4]
    for claim in claims:
        if isinstance(claim, AddressClaim) and claim.interface in uplinks and ":" not in claim.address:
            own = claim.own
            return Node(localnet=str(own.network), host_ip=str(own.ip))
    return Node(localnet=NO_LOCAL_NETWORK)
