"""Proxmox's firewall levels as sections of a spec, with the comments of their files.

    fleet_of(level, data) -> FleetSketch         what is for fleet.yaml and groups/
    add_host(level, data, sketch)                the host's `firewall`
    add_guest(level, data, name, sketch)         `guests.NAME.firewall`

This does not check whether Proxmox would read the same.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from service.adopt.sketch import Sketch
from service.adopt.writing import body
from service.firewall.terms.model import IPSet, Level, Rule
from service.model.states import Json
from service.model.trees import shown
from service.spec.findings import Path

KEY = "firewall"
MAX_COMMENT = 256
_OWN_SET = "ipfilter-net0"
_PARAMETERS = ("macro", "iface", "source", "dest", "proto", "dport", "sport", "icmp_type", "log")
_POLICIES = {"policy_in": "DROP", "policy_out": "ACCEPT"}
_NUMBER = re.compile(r"[1-9][0-9]{0,4}")


@dataclass(slots=True)
class FleetSketch:
    """fleet.yaml, and the files of groups/ by the groups' names."""

    fleet: Sketch = field(default_factory=Sketch)
    groups: dict[str, Sketch] = field(default_factory=dict)

    def texts(self, opening: str) -> dict[str, str]:
        """All files by path; fleet.yaml begins with `opening`."""
        files = {f"groups/{name}.yaml": body(sketch) for name, sketch in self.groups.items()}
        return {"fleet.yaml": opening + body(self.fleet), **files}


def rule_values(rule: Rule) -> dict[str, Json]:
    """A rule as a spec writes it."""
    value: dict[str, Json] = {"type": rule.type, "action": rule.action if rule.type == "group" else rule.action.lower()}
    for key in _PARAMETERS:
        if said := getattr(rule, key):
            value[key] = int(said) if key in ("dport", "sport") and _NUMBER.fullmatch(said) else said
    if not rule.enable:
        value["enable"] = False
    if rule.comment:
        value["comment"] = shown(rule.comment, MAX_COMMENT)
    return value


def fleet_of(level: Level, data: bytes) -> FleetSketch:
    """The datacenter's level."""
    made = FleetSketch()
    values: dict[str, Json] = {key: _policy(level, key) for key in _POLICIES}
    owners: dict[int, tuple[Sketch, Path]] = {
        level.option_lines[key]: (made.fleet, (KEY, key)) for key in values if key in level.option_lines
    }
    if level.aliases:
        values["aliases"] = {alias.name: alias.cidr for alias in level.aliases.values()}
    for alias in level.aliases.values():
        owners[alias.where.line] = (made.fleet, (KEY, "aliases", alias.name))
        if alias.comment:
            made.fleet.beside[(KEY, "aliases", alias.name)] = alias.comment
    if level.ipsets:
        values["ipsets"] = {ipset.name: _entries(ipset, made.fleet, owners) for ipset in level.ipsets.values()}
    if level.rules:
        values["rules"] = [rule_values(rule) for rule in level.rules]
        owners |= {rule.where.line: (made.fleet, (KEY, "rules", i)) for i, rule in enumerate(level.rules)}
    made.fleet.values[KEY] = values
    for group in level.groups.values():
        sketch = made.groups[group.name] = Sketch()
        sketch.values["group"] = group.name
        if group.comment:
            sketch.values["comment"] = shown(group.comment, MAX_COMMENT)
        sketch.values["rules"] = [rule_values(rule) for rule in group.rules]
        owners[group.where.line] = (sketch, ("group",))
        owners |= {rule.where.line: (sketch, ("rules", i)) for i, rule in enumerate(group.rules)}
    _carry(data, owners, (made.fleet, (KEY,)))
    return made


def _policy(level: Level, key: str) -> str:
    return str(level.options.get(key, _POLICIES[key])).lower()


def _entries(ipset: IPSet, sketch: Sketch, owners: dict[int, tuple[Sketch, Path]]) -> list[Json]:
    path: Path = (KEY, "ipsets", ipset.name)
    owners[ipset.where.line] = (sketch, path)
    if ipset.comment:
        sketch.beside[path] = ipset.comment
    entries = sorted(ipset.entries, key=lambda entry: entry.cidr)  # as Proxmox writes them
    for index, entry in enumerate(entries):
        owners[entry.where.line] = (sketch, (*path, index))
        if entry.comment:
            sketch.beside[(*path, index)] = entry.comment
    return [f"{'!' if entry.nomatch else ''}{entry.cidr}" for entry in entries]


def add_host(level: Level, data: bytes, sketch: Sketch) -> None:
    """The host's own rules."""
    values: dict[str, Json] = {"rules": [rule_values(rule) for rule in level.rules]} if level.rules else {}
    sketch.values[KEY] = values
    owners = {rule.where.line: (sketch, (KEY, "rules", i)) for i, rule in enumerate(level.rules)}
    _carry(data, owners, (sketch, (KEY,)))


def add_guest(level: Level, data: bytes, name: str, sketch: Sketch) -> None:
    """A guest's number and rules, where `guests` names it."""
    guest = sketch.mapping("guests")[name]
    if not isinstance(guest, dict):
        raise TypeError(f"the guest {name} is not a mapping")
    values: dict[str, Json] = {
        key: _policy(level, key) for key in _POLICIES if level.options.get(key, _POLICIES[key]) != _POLICIES[key]
    }
    if level.options.get("macfilter") == 0:
        values["macfilter"] = False
    if _OWN_SET not in level.ipsets:
        values["ipfilter"] = False
    if level.rules:
        values["rules"] = [rule_values(rule) for rule in level.rules]
    guest |= {"vmid": int(level.vmid), KEY: values}
    path: Path = ("guests", name, KEY)
    owners = {rule.where.line: (sketch, (*path, "rules", i)) for i, rule in enumerate(level.rules)}
    _carry(data, owners, (sketch, path))


def _carry(data: bytes, owners: Mapping[int, tuple[Sketch, Path]], otherwise: tuple[Sketch, Path]) -> None:
    """Comment lines go above the key of the next line that the spec has; what is left, above the section."""
    waiting: list[str] = []
    for number, raw in enumerate(data.decode("utf-8", "replace").split("\n"), 1):
        text = raw.strip()
        if text.startswith("#") and text.lstrip("#").strip():
            waiting.append(text.lstrip("#").strip())
        elif number in owners and waiting:
            sketch, path = owners[number]
            sketch.comment(path, waiting)
            waiting = []
    sketch, path = otherwise
    if waiting and sketch.has(path):
        sketch.comment(path, waiting)
