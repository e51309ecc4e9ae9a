"""The table of everybody behind the fleet's hosts: leases of the history, next to what Git and the hosts' settings say.

lines = GuestLines(claims_of)
lines.now(leases, looks, now)      all lines as they are now
lines.then(leases, looks)          the leases that were held at a past time, with what Git says of their holders today
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from ipaddress import IPv4Address, ip_address
from typing import NamedTuple

from service.kinds.claims import AddressClaim, Claim, Pool, named_by_settings
from service.kinds.guests_seen import known, name_findings
from service.model.guest_lines import Conflict, GuestLine, LeaseFact, LineKind, is_cut
from service.model.guests import GuestSource
from service.model.observed import HostObserved, Lease
from service.model.states import Unknown
from service.resources.guest_configs import settings_of
from service.spec.host import HostSpec


class LookedAt(NamedTuple):
    """A host that was compared with what Git wants now: its spec, what was seen, the leases that others took."""

    spec: HostSpec
    observed: HostObserved
    lost: Sequence[Lease]


class _Guest(NamedTuple):
    name: str
    mac: str
    reserved: str
    source: GuestSource
    file: str
    line: int


class _Net(NamedTuple):
    version: int
    first: int
    last: int
    interface: str


@dataclass(frozen=True, slots=True)
class _Behind:
    """What is known behind a host. `is_whole`: whoever is not among `guests` is nobody's. `has_leases`: whoever has no
    lease in the history has none."""

    guests: Mapping[str, _Guest]
    owners: Mapping[str, _Guest]
    networks: Sequence[_Net]
    pools: Sequence[_Net]
    findings: Mapping[str, tuple[Conflict, str]]
    is_whole: bool
    has_leases: bool

    def bridge_of(self, ip: str) -> str:
        """The interface in whose network the address is; the smallest of several."""
        return _within(self.networks, ip)


class _Kept(NamedTuple):
    seen: LookedAt | None
    facts: Sequence[LeaseFact]
    until_us: int
    lines: Sequence[GuestLine]
    has_more: bool


_NEVER_US = 2**63
_NOTHING = _Behind({}, {}, (), (), {}, is_whole=False, has_leases=False)


class GuestLines:
    """Makes the lines. Those of a host are made again only when something of that host is another, or a lease ran out:
    a fleet of 1,000 hosts has one that changed."""

    def __init__(self, claims_of: Callable[[HostSpec], Sequence[Claim]]) -> None:
        self._claims_of = claims_of
        self._kept: tuple[Mapping[str, _Kept], tuple[GuestLine, ...]] = ({}, ())  # in one: several threads read it

    def now(
        self, facts: Sequence[LeaseFact], looks: Mapping[str, LookedAt | None], now: datetime
    ) -> tuple[GuestLine, ...]:
        """All lines; the very same tuple while nothing is another. `looks` has every host in Git, None for one that was
        not compared with it. Where not all leases were read, nobody is known to have none."""
        now_us, has_more = int(now.timestamp() * 1_000_000), is_cut(facts, held=True)
        before, whole = self._kept
        kept: dict[str, _Kept] = {}
        by_host = _by_host(facts)
        for host in {**looks, **by_host}:
            mine, seen, old = by_host.get(host, []), looks.get(host), before.get(host)
            is_kept = old is not None and _same(old.seen, seen) and old.facts == mine and old.has_more is has_more
            if old is None or not is_kept or old.until_us <= now_us:
                ends = (end for *_, end, is_active in mine if is_active and end is not None and end > now_us)
                behind = self._behind(seen)
                behind = replace(behind, has_leases=behind.has_leases and not has_more)
                lines = tuple(_present(host, mine, behind, now_us))
                old = _Kept(seen, mine, min(ends, default=_NEVER_US), lines, has_more)
            kept[host] = old
        if len(kept) == len(before) and all(before.get(host) is one for host, one in kept.items()):
            return whole
        lines = tuple(line for one in kept.values() for line in one.lines)
        self._kept = kept, lines
        return lines

    def then(self, facts: Iterable[LeaseFact], looks: Mapping[str, LookedAt | None]) -> tuple[GuestLine, ...]:
        """The leases that were held at a past time. Who was to have one then is not known, so nobody waits."""
        found: list[GuestLine] = []
        for host, mine in _by_host(facts).items():
            behind = self._behind(looks.get(host))
            found += (_line(fact, behind, _kind(fact, behind)) for fact in mine)
        return tuple(found)

    def _behind(self, seen: LookedAt | None) -> _Behind:
        if seen is None:
            return _NOTHING
        spec, observed, lost = seen
        claims = self._claims_of(spec)
        bridges = named_by_settings(claims)
        settings = settings_of(observed, bridges) if bridges else ()
        files = {} if isinstance(settings, Unknown) else {row[1]: path for path, row in reversed(settings)}
        guests: dict[str, _Guest] = {}
        for (name, mac, reserved), source in known(claims, observed):
            where = spec.where(("guests", name)) if source == "spec" else (files.get(mac, ""), 0)
            guests.setdefault(mac, _Guest(name, mac, reserved, source, *where))
        own = [claim for claim in claims if isinstance(claim, AddressClaim)]
        networks = [
            _Net(net.version, int(net.network_address), int(net.broadcast_address), claim.interface)
            for claim in own for net in (claim.own.network,)
        ]  # fmt: skip
        pools = [
            _Net(4, int(IPv4Address(one.start)), int(IPv4Address(one.end)), one.interface)
            for one in claims if isinstance(one, Pool)
        ]  # fmt: skip
        return _Behind(
            guests, {guest.reserved: guest for guest in guests.values() if guest.reserved},
            sorted(networks, key=lambda net: net.last - net.first), pools,
            {one.mac: (one.rule, one.text) for one in reversed(name_findings(claims, observed, lost))},
            is_whole=not isinstance(settings, Unknown), has_leases=not isinstance(observed.leases, Unknown),
        )  # fmt: skip


def _present(host: str, facts: Sequence[LeaseFact], behind: _Behind, now_us: int) -> Iterator[GuestLine]:
    held: dict[str, set[str]] = defaultdict(set)
    last_seen: dict[str, int] = {}
    waiting = dict(behind.guests)
    for _, mac, ip, _, _, _, last, end, is_active in facts:
        last_seen[mac] = max(last, last_seen.get(mac, 0))
        if is_active and (end is None or end > now_us):
            held[ip].add(mac)
            waiting.pop(mac, None)
    for fact in facts:
        _, mac, ip, *_, end, is_active = fact
        if not is_active or (end is not None and end <= now_us):
            yield _line(fact, behind, "expired")
            continue
        line = _line(fact, behind, _kind(fact, behind))
        conflict, text = _conflict(mac, ip, held[ip], behind)
        yield line._replace(conflict=conflict, text=text) if conflict else line
    for guest in waiting.values():
        yield _without(host, guest, behind, held, last_seen.get(guest.mac))


def _same(old: LookedAt | None, new: LookedAt | None) -> bool:
    """Whether it is the very same look."""
    if old is None or new is None:
        return old is new
    return old.spec is new.spec and old.observed is new.observed and old.lost is new.lost


def _by_host(facts: Iterable[LeaseFact]) -> dict[str, list[LeaseFact]]:
    found: dict[str, list[LeaseFact]] = defaultdict(list)
    for fact in facts:
        found[fact[0]].append(fact)
    return found


def _kind(fact: LeaseFact, behind: _Behind) -> LineKind:
    """Of a lease that is held."""
    guest = behind.guests.get(fact[1])
    if guest is not None:
        return "fixed" if guest.reserved == fact[2] else "dynamic"
    return "foreign" if behind.is_whole and fact[1] else "unknown"


def _line(fact: LeaseFact, behind: _Behind, kind: LineKind) -> GuestLine:
    host, mac, ip, ip_order, name, first, last, end, _ = fact
    guest = behind.guests.get(mac)
    bridge = behind.bridge_of(ip)
    if guest is None:
        source: GuestSource | None = "lease" if behind.is_whole and mac else None
        return GuestLine(
            host, ip, ip_order, name, mac, bridge, kind, source, "", False, "", 0, first, last, end, None, ""
        )
    shown = (name or guest.name) if kind == "expired" else guest.name
    return GuestLine(
        host, ip, ip_order, shown, mac, bridge, kind, guest.source, guest.reserved,
        kind == "fixed" and bool(_within(behind.pools, ip)), guest.file, guest.line, first, last, end, None, "",
    )  # fmt: skip


def _without(
    host: str, guest: _Guest, behind: _Behind, held: Mapping[str, set[str]], last_seen: int | None
) -> GuestLine:
    """A known guest that has no lease."""
    ip = guest.reserved
    conflict: Conflict | None
    conflict, text = behind.findings.get(guest.mac, (None, ""))
    if conflict is None and held.get(ip):
        conflict = "reserved-for-another"
        text = f"{ip} is reserved for {guest.name}, but {' and '.join(sorted(held[ip]))} has it"
    kind: LineKind = "waiting" if behind.has_leases else "unknown"
    return GuestLine(
        host, ip, _order(ip), guest.name, guest.mac, behind.bridge_of(ip), kind, guest.source, ip,
        bool(_within(behind.pools, ip)), guest.file, guest.line, None, last_seen, None, conflict, text,
    )  # fmt: skip


def _conflict(mac: str, ip: str, holders: set[str], behind: _Behind) -> tuple[Conflict | None, str]:
    """What is wrong with a lease that is held."""
    if len(holders) > 1:
        return "address-twice", f"{ip} is held by {' and '.join(sorted(holders))}"
    owner = behind.owners.get(ip)
    if owner is not None and owner.mac != mac:
        return "reserved-for-another", f"{ip} is reserved for {owner.name}, but {mac or 'somebody else'} has it"
    return behind.findings.get(mac, (None, ""))


def _within(nets: Sequence[_Net], ip: str) -> str:
    if not ip or not nets:
        return ""
    address = ip_address(ip)
    version, number = address.version, int(address)
    return next((net.interface for net in nets if net.version == version and net.first <= number <= net.last), "")


def _order(ip: str) -> str:
    """As the history sorts addresses."""
    if not ip:
        return ""
    address = ip_address(ip)
    return f"{address.version}{int(address):032x}"
