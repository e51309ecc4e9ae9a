"""What a Proxmox node adds: its guests' own settings, and whether they may be trusted now."""

import json
from collections.abc import Mapping

from service.adopt.material import PVE_MEMBERS, Material
from service.adopt.sketch import Sketch
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
        lines.append("  # known to Proxmox, not to dnsmasq. Remove the comment sign to give them their names")
    lines.append(f"  {key_text(guest.name)}: {flow(value)}")
