"""A host's whole spec with the place of each value, for people.

    as_yaml(name, own_file, whole, layers) -> text      YAML that reads as the whole, `# FILE:LINE` next to each value
    as_rows(own_file, whole) -> [{path, value, file, line}]

A short list has one place: lists are never merged, so all of it is in one file.
"""

from collections.abc import Iterator, Sequence

from service.model.states import Json
from service.spec.findings import Path, dotted
from service.spec.layers import Layer
from service.spec.merging import Merged
from service.spec.overriding import plain
from service.spec.yaml_text import flow, key_text

WIDTH = 100
COLUMN = 64


def as_yaml(name: str, own_file: str, whole: Merged, layers: Sequence[Layer]) -> str:
    """The whole spec of a host, in the order of its own file."""
    files = [*(f"{layer.file} ({dotted(layer.top)})" for layer in layers), own_file]
    order = "a later file overrides an earlier one" if layers else "no other file has values for it"
    lines = [f"# {name}: {', '.join(files)}; {order}"]
    lines += _mapping(plain(whole.document.value), (), "", _Places(own_file, whole))
    return "".join(f"{line}\n" for line in lines)


def as_rows(own_file: str, whole: Merged) -> list[Json]:
    """Each value that is not a mapping."""
    places = _Places(own_file, whole)
    return [
        {"path": dotted(path), "value": value, "file": places.file(path), "line": places.line(path)}
        for path, value in _leaves(plain(whole.document.value), ())
    ]


class _Places:
    """The file and line of each value."""

    def __init__(self, own_file: str, whole: Merged) -> None:
        self._own_file = own_file
        self._whole = whole

    def file(self, path: Path) -> str:
        layer = self._whole.sources.get(path)
        return layer.file if layer is not None else self._own_file

    def line(self, path: Path) -> int:
        return self._whole.document.places[path][0]

    def beside(self, text: str, path: Path) -> str:
        return f"{text.ljust(COLUMN)}  # {self.file(path)}:{self.line(path)}"


def _leaves(value: Json, path: Path) -> Iterator[tuple[Path, Json]]:
    if isinstance(value, dict) and (value or not path):
        for key, item in value.items():
            yield from _leaves(item, (*path, key))
    else:
        yield path, value


def _mapping(value: Json, path: Path, indent: str, places: _Places) -> Iterator[str]:
    """A key for each line, where its value fits."""
    for key, item in value.items() if isinstance(value, dict) else ():
        here = (*path, key)
        head = f"{indent}{key_text(key)}:"
        if isinstance(item, dict) and item:
            yield head
            yield from _mapping(item, here, f"{indent}  ", places)
        elif isinstance(item, list) and (len(head) + len(flow(item)) > WIDTH or any(isinstance(i, dict) for i in item)):
            yield head
            for number, element in enumerate(item):
                yield places.beside(f"{indent}  - {flow(element)}", (*here, number))
        else:
            yield places.beside(f"{head} {flow(item)}", here)
