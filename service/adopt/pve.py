"""What a Proxmox node adds: its guests' own settings, its firewall files, and whether they may be trusted now."""

import json
from collections.abc import Mapping

from service.adopt.material import PVE_FIREWALL, PVE_MEMBERS, Material
from service.adopt.sketch import Sketch
from service.firewall.firewall import CLUSTER_FILE, HOST_FILE, Node, read_firewall
from service.firewall.ignored import ignored_lines
from service.firewall.model import Level, Rule
from service.formats import pve_guests
from service.formats.pve_guests import PveGuest
from service.model.states import Json
from service.model.trees import shown
from service.spec.yaml_text import flow, key_text


def is_proxmox(material: Material) -> bool:
    """Whether the host is a Proxmox node."""
    return material.packages.get("pve-manager") is True or any(path.startswith("/etc/pve/") for path in material.files)


def refusal(material: Material) -> str:
    """Why a node's /etc/pve says nothing that could be relied on now; empty where it does."""
    members = material.files.get(PVE_MEMBERS)
    if members is None:
        if material.packages.get("pve-cluster") and not any(p.startswith("/etc/pve/") for p in material.files):
            return "/etc/pve is empty: pve-cluster does not run, so neither guests nor firewall can be read"
        return ""
    try:
        found = json.loads(members)
        cluster = found.get("cluster") if isinstance(found, dict) else None
        quorate = cluster.get("quorate", 1) if isinstance(cluster, dict) else 1
    except (ValueError, RecursionError):
        return f"{PVE_MEMBERS} cannot be read, so nobody knows whether the node has a quorum"
    if quorate == 0:
        return (
            "the cluster has no quorum: /etc/pve may be older than what the other nodes have, and is read-only; "
            "adopt again once `pvecm status` says Quorate: Yes"
        )
    return ""


def read_guests(material: Material, sketch: Sketch) -> tuple[Mapping[str, Json], ...]:
    """The guests that Proxmox knows: into the report, and as suggestions where dnsmasq does not name them yet."""
    found: list[Mapping[str, Json]] = []
    named = sketch.values.get("guests")
    known = {guest["mac"] for guest in named.values() if isinstance(guest, dict)} if isinstance(named, dict) else set()
    taken = set(named) if isinstance(named, dict) else set()
    for path, data in material.files.items():
        if not pve_guests.is_guest_file(path):
            continue
        guest = pve_guests.parse(data, path)
        found.append(_told(guest))
        for problem in guest.problems:
            where, _, what = problem.partition(": ")
            sketch.notes.add("danger", "guests", where, what)
        if not guest.is_template:
            _suggest(guest, known, taken, sketch)
    return tuple(sorted(found, key=lambda guest: str(guest["where"])))


def _told(guest: PveGuest) -> Mapping[str, Json]:
    return {
        "vmid": guest.vmid,
        "sort": guest.sort,
        "name": guest.name,
        "where": f"{guest.path}:{guest.line}",
        "template": guest.is_template,
        "pending": [shown(key, 60) for key in guest.pending],
        "cards": [
            {"number": c.number, "mac": c.mac, "bridge": c.bridge, "address": c.address} for c in guest.cards
        ],
    }  # fmt: skip


def _suggest(guest: PveGuest, known: set[Json], taken: set[str], sketch: Sketch) -> None:
    """A line of `guests` as a comment: with it the guest would have its name, which is a change."""
    card = next((card for card in guest.cards), None)
    bridges = sketch.values.get("bridges")
    if card is None or card.mac in known or not isinstance(bridges, dict) or card.bridge not in bridges:
        return
    if guest.name in taken:
        what = f"{guest.name} ({card.mac}) has the name of another guest"
        sketch.notes.add("danger", "guests", f"{guest.path}:{guest.line}", what)
        return
    taken.add(guest.name)
    value: dict[str, Json] = {"mac": card.mac}
    if card.address not in ("", "dhcp"):
        value["address"] = card.address.partition("/")[0]
    lines = sketch.suggestions.setdefault("guests", [])
    if not lines:
        lines.append("  # known to Proxmox, not to dnsmasq: without the sign in front they have their names")
    lines.append(f"  {key_text(guest.name)}: {flow(value)}")


def read_pve_firewall(material: Material, sketch: Sketch) -> str:
    """The firewall files: understood in full, left to Proxmox. What would take the host's over is a suggestion.

    Returns the lines for fleet.yaml that would take the datacenter's over, as comments.
    """
    files: dict[str, bytes] = {}
    for path, data in material.below(*PVE_FIREWALL).items():
        name = path.rpartition("/")[2]
        if name in (CLUSTER_FILE, HOST_FILE):
            files[name] = data
        elif name.endswith(".fw"):
            sketch.notes.add("unmanaged", "firewall", f"{path}:1", "rules of a guest, left to Proxmox")
    if not files:
        return ""
    firewall = read_firewall(files, Node()).firewall
    for level in (firewall.cluster, firewall.host):
        if level.exists:
            what = (
                f"{len(level.rules)} rules, {len(level.groups)} groups, {len(level.aliases)} aliases, "
                f"{len(level.ipsets)} sets, left to Proxmox"
            )
            sketch.notes.add("unmanaged", "firewall", f"{_PLACES[level.file]}:1", what)
    for item in ignored_lines(files, Node()):
        where = f"{_PLACES.get(item.where.file, item.where.file)}:{item.where.line}"
        sketch.notes.add("danger", "firewall", where, f"has no effect: {item.reason}: {item.text}")
    if firewall.host.exists:
        sketch.suggestions["firewall"] = [
            "  # left to Proxmox: without the signs in front these are its rules, and host.fw is written as a whole",
            "  rules:",
            *(f"    - {flow(rule_values(rule))}" for rule in firewall.host.rules if not rule.errors),
        ]
    return _cluster(firewall.cluster) if firewall.cluster.exists else ""


_PLACES = {CLUSTER_FILE: PVE_FIREWALL[0][:-1] + CLUSTER_FILE, HOST_FILE: PVE_FIREWALL[1]}


def rule_values(rule: Rule) -> dict[str, Json]:
    """A rule as a spec writes it."""
    value: dict[str, Json] = {"type": rule.type, "action": rule.action if rule.type == "group" else rule.action.lower()}
    for key in ("macro", "iface", "source", "dest", "proto", "dport", "sport", "icmp_type", "log"):
        if said := getattr(rule, key):
            value[key] = said
    if not rule.enable:
        value["enable"] = False
    if rule.comment:
        value["comment"] = shown(rule.comment, 200)
    return value


def _cluster(level: Level) -> str:
    """The datacenter's level as comments of fleet.yaml."""
    lines = ["firewall:  # left to Proxmox; without the signs in front cluster.fw is written as a whole"]
    lines += [
        f"  {key}: {str(level.options[key]).lower()}" for key in ("policy_in", "policy_out") if key in level.options
    ]
    if level.aliases:
        lines.append(f"  aliases: {flow({alias.name: alias.cidr for alias in level.aliases.values()})}")
    if level.ipsets:
        sets: dict[str, Json] = {
            s.name: [f"{'!' if entry.nomatch else ''}{entry.cidr}" for entry in s.entries]
            for s in level.ipsets.values()
        }
        lines.append(f"  ipsets: {flow(sets)}")
    for key, groups in (("rules", {"": level.rules}), ("groups", {g.name: g.rules for g in level.groups.values()})):
        if any(groups.values()):
            lines.append(f"  {key}:")
        for name, rules in groups.items():
            indent = "    "
            if name and rules:
                lines.append(f"    {name}:")
                indent = "      "
            lines += [f"{indent}- {flow(rule_values(rule))}" for rule in rules if not rule.errors]
    return "".join(f"# {shown_line(line)}\n" for line in lines)


def shown_line(line: str) -> str:
    """A comment's line with its indentation, without anything that a terminal would obey."""
    return line[: len(line) - len(line.lstrip())] + shown(line, 4000)
