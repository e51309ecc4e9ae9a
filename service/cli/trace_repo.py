"""A packet through the firewall of a host of a config repository."""

from collections.abc import Mapping
from pathlib import Path

from service.cli.directory import read_directory
from service.errors import InputError
from service.firewall.host_trace import HostAnalyser
from service.firewall.packets import parse_packet
from service.firewall.verdict import Verdict
from service.kinds import KINDS
from service.kinds.desire import desire
from service.kinds.firewall.zones import Zones
from service.resources.firewall import FirewallTable
from service.spec.fleet import claims_of, read_fleet


class HostTracer:
    """One host of a folder, read once. Raises InputError where it is not there or has errors."""

    def __init__(self, folder: Path, host: str) -> None:
        fleet = read_fleet(read_directory(folder), KINDS)
        spec = fleet.hosts.get(host)
        if spec is None:
            errors = [found for found in fleet.findings if found.severity == "error"]
            said = str(errors[0]) if errors else f"hosts: {', '.join(fleet.hosts) or 'none'}"
            raise InputError(f"{folder} has no host {host} without errors", hint=said)
        self._zones = Zones.of(claims_of(spec, KINDS))
        tables = [resource for resource in desire(spec, KINDS).resources if isinstance(resource, FirewallTable)]
        firewall = next((table.firewall for table in tables if table.firewall is not None), None)
        self._analyser = HostAnalyser(firewall) if firewall is not None else None

    def trace(self, asked: Mapping[str, object]) -> Verdict:
        """The verdict on a packet between zones; addresses that are not given are those of the zones."""
        said = {key: str(value) for key, value in asked.items() if isinstance(value, str | int) and value != ""}
        source, dest, fields = self._zones.packet(said)
        question = parse_packet(fields)
        if self._analyser is None:
            return Verdict("ACCEPT", None, "the spec has no `firewall` for this host")
        verdict = self._analyser.trace(source, dest, question.flow)
        address = self._zones.leaves_as(fields["source"], dest) if source and dest else ""
        if address and verdict.verdict == "ACCEPT":
            return Verdict(verdict.verdict, verdict.rule, f"{verdict.why}; leaves as {address}")
        return verdict
