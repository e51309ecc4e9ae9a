"""One host as the repository describes it: the head of its file, and a section for every kind that it names."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.model.probes import Probe
from service.spec import checks, grammar
from service.spec.checks import Checks
from service.spec.findings import WHOLE_FILE, Finding, Hit, LintRule, Path, Position, finding
from service.spec.hostkeys import HostKey

Platform = Literal["debian", "proxmox"]
Sync = Literal["observe", "approve", "auto"]
Movable = Literal["nat", "dnsmasq", "guests"]
"""Sections that may stand elsewhere on a host than in passerelle's own files."""

FILE_NAME = LintRule("host.file-name", "error", "`host` is the name of the file without its ending")
CLUSTER = LintRule("host.cluster", "error", "a cluster is one of Proxmox hosts")
NO_CONSOLE = LintRule("connection.no-console", "warning", "the way to the host when all else fails is named")
ALLOW_MANAGEMENT_CHANGE = LintRule(
    "connection.allow-management-change", "warning", "the override of the management path is removed after its commit"
)
RULES = (FILE_NAME, CLUSTER, NO_CONSOLE, ALLOW_MANAGEMENT_CHANGE, *checks.RULES)

_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_URL = re.compile(r"https?://[A-Za-z0-9.-]+(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~/?=&+,;:-]*)?(?:#[A-Za-z0-9._~/?=&:,+-]*)?")
_IPV6_URL = re.compile(r"https?://\[[0-9a-f:]+\](?::[0-9]{1,5})?(?:/[A-Za-z0-9._~/?=&+,;:-]*)?")


@dataclass(frozen=True, slots=True)
class Connection:
    """How the host is reached over SSH. `host_keys` are `TYPE BASE64` without comment, any of which may be shown.

    `confirm_timeout_s` is how long a change waits for its confirmation before the host undoes it.
    `allow_management_change` counts only in the commit that introduces it.
    """

    address: str
    host_keys: tuple[str, ...]
    user: str = "root"
    port: int = 22
    confirm_timeout_s: int = 120
    console: str | None = None
    allow_management_change: bool = False


@dataclass(frozen=True, slots=True)
class SharedFile:
    """A file of groups/: a kind's validated value, and where it stands."""

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
    """What fleet.yaml and the files of groups/ say for every host: the kinds' validated values by kind name, and where
    they stand."""

    file: str = "fleet.yaml"
    sections: Mapping[str, object] = field(default_factory=dict)
    places: Mapping[Path, Position] = field(default_factory=dict, repr=False, compare=False)
    groups: tuple[SharedFile, ...] = ()

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
    checks: tuple[Probe, ...] = ()
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


def _check_endpoint(value: str) -> str:
    if re.fullmatch(r"[0-9.]+", value) or ":" in value:
        return grammar.check_address(value)
    return grammar.check_domain(value)


def _check_user(value: str) -> str:
    if not _USER.fullmatch(value):
        grammar.wrong(f"{grammar.quoted(value)} is not a user name", "write a login name of the host, such as root")
    return value


def _check_console(value: str) -> str:
    if not (_URL.fullmatch(value) or _IPV6_URL.fullmatch(value)):
        grammar.wrong(
            f"{grammar.quoted(value)} is not a web address", "write an https:// address without user and password"
        )
    return value


class ConnectionSection(BaseModel):
    """The key `connection` of a host file."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    address: Annotated[str, *grammar.text(_check_endpoint, {"maxLength": 253})] = Field(
        description="Address or DNS name that the service connects to."
    )
    host_keys: tuple[HostKey, ...] = Field(
        min_length=1,
        max_length=16,
        description="The host's SSH public keys, as in /etc/ssh/ssh_host_*_key.pub; any of them, no other.",
    )
    user: Annotated[str, *grammar.text(_check_user, {"pattern": f"^{_USER.pattern}$"})] = Field(
        "root", description="Login name on the host."
    )
    port: int = Field(22, ge=1, le=65535, description="TCP port of the host's sshd.")
    confirm_timeout: Annotated[
        str, *grammar.text(grammar.check_duration(5, 3600), {"pattern": "^[1-9][0-9]*(s|m|h)$"})
    ] = Field(
        "120s",
        description="How long a change waits for its confirmation before the host undoes it: 5s to 1h.",
    )
    console: Annotated[str, *grammar.text(_check_console, {"format": "uri"})] | None = Field(
        None, description="Web address of the host's console, shown when all else fails."
    )
    allow_management_change: bool = Field(
        default=False,
        description="Let this commit change the service's own path; counts only in the commit that introduces it.",
    )

    def connection(self) -> Connection:
        """As the rest of the program speaks of it."""
        return Connection(
            address=self.address,
            host_keys=self.host_keys,
            user=self.user,
            port=self.port,
            confirm_timeout_s=grammar.duration_s(self.confirm_timeout),
            console=self.console,
            allow_management_change=self.allow_management_change,
        )


class Head(BaseModel):
    """The keys of a host file that belong to no kind."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    host: grammar.HostName = Field(description="The host's name; the same as the file's name without its ending.")
    platform: Platform = Field("debian", description="What runs on the host.")
    sync: Sync = Field(
        "approve",
        description="observe: say what differs. approve: apply what a person approves. auto: apply, and heal drift.",
    )
    cluster: grammar.HostName | None = Field(
        None, description="The Proxmox cluster that it is a node of; its first host by name writes cluster.fw."
    )
    take_over: tuple[Movable, ...] = Field(
        default=(),
        max_length=3,
        description="Sections that are moved into passerelle's own files where they stand elsewhere on the host.",
    )
    connection: ConnectionSection = Field(description="How the host is reached over SSH.")
    checks: Checks = Field((), description="What has to answer before and after a change.")


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
    yield from checks.lint_checks(head.checks)
