"""Entries of a sketch that lint refuses are removed, and noted as read.

without_errors(host, head, sketch)          until lint has no error
lint(host, text, shared) -> findings        of a spec that is the only one beside these files
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from service.adopt.alone import read_alone
from service.adopt.pve_live import FLEET_TEXT
from service.adopt.sketch import Sketch
from service.adopt.writing import write
from service.errors import InputError
from service.kinds import KINDS
from service.model.states import Json
from service.spec.findings import Finding, Path
from service.spec.jumps import UNKNOWN as UNKNOWN_JUMP
from service.spec.layers import NO_MATCH, UNKNOWN_HOST
from service.spec.reading import FLEET_FILE

MAX_ROUNDS = 60
OF_OTHER_HOSTS = (UNKNOWN_HOST.id, NO_MATCH.id, UNKNOWN_JUMP.id)
"""Rules about other hosts: only the adopted one is read here."""


def without_errors(host: str, head: Mapping[str, Json], sketch: Sketch) -> None:
    """Until lint has no error in the text: an entry with an error is removed and reported as unmanaged.

    One at a time, because without it others may be right. Where very much is wrong, all at once.
    """
    for beyond, most in list(_beyond_limits(sketch)):
        sketch.drop(beyond, f"a spec has at most {most} of them")
    for number in range(2 * MAX_ROUNDS):
        findings = lint(host, write(sketch, head, host), {FLEET_FILE: FLEET_TEXT})
        wrong = [f for f in findings if f.severity == "error"]
        if not wrong:
            return
        gone = {path: f for f in reversed(wrong) if (path := _to_drop(f.path, sketch)) is not None}
        if not gone:
            hint = "say it by the command's options"
            raise InputError(f"the spec of {host} cannot be written: {wrong[0]}", hint=hint)
        first = min(gone, key=lambda path: wrong.index(gone[path]))
        for path in [first] if number < MAX_ROUNDS else sorted(gone, key=_last_first, reverse=True):
            if sketch.has(path) and not sketch.drop(path, gone[path].message):
                what = f"{'.'.join(map(str, path))}: {gone[path].message}"
                sketch.notes.add("unmanaged", str(path[0]), "", what)
    raise InputError(f"the spec of {host} cannot be written: more than {MAX_ROUNDS} things are wrong in it")


def _beyond_limits(sketch: Sketch) -> Iterator[tuple[Path, int]]:
    """(place, limit) of the entries that a section has no room for, the last one first."""
    for kind in KINDS:
        section = sketch.values.get(kind.name)
        most = _most(kind.section)
        if most and isinstance(section, dict):
            yield from (((kind.name, key), most) for key in reversed(list(section)[most:]))
        elif most and isinstance(section, list):
            yield from (((kind.name, number), most) for number in reversed(range(most, len(section))))


def _most(section: Any) -> int:
    """How many entries a section's type takes; 0 where it has no such limit."""
    infos = getattr(section, "__metadata__", ())
    return next((rule.max_length for info in infos for rule in info.metadata if hasattr(rule, "max_length")), 0)


def _last_first(path: Path) -> tuple[tuple[str, int], ...]:
    """Sorts the elements of a list by their number: the last one has to go first."""
    return tuple(("", part) if isinstance(part, int) else (part, 0) for part in path)


def _to_drop(path: Path, sketch: Sketch) -> Path | None:
    """The entry that a finding is about: an interface, a rule, a range, a directive."""
    if not path or path[0] not in sketch.values:
        return None
    depth = 2
    if path[0] == "dnsmasq" and len(path) > 2 and isinstance(path[2], int):
        depth = 5 if path[3:4] == ("options",) else 3
    for length in range(min(depth, len(path)), 0, -1):
        if sketch.has(path[:length]):
            return path[:length]
    return None


def lint(host: str, text: str, shared: Mapping[str, str]) -> Sequence[Finding]:
    """The findings of a spec that is the only one with these files."""
    return [found for found in read_alone(host, text, shared).findings if found.rule not in OF_OTHER_HOSTS]
