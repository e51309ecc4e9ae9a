"""One line of a [RULES] or [group …] section: how Proxmox reads it, and what makes it a rule in error.

    read_rule(line, scope, where) -> Rule      raises BadLine where Proxmox skips the line

    line := ["|"] TYPE ACTION { flag } [# comment]        (pve-firewall, pve-docs: firewall configuration)

A rule in error is kept with its errors, one message a parameter, and never compiled. Definitions must come before their
use, so the scope is what has been read so far.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from service.firewall.pve.options import BadLine
from service.firewall.pve.sdn import SDN_SET
from service.firewall.terms.icmp import ICMP_TYPES, ICMPV6_TYPES
from service.firewall.terms.macros import find_macro
from service.firewall.terms.model import LOG_LEVELS, NOWHERE, Alias, Rule, Where, is_given
from service.firewall.terms.names import has_ports, is_protocol
from service.firewall.terms.net_ip import Unusable, check
from service.firewall.terms.ports import BadPorts, check_ports

NAME = r"[A-Za-z][A-Za-z0-9_-]+"
ALIAS = re.compile(rf"(guest/|dc/)?({NAME})")
IPSET = re.compile(rf"\+(guest/|dc/|sdn/)?({NAME})")
WHITE = " \t\n\r\f\v"  # what Perl's \s is in bytes
MAX_NAME = 64
MAX_GROUP = 18

_GROUP_NAME = re.compile(NAME)
_START = re.compile(r"(\S+)\s+(\S+)\s*", re.ASCII)
_MACRO = re.compile(r"(\S+)\((ACCEPT|DROP|REJECT)\)", re.ASCII)
_IFACE_FLAG = re.compile(r"-i (\S+)\s*", re.ASCII)
_FLAGS = (
    ("proto", re.compile(r"(?:-p|--?proto) (\S+)\s*", re.ASCII)),
    ("dport", re.compile(r"--?dport (\S+)\s*", re.ASCII)),
    ("sport", re.compile(r"--?sport (\S+)\s*", re.ASCII)),
    ("source", re.compile(r"--?source (\S+)\s*", re.ASCII)),
    ("dest", re.compile(r"--?dest (\S+)\s*", re.ASCII)),
    ("log", re.compile(rf"--?log ({'|'.join(LOG_LEVELS)})\s*", re.ASCII)),
    ("icmp_type", re.compile(r"--?icmp-type (\S+)\s*", re.ASCII)),
)
_INTERFACE = re.compile(r"[a-z][a-z0-9_]{1,20}(?:[:.][0-9]+)?", re.IGNORECASE | re.ASCII)
_CARD = re.compile(r"net[0-9]+")

_TYPES = {
    "cluster": ("in", "out", "forward", "group"),
    "host": ("in", "out", "forward", "group"),
    "group": ("in", "out", "forward"),
    "vnet": ("forward", "group"),
    "vm": ("in", "out", "group"),
    "ct": ("in", "out", "group"),
}
_ACTIONS = {"in": ("ACCEPT", "DROP", "REJECT"), "out": ("ACCEPT", "DROP", "REJECT"), "forward": ("ACCEPT", "DROP")}


@dataclass(slots=True)
class Scope:
    """What a rule may refer to when it is read. `env` is cluster, host, group, vm or ct.

    `own_*` are of the file itself (None for groups). Looking for a name in a host's file makes Proxmox take the
    sections [ALIASES] and [IPSET …] there from then on: `asked` collects what was looked for. `sdn` are the sets that
    Proxmox's SDN makes; None where nobody could look: then every name of their form may be one.
    """

    env: str
    aliases: Mapping[str, Alias]
    ipsets: Collection[str]
    own_aliases: Mapping[str, Alias] | None = None
    own_ipsets: Collection[str] | None = None
    sdn: Collection[str] | None = None
    asked: set[str] = field(default_factory=set)

    def alias(self, prefix: str, name: str) -> Alias | None:
        """The alias that a reference means, None if there is none in that scope."""
        found = None
        if prefix != "dc/" and self.own_aliases is not None:
            self.asked.add("aliases")
            found = self.own_aliases.get(name.lower())
        if found is None and prefix != "guest/":
            found = self.aliases.get(name.lower())
        return found

    def knows_alias(self, name: str) -> bool:
        """Whether any file in reach defines the alias, whatever the prefix of the reference."""
        if name.lower() in self.aliases:
            return True
        if self.own_aliases is None:
            return False
        self.asked.add("aliases")
        return name.lower() in self.own_aliases

    def knows_ipset(self, prefix: str, name: str) -> bool:
        """Whether any file in reach defines the set, or the SDN makes it."""
        if prefix == "sdn/":
            return bool(SDN_SET.fullmatch(name)) if self.sdn is None else name in self.sdn
        if name in self.ipsets:
            return True
        if self.own_ipsets is None:
            return False
        self.asked.add("ipset")
        return name in self.own_ipsets


class _Mixed(Exception):  # noqa: N818 (an answer, not a fault)
    """IPv4 and IPv6 in one rule."""


@dataclass(slots=True)
class _Check:
    """The checks of one rule; the first message of a parameter stays."""

    scope: Scope
    rule: dict[str, str]
    errors: dict[str, str] = field(default_factory=dict)
    family: int = 0

    def given(self, name: str) -> str:
        value = self.rule.get(name, "")
        return value if is_given(value) else ""

    def error(self, parameter: str, message: str) -> None:
        self.errors.setdefault(parameter, message)

    def narrow(self, family: int) -> None:
        if family:
            if self.family not in (0, family):
                raise _Mixed
            self.family = family

    def run(self) -> None:
        self.check_type()
        self.check_iface()
        self.check_macro_name()
        self.check_proto()
        self.check_dport()
        self.check_icmp_type()
        self.check_sport()
        self.check_address("source")
        self.check_address("dest")
        if self.given("macro") and not self.errors:
            self.check_macro()

    def check_type(self) -> None:
        kind, action = self.given("type"), self.given("action")
        if not kind:
            self.error("type", "missing property")
        elif kind not in _TYPES[self.scope.env]:
            self.error("type", f"invalid rule type '{kind}' for rule_env '{self.scope.env}'")
        if not action:
            self.error("action", "missing property")
        elif kind == "group":
            if not _GROUP_NAME.fullmatch(action):
                self.error("action", "invalid characters in security group name")
        elif kind in _ACTIONS and action not in _ACTIONS[kind]:
            self.error("action", f"unknown action '{action}'")

    def check_iface(self) -> None:
        iface = self.given("iface")
        if not iface:
            return
        if self.scope.env == "group":
            self.error("type", "parameter -i not allowed for this rule type")
        if not _INTERFACE.fullmatch(iface):
            self.error("iface", f"invalid network interface name '{iface}'")
        if self.scope.env in ("vm", "ct") and not _CARD.fullmatch(iface):
            self.error("iface", "value does not match the regex pattern 'net\\d+'")

    def check_macro_name(self) -> None:
        name = self.given("macro")
        if name:
            macro = find_macro(name)
            if macro is None:
                self.error("macro", f"unknown macro '{name}'")
            else:
                self.rule["macro"] = macro.name

    def check_proto(self) -> None:
        proto = self.given("proto")
        if proto:
            if not is_protocol(proto):
                self.error("proto", f"unknown protocol '{proto}'")
            self.narrow({"icmp": 4, "icmpv6": 6, "ipv6-icmp": 6}.get(proto, 0))

    def check_dport(self) -> None:
        ports, proto = self.given("dport"), self.given("proto")
        if ports:
            self._check_ports("dport", ports)
            if not proto:
                self.error("proto", "missing property - 'dport' requires this property")
            if not has_ports(proto) and proto not in ("icmp", "icmpv6"):
                self.error("dport", f"protocol '{proto}' does not support ports")

    def check_sport(self) -> None:
        ports, proto = self.given("sport"), self.given("proto")
        if ports:
            self._check_ports("sport", ports)
            if not proto:
                self.error("proto", "missing property - 'sport' requires this property")
            if not has_ports(proto):
                self.error("sport", f"protocol '{proto}' does not support ports")

    def _check_ports(self, name: str, ports: str) -> None:
        try:
            check_ports(ports, dest=name == "dport")
        except BadPorts as error:
            self.error(name, str(error))

    def check_icmp_type(self) -> None:
        kind, proto = self.given("icmp_type"), self.given("proto")
        if not kind:
            return
        if proto not in ("icmp", "icmpv6", "ipv6-icmp"):
            self.error("proto", "missing property - 'icmp-type' requires this property")
        if self.given("dport"):
            self.error("icmp-type", "'icmp-type' cannot be specified together with 'dport'")
        if proto == "icmp" and kind not in ICMP_TYPES:
            self.error("icmp-type", f"invalid icmp-type '{kind}' for proto 'icmp'")
        elif proto in ("icmpv6", "ipv6-icmp") and kind not in ICMPV6_TYPES:
            self.error("icmp-type", f"invalid icmp-type '{kind}' for proto '{proto}'")

    def check_address(self, name: str) -> None:
        address = self.given(name)
        if not address:
            return
        try:
            self.narrow(_family_of_list(address))
        except Unusable as error:
            self.error(name, str(error))
        except _Mixed:
            self.error(name, "detected mixed ipv4/ipv6 addresses in rule")
        self._check_reference(name, address)

    def _check_reference(self, name: str, address: str) -> None:
        if address.startswith("+"):
            ipset = IPSET.fullmatch(address)
            if not ipset:
                self.error(name, f"invalid ipset name '{address}'")
            elif not self.scope.knows_ipset(ipset[1] or "", ipset[2]):
                self.error(name, f"no such ipset '{ipset[2]}'")
            return
        reference = ALIAS.fullmatch(address)
        if reference:
            if not self.scope.knows_alias(reference[2]):
                self.error(name, f"no such alias '{address}'")
            alias = self.scope.alias(reference[1] or "", reference[2])
            if alias is not None:
                # here Proxmox does not catch its own complaint: the whole line is skipped
                self.narrow(alias.family)

    def check_macro(self) -> None:
        macro = find_macro(self.rule["macro"])
        for line in macro.lines_as_checked(self.family) if macro else ():
            for name, value in line.fixed().items():
                given = self.rule.get(name, "")
                if given and given != value:
                    shown = name.replace("_", "-")
                    self.error(shown, f"parameter '{shown}' already define in macro (value = '{value}')")
                    return


def _family_of_list(text: str) -> int:
    """The family of an address, range or list; 0 for names. Raises Unusable with Proxmox's words."""
    if len(text) > 1 and text.startswith("+"):
        if len(text) > MAX_NAME + 1:
            raise Unusable("ipset name too long")
        return 0
    if ALIAS.fullmatch(text):
        if len(text) > MAX_NAME:
            raise Unusable("alias name too long")
        return 0
    if text.endswith(","):
        raise Unusable("extraneous commas in list")
    family = 0
    items = text.split(",")
    for item in items:
        try:
            found = check(item)
        except Unusable as error:
            raise Unusable(f"invalid IP address: {error}") from None
        if family not in (0, found):
            raise Unusable(f"detected mixed ipv4/ipv6 addresses in address list '{text}'")
        family = found
    if len(items) > 1 and any("-" in item for item in items):
        raise Unusable("you can't use a range in a list")
    return family


def read_rule(line: str, scope: Scope, where: Where) -> Rule:
    """The rule of one line, without blanks around it. Raises BadLine."""
    rest, comment = cut_comment(line)
    enable = not rest.startswith("|")
    rest = rest if enable else rest[1:]
    start = _START.match(rest)
    if start is None:
        raise BadLine(f"unable to parse rule: {rest}")
    values = {"type": lower(start[1]), "action": start[2]}
    macro = _MACRO.fullmatch(start[2])
    if macro and values["type"] in _ACTIONS:
        values |= {"macro": macro[1], "action": macro[2]}
    rest = _read_flags(rest[start.end() :], values)
    if rest:
        raise BadLine(f"unable to parse rule parameters: {rest}")
    checked = _Check(scope, values)
    try:
        checked.run()
    except _Mixed:
        raise BadLine("detected mixed ipv4/ipv6 addresses in rule") from None
    shown = {name: decoded(value) for name, value in values.items()}
    errors = tuple(sorted((name, decoded(message)) for name, message in checked.errors.items()))
    return Rule(
        **shown,
        enable=enable,
        comment=decoded(comment),
        family=checked.family,
        errors=errors,
        where=where,
        follows=NOWHERE,
        text=decoded(line),
    )


def _read_flags(rest: str, values: dict[str, str]) -> str:
    """Take flags from the front; returns what is left over. The last of several equal flags counts."""
    place = 0
    while place < len(rest):
        found = _IFACE_FLAG.match(rest, place)
        name = "iface"
        if found is None and values["type"] != "group":
            for name, pattern in _FLAGS:  # noqa: B007 (the name is used below)
                found = pattern.match(rest, place)
                if found:
                    break
        if found is None:
            break
        values[name] = found[1]
        place = found.end()
    return rest[place:]


def cut_comment(line: str) -> tuple[str, str]:
    """A line without its comment, and the comment without the blanks around it."""
    rest, _, comment = line.partition("#")
    return rest, comment.strip(WHITE)


def decoded(text: str) -> str:
    """Text for people: lines are handled as bytes (as Latin-1), their meaning is UTF-8."""
    return text if text.isascii() else text.encode("latin-1", "replace").decode("utf-8", "replace")


def lower(text: str) -> str:
    """Lower case of ASCII letters only, as Perl does with bytes."""
    return text.lower() if text.isascii() else text.encode("latin-1", "replace").lower().decode("latin-1")
