"""Values that several hosts share: `defaults` of fleet.yaml, and files of groups/ that list hosts.

    defaults_of(read, model) -> (Layer | None, problems)
    read_host_group(entry, read, model) -> (Layer | None, problems)
    Members(layers).of(host) -> those that hold for a host, the weakest first

The order: `defaults`, then the groups by the names of their files, then the host's own file. A mapping is merged key by
key; anything else, also a list, is replaced as a whole (`service.spec.merging`).
"""

import difflib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from service.model.trees import BlobEntry, quoted
from service.spec import shape
from service.spec.document import Document, DocumentProblem
from service.spec.findings import WHOLE_FILE, Finding, Hit, LintRule, Path, Position, finding
from service.spec.grammar import HostName, text, wrong
from service.spec.host import nearest

DEFAULTS = "defaults"
VALUES = "values"
HOSTS = "hosts"

FILE_NAME = LintRule("host-group.file-name", "error", "`group` is the name of the file without its ending")
OWN_KEY = LintRule("shared.own-key", "error", "defaults and groups have no key that belongs to one host alone")
UNKNOWN_HOST = LintRule("host-group.unknown-host", "error", "a group lists hosts that are in hosts/")
NO_MATCH = LintRule("host-group.no-match", "warning", "a pattern of a group matches a host")
TOO_MANY = LintRule("host-group.too-many", "error", "groups have a bounded number of patterns and of values")
RULES = (FILE_NAME, OWN_KEY, UNKNOWN_HOST, NO_MATCH, TOO_MANY)

MAX_PATTERNS = 200
"""Of all groups together: each is compared with each host."""
MOST_COMPARED = 1000
"""Hosts among which a name that is meant is looked for."""
MAX_INHERITED = 4_000_000
"""Values that all hosts together take from defaults and groups: 400 each for 10,000 hosts."""

OWN_KEYS: Mapping[Path, str] = {
    ("host",): "write it in the host's own file",
    ("renamed_from",): "write it in the host's own file",
    ("connection", "allow_management_change"): "write it in the host's own file; it counts in one commit only",
}
"""What belongs to one host, and what to do instead."""

_PATTERN = re.compile(r"[a-z0-9*?](?:[a-z0-9*?-]{0,61}[a-z0-9*?])?")


@dataclass(frozen=True, slots=True)
class Layer:
    """Values for the hosts that `hosts` names or matches. The values are below the key `top` of `file`, where the paths
    of `document` begin; `places` are those of the whole file."""

    file: str
    top: Path
    document: Document = field(repr=False)
    hosts: tuple[str, ...] = ("*",)
    blob_id: str = ""
    places: Mapping[Path, Position] = field(default_factory=dict, repr=False)


class Members:
    """Which layers hold for which host. `layers` come weakest first."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self.layers = layers
        self._named: dict[str, list[int]] = {}
        self._matched: list[tuple[str, int]] = []
        for number, layer in enumerate(layers):
            for name in layer.hosts:
                if is_pattern(name):
                    self._matched.append((name, number))
                else:
                    self._named.setdefault(name, []).append(number)

    def of(self, host: str) -> tuple[Layer, ...]:
        """The layers of a host, the weakest first."""
        matched = (number for word, number in self._matched[:MAX_PATTERNS] if fnmatchcase(host, word))
        return tuple(self.layers[number] for number in sorted({*self._named.get(host, ()), *matched}))

    def lint(self, hosts: Collection[str]) -> Iterator[Finding]:
        """Names that no file of hosts/ has, patterns that match none, and more than is read."""
        hosts = frozenset(hosts)
        if len(self._matched) > MAX_PATTERNS:
            layer = self.layers[self._matched[MAX_PATTERNS][1]]
            what = f"the groups have more than {MAX_PATTERNS} patterns in all"
            place = layer.places.get((HOSTS,), WHOLE_FILE)
            yield finding(layer.file, place, TOO_MANY.hit((HOSTS,), what, "write the names of the hosts"))
            return
        known = sorted(hosts)[:MOST_COMPARED]
        for layer in self.layers:
            for index, name in enumerate(layer.hosts):
                path = (HOSTS, index)
                if path in layer.places and (hit := _member_hit(path, name, hosts, known)):
                    yield finding(layer.file, layer.places[path], hit)


def is_pattern(name: str) -> bool:
    """Whether an entry of `hosts` is a pattern."""
    return "*" in name or "?" in name


def _member_hit(path: Path, name: str, hosts: frozenset[str], known: Sequence[str]) -> Hit | None:
    if is_pattern(name):
        if any(fnmatchcase(host, name) for host in hosts):
            return None
        return NO_MATCH.hit(path, f"`{name}` matches no host", "correct it, or remove it")
    if name in hosts:
        return None
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    right = f"write `{close[0]}`, if you mean that" if close else "remove it, or add its file to hosts/"
    return UNKNOWN_HOST.hit(path, f"no file of hosts/ describes `{name}`", right)


def _check_pattern(value: str) -> str:
    if not _PATTERN.fullmatch(value):
        wrong(f"{quoted(value)} is not a host name or a pattern", "write it as in pve1 or pve-paris-*")
    return value


HostPattern = Annotated[
    str,
    *text(
        _check_pattern,
        {"pattern": f"^{_PATTERN.pattern}$", "examples": ["pve1"]},
        "a host name, or a pattern with * and ?",
    ),
]


class HostGroupFile(BaseModel):
    """A file of groups/ that lists hosts: values that these hosts share."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    group: HostName = Field(description="The group's name; the same as the file's name without its ending.")
    comment: Annotated[str, Field(max_length=256)] | None = Field(None, description="For people.")
    hosts: Annotated[tuple[HostPattern, ...], Field(min_length=1, max_length=10_000)] = Field(
        description="The hosts that have these values: names, or patterns with * and ?."
    )
    values: Mapping[str, Any] = Field(
        description="Keys as in a host's file. They override `defaults` of fleet.yaml and groups whose names come "
        "earlier; the host's own file overrides them."
    )


def is_host_group(read: Document) -> bool:
    """Whether a file of groups/ lists hosts. The others hold rules of the firewall under a name."""
    return read.value is not None and (HOSTS in read.value or VALUES in read.value)


def defaults_of(entry: BlobEntry, read: Document, model: type[BaseModel]) -> tuple[Layer | None, list[DocumentProblem]]:
    """What fleet.yaml says for every host; None where it says nothing of the kind."""
    below = _below(read, (DEFAULTS,))
    if below is None:
        return None, []
    return Layer(entry.path, (DEFAULTS,), below, blob_id=entry.blob_id), _problems(below, (DEFAULTS,), model)


def read_host_group(
    entry: BlobEntry, read: Document, model: type[BaseModel]
) -> tuple[Layer | None, list[DocumentProblem]]:
    """A file of groups/ that lists hosts; None where nothing can be made of it."""
    fitted = shape.fit(HostGroupFile, read)
    problems = [*read.problems, *fitted.problems]
    below = _below(read, (VALUES,))
    if fitted.value is None or below is None:
        return None, problems
    stem, group = PurePosixPath(entry.path).stem, fitted.value
    if group.group != stem:
        right = f"write `group: {stem}`, or name the file {group.group}.yaml"
        hit = FILE_NAME.hit(("group",), f"the group is `{group.group}` in a file named {stem}", right)
        problems.append(DocumentProblem(nearest(read.places, ("group",)), hit))
    problems += _problems(below, (VALUES,), model)
    return Layer(entry.path, (VALUES,), below, group.hosts, entry.blob_id, read.places), problems


def _problems(below: Document, top: Path, model: type[BaseModel]) -> list[DocumentProblem]:
    """What is wrong with values in themselves. A key may be missing, because other files may have it."""
    wrong = shape.problems_of_part(model, below)
    found = [DocumentProblem(problem.position, _lowered(problem.hit, top)) for problem in wrong]
    for path, right in OWN_KEYS.items():
        if path in below.keys:
            hit = OWN_KEY.hit((*top, *path), "the key belongs to one host", right)
            found.append(DocumentProblem(below.keys[path], hit))
    return found


def _lowered(hit: Hit, top: Path) -> Hit:
    return Hit((*top, *hit.path), hit.severity, hit.rule, hit.what, hit.right)


def _below(read: Document, top: Path) -> Document | None:
    """The part of a document below a key, as a document of its own; None where there is no mapping."""
    value = (read.value or {}).get(str(top[0]))
    if not isinstance(value, dict):
        return None
    at = len(top)

    def inside(path: Path) -> bool:
        return path[:at] == top

    return Document(
        value,
        {path[at:]: position for path, position in read.places.items() if inside(path)},
        {path[at:]: position for path, position in read.keys.items() if inside(path) and len(path) > at},
        (),
        frozenset(path[at:] for path in read.spoiled if inside(path)),
        frozenset(path[at:] for path in read.gaps if inside(path)),
    )
