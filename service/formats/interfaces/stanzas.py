"""Reading /etc/network/interfaces as ifupdown2 3.0.0 (Debian 12) reads it.

The rules are those of ifupdown2's own reader (`ifupdown/networkinterfaces.py`), which differs from interfaces(5) of
the classic ifupdown in places that matter:

- a stanza ends at the next keyword (`auto`, `allow-…`, `iface`, `vlan`, `source`), not at a blank line. Any other line
  inside a stanza is an option, so a misspelt keyword becomes an option of the stanza above it;
- `_` in option names is `-`; `#` starts a comment only at the start of a line; `$IFACE` is replaced in values;
- every backslash of the file, even one in a comment, joins the text around it;
- `auto NAME` counts only for stanzas that are below it; `allow-auto` is a class of its own and brings nothing up;
- `source` takes one glob; `source-directory` and `mapping` are errors;
- a lone `iface`, `source`, `vlan` or `allow-x` stops the reader: nothing of any file is applied.
"""

import re
from dataclasses import dataclass, field

from service.formats.read_once import read_once

MAIN_FILE = "/etc/network/interfaces"
FILES = (MAIN_FILE, "/etc/network/interfaces.d/*")
"""Debian's interfaces files: the main file sources the folder."""

MAX_FILE_BYTES = 1 << 20
MAX_LINES = 20_000
MAX_PROBLEMS = 100

_BLANKS = "\n\t\r "
_PHYSICAL = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_WHITE = re.compile(r"\s+")
_RANGE = re.compile(r"([\w.]{1,15})\[(\d{1,9})-(\d{1,9})\]([.\w]{0,15})")
_TEMPLATE = re.compile(r"^[ \t]*(?:%(?!%)|##)|\$\{|<%", re.MULTILINE)
_FAMILIES = ("inet", "inet6")
_METHODS = ("static", "manual", "loopback", "dhcp", "dhcp6", "ppp", "tunnel")
_CLASSIC_WORDS = ("mapping", "source-directory", "no-auto-down", "no-scripts", "rename", "template")


@dataclass(frozen=True, slots=True)
class StanzaProblem:
    """A line that ifupdown2 refuses, ignores or reads otherwise than it looks. `fatal`: it applies nothing at all."""

    path: str
    line: int
    what: str
    fatal: bool = False

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.what}"


@dataclass(frozen=True, slots=True)
class Option:
    """One `key value` line of a stanza: key as written, value with `$IFACE` replaced. A backslash makes it several."""

    key: str
    value: str
    line: int
    last_line: int

    @property
    def name(self) -> str:
        """The key as ifupdown2 knows it: dashes for underscores."""
        return self.key.replace("_", "-")


@dataclass(frozen=True, slots=True)
class Stanza:
    """One `iface` block. `name` is the device, `written` what the line says (`vmbr0:1`, `swp[1-4]`).

    `family` is inet, inet6 or empty (none given, or one that ifupdown2 refuses); `method` is empty where none is given.
    `heir_of` is the stanza whose options come first (`inherits`, of the classic ifupdown alone).
    `last_line` is the last option's line: blank lines and comments below it are not part of the block.
    """

    name: str
    family: str
    method: str
    options: tuple[Option, ...]
    first_line: int
    last_line: int
    path: str
    written: str = ""
    head_last_line: int = 0
    heir_of: str = ""

    def covers(self, name: str) -> bool:
        """Whether the stanza is about interface `name`; a range such as `swp[1-4]` is about each of its members."""
        return covers(self.name, name)

    def values(self, name: str) -> tuple[str, ...]:
        """All values of an option by its dashed name, in order."""
        return tuple(option.value for option in self.options if option.name == name)


@dataclass(frozen=True, slots=True)
class PlacedStanza:
    """A stanza in its place: `auto` and `classes` are what the lines read before it say of it."""

    stanza: Stanza
    auto: bool
    classes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AutoLine:
    """`auto NAME…` (keyword auto) or `allow-CLASS NAME…`."""

    keyword: str
    names: tuple[str, ...]
    line: int
    last_line: int

    @property
    def allow_class(self) -> str | None:
        """The class of an `allow-` line as ifupdown2 cuts it: up to the second dash. None for `auto`."""
        return None if self.keyword == "auto" else self.keyword.split("-")[1]


@dataclass(frozen=True, slots=True)
class SourceLine:
    """`source GLOB`, or of the classic ifupdown `source-directory GLOB`."""

    pattern: str
    line: int
    is_folder: bool = False


Item = Stanza | AutoLine | SourceLine


@dataclass(frozen=True, slots=True)
class InterfacesFile:
    """One file: every physical line with its line end, what it says in order, and what is wrong with it.

    `foreign_lines` are lines of the classic ifupdown (`mapping`, `source-directory`, …) that are below a stanza.
    If the classic ifupdown reads, `mapped` are the names and patterns of its `mapping` and `rename` lines.
    """

    path: str
    lines: tuple[bytes, ...] = ()
    items: tuple[Item, ...] = ()
    problems: tuple[StanzaProblem, ...] = ()
    foreign_lines: frozenset[int] = frozenset()
    mapped: tuple[str, ...] = ()

    def text(self) -> bytes:
        """The file's bytes, as read."""
        return b"".join(self.lines)

    @property
    def stanzas(self) -> tuple[Stanza, ...]:
        return tuple(item for item in self.items if isinstance(item, Stanza))

    @property
    def auto(self) -> frozenset[str]:
        """Names on `auto` lines, anywhere in the files."""
        return frozenset(n for i in self.items if isinstance(i, AutoLine) and i.allow_class is None for n in i.names)

    @property
    def sources(self) -> tuple[SourceLine, ...]:
        return tuple(item for item in self.items if isinstance(item, SourceLine))


def covers(written: str, name: str) -> bool:
    """Whether a name or range (`swp[1-4]`, `swp[1-4].100`) of the file stands for interface `name`."""
    if written == name:
        return True
    match = _RANGE.fullmatch(written)
    if match is None:
        return False
    prefix, first, last, suffix = match.groups()
    middle = name[len(prefix) : len(name) - len(suffix)] if name.endswith(suffix) else ""
    if not name.startswith(prefix) or not re.fullmatch(r"0|[1-9][0-9]{0,8}", middle):
        return False
    return int(first) <= int(middle) <= int(last)


@dataclass(slots=True)
class _Logical:
    first: int
    last: int
    parts: list[str]

    @property
    def text(self) -> str:
        return " ".join(self.parts).strip(_BLANKS)


def _logical_lines(text: str) -> list[_Logical]:
    """What ifupdown2 sees as lines: the text is cut at every backslash, the cuts are stripped and joined by a blank."""
    out: list[_Logical] = []
    number = 1
    for segment in text.split("\\"):
        lead = segment[: len(segment) - len(segment.lstrip())]
        start = number + lead.count("\n")
        number += segment.count("\n")
        for offset, piece in enumerate(segment.strip().split("\n")):
            if offset == 0 and out:
                out[-1].parts.append(piece)
                out[-1].last = start
            else:
                out.append(_Logical(start + offset, start + offset, [piece]))
    return out


@dataclass(slots=True)
class _Reader:
    path: str
    items: list[Item] = field(default_factory=list)
    problems: list[StanzaProblem] = field(default_factory=list)
    head: _Logical | None = None
    words: list[str] = field(default_factory=list)
    options: list[Option] = field(default_factory=list)
    foreign: set[int] = field(default_factory=set)

    def problem(self, line: int, what: str, *, fatal: bool = False) -> None:
        if len(self.problems) < MAX_PROBLEMS or (fatal and not any(p.fatal for p in self.problems)):
            self.problems.append(StanzaProblem(self.path, line, what, fatal))

    def read(self, logical: _Logical) -> None:
        text = logical.text
        if not text or text.startswith("#"):
            return
        words = _WHITE.split(text)
        keyword = words[0]
        if keyword in ("auto", "source", "iface", "vlan") or keyword.split("-")[0] == "allow":
            self.close()
            self.read_keyword(keyword, words, logical)
        elif self.head is not None:
            self.read_option(text, logical)
        else:
            self.problem(logical.first, f"`{shown(keyword)}` is not a keyword: ifupdown2 ignores the line")

    def read_keyword(self, keyword: str, words: list[str], logical: _Logical) -> None:
        if len(words) < 2 or keyword == "allow":
            fatal = keyword != "auto"
            effect = "ifupdown2 stops here and applies nothing" if fatal else "the line says nothing"
            self.problem(logical.first, f"`{shown(keyword)}` without what must follow it: {effect}", fatal=fatal)
        elif keyword in ("iface", "vlan"):
            self.head, self.words, self.options = logical, words, []
        elif keyword == "source":
            self.items.append(SourceLine(words[1], logical.first))
        else:
            self.items.append(AutoLine(keyword, tuple(filter(None, words[1:])), logical.first, logical.last))

    def read_option(self, text: str, logical: _Logical) -> None:
        pieces = _WHITE.split(text, maxsplit=1)
        if pieces[0] in _CLASSIC_WORDS:
            self.foreign.update(range(logical.first, logical.last + 1))
            self.problem(logical.first, f"`{pieces[0]}` is not known to ifupdown2 3.0.0: it ignores the line")
        elif len(pieces) < 2:
            self.problem(logical.first, f"`{shown(pieces[0])}` has no value: ifupdown2 ignores the line")
        else:
            value = pieces[1].replace("$IFACE", self.words[1])
            self.options.append(Option(pieces[0], value, logical.first, logical.last))

    def close(self) -> None:
        """The stanza that was open is complete."""
        head, words = self.head, self.words
        self.head = None
        if head is None or words[0] == "vlan":
            return
        family, method = self.family_and_method(head, words[2:])
        name = words[1].split(":")[0]
        if len(name) > 15 and "[" not in name:
            self.problem(head.first, f"`{shown(name)}` is longer than the 15 characters of an interface name")
        last = self.options[-1].last_line if self.options else head.last
        stanza = Stanza(name, family, method, tuple(self.options), head.first, last, self.path, words[1], head.last)
        self.items.append(stanza)

    def family_and_method(self, head: _Logical, words: list[str]) -> tuple[str, str]:
        if not words:
            return "", ""
        if words[0] not in _FAMILIES:
            self.problem(head.first, f"`{shown(words[0])}` is not an address family: ifupdown2 reads none")
            return "", ""
        method = words[1] if len(words) > 1 else "static"
        if method not in _METHODS:
            self.problem(head.first, f"`{shown(method)}` is not a method of ifupdown2")
        if len(words) > 2:
            self.problem(head.first, f"`{shown(words[2])}` and what follows it is ignored")
        return words[0], method


def shown(text: str, limit: int = 40) -> str:
    """Hostile text made fit to be in a message."""
    clean = "".join(c if c.isprintable() else "?" for c in text[:limit])
    return clean + ("…" if len(text) > limit else "")


@read_once
def parse(data: bytes, path: str = MAIN_FILE) -> InterfacesFile:
    """Read one file. Never raises: what cannot be read is a problem with its line. At most MAX_LINES lines."""
    lines = tuple(_PHYSICAL.findall(data)) if len(data) <= MAX_FILE_BYTES else (data,)
    if len(data) > MAX_FILE_BYTES or len(lines) > MAX_LINES:
        what = f"larger than {MAX_FILE_BYTES} bytes or {MAX_LINES} lines: not read"
        return InterfacesFile(path, lines, (), (StanzaProblem(path, 1, what, fatal=True),))
    reader = _Reader(path)
    try:
        text = "\n".join(line.rstrip(b"\r\n").decode() for line in lines)
    except UnicodeDecodeError:
        text = "\n".join(line.rstrip(b"\r\n").decode(errors="surrogateescape") for line in lines)
        reader.problem(1, "is not UTF-8: ifupdown2 may refuse the whole file")
    template = _TEMPLATE.search(text) if "%" in text else None
    if template is not None:
        line = text.count("\n", 0, template.start()) + 1
        reader.problem(line, "is a template where python3-mako is installed: not what it looks like")
    for logical in _logical_lines(text):
        reader.read(logical)
    reader.close()
    return InterfacesFile(path, lines, tuple(reader.items), tuple(reader.problems), frozenset(reader.foreign))
