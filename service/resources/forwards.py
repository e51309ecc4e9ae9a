"""Published ports: the nft table that sends them on, compared rule by rule with what the kernel has."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from ipaddress import ip_address
from typing import Self

from service.firewall.host import Closed
from service.firewall.nft.published import NAME, Published, destination, forwards_table, shown_ports, with_port
from service.firewall.nft.table import Table
from service.firewall.terms.names import TCP
from service.model.ceilings import Opening
from service.model.observed import HostObserved, ManagementPath
from service.model.plans import Passing
from service.model.states import Seen
from service.resources.opening import is_published_within
from service.resources.own_table import OwnTable
from service.resources.reach import newly_published, published_changes
from service.resources.resource import Compared, Contribution, Phase

TABLE_FACT = f"nft:{NAME}"
FORWARDS_FILE = "/etc/passerelle/nft.d/forwards.nft"
PHASE = Phase.NAT + 3
"""After source NAT, before the firewall that lets the packets pass."""


@dataclass(frozen=True)
class ForwardsTable(OwnTable):
    """Everything that is published, in order: the first that fits decides. None = the table is wanted absent.

    `closed` are the networks that neighbours of the uplink must not route into, where no firewall sees to it.
    """

    published: tuple[Published, ...] = ()
    closed: tuple[Closed, ...] = ()

    name = NAME
    file = FORWARDS_FILE
    phase = PHASE

    @cached_property
    def table(self) -> Table | None:
        """The table as nft takes it and lists it."""
        return forwards_table(self.published, self.closed) if self.published else None

    def derived(self) -> Iterator[tuple[str, str]]:
        """(thing, cause) of what nobody wrote."""
        for one in self.published:
            cause = f"{one.section}: {one.label()}"
            yield f"DNAT {one.at} {one.proto}/{shown_ports(one.ports)} to {one.goal}", cause
        for network in dict.fromkeys(one.network for one in self.published):
            there = [one for one in self.published if one.network == network]
            named = ", ".join(dict.fromkeys(one.name for one in there))
            sections = ", ".join(dict.fromkeys(one.section for one in there))
            yield (
                f"MASQUERADE {network} to {named}",
                f"{sections}: guests of {network} reach {named} by the host's address",
            )
        for closed in self.closed:
            yield f"DROP {closed.network} from {closed.interface}", closed.cause

    def reach(self, observed: HostObserved) -> Iterator[Passing]:
        """What it opens and what it closes."""
        return published_changes(observed.fact(self.id), self.table, self.published)

    def opens_beyond(self, observed: HostObserved, may_open: Sequence[Opening]) -> Iterator[str]:
        """What it opens beyond what a commit may open."""
        new = newly_published(observed.fact(self.id), self.table, self.published)
        return (sentence for one, sentence in new if not is_published_within(one, may_open))

    def keeps_out(self, path: ManagementPath, devices: Sequence[str]) -> Iterator[str]:
        """What is published in the place of the port by which the service connects."""
        if not self.published or (":" in path.controller) != (":" in path.server):
            return
        source, dest = (int(ip_address(address.partition("%")[0])) for address in (path.controller, path.server))
        taken = destination(self.published, 6 if ":" in path.server else 4, TCP, source, dest, path.port)
        if taken is not None:
            where = f", {taken.where}" if taken.where else ""
            yield (
                f"{with_port(path.server)}:{path.port}, by which the service reaches this host from {path.controller}, "
                f"would be taken by a forward: {taken.label()}{where}"
            )

    @classmethod
    def steps(cls, compared: Sequence[Compared[Self]], observed: HostObserved) -> Contribution:
        """As `Resource` says; with a note on every port that a program of the host waits on."""
        made = super().steps(compared, observed)
        if not made.steps:
            return made
        return replace(made, notes=tuple(note for own, _ in compared for note in own.taken_over(observed)))

    def taken_over(self, observed: HostObserved) -> Iterator[str]:
        """Ports on which the host itself answers now and will not any more."""
        listeners = observed.listeners.value if isinstance(observed.listeners, Seen) else ()
        for one in self.published:
            waits = {
                (listener.port, listener.program)
                for listener in listeners
                if listener.protocol == one.proto
                and listener.address.strip("[]") in ("*", "0.0.0.0", "::", *one.addresses)  # noqa: S104 (compared)
                and any(first <= listener.port <= last for first, last in one.ports)
            }
            for port, program in sorted(waits):
                yield f"{one.proto}/{port} goes to {one.name} from now on, no more to {program or 'a program'} here"
