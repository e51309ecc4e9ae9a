"""A commit's tree to its hosts: every file read, checked on its own, then the hosts against each other.

    read_fleet(tree, kinds, known, kept) -> Fleet

Reading is a function of a file's path and bytes, so a file that did not change is not read again. What it says is
`known` in this process, and `kept` across starts.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from service.model.rollouts import Policy
from service.model.trees import BlobEntry, Tree
from service.spec import document, groups, host, ignoring, jumps, layers, rollout, shape, windows
from service.spec.findings import (
    WHOLE_FILE,
    Finding,
    Hit,
    Ignored,
    LintRule,
    Path,
    finding,
    has_errors,
    sorted_findings,
)
from service.spec.host import HostSpec, Shared
from service.spec.kept import Kept, read_host
from service.spec.layers import MAX_INHERITED, TOO_MANY, Layer, Members
from service.spec.models import SpecKind
from service.spec.reading import FLEET_FILE, HOSTS_FOLDER, Around, ParsedFile, host_of, read_file

TREE = LintRule("tree", "error", "every entry of hosts/ is a plain file or folder with a plain name")
EMPTY = LintRule("empty", "error", "the repository describes at least one host")
FLEET_MISSING = LintRule("fleet.missing", "error", "fleet.yaml is there and names the format's version")
DUPLICATE_HOST = LintRule("host.duplicate", "error", "a host is described in one file")
RENAMED_FROM = LintRule("host.renamed-from", "error", "`renamed_from` is a name that no host has now, in one file only")
DUPLICATE_ADDRESS = LintRule(
    "connection.duplicate-address", "error", "two hosts are not reached at one address and port"
)

RULES = (
    *document.RULES,
    *shape.RULES,
    *host.RULES,
    *windows.RULES,
    TREE,
    EMPTY,
    FLEET_MISSING,
    *groups.RULES,
    *layers.RULES,
    *jumps.RULES,
    *rollout.RULES,
    *ignoring.RULES,
    DUPLICATE_HOST,
    RENAMED_FROM,
    DUPLICATE_ADDRESS,
)
MOST_NAMED = 3
"""Hosts that a finding about all of them names."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """The hosts by name, only those without errors, and every finding. `parsed` by blob id is the next call's `known`,
    `members` says which values a host shares with others. `ignored` are warnings that a comment silences. `rollout` is
    in which portions a revision goes to the hosts.

    With any error the fleet as a whole must not replace a good revision.
    """

    hosts: Mapping[str, HostSpec]
    findings: tuple[Finding, ...]
    ignored: tuple[Ignored, ...] = ()
    parsed: Mapping[str, ParsedFile] = field(default_factory=dict, repr=False, compare=False)
    members: Members = field(default_factory=lambda: Members(()), repr=False, compare=False)
    rollout: Policy | None = None

    @property
    def has_errors(self) -> bool:
        """Whether any finding blocks."""
        return has_errors(self.findings)


def read_fleet(
    tree: Tree, kinds: Sequence[SpecKind], known: Mapping[str, ParsedFile] | None = None, kept: Kept | None = None,
    between: Callable[[], None] = lambda: None,
) -> Fleet:  # fmt: skip
    """Read all files of a tree. Never raises for what is in them. `between()` is called between files and between other
    steps that may take long; what it raises ends the reading."""
    found = [Finding(problem.path, *WHOLE_FILE, (), TREE.severity, TREE.id, problem.what) for problem in tree.problems]
    reading = _Reading(tree, kinds, known or {}, kept, between)
    reading.read_shared()
    reading.read_hosts()
    found += reading.findings()
    between()
    found += _in_groups(reading.shared, kinds)
    found += _whole_fleet(tree)
    hosts: dict[str, HostSpec] = {}
    for file in reading.files:
        if file.spec is None:
            continue
        first = hosts.setdefault(file.spec.name, file.spec)
        if first is not file.spec:
            hit = DUPLICATE_HOST.hit(("host",), f"{first.file} describes the same host", "keep one of the two files")
            found.append(finding(file.path, file.spec.position(("host",)), hit))
    _name_writers(hosts)
    described = {host_of(file.path) for file in reading.files}
    found += jumps.with_jumps(hosts, described)
    section = next((file.rollout for file in reading.files if file.rollout is not None), None)
    found += rollout.across(section.last if section is not None else (), reading.shared, hosts, described)
    found += _across(hosts, kinds, between)
    comments = [comment for file in reading.files for comment in file.comments]
    silenced = ignoring.applied(sorted_findings(found), comments, all_rules(kinds))
    return Fleet(
        dict(sorted(hosts.items())), sorted_findings([*silenced.findings]), silenced.ignored,
        {file.blob_id: file for file in reading.files}, reading.members,
        section.policy() if section is not None else None,
    )  # fmt: skip


@dataclass(slots=True)
class _Reading:
    """The files of a tree as they are read: groups/ first, then fleet.yaml, then the hosts."""

    tree: Tree
    kinds: Sequence[SpecKind]
    known: Mapping[str, ParsedFile]
    kept: Kept | None = None
    between: Callable[[], None] = lambda: None
    files: list[ParsedFile] = field(default_factory=list)
    shared: Shared = field(default_factory=Shared)
    shared_id: str = ""
    members: Members = field(default_factory=lambda: Members(()))
    is_broken: bool = False
    inherited: int = 0

    def read_shared(self) -> None:
        """What holds for several hosts. Values that hosts share do not change what else fleet.yaml says."""
        found: list[Layer] = []
        for entry in self._entries(groups.FOLDER):
            file = self._read(entry, Around(), "")
            found += [file.layer] if file.layer is not None else []
            if file.group is not None:
                self.shared = replace(self.shared, groups=(*self.shared.groups, file.group))
            if file.layer is None:
                self._count_in(entry)
        for entry in self._entries(FLEET_FILE):
            file = self._read(entry, Around(self.shared), self.shared_id)
            found[:0] = [file.layer] if file.layer is not None else []
            self.shared = file.shared or self.shared
            self._count_in(entry)
        self.members = Members(found)
        self.is_broken = any(file.is_broken for file in self.files)

    def read_hosts(self) -> None:
        """The hosts, each with the values that it shares."""
        for entry in self._entries(HOSTS_FOLDER):
            held = self.members.of(host_of(entry.path))
            self.inherited += sum(len(layer.document.places) for layer in held)
            if self.inherited > MAX_INHERITED:
                held, self.is_broken = (), True
            blobs = " ".join(layer.blob_id for layer in held)
            needs = hashlib.sha256(f"{self.shared_id} {self.is_broken} {blobs}".encode()).hexdigest()
            self._read(entry, Around(self.shared, held, self.is_broken), needs)

    def findings(self) -> Iterator[Finding]:
        """Of every file, and of the values that hosts share."""
        own = [found for file in self.files for found in file.findings]
        yield from own
        yield from in_shared_files(self.files, frozenset(own))
        yield from self.members.lint({host_of(entry.path) for entry in self._entries(HOSTS_FOLDER)})
        if self.inherited > MAX_INHERITED:
            what = f"`defaults` and groups/ give the hosts more than {MAX_INHERITED} values in all"
            yield finding(FLEET_FILE, WHOLE_FILE, TOO_MANY.hit((), what, "shorten `defaults` and the groups"))

    def _entries(self, start: str) -> list[BlobEntry]:
        return [self.tree.files[path] for path in sorted(self.tree.files) if path.startswith(start)]

    def _read(self, entry: BlobEntry, around: Around, needs: str) -> ParsedFile:
        self.between()
        file = self.known.get(entry.blob_id)
        if file is None or (file.path, file.shared_id) != (entry.path, needs):
            if self.kept is not None and entry.path.startswith(HOSTS_FOLDER):
                file = read_host(self.kept, entry, self.kinds, around, needs)
            else:
                file = read_file(entry, self.kinds, around, needs)
        self.files.append(file)
        return file

    def _count_in(self, entry: BlobEntry) -> None:
        """A file of which everything depends that is read later."""
        self.shared_id = hashlib.sha256(f"{self.shared_id} {entry.path} {entry.blob_id}".encode()).hexdigest()


def in_shared_files(files: Sequence[ParsedFile], known: frozenset[Finding]) -> Iterator[Finding]:
    """Findings about hosts in a file that they share, once with the names of the hosts, without those in `known`."""
    hosts: dict[Finding, list[str]] = {}
    for file in files:
        for found in file.elsewhere:
            if found not in known:
                hosts.setdefault(found, []).append(host_of(file.path))
    for found, names in hosts.items():
        yield replace(found, what=f"{found.what} ({_counted(names)})")


def _counted(names: Sequence[str]) -> str:
    """`host pve1`, `hosts pve1, pve2`, `hosts pve1, pve2, pve3 and 37 more`."""
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"host{'s' if len(names) > 1 else ''} {', '.join(sorted(names)[:MOST_NAMED])}{more}"


def all_rules(kinds: Sequence[SpecKind]) -> tuple[LintRule, ...]:
    """Every rule that a finding can name."""
    return (*RULES, *(rule for kind in kinds for rule in kind.rules))


def _in_groups(shared: Shared, kinds: Sequence[SpecKind]) -> Iterator[Finding]:
    """The files of groups/ against fleet.yaml and each other."""
    kind = groups.group_kind(kinds) if shared.groups else None
    places = {group.file: group for group in shared.groups}
    for file, hit in kind.lint_groups(shared) if kind is not None else ():
        yield finding(file, places[file].position(hit.path), hit)


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


def _renamed(hosts: Mapping[str, HostSpec]) -> Iterator[Finding]:
    """Names that hosts had before."""
    claimed: dict[str, HostSpec] = {}
    for spec in hosts.values():
        if not (old := spec.renamed_from):
            continue
        hit, path = None, ("renamed_from",)
        if old == spec.name:
            hit = RENAMED_FROM.hit(path, f"{old} is the name that the host has now", "remove the key")
        elif old in hosts:
            right = f"remove {hosts[old].file}, or remove the key"
            hit = RENAMED_FROM.hit(path, f"{old} is still a host of this repository ({hosts[old].file})", right)
        elif (first := claimed.setdefault(old, spec)) is not spec:
            right = f"keep the key only in the file of the host that was called {old}"
            hit = RENAMED_FROM.hit(path, f"{first.name} ({first.file}) says that it was called {old}, too", right)
        if hit is not None:
            yield spec.finding(hit)


def _across(hosts: Mapping[str, HostSpec], kinds: Sequence[SpecKind], between: Callable[[], None]) -> Iterator[Finding]:
    """The hosts against each other."""
    endpoints: dict[tuple[object, ...], HostSpec] = {}
    yield from _renamed(hosts)
    for spec in hosts.values():
        # behind two jump hosts, two hosts may have the same private address
        reached = (spec.connection.address, spec.connection.port, spec.connection.jump)
        first = endpoints.setdefault(reached, spec)
        if first is not spec:
            path: Path = ("connection", "address")
            hit = DUPLICATE_ADDRESS.hit(
                path, f"{first.name} ({first.file}) is reached at the same address and port", "correct one of the two"
            )
            yield spec.finding(hit)
    for kind in kinds:
        between()
        for name, hit in kind.lint_fleet(hosts):
            spec = hosts[name]
            path = (kind.name, *hit.path)
            yield spec.finding(Hit(path, hit.severity, hit.rule, hit.what, hit.right))
