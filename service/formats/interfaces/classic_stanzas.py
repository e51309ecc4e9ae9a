"""Reading /etc/network/interfaces as Debian's classic ifupdown 0.8.41 and 0.8.44 do (config.c of its source).

Where it differs from ifupdown2:

- `#` begins a comment at the start of a line; only a backslash as the very last character continues a line;
- a line that is not understood ends the reading of its file; in the main file it means that nothing is brought up;
- such lines are an option without a value, an option below `auto NAME` or `source`, an `iface` line without family and
  method, a method or family that it does not know;
- `auto` and `allow-CLASS` count wherever they are, `allow-auto` is `auto`, and inside a stanza both may stand alone;
- the name of a stanza counts as written: `eth0:1` is brought up by its own `auto` line;
- an option that is given twice has both values, with a line break between them;
- `source` takes several patterns, from the folder of its own file; `source-directory`, `mapping`, `inherits`, `rename`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from service.formats.interfaces.stanzas import (
    MAX_LINES,
    AutoLine,
    InterfacesFile,
    Item,
    Option,
    SourceLine,
    Stanza,
    StanzaProblem,
    shown,
)
from service.formats.read_once import read_once

METHODS = {
    "inet": ("loopback", "static", "manual", "dhcp", "bootp", "tunnel", "ppp", "wvdial", "ipv4ll"),
    "inet6": ("auto", "loopback", "static", "manual", "dhcp", "tunnel", "v4tunnel", "6to4"),
    "ipx": ("static", "dynamic"),
    "can": ("static",),
    "meta": ("none",),
}
"""Families and methods (the *.defn files of its source)."""
_BLANKS = " \t\n\v\f\r"


class _Stop(Exception):  # noqa: N818 (never leaves this room)
    """A line at which it gives up on the file; the argument says why."""


@dataclass(slots=True)
class _Reader:
    path: str
    items: list[Item] = field(default_factory=list)
    problems: list[StanzaProblem] = field(default_factory=list)
    stanza: Stanza | None = None
    options: list[Option] = field(default_factory=list)
    in_mapping: bool = False
    mapped: list[str] = field(default_factory=list)

    def read(self, text: str, first: int, last: int) -> None:
        word, _, rest = _parted(text)
        if word in ("source", "mapping", "iface", "rename") or word.startswith("source-dir"):
            self.close()
            self.in_mapping = word == "mapping"
            self.begin(word, rest, first, last)
        elif word == "auto" or (word.startswith("allow-") and len(word) > len("allow-")):
            self.auto("auto" if word == "allow-auto" else word, rest, first, last)
        elif word in ("no-auto-down", "no-scripts"):
            if rest or self.stanza is None:
                self.close()
                self.in_mapping = False
        elif self.stanza is not None:
            self.option(word, rest, first, last)
        elif not self.in_mapping:
            raise _Stop(f"`{shown(word)}` is an option outside of a stanza")
        elif word not in ("script", "map"):
            raise _Stop(f"`{shown(word)}` is not an option of a mapping")

    def begin(self, word: str, rest: str, first: int, last: int) -> None:
        if word == "iface":
            self.stanza = self.head(rest.split(), first, last)
        elif word in ("mapping", "rename"):
            what = f"`{word}` changes at boot which stanza an interface has: passerelle cannot tell which"
            self.problems.append(StanzaProblem(self.path, first, what))
            self.mapped += rest.split() if word == "mapping" else [pair.partition("=")[0] for pair in rest.split()]
        else:
            self.items += [SourceLine(p, first, is_folder=word != "source") for p in rest.split()]

    def auto(self, word: str, rest: str, first: int, last: int) -> None:
        names = tuple(rest.split())
        if not names and self.stanza is not None:
            self.items.append(AutoLine(word, (self.stanza.written,), first, last))
            return
        self.close()
        self.in_mapping = False
        self.items.append(AutoLine(word, names, first, last))

    def head(self, words: list[str], first: int, last: int) -> Stanza:
        """The line that begins a stanza."""
        if not words:
            raise _Stop("`iface` needs a name, a family and a method")
        written, *more = words
        family = more[0] if more and more[0] in METHODS else ""
        more = more[1:] if family else more
        method = more[0] if more and more[0] in METHODS.get(family, ()) else ""
        more = more[1:] if method else more
        heir = more[1] if more[:1] == ["inherits"] and len(more) > 1 else ""
        if not heir and not (family and method):
            raise _Stop(f"`iface {shown(written)}` needs a family and a method that ifupdown knows")
        name = written.split(":")[0]
        return Stanza(name, family, method, (), first, last, self.path, written, last, heir)

    def option(self, key: str, value: str, first: int, last: int) -> None:
        if not value:
            raise _Stop(f"`{shown(key)}` has no value")
        self.options.append(Option(key, value, first, last))

    def close(self) -> None:
        """The stanza that was open is complete."""
        if self.stanza is not None:
            last = self.options[-1].last_line if self.options else self.stanza.last_line
            self.items.append(replace(self.stanza, options=tuple(self.options), last_line=last))
        self.stanza, self.options = None, []


def _parted(text: str) -> tuple[str, str, str]:
    """The first word, the blanks behind it, and the rest."""
    end = next((n for n, character in enumerate(text) if character in _BLANKS), len(text))
    rest = text[end:].lstrip(_BLANKS)
    return text[:end], text[end : len(text) - len(rest)], rest


def _logical_lines(lines: list[str]) -> Iterator[tuple[str, int, int]]:
    """(text, number of its first line, of its last one)."""
    number = 0
    while number < len(lines):
        first, text = number + 1, lines[number].lstrip(_BLANKS)
        number += 1
        if text.startswith("#"):
            continue
        while text.endswith("\\"):
            text = text[:-1]
            if number == len(lines):
                break
            text += lines[number]
            number += 1
        text = text.rstrip(_BLANKS)
        if text:
            yield text, first, number


@read_once
def parse_classic(data: bytes, path: str) -> InterfacesFile:
    """Read one file. Never raises: the line at which the program gives up is a fatal problem, the last one."""
    raw = tuple(data.split(b"\n"))
    lines = (*(line + b"\n" for line in raw[:-1]), *([raw[-1]] if raw[-1] else []))
    if len(lines) > MAX_LINES:
        return InterfacesFile(path, (data,), (), (StanzaProblem(path, 1, f"more than {MAX_LINES} lines", fatal=True),))
    reader = _Reader(path)
    texts = [line.rstrip(b"\n").decode("utf-8", "surrogateescape") for line in lines]
    try:
        for text, first, last in _logical_lines(texts):
            number = first
            reader.read(text, first, last)
    except _Stop as why:
        reader.problems.append(StanzaProblem(path, number, str(why), fatal=True))
    reader.close()
    mapped = tuple(reader.mapped)
    return InterfacesFile(path, lines, tuple(reader.items), tuple(reader.problems), mapped=mapped)
