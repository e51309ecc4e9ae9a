"""What was read of a host's file, kept across starts.

    read_host(kept, entry, kinds, around, needs) -> ParsedFile      as read_file does

What is kept is JSON: findings, comments, and the values with their places. The values go through the models again when
they are read back, so a `HostSpec` is never made of anything else. The rules do not run again, because their findings
are kept. What does not fit is read from the file again.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, ValidationError

from service.model.trees import BlobEntry
from service.spec import document
from service.spec.document import Value
from service.spec.findings import Finding, Path, Position, Severity
from service.spec.host import Head
from service.spec.ignoring import Comment
from service.spec.merging import merged
from service.spec.models import SpecKind, host_model
from service.spec.reading import Around, ParsedFile, read_file, spec_of


class Kept(Protocol):
    """Bytes by key. What is kept is of the same code."""

    def get(self, key: str) -> bytes | None: ...

    def put(self, key: str, content: bytes) -> None: ...


_Found = tuple[str, int, int, Path, Severity, str, str, str]
_Comment = tuple[int, int, int, str, str, int]


class _File(BaseModel):
    """A `ParsedFile` of a host, without what the caller knows. `value` and `places` are those of the file and of what
    it shares with others; `value` is None where no spec could be made. `sources` has the number of a layer for a path.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    findings: tuple[_Found, ...]
    elsewhere: tuple[_Found, ...]
    comments: tuple[_Comment, ...]
    value: dict[str, Any] | None
    places: str
    sources: tuple[tuple[int, Path], ...]


@dataclass(frozen=True)
class Places(Mapping[Path, Position]):
    """Positions by path, written as JSON: most hosts have no finding, so nobody looks at theirs. There are hundreds of
    them in each file. Those that cannot be read are none."""

    text: str

    @cached_property
    def _positions(self) -> dict[Path, Position]:
        try:
            return {tuple(path): (line, col) for line, col, *path in json.loads(self.text)}
        except (TypeError, ValueError, RecursionError):
            return {}

    def __getitem__(self, path: Path) -> Position:
        return self._positions[path]

    def __iter__(self) -> Iterator[Path]:
        return iter(self._positions)

    def __len__(self) -> int:
        return len(self._positions)


def read_host(kept: Kept, entry: BlobEntry, kinds: Sequence[SpecKind], around: Around, needs: str) -> ParsedFile:
    """Read a host's file, from what is kept where it is there. `needs` says what else it depends on."""
    key = " ".join((entry.path, entry.blob_id, needs, *(kind.name for kind in kinds)))
    content = kept.get(key)
    file = _parsed(content, entry, kinds, around, needs) if content is not None else None
    if file is None:
        read = document.load(entry.data)
        file = read_file(entry, kinds, around, needs, read)
        kept.put(key, _kept(file, merged(read, around.layers).document.value, around).model_dump_json().encode())
    return file


def _kept(file: ParsedFile, value: Value, around: Around) -> _File:
    spec = file.spec
    numbers = {(layer.file, layer.top): number for number, layer in enumerate(around.layers)}
    return _File.model_construct(
        findings=tuple(map(_of_finding, file.findings)),
        elsewhere=tuple(map(_of_finding, file.elsewhere)),
        comments=tuple((c.line, c.col, c.for_line, c.rule, c.because, c.others) for c in file.comments),
        value=value if spec is not None and isinstance(value, dict) else None,
        places=json.dumps([[*position, *path] for path, position in spec.places.items()] if spec is not None else []),
        sources=tuple((numbers[place], path) for path, place in spec.sources.items()) if spec is not None else (),
    )


def _parsed(
    content: bytes, entry: BlobEntry, kinds: Sequence[SpecKind], around: Around, needs: str
) -> ParsedFile | None:
    """The same file again; None where the content is not of one."""
    try:
        said = _File.model_validate_json(content)
        head = host_model(kinds).model_validate(_with_tuples(said.value)) if said.value is not None else None
        sources = {path: around.layers[number] for number, path in said.sources}
    except (ValidationError, IndexError, RecursionError):
        return None
    places = Places(said.places)
    return ParsedFile(
        entry.path,
        entry.blob_id,
        spec_of(head, entry, kinds, around.shared, places, sources) if isinstance(head, Head) else None,
        _findings(said.findings),
        shared_id=needs,
        elsewhere=_findings(said.elsewhere),
        comments=tuple(Comment(entry.path, *comment) for comment in said.comments),
    )


def _of_finding(one: Finding) -> _Found:
    return one.file, one.line, one.col, one.path, one.severity, one.rule, one.what, one.right


def _findings(found: Iterable[_Found]) -> tuple[Finding, ...]:
    return tuple(Finding(*one) for one in found)


def _with_tuples(value: Any) -> Any:
    """Lists as the models take them."""
    if isinstance(value, dict):
        return {key: _with_tuples(item) for key, item in value.items()}
    return tuple(map(_with_tuples, value)) if isinstance(value, list) else value
