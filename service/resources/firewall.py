"""The firewall's own nft tables: what the kernel has now, rule by rule, and the files that the boot loads."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from service.firewall.host import Closed, HostFirewall
from service.firewall.nft.guests import BRIDGE_TABLE, render_bridge_table
from service.firewall.nft.table import FAMILY, TABLE, Table, closed_chains, render_table
from service.firewall.trace.host_trace import HostAnalyser
from service.model.ceilings import Opening
from service.model.observed import HostObserved, ManagementPath
from service.model.plans import Passing
from service.resources.files import OwnFile
from service.resources.kept_out import kept_out
from service.resources.opening import filter_opens
from service.resources.own_table import OwnTable
from service.resources.reach import filter_changes
from service.resources.resource import Phase, Resource

NAME = f"{FAMILY} {TABLE}"
TABLE_FACT = f"nft:{NAME}"
FIREWALL_FILE = "/etc/passerelle/nft.d/firewall.nft"
BRIDGE_FILE = "/etc/passerelle/nft.d/bridge.nft"
MODULES_FILE = "/etc/modules-load.d/passerelle.conf"
MODULES = b"# written by passerelle: what is bridged meets the rules, too\nbr_netfilter\n"
PHASE = Phase.NAT + 5
"""One table changes as a whole: after the network that it names, before the daemons."""


@dataclass(frozen=True)
class FirewallTable(OwnTable):
    """The firewall as a table. `firewall` None = wanted absent."""

    firewall: HostFirewall | None

    name = NAME
    file = FIREWALL_FILE
    phase = PHASE

    @cached_property
    def table(self) -> Table | None:
        """The table as nft takes it and lists it."""
        return render_table(self.firewall) if self.firewall is not None else None

    @cached_property
    def analyser(self) -> HostAnalyser | None:
        """What answers questions about packets."""
        return HostAnalyser(self.firewall) if self.firewall is not None else None

    def derived(self) -> Iterator[tuple[str, str]]:
        """(thing, cause) of what nobody wrote."""
        if self.firewall is not None:
            yield from self.firewall.causes()

    def reach(self, observed: HostObserved) -> Iterator[Passing]:
        """What it opens and what it closes."""
        return filter_changes(observed, self.id, self.table)

    def opens_beyond(self, observed: HostObserved, may_open: Sequence[Opening]) -> Iterator[str]:
        """What it opens beyond what a commit may open."""
        return filter_opens(observed, self.id, self.table, may_open)

    def keeps_out(self, path: ManagementPath, devices: Sequence[str]) -> Iterator[str]:
        """How its rules would keep the service from connecting again."""
        return kept_out(self.analyser, path, devices)


@dataclass(frozen=True)
class ClosedTable(OwnTable):
    """Networks that nobody routes into, as a table of its own next to another program's firewall."""

    closed: tuple[Closed, ...]

    name = NAME
    file = FIREWALL_FILE
    phase = PHASE

    @cached_property
    def table(self) -> Table | None:
        """The table as nft takes it and lists it."""
        return Table(tuple(closed_chains(self.closed))) if self.closed else None

    def derived(self) -> Iterator[tuple[str, str]]:
        """(thing, cause) of what nobody wrote."""
        yield from ((f"DROP {one.network} from {one.interface}", one.cause) for one in self.closed)

    def reach(self, observed: HostObserved) -> Iterator[Passing]:
        """What it opens and what it closes."""
        return filter_changes(observed, self.id, self.table)

    def opens_beyond(self, observed: HostObserved, may_open: Sequence[Opening]) -> Iterator[str]:
        """What it opens beyond what a commit may open."""
        return filter_opens(observed, self.id, self.table, may_open)

    def keeps_out(self, path: ManagementPath, devices: Sequence[str]) -> Iterator[str]:
        """It drops only what neighbours route into networks behind the host."""
        yield from ()


@dataclass(frozen=True)
class BridgeTable(OwnTable):
    """Which guest may send under which name, as a table. Wanted absent where no guest has rules of its own."""

    firewall: HostFirewall | None

    name = BRIDGE_TABLE
    file = BRIDGE_FILE
    phase = PHASE + 1

    @cached_property
    def table(self) -> Table | None:
        """The table as nft takes it and lists it."""
        return render_bridge_table(self.firewall) if self.firewall is not None else None


def bridge_parts(kind: str, firewall: HostFirewall | None) -> tuple[Resource, ...]:
    """All that makes the rules of guests hold on a bridge."""
    wanted = firewall is not None and firewall.guests
    cause = "guests have firewalls of their own" if wanted else ""
    modules = OwnFile(kind, MODULES_FILE, MODULES if wanted else None, "modules", cause=cause)
    return modules, BridgeTable(kind, firewall)
