"""Who is behind a host, out of what the spec says and what was seen: guests, disputed names, how full the pools are.

guests_seen(claims, observed, lost) -> tuple[GuestSeen, …]          by address, then name
name_findings(claims, observed, lost) -> tuple[NameFinding, …]      `lost`: see service/kinds/shared_leases.py
in_words(findings) -> str                                     the first of them, for a status
pools_of(host, claims, observed) -> tuple[PoolFill, …]
"""

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, ip_address

from service.kinds.claims import Claim, Pool, Reservation, named_by_settings
from service.kinds.shared_leases import sharing_findings
from service.model.guests import GuestSeen, GuestSource, GuestState, NameFinding, PoolFill
from service.model.observed import HostObserved, Lease
from service.model.states import Seen, Unknown
from service.resources.guest_configs import GuestRow, settings_of, without_twins


def active_leases(observed: HostObserved) -> tuple[Lease, ...]:
    """The leases that had not run out when they were seen; none where they could not be read."""
    if not isinstance(observed.leases, Seen):
        return ()
    now = observed.observed_at.timestamp()
    return tuple(lease for lease in observed.leases.value if lease.expires == 0 or lease.expires > now)


def declared(claims: Sequence[Claim]) -> tuple[GuestRow, ...]:
    """(name, MAC, address or empty) of the guests in the spec."""
    return tuple((c.name, c.mac.lower(), c.address) for c in claims if isinstance(c, Reservation))


def known(claims: Sequence[Claim], observed: HostObserved) -> Iterator[tuple[GuestRow, GuestSource]]:
    """Everybody who is to have a name."""
    rows = declared(claims)
    yield from ((row, "spec") for row in rows)
    bridges = named_by_settings(claims)
    found = settings_of(observed, bridges) if bridges else ()
    if not isinstance(found, Unknown):
        yield from ((row, "settings") for row in without_twins(rows, [row for _, row in found]))


def guests_seen(claims: Sequence[Claim], observed: HostObserved, lost: Sequence[Lease] = ()) -> tuple[GuestSeen, ...]:
    """All guests: declared, known by their settings, and strangers with a lease, or with one that another took."""
    leases = {lease.mac: lease for lease in active_leases(observed) if lease.mac}
    shared = {lease.mac: lease for lease in lost if lease.mac not in leases}
    seen: list[GuestSeen] = []
    for (name, mac, reserved), source in known(claims, observed):
        lease = leases.pop(mac, None)
        held = (lease.address, reserved, lease.name, lease.expires) if lease else ("", reserved, "", 0)
        if (taken := shared.pop(mac, None)) is not None:
            seen.append(GuestSeen(name, mac, source, "shared", taken.address, reserved))
        else:
            seen.append(GuestSeen(name, mac, source, _state(name, lease), *held))
    for mac, lease in leases.items():
        state: GuestState = "foreign" if lease.name else "silent"
        seen.append(GuestSeen(lease.name, mac, "lease", state, lease.address, "", lease.name, lease.expires))
    seen += (GuestSeen(one.name, mac, "lease", "shared", one.address) for mac, one in shared.items())
    return tuple(sorted(seen, key=lambda one: (_number(one.address or one.reserved), one.name, one.mac)))


def _state(name: str, lease: Lease | None) -> GuestState:
    if lease is None:
        return "waiting"
    if not lease.name:
        return "unnamed"
    return "named" if lease.name.split(".")[0].lower() == name else "renamed"


def _number(address: str) -> tuple[int, int]:
    if not address:
        return (9, 0)
    found = ip_address(address)
    return (found.version, int(found))


def name_findings(
    claims: Sequence[Claim], observed: HostObserved, lost: Sequence[Lease] = ()
) -> tuple[NameFinding, ...]:
    """Names that two want: a stranger's lease with a known name, settings that differ from the spec. And leases
    that two share."""
    found = [*sharing_findings(lost, observed)]
    owners = {name: (mac, source) for (name, mac, _), source in known(claims, observed)}
    for lease in active_leases(observed):
        owner, _ = owners.get(lease.name.split(".")[0].lower(), ("", ""))
        if owner and lease.mac and lease.mac != owner:
            text = f"{lease.mac} ({lease.address}) has the name {lease.name}, which belongs to {owner}"
            found.append(NameFinding("name-taken", lease.name, lease.mac, text))
    found += _settings_findings(declared(claims), claims, observed)
    return tuple(sorted(set(found), key=lambda one: (one.rule, one.name, one.mac)))


def in_words(findings: Sequence[NameFinding]) -> str:
    """For a host's status."""
    more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
    return f"{findings[0].text}{more}" if findings else ""


def _settings_findings(
    rows: Sequence[GuestRow], claims: Sequence[Claim], observed: HostObserved
) -> Iterator[NameFinding]:
    bridges = named_by_settings(claims)
    found = settings_of(observed, bridges) if bridges else ()
    if isinstance(found, Unknown):
        return
    by_name, by_mac = {row[0]: row for row in rows}, {row[1]: row for row in rows}
    first: dict[str, str] = {}
    for path, (name, mac, _) in found:
        if name in by_name and by_name[name][1] != mac:
            text = f"{path} names {mac} {name}, which the spec gives to {by_name[name][1]}"
            yield NameFinding("name-conflict", name, mac, text)
        elif mac in by_mac and by_mac[mac][0] != name:
            yield NameFinding("name-conflict", name, mac, f"{path} names {mac} {name}, the spec {by_mac[mac][0]}")
        elif first.setdefault(name, path) != path:
            yield NameFinding("name-twice", name, mac, f"{path} and {first[name]} both name a guest {name}")


def pools_of(host: str, claims: Sequence[Claim], observed: HostObserved) -> tuple[PoolFill, ...]:
    """How full each range is; none where that could not be read. What is outside every range counts nowhere."""
    if isinstance(observed.leases, Unknown):
        return ()
    leased = {int(ip) for lease in active_leases(observed) if (ip := ip_address(lease.address)).version == 4}
    kept = {int(IPv4Address(row[2])) for row, _ in known(claims, observed) if row[2]} - leased
    fills = []
    for pool in (claim for claim in claims if isinstance(claim, Pool)):
        first, last = int(IPv4Address(pool.start)), int(IPv4Address(pool.end))
        inside = range(first, last + 1)
        counts = [sum(number in inside for number in numbers) for numbers in (leased, kept)]
        fills.append(PoolFill(host, pool.interface, pool.start, pool.end, len(inside), *counts))
    return tuple(fills)
