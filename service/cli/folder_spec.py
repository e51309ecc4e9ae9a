"""One host of a folder of specs, for commands that need no service."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from service.errors import InputError
    from service.spec.host import HostSpec


def spec_in(folder: Path, host: str) -> "HostSpec":
    """The host's spec. InputError if the folder has an error, or does not describe this host."""
    hosts = hosts_in(folder)
    if host not in hosts:
        raise none_there(folder, host, hosts)
    return hosts[host]


def none_there(
    folder: Path, host: str, hosts: "Mapping[str, HostSpec]", names: Iterable[str] | None = None
) -> "InputError":
    """The error of a host that the folder does not describe. `hosts` are those without errors, `names` all of them."""
    from service.errors import InputError

    now = next((name for name, spec in hosts.items() if spec.renamed_from == host), "")
    if now:
        return InputError(
            f"{folder} describes no host {host}: it is now called {now}", hint=f"write {now} instead of {host}"
        )
    known = ", ".join(hosts if names is None else names) or "none"
    return InputError(f"{folder} describes no host {host}", hint=f"name one of: {known}")


def hosts_in(folder: Path) -> "Mapping[str, HostSpec]":
    """All hosts of the folder, by name. InputError if it has an error."""
    from service.cli.directory import read_directory
    from service.errors import InputError
    from service.kinds import KINDS
    from service.spec.fleet import read_fleet

    fleet = read_fleet(read_directory(folder), KINDS)
    errors = [finding for finding in fleet.findings if finding.severity == "error"]
    if errors:
        count = f"{len(errors)} error{'s' if len(errors) > 1 else ''}"
        raise InputError(f"{count} in {folder}, the first: {errors[0]}", hint=f"passerelle lint {folder}")
    return fleet.hosts
