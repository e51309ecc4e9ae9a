"""A commit's tree to its hosts: every file read, checked by itself, then the hosts against each other.

    read_fleet(tree, kinds, known) -> Fleet

Reading is a function of a file's path and bytes, so a file that did not change is not read again (`known`).
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field, create_model

from service.model.trees import BlobEntry, Tree
from service.spec import document, groups, host, shape
from service.spec.findings import (
    WHOLE_FILE,
    Finding,
    Hit,
    LintRule,
    Path,
    Position,
    finding,
    has_errors,
    sorted_findings,
)
from service.spec.host import Head, HostSpec, Shared, SharedFile, nearest

TREE = LintRule("tree", "error", "every entry of hosts/ is a plain file or folder with a plain name")
EMPTY = LintRule("empty", "error", "the repository describes at least one host")
FLEET_MISSING = LintRule("fleet.missing", "error", "fleet.yaml is there and names the format's version")
DUPLICATE_HOST = LintRule("host.duplicate", "error", "a host is described in one file")
DUPLICATE_ADDRESS = LintRule(
    "connection.duplicate-address", "warning", "two hosts are not reached at one address and port"
)

RULES = (
    *document.RULES,
    *shape.RULES,
    *host.RULES,
    TREE,
    EMPTY,
    FLEET_MISSING,
    *groups.RULES,
    DUPLICATE_HOST,
    DUPLICATE_ADDRESS,
)

FLEET_FILE = "fleet.yaml"
NOTHING_SHARED = Shared()

_STAND_INS: dict[str, document.Value] = {
    "host": "unnamed",
    "connection": {
        "address": "192.0.2.1",
        "host_keys": ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "A" * 43,),
        "console": "https://192.0.2.1/",
    },
}


class SpecKind(Protocol):
    """As much of a kind as reading specs needs. Kinds are passed in."""

    name: str
    section: Any
    rules: tuple[LintRule, ...]

    def lint(self, section: Any, host: HostSpec, claims: Sequence[Any]) -> Iterator[Hit]: ...

    def lint_fleet(self, hosts: Mapping[str, HostSpec]) -> Iterator[tuple[str, Hit]]: ...

    def claims(self, section: Any) -> Iterator[Any]: ...


@runtime_checkable
class SharedKind(Protocol):
    """A kind of which fleet.yaml may speak too. Its host section must be valid when empty."""

    shared_section: Any

    def lint_shared(self, section: Any, shared: Shared) -> Iterator[Hit]:
        """What is wrong in fleet.yaml beside the files of groups/ (`shared`); paths start in the section."""
        ...


class FleetSection(BaseModel):
    """fleet.yaml: what holds for all hosts."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    passerelle: int = Field(ge=1, le=1, description="Version of the format: 1.")


@dataclass(frozen=True, slots=True)
class ParsedFile:
    """What one file says, from its path and bytes and those of fleet.yaml and groups/ (`shared_id`) alone. `spec` is
    None where anything is wrong with it, and for what is shared: `shared` of fleet.yaml, `group` of a file of groups/.
    """

    path: str
    blob_id: str
    spec: HostSpec | None = None
    findings: tuple[Finding, ...] = ()
    shared: Shared | None = None
    group: SharedFile | None = None
    shared_id: str = ""


@dataclass(frozen=True, slots=True)
class Fleet:
    """The hosts by name, only those without errors, and every finding. `parsed` by blob id is the next call's `known`.

    With any error the fleet as a whole must not replace a good revision.
    """

    hosts: Mapping[str, HostSpec]
    findings: tuple[Finding, ...]
    parsed: Mapping[str, ParsedFile] = field(default_factory=dict, repr=False, compare=False)

    @property
    def has_errors(self) -> bool:
        """Whether any finding blocks."""
        return has_errors(self.findings)


def read_fleet(tree: Tree, kinds: Sequence[SpecKind], known: Mapping[str, ParsedFile] | None = None) -> Fleet:
    """Read all files of a tree. Never raises for what is in them."""
    found = [Finding(problem.path, *WHOLE_FILE, (), TREE.severity, TREE.id, problem.what) for problem in tree.problems]
    parsed: dict[str, ParsedFile] = {}
    files: list[ParsedFile] = []
    shared, shared_id = NOTHING_SHARED, ""
    for entry in sorted(tree.files.values(), key=lambda entry: _rank(entry.path)):
        file = (known or {}).get(entry.blob_id)
        needs = "" if _rank(entry.path) == 0 else shared_id
        if file is None or (file.path, file.shared_id) != (entry.path, needs):
            file = read_file(entry, kinds, shared, needs)
        if file.group is not None:
            shared = replace(shared, groups=(*shared.groups, file.group))
        if entry.path == FLEET_FILE:
            shared = file.shared or shared
        if _rank(entry.path) < 2:
            shared_id = hashlib.sha256(f"{shared_id} {entry.path} {entry.blob_id}".encode()).hexdigest()
        parsed[entry.blob_id] = file
        files.append(file)
        found.extend(file.findings)
    found.extend(_in_groups(shared, kinds))
    found.extend(_whole_fleet(tree))
    hosts: dict[str, HostSpec] = {}
    for file in files:
        if file.spec is None:
            continue
        first = hosts.setdefault(file.spec.name, file.spec)
        if first is not file.spec:
            hit = DUPLICATE_HOST.hit(("host",), f"{first.file} describes the same host", "keep one of the two files")
            found.append(finding(file.path, file.spec.position(("host",)), hit))
    _name_writers(hosts)
    found.extend(_across(hosts, kinds))
    return Fleet(dict(sorted(hosts.items())), sorted_findings(found), parsed)


def read_file(
    entry: BlobEntry, kinds: Sequence[SpecKind], shared: Shared = NOTHING_SHARED, shared_id: str = ""
) -> ParsedFile:
    """Read one file: of groups/, then fleet.yaml with what those say, then a host's with what is shared."""
    read = document.load(entry.data)
    if entry.path.startswith(groups.FOLDER):
        group, problems = groups.read_group(entry, read, kinds)
        return replace(_parsed(entry, problems), group=group)
    if entry.path == FLEET_FILE:
        return replace(_read_shared(entry, read, kinds, shared), shared_id=shared_id)
    if read.value is None:
        return replace(_parsed(entry, list(read.problems)), shared_id=shared_id)
    return replace(_read_host(entry, read, kinds, shared), shared_id=shared_id)


def claims_of(spec: HostSpec, kinds: Sequence[SpecKind]) -> tuple[Any, ...]:
    """What the sections of a host say to each other, in the order of the kinds."""
    return tuple(
        claim for kind in kinds if kind.name in spec.sections for claim in kind.claims(spec.sections[kind.name])
    )


def all_rules(kinds: Sequence[SpecKind]) -> tuple[LintRule, ...]:
    """Every rule that a finding can name."""
    return (*RULES, *(rule for kind in kinds for rule in kind.rules))


def host_model(kinds: Sequence[SpecKind]) -> type[Head]:
    """The model of a host file: the head and a key for every kind. Its JSON Schema is the format's."""
    return _host_model(tuple(kinds))


@lru_cache(maxsize=8)
def _host_model(kinds: tuple[SpecKind, ...]) -> type[Head]:
    fields: dict[str, Any] = {
        kind.name: (kind.section | None, Field(None, description=_first_line(kind.__doc__))) for kind in kinds
    }
    return create_model("Host", __base__=Head, __doc__="One host: a file below hosts/.", **fields)


def fleet_model(kinds: Sequence[SpecKind]) -> type[FleetSection]:
    """The model of fleet.yaml."""
    return _fleet_model(tuple(kinds))


@lru_cache(maxsize=8)
def _fleet_model(kinds: tuple[SpecKind, ...]) -> type[FleetSection]:
    fields: dict[str, Any] = {
        kind.name: (kind.shared_section | None, Field(None, description=_first_line(kind.__doc__)))
        for kind in kinds
        if isinstance(kind, SharedKind)
    }
    return create_model("Fleet", __base__=FleetSection, __doc__=FleetSection.__doc__, **fields)


def _rank(path: str) -> int:
    """In which order files are read: what others need comes first."""
    return 0 if path.startswith(groups.FOLDER) else 1 if path == FLEET_FILE else 2


def _in_groups(shared: Shared, kinds: Sequence[SpecKind]) -> Iterator[Finding]:
    """The files of groups/ against fleet.yaml and each other."""
    kind = groups.group_kind(kinds)
    places = {group.file: group for group in shared.groups}
    for file, hit in kind.lint_groups(shared) if kind is not None and shared.groups else ():
        yield finding(file, places[file].position(hit.path), hit)


def _read_shared(entry: BlobEntry, read: document.Document, kinds: Sequence[SpecKind], shared: Shared) -> ParsedFile:
    if read.value is None:
        return _parsed(entry, list(read.problems))
    placed = Shared(entry.path, {}, read.places, shared.groups)
    fitted = shape.fit(fleet_model(kinds), read)
    problems = [*read.problems, *fitted.problems]
    sections: dict[str, object] = {}
    for kind in kinds:
        value = getattr(fitted.value, kind.name, None)
        if value is not None and isinstance(kind, SharedKind):
            sections[kind.name] = value
            problems.extend(_place(read, fitted, _below(kind.name, kind.lint_shared(value, placed))))
    return replace(_parsed(entry, problems), shared=Shared(entry.path, sections, read.places, shared.groups))


def _below(name: str, hits: Iterator[Hit]) -> Iterator[Hit]:
    """The hits of a kind with paths from the top of the file."""
    return (Hit((name, *hit.path), hit.severity, hit.rule, hit.what, hit.right) for hit in hits)


def _first_line(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0]


def _read_host(entry: BlobEntry, read: document.Document, kinds: Sequence[SpecKind], shared: Shared) -> ParsedFile:
    fitted = shape.fit(host_model(kinds), read, _STAND_INS)
    problems = [*read.problems, *fitted.problems]
    if fitted.value is None:
        return _parsed(entry, problems)
    sections = {kind.name: value for kind in kinds if (value := getattr(fitted.value, kind.name)) is not None}
    sections |= {kind.name: kind.section() for kind in kinds if kind.name in shared.sections.keys() - sections.keys()}
    spec = HostSpec(
        name=fitted.value.host,
        file=entry.path,
        platform=fitted.value.platform,
        sync=fitted.value.sync,
        connection=fitted.value.connection.connection(),
        sections=sections,
        places=read.places,
        shared=shared,
        checks=tuple(check.probe() for check in fitted.value.checks),
        take_over=fitted.value.take_over,
        cluster=fitted.value.cluster or "",
    )
    whole = not problems
    silent = {rule.id for kind in kinds for rule in kind.rules if rule.by_absence and not whole}
    if ("host",) not in fitted.removed:
        problems.extend(_place(read, fitted, host.lint_head(fitted.value, entry.path)))
    claims = claims_of(spec, kinds)
    for kind in kinds:
        if kind.name not in sections:
            continue
        hits = (hit for hit in kind.lint(sections[kind.name], spec, claims) if hit.rule not in silent)
        problems.extend(_place(read, fitted, _below(kind.name, hits)))
    return _parsed(entry, problems, spec)


def _place(
    read: document.Document, fitted: shape.Fitted[Any], hits: Iterator[Hit]
) -> Iterator[document.DocumentProblem]:
    for hit in hits:
        path = fitted.original(hit.path)
        position: Position = nearest(read.places, path)
        yield document.DocumentProblem(position, Hit(path, hit.severity, hit.rule, hit.what, hit.right))


def _parsed(entry: BlobEntry, problems: list[document.DocumentProblem], spec: HostSpec | None = None) -> ParsedFile:
    found = sorted_findings([finding(entry.path, problem.position, problem.hit) for problem in problems])
    return ParsedFile(entry.path, entry.blob_id, None if has_errors(found) else spec, found)


def _whole_fleet(tree: Tree) -> Iterator[Finding]:
    if FLEET_FILE not in tree.files and not any(p.path == FLEET_FILE for p in tree.problems):
        hit = FLEET_MISSING.hit((), "the file is missing", "add it with the line `passerelle: 1`")
        yield finding(FLEET_FILE, WHOLE_FILE, hit)
    if not any(path.startswith("hosts/") for path in (*tree.files, *(problem.path for problem in tree.problems))):
        yield finding("hosts", WHOLE_FILE, EMPTY.hit((), "the repository describes no host", "add hosts/NAME.yaml"))


def _name_writers(hosts: dict[str, HostSpec]) -> None:
    """Of the hosts of a cluster the first by name writes what is the cluster's."""
    writers: set[str] = set()
    for name in sorted(hosts):
        spec = hosts[name]
        if spec.cluster and spec.cluster in writers:
            hosts[name] = replace(spec, writes_cluster=False)
        writers.add(spec.cluster)


def _across(hosts: Mapping[str, HostSpec], kinds: Sequence[SpecKind]) -> Iterator[Finding]:
    """The hosts against each other."""
    endpoints: dict[tuple[str, int], HostSpec] = {}
    for spec in hosts.values():
        first = endpoints.setdefault((spec.connection.address, spec.connection.port), spec)
        if first is not spec:
            path: Path = ("connection", "address")
            hit = DUPLICATE_ADDRESS.hit(
                path, f"{first.name} ({first.file}) has the same address and port", "correct one of the two"
            )
            yield finding(spec.file, spec.position(path), hit)
    for kind in kinds:
        for name, hit in kind.lint_fleet(hosts):
            spec = hosts[name]
            path = (kind.name, *hit.path)
            placed = Hit(path, hit.severity, hit.rule, hit.what, hit.right)
            yield finding(spec.file, spec.position(path), placed)
