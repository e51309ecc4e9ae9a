"""Interfaces whose addresses come from elsewhere: `dhcp`, and `ipv6: auto` or `dhcp`.

    claims_from_elsewhere(name, …) -> Claim, …      what they tell the other kinds
    lint_from_elsewhere(name, item, rule) -> Hit, …  static values of a family that has them from elsewhere
    methods_of(item) -> ("inet dhcp", …)            the methods of their stanzas (interfaces(5))
    families_of(item) -> (4, …)                     the families whose addresses are not compared

Such an address is a fact: whatever the host has is right. Rules follow the interface, and none names the address.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

from service.kinds.claims import Claim, DefaultRoute
from service.spec.findings import Hit, LintRule


class FromElsewhere(Protocol):
    """The keys of an interface or a bridge that this is about."""

    @property
    def addresses(self) -> Sequence[str]: ...
    @property
    def gateway(self) -> str | None: ...
    @property
    def gateway6(self) -> str | None: ...
    @property
    def dhcp(self) -> bool: ...
    @property
    def ipv6(self) -> str | None: ...


def claims_from_elsewhere(name: str, *, dhcp: bool, is_routed: bool) -> Iterator[Claim]:
    """A DHCP server gives the default route, too; what its gateway is nobody knows."""
    if dhcp and not is_routed:
        yield DefaultRoute(name, 4, "")


def methods_of(item: FromElsewhere) -> tuple[str, ...]:
    """As a stanza's family and method."""
    found = ["inet dhcp"] if item.dhcp else []
    return (*found, f"inet6 {item.ipv6}") if item.ipv6 else tuple(found)


def families_of(item: FromElsewhere) -> tuple[int, ...]:
    """4, 6, both or none."""
    return (*((4,) if item.dhcp else ()), *((6,) if item.ipv6 else ()))


def lint_from_elsewhere(name: str, item: FromElsewhere, rule: LintRule) -> Iterator[Hit]:
    """The first static value of each family that has its addresses from elsewhere."""
    for key, is_there, six in (("dhcp", item.dhcp, False), ("ipv6", bool(item.ipv6), True)):
        own = [n for n, address in enumerate(item.addresses) if (":" in address) == six]
        gateway = item.gateway6 if six else item.gateway
        if not is_there or not (own or gateway):
            continue
        gate_key = "gateway6" if six else "gateway"
        path = (name, "addresses", own[0]) if own else (name, gate_key)
        there = item.addresses[own[0]] if own else gateway
        source = "a DHCP server" if key == "dhcp" or item.ipv6 == "dhcp" else "a router"
        yield rule.hit(
            path,
            f"with `{key}`, {source} gives {name} its IPv{6 if six else 4} address and route, and {there} is static",
            f"remove `{key}` or {there}",
        )
