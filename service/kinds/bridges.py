"""`bridges`: the bridges that guests are attached to."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Annotated, Any, TypeAlias

from pydantic import Field

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
from service.resources.links import Link
from service.resources.resource import Resource
from service.resources.stanzas import InterfaceStanza
from service.spec.findings import Hit, LintRule
from service.spec.grammar import BridgeName, InterfaceName
from service.spec.host import HostSpec


class Bridge(Addressed):
    """One bridge. Guests attach themselves; `ports` are the physical interfaces in it."""

    ports: tuple[InterfaceName, ...] = Field(
        default=(),
        max_length=64,
        description="Physical interfaces, bonds and VLANs in the bridge; none for a bridge of guests alone.",
    )
    stp: bool = Field(default=False, description="Whether the bridge speaks the spanning tree protocol.")
    forward_delay: int = Field(
        default=0, ge=0, le=30, description="Seconds before a new port forwards; 0 without spanning tree."
    )
    keep_guests: bool = Field(
        default=True,
        description="false: leave out the line that keeps the guests connected when Debian's ifupdown2 reloads.",
    )


BridgesSection: TypeAlias = Annotated[Mapping[BridgeName, Bridge], Field(max_length=256)]

_ADDRESSING = addressing_rules("bridges")
NAME_TAKEN = LintRule("bridges.name-taken", "error", "a bridge and a physical interface or a bond have different names")
UNKNOWN_PORT = LintRule("bridges.unknown-port", "error", "a port is an interface of the spec", by_absence=True)
LOOP = LintRule("bridges.loop", "error", "a bridge is not a port of a bridge")
PORT_TWICE = LintRule("bridges.port-twice", "error", "an interface is the port of one bridge, once")
PORT_WITH_ADDRESS = LintRule("bridges.port-with-address", "error", "a port has no addresses of its own")
GUESTS_LOST = LintRule("bridges.guests-lost", "warning", "a reload of the network leaves the guests on their bridge")
STP_DELAY = LintRule("bridges.forward-delay", "error", "with spanning tree the forward delay is 2 to 30 seconds")


class Bridges:
    """Bridges by name, with addresses, gateways and ports."""

    name = "bridges"
    section: Any = BridgesSection
    rules: tuple[LintRule, ...] = (
        *_ADDRESSING.all(),
        NAME_TAKEN,
        UNKNOWN_PORT,
        LOOP,
        PORT_TWICE,
        PORT_WITH_ADDRESS,
        STP_DELAY,
        GUESTS_LOST,
    )

    def lint(self, section: BridgesSection, host: HostSpec, claims: Sequence[Claim]) -> Iterator[Hit]:
        yield from lint_addressing(section, claims, _ADDRESSING)
        named = {c.interface: c.sort for c in claims if isinstance(c, Named) and c.sort != "bridge"}
        addressed = {c.interface for c in claims if isinstance(c, AddressClaim)}
        addressed |= {c.interface for c in claims if isinstance(c, DefaultRoute) and not c.gateway}
        taken: dict[str, str] = {}
        for name, bridge in section.items():
            if named.get(name) == "interface":
                yield NAME_TAKEN.hit(
                    (name,),
                    f"{name} is the name of a physical interface or a bond of this host",
                    "give the bridge another name, such as vmbr0",
                )
            if bridge.stp and bridge.forward_delay < 2:
                yield STP_DELAY.hit(
                    (name, "stp"),
                    f"with `stp: true` the forward delay is 2 to 30 seconds, not {bridge.forward_delay}",
                    "write `forward_delay: 15` or `stp: false`",
                )
            if not bridge.keep_guests and host.platform != "proxmox":
                what = f"with `keep_guests: false`, `ifreload -a` disconnects the guests of {name}"
                yield GUESTS_LOST.hit((name, "keep_guests"), what, "remove the key")
            for index, port in enumerate(bridge.ports):
                yield from _port((name, "ports", index), port, section, named, addressed)
                first = taken.setdefault(port, name)
                if bridge.ports.index(port) != index or first != name:
                    yield PORT_TWICE.hit(
                        (name, "ports", index), f"{port} is already a port of {first}", "keep one of the two"
                    )

    def lint_fleet(self, hosts: Mapping[str, HostSpec]) -> Iterator[tuple[str, Hit]]:
        yield from ()

    def claims(self, section: BridgesSection) -> Iterator[Claim]:
        yield from addressing_claims(section, "bridge")

    def desire(
        self,
        section: BridgesSection | None,
        host: HostSpec,
        claims: Sequence[Claim],
    ) -> Iterator[Resource]:
        for name, bridge in (section or {}).items():
            yield Link(
                self.name, name, mtu=bridge.mtu, bridge=True, stp=bridge.stp,
                forward_delay_s=bridge.forward_delay, ports=tuple(bridge.ports),
            )  # fmt: skip
            yield Addresses(self.name, name, tuple(bridge.addresses), families_of(bridge))
            yield InterfaceStanza(
                self.name, name, tuple(bridge.addresses), gateways_of(bridge), bridge.mtu, bridge=True,
                ports=tuple(bridge.ports), stp=bridge.stp, forward_delay_s=bridge.forward_delay,
                # Proxmox's own ifupdown2 keeps them without a line
                keeps_guests=bridge.keep_guests and host.platform != "proxmox",
                taken=taken_rules(host, claims), dynamic=methods_of(bridge),
            )  # fmt: skip

    def watch(self) -> Watch:
        return Watch()


def _port(
    path: tuple[str | int, ...], port: str, section: BridgesSection, named: Collection[str], addressed: set[str]
) -> Iterator[Hit]:
    if port in section:
        yield LOOP.hit(
            path, f"{port} is a bridge, and a bridge cannot be a port of another", "name a physical interface"
        )
    elif port not in named:
        yield UNKNOWN_PORT.hit(path, f"the spec has no interface or bond {port}", f"add `{port}: {{}}` to `interfaces`")
    elif port in addressed:
        yield PORT_WITH_ADDRESS.hit(path, f"{port} is a port of a bridge and has addresses", "move them to the bridge")
