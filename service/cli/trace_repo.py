"""A host of a config repository, ready for questions about packets."""

from pathlib import Path

from service.answers.packets import HostTracer
from service.cli.directory import read_directory
from service.errors import InputError
from service.kinds import KINDS
from service.spec.fleet import read_fleet


def tracer_of(folder: Path, host: str) -> HostTracer:
    """One host of a folder. Raises InputError where it is not there or has errors."""
    fleet = read_fleet(read_directory(folder), KINDS)
    spec = fleet.hosts.get(host)
    if spec is None:
        errors = [found for found in fleet.findings if found.severity == "error"]
        said = str(errors[0]) if errors else f"hosts: {', '.join(fleet.hosts) or 'none'}"
        raise InputError(f"{folder} has no host {host} without errors", hint=said)
    return HostTracer(spec, KINDS)
