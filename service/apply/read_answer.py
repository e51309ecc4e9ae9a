"""A collector's answer → what is known of the host. Pure: no clock, no connection.

    parse(answer, nonce, watch, host, observed_at) -> HostObserved
    read_answer(answer, nonce, watch, host, observed_at, before=None) -> Reading

What a section feeds is Unknown, with the reason, when the section is missing, cut, garbled, or its program failed; it
is Absent only where the host said so. `before` is the Reading of the same host and watch: a section whose digest is
the same is not read again.
"""

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from service.apply import read_files, read_network, read_system
from service.apply.frames import Section, Sections, digest, sections
from service.apply.part import Part, Reader, Unreadable
from service.model.observed import HostObserved, ManagementPath, Watch
from service.model.states import Absent, Json, Observed, Seen, Unknown
from service.model.trees import shown

READERS: tuple[Reader, ...] = (*read_network.READERS, *read_system.READERS, *read_files.READERS)
DIGESTED = tuple(dict.fromkeys(need for reader in READERS for need in reader.needs if need != "again"))

DNSMASQ = "unit:dnsmasq.service"
_IN_MEMORY = "dnsmasq runs, but its lease file is gone: the leases are in its memory alone, until it stops"
_GARBLED = (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError)
_SESSION = re.compile(
    r"now (?P<now>\d{9,11}\.\d{1,9})\nuptime (?P<uptime>\d{1,10}\.\d{1,3})\n"
    r"connection(?: (?P<client>[0-9A-Fa-f.:%]+) \d+ (?P<server>[0-9A-Fa-f.:%]+) (?P<port>\d{1,5}))?\s*"
)


@dataclass(frozen=True, slots=True)
class Reading:
    """An observation, with its parts by the digests of what they were read from."""

    observed: HostObserved
    watch: Watch
    parts: Mapping[str, tuple[tuple[str, ...], Part]]
    booted_at_s: float | None = None


def parse(answer: bytes, nonce: str, watch: Watch, host: str, observed_at: datetime) -> HostObserved:
    """What an answer says about a host."""
    return read_answer(answer, nonce, watch, host, observed_at).observed


def read_answer(
    answer: bytes, nonce: str, watch: Watch, host: str, observed_at: datetime, *, before: Reading | None = None
) -> Reading:
    """As `parse`, reusing what did not change since `before`."""
    found = sections(answer, nonce)
    digests = {name: digest(section) for name, section in found.whole.items()}
    known = before.parts if before and before.watch == watch else {}
    parts: dict[str, tuple[tuple[str, ...], Part]] = {}
    for reader in READERS:
        key = tuple(digests.get(need, "") for need in reader.needs)
        old = known.get(reader.name)
        parts[reader.name] = old if old and old[0] == key and all(key) else (key, _read(reader, found, watch))
    fields = _fields([part for _, part in parts.values()])
    session = _session(found)
    booted_at_s = _booted_at_s(session, str(fields["boot_id"]), before)
    entered = fields.pop("entered_s")
    if isinstance(fields["leases"], Absent) and _runs(fields["facts"].get(DNSMASQ)):
        fields["leases"] = Unknown(_IN_MEMORY)
    observed = HostObserved(
        host=host,
        observed_at=observed_at,
        path=_path(session),
        started_at_s={} if booted_at_s is None else {name: booted_at_s + s for name, s in entered.items()},
        digests={name: digests[name] for name in DIGESTED if name in digests},
        **fields,
    )
    return Reading(observed, watch, parts, booted_at_s)


def _read(reader: Reader, found: Sections, watch: Watch) -> Part:
    needed: dict[str, Section] = {}
    for name in reader.needs:
        section = found.get(name)
        if isinstance(section, Unknown):
            return reader.unread(section.why, watch)
        needed[name] = section
    try:
        return reader.read(needed, watch)
    except Unreadable as why:
        return reader.unread(str(why), watch)
    except _GARBLED as error:
        return reader.unread(f"{reader.name}: the host's answer is garbled ({shown(str(error), 80)})", watch)


def _session(found: Sections) -> re.Match[str] | None:
    section = found.get("session")
    return None if isinstance(section, Unknown) else _SESSION.fullmatch(section.text())


def _booted_at_s(session: re.Match[str] | None, boot_id: str, before: Reading | None) -> float | None:
    """When the host booted, on its wall clock as it stands now. Kept from before while it moves by less than a
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
    for name in (field.name for field in dataclasses.fields(Part)):
        values = [getattr(part, name) for part in parts]
        if isinstance(values[0], Mapping):
            merged[name] = {key: value for mapping in values for key, value in mapping.items()}
        elif name == "left_overs":
            merged[name] = tuple(sorted({path for paths in values for path in paths}))
        else:
            merged[name] = next((value for value in values if value), values[0])
    return merged
