"""The firewall's own nft table: what the kernel has now, rule by rule, and the file that the boot loads."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from service.firewall.host_firewall import HostFirewall
from service.firewall.nft_table import FAMILY, TABLE, Table, render_table
from service.resources.own_table import OwnTable
from service.resources.resource import Phase

NAME = f"{FAMILY} {TABLE}"
TABLE_FACT = f"nft:{NAME}"
FIREWALL_FILE = "/etc/passerelle/nft.d/firewall.nft"
PHASE = Phase.NAT + 5
"""One table changes as a whole: after the network that it speaks of, before the daemons."""


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

    def derived(self) -> Iterator[tuple[str, str]]:
        """(thing, cause) of what nobody wrote."""
        if self.firewall is not None:
            yield from self.firewall.causes()
