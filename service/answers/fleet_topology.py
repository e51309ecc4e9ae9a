"""What connects the hosts of a fleet, as Git wants it. Pure.

fleet_of(specs, differences, commit) -> FleetTopology      of these hosts alone: no other one is named
"""

from collections.abc import Mapping

from service.model.fleet_topology import FleetHost, FleetTopology
from service.spec.host import HostSpec


def fleet_of(specs: Mapping[str, HostSpec], differences: Mapping[str, int | None], commit: str) -> FleetTopology:
    """`differences` has how many there are of each host, None where it was not compared."""
    clusters: dict[str, list[str]] = {}
    for name, spec in sorted(specs.items()):
        if spec.cluster:
            clusters.setdefault(spec.cluster, []).append(name)
    return FleetTopology(
        commit,
        tuple(
            FleetHost(
                name, spec.connection.address,
                spec.connection.jump_host if spec.connection.jump_host in specs else "",
                tuple(one for one in spec.depends_on if one in specs), spec.cluster,
                tuple(one for one in clusters.get(spec.cluster, ()) if one != name), differences.get(name),
            )
            for name, spec in sorted(specs.items())
        ),
    )  # fmt: skip
