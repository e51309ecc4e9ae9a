"""One host of a folder of specs, for commands that need no service."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from service.spec.host import HostSpec


def spec_in(folder: Path, host: str) -> "HostSpec":
    """The host's spec. InputError if the folder has an error, or does not describe this host."""
    from service.errors import InputError

    hosts = hosts_in(folder)
    if host not in hosts:
        raise InputError(f"{folder} describes no host {host}", hint=f"name one of: {', '.join(hosts) or 'none'}")
    return hosts[host]


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
