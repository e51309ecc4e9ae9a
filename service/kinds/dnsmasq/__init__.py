"""`dnsmasq`: names and addresses for the guests."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from service.kinds.claims import Claim, NeedsPackage, NeedsUnit, Serves
from service.kinds.dnsmasq.lint import RULES, lint_dnsmasq
from service.kinds.dnsmasq.section import DnsmasqSection
from service.model.observed import Watch
from service.resources.resource import Resource
from service.spec.findings import Hit, Rule
from service.spec.host import HostSpec


class Dnsmasq:
    """DNS and DHCP for the guests, by dnsmasq."""

    name = "dnsmasq"
    section: Any = DnsmasqSection
    rules: tuple[Rule, ...] = RULES

    def lint(self, section: DnsmasqSection, host: HostSpec, claims: Sequence[Claim]) -> Iterator[Hit]:
        yield from lint_dnsmasq(section, claims)

    def lint_fleet(self, hosts: Mapping[str, HostSpec]) -> Iterator[tuple[str, Hit]]:
        yield from ()

    def claims(self, section: DnsmasqSection) -> Iterator[Claim]:
        for name in section.served_interfaces():
            yield Serves("dns", name)
        for name in dict.fromkeys(entry.interface for entry in section.dhcp):
            yield Serves("dhcp", name)
        yield NeedsPackage("dnsmasq", "dnsmasq")
        yield NeedsUnit("dnsmasq.service", "dnsmasq")

    def desire(self, section: DnsmasqSection | None, host: HostSpec, claims: Sequence[Claim]) -> Iterator[Resource]:
        yield from ()

    def watch(self) -> Watch:
        return Watch()
