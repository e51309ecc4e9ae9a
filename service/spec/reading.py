"""One file of a repository on its own: its values, or what is wrong with it and where.

    read_file(entry, kinds, around, members) -> ParsedFile

`around` is what was read before: the files of groups/ for fleet.yaml, both of them for a host's file.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from service.model.trees import BlobEntry
from service.spec import document, groups, host, layers, rollout, shape
from service.spec.document import Document, DocumentProblem
from service.spec.findings import Finding, Hit, Path, Position, finding, has_errors, sorted_findings
from service.spec.host import HostSpec, Shared, SharedFile, nearest
from service.spec.ignoring import Comment, comments_of
from service.spec.layers import Layer
from service.spec.merging import Merged, merged
from service.spec.models import SharedKind, SpecKind, claims_of, fleet_model, host_model
from service.spec.rollout import RolloutSection
from service.spec.windows import lint_windows

FLEET_FILE = "fleet.yaml"
HOSTS_FOLDER = "hosts/"
NOTHING_SHARED = Shared()

_STAND_INS: dict[str, document.Value] = {
    "host": "unnamed",
    "connection": {
        "address": "192.0.2.1",
        "host_keys": ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "A" * 43,),
        "console": "https://192.0.2.1/",
    },
}


@dataclass(frozen=True, slots=True)
class ParsedFile:
    """What one file says, from its path and bytes and those of fleet.yaml and groups/ (`shared_id`) alone. `spec` is
    None where anything is wrong with it, and for what is shared: `shared` and `rollout` of fleet.yaml, `group` of a
    file of groups/, `layer` of either.

    `elsewhere` are findings about this host in a file that it shares with others. `is_broken` says of a shared file
    that it could not be read, so that values for hosts may be missing.
    """

    path: str
    blob_id: str
    spec: HostSpec | None = None
    findings: tuple[Finding, ...] = ()
    shared: Shared | None = None
    group: SharedFile | None = None
    shared_id: str = ""
    layer: Layer | None = None
    elsewhere: tuple[Finding, ...] = ()
    is_broken: bool = False
    comments: tuple[Comment, ...] = ()
    rollout: RolloutSection | None = None


@dataclass(frozen=True, slots=True)
class Around:
    """What surrounds a host's file: what fleet.yaml and groups/ say, and the values that the host shares with others.
    `is_broken`: some of these could not be read, so a missing key is not reported."""

    shared: Shared = NOTHING_SHARED
    layers: tuple[Layer, ...] = ()
    is_broken: bool = False


NOTHING_AROUND = Around()


def read_file(
    entry: BlobEntry,
    kinds: Sequence[SpecKind],
    around: Around = NOTHING_AROUND,
    shared_id: str = "",
    read: Document | None = None,
) -> ParsedFile:
    """Read one file: of groups/, then fleet.yaml with what those say, then a host's with what is shared. `read` is its
    document, if there is one already."""
    read = read or document.load(entry.data)
    comments = comments_of(entry.path, entry.data) if read.value is not None else ()
    return replace(_parsed_file(entry, read, kinds, around), shared_id=shared_id, comments=comments)


def _parsed_file(entry: BlobEntry, read: Document, kinds: Sequence[SpecKind], around: Around) -> ParsedFile:
    if entry.path.startswith(groups.FOLDER):
        return _read_in_groups(entry, read, kinds)
    if entry.path == FLEET_FILE:
        return _read_fleet(entry, read, kinds, around.shared)
    if read.value is None:
        return _parsed(entry, list(read.problems))
    return _read_host(entry, read, kinds, around)


def host_of(path: str) -> str:
    """The name of the host that a file of hosts/ is for: the file's, without its ending."""
    return path.rpartition("/")[2].rpartition(".")[0]


def _read_in_groups(entry: BlobEntry, read: Document, kinds: Sequence[SpecKind]) -> ParsedFile:
    if layers.is_host_group(read):
        layer, problems = layers.read_host_group(entry, read, host_model(kinds))
        return replace(_parsed(entry, problems), layer=layer, is_broken=layer is None)
    group, problems = groups.read_group(entry, read, kinds)
    return replace(_parsed(entry, problems), group=group, is_broken=read.value is None)


def _read_fleet(entry: BlobEntry, read: Document, kinds: Sequence[SpecKind], shared: Shared) -> ParsedFile:
    if read.value is None:
        return replace(_parsed(entry, list(read.problems)), is_broken=True)
    placed = Shared(entry.path, {}, read.places, shared.groups)
    fitted = shape.fit(fleet_model(kinds), read)
    layer, wrong = layers.defaults_of(entry, read, host_model(kinds))
    problems = [*read.problems, *fitted.problems, *wrong]
    sections: dict[str, object] = {}
    for kind in kinds:
        value = getattr(fitted.value, kind.name, None)
        if value is not None and isinstance(kind, SharedKind):
            sections[kind.name] = value
            problems.extend(_place(read, fitted, _below(kind.name, kind.lint_shared(value, placed))))
    section = fitted.value.rollout if fitted.value is not None else None
    if section is not None:
        problems.extend(_place(read, fitted, rollout.lint_section(section)))
    windows = fitted.value.windows if fitted.value is not None else ()
    problems.extend(_place(read, fitted, _below("windows", lint_windows(windows))))
    made = Shared(entry.path, sections, read.places, shared.groups, tuple(one.window() for one in windows))
    is_broken = layer is None and layers.DEFAULTS in read.value
    return replace(_parsed(entry, problems), shared=made, layer=layer, is_broken=is_broken, rollout=section)


def _read_host(entry: BlobEntry, own: Document, kinds: Sequence[SpecKind], around: Around) -> ParsedFile:
    whole_spec = merged(own, around.layers)
    read, shared = whole_spec.document, around.shared
    fitted = shape.fit(host_model(kinds), read, _STAND_INS)
    problems = [*read.problems, *fitted.problems]
    if around.is_broken:
        problems = [problem for problem in problems if problem.hit.rule != shape.MISSING_KEY.id]
    if fitted.value is None:
        return _parsed(entry, problems, merged_spec=whole_spec)
    spec = spec_of(fitted.value, entry, kinds, shared, read.places, whole_spec.sources)
    silent = {rule.id for kind in kinds for rule in kind.rules if rule.by_absence and (problems or around.is_broken)}
    if ("host",) not in fitted.removed:
        problems.extend(_place(read, fitted, host.lint_head(fitted.value, entry.path)))
    claims = claims_of(spec, kinds)
    for kind in kinds:
        if kind.name not in spec.sections:
            continue
        hits = (hit for hit in kind.lint(spec.sections[kind.name], spec, claims) if hit.rule not in silent)
        problems.extend(_place(read, fitted, _below(kind.name, hits)))
    return _parsed(entry, problems, spec if not around.is_broken else None, whole_spec)


def spec_of(
    head: host.Head, entry: BlobEntry, kinds: Sequence[SpecKind], shared: Shared,
    places: Mapping[Path, Position], sources: Mapping[Path, Layer],
) -> HostSpec:  # fmt: skip
    """A host's spec, of its validated values and their places."""
    sections = {kind.name: value for kind in kinds if (value := getattr(head, kind.name)) is not None}
    sections |= {kind.name: kind.section() for kind in kinds if kind.name in shared.sections.keys() - sections.keys()}
    return HostSpec(
        name=head.host,
        file=entry.path,
        platform=head.platform,
        sync=head.sync,
        connection=head.connection.connection(),
        sections=sections,
        places=places,
        shared=shared,
        checks=tuple(check.probe() for check in head.checks),
        take_over=head.take_over,
        labels=head.labels,
        cluster=head.cluster or "",
        renamed_from=head.renamed_from or "",
        depends_on=head.depends_on,
        sources={path: (layer.file, layer.top) for path, layer in sources.items()},
    )


def _below(name: str, hits: Iterator[Hit]) -> Iterator[Hit]:
    """The hits of a kind with paths from the top of the file."""
    return (Hit((name, *hit.path), hit.severity, hit.rule, hit.what, hit.right) for hit in hits)


def _place(read: Document, fitted: shape.Fitted[Any], hits: Iterator[Hit]) -> Iterator[DocumentProblem]:
    for hit in hits:
        path = fitted.original(hit.path)
        placed = Hit(path, hit.severity, hit.rule, hit.what, hit.right)
        yield DocumentProblem(nearest(read.places, path), placed)


def _parsed(
    entry: BlobEntry, problems: list[DocumentProblem], spec: HostSpec | None = None, merged_spec: Merged | None = None
) -> ParsedFile:
    own: list[Finding] = []
    elsewhere: list[Finding] = []
    for problem in problems:
        hit = problem.hit
        layer = merged_spec.source(hit.path) if merged_spec is not None else None
        if merged_spec is None or layer is None:
            own.append(finding(entry.path, problem.position, hit))
        elif hit.rule == shape.MISSING_KEY.id and not any(isinstance(part, int) for part in hit.path):
            own.append(finding(entry.path, nearest(merged_spec.own.places, hit.path), hit))  # here it would be added
        else:
            elsewhere.append(finding(layer.file, problem.position, _raised(hit, layer.top)))
    bad = has_errors(own) or has_errors(elsewhere)
    return ParsedFile(
        entry.path, entry.blob_id, None if bad else spec, sorted_findings(own), elsewhere=sorted_findings(elsewhere)
    )


def _raised(hit: Hit, top: Path) -> Hit:
    return replace(hit, path=(*top, *hit.path))
