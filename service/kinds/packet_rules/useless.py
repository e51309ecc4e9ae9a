"""Rules without an effect: an earlier rule matches all their packets."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from service.firewall.host import Direction, FilteredGuest, HostFirewall
from service.firewall.terms.model import Rule
from service.firewall.trace.cover import shadowed
from service.firewall.trace.sets import Sets, build_sets
from service.spec.findings import Hit, LintRule, Path

_DIRECTIONS: tuple[Direction, ...] = ("in", "out", "forward")


@dataclass(frozen=True, slots=True)
class Useless:
    """The findings for a rule without an effect, and for a rule that is there twice."""

    shadowed: LintRule
    duplicate: LintRule

    def of_host(self, firewall: HostFirewall) -> Iterator[Hit]:
        """Of a host's own rules, with paths that start in its section."""
        sets = build_sets(firewall.levels)
        for direction in _DIRECTIONS:
            tried = list(firewall.rules(direction))
            yield from self._hits(firewall, sets, tried, firewall.levels.host.rules, ("rules",))

    def of_guest(self, firewall: HostFirewall, guest: FilteredGuest, path: Path) -> Iterator[Hit]:
        """Of a guest's rules."""
        sets = build_sets(firewall.levels)
        for direction in _DIRECTIONS:
            tried = list(firewall.guest_rules(guest, direction))
            yield from self._hits(firewall, sets, tried, guest.level.rules, (*path, "rules"))

    def _hits(
        self, firewall: HostFirewall, sets: Sets, tried: Sequence[Rule], own: Sequence[Rule], path: Path
    ) -> Iterator[Hit]:
        places = {id(rule): index for index, rule in enumerate(own)}
        known = [rule for rule in tried if "+sdn/" not in (rule.source[:5], rule.dest[:5])]
        for rule, earlier in shadowed(firewall, known, sets):
            if id(rule) not in places:
                continue
            where = f" ({earlier.where})" if earlier.where.line else f" ({earlier.comment})" if earlier.comment else ""
            at = (*path, places[id(rule)])
            if (rule.text, rule.action) == (earlier.text, earlier.action):
                yield self.duplicate.hit(at, f"the same rule is already there{where}", "keep one of the two")
            else:
                right = "remove it" if rule.action == earlier.action else "put it in front of that rule, or remove it"
                yield self.shadowed.hit(
                    at, f"the rule has no effect, because {earlier.text}{where} matches all its packets first", right
                )
