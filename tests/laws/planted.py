"""A kind that wants a secret on every host, and a search for it in what the service says."""

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.kinds.claims import Claim
from service.model.observed import Watch
from service.model.secret import Seal, Secret
from service.resources.files import OwnFile
from service.resources.resource import Resource
from service.resources.secret_files import SecretFile
from service.spec.findings import Hit, LintRule
from service.spec.host import HostSpec

PATH = "/etc/passerelle/planted.key"
OLD, NEW = b"OldPlantedSecret-4711\n", b"NewPlantedSecret-0815\n"
SEAL = Seal(Secret(b"a key of the service, 32 bytes.."))


@dataclass(eq=False)
class Planted:
    """One file with a secret in it. `is_marked` says so; without it the same file is one like any other."""

    content: bytes | None
    is_marked: bool = True
    name: str = "planted"
    section: Any = Mapping[str, str]
    rules: tuple[LintRule, ...] = ()

    def lint(self, section: Any, host: HostSpec, claims: Sequence[Claim]) -> Iterator[Hit]:
        yield from ()

    def lint_fleet(self, hosts: Mapping[str, HostSpec]) -> Iterator[tuple[str, Hit]]:
        yield from ()

    def claims(self, section: Any) -> Iterator[Claim]:
        yield from ()

    def desire(self, section: Any, host: HostSpec, claims: Sequence[Claim]) -> Iterator[Resource]:
        if self.is_marked:
            yield SecretFile(self.name, PATH, None if self.content is None else Secret(self.content), SEAL)
        else:
            yield OwnFile(self.name, PATH, self.content, "modules", mode="0600")

    def watch(self) -> Watch:
        return Watch()


def told(text: str | bytes) -> set[str]:
    """In which ways a text says a planted secret: as it is, in base64, in hex, by its digest."""
    data = text.encode("utf-8", "replace") if isinstance(text, str) else text
    ways: dict[str, bytes] = {}
    for content in (OLD, NEW):
        plain = content.strip()
        ways |= {
            f"{plain!r}": plain,
            f"{plain!r} in hex": plain.hex().encode(),
            f"the digest of {plain!r}": hashlib.sha256(content).hexdigest().encode(),
            f"the digest of {plain!r} in base64": base64.b64encode(hashlib.sha256(content).digest())[:-2],
        }
        for skipped in range(3):  # where it is among other bytes
            whole = len(content[skipped:]) // 3 * 3
            ways[f"{plain!r} in base64, {skipped}"] = base64.b64encode(content[skipped:][:whole])
    return {way for way, needle in ways.items() if needle in data}
