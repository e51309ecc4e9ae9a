"""The spec files' restricted YAML, with the position of everything.

    load(data) -> Document

One document; mappings with text keys, lists, strings, `true`/`false` and plain decimal numbers. No anchors, aliases,
tags, merge keys, directives, duplicate keys or empty values. Everything else is a string: `no`, `on`, `22:22`, `010`,
`1.10`, a date, a MAC address.

The events of libyaml's parser are read one by one, so that depth and size are checked before anything is built. Without
that check, deep nesting could overflow libyaml's stack.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import yaml

from service.spec.findings import WHOLE_FILE, Hit, LintRule, Path, Position
from service.spec.strings import forbidden_in_file, wrong_in_string

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
_PEM = "-----BEGIN "
"""A block scalar that begins so is PEM (RFC 7468): its lines are one text with blanks, however it was pasted."""
MAX_EVENTS = 200_000
MAX_PROBLEMS = 50

Value: TypeAlias = "str | int | bool | tuple[Value, ...] | dict[str, Value] | None"

SYNTAX = LintRule("yaml.syntax", "error", "the file is YAML")
SIZE = LintRule("yaml.size", "error", "a file has at most 1 MiB, 200,000 elements and 32 levels")
ENCODING = LintRule("yaml.encoding", "error", "the file is UTF-8 without a byte order mark")
CHARACTER = LintRule("yaml.character", "error", "strings are one line of visible characters")
EMPTY = LintRule("yaml.empty", "error", "a file holds one mapping")
DOCUMENTS = LintRule("yaml.documents", "error", "a file is one document without directives")
ANCHOR = LintRule("yaml.anchor", "error", "there are no anchors and aliases")
TAG = LintRule("yaml.tag", "error", "there are no tags")
MERGE = LintRule("yaml.merge", "error", "there are no merge keys")
KEY = LintRule("yaml.key", "error", "keys are text")
DUPLICATE_KEY = LintRule("yaml.duplicate-key", "error", "a key is unique in its mapping")
NULL = LintRule("yaml.null", "error", "every key has a value")

RULES = (
    SYNTAX,
    SIZE,
    ENCODING,
    CHARACTER,
    EMPTY,
    DOCUMENTS,
    ANCHOR,
    TAG,
    MERGE,
    KEY,
    DUPLICATE_KEY,
    NULL,
)

_NUMBER = re.compile(r"(0|-?[1-9][0-9]{0,18})(?:\.0{1,18})?")
"""A whole number. `1000.0` is one to JSON Schema (2020-12, 6.1.1), so it is one here, too."""
_NUMBER_STARTS = frozenset("-0123456789")
_TRUE_FALSE = {"true": True, "false": False}
_NULLS = frozenset(("", "~", "null", "Null", "NULL"))

# PyYAML's stubs know the event classes but not their attributes.
Event: TypeAlias = Any


@dataclass(frozen=True, slots=True)
class DocumentProblem:
    """A hit of the document itself, with its position."""

    position: Position
    hit: Hit


@dataclass(frozen=True, slots=True)
class Document:
    """What a file says. `value` is None when it could not be read at all.

    `places` has the position of every value (of its key, where the value is a mapping or list below a key), `keys` that
    of every key. `spoiled` are paths whose value replaces one that was refused, `gaps` those of mappings in
    which a key was refused.
    """

    value: dict[str, Value] | None
    places: dict[Path, Position] = field(default_factory=dict, repr=False)
    keys: dict[Path, Position] = field(default_factory=dict, repr=False)
    problems: tuple[DocumentProblem, ...] = ()
    spoiled: frozenset[Path] = frozenset()
    gaps: frozenset[Path] = frozenset()


class _GivenUp(Exception):  # noqa: N818 (it ends the reading, it is not an error of the caller)
    """No use in reading on."""


def load(data: bytes) -> Document:
    """Read a file. Never raises for what is in it; the problems say everything that could be found at once."""
    if len(data) > MAX_BYTES:
        return _unread(SIZE.hit((), f"the file has {len(data)} bytes, the limit is {MAX_BYTES}", "split the file"))
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return _unread(ENCODING.hit((), "the file is not UTF-8 text", "save the file as UTF-8"), (line, 1))
    if text.startswith("\ufeff"):
        return _unread(ENCODING.hit((), "the file begins with a byte order mark", "save the file as UTF-8 without it"))
    if "\r\n" in text:
        before, _, _ = text.partition("\r\n")
        first = (before.count("\n") + 1, len(before) - before.rfind("\n"))
        return _unread(
            CHARACTER.hit((), "the file has Windows line endings (CR LF)", "save the file with LF line endings"), first
        )
    forbidden = forbidden_in_file(text, MAX_PROBLEMS)
    if forbidden:
        return Document(
            None,
            problems=tuple(
                DocumentProblem(position, CHARACTER.hit((), f"the file contains {name}", "remove it"))
                for position, name in forbidden
            ),
        )
    builder = _Builder()
    try:
        builder.read(text)
    except _GivenUp:
        builder.value = None
    except yaml.MarkedYAMLError as error:
        builder.value = None
        builder.problem(_mark(error.problem_mark), SYNTAX.hit((), *_syntax(error, text)))
    except yaml.YAMLError:
        builder.value = None
        builder.problem(WHOLE_FILE, SYNTAX.hit((), "the file cannot be read as YAML", "check its syntax"))
    return builder.document()


def _unread(hit: Hit, position: Position = WHOLE_FILE) -> Document:
    return Document(None, problems=(DocumentProblem(position, hit),))


def _mark(mark: Any) -> Position:
    return WHOLE_FILE if mark is None else (mark.line + 1, mark.column + 1)


def _syntax(error: yaml.MarkedYAMLError, text: str) -> tuple[str, str]:
    """libyaml's words, which are fixed texts, and what helps most often. Of most tabs it says only `character`."""
    mark = error.problem_mark
    if mark is not None and any(line[mark.column :].startswith("\t") for line in text.split("\n")[mark.line :][:1]):
        return "the file is not valid YAML: there is a tab here", "indent with spaces"
    what = f"the file is not valid YAML: {error.problem or 'it ends too early'}"
    if error.context:
        what += f" ({error.context})"
    if "tab" in what:
        return what, "indent with spaces"
    return what, "check the indentation, colons, brackets and quotes near this line"


class _Open:
    """A mapping or list that is being filled."""

    __slots__ = ("at", "first_seen", "items", "key", "mapping", "path")

    def __init__(self, path: Path, *, mapping: bool) -> None:
        self.path = path
        self.mapping: dict[str, Value] | None = {} if mapping else None
        self.items: list[Value] = []
        self.key: str | None = None
        self.at = path  # with `key`
        self.first_seen: dict[str, Position] = {}


class _Builder:
    """Builds the value from events, without recursion."""

    def __init__(self) -> None:
        self.value: Value = None
        self.places: dict[Path, Position] = {}
        self.keys: dict[Path, Position] = {}
        self.spoiled: set[Path] = set()
        self.gaps: set[Path] = set()
        self._problems: list[DocumentProblem] = []
        self._stack: list[_Open] = []
        self._documents = 0
        self._skipped = 0

    def document(self) -> Document:
        value = self.value if isinstance(self.value, dict) else None
        spoiled, gaps = frozenset(self.spoiled), frozenset(self.gaps)
        return Document(value, self.places, self.keys, tuple(self._problems), spoiled, gaps)

    def problem(self, position: Position, hit: Hit) -> None:
        """Note a problem; after too many there is no use in reading on."""
        self._problems.append(DocumentProblem(position, hit))
        if len(self._problems) >= MAX_PROBLEMS:
            raise _GivenUp

    def read(self, text: str) -> None:
        next_event: Callable[[], Event] = yaml.CSafeLoader(text).get_event
        take: dict[type, Callable[[Event, Position], None]] = {
            yaml.ScalarEvent: self._scalar, yaml.AliasEvent: self._alias,
            yaml.MappingStartEvent: self._start, yaml.SequenceStartEvent: self._start,
            yaml.MappingEndEvent: self._end, yaml.SequenceEndEvent: self._end,
            yaml.DocumentStartEvent: self._begin,
        }  # fmt: skip
        count = 0
        while (event := next_event()) is not None:
            mark = event.start_mark
            position = (mark.line + 1, mark.column + 1)
            if count > MAX_EVENTS:
                self.problem(position, SIZE.hit((), f"the file has more than {MAX_EVENTS} elements", "split the file"))
                raise _GivenUp
            count += 1
            if self._skipped:
                self._skip(event)
            elif (taken := take.get(type(event))) is not None:
                taken(event, position)
        if not self._problems and not isinstance(self.value, dict):
            what = "the file is empty" if self._documents == 0 or self.value is None else "the file is not a mapping"
            self.problem(WHOLE_FILE, EMPTY.hit((), what, "write `key: value` lines"))

    def _begin(self, event: Event, position: Position) -> None:
        self._documents += 1
        if event.version or event.tags:
            self.problem(position, DOCUMENTS.hit((), "the file has a % directive", "remove it"))
        if self._documents > 1:
            self.problem(position, DOCUMENTS.hit((), "a second document begins here", "put one document in one file"))
            raise _GivenUp

    def _path(self) -> Path:
        """Where the next value goes."""
        if not self._stack:
            return ()
        top = self._stack[-1]
        return top.at if top.mapping is not None else (*top.path, len(top.items))

    def _awaits_key(self) -> bool:
        return bool(self._stack) and self._stack[-1].mapping is not None and self._stack[-1].key is None

    def _decorated(self, event: Event, position: Position) -> bool:
        """Anchors and tags are refused everywhere."""
        bad = False
        if event.anchor is not None:
            self.problem(
                position,
                ANCHOR.hit(self._path(), "the value has an anchor (&)", "write the value out where it is needed"),
            )
            bad = True
        if event.tag is not None:
            self.problem(position, TAG.hit(self._path(), "the value has a tag (!)", "write the plain value"))
            bad = True
        return bad

    def _scalar(self, event: Event, position: Position) -> None:
        bad = (event.anchor is not None or event.tag is not None) and self._decorated(event, position)
        text: str = event.value
        plain = not event.style
        top = self._stack[-1] if self._stack else None
        if top is not None and top.mapping is not None and top.key is None:
            self._key(top, text, position, plain=plain)
            return
        # `_path` and `_put`, written out: most events are scalars
        path = () if top is None else top.at if top.mapping is not None else (*top.path, len(top.items))
        if event.style in ("|", ">") and text.startswith(_PEM):
            text = " ".join(text.split())
        value: Value = text
        if plain and text in _NULLS:
            self.problem(position, NULL.hit(path, "the key has no value", "write a value, or remove the key"))
            bad = True
        elif plain and text in _TRUE_FALSE:
            value = _TRUE_FALSE[text]
        elif plain and text[0] in _NUMBER_STARTS and (number := _NUMBER.fullmatch(text)):
            value = int(number[1])
        elif wrong := wrong_in_string(text):
            self.problem(position, CHARACTER.hit(path, f"the string {wrong}", "write one line of visible characters"))
            bad = True
        if bad:
            value = None
            self.spoiled.add(path)
        self.places[path] = position
        if top is None:
            self.value = value
        elif top.mapping is None:
            top.items.append(value)
        elif top.key is not None:
            top.mapping[top.key] = value
            top.key, top.at = None, top.path

    def _key(self, top: _Open, text: str, position: Position, *, plain: bool) -> None:
        path = top.path
        if plain and text == "<<":
            self.problem(position, MERGE.hit(path, "the mapping has a merge key (<<)", "write the keys out"))
        elif plain and (text in _NULLS or text in _TRUE_FALSE):
            self.problem(position, KEY.hit(path, f"the key {text or '(empty)'} is not text", "put the key in quotes"))
        elif wrong := wrong_in_string(text):
            self.problem(position, CHARACTER.hit(path, f"a key {wrong}", "write visible characters"))
        elif text in top.first_seen:
            first = top.first_seen[text]
            self.problem(
                position,
                DUPLICATE_KEY.hit((*path, text), f"the key is already on line {first[0]}", "keep one of the two"),
            )
        else:
            top.first_seen[text] = position
            top.key, top.at = text, (*path, text)
            self.keys[top.at] = position
            return
        # The value of a refused key is passed over.
        self.gaps.add(path)
        self._skipped = 1

    def _skip(self, event: Event) -> None:
        """Pass over the value of a refused key; `_skipped` counts one plus the open collections."""
        if isinstance(event, yaml.CollectionStartEvent):
            self._skipped += 1
            if len(self._stack) + self._skipped > MAX_DEPTH:
                self._too_deep(_mark(event.start_mark))
        elif isinstance(event, yaml.CollectionEndEvent):
            self._skipped -= 1
        if self._skipped == 1:
            self._skipped = 0

    def _start(self, event: Event, position: Position) -> None:
        if len(self._stack) >= MAX_DEPTH:
            self._too_deep(position)
        self._decorated(event, position)
        if self._awaits_key():
            self.problem(position, KEY.hit(self._path(), "a key is not text", "put the key in quotes"))
            raise _GivenUp
        path = self._path()
        # Below a key the key is what people look for; a list's element has none.
        self.places[path] = self.keys.get(path, position)
        self._stack.append(_Open(path, mapping=isinstance(event, yaml.MappingStartEvent)))

    def _too_deep(self, position: Position) -> None:
        self.problem(
            position,
            SIZE.hit((), f"the file is nested deeper than {MAX_DEPTH} levels", "remove levels: a spec needs about six"),
        )
        raise _GivenUp

    def _end(self, event: Event, position: Position) -> None:
        done = self._stack.pop()
        value: Value = done.mapping if done.mapping is not None else tuple(done.items)
        self._put(value)

    def _alias(self, event: Event, position: Position) -> None:
        path = self._path()
        self.problem(position, ANCHOR.hit(path, "the value is an alias (*)", "write the value out"))
        if self._awaits_key():
            raise _GivenUp
        self.places[path] = position
        self.spoiled.add(path)
        self._put(None)

    def _put(self, value: Value) -> None:
        if not self._stack:
            self.value = value
            return
        top = self._stack[-1]
        if top.mapping is None:
            top.items.append(value)
        elif top.key is not None:
            top.mapping[top.key] = value
            top.key, top.at = None, top.path
