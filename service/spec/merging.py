"""A host's own file over the values that it shares with others.

    merged(own, layers) -> Merged

`layers` come weakest first, the host's own file is the strongest. Where both sides have a mapping, it is merged key by
key; in every other case the stronger value replaces the weaker one as a whole, lists too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

from service.spec.document import Document, Value
from service.spec.findings import Path, Position
from service.spec.layers import Layer

Held = tuple[Layer | None, Document, Value]
"""A value at some path: who says so (None: the host's own file), where it is written, and itself."""


@dataclass(frozen=True, slots=True)
class Merged:
    """`document` is the whole as one document, with each value's position in the file that it came from. `sources` has
    that file for every path that is not the host's own, whose file alone is `own`."""

    document: Document
    own: Document
    sources: Mapping[Path, Layer] = field(default_factory=dict)

    def source(self, path: Path) -> Layer | None:
        """Whose the value at a path is, or at the nearest path above it; None for the host's own file."""
        while path and path not in self.document.places:
            path = path[:-1]
        return self.sources.get(path)


def merged(own: Document, layers: Sequence[Layer]) -> Merged:
    """The whole that a host's file and its layers make. A file that cannot be read stays as it is."""
    if own.value is None or not layers:
        return Merged(own, own)
    merging = _Merging()
    stack: list[Held] = [(layer, layer.document, layer.document.value) for layer in layers]
    value = merging.value((), [*stack, (None, own, own.value)])
    assert isinstance(value, dict)
    document = Document(
        value, merging.places, merging.keys, own.problems, frozenset(merging.spoiled), frozenset(merging.gaps)
    )
    return Merged(document, own, merging.sources)


@dataclass(slots=True)
class _Merging:
    places: dict[Path, Position] = field(default_factory=dict)
    keys: dict[Path, Position] = field(default_factory=dict)
    spoiled: set[Path] = field(default_factory=set)
    gaps: set[Path] = field(default_factory=set)
    sources: dict[Path, Layer] = field(default_factory=dict)

    def value(self, path: Path, stack: Sequence[Held]) -> Value:
        """What the values at a path make, the weakest first."""
        layer, document, strongest = stack[-1]
        self._note(path, layer, document)
        if isinstance(strongest, dict):
            return self._mapping(path, [*takewhile(lambda held: isinstance(held[2], dict), reversed(stack))])
        if isinstance(strongest, tuple):
            held = enumerate(strongest)
            return tuple(self.value((*path, index), [(layer, document, item)]) for index, item in held)
        return strongest

    def _mapping(self, path: Path, stack: Sequence[Held]) -> Value:
        """Mappings at a path, the strongest first, whose keys come first, too."""
        made: dict[str, Value] = {}
        held: dict[str, list[Held]] = {}
        for layer, document, value in stack:
            if path in document.gaps:
                self.gaps.add(path)
            for key, item in value.items() if isinstance(value, dict) else ():
                held.setdefault(key, []).insert(0, (layer, document, item))
        for key, below in held.items():
            made[key] = self.value((*path, key), below)
        return made

    def _note(self, path: Path, layer: Layer | None, document: Document) -> None:
        if path in document.places:
            self.places[path] = document.places[path]
        if path in document.keys:
            self.keys[path] = document.keys[path]
        if path in document.spoiled:
            self.spoiled.add(path)
        if layer is not None:
            self.sources[path] = layer
