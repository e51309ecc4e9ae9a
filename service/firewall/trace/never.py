"""Rules that can never decide: earlier ones, one alone or several together, take every packet that they match.

    judged([cells_of(boxes, names), …]) -> (Judged, …)      one for each rule, in the order in which they are tried

Every packet is a point in a space of seven sides (interface, protocol, addresses, ports, ICMP type) for each family. A
rule is the union of some cells of that space. A free point of a rule proves that it decides. Where none is found, the
earlier cells are cut out of the rule's: if nothing remains, it never decides. Both are proofs, so neither can be wrong
about a rule that matches what its boxes say (service/firewall/trace/cover.py). The work is bounded; what would take
more is not judged.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from service.firewall.terms.addresses import BITS, Ranges
from service.firewall.terms.icmp import IcmpType
from service.firewall.terms.model import Family
from service.firewall.trace.cover import Box

MOST_WORK = 1_000_000
"""Ranges compared in one table; about a second."""
MOST_FOR_ONE = 60_000
"""Ranges compared for one rule."""
_TRIES = 8
_FEW = 64
_MOST_TOLD = 16
_IFACE, _PROTO, _SOURCE, _DEST, _SPORT, _DPORT, _ICMP = range(7)
_ANY_PORT: Ranges = ((0, 65535),)

Decides = Literal["some", "never", "not judged"]


@dataclass(frozen=True, slots=True)
class Judged:
    """Whether a rule decides about some packets or never, or that this is not known; and the places of the earlier
    rules, counted from 0, that take its packets."""

    decides: Decides
    earlier: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Cell:
    """Packets of one family, limited in each of the seven sides."""

    family: Family
    sides: tuple[Ranges, ...]


def cells_of(boxes: Iterable[Box], interfaces: Mapping[str, int]) -> tuple[Cell, ...]:
    """Boxes as cells. `interfaces` number those that rules name, from 1; 0 stands for all others."""
    return tuple(_cell(box, interfaces) for box in boxes)


def everything() -> tuple[Cell, ...]:
    """All packets: what a policy is about."""
    return cells_of((Box(4, "", 0, None, None, None, None, None), Box(6, "", 0, None, None, None, None, None)), {})


def _cell(box: Box, interfaces: Mapping[str, int]) -> Cell:
    number = interfaces[box.iface] if box.iface else 0
    addresses: Ranges = ((0, (1 << BITS[box.family]) - 1),)
    return Cell(
        box.family,
        (
            ((number, number),) if box.iface else _ANY_PORT,
            ((box.proto, box.proto),) if box.proto else ((0, 255),),
            addresses if box.sources is None else box.sources,
            addresses if box.dests is None else box.dests,
            _ANY_PORT if box.sports is None else box.sports,
            _ANY_PORT if box.dports is None else box.dports,
            _icmp(box.icmp),
        ),
    )


def _icmp(kind: IcmpType | None) -> Ranges:
    if kind is None or kind.type is None:
        return _ANY_PORT
    if kind.code is None:
        return ((kind.type << 8, kind.type << 8 | 255),)
    return ((kind.type << 8 | kind.code, kind.type << 8 | kind.code),)


def judged(rules: Sequence[tuple[Cell, ...]], most: int = MOST_WORK) -> Iterator[Judged]:
    """Of rules in the order in which they are tried. `most` limits the ranges that are compared."""
    earlier, draws = _Earlier(), _Draws()
    left = most
    for place, cells in enumerate(rules):
        if left <= 0:
            yield Judged("not judged")
            continue
        work = _Work(min(left, MOST_FOR_ONE))
        try:
            yield _judged(cells, earlier, work, draws)
        except _TooMuch:
            yield Judged("not judged")
        left -= work.done
        left -= sum(earlier.add(cell, place) for cell in cells)


@dataclass(slots=True)
class _Draws:
    """Numbers that look random and are the same each time (Knuth's MMIX generator): which points are tried."""

    state: int = 1

    def of(self, side: Ranges) -> int:
        """One of the numbers of a side."""
        first, last = side[self.bits() % len(side)]
        return first + (self.bits() << 64 | self.bits()) % (last - first + 1)

    def bits(self) -> int:
        """32 bits and more."""
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        return self.state >> 16


class _TooMuch(Exception):  # noqa: N818 (an answer: this rule is not judged)
    """More work than is allowed."""


@dataclass(slots=True)
class _Work:
    """Ranges compared, and how many may be."""

    most: int
    done: int = 0

    def add(self, ranges: int) -> None:
        self.done += ranges
        if self.done > self.most:
            raise _TooMuch


def _judged(cells: tuple[Cell, ...], earlier: "_Earlier", work: _Work, draws: "_Draws") -> Judged:
    taken: set[int] = set()
    for cell in cells:
        found = _takers(cell, earlier, work, draws)
        if found is None:
            return Judged("some")
        taken |= found
    return Judged("never", tuple(sorted(taken)))


def _takers(cell: Cell, earlier: "_Earlier", work: _Work, draws: "_Draws") -> set[int] | None:
    """The places of the earlier rules that together hold all of a cell: the first that does so alone, else those that
    take a part. None where something remains."""
    near = earlier.near(cell, work)
    for place, other in near:
        work.add(1)
        if all(map(_holds, other.sides, cell.sides)):
            return {place}
    for point in _points(cell, draws):
        work.add(len(near) if len(near) < _FEW else 0)
        if not any(
            all(map(_holds, other.sides, point.sides))
            for _, other in (near if len(near) < _FEW else earlier.near(point, work))
        ):
            return None
    takers = _cut_out(cell, near, work)
    return None if takers is None else _fewer(cell, [one for one in near if one[0] in takers], work)


def _fewer(cell: Cell, near: "Found", work: _Work) -> set[int]:
    """The same without those that are not needed, where these are few."""
    for place in sorted({place for place, _ in near}) if len(near) <= _MOST_TOLD else ():
        others = [one for one in near if one[0] != place]
        if _cut_out(cell, others, work) is not None:
            near = others
    return {place for place, _ in near}


def _points(cell: Cell, draws: "_Draws") -> Iterator[Cell]:
    """Points of a cell: its first one, its last one, then any."""
    for place, end in ((0, 0), (-1, 1)):
        yield Cell(cell.family, tuple(((side[place][end],) * 2,) for side in cell.sides))
    for _ in range(_TRIES):
        values = [draws.of(side) for side in cell.sides]
        yield Cell(cell.family, tuple(((value, value),) for value in values))


def _holds(outer: Ranges, inner: Ranges) -> bool:
    """Whether all numbers of one are in the other."""
    for first, last in inner:
        place = bisect_right(outer, first, key=_first) - 1
        if place < 0 or outer[place][1] < last:
            return False
    return True


def _first(span: tuple[int, int]) -> int:
    return span[0]


def _cut_out(cell: Cell, near: "Found", work: _Work) -> set[int] | None:
    """The places of those that take a part of a cell, if nothing remains of it."""
    takers: set[int] = set()
    pieces = [cell.sides]
    for place, other in near:
        remaining: list[tuple[Ranges, ...]] = []
        for piece in pieces:
            work.add(sum(map(len, piece)) + sum(map(len, other.sides)))
            both = [*map(_common, piece, other.sides)]
            if not all(both):
                remaining.append(piece)
                continue
            takers.add(place)
            remaining.extend(_outside(piece, other.sides, both))
        pieces = remaining
        if not pieces:
            return takers
    return None


def _outside(piece: Sequence[Ranges], other: Sequence[Ranges], both: Sequence[Ranges]) -> Iterator[tuple[Ranges, ...]]:
    """What of a piece is not in the other cell, as pieces that have nothing in common."""
    for side in range(len(piece)):
        rest = _without(piece[side], other[side])
        if rest:
            yield (*both[:side], rest, *piece[side + 1 :])


def _common(one: Ranges, other: Ranges) -> Ranges:
    """The numbers that are in both."""
    if one is other:
        return one
    found: list[tuple[int, int]] = []
    here = there = 0
    while here < len(one) and there < len(other):
        first, last = max(one[here][0], other[there][0]), min(one[here][1], other[there][1])
        if first <= last:
            found.append((first, last))
        if one[here][1] < other[there][1]:
            here += 1
        else:
            there += 1
    return tuple(found)


def _without(one: Ranges, other: Ranges) -> Ranges:
    """The numbers of one that are not in the other."""
    found: list[tuple[int, int]] = []
    place = 0
    for span in one:
        first, last = span
        while place < len(other) and other[place][1] < first:
            place += 1
        at = place
        while at < len(other) and other[at][0] <= last:
            if other[at][0] > first:
                found.append((first, other[at][0] - 1))
            first = other[at][1] + 1
            at += 1
        if first <= last:
            found.append((first, last))
    return tuple(found)


Found = list[tuple[int, Cell]]


@dataclass(slots=True)
class _Earlier:
    """Cells of earlier rules, found by what a later one must have in common with them. A cell has a key on each of five
    levels: a port, the upper bits of an address, or an address. Where it has many of them, the key is None."""

    top: dict[Any, Any] = field(default_factory=dict)

    def add(self, cell: Cell, place: int) -> int:
        """Remember a cell. Returns in how many places it now is."""
        nodes = [self.top.setdefault(cell.family, {})]
        for level in _LEVELS[:-1]:
            nodes = [node.setdefault(key, {}) for node in nodes for key in level.keys(cell) or _MANY]
        for node in nodes:
            for key in _LEVELS[-1].keys(cell) or _MANY:
                node.setdefault(key, []).append((place, cell))
        return len(nodes)

    def near(self, cell: Cell, work: _Work) -> Found:
        """The cells that may have something in common with this one, in the order of their rules."""
        nodes: list[Any] = [self.top.get(cell.family, {})]
        for level in _LEVELS:
            keys = level.keys(cell)
            if keys is None:
                nodes = [below for node in nodes for below in node.values()]
            else:
                nodes = [node[key] for node in nodes for key in (*keys, None) if key in node]
            work.add(len(nodes))
        found = {(place, id(other)): other for some in nodes for place, other in some}
        work.add(len(found))
        return [(place, found[place, key]) for place, key in sorted(found)]


@dataclass(frozen=True, slots=True)
class _Level:
    """One level: the side, how many lower bits of its numbers do not count, and how many keys are few."""

    side: int
    bits: Mapping[Family, int]
    most: int

    def keys(self, cell: Cell) -> Sequence[int] | None:
        """The few keys of a cell; None where they are many."""
        shift = self.bits[cell.family]
        ends = [(first >> shift, last >> shift) for first, last in cell.sides[self.side]]
        if len(ends) > self.most or sum(last - first + 1 for first, last in ends) > self.most:
            return None
        return sorted({number for first, last in ends for number in range(first, last + 1)})


_MANY = (None,)
_EXACT: Mapping[Family, int] = {4: 0, 6: 0}
_UPPER: Mapping[Family, int] = {4: 12, 6: 72}
"""Networks of /20 and /56."""
_LEVELS = (
    _Level(_DPORT, _EXACT, 16), _Level(_SOURCE, _UPPER, 2), _Level(_SOURCE, _EXACT, 2), _Level(_DEST, _UPPER, 2),
    _Level(_DEST, _EXACT, 2),
)  # fmt: skip
