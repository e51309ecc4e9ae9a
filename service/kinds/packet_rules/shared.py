"""The level of the datacenter: what fleet.yaml and the files of groups/ say together.

    shared_level(section, shared) -> (Level, problems of fleet.yaml)
    group_problems(section, shared) -> (file, problem) of the files of groups/

A name belongs to the first file that defines it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from service.firewall.pve.rules import Scope
from service.firewall.terms.addresses import split_cidr
from service.firewall.terms.model import Alias, Family, IPSet, IPSetEntry, Level, Rule, SecurityGroup, Where
from service.kinds.packet_rules.levels import KEY, Problem, RuleReading, unknown_groups
from service.kinds.packet_rules.section import FirewallRule, GroupFile, SharedFirewallSection
from service.spec.findings import Path
from service.spec.host import HostSpec, Shared, SharedFile

_NAMED = {"aliases": "alias", "ipsets": "set", "groups": "group"}


@dataclass(slots=True)
class _Names:
    """What has a name, and which file defined it first."""

    aliases: dict[str, Alias] = field(default_factory=dict)
    ipsets: dict[str, IPSet] = field(default_factory=dict)
    first: dict[tuple[str, str], str] = field(default_factory=dict)

    def take(self, file: str, aliases: Mapping[str, str], ipsets: Mapping[str, Sequence[str]]) -> Iterator[Problem]:
        """Add the names of a file; problems are names that another file has already."""
        for name, cidr in aliases.items():
            yield from self.claim(file, "aliases", name)
            self.aliases.setdefault(name, Alias(name, cidr, _family(cidr)))
        for name, entries in ipsets.items():
            yield from self.claim(file, "ipsets", name)
            found = tuple(IPSetEntry(e.removeprefix("!"), e.startswith("!")) for e in entries)
            self.ipsets.setdefault(name, IPSet(name, found))

    def claim(self, file: str, sort: str, name: str) -> Iterator[Problem]:
        """A name belongs to the first file that has it."""
        first = self.first.setdefault((sort, name), file)
        if first != file:
            yield (sort, name), f"the {_NAMED[sort]} {name} is already defined in {first}", "keep one of the two"


def shared_level(section: SharedFirewallSection | None, shared: Shared) -> tuple[Level, list[Problem]]:
    """The level, and the problems of fleet.yaml, with paths that start in its section."""
    level, problems = _read(section, shared)
    return level, problems.get(shared.file, [])


def group_problems(section: SharedFirewallSection | None, shared: Shared) -> Iterator[tuple[str, Problem]]:
    """The problems of the files of groups/, with paths from the top of the file."""
    _, problems = _read(section, shared)
    for group in shared.groups:
        for problem in problems.get(group.file, []):
            yield group.file, problem


def shared_section(host: HostSpec) -> SharedFirewallSection | None:
    """What fleet.yaml says."""
    return section_of(host.shared)


def section_of(shared: Shared) -> SharedFirewallSection | None:
    """What fleet.yaml says."""
    section = shared.sections.get(KEY)
    return section if isinstance(section, SharedFirewallSection) else None


def cluster_level(host: HostSpec) -> Level:
    """The level of the datacenter as a host of the fleet has it."""
    return shared_level(shared_section(host), host.shared)[0]


def _read(section: SharedFirewallSection | None, shared: Shared) -> tuple[Level, dict[str, list[Problem]]]:
    if section is None and not shared.groups:
        return Level("cluster", shared.file, exists=False), {}
    fleet = section or SharedFirewallSection()
    names = _Names()
    problems: dict[str, list[Problem]] = {shared.file: [*names.take(shared.file, fleet.aliases, fleet.ipsets)]}
    for name in fleet.groups:
        names.first["groups", name] = shared.file
    files = [(file, file.section) for file in shared.groups if isinstance(file.section, GroupFile)]
    for file, group in files:
        found = problems.setdefault(file.file, [])
        found += names.take(file.file, group.aliases, group.ipsets)
        if group.rules is not None:
            found += ((("group",), words, right) for _, words, right in names.claim(file.file, "groups", group.group))
    scope = Scope("group", names.aliases, names.ipsets, sdn=())
    problems[shared.file] += _set_problems(fleet.ipsets, names.aliases)
    reading = RuleReading(shared, scope, problems=problems[shared.file])
    groups = {
        name: SecurityGroup(name, _members(reading, rules, ("groups", name))) for name, rules in fleet.groups.items()
    }
    for file, group in files:
        problems[file.file] += _set_problems(group.ipsets, names.aliases)
        if group.rules is not None:
            made = _group(file, group, scope, problems[file.file])
            groups.setdefault(made.name, made)
    reading.scope = Scope("cluster", names.aliases, names.ipsets, sdn=())
    rules = reading.rules(fleet.rules, ("rules",))
    level = Level("cluster", shared.file, aliases=names.aliases, ipsets=names.ipsets, rules=rules, groups=groups)
    problems[shared.file] += unknown_groups(fleet, level)
    return level, problems


def _group(file: SharedFile, group: GroupFile, scope: Scope, problems: list[Problem]) -> SecurityGroup:
    reading = RuleReading(file, scope, top=(), problems=problems)
    where = Where(*file.where(("group",)))
    return SecurityGroup(group.group, _members(reading, group.rules or (), ("rules",)), group.comment or "", where)


def _members(reading: RuleReading, rules: Sequence[FirewallRule], path: Path) -> tuple[Rule, ...]:
    """The rules of a group, which names neither groups nor interfaces."""
    reading.problems += [
        ((*path, index, key), f"a rule of a group takes no {key}", "write it in the rule that uses the group")
        for index, rule in enumerate(rules)
        for key, stands in (("type", rule.type == "group"), ("iface", rule.iface is not None))
        if stands
    ]
    return reading.rules(rules, path)


def _set_problems(ipsets: Mapping[str, Sequence[str]], aliases: Mapping[str, Alias]) -> Iterator[Problem]:
    for name, entries in ipsets.items():
        yield from _entry_problems(name, entries, aliases)


def _entry_problems(name: str, entries: Sequence[str], aliases: Mapping[str, Alias]) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, entry in enumerate(entries):
        bare = entry.removeprefix("!").removeprefix("dc/")
        alias = aliases.get(bare)
        cidr = alias.cidr if alias else bare
        if alias is None and split_cidr(bare) is None:
            yield ("ipsets", name, index), f"no alias is named {bare}", "add it to `aliases`"
        elif cidr in seen:
            yield ("ipsets", name, index), f"{cidr} is already in the set", "keep one of the two"
        elif cidr.endswith("/0"):
            yield ("ipsets", name, index), f"{cidr} means every address", "remove it: a set cannot contain a /0 network"
        seen.add(cidr)


def _family(cidr: str) -> Family:
    return 6 if ":" in cidr else 4
