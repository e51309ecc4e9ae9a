"""Kernel settings that packets of IPv6 need on their way: forwarding, and what keeps the host's own default route.

    settings6(kind, claims, host) -> Iterator[Sysctl]

Forwarding makes a host a router, and a router ignores the advertisements of others. With accept_ra = 1 the kernel drops
the default route that it learned from them when forwarding begins. It learns no new one (ip-sysctl.rst, accept_ra;
rt6_purge_dflt_routers). With accept_ra = 2 it keeps both. So where the spec names no IPv6
gateway, the outer interfaces get 2 before forwarding begins. 0 is left: such a host learns nothing from others.
"""

from collections.abc import Iterator, Sequence

from service.kinds.claims import Claim, DefaultRoute
from service.kinds.published import published_of, uplink_of
from service.resources.sysctls import FORWARDING6, Sysctl, accept_ra_key
from service.spec.host import HostSpec

LEARN, OFF = "2", "0"


def settings6(kind: str, claims: Sequence[Claim], host: HostSpec) -> Iterator[Sysctl]:
    """Nothing where nothing of the spec needs IPv6 forwarded."""
    causes: dict[str, set[str]] = {}
    for interface, cause in _outer(claims, host):
        causes.setdefault(interface, set()).add(cause)
    if not causes:
        return
    gates = tuple(sorted({c.interface for c in claims if isinstance(c, DefaultRoute) and c.family == 6}))
    learning = () if gates else tuple(sorted({*causes, *filter(None, [uplink_of(claims)])}))
    for interface in learning:
        why = f"{interface} learns the IPv6 default route, and the kernel forwards"
        yield Sysctl(kind, accept_ra_key(interface), LEARN, why, also=(OFF,))
    said = "; ".join(sorted({cause for found in causes.values() for cause in found}))
    yield Sysctl(kind, FORWARDING6, "1", said, kept=gates or learning)


def _outer(claims: Sequence[Claim], host: HostSpec) -> Iterator[tuple[str, str]]:
    """(interface, cause) of what comes in from outside, or leaves."""
    for one in published_of(claims, host):
        if one.family == 6:
            yield one.interface, f"{one.section}: {one.interface} to {one.name} over IPv6"
