"""The hosts of a fleet and what connects them, as values for a picture and its text."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FleetHost:
    """A host: its address for SSH, and the names of hosts that it has to do with. `through` forwards the connection to
    it, "" for none; it waits for those in `after`; `peers` are in its Proxmox cluster. `differences` is None where the
    host was not compared with what Git wants now."""

    host: str
    address: str
    through: str
    after: tuple[str, ...]
    cluster: str
    peers: tuple[str, ...]
    differences: int | None

    @property
    def above(self) -> tuple[str, ...]:
        """The hosts below which it is drawn, the first that is there."""
        return (*([self.through] if self.through else ()), *self.after)


@dataclass(frozen=True, slots=True)
class FleetTopology:
    """The hosts in Git at `commit`, by name."""

    commit: str
    hosts: tuple[FleetHost, ...]
