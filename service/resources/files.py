"""Files that are wholly ours: compared by what they mean to their reader, and by mode and owner."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from service.formats import meanings
from service.model.changes import Difference
from service.model.facts import Step
from service.model.observed import HostObserved, Watch
from service.model.states import Absent, Json, Observed, Seen
from service.resources.resource import (
    Compared,
    Contribution,
    Phase,
    Resource,
    Wishes,
    field_difference,
    field_of,
    op_of,
)

FORMATS: Mapping[str, Callable[[bytes], Mapping[str, Json]]] = {
    "dnsmasq": meanings.of_dnsmasq,
    "exact": meanings.of_exact,
    "dhcp-hosts": meanings.of_dhcp_hosts,
    "modules": meanings.of_modules,
    "jails": meanings.of_jails,
    "nft": meanings.of_nft,
    "sysctl": meanings.of_sysctl,
    "unit": meanings.of_unit,
}
"""What a file means to the program that reads it, field by field; a comment or a blank is not a difference."""


@dataclass(frozen=True)
class OwnFile:
    """A file of ours. `content` None = wanted absent. `format` names its reader in `FORMATS`."""

    kind: str = field(compare=False)
    path: str
    content: bytes | None
    format: str
    mode: str = "0644"
    phase: int = Phase.FILE
    on_confirm: bool = False
    check: str = ""
    cause: str = field(default="", compare=False)
    gid: int = 0

    @property
    def id(self) -> str:
        return f"file:{self.path}"

    def wishes(self) -> Wishes:
        if self.content is None:
            return {}
        fields = {**self.meaning(self.content), "file": "present", "mode": self.mode, "owner": f"0:{self.gid}"}
        return {(self.path, field, "file"): want for field, want in fields.items()}

    def meaning(self, content: bytes) -> Mapping[str, Json]:
        """What the file says to its reader."""
        return FORMATS[self.format](content)

    def beside(self, there: Observed[bytes]) -> bytes | None:
        """What is written where a file is already there."""
        return self.content

    def watch(self) -> Watch:
        return Watch(files=frozenset({self.path}))

    def differences(self, observed: HostObserved) -> Iterator[Difference]:
        seen, text = observed.fact(self.id), observed.text(self.path)
        if self.content is None:
            if not isinstance(seen, Absent):
                present: Observed[Json] = Seen("present") if isinstance(seen, Seen) else seen
                yield from field_difference(self, self.path, "file", "file", None, present, cause=self.cause)
            return
        if not isinstance(seen, Seen) or not isinstance(text, Seen):
            missing: Observed[Json] = (
                seen if not isinstance(seen, Seen) else (text if not isinstance(text, Seen) else Seen(""))
            )
            yield from field_difference(self, self.path, "file", "file", "present", missing, cause=self.cause)
            return
        want, have = self.meaning(self.content), self.meaning(text.value)
        for name in [*want, *(name for name in have if name not in want)]:
            if want.get(name) != have.get(name):
                op = op_of(want.get(name), have.get(name))
                yield Difference(
                    self.kind, self.path, name, "file", op, want.get(name), have.get(name), cause=self.cause
                )
        yield from mode_differences(self, self.path, self.mode, seen, self.gid)

    @classmethod
    def steps(cls, compared: Sequence[Compared[Self]], observed: HostObserved) -> Contribution:
        steps: list[tuple[int, Step]] = []
        blobs: dict[str, bytes] = {}
        checks: list[tuple[str, str]] = []
        for file, different in compared:
            if not different or any(d.unknown for d in different):
                continue
            why = f"{file.kind}: {file.path}: {', '.join(d.field for d in different[:6])}"
            content = file.beside(observed.text(file.path))
            steps.append(
                (file.phase, file_step(file.path, content, file.mode, observed, why, file.on_confirm, file.gid))
            )
            if content is not None:
                blobs[sha256(content)] = content
                if file.check:
                    checks.append((file.check, file.path))
        return Contribution(steps=tuple(steps), blobs=blobs, checks=tuple(checks))


def sha256(content: bytes) -> str:
    """The hex digest that names a blob."""
    return hashlib.sha256(content).hexdigest()


def file_step(
    path: str,
    content: bytes | None,
    mode: str,
    observed: HostObserved,
    why: str,
    on_confirm: bool = False,
    gid: int = 0,
) -> Step:
    """The step that writes or removes a whole file."""
    seen = observed.fact(f"file:{path}")
    before: Json = None
    if isinstance(seen, Seen) and isinstance(seen.value, dict):
        before = {name: seen.value[name] for name in ("sha256", "mode", "uid", "gid") if name in seen.value}
    after: Json = None
    if content is not None:
        after = {"sha256": sha256(content), "mode": mode, "uid": 0, "gid": gid}
    return Step(f"file:{path}", before, after, why, on_confirm=on_confirm)


def mode_differences(
    resource: Resource, path: str, mode: str, seen: Observed[Json], wanted_gid: int = 0
) -> Iterator[Difference]:
    """Mode and owner of a file that is there."""
    yield from field_difference(resource, path, "mode", "file", mode, field_of(seen, "mode"))
    uid, gid = field_of(seen, "uid"), field_of(seen, "gid")
    owner: Observed[Json] = Seen(f"{uid.value}:{gid.value}") if isinstance(uid, Seen) and isinstance(gid, Seen) else uid
    yield from field_difference(resource, path, "owner", "file", f"0:{wanted_gid}", owner)


@dataclass(frozen=True, slots=True)
class FileMode:
    """The mode and owner of a file whose text others write too (the interfaces file)."""

    kind: str = field(compare=False)
    path: str
    mode: str = "0644"

    @property
    def id(self) -> str:
        return f"mode:{self.path}"

    def wishes(self) -> Wishes:
        return {(self.path, "mode", "file"): self.mode, (self.path, "owner", "file"): "0:0"}

    def watch(self) -> Watch:
        return Watch(files=frozenset({self.path}))

    def differences(self, observed: HostObserved) -> Iterator[Difference]:
        seen = observed.fact(f"file:{self.path}")
        if not isinstance(seen, Absent):
            yield from mode_differences(self, self.path, self.mode, seen)

    @classmethod
    def steps(cls, compared: Sequence[Compared[Self]], observed: HostObserved) -> Contribution:
        steps: list[tuple[int, Step]] = []
        blobs: dict[str, bytes] = {}
        for resource, different in compared:
            text = observed.text(resource.path)
            if different and not any(d.unknown for d in different) and isinstance(text, Seen):
                why = f"{resource.kind}: {resource.path}: {', '.join(d.field for d in different)}"
                steps.append((Phase.FILE, file_step(resource.path, text.value, resource.mode, observed, why)))
                blobs[sha256(text.value)] = text.value
        return Contribution(steps=tuple(steps), blobs=blobs)
