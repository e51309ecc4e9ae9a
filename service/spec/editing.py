"""Changing a spec file's text at the place of a value; every comment and every other byte stays.

    edited(text, changes) -> str              changes = [(path, value)], GONE takes the key or element out
    unified(path, before, after) -> str       a patch that `git apply` takes; empty where nothing differs
    changes_between(before, after) -> list    the changes that make one mapping of plain values the other

The result is read again and compared with what was requested, so that no edit can do anything else: InputError.
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import yaml

from service.errors import InputError
from service.model.states import Json
from service.spec.document import load
from service.spec.findings import Path, dotted
from service.spec.yaml_text import flow, key_text


class Gone:
    """Stands for: not there."""


GONE: Final = Gone()
Change: TypeAlias = "tuple[Path, Json | Gone]"
Node: TypeAlias = Any
"""PyYAML's stubs know the classes of nodes but not their attributes."""


def edited(text: str, changes: Iterable[Change]) -> str:
    """The text after the changes, made one after the other. InputError for what the file does not allow."""
    for path, value in changes:
        before = _plain(text)
        if before is None:
            raise InputError("the spec file cannot be read, so it cannot be changed", hint="passerelle lint")
        after = _changed(text, path, value)
        if _plain(after) != _wished(before, path, value):
            by_hand = "remove it" if isinstance(value, Gone) else f"write {flow(value)}"
            raise InputError(
                f"{dotted(path)} cannot be changed in this file without touching something else",
                hint=f"change it by hand: {by_hand}",
            )
        text = after
    return text


def unified(path: str, before: str, after: str) -> str:
    """A unified diff with Git's names for the two sides; a file that is not there yet is /dev/null."""
    source = f"a/{path}" if before else "/dev/null"
    lines = difflib.unified_diff(before.splitlines(True), after.splitlines(True), source, f"b/{path}")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def changes_between(before: Mapping[str, Json], after: Mapping[str, Json], at: Path = ()) -> list[Change]:
    """Keys that differ, as deep as both sides are mappings. Keys only on the first side go."""
    found: list[Change] = []
    for key in [*before, *(key for key in after if key not in before)]:
        here, there = before.get(key, GONE), after.get(key, GONE)
        if isinstance(here, dict) and isinstance(there, dict):
            found += changes_between(here, there, (*at, key))
        elif isinstance(here, Gone) or isinstance(there, Gone) or here != there:
            found.append(((*at, key), there))
    return found


def _plain(text: str) -> dict[str, Any] | None:
    """What a file says; None where it cannot be read."""
    document = load(text.encode())
    return None if document.problems else _listed(document.value)


def _listed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _listed(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_listed(item) for item in value]
    return value


def _wished(value: Any, path: Path, new: "Json | Gone") -> Any:
    """The plain values after a change."""
    if not path:
        return _listed(new)
    if isinstance(value, list) and isinstance(path[0], int):
        items = list(value)
        if path[0] == len(items) and len(path) == 1:
            return [*items, _listed(new)]
        if len(path) == 1 and isinstance(new, Gone):
            return [*items[: path[0]], *items[path[0] + 1 :]]
        items[path[0]] = _wished(items[path[0]], path[1:], new)
        return items
    mapping = dict(value) if isinstance(value, dict) else {}
    if len(path) == 1 and isinstance(new, Gone):
        mapping.pop(str(path[0]), None)
        return mapping
    mapping[str(path[0])] = _wished(mapping.get(str(path[0])), path[1:], new)
    return mapping


@dataclass(frozen=True, slots=True)
class _Text:
    """A text whose places are given by line and column."""

    text: str
    starts: Sequence[int]

    @classmethod
    def of(cls, text: str) -> "_Text":
        starts = [0]
        for line in text.splitlines(True):
            starts.append(starts[-1] + len(line))
        return cls(text, starts)

    def at(self, mark: Node) -> int:
        """The offset of a mark."""
        line: int = mark.line
        column: int = mark.column
        return min(self.starts[min(line, len(self.starts) - 1)] + column, len(self.text))

    def line_start(self, offset: int) -> int:
        return self.text.rfind("\n", 0, offset) + 1

    def line_end(self, offset: int) -> int:
        """The offset after the line feed of a line."""
        end = self.text.find("\n", offset)
        return len(self.text) if end < 0 else end + 1

    def end(self, node: Node) -> int:
        """Where the last thing of a node ends; a block's own mark is behind comments that follow it."""
        if isinstance(node, yaml.ScalarNode) or node.flow_style or not node.value:
            return self.at(node.end_mark)
        last = node.value[-1]
        return self.end(last[1] if isinstance(last, tuple) else last)


def _changed(text: str, path: Path, value: "Json | Gone") -> str:
    whole = _Text.of(text)
    root = yaml.compose(text, Loader=yaml.CSafeLoader)
    holder, rest = root, path
    while len(rest) > 1 and (inner := _child(holder, rest[0])) is not None:
        holder, rest = inner, rest[1:]
    if len(rest) > 1 and not isinstance(value, Gone):
        for part in reversed(rest[1:]):
            value = [value] if isinstance(part, int) else {part: value}
        rest = rest[:1]
    there = _child(holder, rest[0])
    if isinstance(value, Gone):
        return text if there is None else _without(whole, path, holder, rest[0], there)
    if there is None:
        return _with(whole, holder, rest[0], value)
    start, end = whole.at(there.start_mark), whole.end(there)
    written = flow(value)
    if not isinstance(there, yaml.ScalarNode) and not there.flow_style:
        start = _after_colon(whole, holder, rest[0], start)
        written = f" {written}" if start and text[start - 1] == ":" else written
    return text[:start] + written + text[end:]


def _after_colon(whole: _Text, holder: Node, key: str | int, start: int) -> int:
    """Where a block's value begins once it is written in one line: right after its key's colon."""
    for name, _ in holder.value if isinstance(holder, yaml.MappingNode) else ():
        if name.value == str(key):
            return whole.text.index(":", whole.at(name.end_mark)) + 1
    return start


def _child(node: Node, part: str | int) -> Node | None:
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == str(part)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part]
    return None


def _with(whole: _Text, holder: Node, key: str | int, value: Json) -> str:
    """One more key or element, at the end of its collection."""
    text = whole.text
    is_list = isinstance(holder, yaml.SequenceNode)
    written = flow(value) if is_list else f"{key_text(str(key))}: {flow(value)}"
    if holder.flow_style:
        at = whole.at(holder.end_mark) - 1
        return text[:at].rstrip() + (", " if holder.value else "") + written + text[at:]
    end = whole.line_end(whole.end(holder))
    first = holder.value[0] if is_list else holder.value[0][0]
    indent = " " * (first.start_mark.column - (2 if is_list else 0))
    line_feed = "" if text[:end].endswith("\n") else "\n"
    return f"{text[:end]}{line_feed}{indent}{'- ' if is_list else ''}{written}\n{text[end:]}"


def _without(whole: _Text, path: Path, holder: Node, key: str | int, there: Node) -> str:
    """One key or element less. The last one of a collection leaves an empty one."""
    text = whole.text
    entries = holder.value
    if len(entries) == 1 and len(path) > 1:
        start = whole.at(holder.start_mark)
        if not holder.flow_style:  # then it is directly behind its key
            start = len(text[:start].rstrip().removesuffix("-").rstrip())
            return f"{text[:start]} {_empty(holder)}{text[whole.end(holder) :]}"
        return text[:start] + _empty(holder) + text[whole.end(holder) :]
    number = key if isinstance(key, int) else next(n for n, (name, _) in enumerate(entries) if name.value == str(key))
    parts = [(entry if isinstance(entry, tuple) else (entry, entry)) for entry in entries]
    start = whole.at(parts[number][0].start_mark)
    if holder.flow_style:
        if number + 1 < len(parts):
            return text[:start] + text[whole.at(parts[number + 1][0].start_mark) :]
        return text[: whole.end(parts[number - 1][1])] + text[whole.end(there) :]
    return text[: whole.line_start(start)] + text[whole.line_end(whole.end(there)) :]


def _empty(holder: Node) -> str:
    return "[]" if isinstance(holder, yaml.SequenceNode) else "{}"
