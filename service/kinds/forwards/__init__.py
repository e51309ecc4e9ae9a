"""`forwards`: ports of the host that lead to a guest."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from service.kinds.claims import Claim, Filters, NeedsForwarding, NeedsLoader, NeedsPackage
from service.kinds.forwards.lint import RULES, lint_forwards
from service.kinds.forwards.section import KEY, ForwardsSection
from service.kinds.published import closed_of, published_of
from service.model.observed import Watch
from service.resources.forwards import ForwardsTable
from service.resources.resource import Resource
from service.spec.findings import Hit, LintRule
from service.spec.host import HostSpec


class Forwards:
    """Ports of the host's addresses that lead to a guest: from outside, from other guests, from the host itself."""

    name = KEY
    section: Any = ForwardsSection
    rules: tuple[LintRule, ...] = RULES

    def lint(self, section: ForwardsSection, host: HostSpec, claims: Sequence[Claim]) -> Iterator[Hit]:
        yield from lint_forwards(section, host, claims)

    def lint_fleet(self, hosts: Mapping[str, HostSpec]) -> Iterator[tuple[str, Hit]]:
        yield from ()

    def claims(self, section: ForwardsSection) -> Iterator[Claim]:
        for number, entry in enumerate(section):
            yield from entry.publishes(number)
            yield NeedsForwarding(f"forwards: {entry.interface} to {entry.to}", entry.to)
        if section:
            yield NeedsPackage("nftables", "forwards")
            yield NeedsLoader("forwards")

    def desire(self, section: ForwardsSection | None, host: HostSpec, claims: Sequence[Claim]) -> Iterator[Resource]:
        published = published_of(claims, host)
        is_walled = any(isinstance(claim, Filters) for claim in claims)
        within = {one.network for one in published}
        closed = tuple(c for c in closed_of(claims, published) if c.network in within and not is_walled)
        yield ForwardsTable(self.name, published, closed)

    def watch(self) -> Watch:
        return Watch()
