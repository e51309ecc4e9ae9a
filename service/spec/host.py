"""One host as the repository describes it: the head of its file, and a section for every kind that it names."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from service.model.probes import Probe
from service.model.windows import Window
from service.spec import checks, grammar
from service.spec.checks import Checks
from service.spec.connections import Connection, ConnectionSection
from service.spec.findings import WHOLE_FILE, Finding, Hit, LintRule, Path, Position, finding
from service.spec.labels import Labels

Platform = Literal["debian", "proxmox"]
Sync = Literal["observe", "approve", "auto"]
Movable = Literal["nat", "dnsmasq", "guests"]
"""Sections that may be elsewhere on a host than in passerelle's own files."""

FILE_NAME = LintRule("host.file-name", "error", "`host` is the name of the file without its ending")
CLUSTER = LintRule("host.cluster", "error", "a cluster is one of Proxmox hosts")
NO_CONSOLE = LintRule("connection.no-console", "warning", "the way to the host when all else fails is named")
ALLOW_MANAGEMENT_CHANGE = LintRule(
    "connection.allow-management-change", "warning", "the override of the management path is removed after its commit"
)
RULES = (FILE_NAME, CLUSTER, NO_CONSOLE, ALLOW_MANAGEMENT_CHANGE, *checks.RULES)


@dataclass(frozen=True, slots=True)
class SharedFile:
    """A file of groups/: a kind's validated value, and where it is."""

    file: str
    section: object
    places: Mapping[Path, Position] = field(default_factory=dict, repr=False, compare=False)

    def position(self, path: Path) -> Position:
        """Line and column of the value at a path, or of the nearest thing around it that is written."""
        return nearest(self.places, path)

    def where(self, path: Path) -> tuple[str, int]:
        """File and line of the value at a path, or of the nearest thing around it that is written."""
        return self.file, self.position(path)[0]


@dataclass(frozen=True, slots=True)
class Shared:
    """What fleet.yaml and the files of groups/ say for every host: the kinds' validated values by kind name, and their
    places. `windows` say when applies may begin.
    """

    file: str = "fleet.yaml"
    sections: Mapping[str, object] = field(default_factory=dict)
    places: Mapping[Path, Position] = field(default_factory=dict, repr=False, compare=False)
    groups: tuple[SharedFile, ...] = ()
    windows: tuple[Window, ...] = ()

    def position(self, path: Path) -> Position:
        """Line and column of the value at a path, or of the nearest thing around it that is written."""
        return nearest(self.places, path)

    def where(self, path: Path) -> tuple[str, int]:
        """File and line of the value at a path, or of the nearest thing around it that is written."""
        return self.file, self.position(path)[0]


@dataclass(frozen=True, slots=True)
class HostSpec:
    """A host's spec, valid in itself. `sections` are the kinds' validated values by kind name, only those written;
    a kind of which only fleet.yaml speaks has an empty one.

    `file` is the path in the repository. Values that it shares with other hosts come from other files: `sources` has
    the file, and the key there, for each such path. `position` and `where` give the place of a value.
    """

    name: str
    file: str
    platform: Platform
    sync: Sync
    connection: Connection
    sections: Mapping[str, object]
    places: Mapping[Path, Position] = field(default_factory=dict, repr=False, compare=False)
    shared: Shared = field(default_factory=Shared)
    take_over: tuple[Movable, ...] = ()
    cluster: str = ""
    writes_cluster: bool = True
    renamed_from: str = ""
    depends_on: tuple[str, ...] = ()
    checks: tuple[Probe, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[Path, tuple[str, Path]] = field(default_factory=dict, repr=False, compare=False)

    def position(self, path: Path) -> Position:
        """Line and column of the value at a path, or of the nearest thing around it that is written."""
        return nearest(self.places, path)

    def where(self, path: Path) -> tuple[str, int]:
        """File and line of the value at a path, or of the nearest thing around it that is written."""
        return self.source(path)[0], self.position(path)[0]

    def source(self, path: Path) -> tuple[str, Path]:
        """The file of a value, and the key there below which its path begins."""
        while path not in self.places and path:
            path = path[:-1]
        return self.sources.get(path, (self.file, ()))

    def finding(self, hit: Hit) -> Finding:
        """A hit with its file and position. It names the host where other hosts share that file."""
        file, top = self.source(hit.path)
        what = f"{hit.what} (host {self.name})" if file != self.file else hit.what
        return finding(file, self.position(hit.path), replace(hit, path=(*top, *hit.path), what=what))


def nearest(places: Mapping[Path, Position], path: Path) -> Position:
    """The position of a path, or of the nearest path above it that has one."""
    while path not in places and path:
        path = path[:-1]
    return places.get(path, WHOLE_FILE)


class Head(BaseModel):
    """The keys of a host file that belong to no kind."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    host: grammar.HostName = Field(description="The host's name; the same as the file's name without its ending.")
    renamed_from: grammar.HostName | None = Field(
        None, description="The name that the host had before. Its history, leases and drill proof are kept."
    )
    depends_on: tuple[grammar.HostName, ...] = Field(
        (), max_length=100, description="Hosts that get a revision before this one: it waits until they have it."
    )
    platform: Platform = Field("debian", description="The software of the host: plain Debian, or Proxmox VE.")
    sync: Sync = Field(
        "approve",
        description="observe: show differences. approve: apply once approved. auto: apply, and repair changes by hand.",
    )
    cluster: grammar.HostName | None = Field(
        None, description="The Proxmox cluster that it is a node of; its first host by name writes cluster.fw."
    )
    take_over: tuple[Movable, ...] = Field(
        default=(),
        max_length=3,
        description="Sections whose settings in other files of the host move into passerelle's own files.",
    )
    labels: Labels = Field(
        default_factory=dict, description="Short words about the host, by which people choose several hosts at once."
    )
    connection: ConnectionSection = Field(description="How the host is reached over SSH.")
    checks: Checks = Field((), description="Checks that must succeed before and after a change.")


def lint_head(head: Head, file: str) -> Iterator[Hit]:
    """What is wrong or doubtful in the head of a host file."""
    stem = file.rpartition("/")[2].rpartition(".")[0]
    if head.host != stem:
        yield FILE_NAME.hit(
            ("host",),
            f"`host` is {head.host}, but the file is named {stem}",
            f"write `host: {stem}`, or rename the file",
        )
    if head.cluster is not None and head.platform != "proxmox":
        yield CLUSTER.hit(
            ("cluster",),
            f"only Proxmox hosts have a cluster, and {head.host} is {head.platform}",
            "remove `cluster`, or write `platform: proxmox`",
        )
    if head.connection.console is None:
        yield NO_CONSOLE.hit(
            ("connection",),
            "`console` is missing",
            "add the web address of the host's console, for the case that SSH fails",
        )
    if head.connection.allow_management_change:
        yield ALLOW_MANAGEMENT_CHANGE.hit(
            ("connection", "allow_management_change"),
            "this key only has an effect in the commit that adds it",
            "remove it after that commit is applied",
        )
    if head.checks:
        yield from checks.lint_checks(head.checks)
