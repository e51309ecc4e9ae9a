"""`passerelle adopt`: from a host configured by hand, or its files, to its spec; nothing is written to the host."""

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

if TYPE_CHECKING:
    from service.adopt import Adopted, ConnectionGiven, Material
    from service.adopt.report import Report
    from service.model.observed import Watch
    from service.spec.connections import Jump
    from service.spec.host import HostSpec
    from service.spec.layers import Layer
    from service.spec.overriding import Overridden

UNREACHABLE = 4
KEY_FILE = "/etc/ssh/ssh_host_ed25519_key.pub"
_TARGET = re.compile(r"(?:([a-z_][a-z0-9_-]{0,31})@)?([A-Za-z0-9][A-Za-z0-9.:-]{0,252})")


def adopt(
    target: Annotated[str, Parameter(show_default=False)] = "",
    /,
    *,
    root: Annotated[Path | None, Parameter(show_default=False)] = None,
    repo: Path = Path(),
    name: Annotated[str, Parameter(show_default=False)] = "",
    address: Annotated[str, Parameter(show_default=False)] = "",
    host_key: Annotated[str, Parameter(show_default=False)] = "",
    port: int = 22,
    jump: Annotated[str, Parameter(show_default=False)] = "",
    ssh_key: Annotated[Path | None, Parameter(show_default=False)] = None,
    diff: Annotated[bool, Parameter(negative="")] = False,
    take_over: Annotated[Literal["nat", "dnsmasq", "guests"] | None, Parameter(show_default=False)] = None,
    output: Annotated[Literal["text", "json"], Parameter(name=["--output", "-o"])] = "text",
) -> int:
    """Write the spec of an existing host, hosts/NAME.yaml, and report what was found. The next plan is then empty.

    The host is only read. An existing spec is never overwritten. Exit codes: 0 written, or already so; 1 error,
    refused, or the spec differs (--diff shows where); 4 unreachable; 64 wrong usage.

    Parameters
    ----------
    target
        USER@HOST to read over SSH; with --take-over the name of a host of --repo.
    root
        Read this folder (a backup, a mounted disk) instead of a host.
    repo
        The folder of specs to write into.
    name
        The host's name. Default: its /etc/hostname.
    address
        The address by which the service reaches the host. Default: the one of this command.
    host_key
        The host's public key, `ssh-ed25519 AAAA…`. Without it the command shows the key and asks.
    port
        The port of the host's sshd.
    jump
        The host of --repo through which it is reached; needs --host-key.
    ssh_key
        The private key for the host. Default: the service's own key.
    diff
        Write nothing. Print a patch that changes the spec to the state of the host, and keeps comments.
    take_over
        Mark a section of the host's spec: the next plan moves it into passerelle's own files.
    output
        text for people, json for programs.
    """
    if take_over is not None:
        return _take_over(repo, target, take_over)
    if (root is None) == (not target):
        return _misused()
    write = partial(_write, repo=repo, diff=diff, as_json=output == "json")
    shared = _shared(repo)
    if root is not None:
        return write(_from_tree(root, name, address, port, host_key, shared))
    way = _jump(repo, jump, host_key)
    return _reached(lambda: write(_from_host(target, name, address, port, host_key, ssh_key, shared, way)))


def _reached(adopted: Callable[[], int]) -> int:
    """The exit code; a host that is not reached is an error of its own."""
    from service.cli.output import complain
    from service.errors import Unreachable

    try:
        return adopted()
    except Unreachable as error:
        complain(error.what, error.hint)
        return UNREACHABLE


def _misused() -> int:
    from service.cli.exit_codes import USAGE
    from service.cli.output import complain

    complain("give either USER@HOST or --root DIR", "passerelle adopt --help")
    return USAGE


def _jump(repo: Path, jump: str, host_key: str) -> "Jump | None":
    """The host of the repository through which another one is reached, with its own way."""
    from service.errors import InputError
    from service.spec.jumps import jump_of

    if not jump:
        return None
    if not host_key:
        raise InputError(
            f"a host behind {jump} is adopted only with its key",
            hint=f"give the content of {KEY_FILE} on that host: --host-key 'ssh-ed25519 …'",
        )
    return jump_of(_spec(repo, jump))


def _shared(repo: Path) -> dict[str, str]:
    """fleet.yaml and the files of groups/ that are there already, by path."""
    from service.cli.directory import read_directory

    if not repo.is_dir():
        return {}
    files = read_directory(repo).files
    return {p: e.data.decode("utf-8", "replace") for p, e in files.items() if not p.startswith("hosts/")}


def _from_tree(root: Path, name: str, address: str, port: int, host_key: str, shared: dict[str, str]) -> "Adopted":
    from service.adopt import adopt as adopted
    from service.adopt.material import HOSTNAME_FILE
    from service.cli.host_tree import read_host_tree

    material = read_host_tree(root)
    named = name or ("" if HOSTNAME_FILE in material.files else _label(root))
    return adopted(material, _given(named, address, "root", port, host_key), shared)


def _from_host(
    target: str,
    name: str,
    address: str,
    port: int,
    host_key: str,
    ssh_key: Path | None,
    shared: dict[str, str],
    jump: "Jump | None",
) -> "Adopted":
    from service.adopt import adopt as adopted

    user, host = _split(target)
    key = host_key or _shown_key(host, port)
    given = _given(name, address or host, user, port, key)
    given = replace(given, jump=jump.name) if jump is not None else given
    made = adopted(_looked_at(host, user, port, key, ssh_key, jump), given, shared)
    if made.report.refusal:
        return made
    # the plan depends on more than adopt looks at, and only the spec names it: the report announces the first plan
    return adopted(_looked_at(host, user, port, key, ssh_key, jump, made.watch), given, shared)


def _given(name: str, address: str, user: str, port: int, host_key: str) -> "ConnectionGiven":
    from service.adopt import ConnectionGiven

    return ConnectionGiven(name, address, user, port, (host_key,) if host_key else ())


def _label(root: Path) -> str:
    """The folder's name, where it could be a host's."""
    found = root.resolve().name.lower()
    return found if re.fullmatch(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", found) else ""


def _split(target: str) -> tuple[str, str]:
    """User and host of `root@host`."""
    from service.errors import InputError
    from service.model.trees import quoted

    parts = _TARGET.fullmatch(target)
    if parts is None:
        raise InputError(f"{quoted(target)} is not a USER@HOST", hint="passerelle adopt root@198.51.100.11")
    return parts[1] or "root", parts[2]


def _shown_key(host: str, port: int) -> str:
    """The key that the host shows, once a person has compared it."""
    import asyncio
    import sys

    from service.cli.output import tell
    from service.errors import InputError
    from service.once import key_shown_by

    key = asyncio.run(key_shown_by(host, port))
    tell(f"{host} shows the key {key.line.split()[0]} {key.fingerprint}")
    hint = f"compare it on the host's console (ssh-keygen -lf {KEY_FILE}), and add --host-key '{key.line}'"
    if not sys.stdin.isatty():
        raise InputError(f"the key of {host} is not known", hint=hint)
    tell("Compare it on the host's console. If it is the same, type yes to pin it:")
    if sys.stdin.readline().strip().lower() != "yes":
        raise InputError(f"the key of {host} was not confirmed", hint=hint)
    return key.line


def _looked_at(
    host: str, user: str, port: int, host_key: str, ssh_key: Path | None, jump: "Jump | None",
    more: "Watch | None" = None,
) -> "Material":  # fmt: skip
    """One look at the host over SSH; `more` is watched too."""
    import asyncio

    from service.adopt import WATCH, of_observed
    from service.cli.output import tell
    from service.once import observe_once
    from service.settings import settings_beside
    from service.spec.connections import Connection
    from service.spec.host import HostSpec

    connection = Connection(host, (host_key,), user, port, jump=jump)
    spec = HostSpec(re.sub(r"[^A-Za-z0-9._-]", "-", host), "", "debian", "observe", connection, {})
    if more is None:
        tell(f"looking at {host}; nothing is changed there")
    watch = WATCH if more is None else replace(WATCH | more, weighed=frozenset())
    return of_observed(asyncio.run(observe_once(spec, watch, ssh_key or settings_beside().host_key_path)))


def _write(made: "Adopted", repo: Path, *, diff: bool, as_json: bool) -> int:
    """Put the files there, or say why not."""
    from service.adopt.against import against
    from service.adopt.own import HINT, without_section
    from service.cli.output import complain, printable, show_json, tell
    from service.errors import InputError
    from service.spec.editing import unified
    from service.spec.overriding import Overridden

    path, before = _existing(repo, made.host) or (made.path, "")
    layers = _layers(repo, made.host)
    loses = "" if made.report.refusal else without_section(made.own, before)
    if made.report.refusal or (loses and not diff):
        return _refused(
            replace(made.report, refusal=loses) if loses else made.report, HINT if loses else "", as_json=as_json
        )
    try:
        said = against(before or made.text, made, layers) if before or layers else Overridden(made.text)
        patch = unified(path, before, said.text)
    except InputError as error:
        complain(error.what, error.hint)
        return 1
    _tell_left(made.host, said)
    if diff:
        print(patch, end="")
        if loses:
            complain(loses, HINT)
        return 1 if loses else 0
    state = "written" if not before else "differs" if patch else "same"
    shared = {} if before or (repo / "fleet.yaml").exists() else {"fleet.yaml": made.fleet_text, **made.groups}
    if as_json:
        show_json(
            {
                "file": path,
                "state": state,
                "spec": said.text if state == "written" else made.text,
                "shared": shared,
                **made.report.as_json(),
            }
        )
    else:
        for line in made.report.as_text().splitlines():
            print(printable(line))
    if state == "differs":
        complain(f"{repo / path} differs from the host", "add --diff to see the differences")
        return 1
    if state == "same":
        tell(f"{repo / path} already has all of it")
        try:
            _spec(repo, made.host)
        except InputError as error:
            complain(error.what, error.hint)
        return 0
    for file, text in {**shared, path: said.text}.items():
        (repo / file).parent.mkdir(parents=True, exist_ok=True)
        (repo / file).write_text(text, encoding="utf-8")
        tell(f"written: {repo / file}")
    return 0


def _refused(report: "Report", hint: str, *, as_json: bool) -> int:
    """Say why no spec is written, and what was found that far."""
    from service.cli.output import complain, printable, show_json

    if as_json:
        show_json(report.as_json())
    else:
        for line in replace(report, refusal="").as_text().splitlines():
            print(printable(line))
    complain(report.refusal, hint)
    return 1


def _existing(repo: Path, host: str) -> tuple[str, str] | None:
    """Path and text of the host's spec in the repository, anywhere below hosts/."""
    from service.cli.directory import read_directory

    if not repo.is_dir():
        return None
    for path, entry in read_directory(repo).files.items():
        if path.startswith("hosts/") and path.rpartition("/")[2].rpartition(".")[0] == host:
            return path, entry.data.decode("utf-8", "replace")
    return None


def _layers(repo: Path, host: str) -> "tuple[Layer, ...]":
    """The values of fleet.yaml and groups/ that the host shares with others."""
    from service.cli.directory import read_directory
    from service.kinds import KINDS
    from service.spec.fleet import read_fleet

    return read_fleet(read_directory(repo), KINDS).members.of(host) if repo.is_dir() else ()


def _tell_left(host: str, said: "Overridden") -> None:
    """Shared values that the host does not have and its file cannot take away."""
    from service.cli.output import tell

    for _, why in said.left:
        tell(f"{host} does not have what a shared file gives it, so its next plan is not empty: {why}")


def _take_over(repo: Path, host: str, section: str) -> int:
    """Add the mark to the host's spec."""
    from service.cli.exit_codes import USAGE
    from service.cli.output import complain, printable, tell
    from service.errors import InputError
    from service.spec.editing import edited, unified

    existing = _existing(repo, host) if host else None
    if existing is None:
        complain(f"{repo} describes no host {host}", "passerelle adopt --take-over nat pve1 --repo my-repository")
        return USAGE
    path, before = existing
    try:
        spec = _spec(repo, host)
        if section in spec.take_over:
            tell(f"{repo / path} already has the mark")
            return 0
        after = edited(before, [(("take_over",), [*spec.take_over, section])])
    except InputError as error:
        complain(error.what, error.hint)
        return 1
    for line in unified(path, before, after).splitlines():
        print(printable(line))
    (repo / path).write_text(after, encoding="utf-8")
    tell(f"written: {repo / path}; commit and push it, and the next plan moves `{section}` into passerelle's own files")
    return 0


def _spec(repo: Path, host: str) -> "HostSpec":
    """The host's spec, read whole."""
    from service.cli.directory import read_directory
    from service.errors import InputError
    from service.kinds import KINDS
    from service.spec.fleet import read_fleet

    fleet = read_fleet(read_directory(repo), KINDS)
    if host not in fleet.hosts:
        wrong = next((str(f) for f in fleet.findings if f.severity == "error"), f"it describes no host {host}")
        raise InputError(f"{repo} cannot be used: {wrong}", hint=f"passerelle lint {repo}")
    return fleet.hosts[host]
