"""Kernel settings that packets of IPv6 need on their way: forwarding, and what keeps the host's own default route.

    settings6(kind, claims, host) -> Iterator[Sysctl]

Forwarding makes a host a router, and a router ignores the advertisements of others. With accept_ra = 1 the kernel drops
the default route that it learned from them when forwarding begins. It learns no new one (ip-sysctl.rst, accept_ra;
rt6_purge_dflt_routers). With accept_ra = 2 it keeps both. So where the spec names no IPv6
gateway, the outer interfaces get 2 before forwarding begins, and so does every interface with `ipv6`, whose addresses
would expire. 0 is left: such a host learns nothing from others.
"""

from collections.abc import Iterator, Mapping, Sequence

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
    outer = () if gates else (*causes, *filter(None, [uplink_of(claims)]))
    learning = tuple(sorted({*outer, *_from_elsewhere(host)}))
    for interface in learning:
        why = f"{interface} learns from routers, and the kernel forwards"
        yield Sysctl(kind, accept_ra_key(interface), LEARN, why, also=(OFF,))
    said = "; ".join(sorted({cause for found in causes.values() for cause in found}))
    yield Sysctl(kind, FORWARDING6, "1", said, kept=(*gates, *learning))


def _from_elsewhere(host: HostSpec) -> Iterator[str]:
    """Interfaces of any sort whose IPv6 addresses come from routers or by DHCPv6 (`ipv6`)."""
    for key in ("interfaces", "bridges", "vlans", "bonds"):
        section = host.sections.get(key)
        for name, item in section.items() if isinstance(section, Mapping) else ():
            if getattr(item, "ipv6", None):
                yield name


def _outer(claims: Sequence[Claim], host: HostSpec) -> Iterator[tuple[str, str]]:
    """(interface, cause) of what comes in from outside, or leaves."""
    for one in published_of(claims, host):
        if one.family == 6:
            yield one.interface, f"{one.section}: {one.interface} to {one.name} over IPv6"
