"""The smallest change of interfaces files that makes them mean what is wanted; every other byte stays.

    edit(data, changes) -> bytes                 one file
    edit_files(files, changes, read) -> {path: bytes}   the main file and what it sources; only what changed

Kept: comments, order, blank lines, line ends, the indentation and key spelling of a stanza, `address` + `netmask`
where the stanza uses it, options that are not ours. A new interface is appended in canonical form. After every change
the result is read again: what is wanted must be met and no other interface may mean anything else, or InputError.
"""

from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, field, replace
from posixpath import basename

from service.errors import InputError
from service.formats.interfaces.at_boot import meaning, meanings
from service.formats.interfaces.loading import InterfacesConfig, load
from service.formats.interfaces.meant import ports_of
from service.formats.interfaces.patch import FilePatch
from service.formats.interfaces.rewriting import rewrite
from service.formats.interfaces.stanzas import MAIN_FILE, AutoLine, shown
from service.formats.interfaces.wanted import WantedStanza, canonical, check_wanted, unmet


@dataclass(frozen=True, slots=True)
class SetStanza:
    """Make interface `name` mean `wanted` at the next boot; a new one is appended to `path`, empty = the main file."""

    name: str
    wanted: WantedStanza
    path: str = field(default="", kw_only=True)


@dataclass(frozen=True, slots=True)
class RemoveStanza:
    """Take out every stanza of `name`, and the name from `auto` and `allow-` lines. Not there: nothing happens."""

    name: str


@dataclass(frozen=True, slots=True)
class RemoveLine:
    """Take out one option by the number of its line in the file as given (an extra gateway, an up line)."""

    line: int
    path: str = field(default="", kw_only=True)


Change = SetStanza | RemoveStanza | RemoveLine
Read = Callable[[Mapping[str, bytes]], InterfacesConfig]
"""How files become a configuration."""


def edit(data: bytes, changes: Iterable[Change]) -> bytes:
    """One file, changed; `RemoveLine` numbers are those of `data`. InputError: not possible, or not without harm."""
    return edit_files({MAIN_FILE: data}, changes).get(MAIN_FILE, data)


def edit_files(files: Mapping[str, bytes], changes: Iterable[Change], read: Read = load) -> dict[str, bytes]:
    """The main file and what it sources, changed at the stanzas' own places. Returns the files that are not as before.

    `read` takes the files as `load` does; a caller that reads them, too, lets each text be read once. Where its
    program's `broadcast_fails` holds, `broadcast` lines that cost addresses are removed.
    """
    todo = tuple(changes)
    now = dict(files)
    removals = [change for change in todo if isinstance(change, RemoveLine)]
    for removal in sorted(removals, key=lambda change: -change.line):
        path = removal.path or MAIN_FILE
        now[path] = _without_line(now, path, removal.line, read)
    for change in todo:
        if isinstance(change, SetStanza):
            now = _set(now, change, read)
        elif isinstance(change, RemoveStanza):
            now = _remove(now, change.name, read)
    return {path: data for path, data in now.items() if files.get(path) != data}


def _set(files: dict[str, bytes], change: SetStanza, read: Read) -> dict[str, bytes]:
    wanted = check_wanted(change.name, change.wanted)
    before = read(files)
    _refuse_unreadable(before)
    if before.program.is_classic:
        wanted = replace(wanted, condone_regex="")  # nothing reloads, so no guest loses its bridge
    have = meaning(before, change.name)
    if have is not None and not unmet(have, wanted):
        return files
    path = change.path or MAIN_FILE
    if have is None and path not in before.files and path in files:
        raise InputError(f"{shown(path, 200)} is not sourced: a stanza in it would never be read")
    if have is None:
        patch = FilePatch(files.get(path, b""))
        patch.append(canonical(change.name, wanted, patch.newline, before.program))
        after = files | {path: patch.result()}
    else:
        after = files | rewrite(files, before, have, wanted)
    _prove(before, read(after), change.name, wanted)
    return after


def _remove(files: dict[str, bytes], name: str, read: Read) -> dict[str, bytes]:
    before = read(files)
    _refuse_unreadable(before)
    if any(standing.stanza.name != name for standing in before.of(name)):
        raise InputError(f"{shown(name)} is part of a range of names", hint="write its stanza out by hand first")
    after = dict(files)
    for path, parsed in before.files.items():
        patch = FilePatch(files[path])
        for stanza in parsed.stanzas:
            if stanza.name == name:
                patch.delete(stanza.first_line, stanza.last_line, keep=parsed.foreign_lines)
        for item in parsed.items:
            if isinstance(item, AutoLine):
                for word in (word for word in item.names if word.split(":")[0] == name):
                    patch.drop_word(item.line, item.last_line, word)
        after[path] = patch.result(tidy=True)
    _prove(before, read(after), name, None)
    return after


def _without_line(files: Mapping[str, bytes], path: str, line: int, read: Read) -> bytes:
    parsed = read(files).files.get(path)
    stanzas = parsed.stanzas if parsed else ()
    option = next((o for s in stanzas for o in s.options if o.line <= line <= o.last_line), None)
    if option is None:
        raise InputError(f"{basename(path)}:{line}: there is no option of a stanza")
    patch = FilePatch(files[path])
    patch.delete(option.line, option.last_line)
    return patch.result()


def _refuse_unreadable(config: InterfacesConfig) -> None:
    """A file at which ifupdown2 gives up is not added to: nothing written into it would count."""
    if config.fatal is not None:
        raise InputError(str(config.fatal), hint="correct this line by hand first")


def _prove(before: InterfacesConfig, after: InterfacesConfig, name: str, wanted: WantedStanza | None) -> None:
    """The result read again says what was requested, and everything else says what it said."""
    have = meaning(after, name)
    missed = {"stanza": (None, name)} if wanted is None and have else unmet(have, wanted) if wanted else {}
    old, new = meanings(before), meanings(after)
    ports = {port for found in (old.get(name), new.get(name)) if found for port in ports_of(found)}
    others = (old.keys() | new.keys()) - {name} - ports  # a port loses its addresses to the bridge, and gets them back
    harmed = sorted(n for n in others if old.get(n) != new.get(n))
    if missed or harmed or after.fatal:
        what = f"would change {', '.join(map(shown, harmed[:5]))}" if harmed else f"would not give {', '.join(missed)}"
        raise InputError(
            f"the interfaces file cannot be edited for {shown(name)} without harm: it {what}",
            hint=_by_hand({placed.stanza.name for placed in before.ignored}.intersection(harmed)),
        )


def _by_hand(woken: Set[str]) -> str:
    """What a person can do. `woken`: interfaces of stanzas that are ignored until this edit."""
    if woken:
        return (
            f"ifupdown2 ignores the stanza of {shown(min(woken))} now, because another one above it says "
            "`bridge-vlan-aware yes`. Remove that line from one of the two by hand"
        )
    return "remove the backslash at the end of a line, or the stray line near the stanza, by hand"
