"""The interfaces file together with what it sources, in the order of reading."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from posixpath import join as join_path
from typing import Any

from service.formats.interfaces.classic_loading import ClassicLoader
from service.formats.interfaces.programs import CONF_FILE, DEBIAN_12, BootProgram
from service.formats.interfaces.sources import MAX_SOURCED_FILES, sourced
from service.formats.interfaces.stanzas import (
    MAIN_FILE,
    MAX_PROBLEMS,
    AutoLine,
    InterfacesFile,
    PlacedStanza,
    SourceLine,
    Stanza,
    StanzaProblem,
    covers,
    parse,
    shown,
)

MAX_RANGES = 64


@dataclass(frozen=True)
class InterfacesConfig:
    """The main file with all that it sources: stanzas in the order of reading, each with where it is.

    `program` reads it at boot. `ignored` are the stanzas that this program takes for none. `meant` keeps what
    service/formats/interfaces/at_boot.py made of it.
    """

    files: Mapping[str, InterfacesFile]
    standings: tuple[PlacedStanza, ...] = ()
    problems: tuple[StanzaProblem, ...] = ()
    root: str = MAIN_FILE
    program: BootProgram = DEBIAN_12
    ignored: tuple[PlacedStanza, ...] = ()
    meant: dict[str | None, Any] = field(default_factory=dict, init=False, compare=False, repr=False)

    @property
    def fatal(self) -> StanzaProblem | None:
        """The line at which the program gives up and applies nothing, if there is one."""
        if self.program.stops:
            return StanzaProblem(CONF_FILE, 1, self.program.stops, fatal=True)
        return next((problem for problem in self.problems if problem.fatal), None)

    @property
    def names(self) -> tuple[str, ...]:
        """Interfaces that have a stanza, in order of reading, each once."""
        return tuple(dict.fromkeys(standing.stanza.name for standing in self.standings))

    def of(self, name: str) -> tuple[PlacedStanza, ...]:
        """The stanzas of one interface."""
        if self.has_ranges:
            return tuple(standing for standing in self.standings if standing.stanza.covers(name))
        return self.by_name.get(name, ())

    @cached_property
    def has_ranges(self) -> bool:
        """Whether a stanza is about a range of names, such as `swp[1-4]`."""
        return any("[" in written for written in self.by_name)

    @cached_property
    def by_name(self) -> Mapping[str, tuple[PlacedStanza, ...]]:
        """The stanzas by the name written there."""
        found: dict[str, list[PlacedStanza]] = {}
        for standing in self.standings:
            found.setdefault(standing.stanza.name, []).append(standing)
        return {name: tuple(standings) for name, standings in found.items()}


@dataclass(slots=True)
class _Loader:
    given: Mapping[str, bytes]
    files: dict[str, InterfacesFile] = field(default_factory=dict)
    standings: list[PlacedStanza] = field(default_factory=list)
    problems: list[StanzaProblem] = field(default_factory=list)
    named: dict[str, set[str | None]] = field(default_factory=dict)
    ranges: list[str] = field(default_factory=list)
    auto_all: bool = False
    one_vlan_aware: bool = False
    ignored: list[PlacedStanza] = field(default_factory=list)
    has_vlan_aware: bool = False
    reads: int = 0
    follows: int = 0

    def read(self, path: str, above: tuple[str, ...]) -> None:
        self.reads += 1
        if path not in self.files:
            self.files[path] = parse(self.given[path], path)
            self.problems += self.files[path].problems
        for item in self.files[path].items:
            if isinstance(item, Stanza):
                (self.ignored if self.is_ignored(item) else self.standings).append(self.standing(item))
            elif isinstance(item, AutoLine):
                self.note(item)
            else:
                self.follow(item, path, (*above, path))

    def is_ignored(self, stanza: Stanza) -> bool:
        """Whether it is one more that says `bridge-vlan-aware yes` first; no other word for yes counts here."""
        if not self.one_vlan_aware or stanza.values("bridge-vlan-aware")[:1] != ("yes",):
            return False
        if not self.has_vlan_aware:
            self.has_vlan_aware = True
            return False
        if len(self.problems) < MAX_PROBLEMS:
            what = (
                f"ifupdown2 ignores this stanza of {shown(stanza.name)}: another one says `bridge-vlan-aware yes` "
                f"above it, and {CONF_FILE} allows one. Fix: set multiple_vlan_aware_bridge_support=1 there"
            )
            self.problems.append(StanzaProblem(stanza.path, stanza.first_line, what))
        return True

    def note(self, line: AutoLine) -> None:
        for name in line.names:
            self.named.setdefault(name, set()).add(line.allow_class)
            if line.allow_class is None and "[" in name and len(self.ranges) < MAX_RANGES:
                self.ranges.append(name)
        self.auto_all = self.auto_all or (line.allow_class is None and "all" in line.names)

    def standing(self, stanza: Stanza) -> PlacedStanza:
        classes = self.named.get(stanza.name, set())
        auto = self.auto_all or None in classes or any(covers(written, stanza.name) for written in self.ranges)
        return PlacedStanza(stanza, auto, tuple(sorted(name for name in classes if name is not None)))

    def follow(self, source: SourceLine, path: str, above: tuple[str, ...]) -> None:
        def problem(what: str) -> None:
            if len(self.problems) < MAX_PROBLEMS:
                self.problems.append(StanzaProblem(path, source.line, what))

        self.follows += 1
        if self.follows > MAX_SOURCED_FILES:
            problem(f"more than {MAX_SOURCED_FILES} source lines: the rest is not followed")
            return
        pattern = source.pattern
        if not pattern.startswith("/"):
            problem("a relative path: ifupdown2 3.0.0 looks from its own working folder, which is / at boot")
            pattern = join_path("/", pattern)
        found = sourced(pattern, self.given)
        if not found and not re.search(r"[*?\[]", pattern):
            problem(f"there is no {shown(pattern, 200)}")
        for target in found:
            if target in above:
                problem(f"{shown(target, 200)} sources itself")
            elif self.reads >= MAX_SOURCED_FILES:
                problem(f"more than {MAX_SOURCED_FILES} files")
                return
            else:
                self.read(target, above)


def load(files: Mapping[str, bytes], root: str = MAIN_FILE, program: BootProgram = DEBIAN_12) -> InterfacesConfig:
    """The main file and what it sources, out of the files given (absolute path to bytes). Never raises."""
    if program.is_classic:
        return _load_classic(files, root, program)
    loader = _Loader(files, one_vlan_aware=program.one_vlan_aware)
    if root in files:
        loader.read(root, ())
    return InterfacesConfig(
        loader.files, tuple(loader.standings), tuple(loader.problems), root, program, tuple(loader.ignored)
    )


def _load_classic(files: Mapping[str, bytes], root: str, program: BootProgram) -> InterfacesConfig:
    loader = ClassicLoader(files, program)
    if root in files:
        loader.read(root, is_root=True)
    return InterfacesConfig(loader.files, tuple(loader.standings()), tuple(loader.problems), root, program)
