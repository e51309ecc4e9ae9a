"""What may pass before and after: the difference of two tables, for every packet there is, not for samples.

    differences(before, after) -> (Change, …)       each with what opens or closes, in as few boxes as they make

The space of packets is cut along one dimension after the other (protocol, port, interface, source, …), at the borders
of the rules that still count. If both tables decide alike, or only rules count that both have, nothing is cut any
further. Neighbours in a chain that differ only in what is cut already are one rule from there on, so that a hundred
ports with the same rest are compared once. Raises TooManyBoxes beyond a bounded amount of work.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from functools import cached_property
from itertools import groupby

from service.firewall.nft.reading import (
    DEST,
    DEST_MAC,
    DPORT,
    FAMILY,
    IIF,
    NO_MAC,
    OIF,
    PROTO,
    SOURCE,
    SOURCE_MAC,
    SPORT,
    Condition,
    Entry,
    Program,
    Ranges,
)

MOST_WORK = 150_000
"""Rules looked at; a second or two."""
MOST_CHANGED = 1_000
"""Rules that only one side has; whoever changes more reads the spec, not sentences."""
MOST_NAMES = 1 << 16
MOST_LEVELS = 16
"""Jumps from chain to chain, as in the kernel (NFT_JUMP_STACK_SIZE)."""
_ORDER = (PROTO, DPORT, IIF, FAMILY, SOURCE, DEST, OIF, SPORT, SOURCE_MAC, DEST_MAC)

_TOPS = {
    FAMILY: 1, PROTO: 255, DPORT: 65535, SPORT: 65535, IIF: MOST_NAMES - 1, OIF: MOST_NAMES - 1,
    SOURCE_MAC: NO_MAC, DEST_MAC: NO_MAC,
}  # fmt: skip

Box = Mapping[str, Ranges]
"""Values by dimension; one that is not there is not limited."""
Tree = str | tuple[str, tuple[tuple[Ranges, "Tree"], ...]]
"""opens, closes, "" for no difference; or a dimension, and for some of its values what is below."""


class TooManyBoxes(Exception):  # noqa: N818 (an answer: it is not reported in full)
    """The two differ in so many ways that nobody would read them."""


@dataclass(frozen=True, slots=True)
class Change:
    """What opens (or closes)."""

    opens: bool
    box: Box


@dataclass
class _Side:
    """One program, its rules as bits: bit n of a mask is rule n, in the order of each chain."""

    program: Program
    entries: list[Entry] = field(default_factory=list)
    places: dict[str, list[int]] = field(default_factory=dict)
    masks: dict[str, int] = field(default_factory=dict)
    changed: int = 0

    def __post_init__(self) -> None:
        for chain, entries in self.program.chains.items():
            numbers = list(range(len(self.entries), len(self.entries) + len(entries)))
            self.places[chain] = numbers
            self.masks[chain] = _bits(numbers)
            self.entries.extend(entries)

    @cached_property
    def twins(self) -> Mapping[str, str]:
        """Of each chain the first that does the same: many guests have the same rules. It is needed
        once it is known which rules changed."""
        found: dict[str, str] = {"": ""}
        first: dict[tuple[object, ...], str] = {}

        def twin(chain: str, level: int) -> str:
            if level > MOST_LEVELS:
                raise TooManyBoxes
            if chain not in found:
                content = [
                    (e.conditions, e.verdict, twin(e.target, level + 1), self.changed >> place & 1)
                    for place in self.places.get(chain, ())
                    for e in (self.entries[place],)
                ]
                found[chain] = first.setdefault(tuple(content), chain)
            return found[chain]

        for entry in self.entries:
            twin(entry.target, 0)
        return found


def differences(before: Program, after: Program) -> tuple[Change, ...]:
    """Every difference between the two."""
    sides = (_Side(before), _Side(after))
    is_alike = _mark_changed(*sides)
    if is_alike and not any(side.changed for side in sides):
        return ()
    if sum(side.changed.bit_count() for side in sides) > MOST_CHANGED:
        raise TooManyBoxes
    comparison = _Comparison(sides, always=not is_alike)
    return tuple(_flattened(comparison.tree(0, comparison.relevant, (0, 0)), {}))


def _all(side: _Side) -> int:
    return (1 << len(side.entries)) - 1


def _bits(numbers: Iterable[int]) -> int:
    """A mask; for many bits quicker than one shift after the other."""
    places = set(numbers)
    if not places:
        return 0
    text = bytearray(b"0" * (max(places) + 1))
    for n in places:
        text[-1 - n] = 49
    return int(text, 2)


def _places(mask: int) -> Iterator[int]:
    """The numbers of a mask's bits."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def _relevant(side: _Side, sides: tuple[_Side, _Side]) -> int:
    """The rules that may match a packet that a changed rule may match: elsewhere nothing can differ."""
    changed = [dict(e.conditions) for one in sides for n, e in enumerate(one.entries) if one.changed >> n & 1]
    if len(changed) * len(side.entries) > MOST_WORK:
        return _all(side)
    return _bits(
        n for n, entry in enumerate(side.entries) if any(_meet(dict(entry.conditions), other) for other in changed)
    )


def _meet(one: Box, other: Box) -> bool:
    """Whether two boxes have a packet in common."""
    return all(
        any(a <= d and c <= b for a, b in ranges for c, d in other[name])
        for name, ranges in one.items()
        if name in other
    )


def _mark_changed(one: _Side, other: _Side) -> bool:
    """Mark the rules that only one of them has, or that have another place. Returns whether path and policies are the
    same.
    """
    for chain in {*one.places, *other.places}:
        a = [one.entries[n] for n in one.places.get(chain, [])]
        b = [other.entries[n] for n in other.places.get(chain, [])]
        for op, a1, a2, b1, b2 in _opcodes(a, b):
            if op != "equal":
                one.changed |= _bits(one.places.get(chain, [])[a1:a2])
                other.changed |= _bits(other.places.get(chain, [])[b1:b2])
    policies = [{name: side.program.policies[name] for name in side.program.path} for side in (one, other)]
    return one.program.path == other.program.path and policies[0] == policies[1]


def _opcodes(a: list[Entry], b: list[Entry]) -> Iterator[tuple[str, int, int, int, int]]:
    """As difflib's, quick for long lists that share their beginning and their end."""
    start = 0
    while start < len(a) and start < len(b) and a[start] == b[start]:
        start += 1
    end = 0
    while end < len(a) - start and end < len(b) - start and a[-1 - end] == b[-1 - end]:
        end += 1
    middle = a[start : len(a) - end], b[start : len(b) - end]
    if len(middle[0]) * len(middle[1]) > 250_000:
        yield "replace", start, len(a) - end, start, len(b) - end
        return
    for op, a1, a2, b1, b2 in SequenceMatcher(None, *middle, autojunk=False).get_opcodes():
        yield op, a1 + start, a2 + start, b1 + start, b2 + start


def _as_one(mask: int, runs: Iterable[int]) -> int:
    """A mask in which the first of each run stands for any of it."""
    for run in runs:
        if mask & run:
            mask = mask & ~run | run & -run
    return mask


class _Comparison:
    """Cuts the space of packets until both sides are decided."""

    def __init__(self, sides: tuple[_Side, _Side], *, always: bool) -> None:
        self.sides = sides
        self.always = always
        self.work = 0
        self.relevant = tuple(_all(side) if always else _relevant(side, sides) for side in sides)
        conditions = [
            {n: dict(e.conditions) for n, e in enumerate(side.entries) if mask >> n & 1}
            for side, mask in zip(sides, self.relevant, strict=True)
        ]
        found = {d for entries in conditions for entry in entries.values() for d in entry}
        self.dimensions = (*(d for d in _ORDER if d in found), *sorted(found - {*_ORDER}))
        self.conditions = conditions
        self.limited = [{d: _bits(n for n, e in entries.items() if d in e) for d in found} for entries in conditions]
        # the rules that depend on a dimension still to come, by the depth that is reached
        self.open_after = []
        for limited in self.limited:
            masks = [0] * (len(self.dimensions) + 1)
            for depth in reversed(range(len(self.dimensions))):
                masks[depth] = masks[depth + 1] | limited[self.dimensions[depth]]
            self.open_after.append(masks)
        self.seen: dict[tuple[int, int, int], Tree] = {}
        self.alike_at: dict[int, tuple[tuple[int, ...], ...]] = {}

    def tree(self, depth: int, active: tuple[int, ...], family: tuple[int, int]) -> Tree:
        """The difference below a depth, with the rules that may still match."""
        if not self.always and not any(mask & side.changed for mask, side in zip(active, self.sides, strict=True)):
            return ""
        if depth not in self.alike_at:
            self.alike_at[depth] = tuple(tuple(self.alike(n, depth)) for n in (0, 1))
        one, other = (_as_one(mask, runs) for mask, runs in zip(active, self.alike_at[depth], strict=True))
        key = (depth, one, other)
        if key not in self.seen:
            self.seen[key] = self.below(depth, (one, other), family)
        return self.seen[key]

    def below(self, depth: int, active: tuple[int, int], family: tuple[int, int]) -> Tree:
        """The same, not yet known."""
        said = [self.decided(n, active[n], self.open_after[n][depth]) for n in (0, 1)]
        if said[0] and said[1]:
            return "" if said[0] == said[1] else ("opens" if said[1] == "accept" else "closes")
        if depth == len(self.dimensions):
            raise AssertionError("every dimension is fixed and a program is undecided")
        return self.cut(depth, active, family)

    def alike(self, n: int, depth: int) -> Iterator[int]:
        """Masks of neighbours that do the same to the same packets, by what is still to be cut. An address is a number
        only in its family, so rules of two families are not alike."""
        side, left = self.sides[n], frozenset((*self.dimensions[depth:], FAMILY))

        def rest(place: int) -> tuple[object, ...]:
            entry = side.entries[place]
            conditions = [one for one in entry.conditions if one[0] in left]
            return entry.verdict, side.twins[entry.target], side.changed >> place & 1, conditions

        for places in side.places.values():
            for _, run in groupby((place for place in places if self.relevant[n] >> place & 1), rest):
                numbers = [*run]
                if len(numbers) > 1:
                    yield _bits(numbers)

    def decided(self, n: int, active: int, undecided: int) -> str:
        """What a side does with every packet that is left, "" where it depends."""
        side = self.sides[n]
        for chain in side.program.path:
            said = self.walk(side, chain, active, undecided, 0)
            if said == "":
                return ""
            if said == "drop" or (said == "return" and side.program.policies[chain] != "accept"):
                return "drop"
        return "accept"

    def walk(self, side: _Side, chain: str, active: int, undecided: int, level: int) -> str:
        """accept, drop, return (the end of the chain was reached), or "" where it depends."""
        if level > MOST_LEVELS:
            raise TooManyBoxes
        left = active & side.masks.get(chain, 0)
        while left:
            bit = left & -left
            left ^= bit
            self.work += 1
            if self.work > MOST_WORK:
                raise TooManyBoxes
            if undecided & bit:
                return self.either(side, chain, left, active, undecided, bit, level)
            entry = side.entries[bit.bit_length() - 1]
            if entry.verdict not in ("jump", "goto"):
                return entry.verdict
            said = self.walk(side, entry.target, active, undecided, level + 1)
            if said != "return" or entry.verdict == "goto":
                return said
        return "return"

    def either(self, side: _Side, chain: str, left: int, active: int, undecided: int, bit: int, level: int) -> str:
        """Where a rule may match or not: decided nevertheless if it does what happens without it."""
        verdicts = {side.entries[bit.bit_length() - 1].verdict}
        while left and verdicts <= {"drop", "accept"} and len(verdicts) == 1:
            low = left & -left
            left ^= low
            self.work += 1
            verdicts.add(side.entries[low.bit_length() - 1].verdict)
            if not undecided & low:
                break
        else:
            return ""
        return verdicts.pop() if len(verdicts) == 1 and verdicts <= {"drop", "accept"} else ""

    def cut(self, depth: int, active: tuple[int, ...], family: tuple[int, int]) -> Tree:
        """One dimension's values in groups that the same rules match; alike ones together."""
        dimension = self.dimensions[depth]
        limits = [
            [(n, self.conditions[side][n][dimension]) for n in _places(active[side] & self.limited[side][dimension])]
            for side in (0, 1)
        ]
        if not any(limits):
            return self.tree(depth + 1, active, family)
        top = _top(dimension, family[0])
        starts = sorted({0, *_borders(limits, top)})
        free = [active[side] & ~self.limited[side][dimension] for side in (0, 1)]
        masks = [[free[side]] * len(starts) for side in (0, 1)]
        for side in (0, 1):
            for n, ranges in limits[side]:
                for first, last in ranges:
                    low, high = bisect_right(starts, first) - 1, bisect_right(starts, min(last, top)) - 1
                    for place in range(low, high + 1):
                        masks[side][place] |= 1 << n
                    self.work += high - low
        if self.work > MOST_WORK * 8:
            raise TooManyBoxes
        found: dict[Tree, list[tuple[int, int]]] = {}
        for place, start in enumerate(starts):
            end = starts[place + 1] - 1 if place + 1 < len(starts) else top
            below = self.tree(
                depth + 1, (masks[0][place], masks[1][place]), (start, 0) if dimension == FAMILY else family
            )
            found.setdefault(below, []).append((start, end))
        return _joined(dimension, found, top)


def _joined(dimension: str, found: Mapping[Tree, list[tuple[int, int]]], top: int) -> Tree:
    if len(found) == 1:
        return next(iter(found))
    branches = [(_touching(spans), below) for below, spans in found.items() if below != ""]
    return (dimension, tuple(sorted(branches, key=str))) if branches else ""


def _touching(spans: list[tuple[int, int]]) -> Ranges:
    made: list[tuple[int, int]] = []
    for first, last in spans:
        if made and made[-1][1] + 1 == first:
            made[-1] = (made[-1][0], last)
        else:
            made.append((first, last))
    return tuple(made)


def _top(dimension: str, family: int) -> int:
    """The greatest value of a dimension."""
    if dimension in (SOURCE, DEST):
        return (1 << (128 if family else 32)) - 1
    return _TOPS.get(dimension, 1)


def _borders(limits: list[list[tuple[int, Ranges]]], top: int) -> Iterator[int]:
    for side in limits:
        for _, ranges in side:
            for first, last in ranges:
                yield first
                if last < top:
                    yield last + 1


def _flattened(tree: Tree, box: Box) -> Iterator[Change]:
    if isinstance(tree, str):
        if tree:
            yield Change(tree == "opens", box)
        return
    dimension, branches = tree
    for ranges, below in branches:
        yield from _flattened(below, {**box, dimension: ranges})


__all__ = ["Change", "Condition", "TooManyBoxes", "differences"]
