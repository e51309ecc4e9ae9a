"""The interfaces file together with what it sources, as the classic ifupdown takes it; see `classic_stanzas`."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from posixpath import dirname
from posixpath import join as join_path

from service.formats.interfaces.classic_at_boot import lost_in
from service.formats.interfaces.classic_stanzas import parse_classic
from service.formats.interfaces.programs import BootProgram
from service.formats.interfaces.sources import MAX_SOURCED_FILES, sourced
from service.formats.interfaces.stanzas import (
    MAX_PROBLEMS,
    AutoLine,
    InterfacesFile,
    PlacedStanza,
    SourceLine,
    Stanza,
    StanzaProblem,
    shown,
)

_SHELL = re.compile(r"[$`~\"'{}\\]")
_PATTERN = re.compile(r"/([^/=]+)")


@dataclass(slots=True)
class ClassicLoader:
    """Reads the files in their order. What an `auto` line says counts for stanzas above it, too."""

    given: Mapping[str, bytes]
    program: BootProgram
    files: dict[str, InterfacesFile] = field(default_factory=dict)
    stanzas: list[Stanza] = field(default_factory=list)
    problems: list[StanzaProblem] = field(default_factory=list)
    classes: dict[str, set[str]] = field(default_factory=dict)
    mapped: list[str] = field(default_factory=list)

    def read(self, path: str, *, is_root: bool) -> None:
        """One file and what it sources; each once."""
        parsed = self.files[path] = parse_classic(self.given[path], path)
        for problem in parsed.problems:
            self.note(problem if is_root or not problem.fatal else _ends_the_file(problem))
        self.mapped += parsed.mapped
        for item in parsed.items:
            if isinstance(item, Stanza):
                self.add(item)
            elif isinstance(item, AutoLine):
                for name in item.names:
                    self.classes.setdefault(name, set()).add(item.allow_class or "auto")
            else:
                self.follow(item, path)

    def note(self, problem: StanzaProblem) -> None:
        if len(self.problems) < MAX_PROBLEMS or problem.fatal:
            self.problems.append(problem)

    def add(self, stanza: Stanza) -> None:
        """A stanza with what it inherits from an earlier one."""
        if stanza.heir_of:
            named = [s for s in self.stanzas if s.written == stanza.heir_of]
            above = next((s for s in named if stanza.family in ("", s.family)), None)
            if above is None:
                what = f"`inherits {shown(stanza.heir_of)}`: there is no such stanza above, and ifupdown stops here"
                self.note(StanzaProblem(stanza.path, stanza.first_line, what, fatal=True))
                return
            stanza = replace(
                stanza,
                options=(*above.options, *stanza.options),
                family=stanza.family or above.family,
                method=stanza.method or above.method,
            )
        self.stanzas.append(stanza)
        for line, what in lost_in(stanza):
            self.note(StanzaProblem(stanza.path, line, what))

    def follow(self, source: SourceLine, path: str) -> None:
        if _SHELL.search(source.pattern):
            what = "the shell's signs in it are not followed here"
            self.note(StanzaProblem(path, source.line, what))
            return
        pattern = join_path(dirname(path), source.pattern)
        found = [*self.below(pattern)] if source.is_folder else [*sourced(pattern, tuple(self.given))]
        if not found and not re.search(r"[*?\[]", pattern) and not source.is_folder:
            self.note(StanzaProblem(path, source.line, f"{shown(pattern, 200)} does not exist"))
        for target in found:
            if target in self.files:
                continue
            if len(self.files) >= MAX_SOURCED_FILES:
                self.note(StanzaProblem(path, source.line, f"more than {MAX_SOURCED_FILES} files"))
                return
            self.read(target, is_root=False)

    def below(self, folder: str) -> Iterator[str]:
        """The files that `source-directory` takes, sorted as bytes are."""
        folder = folder.rstrip("/")
        for path in sorted(self.given):
            above, _, name = path.rpartition("/")
            if re.fullmatch(r"[A-Za-z0-9_-]+", name) and sourced(folder, (above,)):
                yield path

    def standings(self) -> Iterator[PlacedStanza]:
        """The stanzas with what `auto` and `allow-` lines say of each, wherever those are."""
        patterns = [name for name in self.classes if "/" in name]
        made = frozenset(s.written for s in self.stanzas if s.values("bridge-ports"))
        for stanza in self.stanzas:
            classes = set(self.classes.get(stanza.written, ()))
            for pattern in patterns:
                if _matches(pattern, stanza.written, self.program.links, made):
                    classes |= self.classes[pattern]
            if any(fnmatchcase(stanza.written, pattern) for pattern in self.mapped):
                classes = set()  # a script says at boot which stanza counts
            yield PlacedStanza(stanza, "auto" in classes, tuple(sorted(classes - {"auto"})))


def _ends_the_file(problem: StanzaProblem) -> StanzaProblem:
    return replace(problem, what=f"{problem.what}: ifupdown reads this file no further", fatal=False)


def _matches(pattern: str, name: str, links: Collection[str] | None, made: Collection[str]) -> bool:
    """Whether `auto /eth*` means an interface. It means links that the boot finds, so none that a stanza makes."""
    found = _PATTERN.fullmatch(pattern)
    is_there = name not in made and not re.search(r"[.:]", name) and (links is None or name in links)
    return found is not None and is_there and fnmatchcase(name, found[1])
