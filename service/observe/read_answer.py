"""A collector's answer → what is known of the host. Pure: no clock, no connection.

    parse(answer, nonce, watch, host, observed_at) -> HostObserved
    read_answer(answer, nonce, watch, host, observed_at, before=None) -> Reading

`read_answer` in steps, for an answer that is large: begin(…) -> Begun, read_part(name, needed, watch) for each of
Begun.to_read (unread_part where that took too much), finish(…) -> Reading.

What a section feeds is Unknown, with the reason, when the section is missing, cut, garbled, or its program failed; it
is Absent only where the host said so. `before` is the Reading of the same host and watch: a section whose digest is
the same is not read again.
"""

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from service.model.observed import HostObserved, ManagementPath, Watch
from service.model.states import Absent, Json, Observed, Seen, Unknown
from service.model.trees import shown
from service.observe import read_files, read_guests, read_network, read_system
from service.observe.frames import Section, Sections, digest, raw_digest, sections
from service.observe.part import Part, Reader, Unreadable

READERS: tuple[Reader, ...] = (*read_network.READERS, *read_system.READERS, *read_guests.READERS, *read_files.READERS)
DIGESTED = tuple(dict.fromkeys(need for reader in READERS for need in reader.needs if need != "again"))

DNSMASQ = "unit:dnsmasq.service"
_IN_MEMORY = "dnsmasq runs, but its lease file is gone: the leases are in its memory alone, until it stops"
_GARBLED = (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError, OverflowError)
_BY_NAME = {reader.name: reader for reader in READERS}

Needed = Mapping[str, Section] | Unknown
"""The sections that a reader needs, or why there is one missing."""

_SESSION = re.compile(
    r"now (?P<now>\d{9,11}\.\d{1,9})\nuptime (?P<uptime>\d{1,10}\.\d{1,3})\n"
    r"connection(?: (?P<client>[0-9A-Fa-f.:%]+) \d+ (?P<server>[0-9A-Fa-f.:%]+) (?P<port>\d{1,5}))?\s*"
)


@dataclass(frozen=True, slots=True)
class Reading:
    """An observation, with its parts by the digests of what they were read from. `digests` has each section's digest
    behind that of all that was sent."""

    observed: HostObserved
    watch: Watch
    parts: Mapping[str, tuple[tuple[str, ...], Part]]
    booted_at_s: float | None = None
    digests: Mapping[str, tuple[bytes, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ToRead:
    """What one reader has to do. `size` is how many bytes it looks at one by one: those of files are only cut and
    digested."""

    key: tuple[str, ...]
    needed: Needed
    size: int


@dataclass(frozen=True, slots=True)
class Begun:
    """An answer taken apart: the parts that are known from before, and what is to be read for each of the others."""

    session: Section | Unknown
    digests: Mapping[str, tuple[bytes, str]]
    known: Mapping[str, tuple[tuple[str, ...], Part]]
    to_read: Mapping[str, ToRead]
    size: int


def parse(answer: bytes, nonce: str, watch: Watch, host: str, observed_at: datetime) -> HostObserved:
    """What an answer says about a host."""
    return read_answer(answer, nonce, watch, host, observed_at).observed


def read_answer(
    answer: bytes, nonce: str, watch: Watch, host: str, observed_at: datetime, *, before: Reading | None = None
) -> Reading:
    """As `parse`, reusing what did not change since `before`."""
    begun = begin(answer, nonce, watch, before)
    parts = {name: read_part(name, to_read.needed, watch) for name, to_read in begun.to_read.items()}
    return finish(begun, parts, watch, host, observed_at, before)


def begin(answer: bytes, nonce: str, watch: Watch, before: Reading | None) -> Begun:
    """Take the answer apart. What it costs grows with its bytes alone."""
    found = sections(answer, nonce)
    digests = _digests(found, before.digests if before else {})
    before_parts = before.parts if before and before.watch == watch else {}
    known: dict[str, tuple[tuple[str, ...], Part]] = {}
    to_read: dict[str, ToRead] = {}
    for reader in READERS:
        key = tuple(digests[need][1] if need in digests else "" for need in reader.needs)
        old = before_parts.get(reader.name)
        if old and old[0] == key and all(key):
            known[reader.name] = old
        else:
            needed = _needed(reader, found)
            sections_read = {} if isinstance(needed, Unknown) else needed
            size = sum(len(section.body) for name, section in sections_read.items() if name != "body")
            to_read[reader.name] = ToRead(key, needed, size)
    return Begun(found.get("session"), digests, known, to_read, len(answer))


def _digests(found: Sections, before: Mapping[str, tuple[bytes, str]]) -> dict[str, tuple[bytes, str]]:
    """What was sent byte for byte before has the digest that it had."""
    digests: dict[str, tuple[bytes, str]] = {}
    for name, section in found.whole.items():
        raw = raw_digest(section)
        old = before.get(name)
        digests[name] = old if old is not None and old[0] == raw else (raw, digest(section))
    return digests


def _needed(reader: Reader, found: Sections) -> Needed:
    needed: dict[str, Section] = {}
    for name in reader.needs:
        section = found.get(name)
        if isinstance(section, Unknown):
            return section
        needed[name] = section
    return needed


def finish(
    begun: Begun, parts: Mapping[str, Part], watch: Watch, host: str, observed_at: datetime, before: Reading | None
) -> Reading:
    """The parts put together; the observation of before where none of them is new."""
    session = _session(begun.session)
    if before is not None and not begun.to_read and before.watch == watch:
        booted_at_s = _booted_at_s(session, before.observed.boot_id, before)
        if booted_at_s == before.booted_at_s:
            seen = dataclasses.replace(
                before.observed, host=host, observed_at=observed_at, path=_path(session), size=begun.size
            )
            return dataclasses.replace(before, observed=seen, digests=begun.digests)
    keyed = {**begun.known} | {name: (begun.to_read[name].key, part) for name, part in parts.items()}
    parts_by_name = {reader.name: keyed[reader.name] for reader in READERS}
    fields = _fields([part for _, part in parts_by_name.values()])
    booted_at_s = _booted_at_s(session, str(fields["boot_id"]), before)
    entered = fields.pop("entered_s")
    if isinstance(fields["leases"], Absent) and _runs(fields["facts"].get(DNSMASQ)):
        fields["leases"] = Unknown(_IN_MEMORY)
    observed = HostObserved(
        host=host,
        observed_at=observed_at,
        path=_path(session),
        started_at_s={} if booted_at_s is None else {name: booted_at_s + s for name, s in entered.items()},
        digests={name: begun.digests[name][1] for name in DIGESTED if name in begun.digests},
        size=begun.size,
        **fields,
    )
    return Reading(observed, watch, parts_by_name, booted_at_s, begun.digests)


def read_part(name: str, needed: Needed, watch: Watch) -> Part:
    """What one reader makes of its sections."""
    reader = _BY_NAME[name]
    if isinstance(needed, Unknown):
        return reader.unread(needed.why, watch)
    try:
        return reader.read(needed, watch)
    except Unreadable as why:
        return reader.unread(str(why), watch)
    except _GARBLED as error:
        return reader.unread(f"{reader.name}: the host's answer is garbled ({shown(str(error), 80)})", watch)


def unread_part(name: str, why: str, watch: Watch) -> Part:
    """The part of Unknowns where a reader was stopped."""
    return _BY_NAME[name].unread(why, watch)


def _session(section: Section | Unknown) -> re.Match[str] | None:
    return None if isinstance(section, Unknown) else _SESSION.fullmatch(section.text())


def _booted_at_s(session: re.Match[str] | None, boot_id: str, before: Reading | None) -> float | None:
    """When the host booted, on its present wall clock. Kept from before while it moves by less than a
    second, so that reading the clock twice does not look like a daemon that was started again."""
    if not session:
        return None
    booted_at_s = float(session["now"]) - float(session["uptime"])
    if before and before.booted_at_s is not None and before.observed.boot_id == boot_id:
        return before.booted_at_s if abs(before.booted_at_s - booted_at_s) < 1 else booted_at_s
    return booted_at_s


def _runs(unit: Observed[Json] | None) -> bool:
    return isinstance(unit, Seen) and isinstance(unit.value, dict) and unit.value.get("active") is True


def _path(session: re.Match[str] | None) -> ManagementPath | None:
    if not session or not session["client"]:
        return None
    return ManagementPath(session["client"], session["server"], int(session["port"]))


def _fields(parts: list[Part]) -> dict[str, Any]:
    """The parts' fields as one: mappings merged, of single values the first that says something."""
    merged: dict[str, Any] = {}
    for name in (one.name for one in dataclasses.fields(Part)):
        values = [getattr(part, name) for part in parts]
        if isinstance(values[0], Mapping):
            merged[name] = {key: value for mapping in values for key, value in mapping.items()}
        elif name == "left_overs":
            merged[name] = tuple(sorted({path for paths in values for path in paths}))
        else:
            merged[name] = next((value for value in values if value), values[0])
    return merged
