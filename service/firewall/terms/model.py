"""The firewall in Proxmox's terms: rules, security groups, aliases, IP sets and options at three levels.

A `Level` is what one file of Proxmox VE holds, or one section of a spec: the cluster (datacenter), one host (node), one
guest. Strings are as they are written; "" means not given. IPv4 and IPv6 live side by side in one level.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

LevelKind = Literal["cluster", "host", "guest", "vnet"]
Family = Literal[4, 6]
Setting = int | str

FAMILIES: tuple[Family, ...] = (4, 6)
LOG_LEVELS = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug", "nolog")


def is_given(value: str) -> bool:
    """Whether a parameter counts as given: Proxmox takes a bare 0 for nothing (`-dport 0` opens every port)."""
    return value not in ("", "0")


def names_nothing(text: str) -> bool:
    """Whether a source or dest has no name of an alias or a set in it: names begin with a letter or +."""
    return not text or (text[0] in "0123456789:" and text.isascii())


@dataclass(frozen=True, slots=True)
class Where:
    """A line of a file, counted from 1."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


NOWHERE = Where("", 0)


@dataclass(frozen=True, slots=True)
class Ignored:
    """A line that has no effect, or that keeps the whole rule set from being loaded (`fatal`), and why."""

    where: Where
    text: str
    reason: str
    fatal: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. A rule with `errors` (parameter, message) is kept and shown but never has an effect.

    `type` is in, out, forward or group; `action` ACCEPT, DROP, REJECT or, for a group, the name of the group.
    `family` is 4 or 6 where protocol or addresses leave only that one, else 0. `follows` is the line from which a rule
    follows that nobody wrote.
    """

    type: str
    action: str
    macro: str = ""
    iface: str = ""
    source: str = ""
    dest: str = ""
    proto: str = ""
    dport: str = ""
    sport: str = ""
    icmp_type: str = ""
    log: str = ""
    enable: bool = True
    comment: str = ""
    family: int = 0
    errors: tuple[tuple[str, str], ...] = ()
    where: Where = field(default=NOWHERE, compare=False)
    text: str = field(default="", compare=False)
    follows: Where = field(default=NOWHERE, compare=False)

    def works(self, family: int) -> bool:
        """Whether the rule is on, without errors, and meant for packets of this family (0: of any)."""
        return self.enable and not self.errors and (self.family in (0, family) or not family)

    @property
    def is_literal(self) -> bool:
        """Whether its addresses are written out, without names: then it means the same in every place, and what it
        means can be remembered by its words."""
        return names_nothing(self.source) and names_nothing(self.dest)


@dataclass(frozen=True, slots=True)
class SecurityGroup:
    """Rules under a name, defined at the cluster level; rules of type group refer to it."""

    name: str
    rules: tuple[Rule, ...] = ()
    comment: str = ""
    where: Where = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class Alias:
    """A name for one address or network. Found without regard to case."""

    name: str
    cidr: str
    family: Family
    comment: str = ""
    where: Where = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class IPSetEntry:
    """An address, a network or an alias; `nomatch` makes it a hole in the set. The longest prefix decides."""

    cidr: str
    nomatch: bool = False
    comment: str = ""
    errors: tuple[tuple[str, str], ...] = ()
    where: Where = field(default=NOWHERE, compare=False)
    text: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class IPSet:
    """Addresses under a name. `blacklist`, `management` and `ipfilter-netN` have a meaning of their own."""

    name: str
    entries: tuple[IPSetEntry, ...] = ()
    comment: str = ""
    where: Where = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class Level:
    """Everything of one level. Aliases are keyed by their lower-case name, sets and groups by their name.

    `exists` is false where there is no file, or an empty one. `vmid` is the guest's number, "" for the others.
    """

    kind: LevelKind
    file: str
    vmid: str = ""
    options: Mapping[str, Setting] = field(default_factory=dict)
    aliases: Mapping[str, Alias] = field(default_factory=dict)
    ipsets: Mapping[str, IPSet] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    groups: Mapping[str, SecurityGroup] = field(default_factory=dict)
    exists: bool = True
    option_lines: Mapping[str, int] = field(default_factory=dict, compare=False)

    def on(self, option: str, *, default: bool) -> bool:
        """A switch."""
        return bool(self.options.get(option, default))

    def policy(self, direction: str, default: str) -> str:
        """ACCEPT, DROP or REJECT for what no rule of this level decides; `direction` is in or out."""
        return str(self.options.get(f"policy_{direction}", default))

    def option_where(self, option: str) -> Where | None:
        """Where the option was set, None where its default holds."""
        line = self.option_lines.get(option)
        return None if line is None else Where(self.file, line)

    def scope_id(self) -> str:
        """Under which number the kernel's sets of this level are named: the guest's, or 0."""
        return self.vmid or "0"
