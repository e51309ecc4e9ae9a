"""The table of everybody behind the fleet's hosts: one line for each lease, and for each guest without one.

chosen(lines, LinesAsked(kind="foreign", sort="-last_seen")) -> Chosen      filtered, sorted, bounded
offered(lines)                                                 the values that filters may have
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

from service.model.guests import GuestSource, NameRule

LineKind = Literal["fixed", "dynamic", "foreign", "waiting", "expired", "unknown"]
"""fixed: its holder has this address in the spec or in its settings. dynamic: a known guest has it from a range.
`foreign`: nobody knows its holder. waiting: a known guest without a lease now. expired: a lease of the past.
unknown: the host was not compared with what Git wants now, or the lease names no MAC address."""
Conflict = Literal["address-twice", "reserved-for-another"] | NameRule
KINDS: tuple[LineKind, ...] = get_args(LineKind)
LineSort = Literal[
    "ip", "-ip", "name", "-name", "mac", "-mac", "host", "-host", "bridge", "-bridge", "kind", "-kind",
    "first_seen", "-first_seen", "last_seen", "-last_seen", "expires_at", "-expires_at", "declared", "-declared",
]  # fmt: skip
"""The column that the table is sorted by, with `-` the other way round."""
MOST_LINES = 10_000
"""So many lines are answered at most."""


MOST_FACTS = 20_000
"""So many leases are read at most for the table: those in force, and as many of the past."""

LeaseFact = tuple[str, str, str, str, str, int, int, int | None, bool]
"""A lease as it is read for the table: host, MAC, address, its key in the order of numbers, name. Then first seen, last
seen, expiry (microseconds since 1970; None = never), and whether it is in the lease file."""


def is_cut(facts: Sequence[LeaseFact], *, held: bool) -> bool:
    """Whether there may be more leases that are in the lease files, or of the past, than were read."""
    return len(facts) >= MOST_FACTS and sum(bool(fact[-1]) is held for fact in facts) >= MOST_FACTS


class GuestLine(NamedTuple):
    """One line. Times are microseconds since 1970, `expires_at` None = never. `ip` is "" for a guest that has neither a
    lease nor a fixed address. `file` and `line` are where it is declared: a file of the repository, or with line 0 one
    of the host. `in_pool`: a fixed address that lies in a range. `text` says what the conflict is."""

    host: str
    ip: str
    ip_order: str
    name: str
    mac: str
    bridge: str
    kind: LineKind
    source: GuestSource | None
    reserved: str
    in_pool: bool
    file: str
    line: int
    first_seen: int | None
    last_seen: int | None
    expires_at: int | None
    conflict: Conflict | None
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LinesAsked:
    """The filters and the order of the table; a filter that is empty selects everything. `q` are words that all have
    to be in a line, `conflict` only lines with one, or only those without."""

    host: str = ""
    bridge: str = ""
    name: str = ""
    mac: str = ""
    ip: str = ""
    kind: LineKind | Literal[""] = ""
    conflict: bool | None = None
    q: str = ""
    sort: LineSort = "ip"
    limit: int = 50


@dataclass(frozen=True, slots=True)
class Chosen:
    """The lines that fit, and how many fit with those that `limit` leaves out."""

    lines: Sequence[GuestLine]
    total: int


@dataclass(frozen=True, slots=True)
class Offered:
    """The values that the table has, before any filter: what a filter may be set to."""

    hosts: Sequence[str]
    bridges: Sequence[str]
    kinds: Mapping[LineKind, int]
    conflicts: int


def chosen(lines: Sequence[GuestLine], asked: LinesAsked) -> Chosen:
    """The lines that fit, in order. Lines without a value of the column are last, whichever way the order goes."""
    found: Iterable[GuestLine] = lines
    exact = (("host", asked.host), ("bridge", asked.bridge), ("name", asked.name), ("mac", asked.mac.lower()),
             ("ip", asked.ip), ("kind", asked.kind))  # fmt: skip
    for column, value in exact:
        if value:
            number = GuestLine._fields.index(column)
            found = [one for one in found if one[number] == value]
    if asked.conflict is not None:
        found = [one for one in found if (one.conflict is not None) is asked.conflict]
    if words := asked.q.casefold().split():
        found = [one for one in found if _has(one, words)]
    ordered = _ordered([*found], asked.sort)
    return Chosen(ordered[: asked.limit], len(ordered))


def offered(lines: Iterable[GuestLine]) -> Offered:
    """What there is to choose from."""
    places = Counter((one.host, one.bridge, one.kind, one.conflict is not None) for one in lines)
    kinds: Counter[LineKind] = Counter()
    for (_, _, kind, _), count in places.items():
        kinds[kind] += count
    return Offered(
        sorted({host for host, *_ in places}),
        sorted({bridge for _, bridge, *_ in places if bridge}),
        {kind: kinds[kind] for kind in KINDS if kinds[kind]},
        sum(count for (*_, has_conflict), count in places.items() if has_conflict),
    )


def _has(one: GuestLine, words: Sequence[str]) -> bool:
    text = "\n".join((one.ip, one.name, one.mac, one.host, one.bridge, one.kind, one.file, one.reserved)).casefold()
    return all(word in text for word in words)


def _place(one: GuestLine) -> Any:
    return one.ip_order or "~", one.host, one.mac, one.name


_COLUMNS: Mapping[str, Callable[[GuestLine], Any]] = {
    "ip": lambda one: one.ip_order, "name": lambda one: one.name.casefold(), "mac": lambda one: one.mac,
    "host": lambda one: one.host, "bridge": lambda one: one.bridge, "kind": lambda one: KINDS.index(one.kind) + 1,
    "first_seen": lambda one: one.first_seen, "last_seen": lambda one: one.last_seen,
    "expires_at": lambda one: one.expires_at, "declared": lambda one: (one.file, one.line) if one.file else None,
}  # fmt: skip


def _ordered(lines: list[GuestLine], sort: str) -> list[GuestLine]:
    """Sorted by the column, then by address, host and MAC."""
    column = _COLUMNS[sort.removeprefix("-")]
    lines.sort(key=_place)
    with_value = [one for one in lines if column(one) not in (None, "")]
    without = [one for one in lines if column(one) in (None, "")] if len(with_value) < len(lines) else []
    with_value.sort(key=column, reverse=sort.startswith("-"))
    return with_value + without
