"""Every line of Proxmox's firewall files without effect: skipped, not compiled, choked on, or replaced further down.

    ignored_lines(files, node) -> (Ignored, …)      in the order of files and lines, one a line
    unfiltered_lines(firewall) -> Ignored …         rules for what pve-firewall (iptables) never filters

Switches are ignored: a line is judged as if the firewall were on, so that nothing surprises when it is.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from service.firewall.pve.files import read_guest
from service.firewall.pve.node import (
    CLUSTER_FILE,
    HOST_FILE,
    PROXMOX_FIREWALL,
    PVE_FIREWALL,
    Node,
    NodeFirewall,
    read_firewall,
)
from service.firewall.terms.model import FAMILIES, Ignored, Level, Rule, Where
from service.firewall.trace.compile import MAX_CHAIN_NAME, compile_family
from service.firewall.trace.matching import LeftOut, Site
from service.firewall.trace.nft_compile import compile_nft
from service.firewall.trace.sets import Sets, build_sets

NOT_FILTERED = (
    "pve-firewall (iptables) does not filter routed packets and VNets. Fix: write a rule of the guest, or set "
    "`nftables: 1` in host.fw, where proxmox-firewall obeys it"
)


def ignored_lines(files: Mapping[str, bytes], node: Node) -> tuple[Ignored, ...]:
    """The lines without effect. Guests that guests.json does not know are taken for virtual machines.

    Raises InputError where guests.json has another form.
    """
    folder = read_firewall(files, node)
    found = [*folder.ignored, *folder.replaced]
    guests = dict(folder.firewall.guests)
    for file in files:
        vmid = file.removesuffix(".fw")
        if file.endswith(".fw") and vmid.isdigit() and vmid not in guests:
            reading = read_guest(files[file], file, vmid, "vm", folder.firewall.cluster)
            guests[vmid] = reading.level
            found += (*reading.ignored, *reading.replaced)
    firewall = replace(folder.firewall, guests=guests)
    sets = build_sets(firewall)
    found += sets.refused
    found += _rules(firewall, sets)
    if firewall.backend == PROXMOX_FIREWALL:
        for netset in sets.table.values():
            netset.holes_win = True
        for family in FAMILIES:
            compiled = compile_nft(firewall, sets, family)
            found += (*compiled.left_out, *compiled.refused)
    elif not folder.fatal:
        # the node's own lines (local network, log rate) show up only when everything is compiled
        found += (item for family in FAMILIES for item in compile_family(firewall, sets, family).refused)
    chosen: dict[Where, Ignored] = {}
    for item in found:
        chosen.setdefault(item.where, item)
    return tuple(sorted(chosen.values(), key=lambda item: (_rank(item.where.file), item.where.line)))


def _rank(file: str) -> tuple[int, int, str]:
    number = file.removesuffix(".fw")
    if number.isdigit():
        return 2, int(number[:18]), file
    return (CLUSTER_FILE, HOST_FILE).index(file) if file in (CLUSTER_FILE, HOST_FILE) else 3, 0, file


def unfiltered_lines(firewall: NodeFirewall) -> Iterator[Ignored]:
    """What pve-firewall ignores silently (pve-firewall(8), "Directions & Zones"); none where proxmox-firewall
    has the rules."""
    if firewall.backend != PVE_FIREWALL:
        return
    rules = [rule for rule, _ in _sites(firewall) if rule.type == "forward"]
    rules += [rule for level in firewall.vnets.values() for rule in level.rules]
    for rule in rules:
        if rule.works(0):
            yield Ignored(rule.where, rule.text, NOT_FILTERED)
    for level in (firewall.cluster, *firewall.vnets.values()):
        where = level.option_where("policy_forward")
        if where is not None:
            yield Ignored(where, f"policy_forward: {level.options['policy_forward']}", NOT_FILTERED)


def _rules(firewall: NodeFirewall, sets: Sets) -> Iterator[Ignored]:
    for rule, own in _sites(firewall):
        if rule.type == "group":
            name = f"GROUP-{rule.action}-OUT"
            if len(name) > MAX_CHAIN_NAME and rule.works(0):
                reason = f"left out when compiled: Invalid chain name '{name}' ({MAX_CHAIN_NAME} char max)"
                yield Ignored(rule.where, rule.text, reason)
        elif rule.type != "forward":
            yield from _rule(firewall, sets, rule, own)


def _sites(firewall: NodeFirewall) -> Iterator[tuple[Rule, Level | None]]:
    for level in (firewall.cluster, firewall.host, *firewall.guests.values()):
        # rules of the cluster are compiled for the host, whose names come first
        own = firewall.host if level.kind == "cluster" else level
        for rule in level.rules:
            yield rule, own
    for group in firewall.cluster.groups.values():
        for rule in group.rules:
            yield rule, None


def _rule(firewall: NodeFirewall, sets: Sets, rule: Rule, own: Level | None) -> Iterator[Ignored]:
    for family in FAMILIES:
        if not rule.works(family):
            continue
        refused: list[Ignored] = []
        guest = own is not None and own.kind == "guest"
        try:
            Site(firewall, sets, family, own, refused).steps(rule, {}, iface="" if guest else "in")
        except LeftOut as error:
            yield Ignored(rule.where, rule.text, f"left out when compiled: {error}")
        yield from refused
