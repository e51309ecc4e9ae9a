"""Edits of a text file by line number, collected first and done at once; what is not named stays byte for byte."""

import re
from collections.abc import Collection
from dataclasses import dataclass, field

_LINES = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")


@dataclass(slots=True)
class FilePatch:
    """Changes of one file. Line numbers start at 1 and are those of the data given."""

    data: bytes
    _lines: list[bytes] = field(init=False)
    _new: dict[int, bytes | None] = field(default_factory=dict)
    _before: dict[int, list[bytes]] = field(default_factory=dict)
    _after: dict[int, list[tuple[int, bytes]]] = field(default_factory=dict)
    _tail: bytes = b""

    def __post_init__(self) -> None:
        self._lines = _LINES.findall(self.data)

    @property
    def newline(self) -> str:
        """The line end that the file uses: of its first line."""
        first = self._lines[0] if self._lines else b""
        return next((end.decode() for end in (b"\r\n", b"\n", b"\r") if first.endswith(end)), "\n")

    def line(self, number: int) -> str:
        """A line's text without its end."""
        return self._lines[number - 1].rstrip(b"\r\n").decode(errors="surrogateescape")

    def replace(self, first: int, last: int, text: str) -> None:
        """One line in place of the lines first..last."""
        self.delete(first, last)
        end = self._lines[last - 1][len(self._lines[last - 1].rstrip(b"\r\n")) :]
        self._new[first] = text.encode(errors="surrogateescape") + end

    def delete(self, first: int, last: int, *, keep: Collection[int] = ()) -> None:
        for number in range(first, last + 1):
            if number not in keep:
                self._new[number] = None

    def insert_before(self, number: int, text: str) -> None:
        """A line (or several, joined by the file's line end) above line `number`."""
        self._before.setdefault(number, []).append(text.encode() + self.newline.encode())

    def insert_after(self, number: int, text: str, rank: int = 0) -> None:
        """A line below line `number`; several at one place come by rank, then in the order given."""
        self._after.setdefault(number, []).append((rank, text.encode() + self.newline.encode()))

    def append(self, text: str) -> None:
        """Text at the end, with one blank line before it."""
        self._tail += text.encode()

    def drop_word(self, first: int, last: int, word: str) -> None:
        """Take a word out of a line of words; the whole line goes when only the keyword is left."""
        text = " ".join(self.line(n) for n in range(first, last + 1)) if last > first else self.line(first)
        words = text.replace("\\", " ").split()
        kept = [words[0], *(w for w in words[1:] if w != word)]
        if len(kept) == 1:
            self.delete(first, last)
        elif last > first:
            self.replace(first, last, " ".join(kept))
        else:
            head = re.match(r"\s*\S+", text)
            rest = text[head.end() :] if head else text
            rest = re.sub(r"(?:\s+)" + re.escape(word) + r"(?=\s|$)", "", rest)
            self.replace(first, last, (head[0] if head else "") + rest)

    def result(self, *, tidy: bool = False) -> bytes:
        """The file after all changes. `tidy`: where a block went between two blank lines, one of them goes too."""
        if tidy:
            self._tidy()
        out = bytearray()
        for number, raw in enumerate(self._lines, 1):
            for text in self._before.get(number, ()):
                self._end_line(out)
                out += text
            out += self._new.get(number, raw) or b""
            for _, text in sorted(self._after.get(number, ()), key=lambda pair: pair[0]):
                self._end_line(out)
                out += text
        if self._tail:
            self._end_line(out)
            blank = self.newline.encode()
            last = self._lines[-1].strip() if self._lines else b""
            out += blank if out and last else b""
            out += self._tail
        return bytes(out)

    def _end_line(self, out: bytearray) -> None:
        if out and not out.endswith((b"\n", b"\r")):
            out += self.newline.encode()

    def _tidy(self) -> None:
        gone = sorted(number for number, text in self._new.items() if text is None)
        blank = {number for number, raw in enumerate(self._lines, 1) if not raw.strip()} | {0, len(self._lines) + 1}
        last = len(self._lines)
        for position, number in enumerate(gone):
            ends_run = position + 1 == len(gone) or gone[position + 1] != number + 1
            if not ends_run:
                continue
            first = number
            while first - 1 in self._new and self._new[first - 1] is None:
                first -= 1
            if first - 1 in blank and number + 1 in blank:
                extra = number + 1 if number < last else first - 1
                if 1 <= extra <= last:
                    self._new.setdefault(extra, None)
