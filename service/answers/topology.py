"""What is on a host and behind it, from what Git wants and what was seen. Pure.

topology_of(spec, claims, observed, …) -> Topology

Everything that the spec names is there, seen or not, and every bridge that was seen. Each difference is at its object,
or in `elsewhere`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from service.answers.topology_guests import guest_nodes
from service.answers.topology_sdn import sdn_nodes
from service.firewall.nft.published import Published, shown_ports
from service.kinds.claims import AddressClaim, Claim, DefaultRoute, Masquerades, Named, Pool, Publishes
from service.kinds.guests_seen import pools_of
from service.kinds.published import network_of, published_of, publishes, target_of
from service.kinds.sites_seen import sites_of
from service.model.changes import Difference
from service.model.guests import PoolFill
from service.model.observed import HostObserved, Lease
from service.model.states import Absent, Seen
from service.model.topology import BridgeNode, ForwardNode, GuestNode, PoolRange, SiteNode, Standing, Topology, Uplink
from service.resources.forwards import TABLE_FACT, ForwardsTable
from service.resources.reach import newly_published
from service.spec.host import HostSpec


@dataclass(frozen=True, slots=True)
class Looked:
    """What is known of a host besides its spec. `unknown` is why it was not compared, "" where it was; then
    `differences` are all that there are."""

    commit: str
    observed: HostObserved | None = None
    differences: Sequence[Difference] = ()
    lost: Sequence[Lease] = ()
    unknown: str = ""


@dataclass(slots=True)
class _Drift:
    """The differences by (section, resource): each is taken by the object that it is about, the others are left."""

    left: list[Difference] = field(default_factory=list)

    def take(self, *keys: tuple[str, str]) -> tuple[str, ...]:
        """The fields of what differs there, in words."""
        found = [one for one in self.left if (one.kind, one.resource) in keys]
        self.left = [one for one in self.left if (one.kind, one.resource) not in keys]
        return tuple(dict.fromkeys(f"{one.field} not known" if one.unknown else one.field for one in found))


def topology_of(spec: HostSpec, claims: Sequence[Claim], looked: Looked) -> Topology:
    """The topology of a host."""
    drift, observed = _Drift(list(looked.differences)), looked.observed
    uplinks = _uplinks(claims, observed, drift)
    bridges = _bridges(spec, claims, observed, drift)
    names = tuple(one.name for one in bridges)
    guests = guest_nodes(
        claims, observed, lost=looked.lost, bridges=names, drift=lambda name: drift.take(("guests", name))
    )
    forwards = _forwards(spec, claims, observed, guests)
    where = {one.name: one.bridge for one in guests}
    sites = tuple(
        SiteNode(one.name, one.names, one.proxy, one.upstream, where.get(one.proxy, ""))
        for one in sites_of(spec, claims)
    )
    return Topology(
        spec.name, looked.commit, observed.observed_at if observed else None, looked.unknown,
        uplinks, bridges, guests, forwards, sites, _elsewhere(drift.left), sdn_nodes(claims, observed),
    )  # fmt: skip


def _elsewhere(left: Sequence[Difference]) -> tuple[str, ...]:
    counts = Counter(one.kind for one in left)
    return tuple(f"{kind} ({number})" for kind, number in sorted(counts.items()))


def _standing(fact: str, observed: HostObserved | None) -> Standing:
    if observed is None:
        return "unknown"
    seen = observed.fact(fact)
    return "seen" if isinstance(seen, Seen) else "missing" if isinstance(seen, Absent) else "unknown"


def _addresses(name: str, claims: Sequence[Claim]) -> tuple[str, ...]:
    return tuple(c.address for c in claims if isinstance(c, AddressClaim) and c.interface == name)


def _gateways(name: str, claims: Sequence[Claim]) -> tuple[str, ...]:
    return tuple(c.gateway for c in claims if isinstance(c, DefaultRoute) and c.interface == name)


def _named(sort: str, claims: Sequence[Claim]) -> list[str]:
    return list(dict.fromkeys(c.interface for c in claims if isinstance(c, Named) and c.sort == sort))


def _uplinks(claims: Sequence[Claim], observed: HostObserved | None, drift: _Drift) -> tuple[Uplink, ...]:
    found = []
    for kind, name in (
        *(("interfaces", n) for n in _named("interface", claims)),
        *(("bonds", n) for n in _named("bond", claims)),
    ):
        gateways = _gateways(name, claims)
        differs = drift.take((kind, name), *([("interfaces", "default")] if gateways else []))
        found.append(Uplink(name, _addresses(name, claims), gateways, _standing(f"link:{name}", observed), differs))
    return tuple(found)


def _bridges(
    spec: HostSpec, claims: Sequence[Claim], observed: HostObserved | None, drift: _Drift
) -> tuple[BridgeNode, ...]:
    section = spec.sections.get("bridges")
    written = section if isinstance(section, Mapping) else {}
    fills = pools_of(spec.name, claims, observed) if observed is not None else ()
    found = []
    for name in _named("bridge", claims):
        gateways = _gateways(name, claims)
        nat, keys = _nat(name, claims)
        differs = [*drift.take(("bridges", name), *([("bridges", "default")] if gateways else []))]
        for key in keys:
            differs += [f"NAT {key}: {one}" for one in drift.take(("nat", key))]
        found.append(
            BridgeNode(
                name, _addresses(name, claims), gateways, tuple(getattr(written.get(name), "ports", ())), nat,
                _pools(name, claims, fills), _standing(f"link:{name}", observed), tuple(differs),
            )
        )  # fmt: skip
    return (*found, *_extra(claims, observed, drift))


def _extra(claims: Sequence[Claim], observed: HostObserved | None, drift: _Drift) -> list[BridgeNode]:
    """The bridges that the host has and Git does not name."""
    named = {c.interface for c in claims if isinstance(c, Named)}
    found = []
    for fact, seen in sorted(observed.facts.items()) if observed is not None else ():
        name = fact.removeprefix("link:")
        if name == fact or name in named or not isinstance(seen, Seen) or not isinstance(seen.value, dict):
            continue
        if seen.value.get("type") != "bridge":
            continue
        held = observed.fact(f"addresses:{name}") if observed is not None else Absent()
        value = held.value if isinstance(held, Seen) and isinstance(held.value, list) else []
        addresses = tuple(str(one) for one in value)
        found.append(BridgeNode(name, addresses, (), (), (), (), "extra", drift.take(("bridges", name))))
    return found


def _nat(bridge: str, claims: Sequence[Claim]) -> tuple[tuple[str, ...], list[str]]:
    """The interfaces through which the bridge's networks leave, and the names of those differences."""
    own = [c.own.network for c in claims if isinstance(c, AddressClaim) and c.interface == bridge]
    rules = [
        c for c in claims
        if isinstance(c, Masquerades) and any(n.version == 4 and IPv4Network(c.source).overlaps(n) for n in own)
    ]  # fmt: skip
    return tuple(dict.fromkeys(c.out for c in rules)), [f"{c.source}>{c.out}" for c in rules]


def _pools(bridge: str, claims: Sequence[Claim], fills: Sequence[PoolFill]) -> tuple[PoolRange, ...]:
    known = {(one.interface, one.start, one.end): one for one in fills}
    found = []
    for pool in (c for c in claims if isinstance(c, Pool) and c.interface == bridge):
        fill = known.get((pool.interface, pool.start, pool.end))
        size = int(IPv4Address(pool.end)) - int(IPv4Address(pool.start)) + 1
        counts = (fill.leased, fill.reserved) if fill is not None else (None, None)
        found.append(PoolRange(pool.start, pool.end, size, *counts))
    return tuple(found)


def _forwards(
    spec: HostSpec, claims: Sequence[Claim], observed: HostObserved | None, guests: Sequence[GuestNode]
) -> tuple[ForwardNode, ...]:
    """Everything that is published. One that lint finds something wrong with leads nowhere, and is listed, too."""
    where = {one.name: one.bridge for one in guests}
    rules = published_of(claims, spec)
    missing = _not_in_force(rules, observed)
    found = []
    for one in publishes(claims):
        target = target_of(one.to, claims)
        network = network_of(target, claims) if target else None
        standing: Standing = _standing(TABLE_FACT, observed)
        if standing == "seen" and _key(one) in missing:
            standing = "missing"
        found.append(
            ForwardNode(
                one.interface, one.proto, shown_ports(one.ports), one.to, one.to_port, target,
                where.get(one.to) or (network[0] if network else ""), one.section, one.sources, standing,
            )
        )  # fmt: skip
    return tuple(found)


_Key = tuple[str, str, tuple[tuple[int, int], ...], str, int]


def _key(one: Publishes | Published) -> _Key:
    to = one.to if isinstance(one, Publishes) else one.name
    return one.interface, one.proto, one.ports, to, one.to_port


def _not_in_force(rules: Sequence[Published], observed: HostObserved | None) -> set[_Key]:
    """Those that the kernel's table does not have; none where it could not be read."""
    wanted = ForwardsTable("forwards", tuple(rules))
    if observed is None or not rules:
        return set()
    seen = observed.fact(wanted.id)
    if not isinstance(seen, Seen | Absent):
        return set()
    return {_key(one) for one, _ in newly_published(seen, wanted.table, wanted.published)}
