"""Proxmox's firewall files as Proxmox reads them: cluster.fw, host.fw, VMID.fw, VNET.fw (pve-firewall of early 2026).

    read_cluster(data, file, now_s) -> Reading
    read_host(data, file, cluster) -> Reading
    read_guest(data, file, vmid, env, cluster) -> Reading          env: vm or ct
    read_vnet(data, file, cluster) -> Reading

All but the last take `sdn`, the names of the sets that the SDN makes; None where nobody could look.

Reading never raises. What Proxmox skips is in `ignored`, what it says about it in `warnings` (its own words, the lines
of one rule sorted). Lines are handled as bytes; sections and names are found by the letter, as Proxmox finds them: a
carriage return or a comment behind `[RULES]` makes it no section.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from service.firewall.pve.options import BadLine, parse_option, parse_ratelimit
from service.firewall.pve.rules import (
    ALIAS,
    MAX_GROUP,
    MAX_NAME,
    NAME,
    WHITE,
    Scope,
    cut_comment,
    decoded,
    lower,
    read_rule,
)
from service.firewall.terms.addresses import ip_or_cidr
from service.firewall.terms.model import (
    Alias,
    Ignored,
    IPSet,
    IPSetEntry,
    Level,
    LevelKind,
    Rule,
    SecurityGroup,
    Setting,
    Where,
)

MAX_BYTES = 4 << 20

_BLANKS = " \t\xa0"  # what Proxmox strips from both ends of a line, in bytes
_PLAIN = {f"[{name}]": name for name in ("options", "aliases", "rules")}
_NAMED = re.compile(r"\[(group|ipset)\s+(\S+)\]\s*(?:#(.*))?", re.ASCII | re.IGNORECASE)
_NAME = re.compile(NAME)
_ALIAS_LINE = re.compile(r"(\S+)\s(\S+)", re.ASCII)
_ENTRY = re.compile(r"(!)?\s*(\S+)\s*", re.ASCII)
_ZERO_PREFIX = re.compile(r"/0+\Z")

_SECTIONS: dict[str, tuple[str, ...]] = {
    "cluster": ("options", "aliases", "ipset", "rules", "group"),
    "host": ("options", "rules"),
    "guest": ("options", "aliases", "ipset", "rules"),
    "vnet": ("options", "rules"),
}


@dataclass(frozen=True, slots=True)
class PveReading:
    """What was read of one file. `fatal` is why Proxmox keeps its old rule set, "" if it continues; `replaced` is what
    is defined again further down, which Proxmox does not report.
    """

    level: Level
    warnings: tuple[str, ...] = ()
    ignored: tuple[Ignored, ...] = ()
    fatal: str = ""
    replaced: tuple[Ignored, ...] = ()


@dataclass(slots=True)
class _Reader:
    kind: LevelKind
    file: str
    env: str
    vmid: str = ""
    now_s: int = 0
    cluster: Level | None = None
    sdn: Collection[str] | None = None
    section: str = ""
    name: str = ""
    where: Where = field(default_factory=lambda: Where("", 0))
    allowed: set[str] = field(default_factory=set)
    seen: set[str] = field(default_factory=set)
    options: dict[str, Setting] = field(default_factory=dict)
    option_lines: dict[str, int] = field(default_factory=dict)
    aliases: dict[str, Alias] = field(default_factory=dict)
    sets: dict[str, tuple[IPSet, list[IPSetEntry]]] = field(default_factory=dict)
    rules: list[Rule] = field(default_factory=list)
    groups: dict[str, tuple[SecurityGroup, list[Rule]]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    ignored: list[Ignored] = field(default_factory=list)
    replaced: list[Ignored] = field(default_factory=list)
    scope: Scope = field(init=False)
    group_scope: Scope = field(init=False)

    def __post_init__(self) -> None:
        self.allowed = set(_SECTIONS[self.kind])
        if self.cluster is None:
            known_aliases: Mapping[str, Alias] = self.aliases
            self.scope = Scope(self.env, known_aliases, self.sets, self.aliases, self.sets, self.sdn)
        else:
            known_aliases = self.cluster.aliases
            self.scope = Scope(self.env, known_aliases, self.cluster.ipsets, self.aliases, self.sets, self.sdn)
        self.group_scope = Scope("group", self.aliases, self.sets, sdn=self.sdn)

    def read(self, data: bytes) -> PveReading:
        text = data[:MAX_BYTES].decode("latin-1")
        lines = text.split("\n")
        if len(data) > MAX_BYTES:
            self.ignored.append(Ignored(Where(self.file, len(lines)), "", f"the file is longer than {MAX_BYTES} bytes"))
        for number, raw in enumerate(lines, 1):
            line = raw.strip(_BLANKS)
            if line.startswith("#") or not line.strip(" \t\n\r\f\v"):
                continue
            self.where = Where(self.file, number)
            if not self.enter_section(line):
                self.take(line)
        fatal = self.fatal()
        return PveReading(
            self.level(exists=bool(data)), tuple(self.warnings), tuple(self.ignored), fatal, tuple(self.replaced)
        )

    def level(self, *, exists: bool) -> Level:
        return Level(
            kind=self.kind,
            file=self.file,
            vmid=self.vmid,
            options=self.options,
            aliases=self.aliases,
            ipsets={
                name: IPSet(name, tuple(entries), head.comment, head.where)
                for name, (head, entries) in self.sets.items()
            },
            rules=tuple(self.rules),
            groups={
                name: SecurityGroup(name, tuple(rules), head.comment, head.where)
                for name, (head, rules) in self.groups.items()
            },
            exists=exists,
            option_lines=self.option_lines,
        )

    def fatal(self) -> str:
        value = self.options.get("log_ratelimit")
        if value is None:
            return ""
        try:
            parse_ratelimit(str(value))
        except BadLine as error:
            where = Where(self.file, self.option_lines["log_ratelimit"])
            self.ignored.append(Ignored(where, f"log_ratelimit: {value}", str(error), fatal=True))
            return str(error)
        return ""

    def enter_section(self, line: str) -> bool:
        if not line.startswith("["):
            return False
        plain = _PLAIN.get(line.lower())
        if plain in self.allowed:
            self.section = plain or ""
            return True
        named = _NAMED.fullmatch(line)
        if named is None or named[1].lower() not in self.allowed:
            return False
        self.enter_named(named[1].lower(), lower(named[2]), decoded((named[3] or "").strip(WHITE)), line)
        return True

    def enter_named(self, section: str, name: str, comment: str, line: str) -> None:
        what, longest = ("security group", MAX_GROUP) if section == "group" else ("ipset", MAX_NAME)
        problem = ""
        if len(name) > longest:
            problem = f"{what} name too long"
        elif not _NAME.fullmatch(name):
            problem = f"invalid {what} name '{decoded(name)}'"
        if problem:
            self.section = ""
            self.skip(line, problem)
            return
        self.section, self.name, self.seen = section, name, set()
        # a second section of the same name starts again, but keeps the first one's comment
        if section == "group":
            old_group = self.groups.get(name)
            self.replace(old_group[0].where if old_group else None, f"[group {name}]")
            comment = comment or (old_group[0].comment if old_group else "")
            self.groups[name] = SecurityGroup(name, (), comment, self.where), []
        else:
            old_set = self.sets.get(name)
            self.replace(old_set[0].where if old_set else None, f"[IPSET {name}]")
            comment = comment or (old_set[0].comment if old_set else "")
            self.sets[name] = IPSet(name, (), comment, self.where), []

    def take(self, line: str) -> None:
        takers: dict[str, Callable[[str], None]] = {
            "options": self.take_option,
            "aliases": self.take_alias,
            "ipset": self.take_entry,
            "rules": self.take_rule,
            "group": self.take_rule,
        }
        if not self.section:
            self.skip(line, "skip line - no section")
            return
        try:
            takers[self.section](line)
        except BadLine as error:
            self.skip(line, str(error))

    def skip(self, line: str, reason: str) -> None:
        self.warnings.append(f"{self.file} (line {self.where.line}): {decoded(reason)}")
        self.ignored.append(Ignored(self.where, decoded(line), decoded(reason)))

    def take_option(self, line: str) -> None:
        key, value = parse_option(line, self.kind, self.now_s)
        if key in self.options:
            self.replace(Where(self.file, self.option_lines[key]), decoded(f"{key}: {self.options[key]}"))
        self.options[key] = value
        self.option_lines[key] = self.where.line

    def take_alias(self, line: str) -> None:
        rest, comment = cut_comment(line)
        # blanks before a comment are part of it, blanks at the end of the line are not there any more
        rest = rest.rstrip(WHITE) if "#" in line else rest
        pair = _ALIAS_LINE.fullmatch(rest)
        if pair is None:
            reason = "an alias is NAME, one blank, ADDRESS; Proxmox skips this line silently"
            self.ignored.append(Ignored(self.where, decoded(line), reason))
            return
        value = ip_or_cidr(pair[2])
        if value is None:
            raise BadLine("value does not look like a valid IP address or CIDR network")
        name = decoded(pair[1])
        old = self.aliases.get(lower(pair[1]))
        self.replace(old.where if old else None, f"{old.name} {old.cidr}" if old else "")
        self.aliases[lower(pair[1])] = Alias(
            name, value[0], value[1], decoded(comment) if comment != "0" else "", self.where
        )

    def replace(self, where: Where | None, text: str) -> None:
        """What is at `where` has no effect, because it is here again; None = it does not are there."""
        if where is not None:
            reason = f"line {self.where.line} has it again, and Proxmox keeps the last one"
            self.replaced.append(Ignored(where, text, reason))

    def take_entry(self, line: str) -> None:
        rest, comment = cut_comment(line)
        found = _ENTRY.fullmatch(rest)
        cidr = found[2] if found else ""
        nomatch = found is None or bool(found[1])
        error = self.entry_error(cidr)
        value = ip_or_cidr(cidr)
        cidr = value[0] if value else cidr
        if not error and cidr in self.seen:
            error = f"duplicate ipset entry for '{cidr}'"
        if _ZERO_PREFIX.search(cidr):
            error = "a zero prefix is not allowed in ipset entries"
        errors = (("cidr", decoded(error)),) if error else ()
        if errors:
            self.say_errors(f"errors in ipset '{self.name}': {decoded(rest)}", errors, decoded(line))
        self.seen.add(cidr)
        kept = decoded(comment) if comment != "0" else ""
        self.sets[self.name][1].append(IPSetEntry(decoded(cidr), nomatch, kept, errors, self.where, decoded(line)))

    def entry_error(self, cidr: str) -> str:
        reference = ALIAS.fullmatch(cidr)
        if reference:
            known = self.scope.alias(reference[1] or "", reference[2])
            return "" if known else f"no such alias '{cidr}'"
        return "" if ip_or_cidr(cidr) else "value does not look like a valid IP address or CIDR network"

    def take_rule(self, line: str) -> None:
        in_group = self.section == "group"
        rule = read_rule(line, self.group_scope if in_group else self.scope, self.where)
        if rule.errors:
            self.say_errors(f"errors in rule parameters: {rule.text}", rule.errors, rule.text)
        if in_group:
            self.groups[self.name][1].append(rule)
        else:
            self.rules.append(rule)
        if self.kind == "host":
            self.allowed |= self.scope.asked

    def say_errors(self, head: str, errors: tuple[tuple[str, str], ...], text: str) -> None:
        self.warnings.append(f"{self.file} (line {self.where.line}) - {head}")
        self.warnings.extend(f"  {name}: {message}" for name, message in errors)
        reason = "; ".join(f"{name}: {message}" for name, message in errors)
        self.ignored.append(Ignored(self.where, text, reason))


def read_cluster(
    data: bytes, file: str = "cluster.fw", now_s: int = 0, sdn: Collection[str] | None = None
) -> PveReading:
    """The datacenter's file. `now_s` (seconds since 1970) decides whether a time given as `enable` is over."""
    return _Reader("cluster", file, "cluster", now_s=now_s, sdn=sdn).read(data)


def read_host(data: bytes, file: str, cluster: Level, sdn: Collection[str] | None = None) -> PveReading:
    """A node's file; `cluster` is what the datacenter's file defines."""
    return _Reader("host", file, "host", cluster=cluster, sdn=sdn).read(data)


def read_guest(
    data: bytes, file: str, vmid: str, env: str, cluster: Level, sdn: Collection[str] | None = None
) -> PveReading:
    """A guest's file; `env` is vm or ct."""
    return _Reader("guest", file, env, vmid, cluster=cluster, sdn=sdn).read(data)


def read_vnet(data: bytes, file: str, cluster: Level, sdn: Collection[str] | None = None) -> PveReading:
    """A VNet's file: rules for what passes through its bridge. Only proxmox-firewall (nftables) obeys them."""
    return _Reader("vnet", file, "vnet", cluster=cluster, sdn=sdn).read(data)
