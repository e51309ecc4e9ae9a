"""A level as Proxmox writes its file: sections OPTIONS, ALIASES, IPSET, RULES, groups; flags in Proxmox's order.

    render(level, cluster=None) -> bytes        raises InputError for what the file cannot say
    canonical(level) -> Level                   what reading the result gives

What is written is read again and compared, so no value can become something else: not another line, not another rule,
not a rule in error.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from service.errors import InputError
from service.firewall.pve.files import read_cluster, read_guest, read_host
from service.firewall.terms.model import Alias, IPSet, Level, Rule

_FLAGS = (
    ("iface", "-i"),
    ("source", "-source"),
    ("dest", "-dest"),
    ("proto", "-p"),
    ("dport", "-dport"),
    ("sport", "-sport"),
    ("log", "-log"),
    ("icmp_type", "-icmp-type"),
)


def canonical(level: Level) -> Level:
    """The level with the entries of its sets in Proxmox's order."""
    ipsets = {
        name: replace(ipset, entries=tuple(sorted(ipset.entries, key=lambda entry: entry.cidr)))
        for name, ipset in level.ipsets.items()
    }
    return replace(level, ipsets=ipsets)


def render(level: Level, cluster: Level | None = None, env: str = "vm") -> bytes:
    """The file of a level. Hosts and guests need the cluster's level, whose names they may use; `env` is vm or ct."""
    data = "".join(_sections(level)).encode("utf-8", "surrogatepass")
    known = cluster or Level("cluster", "cluster.fw", exists=False)
    if level.kind == "cluster":
        reading = read_cluster(data, level.file)
    elif level.kind == "host":
        reading = read_host(data, level.file, known)
    else:
        reading = read_guest(data, level.file, level.vmid, env, known)
    wanted = replace(canonical(level), exists=bool(data))
    if reading.ignored or reading.fatal or reading.level != wanted:
        said = next((f"{item.where}: {item.reason}" for item in reading.ignored), _difference(reading.level, wanted))
        raise InputError(f"{level.file} cannot be written as Proxmox would read it: {said}")
    return data


def _difference(read: Level, wanted: Level) -> str:
    names = ("options", "aliases", "ipsets", "rules", "groups")
    return (
        f"its {next((name for name in names if getattr(read, name) != getattr(wanted, name)), 'content')} would change"
    )


def _sections(level: Level) -> Iterator[str]:
    if level.options:
        lines = (f"{key}: {value}" for key, value in sorted(level.options.items()))
        yield _section("[OPTIONS]", lines)
    if level.aliases:
        yield _section("[ALIASES]", (_alias(level.aliases[key]) for key in sorted(level.aliases)))
    for name in sorted(level.ipsets):
        ipset = level.ipsets[name]
        yield _section(_commented(f"[IPSET {name}]", ipset.comment), _entries(ipset))
    if level.rules:
        yield _section("[RULES]", map(rule_line, level.rules))
    for name in sorted(level.groups):
        group = level.groups[name]
        yield _section(_commented(f"[group {name}]", group.comment), map(rule_line, group.rules))


def _section(head: str, lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in (head, "", *lines, ""))


def _alias(alias: Alias) -> str:
    return _commented(f"{alias.name} {alias.cidr}", alias.comment)


def _entries(ipset: IPSet) -> Iterator[str]:
    for entry in sorted(ipset.entries, key=lambda entry: entry.cidr):
        yield _commented(f"{'!' if entry.nomatch else ''}{entry.cidr}", entry.comment)


def rule_line(rule: Rule) -> str:
    """One rule as Proxmox spells it."""
    action = f"{rule.macro}({rule.action})" if rule.macro else rule.action
    words = [("" if rule.enable else "|") + rule.type.upper(), action]
    for name, flag in _FLAGS:
        value = getattr(rule, name)
        if value:
            words += [flag, value]
    return _commented(" ".join(words), rule.comment)


def _commented(text: str, comment: str) -> str:
    return f"{text} # {comment}" if comment else text
