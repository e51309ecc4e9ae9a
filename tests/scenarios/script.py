"""A scenario's text as lines of words; README.md next to this file says which there are."""

from dataclasses import dataclass
from pathlib import Path

INDENT = "    "


class Unreadable(Exception):  # noqa: N818 (a message with file and line)
    """What cannot be understood, and where."""


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that is done or seen: `word`, the rest of its line, and the indented text below it."""

    file: str
    number: int
    word: str
    rest: str = ""
    block: str = ""

    @property
    def where(self) -> str:
        return f"{self.file}:{self.number}"

    @property
    def inner(self) -> "Line":
        """The line without its first word."""
        word, _, rest = self.rest.partition(" ")
        return Line(self.file, self.number, word, rest.strip(), self.block)

    def bad(self, why: str) -> Unreadable:
        return Unreadable(f"{self.where}: {why}")


def lines_of(path: Path) -> list[Line]:
    """The lines of a scenario without comments and empty ones. Unreadable for a block that belongs to nothing."""
    found: list[Line] = []
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if text.startswith(INDENT):
            if not found:
                raise Unreadable(f"{path.name}:{number}: an indented line below nothing. Fix: begin with a word")
            last = found[-1]
            found[-1] = Line(last.file, last.number, last.word, last.rest, f"{last.block}{text[len(INDENT) :]}\n")
        elif text.strip() and not text.startswith("#"):
            word, _, rest = text.strip().partition(" ")
            found.append(Line(path.name, number, word, rest.strip()))
    return found
