"""The kernel's IP sets (ipset(8), type hash:net) that Proxmox makes of the sets of its files.

    build_sets(firewall) -> Sets

The longest prefix that holds an address decides; a `nomatch` entry is a hole. Every set exists once for IPv4 and once
for IPv6. `management` holds the local network as well; `ipfilter-netN` what the card may use on its own.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from service.firewall.pve.cards import Card, link_local
from service.firewall.pve.node import NodeFirewall
from service.firewall.pve.rules import ALIAS
from service.firewall.terms.addresses import BITS, ip_or_cidr, iptables_address, mask_of, split_cidr
from service.firewall.terms.model import FAMILIES, NOWHERE, Family, Ignored, IPSetEntry, Level, Where
from service.firewall.terms.numbers import c_number

SetKey = tuple[str, str, Family]
"""Number of the guest ("0": cluster and host; "sdn": what the SDN makes), name, family."""
SDN = "sdn"


@dataclass(slots=True)
class NetSet:
    """One set: for each prefix mask, longest first, the networks and whether they are holes. `holes_win`: a hole counts
    however wide it is, as in nft, where holes are a set of their own."""

    holes_win: bool = False
    tables: dict[int, dict[int, bool]] = field(default_factory=dict)
    _masks: list[int] = field(default_factory=list)

    def add(self, value: int, mask: int, *, nomatch: bool) -> bool:
        """Add a network; false if it is there already."""
        if mask not in self.tables:
            self.tables[mask] = {}
            self._masks = sorted(self.tables, reverse=True)
        table = self.tables[mask]
        if value & mask in table:
            return False
        table[value & mask] = nomatch
        return True

    def holds(self, address: int) -> bool:
        """Whether the set matches the address."""
        if self.holes_win and any(self.tables[mask].get(address & mask) for mask in self._masks):
            return False
        for mask in self._masks:
            nomatch = self.tables[mask].get(address & mask)
            if nomatch is not None:
                return not nomatch
        return False


@dataclass(frozen=True, slots=True)
class Sets:
    """All sets by key, and the entries that ipset refuses: with one of them nothing is loaded."""

    table: dict[SetKey, NetSet]
    refused: tuple[Ignored, ...]


def build_sets(firewall: NodeFirewall) -> Sets:
    """The sets of the cluster and of every guest that has a file, switched on or not."""
    table: dict[SetKey, NetSet] = {}
    refused: list[Ignored] = []
    alias = firewall.cluster.aliases.get("local_network")
    text = f"{alias.name} {alias.cidr}" if alias else ""
    local = IPSetEntry(firewall.local_network(), where=alias.where if alias else NOWHERE, text=text)
    cluster = {name: [*ipset.entries] for name, ipset in firewall.cluster.ipsets.items()}
    cluster.setdefault("management", []).append(local)
    for name, entries in cluster.items():
        _build(table, refused, firewall, firewall.cluster, name, entries)
    made_by_sdn = Level("cluster", "the SDN")
    for name, made in (firewall.sdn or {}).items():
        keys: list[SetKey] = [(SDN, name, family) for family in FAMILIES]
        _build_as(keys, table, refused, firewall, made_by_sdn, made.entries)
    for vmid, level in firewall.guests.items():
        if not level.exists:
            continue
        guest = firewall.cards.get(vmid)
        cards = [card for card in (guest.cards.values() if guest else ()) if card.firewall]
        own = {
            f"ipfilter-{card.key}": _own_entries(card, container=guest is not None and guest.env == "ct")
            for card in cards
        }
        names = {**level.ipsets, **(own if level.on("ipfilter", default=False) else {})}
        for name in names:
            ipset = level.ipsets.get(name)
            entries = [*(ipset.entries if ipset else ()), *own.get(name, ())]
            _build(table, refused, firewall, level, name, entries)
    return Sets(table, tuple(refused))


def _own_entries(card: Card, *, container: bool) -> list[IPSetEntry]:
    entries = [IPSetEntry(link_local(card.mac)), IPSetEntry("fe80::/10", nomatch=True)] if card.mac else []
    return entries + [IPSetEntry(address) for address in (card.addresses if container else ())]


def _build(
    table: dict[SetKey, NetSet],
    refused: list[Ignored],
    firewall: NodeFirewall,
    level: Level,
    name: str,
    entries: Iterable[IPSetEntry],
) -> None:
    _build_as([(level.scope_id(), name, family) for family in FAMILIES], table, refused, firewall, level, entries)


def _build_as(
    as_keys: Iterable[SetKey],
    table: dict[SetKey, NetSet],
    refused: list[Ignored],
    firewall: NodeFirewall,
    level: Level,
    entries: Iterable[IPSetEntry],
) -> None:
    keys = {key[2]: key for key in as_keys}
    for key in keys.values():
        table[key] = NetSet()
    # the same text twice is one entry, the last one counts
    chosen = dict(_resolved(firewall, level, entries))
    for (address, length, family), entry in chosen.items():
        problem = _add(table[keys[family]], address, length, family, nomatch=entry.nomatch)
        if problem:
            blamed = entry if entry.where != NOWHERE else _line_in_the_way(chosen, address, length, family) or entry
            where = blamed.where if blamed.where != NOWHERE else Where(level.file, 0)
            refused.append(Ignored(where, blamed.text or blamed.cidr, f"ipset: {problem}", fatal=True))


def _line_in_the_way(
    chosen: Mapping[tuple[int, str, Family], IPSetEntry], address: int, length: str, family: Family
) -> IPSetEntry | None:
    """The entry of a file for the same network as one that Proxmox adds on its own."""
    prefix = c_number(length, BITS[family])
    mask = mask_of(prefix if prefix is not None else BITS[family], family)
    for (other, other_length, other_family), entry in chosen.items():
        if (other & mask, other_length, other_family) == (address & mask, length, family) and entry.where != NOWHERE:
            return entry
    return None


def _resolved(
    firewall: NodeFirewall, level: Level, entries: Iterable[IPSetEntry]
) -> Iterator[tuple[tuple[int, str, Family], IPSetEntry]]:
    for entry in entries:
        if entry.errors:
            continue
        cidr = entry.cidr
        reference = ALIAS.fullmatch(cidr)
        if reference:
            alias = firewall.alias(level, reference[1] or "", reference[2])
            if alias is None:
                continue
            cidr = alias.cidr
        parts = split_cidr(cidr)
        kept = ip_or_cidr(cidr)
        if parts is None or kept is None:
            continue
        address, _, family = parts
        number = iptables_address(address, family)
        if number is not None:
            yield (number, kept[0].partition("/")[2], family), entry


def _add(netset: NetSet, address: int, length: str, family: Family, *, nomatch: bool) -> str:
    """Add one entry; returns what ipset says if it refuses it."""
    bits = BITS[family]
    prefix = c_number(length, 1 << 40) if length else bits
    if prefix is None:
        return f"Syntax error: '{length}' is invalid as number"
    if prefix > bits:
        return f"Syntax error: '{length}' is out of range 0-{bits}"
    if prefix == 0:
        return "The value of the CIDR parameter of the IP address is invalid"
    if not netset.add(address, mask_of(prefix, family), nomatch=nomatch):
        return "Element cannot be added to the set: it's already added"
    return ""
