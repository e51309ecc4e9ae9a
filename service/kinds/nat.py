"""`nat`: which networks leave through which interface under its address (masquerading)."""

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from service.kinds.claims import (
    AddressClaim,
    Claim,
    Filters,
    Masquerades,
    Named,
    NeedsForwarding,
    NeedsLoader,
    NeedsPackage,
    NeedsSysctl,
)
from service.kinds.on_the_way import is_only_v6, settings_on_the_way
from service.kinds.on_the_way6 import settings6
from service.model.observed import Watch
from service.resources.kernel_at_boot import FORWARDING
from service.resources.nat import SourceNat
from service.resources.resource import Resource
from service.resources.sysctls import Sysctl
from service.spec.findings import Hit, LintRule
from service.spec.grammar import InterfaceName, Network4
from service.spec.host import HostSpec


class Masquerade(BaseModel):
    """Packets from `source` leave through `out` with that interface's address."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    source: Network4 = Field(description="The network behind this host, as in 10.10.10.0/24.")
    out: InterfaceName = Field(description="The interface of this host that they leave through.")


NatSection: TypeAlias = Annotated[tuple[Masquerade, ...], Field(max_length=256)]

UNKNOWN_INTERFACE = LintRule("nat.unknown-interface", "error", "`out` is an interface of the spec", by_absence=True)
DUPLICATE = LintRule("nat.duplicate", "error", "a source leaves through an interface once")
OUT_IS_SOURCE = LintRule("nat.out-is-source", "error", "a network leaves through another interface than its own")
SOURCE_NOT_A_BRIDGE = LintRule(
    "nat.source-not-a-bridge", "warning", "a source is the network of a bridge", by_absence=True
)


class Nat:
    """Networks that leave through an interface under its address."""

    name = "nat"
    section: Any = NatSection
    rules: tuple[LintRule, ...] = (UNKNOWN_INTERFACE, DUPLICATE, OUT_IS_SOURCE, SOURCE_NOT_A_BRIDGE)

    def lint(self, section: NatSection, host: HostSpec, claims: Sequence[Claim]) -> Iterator[Hit]:
        sorts = {claim.interface: claim.sort for claim in claims if isinstance(claim, Named)}
        networks = [(claim.interface, claim.own.network) for claim in claims if isinstance(claim, AddressClaim)]
        bridged = sorted(str(n) for name, n in networks if sorts.get(name) == "bridge" and n.version == 4)
        for index, entry in enumerate(section):
            source = ipaddress.IPv4Network(entry.source)
            if entry.out not in sorts:
                yield UNKNOWN_INTERFACE.hit(
                    (index, "out"), f"the spec has no interface or bridge {entry.out}", _named(sorts)
                )
            if entry in section[:index]:
                yield DUPLICATE.hit(
                    (index,),
                    f"another entry already masquerades {entry.source} through {entry.out}",
                    "keep one of the two",
                )
            if (entry.out, source) in networks:
                yield OUT_IS_SOURCE.hit(
                    (index, "out"),
                    f"{entry.source} is the network of {entry.out} itself",
                    "name the interface that leads to the internet",
                )
            elif not any(sorts.get(name) == "bridge" and network == source for name, network in networks):
                right = (
                    f"write the network of a bridge: {', '.join(bridged)}"
                    if bridged
                    else "give a bridge an address in that network"
                )
                yield SOURCE_NOT_A_BRIDGE.hit(
                    (index, "source"), f"{entry.source} is not the network of a bridge", right
                )

    def lint_fleet(self, hosts: Mapping[str, HostSpec]) -> Iterator[tuple[str, Hit]]:
        yield from ()

    def claims(self, section: NatSection) -> Iterator[Claim]:
        for entry in section:
            yield NeedsForwarding(f"nat: {entry.source} leaves through {entry.out}")
            yield Masquerades(entry.source, entry.out)
        if section:
            yield NeedsPackage("nftables", "nat")

    def desire(
        self,
        section: NatSection | None,
        host: HostSpec,
        claims: Sequence[Claim],
    ) -> Iterator[Resource]:
        loaders = [claim for claim in claims if isinstance(claim, NeedsLoader)]
        # with Proxmox's firewall, masqueraded networks are closed to neighbours in a table of their own
        is_closed = bool(section) and any(isinstance(claim, Filters) for claim in claims)
        shared = is_closed or any(claim.platform in ("", host.platform) for claim in loaders)
        rules = tuple(sorted((entry.source, entry.out) for entry in section or ()))
        stanzas = tuple(sorted({claim.interface for claim in claims if isinstance(claim, Named)}))
        yield SourceNat(self.name, rules, shared, take_over=self.name in host.take_over, stanzas=stanzas)
        wanted: dict[tuple[str, str], set[str]] = {}
        for claim in claims:
            if isinstance(claim, NeedsForwarding) and not is_only_v6(claim.to, claims):
                wanted.setdefault((FORWARDING, "1"), set()).add(claim.cause)
            elif isinstance(claim, NeedsSysctl) and claim.platform in ("", host.platform):
                wanted.setdefault((claim.key, claim.value), set()).add(claim.cause)
        for (key, value), causes in wanted.items():
            yield Sysctl(self.name, key, value, "; ".join(sorted(causes)))
        yield from settings_on_the_way(self.name, claims)
        yield from settings6(self.name, claims, host)

    def watch(self) -> Watch:
        return Watch()


def _named(sorts: Mapping[str, str]) -> str:
    return f"name one of {', '.join(sorted(sorts))}" if sorts else "add it to `interfaces`"
