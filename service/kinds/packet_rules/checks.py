"""Rules that read well and could still not be loaded."""

from collections.abc import Iterator, Sequence

from service.firewall.host import HostFirewall, Policy
from service.firewall.pve.node import NodeFirewall
from service.firewall.terms.model import FAMILIES, Ignored, Level, Rule
from service.firewall.trace.host_chains import site_of
from service.firewall.trace.matching import LeftOut
from service.firewall.trace.sets import build_sets


def alone(cluster: Level, own: Level | None = None) -> HostFirewall:
    """Levels as a firewall that accepts what no rule decides about: enough to compile single rules."""
    accept = Policy("ACCEPT")
    return HostFirewall(NodeFirewall(cluster, own or cluster), accept, accept, accept)


def uncompilable(firewall: HostFirewall, rules: Sequence[Rule]) -> Iterator[tuple[int, str]]:
    """(index, words) of rules that read well and could not be loaded."""
    sets = build_sets(firewall.levels)
    for index, rule in enumerate(rules):
        words: list[str] = []
        for family in FAMILIES:
            if rule.type == "group" or rule.errors or not rule.works(family):
                continue
            refused: list[Ignored] = []
            try:
                site_of(firewall, family, sets, refused).steps(rule, {}, iface="in")
            except LeftOut as error:
                words.append(str(error))
            words += [item.reason for item in refused]
        if words:
            yield index, words[0]
