"""Kernel settings of single interfaces that packets of the spec's NAT and forwards pass. Any of them can drop packets
although forwarding is on for the whole host.

    settings_on_the_way(kind, claims) -> Iterator[Sysctl]

The kernel forwards a packet if forwarding is on for the interface that it comes in on (ip-sysctl.rst, conf/forwarding).
Requests come in on the bridge of the guests, answers on the outer interface. With rp_filter = 1 it drops a packet
if the route back to its sender leads through another interface (RFC 3704, strict mode).
"""

import ipaddress
from collections.abc import Iterator, Sequence

from service.kinds.claims import AddressClaim, Claim, DefaultRoute, Masquerades
from service.kinds.published import network_of, publishes, target_of
from service.resources.kernel_at_boot import link_key
from service.resources.sysctls import Sysctl

LOOSE, OFF = "2", "0"
ALL_FILTERS = link_key("all", "rp_filter")


def settings_on_the_way(kind: str, claims: Sequence[Claim]) -> Iterator[Sysctl]:
    """Forwarding of every interface that such packets come in on, and the loose filter where the strict one drops."""
    causes: dict[str, set[str]] = {}
    for interface, cause in _comes_in(claims):
        causes.setdefault(interface, set()).add(cause)
    for interface, why in sorted(causes.items()):
        yield Sysctl(kind, link_key(interface, "forwarding"), "1", "; ".join(sorted(why)))
    for interface, cause in sorted(_filtered(claims)):
        yield Sysctl(
            kind, link_key(interface, "rp_filter"), LOOSE, cause, also=(OFF,), raised_by=ALL_FILTERS,
        )  # fmt: skip


def is_only_v6(to: str, claims: Sequence[Claim]) -> bool:
    """Whether what something leads to has an address of IPv6 and none of IPv4."""
    return bool(to) and not target_of(to, claims) and bool(target_of(to, claims, 6))


def _comes_in(claims: Sequence[Claim]) -> Iterator[tuple[str, str]]:
    """(interface, cause) of what packets come in on."""
    own = [(c.interface, c.own.network) for c in claims if isinstance(c, AddressClaim)]
    for claim in claims:
        if isinstance(claim, Masquerades):
            source, cause = ipaddress.IPv4Network(claim.source), f"nat: {claim.source} leaves through {claim.out}"
            yield claim.out, cause
            for interface, network in own:
                if isinstance(network, ipaddress.IPv4Network) and network.overlaps(source) and interface != claim.out:
                    yield interface, cause
    for claim in publishes(claims):
        if is_only_v6(claim.to, claims):
            continue
        cause = f"{claim.section}: {claim.interface} to {claim.to}"
        target = target_of(claim.to, claims)
        behind = network_of(target, claims) if target else None
        yield claim.interface, cause
        if behind is not None:
            yield behind[0], cause


def _filtered(claims: Sequence[Claim]) -> set[tuple[str, str]]:
    """(interface, cause) of what is published where the default route leads through another interface."""
    gates = {claim.interface for claim in claims if isinstance(claim, DefaultRoute) and claim.family == 4}
    published = [claim for claim in publishes(claims) if gates and claim.interface not in gates]
    published = [claim for claim in published if not is_only_v6(claim.to, claims)]
    return {
        (one.interface, f"{one.section}: {one.interface}, but the default route is through {', '.join(sorted(gates))}")
        for one in published
    }
