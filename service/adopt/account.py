"""What was read on a host, line by line, and what became of each: the books behind the report.

    account.read(section, path, lines, text)     these lines were read, and are one thing
    account.add(sort, section, where, what)      what is known of the thing at `path:line`, or of the host as a whole
    account.settled(has)                         the notes: each thing that was read in exactly one of the three parts

A thing that nobody claims is unmanaged, in its own words. A claim that the spec has it counts only while the written
spec has it. A dangerous thing is under `danger` alone, and its note says whether the spec has it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from service.adopt.report import Note, Sort
from service.model.trees import shown
from service.spec.findings import Path

MAX_NOTES = 2000
_WORDS = 400
_LINE = 200
_GONE: Path = ("(gone)",)
"""Stands for the place of what went; no key of a spec is called so."""
_NOT_SAID = "the spec does not say it"


@dataclass(slots=True)
class Entry:
    """One thing. `where` is its place (`path:line`, a path, or empty), `lines` are all of its lines in that file.

    `said` are claims that the spec has it, and `places` where. `lost` is the reason why the spec does not have it after
    all, and `left` the reason why it stays unmanaged. `dangers` are what may go wrong with it. `within` is the larger
    thing that a line was part of.
    """

    section: str
    where: str
    lines: tuple[int, ...] = ()
    text: str = ""
    said: list[str] = field(default_factory=list)
    places: list[Path] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    dangers: list[str] = field(default_factory=list)
    within: "Entry | None" = None

    def claim(self, sort: Sort, what: str, place: Path | None) -> None:
        """One more claim; the same words count once."""
        words = {"understood": self.said, "unmanaged": self.left, "danger": self.dangers}[sort]
        if what not in words:
            words.append(what)
        if place and place not in self.places:
            self.places.append(place)


@dataclass(slots=True)
class Account:
    """Everything that was read, with all claims about it."""

    entries: list[Entry] = field(default_factory=list)
    by_line: dict[tuple[str, int], Entry] = field(default_factory=dict)
    by_words: dict[tuple[str, str, str, str], Entry] = field(default_factory=dict)
    by_path: dict[str, Entry] = field(default_factory=dict)

    def read(self, section: str, path: str, lines: Iterable[int], text: str, *, at: int = 0, whole: str = "") -> None:
        """Lines of a file that are one thing, those that are in no other. `text` is its note where nobody claims it.

        `at` is the line that it is named after, the first one if not given. `whole`: it is named after this instead
        (the path, or `path:1`), because it is all that the file says.
        """
        new = tuple(sorted({line for line in lines if (path, line) not in self.by_line}))
        if not new and not whole:
            return
        entry = Entry(section, whole or f"{path}:{at if at in new else new[0]}", new, text)
        self.entries.append(entry)
        self.by_line |= dict.fromkeys(((path, line) for line in new), entry)
        if whole:
            self.by_path.setdefault(whole, entry)

    def add(self, sort: Sort, section: str, where: str, what: str, place: Path | None = None) -> None:
        """What is known of a place. `place` is where the spec says it; it counts only while the spec has that."""
        entry = self._at(where)
        words = shown(what, _WORDS)
        if entry is None:
            key = (sort, section, where, words)
            entry = self.by_words.get(key)
            if entry is None:
                entry = self.by_words[key] = Entry(section, where)
                self.entries.append(entry)
        elif sort != "danger" or not (entry.said or entry.left or entry.dangers):
            entry.section = section
        entry.claim(sort, words, place)

    def _at(self, where: str) -> Entry | None:
        """The thing at a place. A line within a larger thing becomes one of its own."""
        if where in self.by_path:
            return self.by_path[where]
        path, _, number = where.rpartition(":")
        entry = self.by_line.get((path, int(number))) if path and number.isdecimal() and len(number) < 9 else None
        if entry is None or entry.where == where:
            return entry
        line = int(number)
        entry.lines = tuple(other for other in entry.lines if other != line)
        own = Entry(entry.section, where, (line,), "", within=entry)
        self.entries.append(own)
        self.by_line[path, line] = own
        return own

    def knows(self, where: str) -> bool:
        """Whether a line is part of something that was read."""
        path, _, number = where.rpartition(":")
        return number.isdecimal() and (path, int(number)) in self.by_line

    def lines_of(self, path: str) -> Sequence[int]:
        """The lines of a file that are part of something."""
        return [line for where, line in self.by_line if where == path]

    def taken_out(self, gone: Path, why: str) -> bool:
        """The spec does not say something after all, and why. False where nobody claimed that it does."""
        found = False
        for entry in self.entries:
            for n, place in enumerate(entry.places):
                if place[: len(gone)] == gone:
                    found = True
                    entry.places[n] = _GONE
                    entry.lost += [shown(why, _WORDS)] if why and shown(why, _WORDS) not in entry.lost else []
        return found

    def closed_up(self, gone: Path) -> None:
        """An element of a list went: those after it have other numbers."""
        depth, index = len(gone) - 1, gone[-1]
        for entry in self.entries:
            for n, place in enumerate(entry.places):
                part = place[depth] if place[:depth] == gone[:-1] and len(place) > depth else None
                if isinstance(part, int) and isinstance(index, int) and part > index:
                    entry.places[n] = (*place[:depth], part - 1, *place[depth + 1 :])

    def moved(self, old: Path, new: Path) -> None:
        """What the spec said at one place, it says at another."""
        for entry in self.entries:
            entry.places = [new if place[: len(old)] == old else place for place in entry.places]

    def settled(self, has: Callable[[Path], bool]) -> tuple[Note, ...]:
        """All of it, in the order of the report. `has` is whether the spec has a value at a place."""
        notes = [_note(entry, has) for entry in self.entries if entry.lines or not _is_only_read(entry)]
        notes.sort(key=lambda note: (note.section, _order(note.where), note.what))
        return (*notes[:MAX_NOTES], *_folded(notes[MAX_NOTES:]))


def _is_only_read(entry: Entry) -> bool:
    return not (entry.said or entry.left or entry.dangers)


def _note(entry: Entry, has: Callable[[Path], bool]) -> Note:
    """The note of one thing: in the spec only if all that it claims is there."""
    is_held = _is_held(entry, has)
    words = [*entry.said, *entry.left]
    if entry.said and not is_held:
        words += entry.lost or ([] if entry.left else [_NOT_SAID])
    sort: Sort = "danger" if entry.dangers else "understood" if is_held else "unmanaged"
    is_about_host = not entry.lines and not entry.said and not entry.left
    in_spec = None if is_about_host else is_held
    if sort == "danger" and words:
        words = [f"{'; '.join(words)} ({'in the spec' if is_held else 'unmanaged'})"]
    what = "; ".join([*words, *entry.dangers]) or shown(entry.text, _LINE)
    if entry.dangers and not words and entry.text:
        what = f"{shown(entry.text, _LINE)} (unmanaged); {what}"
    return Note(sort, entry.section, entry.where, what, entry.lines, in_spec)


def _is_held(entry: Entry, has: Callable[[Path], bool]) -> bool:
    """Whether the spec says all of it. A line of which only a danger is known is where its larger thing is."""
    if entry.within is not None and not entry.said and not entry.left:
        return _is_held(entry.within, has)
    return bool(entry.said) and not entry.left and all(has(place) for place in entry.places)


def _folded(notes: Sequence[Note]) -> Iterable[Note]:
    """Notes beyond those that are shown one by one: one for each part, section and file."""
    groups: dict[tuple[Sort, str, str], list[Note]] = {}
    for note in notes:
        groups.setdefault((note.sort, note.section, _order(note.where)[0]), []).append(note)
    for (sort, section, path), these in groups.items():
        lines = tuple(sorted({line for note in these for line in note.lines}))
        yield Note(sort, section, path, f"{len(these)} more of this sort, too many to name each", lines)


def _order(where: str) -> tuple[str, int]:
    path, _, line = where.rpartition(":")
    return (path, int(line)) if path and line.isdecimal() else (where, 0)
