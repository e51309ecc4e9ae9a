"""nginx's configuration as values, and their text.

    Directive("listen", ("80",))                       listen 80;
    Directive("location", ("/",), (…, …))              location / { … }

nginx reads back exactly the words of a directive: those with a character that would end a word are quoted
(ngx_conf_read_token). It cannot write a plain `$`. So no value from a spec has one, and variables are ours alone.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_PLAIN = re.compile(r"[A-Za-z0-9_./:=*$~^|?&%@,+!()\[\]-]+")
_ESCAPED = re.compile(r'(["\\])')


@dataclass(frozen=True, slots=True)
class Directive:
    """A directive with its words; `block` is what is inside its braces, None where it has none."""

    name: str
    words: tuple[str, ...] = ()
    block: "tuple[Directive | Comment, ...] | None" = None


@dataclass(frozen=True, slots=True)
class Comment:
    """A line for people. It never has text of a spec."""

    text: str


Lines = Sequence[Directive | Comment]


def text_of(lines: Lines) -> str:
    """The text of a file."""
    return "".join(f"{line}\n" for line in _lines(lines, ""))


def _lines(lines: Lines, indent: str) -> Iterator[str]:
    for number, line in enumerate(lines):
        if isinstance(line, Comment):
            yield f"{indent}# {line.text}"
            continue
        head = " ".join(map(word, (line.name, *line.words)))
        if line.block is None:
            yield f"{indent}{head};"
            continue
        if number:
            yield ""
        yield f"{indent}{head} {{"
        yield from _lines(line.block, f"{indent}    ")
        yield f"{indent}}}"


def word(value: str) -> str:
    """One word as nginx reads it back. Raises ValueError for what it cannot read back: controls, and no ASCII."""
    if not value.isascii() or not value.isprintable():
        raise ValueError(f"nginx cannot read {value!r} back")
    if _PLAIN.fullmatch(value):
        return value
    return '"' + _ESCAPED.sub(r"\\\1", value) + '"'


def on(name: str, *words: str) -> Directive:
    """A directive without a block."""
    return Directive(name, words)


def block(name: str, words: Sequence[str], lines: Lines) -> Directive:
    """A directive with a block."""
    return Directive(name, tuple(words), tuple(lines))
