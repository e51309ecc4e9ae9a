"""`dnsmasq`: names and addresses for the guests."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from service.kinds.claims import (
    AddressClaim,
    Claim,
    GuestDomain,
    KeepsLeases,
    NamesBySettings,
    NeedsPackage,
    NeedsUnit,
    Pool,
    Serves,
    named_by_settings,
)
from service.kinds.dnsmasq.directives import directives, guests_of, networks_of
from service.kinds.dnsmasq.lint import RULES, lint_dnsmasq
from service.kinds.dnsmasq.section import DnsmasqSection
from service.model.observed import Watch
from service.resources.answering import DHCP, DNS, AnsweredBy, program_of
from service.resources.dnsmasq_config import DEFAULT_LEASE_FILE, FILES, OWN_FILE, DnsmasqConfig
from service.resources.files import OwnFile
from service.resources.resource import Phase, Resource
from service.resources.units import Unit
from service.spec.findings import Hit, LintRule
from service.spec.host import HostSpec

UNIT = "dnsmasq.service"

ORDER_FILE = "/etc/systemd/system/dnsmasq.service.d/passerelle.conf"
ORDER_TEXT = b"""\
# written by passerelle: with bind-interfaces dnsmasq ends when a bridge is not there yet
[Unit]
Wants=networking.service
After=networking.service
"""
"""Debian's unit is only after network.target, which ifupdown2's networking.service is not ordered before."""


class Dnsmasq:
    """DNS and DHCP for the guests, by dnsmasq."""

    name = "dnsmasq"
    section: Any = DnsmasqSection
    rules: tuple[LintRule, ...] = RULES

    def lint(self, section: DnsmasqSection, host: HostSpec, claims: Sequence[Claim]) -> Iterator[Hit]:
        yield from lint_dnsmasq(section, claims)

    def lint_fleet(self, hosts: Mapping[str, HostSpec]) -> Iterator[tuple[str, Hit]]:
        yield from ()

    def claims(self, section: DnsmasqSection) -> Iterator[Claim]:
        for name in section.served_interfaces():
            yield Serves("dns", name)
        for name in dict.fromkeys(entry.interface for entry in section.dhcp):
            yield Serves("dhcp", name)
        for name in dict.fromkeys(entry.interface for entry in section.dhcp6):
            yield Serves("dhcp6", name)
        if section.domain:
            yield GuestDomain(section.domain)
        yield NamesBySettings(section.guest_configs)
        yield KeepsLeases(section.lease_file or DEFAULT_LEASE_FILE)
        for entry in section.dhcp:
            yield Pool(entry.interface, entry.start, entry.end)
        yield NeedsPackage("dnsmasq", "dnsmasq")
        yield NeedsUnit("dnsmasq.service", "dnsmasq")

    def desire(self, section: DnsmasqSection | None, host: HostSpec, claims: Sequence[Claim]) -> Iterator[Resource]:
        order = ORDER_TEXT if section is not None and section.bind_interfaces else None
        yield OwnFile(self.name, ORDER_FILE, order, "unit", cause="bind_interfaces" if order else "")
        if section is None:
            yield OwnFile(self.name, OWN_FILE, None, "dnsmasq", phase=Phase.DAEMON_FILE)
            return
        yield DnsmasqConfig(
            self.name, directives(section, claims), networks_of(claims), guests_of(claims),
            take_over=self.name in host.take_over, take_guests="guests" in host.take_over,
            bridges=named_by_settings(claims),
        )  # fmt: skip
        yield from answered(section, host, claims)
        yield Unit(
            self.name, UNIT, "enabled", cause="dnsmasq", reads=(OWN_FILE,),
            reads_below=("/etc/dnsmasq.d",),
        )  # fmt: skip

    def watch(self) -> Watch:
        return Watch(files=frozenset({*FILES, DEFAULT_LEASE_FILE}))


def answered(section: DnsmasqSection, host: HostSpec, claims: Sequence[Claim]) -> Iterator[AnsweredBy]:
    """dnsmasq answers on what it serves: DNS on the addresses of its interfaces, or on those that are listed alone, and
    DHCP on the IPv4 ones."""
    services = host.sections.get("services")
    states = services if isinstance(services, Mapping) else {}
    stopped = tuple(program_of(name) for name, state in states.items() if state != "enabled")
    served = section.served_interfaces() if section.interface or not section.listen_address else ()
    dhcp = {entry.interface for entry in section.dhcp}
    own: dict[str, list[str]] = {}
    for claim in claims:
        if isinstance(claim, AddressClaim):
            own.setdefault(claim.interface, []).append(claim.address.partition("/")[0])
    for name, addresses in own.items():
        asked = tuple(a for a in addresses if name in served or a in section.listen_address)
        leased = tuple(a for a in addresses if name in dhcp and ":" not in a)
        for port, at in ((DNS, asked), (DHCP, leased)):
            if at:
                yield AnsweredBy("dnsmasq", "dnsmasq", port, name, at, stopped)
