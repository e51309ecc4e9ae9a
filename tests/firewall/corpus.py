"""The cases: firewall files, and what Proxmox's reader and compiler and the Linux kernel made of them."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from service.firewall.pve.node import Node, PveFolder, read_firewall
from service.firewall.terms.model import Level, Rule

CASES = Path(__file__).parent / "cases"
NOW_S = 1_767_225_600  # the start of 2026
READ_FILES = re.compile(r"cluster\.fw|host\.fw|[0-9]+\.fw|guests\.json|corosync\.conf")

Object = dict[str, object]


@dataclass(frozen=True)
class Case:
    """One folder."""

    path: Path

    @cached_property
    def facts(self) -> dict[str, object]:
        """case.json"""
        found: dict[str, object] = json.loads((self.path / "case.json").read_text())
        return found

    @property
    def files(self) -> dict[str, bytes]:
        """The files that a node has."""
        return {entry.name: entry.read_bytes() for entry in self.path.iterdir() if READ_FILES.fullmatch(entry.name)}

    @property
    def node(self) -> Node:
        """What the files do not say."""
        altnames = self.facts.get("altnames", {})
        assert isinstance(altnames, dict)
        names = {name: card for card, others in altnames.items() for name in others}
        return Node(str(self.facts["localnet"]), str(self.facts["host_ip"]), names, NOW_S)

    def read(self) -> PveFolder:
        """The folder as read."""
        return read_firewall(self.files, self.node)

    @property
    def packets(self) -> list[Object]:
        """The packets with their verdicts."""
        return [json.loads(line) for line in (self.path / "packets.jsonl").read_text().splitlines()]

    @property
    def parsed(self) -> dict[str, object] | None:
        """What the reader keeps, None where it dies."""
        file = self.path / "parsed.json"
        return json.loads(file.read_text().replace(r'entries\n"', 'entries"')) if file.exists() else None


def cases() -> Iterator[Case]:
    """All cases."""
    return (Case(path) for path in sorted(CASES.iterdir()) if path.is_dir())


def as_parsed(level: Level) -> Object:
    """A level in the form of parsed.json."""
    if not level.exists:
        return {}
    shown: Object = {
        "options": dict(level.options),
        "rules": [_rule(rule) for rule in level.rules],
        "aliases": {
            key: _given(name=alias.name, cidr=alias.cidr, ipversion=alias.family, comment=alias.comment)
            for key, alias in level.aliases.items()
        },
        "ipset": {
            name: [
                _given(cidr=entry.cidr, nomatch=int(entry.nomatch), comment=entry.comment, errors=dict(entry.errors))
                for entry in ipset.entries
            ]
            for name, ipset in level.ipsets.items()
        },
        "ipset_comments": {name: ipset.comment for name, ipset in level.ipsets.items() if ipset.comment},
    }
    if level.kind == "cluster":
        shown["groups"] = {name: [_rule(rule) for rule in group.rules] for name, group in level.groups.items()}
        shown["group_comments"] = {name: group.comment for name, group in level.groups.items() if group.comment}
    if level.kind == "guest":
        shown["vmid"] = level.vmid
    return shown


def _given(**values: object) -> Object:
    return {key: value for key, value in values.items() if value}


def _rule(rule: Rule) -> Object:
    names = ("type", "action", "macro", "iface", "source", "dest", "proto", "dport", "sport", "log", "comment")
    shown = _given(**{name: getattr(rule, name) for name in names}, ipversion=rule.family, errors=dict(rule.errors))
    if rule.icmp_type:
        shown["icmp-type"] = rule.icmp_type
    return {**shown, "enable": int(rule.enable)}


def without_empty(level: Object) -> Object:
    """parsed.json of a node without the empty tables that Proxmox makes by asking for them."""
    return {key: value for key, value in level.items() if value or key in ("options", "rules")}
