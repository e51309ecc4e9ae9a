"""Proxmox's firewall files: live sections where they mean the same, else left to Proxmox and written as comments."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from service.adopt.interfaces_read import significant
from service.adopt.material import HOSTNAME_FILE, PVE_FIREWALL, PVE_MEMBERS, Material
from service.adopt.pve_live import CLUSTER_PATH, FLEET_TEXT, Found, PveNode, live, nothing_live
from service.adopt.pve_sections import KEY, rule_values
from service.adopt.sketch import Sketch
from service.firewall.pve.files import read_guest
from service.firewall.pve.node import CLUSTER_FILE, HOST_FILE, Node, read_firewall
from service.firewall.terms.model import Level
from service.firewall.trace.ignored import ignored_lines
from service.formats import pve_guests
from service.formats.pve_guests import PveGuest
from service.model.states import Json
from service.model.trees import shown
from service.spec.reading import FLEET_FILE
from service.spec.yaml_text import flow

_PLACES = {CLUSTER_FILE: CLUSTER_PATH, HOST_FILE: PVE_FIREWALL[1]}
_ENDING = ".fw"
_CLUSTER_NAME = "cluster"


@dataclass(frozen=True, slots=True)
class Taken:
    """`head` are keys for the head of the host's file; `fleet_text` and `groups` (text by path) are for new files.
    `found` is what was compared with what."""

    head: Mapping[str, Json]
    fleet_text: str = FLEET_TEXT
    groups: Mapping[str, str] = field(default_factory=dict)
    found: Found = field(default_factory=Found)


def read_pve_firewall(
    material: Material, host: str, head: Mapping[str, Json], sketch: Sketch, shared: Mapping[str, str]
) -> Taken:
    """Write the firewall of the host and of its guests into the sketch, live or as comments.

    `shared` are the fleet.yaml and the files of groups/ that are there already.
    """
    files = {path.rpartition("/")[2]: data for path, data in material.below(*PVE_FIREWALL).items()}
    files = {name: data for name, data in files.items() if name.endswith(_ENDING)}
    if not files:
        return Taken({})
    _register(files, sketch)
    own = {name: data for name, data in files.items() if name in _PLACES}
    folder = read_firewall(own, Node())
    firewall = folder.firewall
    for item in ignored_lines(own, Node()):
        where = f"{_PLACES.get(item.where.file, item.where.file)}:{item.where.line}"
        sketch.notes.add("danger", KEY, where, f"has no effect: {item.reason}: {item.text}")
    guests, left = _guests(material, files, firewall.cluster, sketch)
    found = {f"{CLUSTER_PATH.rpartition('/')[0]}/{name}": data for name, data in files.items() if name != HOST_FILE}
    found |= {f"/etc/pve/nodes/{host}/{HOST_FILE}": files[HOST_FILE]} if HOST_FILE in files else {}
    named, why = _cluster_name(material, host)
    place = PveNode(host, {**head, **named}, sketch, shared, firewall.cluster, firewall.host, guests, found)
    skipped = next((f"{item.where}: Proxmox skips `{item.text}`" for item in folder.ignored), "")
    made = nothing_live(place, skipped or why) if skipped or why else live(place)
    left |= made.left
    _told(place, left, sketch)
    for (name, path), level in guests.items():
        if path not in left:
            what = f"{len(level.rules)} rules: `{KEY}` of {name}"
            sketch.notes.add("understood", "guests", f"{path}:1", what, ("guests", name, KEY))
    for path, reason in left.items():
        if path not in (CLUSTER_PATH, place.host_path):
            sketch.notes.add("unmanaged", KEY, f"{path}:1", f"rules of a guest, left to Proxmox: {reason}")
    if CLUSTER_PATH not in left:
        sketch.values, sketch.above, sketch.beside = made.sketch.values, made.sketch.above, made.sketch.beside
        texts = {path: text for path, text in made.shared.items() if path != FLEET_FILE}
        fleet_text = made.shared.get(FLEET_FILE, FLEET_TEXT)
        return Taken(named, fleet_text, {} if shared else texts, Found(found, made.shared))
    fleet_text = FLEET_TEXT + _as_comments(firewall.cluster, firewall.host, sketch)
    return Taken({}, fleet_text, found=Found(found, shared))


def _register(files: Mapping[str, bytes], sketch: Sketch) -> None:
    """Every file as a whole; a line of which more is known becomes a thing of its own."""
    for name, data in files.items():
        path = _PLACES.get(name, f"{CLUSTER_PATH.rpartition('/')[0]}/{name}")
        sketch.notes.read(KEY, path, significant(data), "firewall of Proxmox's", whole=f"{path}:1")


def _told(place: PveNode, left: Mapping[str, str], sketch: Sketch) -> None:
    """What becomes of cluster.fw and host.fw."""
    for level, path in ((place.cluster, CLUSTER_PATH), (place.node, place.host_path)):
        if not level.exists:
            continue
        what = (
            f"{len(level.rules)} rules, {len(level.groups)} groups, {len(level.aliases)} aliases, "
            f"{len(level.ipsets)} sets"
        )
        where = f"{_PLACES[level.file]}:1"
        if path in left:
            sketch.notes.add("unmanaged", KEY, where, f"{what}, left to Proxmox: {left[path]}")
        else:
            sketch.notes.add("understood", KEY, where, what, (KEY,) if path == place.host_path else None)
    if CLUSTER_PATH in left and any(f"\n{KEY}:" in f"\n{text}" for text in place.shared.values()):
        what = f"has a `{KEY}`, which holds for this host, too: the next plan makes its files say that"
        sketch.notes.add("danger", KEY, FLEET_FILE, what)


def _guests(
    material: Material, files: Mapping[str, bytes], cluster: Level, sketch: Sketch
) -> tuple[dict[tuple[str, str], Level], dict[str, str]]:
    """Levels of guests that the spec names, by (name, file's path); why the others are left, by path."""
    known = _known(material)
    section = sketch.values.get("guests")
    names = {
        str(guest["mac"]).lower(): name
        for name, guest in (section if isinstance(section, dict) else {}).items()
        if isinstance(guest, dict)
    }
    found: dict[tuple[str, str], Level] = {}
    left: dict[str, str] = {}
    for file, data in files.items():
        vmid = file.removesuffix(_ENDING)
        if file in _PLACES:
            continue
        path = f"{CLUSTER_PATH.rpartition('/')[0]}/{file}"
        guest = known.get(vmid)
        name = names.get(guest.cards[0].mac, "") if guest and guest.cards else ""
        level = read_guest(data, file, vmid, "ct", cluster).level
        if guest is None:
            left[path] = "no guest of this node has that number"
        elif not name:
            left[path] = f"the spec does not name {guest.name}, as dnsmasq does not"
        elif level.options.get("enable") != 1:
            left[path] = "it is not on (`enable: 1`)"
        else:
            found[name, path] = level
    return found, left


def _known(material: Material) -> dict[str, PveGuest]:
    """The node's guests by number."""
    read = (pve_guests.parse(data, path) for path, data in material.files.items() if pve_guests.is_guest_file(path))
    return {str(guest.vmid): guest for guest in read}


def _cluster_name(material: Material, host: str) -> tuple[dict[str, Json], str]:
    """The head's key for a node of a cluster; and why the node's files could not be the spec's, "" if they can."""
    members: Json = {}
    try:
        members = json.loads(material.files.get(PVE_MEMBERS, b"{}"))
    except (ValueError, RecursionError):
        return {}, f"{PVE_MEMBERS} cannot be read, so nobody knows the node's name"
    said = members.get("nodename") if isinstance(members, dict) else None
    label = material.files.get(HOSTNAME_FILE, b"").decode("utf-8", "replace").strip().split(".")[0]
    node = shown(str(said or label or host), 60)
    if node != host:
        return {}, f"the node is named {node}, and its host.fw would be written for {host}"
    cluster = members.get("cluster") if isinstance(members, dict) else None
    nodes = cluster.get("nodes", 1) if isinstance(cluster, dict) else 1
    if isinstance(cluster, dict) and isinstance(nodes, int) and nodes > 1:
        return {_CLUSTER_NAME: str(cluster.get("name", "")).lower()}, ""
    return {}, ""


def _as_comments(cluster: Level, host: Level, sketch: Sketch) -> str:
    """What would take the files over: of the host's as suggestions, of the datacenter's as comments of fleet.yaml."""
    if host.exists:
        sketch.suggestions[KEY] = [
            "  # left to Proxmox. Without the comment signs these are its rules, and passerelle writes all of host.fw",
            "  rules:",
            *(f"    - {flow(rule_values(rule))}" for rule in host.rules if not rule.errors),
        ]
    return _cluster(cluster) if cluster.exists else ""


def _cluster(level: Level) -> str:
    """The datacenter's level as comments of fleet.yaml."""
    lines = ["firewall:  # left to Proxmox. Without the comment signs passerelle writes all of cluster.fw"]
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
