"""Every key of the spec files, from the models that read them: what it is, what it may be, and an example.

    keys_of(kinds) -> {file: its keys}                 file: host, fleet, group, rules
    found(written, keys) -> Found                      what a person means by `guests.web1.address`

In a path `NAME` stands for a name that the spec chooses, and `[]` for an entry of a list.
"""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from typing import Any

from service.model.states import Json
from service.spec.document import load
from service.spec.layers import DEFAULTS, VALUES
from service.spec.models import SpecKind
from service.spec.overriding import plain
from service.spec.schema import fleet_schema, host_group_schema, rules_schema, whole_host_schema

NAME = "NAME"
ENTRY = "[]"
FIRST_VERSION = "0.1.0"
"""Of all keys without a version of their own (`x-since` in their schema)."""
FILES: Mapping[str, str] = {
    "host": "hosts/NAME.yaml", "fleet": "fleet.yaml", "group": "groups/NAME.yaml with hosts",
    "rules": "groups/NAME.yaml without hosts",
}  # fmt: skip
_EXAMPLES: Mapping[str, Sequence[str]] = {
    "host": ("hosts/pve1.yaml", "hosts/pve2.yaml", "hosts/pve3.yaml", "hosts/pve4.yaml"),
    "fleet": ("fleet.yaml",), "group": ("groups/paris.yaml",), "rules": ("groups/web.yaml",),
}  # fmt: skip
_FORMATS = {"ipv4": "an IPv4 address", "ipv6": "an IPv6 address", "uri": "a web address"}
_SIMPLE = {"boolean": "true or false", "integer": "whole number", "string": "text", "object": "keys and values"}
_ENTRY = re.compile(r"\[?[0-9*]*\]?")
"""An entry of a list as people write it."""

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a file. `default` is None where there is none; `below` are the keys inside of it."""

    file: str
    path: Path
    meaning: str
    type: str
    allowed: str
    required: bool
    default: Json = None
    example: Json = None
    since: str = FIRST_VERSION
    below: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    """What stands for each NAME of the path in the example."""

    @property
    def dotted(self) -> str:
        """`guests.NAME.address`, `dnsmasq.dhcp[].start`."""
        return dotted(self.path)


@dataclass(frozen=True, slots=True)
class Found:
    """The keys that fit, in whatever file, or those that are meant most likely."""

    keys: tuple[Key, ...] = ()
    nearest: tuple[str, ...] = ()


def dotted(path: Path) -> str:
    """A path as people write it."""
    return ".".join(path).replace(f".{ENTRY}", ENTRY)


@lru_cache(maxsize=4)
def keys_of(kinds: tuple[SpecKind, ...]) -> Mapping[str, tuple[Key, ...]]:
    """All keys by file, in the order of the models."""
    schemas = {
        "host": whole_host_schema(kinds), "fleet": fleet_schema(kinds), "group": host_group_schema(kinds),
        "rules": rules_schema(kinds),
    }  # fmt: skip
    return {file: tuple(_Walk(file, schema).keys()) for file, schema in schemas.items()}


def found(written: str, keys: Mapping[str, Sequence[Key]]) -> Found:
    """The keys that a person means: names, numbers and `*` in place of what a path leaves open."""
    parts = [part for part in re.split(r"\.|(\[[0-9*]*\])", written.strip(". ")) if part]
    fits = tuple(key for file in keys.values() for key in file if _is_meant(key, parts))
    if fits:
        return Found(fits)
    if parts[:1] and parts[0] in (DEFAULTS, VALUES):
        inside = found(".".join(parts[1:]), keys)
        return Found(tuple(key for key in inside.keys if key.file == "host"), inside.nearest)
    all_paths = {key.dotted: None for file in keys.values() for key in file}
    close = difflib.get_close_matches(written[:200], list(all_paths), n=3, cutoff=0.6)
    last = parts[-1] if parts else ""
    same_end = [path for path in all_paths if path.rpartition(".")[2].removesuffix(ENTRY) == last]
    ends = {path.rpartition(".")[2]: path for path in all_paths}
    by_end = [ends[end] for end in difflib.get_close_matches(last[:100], list(ends), n=3, cutoff=0.7)]
    return Found((), tuple(dict.fromkeys([*same_end[:5], *close, *by_end]))[:6])


def _is_meant(key: Key, parts: Sequence[str]) -> bool:
    """Whether a written path leads to a key, or to an entry of the list that it holds."""
    is_entry = "list of" in key.type and len(parts) > 1 and _ENTRY.fullmatch(parts[-1]) is not None
    return _fits(key.path, parts) or (is_entry and _fits(key.path, parts[:-1]))


def _fits(path: Path, parts: Sequence[str]) -> bool:
    """Whether a written path leads to a key. An entry of a list may be left out, as in `dnsmasq.dhcp.start`."""
    if not path or not parts:
        return not parts and all(part == ENTRY for part in path)
    if path[0] == ENTRY:
        is_entry = _ENTRY.fullmatch(parts[0]) is not None
        return _fits(path[1:], parts[1:]) if is_entry else _fits(path[1:], parts)
    if path[0] == parts[0] or (path[0] == NAME and not parts[0].startswith("[")):
        return _fits(path[1:], parts[1:])
    return False


@dataclass(slots=True)
class _Walk:
    """A walk over one file's schema."""

    file: str
    schema: Mapping[str, Any]
    documents: list[Json] = field(default_factory=list)

    def keys(self) -> Iterator[Key]:
        self.documents = [_example(path) for path in _EXAMPLES[self.file]]
        yield from self._below(self.schema, ())

    def _below(self, node: Mapping[str, Any], path: Path) -> Iterator[Key]:
        """The keys inside a value."""
        required = node.get("required", [])
        for name, inner in node.get("properties", {}).items():
            if path == () and name in (DEFAULTS, VALUES):
                yield self._key(inner, (name,), is_required=name in required, inside=False)
            else:
                yield from self._at(inner, (*path, name), is_required=name in required)
        inners = [*node.get("patternProperties", {}).values()]
        for inner in [{"anyOf": inners}] if len(inners) > 1 else inners:
            described = {"description": node.get("description", ""), **inner}
            yield from self._at(described if "$ref" not in inner else inner, (*path, NAME), is_required=False)

    def _at(self, node: Mapping[str, Any], path: Path, *, is_required: bool) -> Iterator[Key]:
        yield self._key(node, path, is_required=is_required)
        for one in self._ways(node):
            if one.get("type") == "array":
                for item in self._ways(one.get("items", {})):
                    yield from self._below(item, (*path, ENTRY))
            else:
                yield from self._below(one, path)

    def _key(self, node: Mapping[str, Any], path: Path, *, is_required: bool, inside: bool = True) -> Key:
        ways = self._ways(node)
        example, names = self._shown(path)
        below = [key.dotted for one in ways for key in self._inside(one, path)] if inside else []
        return Key(
            self.file, path, self._meaning(node, ways), " or ".join(dict.fromkeys(self._type(one) for one in ways)),
            "; ".join(dict.fromkeys(words for one in ways for words in self._allowed(one))), is_required,
            node.get("default"), example, str(node.get("x-since", FIRST_VERSION)), tuple(dict.fromkeys(below)), names,
        )  # fmt: skip

    def _inside(self, one: Mapping[str, Any], path: Path) -> Iterator[Key]:
        """The keys one level below."""
        at = (*path, ENTRY) if one.get("type") == "array" else path
        for node in self._ways(one["items"]) if one.get("type") == "array" else (one,):
            for name in [*node.get("properties", {}), *([NAME] if "patternProperties" in node else [])]:
                yield Key(self.file, (*at, name), "", "", "", required=False)

    def _ways(self, node: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """A node without references; each alternative on its own."""
        if "$ref" in node:
            target = self.schema["$defs"][node["$ref"].rpartition("/")[2]]
            return self._ways({**target, **{k: v for k, v in node.items() if k != "$ref"}})
        if "anyOf" in node:
            return [way for one in node["anyOf"] for way in self._ways(one)]
        return [node]

    def _meaning(self, node: Mapping[str, Any], ways: Sequence[Mapping[str, Any]]) -> str:
        told = node.get("description") or next((one["description"] for one in ways if "description" in one), "")
        return " ".join(str(told).split())  # a docstring may have paragraphs, a row of a table has none

    def _type(self, node: Mapping[str, Any]) -> str:
        if ("enum" in node and "$comment" not in node) or "const" in node:
            return "one word"
        if node.get("type") == "array":
            items = dict.fromkeys(self._type(one) for one in self._ways(node.get("items", {})))
            return f"list of {' or '.join(items)}"
        if "patternProperties" in node:
            return "names, each with a value"
        types = node["type"] if isinstance(node.get("type"), list) else [node.get("type")]
        return " or ".join(_SIMPLE.get(str(one), "value") for one in types)

    def _allowed(self, node: Mapping[str, Any]) -> Iterator[str]:
        """What a value may be, in words where the grammar has some."""
        yield from _of_text(node)
        for inner in node.get("patternProperties", {}).values():
            for one in self._ways(inner):
                if one.get("type") != "object":
                    yield from self._allowed(one)
        if node.get("type") == "array":
            for one in self._ways(node.get("items", {})):
                yield from self._allowed(one)
            if "maxItems" in node:
                yield f"at most {node['maxItems']} entries"

    def _shown(self, path: Path) -> tuple[Json, tuple[str, ...]]:
        """The value of an example, and the names above it. Rules of the firewall are the same wherever they are."""
        for document in self.documents:
            if (shown := _first(document, path)) is not None:
                return shown
        if path[:1] == ("bonds",) and (shown := self._shown(("bridges", *path[1:])))[0] is not None:
            return shown[0], ("bond0",)  # one default route for each family: the examples have it on a bridge
        rule = next((at for at in range(len(path) - 1) if path[at : at + 2] == ("rules", ENTRY)), None)
        if self.file != "host" or (rule is not None and path[:2] != ("firewall", "rules")):
            tail = path[-1:] if rule is None else path[rule + 2 :]
            shown = _first(_example("hosts/pve1.yaml"), ("firewall", "rules", ENTRY, *tail))
            _, above = next(filter(None, (_first(one, path[:-1]) for one in self.documents)), (None, ()))
            return (shown[0], above) if shown is not None else (None, ())
        return None, ()


def _of_text(node: Mapping[str, Any]) -> Iterator[str]:
    """What one word, number or text may be: in the grammar's own words where it has some."""
    if comment := node.get("$comment"):
        yield str(comment)
    else:
        yield from _of_grammar(node)
    if "maxLength" in node:
        yield f"at most {node['maxLength']} characters"


def _of_grammar(node: Mapping[str, Any]) -> Iterator[str]:
    if words := node.get("enum", [node["const"]] if "const" in node else []):
        yield ", ".join(str(word) for word in words)
    low, high = node.get("minimum"), node.get("maximum")
    if low is not None and high is not None:
        yield f"always {low}" if low == high else f"{low} to {high}"
    if node.get("format") in _FORMATS:
        yield _FORMATS[node["format"]]
    elif pattern := node.get("pattern"):
        yield f"`{pattern}`"


def _first(value: Json, path: Path) -> tuple[Json, tuple[str, ...]] | None:
    """The first value of a document at a path, and the names that stand for each NAME."""
    if not path:
        return value, ()
    inner: Sequence[tuple[tuple[str, ...], Json]] = ()
    if path[0] == ENTRY and isinstance(value, list):
        inner = [((), item) for item in value]
    elif path[0] == NAME and isinstance(value, dict):
        inner = [((name,), item) for name, item in value.items()]
    elif isinstance(value, dict) and path[0] in value:
        inner = [((), value[path[0]])]
    for names, item in inner:
        if (found_below := _first(item, path[1:])) is not None:
            return found_below[0], (*names, *found_below[1])
    return None


def example_files() -> dict[str, str]:
    """The example fleet, by path."""
    top = files("service.spec").joinpath("examples")
    return {path: top.joinpath(path).read_text(encoding="utf-8") for paths in _EXAMPLES.values() for path in paths}


def _example(path: str) -> Json:
    return plain(load(example_files()[path].encode()).value)
