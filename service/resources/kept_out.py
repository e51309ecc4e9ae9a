"""Would a firewall keep the service from connecting again? The first packet of SSH, by the rules as they would be."""

from collections.abc import Iterator, Sequence

from service.errors import InputError
from service.firewall.trace.host_trace import HostAnalyser
from service.firewall.trace.node_trace import NodeAnalyser
from service.firewall.trace.packets import parse_packet
from service.model.observed import ManagementPath


def kept_out(
    analyser: HostAnalyser | NodeAnalyser | None, path: ManagementPath, devices: Sequence[str]
) -> Iterator[str]:
    """Why, in a sentence; none where it lets the packet in. Answers pass as parts of a connection. `devices` are the
    interfaces that have the host's address."""
    if analyser is None or not devices:
        return
    packet = {"from": devices[0], "to": "host", "proto": "tcp", "source": path.controller, "dest": path.server}
    try:
        question = parse_packet({**packet, "dport": str(path.port)})
    except InputError as error:
        yield f"the way from {path.controller} cannot be followed through the firewall: {error.what}"
        return
    said = analyser.trace(devices[0], "", question.flow)
    if said.verdict != "ACCEPT":
        where = f" ({said.rule})" if said.rule else ""
        yield (
            f"the firewall would keep {path.controller} from {path.server}:{path.port} on {devices[0]}: "
            f"{said.why}{where}"
        )
