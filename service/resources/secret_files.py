"""Files of ours whose content nobody may see: keys, passwords, certificates' private halves.

The plan, its digest, the database and every reader get a mark in place of the content (service/model/secret.py): an
approval still means these very bytes. Only the document for the host has the bytes (service/apply/document.py).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self

from service.model.changes import Difference
from service.model.facts import Step
from service.model.observed import HostObserved, Watch
from service.model.secret import Seal, Secret
from service.model.states import Absent, Json, Observed, Seen
from service.resources.files import mode_differences
from service.resources.resource import Compared, Contribution, Phase, Wishes, field_difference

FOR_OTHERS = 0o007


@dataclass(frozen=True)
class SecretFile:
    """A file of ours with a secret in it, compared byte for byte. `content` None = wanted absent; then, too, what is
    there is read as a secret. `seal` marks the content for people. Nobody but its owner and group may have rights."""

    kind: str = field(compare=False)
    path: str
    content: Secret | None
    seal: Seal
    mode: str = "0600"
    gid: int = 0
    phase: int = Phase.FILE
    cause: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if int(self.mode, 8) & FOR_OTHERS:
            raise ValueError(f"{self.path} is a secret, and mode {self.mode} shows it to everybody")

    @property
    def id(self) -> str:
        return f"file:{self.path}"

    def wishes(self) -> Wishes:
        if self.content is None:
            return {}
        fields = {"content": self.seal.mark(self.content), "file": "present", "mode": self.mode}
        return {(self.path, name, "file"): want for name, want in {**fields, "owner": f"0:{self.gid}"}.items()}

    def watch(self) -> Watch:
        return Watch(files=frozenset({self.path}), secrets=frozenset({self.path}))

    def differences(self, observed: HostObserved) -> Iterator[Difference]:
        seen, held = observed.fact(self.id), observed.secret(self.path)
        if self.content is None or not isinstance(seen, Seen) or not isinstance(held, Seen):
            there: Observed[Json] = Seen("present") if isinstance(seen, Seen) else seen
            if self.content is not None and isinstance(seen, Seen):  # it is there, and cannot be read
                there = Seen("") if isinstance(held, Seen | Absent) else held
            want = None if self.content is None else "present"
            yield from field_difference(self, self.path, "file", "file", want, there, cause=self.cause)
            return
        want, have = self.seal.mark(self.content), self.seal.mark(held.value)
        yield from field_difference(self, self.path, "content", "file", want, Seen(have), cause=self.cause)
        yield from mode_differences(self, self.path, self.mode, seen, self.gid)

    @classmethod
    def steps(cls, compared: Sequence[Compared[Self]], observed: HostObserved) -> Contribution:
        steps: list[tuple[int, Step]] = []
        secrets: dict[str, Secret] = {}
        for file, different in compared:
            if not different or any(d.unknown for d in different):
                continue
            held, seen = observed.secret(file.path), observed.fact(file.id)
            before: Json = None
            after: Json = None
            if isinstance(held, Seen) and isinstance(seen, Seen) and isinstance(seen.value, dict):
                secrets[mark := file.seal.mark(held.value)] = held.value
                before = {"mark": mark, **{name: seen.value[name] for name in ("mode", "uid", "gid")}}
            if file.content is not None:
                secrets[mark := file.seal.mark(file.content)] = file.content
                after = {"mark": mark, "mode": file.mode, "uid": 0, "gid": file.gid}
            why = f"{file.kind}: {file.path}: {', '.join(d.field for d in different)}"
            steps.append((file.phase, Step(file.id, before, after, why)))
        return Contribution(steps=tuple(steps), secrets=secrets)
