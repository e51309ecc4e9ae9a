"""`interfaces`: the physical interfaces, their addresses and the default route."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, TypeAlias

from pydantic import Field

from service.formats.interfaces import MAIN_FILE
from service.formats.link_files import FILES as LINK_FILES
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
from service.resources.cards import NamedCard
from service.resources.files import FileMode
from service.resources.links import Link
from service.resources.resource import Resource
from service.resources.routes import DefaultRoutes
from service.resources.stanzas import InterfaceStanza
from service.spec.findings import Hit, LintRule
from service.spec.grammar import InterfaceName, Mac
from service.spec.host import HostSpec


class Interface(Addressed):
    """One physical interface. Without addresses it is only brought up, as a bridge's port needs it.

    A VLAN belongs under `vlans`. One that is here, such as enp1s0.30, is made by the boot alone.
    """

    mac: Mac | None = Field(
        None,
        description="The MAC address of the card that is meant, as it was made. If the host has it under another name, "
        "or another card under this one, nothing is changed.",
        examples=["bc:24:11:00:00:01"],
    )


InterfacesSection: TypeAlias = Annotated[Mapping[InterfaceName, Interface], Field(max_length=64)]

_ADDRESSING = addressing_rules("interfaces")
MAC_TWICE = LintRule("interfaces.mac-twice", "error", "a card is one interface")
MAC_OF_A_VLAN = LintRule("interfaces.mac-of-a-vlan", "error", "only a card has a `mac`, a VLAN is on one")


class Interfaces:
    """Physical interfaces by name, with addresses and gateways."""

    name = "interfaces"
    section: Any = InterfacesSection
    rules: tuple[LintRule, ...] = (*_ADDRESSING.all(), MAC_TWICE, MAC_OF_A_VLAN)

    def lint(self, section: InterfacesSection, host: HostSpec, claims: Sequence[Claim]) -> Iterator[Hit]:
        yield from lint_addressing(section, claims, _ADDRESSING)
        first: dict[str, str] = {}
        for name, interface in section.items():
            if interface.mac is None:
                continue
            other = first.setdefault(interface.mac.lower(), name)
            if other != name:
                yield MAC_TWICE.hit(
                    (name, "mac"), f"{other} is already the card {interface.mac}", "keep one of the two"
                )
            if "." in name:
                card = name.rpartition(".")[0]
                yield MAC_OF_A_VLAN.hit(
                    (name, "mac"), f"{name} is a VLAN, and its MAC address is that of {card}", f"move it to {card}"
                )

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
            if interface.mac is not None:
                yield NamedCard(self.name, name, interface.mac.lower())
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
        return Watch(files=frozenset({LINK_FILES}))
