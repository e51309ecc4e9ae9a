"""Watched files: three sections → facts, texts and leases. Pure.

`stat` is looked at before and after the bytes were read: equal looks prove that the bytes, which come as one stream,
belong to the sizes that cut it. A file that changed in between is Unknown until the next observation.
"""

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from service.formats import leases as lease_file
from service.model.observed import Lease, Watch
from service.model.secret import Secret
from service.model.states import Absent, Json, Observed, Seen, Unknown
from service.observe.frames import Section
from service.observe.part import Part, Reader, Unreadable
from service.observe.script import LEFT_OVER_ENDINGS, MAX_BODY_BYTES, MAX_FILE_BYTES, split_watched

_LINE = re.compile(r"f\|([a-z ]+)\|(\d{1,18})\|([0-7]{1,4})\|(\d{1,10})\|(\d{1,10})\|(-?\d{1,12}\.\d{1,9})\|(/.*)")
_MISSING = re.compile(r"stat: cannot statx? '([^']*)': (No such file or directory|Not a directory)")
_FOLDER_MARK = re.compile(r"(odd|many)\|(/.*)")
_CHANGED = "it changed while it was read"
_TYPES = {"symbolic link": "symlink", "directory": "dir"}


@dataclass(frozen=True, slots=True)
class _Look:
    """What `stat` said of one path."""

    path: str
    type: str
    size: int
    mode: str
    uid: int
    gid: int
    mtime_s: float
    line: str

    @property
    def is_plain(self) -> bool:
        return self.type in ("regular file", "regular empty file")


def read_files(found: Mapping[str, Section], watch: Watch) -> Part:
    """file facts, texts, changed_at_s, leases, and left-overs in watched folders."""
    single, folders = split_watched(watch.files)
    before, missing, marked = _looks(found["stat"])
    texts = _texts(before, folders, found["body"], found["again"])
    facts: dict[str, Observed[Json]] = {}
    for look in before:
        if look.path not in folders:
            facts[f"file:{look.path}"] = _fact(look, texts.get(look.path))
    for path in single:
        if path in missing:
            facts[f"file:{path}"] = texts[path] = Absent()
        elif f"file:{path}" not in facts:
            facts[f"file:{path}"] = texts[path] = Unknown(f"`stat` said nothing of {path}")
    looks = {look.path: look for look in before}
    return Part(
        facts={name: without_digest(seen) if name[5:] in watch.secrets else seen for name, seen in facts.items()},
        texts={path: text for path, text in texts.items() if path not in watch.secrets},
        secrets={path: as_secret(text) for path, text in texts.items() if path in watch.secrets},
        unlisted={f"file:{folder}/": _rest(folder, looks, missing, marked) for folder in folders},
        changed_at_s={look.path: look.mtime_s for look in before if look.is_plain},
        left_overs=tuple(p for p in looks if p.endswith(LEFT_OVER_ENDINGS)),
        leases=_leases({path: text for path, text in texts.items() if path not in watch.secrets}),
    )


def as_secret(text: Observed[bytes]) -> Observed[Secret]:
    """The bytes of a file that nobody may see."""
    return Seen(Secret(text.value)) if isinstance(text, Seen) else text


def without_digest(seen: Observed[Json]) -> Observed[Json]:
    """A file's fact without what says its bytes: who knows a digest may try what could be in there."""
    if not isinstance(seen, Seen) or not isinstance(seen.value, dict):
        return seen
    return Seen({name: value for name, value in seen.value.items() if name not in ("sha256", "size")}, seen.where)


def _looks(section: Section) -> tuple[list[_Look], set[str], dict[str, str]]:
    """Looks in the order given, paths that are not there, and folders with something that cannot be known."""
    looks: list[_Look] = []
    missing: set[str] = set()
    marked: dict[str, str] = {}
    for line in section.text().splitlines():
        if parts := _LINE.fullmatch(line):
            size, mode, uid, gid, mtime = parts[2], parts[3], parts[4], parts[5], parts[6]
            looks.append(_Look(parts[7], parts[1], int(size), mode, int(uid), int(gid), float(mtime), line))
        elif gone := _MISSING.fullmatch(line):
            missing.add(gone[1])
        elif mark := _FOLDER_MARK.fullmatch(line):
            marked[mark[2]] = mark[1]
    return looks, missing, marked


def _sent(looks: list[_Look]) -> Iterator[_Look]:
    """The files whose bytes the script sends: plain, each and together within bounds."""
    total = 0
    for look in looks:
        if look.is_plain and look.size <= MAX_FILE_BYTES and total + look.size <= MAX_BODY_BYTES:
            total += look.size
            yield look


def spans_of(paths: Collection[str], stat: Section, body: Section) -> list[tuple[int, int]]:
    """Where the bytes of these files are in `body`, (first, one after the last). If files changed while they were sent,
    their borders are unknown, and none of them is read.
    """
    spans, start = [], 0
    for look in _sent(_looks(stat)[0]):
        if look.path in paths:
            spans.append((start, start + look.size))
        start += look.size
    return spans if body.status == 0 and start == len(body.body) else [(0, len(body.body))]


def _texts(looks: list[_Look], folders: list[str], body: Section, again: Section) -> dict[str, Observed[bytes]]:
    texts: dict[str, Observed[bytes]] = {}
    after = set(again.text().splitlines())
    sent = list(_sent(looks))
    whole = body.status == 0 and len(body.body) == sum(look.size for look in sent)
    start = 0
    for look in sent:
        steady = whole and look.line in after
        texts[look.path] = Seen(body.body[start : start + look.size]) if steady else Unknown(_CHANGED)
        start += look.size
    for look in looks:
        if look.path in folders:
            continue
        if look.is_plain and look.path not in texts:
            limit = f"at most {MAX_FILE_BYTES >> 20} MiB a file and {MAX_BODY_BYTES >> 20} MiB in all are read"
            texts[look.path] = Unknown(f"it has {look.size} bytes; {limit}")
        elif not look.is_plain:
            texts[look.path] = Unknown(f"it is not a plain file but a {look.type}")
    return texts


def _fact(look: _Look, text: Observed[bytes] | None) -> Observed[Json]:
    if not look.is_plain:
        return Seen({"type": _TYPES.get(look.type, "special")})
    if not isinstance(text, Seen):
        return text or Unknown(_CHANGED)
    digest = hashlib.sha256(text.value).hexdigest()
    mode = look.mode.rjust(4, "0")
    return Seen({"sha256": digest, "mode": mode, "uid": look.uid, "gid": look.gid, "size": look.size})


def _rest(folder: str, looks: Mapping[str, _Look], missing: set[str], marked: Mapping[str, str]) -> Observed[Json]:
    """What holds for files of a watched folder that are not listed."""
    if folder in marked:
        what = "a file whose name cannot be read" if marked[folder] == "odd" else "too many files"
        return Unknown(f"{folder} holds {what}")
    if folder in missing or (folder in looks and looks[folder].type == "directory"):
        return Absent()
    return Unknown(f"{folder} is not a folder, or could not be read")


def _leases(texts: Mapping[str, Observed[bytes]]) -> Observed[tuple[Lease, ...]]:
    """The leases of every watched lease file; dnsmasq's are known by their name."""
    files = {path: text for path, text in texts.items() if "lease" in path.rpartition("/")[2]}
    if not files:
        return Unknown("no lease file was looked at")
    leases: list[Lease] = []
    for path in sorted(files):
        text = files[path]
        if isinstance(text, Unknown):
            return Unknown(f"{path}: {text.why}")
        if isinstance(text, Seen):
            file = lease_file.parse(text.value, path)
            if not file.complete:
                return Unknown(f"{path}: it was cut short while it was read")
            leases += file.leases
    return Seen(tuple(leases)) if any(isinstance(text, Seen) for text in files.values()) else Absent()


def _unread(why: str, watch: Watch) -> Part:
    single, folders = split_watched(watch.files)
    facts: dict[str, Observed[Json]] = {f"file:{path}": Unknown(why) for path in single}
    texts: dict[str, Observed[bytes]] = {path: Unknown(why) for path in single}
    unlisted: dict[str, Observed[Json]] = {f"file:{folder}/": Unknown(why) for folder in folders}
    return Part(
        facts=facts,
        texts={path: text for path, text in texts.items() if path not in watch.secrets},
        secrets={path: Unknown(why) for path in watch.secrets},
        unlisted=unlisted,
        leases=Unknown(why),
    )


READERS = (Reader("files", ("stat", "body", "again"), read_files, _unread),)

__all__ = ["READERS", "Unreadable", "read_files"]
