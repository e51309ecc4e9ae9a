"""`interfaces`: the physical interfaces, their addresses and the default route."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, TypeAlias

from pydantic import Field

from service.formats.interfaces import MAIN_FILE
from service.kinds.addressing import (
    Addressed,
    addressing_claims,
    addressing_rules,
    gateways_of,
    lint_addressing,
    taken_rules,
)
from service.kinds.claims import Claim, DefaultRoute, Named
from service.kinds.from_elsewhere import families_of, methods_of
from service.model.observed import Watch
from service.resources.addresses import Addresses
from service.resources.files import FileMode
from service.resources.links import Link
from service.resources.resource import Resource
from service.resources.routes import DefaultRoutes
from service.resources.stanzas import InterfaceStanza
from service.spec.findings import Hit, LintRule
from service.spec.grammar import InterfaceName
from service.spec.host import HostSpec


class Interface(Addressed):
    """One physical interface. Without addresses it is only brought up, as a bridge's port needs it.

    A VLAN belongs under `vlans`. One that is here, such as enp1s0.30, is made by the boot alone.
    """


InterfacesSection: TypeAlias = Annotated[Mapping[InterfaceName, Interface], Field(max_length=64)]

_ADDRESSING = addressing_rules("interfaces")


class Interfaces:
    """Physical interfaces by name, with addresses and gateways."""

    name = "interfaces"
    section: Any = InterfacesSection
    rules: tuple[LintRule, ...] = _ADDRESSING.all()

    def lint(self, section: InterfacesSection, host: HostSpec, claims: Sequence[Claim]) -> Iterator[Hit]:
        yield from lint_addressing(section, claims, _ADDRESSING)

    def lint_fleet(self, hosts: Mapping[str, HostSpec]) -> Iterator[tuple[str, Hit]]:
        yield from ()

    def claims(self, section: InterfacesSection) -> Iterator[Claim]:
        yield from addressing_claims(section, "interface")

    def desire(
        self,
        section: InterfacesSection | None,
        host: HostSpec,
        claims: Sequence[Claim],
    ) -> Iterator[Resource]:
        for name, interface in (section or {}).items():
            yield Link(self.name, name, mtu=interface.mtu)
            yield Addresses(self.name, name, tuple(interface.addresses), families_of(interface))
            yield InterfaceStanza(
                self.name, name, tuple(interface.addresses), gateways_of(interface), interface.mtu,
                taken=taken_rules(host, claims), dynamic=methods_of(interface),
            )  # fmt: skip
        defaults = [claim for claim in claims if isinstance(claim, DefaultRoute) and claim.gateway]
        if defaults:
            routes = tuple((c.family, c.gateway, c.interface) for c in defaults)
            on_link = tuple((c.gateway, c.interface) for c in defaults if c.on_link)
            yield DefaultRoutes(self.name, routes, on_link)
        if any(isinstance(claim, Named) for claim in claims):
            yield FileMode(self.name, MAIN_FILE)

    def watch(self) -> Watch:
        return Watch()
