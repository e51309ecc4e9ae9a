"""`firewall`: who may reach the host, who may pass through it, and by which rule."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from service.errors import InputError
from service.firewall.trace.host_trace import HostAnalyser
from service.kinds.claims import Claim, Filters, Masquerades, NeedsLoader, NeedsPackage
from service.kinds.firewall import proxmox
from service.kinds.firewall.derived import assemble, derives, deriving
from service.kinds.firewall.lint import (
    GROUP,
    RULE,
    RULES,
    blocked,
    left_open,
    open_to_neighbours,
    reserved_sets,
    unknown_interfaces,
)
from service.kinds.firewall.lint_families import OPEN_IN_IPV6, open_in_ipv6
from service.kinds.firewall.lint_forwards import FORWARD_BLOCKED, forwards_blocked
from service.kinds.firewall.lint_rules import DUPLICATE, SHADOWED, stale_ports, too_open
from service.kinds.firewall.lint_rules import RULES as OF_RULES
from service.kinds.packet_rules.checks import alone, uncompilable
from service.kinds.packet_rules.levels import KEY, Problem, host_level
from service.kinds.packet_rules.section import FirewallSection, GroupFile, SharedFirewallSection
from service.kinds.packet_rules.shared import group_problems, section_of, shared_level, shared_section
from service.kinds.packet_rules.useless import Useless
from service.kinds.published import closed_of, published_of
from service.model.observed import Watch
from service.resources.firewall import ClosedTable, FirewallTable, bridge_parts
from service.resources.resource import Resource
from service.spec.findings import Hit, LintRule
from service.spec.host import HostSpec, Shared


class Firewall:
    """Policies and rules for packets to, from and through the host, in Proxmox's terms."""

    name = KEY
    section: Any = FirewallSection
    shared_section: Any = SharedFirewallSection
    group_section: Any = GroupFile
    rules: tuple[LintRule, ...] = (*RULES, FORWARD_BLOCKED, OPEN_IN_IPV6, *OF_RULES, *proxmox.RULES)

    def lint(self, section: FirewallSection, host: HostSpec, claims: Sequence[Claim]) -> Iterator[Hit]:
        shared = shared_section(host)
        cluster, elsewhere = shared_level(shared, host.shared)
        level, problems = host_level(section, host, cluster)
        yield from map(_hit, problems)
        firewall = assemble(section, host, claims, derive=derives(section, shared), levels=(cluster, level))
        refused = list(uncompilable(firewall, level.rules))
        yield from (RULE.hit(("rules", index), words) for index, words in refused)
        yield from unknown_interfaces(level.rules, claims)
        if host.platform == "proxmox":
            yield from proxmox.lint_section(section, host)
        else:
            yield from reserved_sets(cluster)
        if problems or elsewhere or refused:
            return
        yield from Useless(SHADOWED, DUPLICATE).of_host(firewall)
        published = published_of(claims, host)
        yield from stale_ports(firewall, published, level.rules)
        if host.platform == "proxmox":
            node = proxmox.analyser(proxmox.node_firewall(section, host, claims))
            yield from self._lint_node(section, host, claims)
            if not isinstance(node, InputError):
                yield from open_in_ipv6(node, firewall, level.rules, published, claims)
        else:
            analyser = HostAnalyser(firewall)
            is_open = derives(section, shared).nat == "open"
            yield from left_open(claims) if is_open else ()
            yield from blocked(analyser, _without_masquerades(claims) if is_open else claims)
            yield from forwards_blocked(analyser, published, claims)
            yield from too_open(analyser, claims)
            yield from open_in_ipv6(analyser, firewall, level.rules, published, claims)

    def _lint_node(self, section: FirewallSection, host: HostSpec, claims: Sequence[Claim]) -> Iterator[Hit]:
        """What is wrong with what Proxmox itself would make of it."""
        node = proxmox.node_firewall(section, host, claims)
        wrong = list(proxmox.lint_files(node))
        yield from wrong
        if wrong:
            return
        analyser = proxmox.analyser(node)
        if isinstance(analyser, InputError):
            yield proxmox.UNREADABLE.hit((), analyser.what, analyser.hint)
            return
        yield from blocked(analyser, _without_masquerades(claims))
        derive = derives(section, shared_section(host))
        if derive.nat is not True:
            yield from left_open(claims) if derive.nat == "open" else open_to_neighbours(claims)
        yield from forwards_blocked(analyser, published_of(claims, host), claims)
        yield from too_open(analyser, claims)

    def lint_shared(self, section: SharedFirewallSection, shared: Shared) -> Iterator[Hit]:
        """What is wrong in fleet.yaml, which may use the names of groups/."""
        level, problems = shared_level(section, shared)
        yield from map(_hit, problems)
        for path, rules in (("rules",), level.rules), *((("groups", n), level.groups[n].rules) for n in section.groups):
            yield from (RULE.hit((*path, index), words) for index, words in uncompilable(alone(level), rules))
        if not problems:
            yield from Useless(SHADOWED, DUPLICATE).of_host(alone(replace(level, rules=()), level))

    def lint_groups(self, shared: Shared) -> Iterator[tuple[str, Hit]]:
        """What is wrong in the files of groups/."""
        section = section_of(shared)
        level, _ = shared_level(section, shared)
        yield from ((file, _hit(problem)) for file, problem in group_problems(section, shared))
        files = {group.file for group in shared.groups}
        for group in level.groups.values():
            if group.where.file in files:
                for index, words in uncompilable(alone(level), group.rules):
                    yield group.where.file, RULE.hit(("rules", index), words)

    def lint_fleet(self, hosts: Mapping[str, HostSpec]) -> Iterator[tuple[str, Hit]]:
        yield from ()

    def claims(self, section: FirewallSection) -> Iterator[Claim]:
        yield NeedsPackage("nftables", "firewall")
        yield NeedsLoader("firewall", "debian")
        yield Filters()

    def desire(self, section: FirewallSection | None, host: HostSpec, claims: Sequence[Claim]) -> Iterator[Resource]:
        firewall = None
        if section is not None and host.platform == "proxmox":
            yield from self._desire_node(section, host, claims)
            return
        if section is not None:
            derive = derives(section, shared_section(host))
            firewall = assemble(section, host, claims, derive=derive)
        yield FirewallTable(self.name, firewall)
        yield from bridge_parts(self.name, firewall)

    def _desire_node(self, section: FirewallSection, host: HostSpec, claims: Sequence[Claim]) -> Iterator[Resource]:
        """Proxmox's own files; what it cannot say is in a table of our own."""
        kept = deriving(claims, derives(section, shared_section(host)))
        closed = tuple(closed_of(kept, published_of(kept, host)))
        yield ClosedTable(self.name, closed)
        yield from bridge_parts(self.name, None)
        yield from proxmox.files(self.name, proxmox.node_firewall(section, host, claims), host)

    def watch(self) -> Watch:
        return Watch()


def _without_masquerades(claims: Sequence[Claim]) -> list[Claim]:
    return [claim for claim in claims if not isinstance(claim, Masquerades)]


def _hit(problem: Problem) -> Hit:
    path, words, right = problem
    return (GROUP if words.startswith("no group ") else RULE).hit(path, words, right)
