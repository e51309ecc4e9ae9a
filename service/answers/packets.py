"""May X reach Y on port Z, which rule says so, and under which addresses: questions to a host of the spec.

    HostTracer(spec, kinds).trace({"from": "outside", "to": "host", "proto": "tcp", "dport": "80"}) -> Traced

The packet is the first of its flow, with the addresses under which it was sent. What is published is sent on before
the filters look at it; what leaves under another address is changed after them.
"""

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from service.firewall.host import PREROUTING, Closed
from service.firewall.nft.published import Published, destination, with_port
from service.firewall.terms.model import Where
from service.firewall.trace.chains import ACCEPT, DROP, Flow
from service.firewall.trace.host_chains import closed_name
from service.firewall.trace.host_trace import HostAnalyser
from service.firewall.trace.listing import Tried, closed_entries, listed
from service.firewall.trace.node_listing import listed_node
from service.firewall.trace.node_trace import NodeAnalyser
from service.firewall.trace.packets import parse_packet
from service.firewall.trace.verdict import Verdict
from service.kinds.claims import Claim
from service.kinds.desire import desire
from service.kinds.firewall.derived import assemble, derives
from service.kinds.firewall.zones import Zones
from service.kinds.kind import Kind
from service.kinds.packet_rules.levels import KEY
from service.kinds.packet_rules.section import FirewallSection
from service.kinds.packet_rules.shared import shared_section
from service.model.states import Json
from service.resources.firewall import ClosedTable, FirewallTable
from service.resources.forwards import ForwardsTable
from service.resources.pve_firewall import PveFirewallFile
from service.spec.host import HostSpec
from service.spec.models import claims_of

NO_FIREWALL = "the spec has no `firewall` for this host"


@dataclass(frozen=True, slots=True)
class Traced:
    """The verdict, and how the packet's addresses change on its way, in words."""

    verdict: Verdict
    nat: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Json]:
        """For one line of output."""
        said = self.verdict.as_json()
        why = "; ".join([str(said["why"]), *self.nat])
        return {**said, "id": self.verdict.name or None, "why": why, "nat": [*self.nat]}


class HostTracer:
    """One host, prepared once for many questions."""

    def __init__(self, spec: HostSpec, kinds: Sequence[Kind]) -> None:
        claims = claims_of(spec, kinds)
        self._zones = Zones.of(claims)
        self._tables: Callable[[], tuple[Tried, ...]] = lambda: ()
        self._analyser: HostAnalyser | NodeAnalyser | None = None
        self._published: tuple[Published, ...] = ()
        self._closed: tuple[Closed, ...] = ()
        for resource in desire(spec, kinds).resources:
            if isinstance(resource, FirewallTable | PveFirewallFile) and resource.analyser is not None:
                self._analyser = resource.analyser
                self._tables = tables_of(resource.analyser, spec, claims)
            elif isinstance(resource, ForwardsTable):
                self._published = resource.published
            if isinstance(resource, ClosedTable | ForwardsTable):
                self._closed = (*self._closed, *resource.closed)

    @property
    def is_filtered(self) -> bool:
        """Whether the spec has a firewall for the host."""
        return self._analyser is not None

    @cached_property
    def tables(self) -> tuple[Tried, ...]:
        """Every rule in the order in which it is tried. Computed once."""
        closed = Tried(PREROUTING, PREROUTING, "", closed_entries(self._closed))
        return (*((closed,) if closed.entries else ()), *self._tables())

    def trace(self, asked: Mapping[str, object]) -> Traced:
        """The answer to a question between zones; addresses that are not given are those of the zones. Raises
        InputError for what is not a packet, or a zone that is not there."""
        said = {key: str(value) for key, value in asked.items() if isinstance(value, str | int) and value != ""}
        source, dest, fields = self._zones.packet(said)
        _ = self.tables  # the answers have their names
        flow = parse_packet(fields).flow
        taken = None if dest else self._taken(flow)
        if taken is None:
            verdict = self._verdict(source, dest, flow, None)
            address = self._zones.leaves_as(fields["source"], dest) if source and dest else ""
            return Traced(verdict, (f"leaves as {address}",) if address and verdict.verdict == ACCEPT else ())
        end = self._zones.holder(ipaddress.ip_address(taken.target))
        sent_on = replace(
            flow, dest=int(ipaddress.ip_address(taken.target)), dport=taken.to_port or flow.dport, dest_mac=""
        )
        verdict = self._verdict(source, end.interface, flow, sent_on)
        return Traced(verdict, tuple(self._changes(source, end.interface, fields["source"], flow, taken)))

    def _taken(self, flow: Flow) -> Published | None:
        return destination(self._published, flow.family, flow.proto, flow.source, flow.dest, flow.dport)

    def _verdict(self, source: str, dest: str, flow: Flow, sent_on: Flow | None) -> Verdict:
        for number, closed in enumerate(self._closed, 1):
            if source == closed.interface and _holds(closed.network, flow):
                return Verdict(DROP, None, f"before routing: {closed.cause}", closed_name(number))
        if self._analyser is not None:
            return self._analyser.trace(source, dest, flow, sent_on)
        return Verdict(ACCEPT, None, NO_FIREWALL)

    def _changes(self, source: str, dest: str, address: str, flow: Flow, taken: Published) -> list[str]:
        """What becomes of the addresses of a packet that is sent on."""
        port = f":{taken.to_port or flow.dport}"
        found = [f"forwarded to {with_port(taken.target)}{port} by {taken.where or Where('forwards', 1)}"]
        if source == dest and ipaddress.ip_address(address) in ipaddress.ip_network(taken.network):
            found.append(f"leaves as {self._zones.own(dest, flow.family)}")
        return found


def tables_of(
    analyser: HostAnalyser | NodeAnalyser, spec: HostSpec, claims: Sequence[Claim]
) -> Callable[[], tuple[Tried, ...]]:
    """What lists the rules of a host, when it is first needed."""
    if isinstance(analyser, HostAnalyser):
        return lambda: listed(analyser.firewall)

    def of_node() -> tuple[Tried, ...]:
        section = spec.sections.get(KEY)
        if not isinstance(section, FirewallSection):
            return ()
        return listed_node(analyser, assemble(section, spec, claims, derive=derives(section, shared_section(spec))))

    return of_node


def _holds(network: str, flow: Flow) -> bool:
    net = ipaddress.ip_network(network)
    if (net.version == 6) != (flow.family == 6):
        return False
    return int(net.network_address) <= flow.dest <= int(net.broadcast_address)
