"""`interfaces`: the physical interfaces, their addresses and the default route."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from service.kinds.addressing import Addressed, addressing_claims, addressing_rules, lint_addressing
from service.kinds.claims import Claim
from service.model.observed import Watch
from service.resources.resource import Resource
from service.spec.findings import Hit, Rule
from service.spec.grammar import InterfaceName
from service.spec.host import HostSpec


class Interface(Addressed):
    """One physical interface. Without addresses it is only brought up, as a bridge's port needs it."""


InterfacesSection: TypeAlias = Mapping[InterfaceName, Interface]

_ADDRESSING = addressing_rules("interfaces")


class Interfaces:
    """Physical interfaces by name, with addresses and gateways."""

    name = "interfaces"
    section: Any = InterfacesSection
    rules: tuple[Rule, ...] = _ADDRESSING.all()

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
        yield from ()

    def watch(self) -> Watch:
        return Watch()
