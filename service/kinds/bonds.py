"""`bonds`: several network cards that are used as one link."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field

from service.formats.interfaces.bonding import HASHING, WITH_LACP, WITH_PRIMARY, BondMeaning
from service.kinds.addressing import (
    Addressed,
    addressing_claims,
    addressing_rules,
    gateways_of,
    lint_addressing,
    taken_rules,
)
from service.kinds.claims import AddressClaim, Claim, DefaultRoute, Named
from service.kinds.from_elsewhere import families_of, methods_of
from service.model.observed import Watch
from service.resources.addresses import Addresses
from service.resources.bonds import BondLink
from service.resources.resource import Resource
from service.resources.stanzas import InterfaceStanza
from service.spec.findings import Hit, LintRule
from service.spec.grammar import BridgeName, InterfaceName
from service.spec.host import HostSpec

Mode: TypeAlias = Literal[
    "balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb"
]


class Bond(Addressed):
    """One bond. `ports` are cards that are in `interfaces`, without addresses of their own."""

    ports: tuple[InterfaceName, ...] = Field(min_length=1, max_length=16, description="The cards of the bond.")
    mode: Mode = Field(
        description="How the ports are used: 802.3ad (LACP, the switch has to speak it, too), active-backup (one at a "
        "time, any switch), or another mode of the kernel."
    )
    hash_policy: Literal["layer2", "layer3+4", "layer2+3", "encap2+3", "encap3+4"] | None = Field(
        None,
        description="By what a packet is given to a port, in modes 802.3ad, balance-xor and balance-tlb; layer2 by "
        "default.",
    )
    lacp_rate: Literal["slow", "fast"] | None = Field(
        None, description="How often LACP asks the other side, in mode 802.3ad: every 30 s (slow, by default) or 1 s."
    )
    miimon: int = Field(
        default=100, ge=0, le=255, description="Milliseconds between looks at the links of the ports; 0 never looks."
    )
    primary: InterfaceName | None = Field(
        None,
        description="The port that is used while it has a link, in modes active-backup, balance-tlb and balance-alb.",
    )

    def meaning(self) -> BondMeaning:
        """The bond in the kernel's words."""
        return BondMeaning(
            tuple(sorted(self.ports)), self.mode, self.miimon, self.hash_policy or "layer2", self.lacp_rate or "slow",
            self.primary or "",
        )  # fmt: skip


BondsSection: TypeAlias = Annotated[Mapping[BridgeName, Bond], Field(max_length=64)]

_ADDRESSING = addressing_rules("bonds")
NAME_TAKEN = LintRule("bonds.name-taken", "error", "a bond and a physical interface have different names")
UNKNOWN_PORT = LintRule("bonds.unknown-port", "error", "a port is an interface of the spec", by_absence=True)
PORT_IS_NO_CARD = LintRule("bonds.port-not-a-card", "error", "a port is a card, not a bridge, a bond or a VLAN")
PORT_TWICE = LintRule("bonds.port-twice", "error", "an interface is the port of one bond or one bridge, once")
PORT_WITH_ADDRESS = LintRule("bonds.port-with-address", "error", "a port has no addresses of its own")
NOT_IN_MODE = LintRule("bonds.not-in-mode", "error", "a bond has only settings that its mode uses")
PRIMARY_NO_PORT = LintRule("bonds.primary-not-a-port", "error", "the primary is one of the ports")
NEVER_LOOKS = LintRule("bonds.never-looks", "warning", "a bond notices when a port loses its link")


class Bonds:
    """Bonds by name, with ports, mode, addresses and gateways."""

    name = "bonds"
    section: Any = BondsSection
    rules: tuple[LintRule, ...] = (
        *_ADDRESSING.all(),
        NAME_TAKEN,
        UNKNOWN_PORT,
        PORT_IS_NO_CARD,
        PORT_TWICE,
        PORT_WITH_ADDRESS,
        NOT_IN_MODE,
        PRIMARY_NO_PORT,
        NEVER_LOOKS,
    )

    def lint(self, section: BondsSection, host: HostSpec, claims: Sequence[Claim]) -> Iterator[Hit]:
        yield from lint_addressing(section, claims, _ADDRESSING)
        cards = {c.interface for c in claims if isinstance(c, Named) and c.sort == "interface"}
        for name, bond in section.items():
            if name in cards:
                what = f"{name} is the name of a physical interface of this host"
                yield NAME_TAKEN.hit((name,), what, "give the bond another name, such as bond0")
            yield from _settings(name, bond)
            if bond.miimon == 0:
                yield NEVER_LOOKS.hit(
                    (name, "miimon"),
                    f"with `miimon: 0` {name} sends on through a port whose cable is out",
                    "remove the key, or write `miimon: 100`",
                )
        yield from _ports(section, host, claims)

    def lint_fleet(self, hosts: Mapping[str, HostSpec]) -> Iterator[tuple[str, Hit]]:
        yield from ()

    def claims(self, section: BondsSection) -> Iterator[Claim]:
        yield from addressing_claims(section, "bond")

    def desire(
        self,
        section: BondsSection | None,
        host: HostSpec,
        claims: Sequence[Claim],
    ) -> Iterator[Resource]:
        for name, bond in (section or {}).items():
            yield BondLink(self.name, name, bond.meaning(), bond.mtu)
            yield Addresses(self.name, name, tuple(bond.addresses), families_of(bond))
            yield InterfaceStanza(
                self.name, name, tuple(bond.addresses), gateways_of(bond), bond.mtu, bond=bond.meaning(),
                taken=taken_rules(host, claims), dynamic=methods_of(bond),
            )  # fmt: skip

    def watch(self) -> Watch:
        return Watch()


def _settings(name: str, bond: Bond) -> Iterator[Hit]:
    """Settings that the mode does not have: the kernel refuses them."""
    for key, modes in (("hash_policy", HASHING), ("lacp_rate", WITH_LACP), ("primary", WITH_PRIMARY)):
        if getattr(bond, key) is not None and bond.mode not in modes:
            yield NOT_IN_MODE.hit(
                (name, key), f"mode {bond.mode} has no `{key}`; {_words(modes)} has", f"remove `{key}`"
            )
    if bond.primary is not None and bond.primary not in bond.ports:
        what = f"{bond.primary} is not a port of {name}"
        yield PRIMARY_NO_PORT.hit((name, "primary"), what, f"name one of {', '.join(bond.ports)}")


def _words(modes: frozenset[str]) -> str:
    return " or ".join(sorted(modes))


def _ports(section: BondsSection, host: HostSpec, claims: Sequence[Claim]) -> Iterator[Hit]:
    sorts = {c.interface: c.sort for c in claims if isinstance(c, Named)}
    addressed = {c.interface for c in claims if isinstance(c, AddressClaim)}
    addressed |= {c.interface for c in claims if isinstance(c, DefaultRoute) and not c.gateway}  # from a DHCP server
    bridges = host.sections.get("bridges")
    taken = {
        port: name for name, one in (bridges if isinstance(bridges, Mapping) else {}).items() for port in one.ports
    }
    for name, bond in section.items():
        for index, port in enumerate(bond.ports):
            path = (name, "ports", index)
            sort = sorts.get(port)
            if sort in ("bridge", "bond", "vlan") or "." in port:
                what = f"{port} is a {sort if sort in ('bridge', 'bond') else 'VLAN'}, and a bond is made of cards"
                yield PORT_IS_NO_CARD.hit(path, what, "name a physical interface")
            elif sort is None:
                what = f"the spec has no interface {port}"
                yield UNKNOWN_PORT.hit(path, what, f"add `{port}: {{}}` to `interfaces`")
            elif port in addressed:
                what = f"{port} is a port of a bond and has addresses"
                yield PORT_WITH_ADDRESS.hit(path, what, f"move them to {name}")
            first = taken.setdefault(port, name)
            if bond.ports.index(port) != index or first != name:
                yield PORT_TWICE.hit(path, f"{port} is already a port of {first}", "keep one of the two")
