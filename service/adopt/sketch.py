"""A spec while it is made: plain values by key, and the comments that go above or next to them."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TypeVar

from service.adopt.account import Account
from service.model.states import Json
from service.spec.findings import Path

T = TypeVar("T")


@dataclass(slots=True)
class Sketch:
    """`values` are in the order in which they are written. `suggestions` are lines for a section that are written as
    comments, because to have them in force would be a change. `also` is what the host has, by section and key, and the
    spec is not given: a spec that says it nevertheless is met."""

    values: dict[str, Json] = field(default_factory=dict)
    above: dict[Path, list[str]] = field(default_factory=dict)
    beside: dict[Path, str] = field(default_factory=dict)
    suggestions: dict[str, list[str]] = field(default_factory=dict)
    also: dict[str, dict[str, Json]] = field(default_factory=dict)
    notes: Account = field(default_factory=Account)

    def mapping(self, key: str) -> dict[str, Json]:
        """The section of a key as a mapping, made where it is not there."""
        section = self.values.setdefault(key, {})
        if not isinstance(section, dict):
            raise TypeError(f"{key} is not a mapping")
        return section

    def list(self, key: str) -> list[Json]:
        """The section of a key as a list, made where it is not there."""
        section = self.values.setdefault(key, [])
        if not isinstance(section, list):
            raise TypeError(f"{key} is not a list")
        return section

    def comment(self, path: Path, lines: Sequence[str]) -> None:
        """Comments of the host's files that go above a key."""
        kept = self.above.setdefault(path, [])
        kept += [line for line in lines if line not in kept]

    def has(self, path: Path) -> bool:
        """Whether a value is at a path."""
        value: Json = self.values
        for part in path:
            found = _at(value, part)
            if found is None:
                return False
            (value,) = found
        return True

    def copy(self) -> "Sketch":
        """Another one with the same values and comments, to try something; what is noted is noted for both."""
        values, above, beside, suggestions = deepcopy((self.values, self.above, self.beside, self.suggestions))
        return Sketch(values, above, beside, suggestions, self.also, self.notes)

    def drop(self, path: Path, why: str = "") -> bool:
        """Take a value out, with its comments; what is empty then goes, too. False where nothing is there.

        `why` is noted with what was read; False, too, where nothing that was read claims to be there.
        """
        if not path or not self.has(path):
            return False
        is_noted = self.notes.taken_out(path, why)
        holder: Json = self.values
        for part in path[:-1]:
            (holder,) = _at(holder, part) or (None,)
        last = path[-1]
        if isinstance(holder, dict):
            del holder[str(last)]
        elif isinstance(holder, list) and isinstance(last, int):
            del holder[last]
            self.above = _closed_up(self.above, path)
            self.beside = _closed_up(self.beside, path)
            self.notes.closed_up(path)
        if (not holder or isinstance(holder, str)) and len(path) > 1:
            self.drop(path[:-1], why)
        return is_noted


def _at(value: Json, part: str | int) -> tuple[Json] | None:
    """What is below a value; None where nothing does."""
    if isinstance(value, dict) and isinstance(part, str) and part in value:
        return (value[part],)
    if isinstance(value, list) and isinstance(part, int) and part < len(value):
        return (value[part],)
    return (value,) if isinstance(value, str) and part == 0 else None  # one text stands for a list of it


def _closed_up(comments: dict[Path, T], gone: Path) -> dict[Path, T]:
    """The comments after an element of a list went."""
    depth, index = len(gone) - 1, gone[-1]
    found: dict[Path, T] = {}
    for path, lines in comments.items():
        part = path[depth] if len(path) > depth and path[:depth] == gone[:-1] else None
        if isinstance(part, int) and isinstance(index, int):
            if part == index:
                continue
            path = (*path[:depth], part - (part > index), *path[depth + 1 :])  # noqa: PLW2901
        found[path] = lines
    return found
