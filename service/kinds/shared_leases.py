"""Guests that send one DHCP client-id, as cloned machines do: dnsmasq keeps one lease for all of them.

dnsmasq knows a client by its client-id first, by its MAC only where it sends none (2.90). The guest with the last
request gets the lease. The other guest loses its lease and its name, but still uses its address
(findings/dnsmasq-shared-client-id.sh). One lease file does not show that, two of them do.

    lost_leases(lost, before, now) -> tuple[Lease, …]     leases that another MAC with the same client-id took
    sharing(lost, now)             -> [(leases, …), …]    those that share one now, the one in the lease file first
"""

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from service.model.guests import NameFinding
from service.model.observed import HostObserved, Lease
from service.model.states import Seen

Together: TypeAlias = tuple[Lease, tuple[Lease, ...]]
"""The lease that is there, and those that it took the place of."""
CURE = (
    "give each clone its own machine-id (`systemd-machine-id-setup` after `rm /etc/machine-id`), "
    "or set `dnsmasq.dhcp_ignore_clid: true`"
)


def lost_leases(lost: Sequence[Lease], before: HostObserved | None, now: HostObserved) -> tuple[Lease, ...]:
    """The leases that vanished before their end because another MAC came with the same client-id.

    `lost` are those known at the look `before`. One is forgotten when its guest has a lease again, or when nobody has a
    lease by that client-id. It is also forgotten when it would have ended: an active guest asks long before that.
    """
    if not isinstance(now.leases, Seen):
        return tuple(lost)
    at = now.observed_at.timestamp()
    holders = {one.mac for one in now.leases.value}
    taken = {one.client_id for one in now.leases.value if _is_in_force(one, at)}
    then = before.leases.value if before is not None and isinstance(before.leases, Seen) else ()
    known = {one.mac: one for one in (*lost, *then)}
    return tuple(
        one
        for mac, one in sorted(known.items())
        if mac not in holders and one.client_id in taken and _is_in_force(one, at)
    )


def _is_in_force(lease: Lease, at: float) -> bool:
    """Whether it is an IPv4 lease by a client-id, and has not run out."""
    return bool(lease.client_id and lease.mac) and not 0 < lease.expires <= at


def sharing(lost: Sequence[Lease], now: HostObserved) -> Iterator[Together]:
    """Those that share a lease now."""
    leases = now.leases.value if isinstance(now.leases, Seen) else ()
    for lease in leases:
        others = tuple(one for one in lost if one.client_id == lease.client_id != "" and one.mac != lease.mac)
        if others and lease.mac:
            yield lease, others


def sharing_findings(lost: Sequence[Lease], now: HostObserved) -> Iterator[NameFinding]:
    """One for each client-id, in words that do not depend on the last request."""
    for lease, others in sharing(lost, now):
        both = sorted((lease, *others), key=lambda one: one.mac)
        who = " and ".join(f"{one.mac} ({', '.join(filter(None, (one.address, one.name)))})" for one in both)
        text = (
            f"{who} send the same DHCP client-id: dnsmasq keeps one lease for them. The other has no lease and no "
            f"name, and still uses its address. Fix: {CURE}"
        )
        yield NameFinding("lease-shared", both[0].name, both[0].mac, text)
