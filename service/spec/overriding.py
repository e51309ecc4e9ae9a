"""Changes of a host's whole spec, written into its own file where its values come from several files.

    overridden(text, changes, layers) -> Overridden        the changed text, and the changes that it cannot say

A value of `defaults` or of a group is overridden in the host's file. A shared list is written out there as a whole,
because lists are never merged. A host's file cannot take a shared key away; it can make a list empty and a
switch `false`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.errors import InputError
from service.model.states import Json
from service.spec.document import Document, load
from service.spec.editing import GONE, Change, Gone, edited
from service.spec.findings import Path, dotted
from service.spec.layers import Layer
from service.spec.merging import merged


@dataclass(frozen=True, slots=True)
class Overridden:
    """`left` has each change that no text of this file makes, with the reason."""

    text: str
    left: tuple[tuple[Change, str], ...] = ()


def overridden(text: str, changes: Iterable[Change], layers: Sequence[Layer]) -> Overridden:
    """InputError where the file cannot be read, or an edit would touch something else."""
    left: list[tuple[Change, str]] = []
    for path, value in changes:
        for change in _in_own_words(_read(text), layers, path, value):
            text = edited(text, [change])
        if isinstance(value, Gone) and (why := _stays(text, layers, path)):
            left.append(((path, value), why))
    return Overridden(text, tuple(left))


def plain(value: object) -> Json:
    """A value as the loader gives it, with lists in place of tuples."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return value if isinstance(value, bool | int | str) else None


def value_at(value: Any, path: Path) -> Any:
    """The value at a path; None where there is none."""
    for part in path:
        if isinstance(value, dict) and not isinstance(part, int):
            value = value.get(part)
        elif isinstance(value, tuple | list) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            return None
    return value


def _read(text: str) -> Document:
    own = load(text.encode())
    if own.value is None or own.problems:
        raise InputError("the spec file cannot be read, so it cannot be changed", hint="passerelle lint")
    return own


def _in_own_words(own: Document, layers: Sequence[Layer], path: Path, value: "Json | Gone") -> Iterator[Change]:
    """The changes of the host's own file that make one change of the whole."""
    shared = merged(Document({}), layers).document.value
    at = next((index for index, part in enumerate(path) if isinstance(part, int)), None)
    if at is not None:
        if value_at(own.value, path[:at]) is None:
            yield path[:at], plain(value_at(shared, path[:at]))
        yield path, value
    elif not isinstance(value, Gone):
        yield path, value
    elif (empty := _empty(value_at(shared, path))) is not None:
        yield path, empty
    elif value_at(own.value, path) is not None:
        yield path, GONE


def _empty(value: object) -> Json:
    """What says that there is none; None where nothing does."""
    if isinstance(value, tuple | list):
        return []
    return False if value is True else None


def _stays(text: str, layers: Sequence[Layer], path: Path) -> str:
    """Why a value is still there; empty where it is gone, or empty itself."""
    whole = merged(_read(text), layers)
    value = value_at(whole.document.value, path)
    layer = whole.sources.get(path)
    if value is None or value in ((), False) or layer is None:
        return ""
    line = whole.document.places[path][0]
    return f"{dotted(path)} comes from {layer.file}:{line}, and a host's file cannot take a shared key away"
