"""A host of a config repository, ready for questions about packets."""

from pathlib import Path

from service.answers.packets import HostTracer
from service.cli.directory import read_directory
from service.cli.folder_spec import none_there
from service.errors import InputError
from service.kinds import KINDS
from service.spec.fleet import read_fleet


def tracer_of(folder: Path, host: str) -> HostTracer:
    """One host of a folder. Raises InputError where it is not there or has errors."""
    fleet = read_fleet(read_directory(folder), KINDS)
    spec = fleet.hosts.get(host)
    if spec is None:
        wrong = next((str(found) for found in fleet.findings if found.severity == "error"), "")
        if wrong:
            raise InputError(
                f"{folder} has no host {host} without errors, the first: {wrong}", hint=f"passerelle lint {folder}"
            )
        raise none_there(folder, host, fleet.hosts)
    return HostTracer(spec, KINDS)
